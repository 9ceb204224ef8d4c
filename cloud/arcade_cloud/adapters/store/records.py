"""Records as stores keep them: JSON and back, checked on the way in and on the way out (pure).

Every adapter writes and reads through these functions, so all adapters agree on which records are broken. Orders
come in several forms: see `forms`.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from arcade_cloud.adapters.store.forms import Forms
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.domain.audit import AuditEntry, AuditOutcome
from arcade_cloud.domain.books import Line
from arcade_cloud.domain.game_overs import GameOver
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.order import HistoryEntry, Order, UnmatchedAck, check
from arcade_cloud.domain.outbox import POSTINGS_AT_MOST, Endpoint, Posting
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.people import Person, Session, Tries
from arcade_cloud.domain.receipts import Receipt, ReceiptDue, Series
from arcade_cloud.domain.reconciling import DayReport
from arcade_cloud.domain.screens import Screen
from arcade_cloud.domain.uptime import StateChange
from arcade_cloud.domain.webhooks import Webhooks
from arcade_cloud.errors import InvariantBroken
from arcade_cloud.ports.receipts import NUMBERED_AT_MOST
from arcade_cloud.ports.store import ALERTS_AT_MOST, Move

# Ids of seen events and alerts that are over are forgotten after this; Stripe repeats an event for three days.
FORGET_AFTER_MS = 90 * 86_400_000
# Alerts that nobody has acknowledged are forgotten after this: a year, and time to notice.
FORGET_STANDING_AFTER_MS = 400 * 86_400_000

_Record = TypeVar("_Record", bound=Struct)


class _Booking(Struct, frozen=True, forbid_unknown_fields=True):
    """The lines that one settlement of an order has booked: they are stored as one record."""

    lines: tuple[Line, ...]


_ENCODER = msgspec.json.Encoder()
_BOOKING = msgspec.json.Decoder(_Booking)
_HISTORY = msgspec.json.Decoder(HistoryEntry)
_MACHINE = msgspec.json.Decoder(Machine)
_PRESENCE = msgspec.json.Decoder(Presence)
_ALERT = msgspec.json.Decoder(Alert)
_UNMATCHED_ACK = msgspec.json.Decoder(UnmatchedAck)
_DAY_REPORT = msgspec.json.Decoder(DayReport)
_SCREEN = msgspec.json.Decoder(Screen)
_WEBHOOKS = msgspec.json.Decoder(Webhooks)
_UNCLAIMED = msgspec.json.Decoder(Unclaimed)
_ENDPOINT = msgspec.json.Decoder(Endpoint)
_POSTING = msgspec.json.Decoder(Posting)
_API_KEY = msgspec.json.Decoder(ApiKey)
_STATE_CHANGE = msgspec.json.Decoder(StateChange)
_COUNT = msgspec.json.Decoder(Count)
_GAME_OVER = msgspec.json.Decoder(GameOver)
_PERSON = msgspec.json.Decoder(Person)
_SESSION = msgspec.json.Decoder(Session)
_TRIES = msgspec.json.Decoder(Tries)
_RECEIPT = msgspec.json.Decoder(Receipt)
_SERIES = msgspec.json.Decoder(Series)
_AUDIT_ENTRY = msgspec.json.Decoder(AuditEntry)
_AUDIT_OUTCOME = msgspec.json.Decoder(AuditOutcome)


def check_move(move: Move) -> None:
    """Check that a step agrees with itself, and its order with the rules of an order's life.

    Raises:
        InvariantBroken: The order breaks a rule, its version is not the next one, the history entry belongs to
            another step or is left out of one with consequences, there are too many alerts, or a count is of
            another order; or as `check_lines`.
    """
    order = move.order
    check(order)
    if move.expected_version < 0 or order.version != move.expected_version + 1:
        raise InvariantBroken(
            f"order {order.order_id}: version {order.version} cannot follow version {move.expected_version}"
        )
    if (move.history.order_id, move.history.version) != (order.order_id, order.version):
        raise InvariantBroken(f"order {order.order_id}: the history entry belongs to another step")
    if not move.is_told and (move.expected_version == 0 or move.alerts or move.lines or move.postings):
        raise InvariantBroken(f"order {order.order_id}: a step with consequences is not told")
    if len(move.alerts) > ALERTS_AT_MOST:
        raise InvariantBroken(f"order {order.order_id}: {len(move.alerts)} alerts in one step")
    if len(move.postings) > POSTINGS_AT_MOST:
        raise InvariantBroken(f"order {order.order_id}: {len(move.postings)} postings in one step")
    if any(alert.condition for alert in move.alerts):
        raise InvariantBroken(f"order {order.order_id}: a condition belongs to no step")
    if any(count.order_id != order.order_id or count.credit_id not in order.credit_ids for count in move.counts):
        raise InvariantBroken(f"order {order.order_id}: a coin meter's count is of another order")
    if move.lines:
        check_lines(move.lines, order.order_id)
    if move.receipt is not None and (move.receipt.order_id, move.receipt.serial) not in {
        (line.order_id, line.serial) for line in move.lines
    }:
        raise InvariantBroken(f"order {order.order_id}: what waits for a receipt is not what it books")


def check_lines(lines: tuple[Line, ...], order_id: str) -> None:
    """Check that lines can be booked together.

    Raises:
        InvariantBroken: There are none, they are not all of this order, or they differ in serial or day.
    """
    if {(line.order_id, line.serial, line.day) for line in lines} != {(order_id, lines[0].serial, lines[0].day)}:
        raise InvariantBroken(f"order {order_id}: its lines do not belong together")
    if len({line.number for line in lines}) != len(lines) or lines[0].serial < 1:
        raise InvariantBroken(f"order {order_id}: two lines for one credit, or no serial")


def check_issue(receipts: Sequence[Receipt], after: Series, before: Series, done: Sequence[ReceiptDue]) -> None:
    """Check that numbers follow each other and the series, and that each order waits no longer.

    Raises:
        InvariantBroken: They do not.
    """
    numbers = [(receipt.prefix, receipt.number) for receipt in receipts]
    if numbers != [(before.prefix, number) for number in range(before.last + 1, after.last + 1)]:
        raise InvariantBroken(f"receipts {numbers[:3]}…: they do not lead from {before} to {after}")
    order_ids = {receipt.order_id for receipt in receipts}
    if after.prefix != before.prefix or len(order_ids) != len(receipts):
        raise InvariantBroken(f"receipts {numbers[:3]}…: an order has two, or they are of two series")
    if not order_ids <= {one.order_id for one in done} or len(done) > NUMBERED_AT_MOST:
        raise InvariantBroken(f"receipts {numbers[:3]}…: an order goes on waiting, or they are too many")


def check_change(before: Alert, after: Alert, recovery: Alert | None) -> None:
    """Check that a change keeps what an alert is, begins nothing anew, and tells of the end of this alert only.

    Raises:
        InvariantBroken: It does not.
    """
    if (before.alert_id, before.at_ms, before.kind, before.subject, before.condition) != (
        after.alert_id,
        after.at_ms,
        after.kind,
        after.subject,
        after.condition,
    ):
        raise InvariantBroken(f"alert {before.alert_id}: an alert stays what it is")
    if after.lasts and not before.lasts:
        raise InvariantBroken(f"alert {before.alert_id}: what has ended never lasts again")
    if recovery is not None and (recovery.recovers != before.alert_id or recovery.condition):
        raise InvariantBroken(f"alert {before.alert_id}: {recovery.alert_id} is not the notice of its end")


def lasting_name(kind: str, subject: str) -> str:
    """What at most one lasting condition is stored under."""
    return f"{kind}:{subject}"


def lasts_as(alert: Alert) -> str | None:
    """As `lasting_name`; None if the alert is no condition, or has ended."""
    return lasting_name(alert.kind, alert.subject) if alert.lasts else None


def check_forgettable(order: Order) -> None:
    """Check that nobody ever paid the order.

    Raises:
        InvariantBroken: It had money, or a credit was drawn, or it is not abandoned.
    """
    payment = order.payment
    unpaid = payment is not None and payment.stage == "abandoned" and payment.arrival is None
    if not unpaid or any(credit.delivery is not None for credit in order.credits):
        raise InvariantBroken(f"order {order.order_id} ({order.state}): it may not be deleted, for it was paid")


def check_next(record_id: str, version: int, expected_version: int) -> None:
    """Check the new version of a machine or presence.

    Raises:
        InvariantBroken: It is not `expected_version` + 1.
    """
    if expected_version < 0 or version != expected_version + 1:
        raise InvariantBroken(f"{record_id}: version {version} cannot follow version {expected_version}")


def check_changes(presence: Presence, changes: tuple[StateChange, ...]) -> None:
    """Check that changes are those of the presence's machine, each at a time of its own.

    Raises:
        InvariantBroken: They are not.
    """
    times = {change.at_ms for change in changes if change.machine_id == presence.machine_id}
    if len(times) != len(changes):
        raise InvariantBroken(f"machine {presence.machine_id}: its changes are another's, or two are at one time")


def encode(record: Struct) -> bytes:
    """The record as JSON."""
    return _ENCODER.encode(record)


def order(record: bytes, order_id: str, forms: Forms) -> Order:
    """The order that is stored under `order_id`.

    Raises:
        InvariantBroken: The record cannot be read, is that of another order, or breaks a rule of an order's life.
        FormTooNew: The record's form is newer than this program.
    """
    found = forms.read(record, f"order {order_id}")
    if found.order_id != order_id:
        raise InvariantBroken(f"order {order_id}: the stored record is that of order {found.order_id}")
    check(found)
    return found


def booking(lines: tuple[Line, ...]) -> bytes:
    """The record of lines that are booked together."""
    return _ENCODER.encode(_Booking(lines))


def lines(record: bytes, order_id: str) -> list[Line]:
    """The lines in a record.

    Raises:
        InvariantBroken: The record cannot be read, or is that of another order.
    """
    found = _decoded(_BOOKING, record, f"the lines of order {order_id}").lines
    if any(line.order_id != order_id for line in found):
        raise InvariantBroken(f"order {order_id}: the stored lines are those of another order")
    return list(found)


def history_entry(record: bytes, order_id: str) -> HistoryEntry:
    """A line of an order's history.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_HISTORY, record, f"the history of order {order_id}")


def machine(record: bytes, machine_id: str) -> Machine:
    """A machine.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_MACHINE, record, f"machine {machine_id}")


def presence(record: bytes, machine_id: str) -> Presence:
    """A machine's presence.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_PRESENCE, record, f"the presence of machine {machine_id}")


def screen(record: bytes, machine_id: str) -> Screen:
    """What a machine's screen shows.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_SCREEN, record, f"the screen of machine {machine_id}")


def state_change(record: bytes, machine_id: str) -> StateChange:
    """A change of a machine's uptime.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_STATE_CHANGE, record, f"a change of machine {machine_id}")


def count(record: bytes, machine_id: str) -> Count:
    """What a machine's coin meter has counted of a train.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_COUNT, record, f"a count of machine {machine_id}")


def game_over(record: bytes, machine_id: str) -> GameOver:
    """A game over of a machine.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_GAME_OVER, record, f"a game over of machine {machine_id}")


def alert(record: bytes, alert_id: str) -> Alert:
    """An alert.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_ALERT, record, f"alert {alert_id}")


def unmatched_ack(record: bytes, credit_id: str) -> UnmatchedAck:
    """An ack for an unknown credit.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_UNMATCHED_ACK, record, f"the ack for the unknown credit {credit_id}")


def unclaimed(record: bytes, payment_intent: str) -> Unclaimed:
    """A payment that a person must decide about.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_UNCLAIMED, record, f"the unclaimed payment {payment_intent}")


def check_posting(before: Posting, after: Posting) -> None:
    """Check that a change keeps what a posting is.

    Raises:
        InvariantBroken: It does not.
    """
    if (before.endpoint_id, before.event_id, before.at_ms, before.body) != (
        after.endpoint_id,
        after.event_id,
        after.at_ms,
        after.body,
    ):
        raise InvariantBroken(f"event {before.event_id}: a posting stays what it is")


def endpoint(record: bytes, endpoint_id: str) -> Endpoint:
    """An endpoint of other software.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_ENDPOINT, record, f"endpoint {endpoint_id}")


def posting(record: bytes, event_id: str) -> Posting:
    """An event on its way to an endpoint.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_POSTING, record, f"the posting of event {event_id}")


def api_key(record: bytes, key_id: str) -> ApiKey:
    """An API key.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_API_KEY, record, f"API key {key_id}")


def day_report(record: bytes, day: str) -> DayReport:
    """What reconciling a day has found.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_DAY_REPORT, record, f"the report of {day}")


def webhooks(record: bytes) -> Webhooks:
    """What is known about webhooks.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_WEBHOOKS, record, "what is known about webhooks")


def receipt(record: bytes, what: str) -> Receipt:
    """A receipt.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_RECEIPT, record, f"the receipt of {what}")


def series(record: bytes, prefix: str) -> Series:
    """How far the numbers with a prefix have been given.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_SERIES, record, f"the series of receipts {prefix!r}")


def person(record: bytes, name: str) -> Person:
    """Somebody who may sign in.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_PERSON, record, f"person {name}")


def session(record: bytes) -> Session:
    """A sign-in.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_SESSION, record, "a session")


def tries(record: bytes) -> Tries:
    """A count of wrong sign-ins.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_TRIES, record, "a count of sign-ins")


def audit_entry(record: bytes, entry_id: str) -> AuditEntry:
    """An act in the audit log.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_AUDIT_ENTRY, record, f"audit entry {entry_id}")


def audit_outcome(record: bytes, entry_id: str) -> AuditOutcome:
    """How an act ended.

    Raises:
        InvariantBroken: The record cannot be read.
    """
    return _decoded(_AUDIT_OUTCOME, record, f"the outcome of audit entry {entry_id}")


def _decoded(decoder: msgspec.json.Decoder[_Record], record: bytes, what: str) -> _Record:
    try:
        return decoder.decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvariantBroken(f"{what}: the stored record cannot be read: {error}") from error
