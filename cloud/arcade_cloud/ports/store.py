"""The port of the store. Each call is one transaction, or one conditional write; none scans but for export.

Adapters pass one contract suite. Records go in and come out whole; a store interprets only what it indexes:
an order's `order_id`, `version`, `due_at_ms`, `machine_ids`, `created_at_ms`, `payment_intent`, `credit_ids`.
Any call may raise StoreUnavailable, and FormTooNew where a newer version of this program has written.
"""

from dataclasses import dataclass
from typing import Protocol

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.order import HistoryEntry, Order, UnmatchedAck

# The most alerts of one step: far more than any decision raises, and one transaction holds them in every store.
ALERTS_AT_MOST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One step of one order, stored whole or not at all.

    `order.version` is `expected_version` + 1; an expected version of 0 means that the order must not exist.
    `history` is appended (at most one entry a version). `alerts`, at most ALERTS_AT_MOST, are put where their
    ids are new. `seen` is the id of the event that caused the step.
    """

    order: Order
    expected_version: int
    history: HistoryEntry
    alerts: tuple[Alert, ...] = ()
    seen: str | None = None


class Store(Protocol):
    """The state of the cloud."""

    # orders
    def move(self, move: Move) -> None:
        """Store one step.

        Raises AlreadySeen if `seen` is on record, Conflict if the version is not the expected one, and
        PaymentTaken if another order has the payment intent; then nothing at all is stored. A payment intent
        or a credit id, once stored with an order, belongs to it for good.
        """
        ...

    def order(self, order_id: str) -> Order | None: ...

    def order_of_payment(self, payment_intent: str) -> str | None:
        """The id of the order that a payment intent funds."""
        ...

    def order_of_credit(self, credit_id: str) -> str | None: ...

    def due_orders(self, now_ms: int, limit: int) -> list[str]:
        """At most `limit` ids of orders whose `due_at_ms` has come, the longest due first."""
        ...

    def postpone(self, order_id: str, until_ms: int) -> None:
        """Count an order as due at `until_ms`, where it would be earlier, although its record says otherwise.

        The record is neither read nor changed, for it may be broken; the next step sets the time anew.
        """
        ...

    def next_due_ms(self) -> int | None:
        """The earliest `due_at_ms` of all orders; None if nothing is due ever."""
        ...

    def history(self, order_id: str) -> list[HistoryEntry]:
        """All entries, oldest first."""
        ...

    def recent_orders(
        self, limit: int, *, machine_id: str | None = None, before_ms: int | None = None
    ) -> list[Order]:
        """Newest first, by `created_at_ms`; those made before `before_ms` where that is given.

        Of a machine: the orders that have a credit of it.
        """
        ...

    # events that move no order
    def note_seen(self, event_id: str, at_ms: int) -> bool:
        """Record an event's id; False if it was on record already."""
        ...

    def is_seen(self, event_id: str) -> bool: ...

    # machines
    def machine(self, machine_id: str) -> Machine | None: ...

    def machines(self) -> list[Machine]:
        """All of them, by id: an operator's fleet is small."""
        ...

    def put_machine(self, machine: Machine, expected_version: int) -> None:
        """Store a machine whose `version` is `expected_version` + 1. Raises Conflict."""
        ...

    def presence(self, machine_id: str) -> Presence | None: ...

    def put_presence(self, presence: Presence, expected_version: int) -> None:
        """As `put_machine`; a presence that does not exist has version 0."""
        ...

    # alerts, and acks that no order knows
    def raise_alert(self, alert: Alert) -> bool:
        """Put an alert that belongs to no step of an order; False if its id is on record already."""
        ...

    def unsent_alerts(self, limit: int) -> list[Alert]:
        """Alerts not yet marked as sent, oldest first."""
        ...

    def mark_alert_sent(self, alert_id: str) -> None: ...

    def recent_alerts(self, limit: int) -> list[Alert]:
        """Newest first, sent or not."""
        ...

    def note_unmatched_ack(self, ack: UnmatchedAck) -> bool:
        """Keep a verified ack for an unknown credit; False if the same one is on record already."""
        ...

    def unmatched_acks(self, limit: int) -> list[UnmatchedAck]: ...

    # what the cloud hears
    def note_echo(self, sent_at_ms: int) -> None:
        """An echo sent at that moment has come back; only the latest is kept."""
        ...

    def heard_echo_ms(self) -> int | None:
        """When the latest echo that came back was sent."""
        ...

    def note_reconciled(self, at_ms: int) -> None:
        """What Stripe had to say before that moment has been looked through; the last note counts."""
        ...

    def reconciled_ms(self) -> int | None:
        """The moment of the last note; None where none was ever made."""
        ...

    # housekeeping
    def form(self) -> int:
        """The form in which orders are written now."""
        ...

    def upgrade(self) -> int:
        """From now on write this program's own form, which older programs cannot read; that form's number."""
        ...

    def prune(self, now_ms: int) -> int:
        """Forget ids of seen events and sent alerts older than 90 days; how many records went.

        Stripe repeats an event for 3 days; orders, histories and payment claims are never pruned here.
        """
        ...

    def close(self) -> None: ...
