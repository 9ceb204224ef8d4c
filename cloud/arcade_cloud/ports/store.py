"""The port to the store. Each call is one transaction or one conditional write. No call scans all orders.

All adapters pass one contract suite. Records go in and come out whole. A store interprets only what it indexes: an
order's `order_id`, `code`, `last4`, `version`, `due_at_ms`, `under_way_since_ms`, `machine_ids`, `created_at_ms`,
`payment_intent`, `credit_ids` and its tab's `secret_hash`, a line's `order_id`, `serial` and `day`, a presence's
`due_at_ms`, and whether an alert lasts or stands. Any call may raise StoreUnavailable, or FormTooNew if a newer
version of this program has written.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.books import EVERY, Line, Only
from arcade_cloud.domain.game_overs import GameOver
from arcade_cloud.domain.machines import Hearing, Machine, Presence
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.order import HistoryEntry, Order, UnmatchedAck
from arcade_cloud.domain.outbox import Posting
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.receipts import ReceiptDue
from arcade_cloud.domain.reconciling import DayReport
from arcade_cloud.domain.screens import Screen
from arcade_cloud.domain.tallies import Name, Taken, TakenPart, Tallies
from arcade_cloud.domain.uptime import StateChange
from arcade_cloud.domain.webhooks import Webhooks
from arcade_cloud.ports.receipts import ReceiptStore

# Far more alerts than any decision raises, and few enough for one transaction in every store.
ALERTS_AT_MOST = 50


class Waiting(NamedTuple):
    """An order that waits for its time."""

    due_at_ms: int
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One step of one order, stored whole or not at all.

    Attributes:
        order: The order after the step. Its version is `expected_version` + 1.
        expected_version: The stored version before the step; 0 if the order must not exist.
        history: The entry to append, one for each version that is told.
        is_told: False: the step changes nothing that anybody would look for, so its entry is not kept. The first
            version of an order is always told.
        alerts: At most ALERTS_AT_MOST. Only those with new ids are stored.
        seen: The id of the event that caused the step.
        lines: What the step books: of this order, all with the same new serial and the same day.
        postings: What the step tells other software, at most POSTINGS_AT_MOST. Only new ones are stored.
        tallies: What the lines add to the tallies, by `tallies.added`.
        counts: What coin meters have counted, one for a credit of this order at most.
        receipt: That the order waits for the number of its receipt, because of these lines.
    """

    order: Order
    expected_version: int
    history: HistoryEntry
    is_told: bool = True
    alerts: tuple[Alert, ...] = ()
    seen: str | None = None
    lines: tuple[Line, ...] = ()
    postings: tuple[Posting, ...] = ()
    tallies: Tallies = field(default_factory=dict)
    counts: tuple[Count, ...] = ()
    receipt: ReceiptDue | None = None


class Store(Protocol):
    """The state of the cloud."""

    @property
    def receipts(self) -> ReceiptStore: ...

    # orders
    def move(self, move: Move) -> None:
        """Store one step. A payment intent or credit id, once stored with an order, belongs to it for good.

        So does the secret of a tab, which is stored with its first version. What a credit on a tab claims is
        stored while it is under way.

        Raises:
            AlreadySeen: `seen` is on record. As with the other errors, nothing is stored.
            Conflict: The stored version is not the expected one, or lines with that serial are booked.
            PaymentTaken: Another order has the payment intent.
        """
        ...

    def forget(self, order: Order) -> None:
        """Delete an order that nobody paid, with its history and its claim to a payment intent.

        What is stored must have the order's version. An order that had money, or a credit that was drawn, is never
        deleted: that is InvariantBroken.

        Raises:
            Conflict: The stored version is another one, or there is no such order. Nothing is deleted.
        """
        ...

    def order(self, order_id: str) -> Order | None: ...

    def order_of_payment(self, payment_intent: str) -> str | None:
        """The id of the order that a payment intent funds."""
        ...

    def order_of_credit(self, credit_id: str) -> str | None: ...

    def order_of_tab(self, secret_hash: str) -> str | None:
        """The id of the order of the tab with that secret."""
        ...

    def due_orders(self, now_ms: int, limit: int) -> list[str]:
        """The ids of orders that are due, at most `limit`, the longest due first."""
        ...

    def postpone(self, order_id: str, until_ms: int) -> None:
        """Make an order due at `until_ms` if it is due earlier.

        The record is neither read nor changed, because it may be broken. The next step sets the time again.
        """
        ...

    def waiting_orders(self, after: Waiting, limit: int) -> list[Waiting]:
        """The orders that come after that one in the order of (due_at_ms, order_id), at most `limit`."""
        ...

    def note_rechecked(self, until: Waiting | None) -> None:
        """Note how far the waiting orders have been looked at; None: to the end. The last note counts."""
        ...

    def rechecked_until(self) -> Waiting | None:
        """The last `note_rechecked`; None before the first."""
        ...

    def next_due_ms(self) -> int | None:
        """The earliest `due_at_ms` of all orders; None if no order is ever due."""
        ...

    def history(self, order_id: str) -> list[HistoryEntry]:
        """All entries, oldest first."""
        ...

    def orders_under_way(self, before_ms: int, limit: int) -> list[Order]:
        """The orders of which something is under way since before that moment, the longest under way first.

        Orders that a version has moved last which did not know of this may be missing.
        """
        ...

    def recent_orders(
        self, limit: int, *, machine_id: str | None = None, before_ms: int | None = None
    ) -> list[Order]:
        """The newest orders by `created_at_ms`, newest first.

        Args:
            machine_id: Only orders with a credit of this machine.
            before_ms: Only orders made before this time.
        """
        ...

    def orders_with_code(self, code: str, limit: int) -> list[Order]:
        """The orders with that code, newest first. It is short, so several may have it.

        Orders that a version made which did not know of this may be missing.
        """
        ...

    def orders_with_last4(self, last4: str, limit: int) -> list[Order]:
        """The orders that were paid with what ends in these four digits, newest first. Many share them.

        Orders that a version has moved last which did not know of this may be missing.
        """
        ...

    # the books
    def book(self, lines: tuple[Line, ...], tallies: Tallies | None = None) -> None:
        """Store lines that belong to no step, as `move` does: lines of one order, with one serial and one day.

        Args:
            tallies: What they add to the tallies.

        Raises:
            Conflict: Lines with that serial are booked. Nothing is stored.
        """
        ...

    def booked(self, order_id: str) -> list[Line]:
        """All lines of an order, the first booked first."""
        ...

    def lines_of_day(self, day: str) -> list[Line]:
        """All lines of a day such as `2026-11-26`, in no particular order."""
        ...

    def newest_lines(self, day: str, limit: int, machine_ids: Collection[str] | None = None) -> list[Line]:
        """The lines of a day that were booked last, in no order: at least `limit`, if there are as many.

        Args:
            machine_ids: Only lines of these machines. Others may be among them.
        """
        ...

    def taken(self, first: str, last: str, by: Name, only: Only = EVERY) -> list[Taken]:
        """What was booked from one day to another, added up by name and currency, from the tallies.

        Args:
            first: A day such as `2026-11-01`.
            last: The last day that counts.

        Returns:
            Of several days, `played_ms` may be of another day of their months.
        """
        ...

    def taken_part(self, first: str, last: str, by: Name, only: Only, offset: int, limit: int) -> TakenPart:
        """`limit` of what `taken` finds, from the one at `offset`, counted from 0; and what is to be said of all.

        It is for the names of which there may be ten thousand, and a page shows a hundred.
        """
        ...

    def taken_until(self, day: str, until_ms: int) -> list[Taken]:
        """What was booked of a day up to that moment, in one sum for each currency, named by the day."""
        ...

    def tallies_of_day(self, day: str) -> Tallies:
        """The tallies of a day, as they are stored."""
        ...

    def put_tallies_right(self, day: str) -> bool:
        """Add up the lines of a day anew, and put its tallies right. Lines may be booked meanwhile.

        Returns:
            Whether they were wrong: a program that knows no tallies has booked lines.
        """
        ...

    def day_report(self, day: str) -> DayReport | None:
        """What reconciling a day such as `2026-11-26` has found; None if nobody has begun."""
        ...

    def put_day_report(self, report: DayReport, expected_version: int) -> None:
        """Store a report, as `put_machine` does. A day without a report has version 0."""
        ...

    # events that move no order
    def note_seen(self, event_id: str, at_ms: int) -> bool:
        """Record an event's id. False if it is on record already."""
        ...

    def is_seen(self, event_id: str) -> bool: ...

    # machines
    def machine(self, machine_id: str) -> Machine | None: ...

    def machines(self) -> list[Machine]:
        """All machines, by id. An operator's fleet is small."""
        ...

    def put_machine(self, machine: Machine, expected_version: int) -> None:
        """Store a machine whose `version` is `expected_version` + 1.

        Raises:
            Conflict: The stored version is not the expected one. Nothing is stored.
        """
        ...

    def presence(self, machine_id: str) -> Presence | None: ...

    def presences(self, machine_ids: Sequence[str]) -> list[Presence]:
        """The presences of these machines, as far as there are any, in no particular order."""
        ...

    def put_presence(
        self, presence: Presence, expected_version: int, changes: tuple[StateChange, ...] = ()
    ) -> None:
        """Store a presence, as `put_machine` does. A presence that does not exist has version 0.

        Args:
            changes: What it changes of the machine's uptime, of this machine, each at a time of its own.
        """
        ...

    def state_changes(self, machine_id: str, since_ms: int, limit: int) -> list[StateChange]:
        """A machine's changes from that moment on, and the last one before it; at most `limit`, newest first."""
        ...

    def counts(self, machine_id: str, since_ms: int, limit: int) -> list[Count]:
        """What a machine's coin meter has counted from that moment on; at most `limit`, newest first."""
        ...

    def note_game_over(self, game_over: GameOver) -> bool:
        """Store a game over. False if one of that machine, moment and event is on record already."""
        ...

    def game_overs(self, machine_id: str, since_ms: int, until_ms: int, limit: int) -> list[GameOver]:
        """A machine's game overs from one moment until before another; at most `limit`, newest first."""
        ...

    def screen(self, machine_id: str) -> Screen | None: ...

    def put_screen(self, screen: Screen, expected_version: int) -> None:
        """Store what a machine's screen shows, as `put_machine` does. One that does not exist has version 0."""
        ...

    def due_presences(self, now_ms: int, limit: int) -> list[str]:
        """The ids of machines whose presence is due, at most `limit`, the longest due first."""
        ...

    def waiting_presences(self, later_than_ms: int, limit: int) -> list[str]:
        """The ids of machines whose presence is due later than that, at most `limit`, the first due first."""
        ...

    # alerts, and unmatched acks
    def raise_alert(self, alert: Alert, postings: tuple[Posting, ...] = ()) -> bool:
        """Store an alert that belongs to no step. If it is stored, so is what it tells other software.

        False if its id is on record already or, for a condition, if one of its kind and subject lasts.
        """
        ...

    def alert(self, alert_id: str) -> Alert | None: ...

    def lasting_alert(self, kind: str, subject: str) -> Alert | None:
        """The condition of that kind and subject that lasts."""
        ...

    def change_alert(self, before: Alert, after: Alert, recovery: Alert | None = None) -> None:
        """Put `after` in the place of `before`, and store the notice that it has ended. Whether it was sent stays.

        Raises:
            Conflict: What is stored is not `before`. Nothing is stored.
        """
        ...

    def standing_alerts(self, limit: int) -> list[Alert]:
        """The alerts that last or wait to be acknowledged, newest first.

        Those raised by a version that knew no acknowledgement are not among them.
        """
        ...

    def unsent_alerts(self, limit: int) -> list[Alert]:
        """The alerts that are not marked as sent, oldest first."""
        ...

    def mark_alert_sent(self, alert_id: str) -> None: ...

    def recent_alerts(self, limit: int) -> list[Alert]:
        """The newest alerts, newest first, sent or not."""
        ...

    def note_unmatched_ack(self, ack: UnmatchedAck) -> bool:
        """Store an ack that no order knows. False if the same ack is on record already."""
        ...

    def unmatched_acks(self, limit: int) -> list[UnmatchedAck]: ...

    # payments that nobody can prove to be ours
    def note_unclaimed(self, payment: Unclaimed) -> bool:
        """Store a payment that a person must decide about. False if it is on record already."""
        ...

    def unclaimed_payment(self, payment_intent: str) -> Unclaimed | None: ...

    def unclaimed(self, limit: int) -> list[Unclaimed]:
        """The newest, newest first."""
        ...

    def forget_unclaimed(self, payment_intent: str) -> None:
        """Take a payment off the list: somebody has decided about it."""
        ...

    # echoes, reconciliation and webhooks
    def note_echo(self, sent_at_ms: int) -> None:
        """Note that an echo sent at that time has come back. Only the latest is kept, and what all prove."""
        ...

    def forget_echoes(self, later_than_ms: int) -> None:
        """Forget what echoes proved if the latest was sent later than that: by a clock that was ahead."""
        ...

    def heard_echo_ms(self) -> int | None:
        """When the latest echo that came back was sent."""
        ...

    def hearing(self) -> Hearing | None:
        """What the echoes that came back prove, by `hearing_after`."""
        ...

    def note_reconciled(self, at_ms: int) -> None:
        """Note that all of Stripe's events before that time are reconciled. The last note counts."""
        ...

    def reconciled_ms(self) -> int | None:
        """The time of the last `note_reconciled`; None before the first."""
        ...

    def note_webhook_accepted(self, at_ms: int) -> None:
        """Note that a webhook from Stripe was accepted."""
        ...

    def note_webhooks_refused(self, count: int, at_ms: int, why: str) -> None:
        """Note that so many webhooks were refused since the last note, the last one at that time."""
        ...

    def webhooks(self) -> Webhooks:
        """What was noted about webhooks."""
        ...

    # housekeeping
    def form(self) -> int:
        """The form in which orders are written now."""
        ...

    def upgrade(self) -> int:
        """From now on write this program's own form, which older programs cannot read. Returns its number."""
        ...

    def prune(self, now_ms: int) -> int:
        """Delete ids of seen events, and alerts. Returns how many records went.

        An event's id goes after 90 days (Stripe repeats an event for 3 days). An alert that was sent goes after 90
        days if it no longer stands, and after 400 days if nobody has acknowledged it. A condition that lasts
        stays. A machine's changes and counts may go after 90 days, its game overs after 8, and what `taken_until`
        was quick by after 90. Orders, histories and payment claims go with `forget` only.
        """
        ...

    def close(self) -> None: ...
