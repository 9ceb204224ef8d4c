"""Fees: Stripe's balance transactions are booked as lines of the orders whose payments they are about.

The timer reads what is new in Stripe's balance. It remembers nothing: what it has missed while it was down, the
daily reconciliation books (`services/daily_reconciliation.py`), which reads every entry of a day. An order books
each entry once, whoever reads it and how often.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from arcade_cloud.domain import books
from arcade_cloud.domain.balance import Entry
from arcade_cloud.domain.tallies import added
from arcade_cloud.errors import Conflict, InvariantBroken, PaymentsError, PaymentsRefused
from arcade_cloud.ports.payments import Balance
from arcade_cloud.services.fulfilment import CONFLICT_RETRIES, Fulfilment

logger = logging.getLogger(__name__)

# How long a fee may stay unknown. Each reading is usually one request to Stripe.
READ_EVERY_S = 15 * 60
# After a page that failed, or that was dropped on the way to its thread.
READ_AGAIN_S = 60
# So far back a reading goes: an order is on record before its payment, so all that is found has one. An entry may
# be listed a little late, and a process may have been down.
OVERLAP_S = 2 * 3600


def book(fulfilment: Fulfilment, entry: Entry) -> str | None:
    """Book an entry of Stripe's balance with the order whose payment it is about, unless it is booked.

    Returns:
        The order's id; None if no order has that payment.

    Raises:
        StoreUnavailable: It may or may not have been stored.
    """
    store = fulfilment.store
    order_id = None if entry.payment_intent is None else store.order_of_payment(entry.payment_intent)
    if order_id is None:
        return None
    for _ in range(CONFLICT_RETRIES):
        booked = store.booked(order_id)
        if books.has_booked(booked, entry):
            return order_id
        order = store.order(order_id)
        if order is None:
            return None
        machine = store.machine(books.pays_fees(order))
        line = books.fee_line(
            booked,
            order,
            entry,
            at_ms=fulfilment.now_ms(),
            zone=fulfilment.zone,
            location="" if machine is None else machine.location,
        )
        if line is None:
            return order_id
        try:
            store.book((line,), added(booked, (line,)))
        except Conflict:  # somebody else has booked lines of this order meanwhile, perhaps this one
            continue
        return order_id
    raise InvariantBroken(f"order {order_id}: {CONFLICT_RETRIES} conflicts in a row")


@dataclass
class _Reading:
    """One reading, from the newest entry back to `since_ms`, a page at a time."""

    since_ms: int
    after: str | None = None


@dataclass(kw_only=True)
class Fees:
    """Books what is new in Stripe's balance: a `Watch`. Several processes may do so at once."""

    fulfilment: Fulfilment
    balance: Balance
    _next_ms: int = 0
    _reading: _Reading | None = None
    _failing: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run_once(self) -> None:
        """Hand one page to `Fulfilment.later` if it is time."""
        fulfilment = self.fulfilment
        wait_ms = self._next_ms - fulfilment.now_ms()
        if 0 < wait_ms <= READ_EVERY_S * 1000:  # a longer wait comes from a clock that was ahead
            return
        self._next_ms = fulfilment.now_ms() + READ_AGAIN_S * 1000
        fulfilment.later(self._page)

    def _page(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # the last page is still waiting for Stripe
        try:
            self._read_page()
        finally:
            self._lock.release()

    def _read_page(self) -> None:
        now_ms = self.fulfilment.now_ms()
        reading = self._reading or _Reading(since_ms=now_ms - OVERLAP_S * 1000)
        try:
            page = self.balance.read_entries(since_ms=reading.since_ms, after=reading.after)
        except PaymentsError as error:
            # A page that Stripe refuses never comes. The daily reconciliation tells a person.
            self._reading = None if isinstance(error, PaymentsRefused) else reading
            if not self._failing:
                logger.warning("Stripe's fees cannot be read yet: %s", error)
            self._failing = True
            return
        self._failing = False
        self.book_all(page.entries)
        if page.after is None:
            self._reading, self._next_ms = None, now_ms + READ_EVERY_S * 1000
        else:
            reading.after = page.after
            self._reading, self._next_ms = reading, now_ms

    def book_all(self, entries: Sequence[Entry]) -> None:
        """Book entries, the oldest first. An order that cannot be read keeps no other from its fee."""
        for entry in reversed(entries):
            try:
                book(self.fulfilment, entry)
            except InvariantBroken as error:
                logger.warning("a fee cannot be booked: %s", error)
