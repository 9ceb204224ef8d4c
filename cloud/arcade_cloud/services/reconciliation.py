"""Reconciliation: what no webhook told of, and nobody would ever ask for, is found among Stripe's own events.

An order asks Stripe by itself until it is settled. Nothing is on record of a payment by a static Payment Link, and
of a settled order's money that moves once more, by a refund made by hand or a dispute, only Stripe can tell: if
every webhook about it is lost, nobody would ever know. Stripe lists its events for 30 days. All of them are looked
at, not only those that it calls undelivered: where no endpoint is set up, or a wrong one says 200, an event is not
one of these.

How far all has been looked through is on record (`Store.reconciled_ms`) and moves only when a lap has come to its
end; so whatever dies or fails, the next lap begins where the last good one did.
"""

import logging
import threading
from dataclasses import dataclass, field

from arcade_cloud.domain.alerts import alert
from arcade_cloud.errors import PaymentsError, PaymentsRefused, PaymentsUnavailable, StoreUnavailable
from arcade_cloud.ports.payments import Report
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.payment_intake import PaymentIntake

logger = logging.getLogger(__name__)

# How long a payment that no webhook told of may stay unknown; one request to Stripe each time.
RECONCILE_EVERY_S = 15 * 60
# After a page that failed, or of which nothing was heard: it may have been dropped on the way to its thread.
RECONCILE_AGAIN_S = 60
# An event may show in Stripe's list a little late, and the clocks differ.
OVERLAP_S = 3600
# Stripe lists events for 30 days.
LISTED_S = 29 * 86_400
# Each may have waited for Stripe as long as a call takes; then the page is left, and looked at again.
FAILURES_OF_A_PAGE = 3
# What tells that a session was paid, at once or by a bank that took its time.
PAID = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
# What tells that money has moved after all.
MOVED = ("charge.refunded", "refund.updated", "refund.failed", "charge.dispute.created", "charge.dispute.closed")
RIGHT = "a restricted key needs the right “Events: read”"


@dataclass
class _Lap:
    """One way through the list, from the newest event back to `since_ms`, a page at a time."""

    began_ms: int
    since_ms: int
    after: str | None = None
    whole: bool = True


@dataclass(kw_only=True)
class Reconciliation:
    """Called by the timer at each pass, in whatever process has one. Several processes may do it at once."""

    fulfilment: Fulfilment
    intake: PaymentIntake
    _next_ms: int = 0
    _lap: _Lap | None = None
    _failing: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run_once(self) -> bool:
        """Hand over one page of the list to `Fulfilment.later` if it is time; whether another page is wanted now.

        Where work for Stripe is done at once, raises StoreUnavailable; the page is then looked at again.
        """
        fulfilment = self.fulfilment
        if fulfilment.now_ms() < self._next_ms:
            return False
        self._next_ms = fulfilment.now_ms() + RECONCILE_AGAIN_S * 1000
        fulfilment.later(self._page)
        return self._next_ms <= fulfilment.now_ms()

    def _page(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # the page before still waits for Stripe
        try:
            lap = self._lap or self._new_lap()
            if lap is not None:
                self._look_through(lap)
        finally:
            self._lock.release()

    def _new_lap(self) -> _Lap | None:
        """The next lap; none at the very first pass: what was paid before was somebody else's to deliver."""
        fulfilment = self.fulfilment
        store, now_ms = fulfilment.store, fulfilment.now_ms()
        reconciled_ms = store.reconciled_ms()
        if reconciled_ms is None:
            store.note_reconciled(now_ms)
            self._next_ms = now_ms + RECONCILE_EVERY_S * 1000
            return None
        if reconciled_ms > now_ms:  # this clock, or another process's, was ahead
            reconciled_ms = now_ms - OVERLAP_S * 1000
        self._lap = _Lap(began_ms=now_ms, since_ms=max(reconciled_ms, now_ms - LISTED_S * 1000))
        return self._lap

    def _look_through(self, lap: _Lap) -> None:
        fulfilment = self.fulfilment
        try:
            page = fulfilment.payments.read_events(PAID + MOVED, since_ms=lap.since_ms, after=lap.after)
        except PaymentsRefused as error:
            self._refused(error)
            return
        except PaymentsUnavailable as error:
            self._failed(error)
            return
        failures = 0
        for report in page.reports:
            failures += not self._take_in(report)
            if failures == FAILURES_OF_A_PAGE:
                return
        lap.whole = lap.whole and not failures
        if page.after is not None:
            lap.after, self._next_ms = page.after, fulfilment.now_ms()
            return
        if lap.whole:
            fulfilment.store.note_reconciled(max(lap.since_ms, lap.began_ms - OVERLAP_S * 1000))
            if self._failing:
                logger.info("Stripe's events are looked through again")
            self._failing = False
        self._lap, self._next_ms = None, fulfilment.now_ms() + RECONCILE_EVERY_S * 1000

    def _take_in(self, report: Report) -> bool:
        """Handle one event as its webhook would have been; whether it needs no other look.

        Raises StoreUnavailable.
        """
        try:
            is_paid = report.kind == "payment"
            if is_paid and report.order_id is not None:
                return True  # the order asks Stripe by itself
            if self.fulfilment.store.is_seen(report.event_id):
                return True
            if is_paid and report.is_delivered and not self.intake.is_for_machine_here(report):
                return True  # nobody failed to take it, and it is nothing to us: another installation's
            became = self.intake.take_in(report)
        except StoreUnavailable:
            raise
        except PaymentsUnavailable as error:
            self._failed(error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, other events are not to wait for this one
            self._failed(error)
            text = f"What happened to a payment cannot be taken in: {error}"
            self._alert(report.event_id, text)
            return False
        if became in {"moved", "unmatched"}:
            logger.warning("event %s was found in Stripe's list before any webhook told of it", report.event_id)
        return True

    def _failed(self, error: Exception) -> None:
        """Recorded once, and tried again."""
        if not self._failing:
            unexpected = None if isinstance(error, PaymentsError) else error
            logger.warning("Stripe's events are not all looked through yet: %s", error, exc_info=unexpected)
        self._failing = True

    def _refused(self, error: PaymentsRefused) -> None:
        """A person has to do something, or a page is gone from Stripe's list: the lap begins anew later."""
        self._lap, self._next_ms = None, self.fulfilment.now_ms() + RECONCILE_EVERY_S * 1000
        text = f"Payments that no webhook told of cannot be found: {error} ({RIGHT})."
        if not self._failing:
            logger.error("%s", text)
        self._failing = True
        self._alert("Stripe", text)

    def _alert(self, subject: str, text: str) -> None:
        word = alert("unreconciled", subject, text, self.fulfilment.now_ms())
        self.fulfilment.store.raise_alert(word)
