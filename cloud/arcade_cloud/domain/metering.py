"""What a machine's coin meter has counted of each train, beside what was pulsed (pure).

It is booked with the step that takes in a credit's final report, in the same transaction, so a page adds up what
is booked and reads no orders. A train whose report changes nothing about its order, because that was closed
before without it, is not booked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo

from msgspec import Struct

from arcade_cloud.domain.books import day_of
from arcade_cloud.domain.events import Acked, Event
from arcade_cloud.domain.order import Credit, Order
from arcade_shared.cabinet import pulsed_in
from arcade_shared.messages import Ack


class Count(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One train.

    Attributes:
        at_ms: When the cloud heard of it, epoch milliseconds.
        pulsed: How many credits were pulsed.
        registered: How many the meter counted meanwhile; coins that somebody threw in are among them.
    """

    machine_id: str
    at_ms: int
    order_id: str
    credit_id: str
    pulsed: int
    registered: int

    @property
    def difference(self) -> int:
        """What the meter counted more than was pulsed; negative: less."""
        return self.registered - self.pulsed


def counts(before: Order, after: Order, event: Event, at_ms: int) -> tuple[Count, ...]:
    """What is booked when an event has made `after` of `before`: the train of a final report that was believed."""
    if not isinstance(event, Acked) or not event.ack.final:
        return ()
    ack, pulsed, registered = event.ack, _pulsed(event.ack), event.ack.registered
    if registered is None or not pulsed + registered:
        return ()
    for old, new in zip(before.credits, after.credits, strict=True):
        if new.command is not None and new.command.credit_id == ack.credit_id and _is_taken_in(old, new):
            count = Count(
                machine_id=new.machine_id,
                at_ms=at_ms,
                order_id=after.order_id,
                credit_id=ack.credit_id,
                pulsed=pulsed,
                registered=registered,
            )
            return (count,)
    return ()


def test_text(test: Order, found: Iterable[Count]) -> str:
    """What has become of a test pulse, in words.

    Args:
        found: What the machine's coin meter has counted, this train perhaps among it.
    """
    delivered = test.delivered
    if delivered is None:
        return "on its way"
    count = next((count for count in found if count.order_id == test.order_id), None)
    text = f"delivered {delivered}"
    if count is not None:
        text += f", the meter registered {count.registered}"
    elif delivered:
        text += "; no meter has counted it: look at the machine's credits"
    return text if delivered else f"{text} ({test.note})"


def _is_taken_in(old: Credit, new: Credit) -> bool:
    """Whether the report resolved the credit, or is the first one of a credit that was resolved without it.

    A Pi whose card has forgotten what it said may report a train once more, and otherwise.
    """
    if old.delivery is None or new.delivery is None or new.resolution is None:
        return False
    if old.resolution is None or old.resolution.by == "ack":
        return old.resolution is None and new.resolution.by == "ack"
    return old.delivery.late_report is None and new.delivery.late_report is not None


def _pulsed(ack: Ack) -> int:
    """Where only what is registered counts as delivered, the reason tells how many were pulsed."""
    told = pulsed_in(ack.reason)
    return told if told is not None and ack.delivered <= told <= ack.credits else ack.delivered


@dataclass(frozen=True, slots=True)
class CountedDay:
    """The trains of a machine on one day, and those of them on which meter and pulses disagree, newest first."""

    day: date
    trains: int
    pulsed: int
    registered: int
    differing: tuple[Count, ...]

    @property
    def difference(self) -> int:
        """What the meter counted more than was pulsed; negative: less."""
        return self.registered - self.pulsed


def by_day(found: Iterable[Count], zone: tzinfo) -> tuple[CountedDay, ...]:
    """The days on which there are trains, newest first."""
    days: dict[str, list[Count]] = {}
    for count in found:
        days.setdefault(day_of(count.at_ms, zone), []).append(count)
    return tuple(_day(day, days[day]) for day in sorted(days, reverse=True))


def _day(day: str, found: Sequence[Count]) -> CountedDay:
    return CountedDay(
        date.fromisoformat(day),
        len(found),
        sum(count.pulsed for count in found),
        sum(count.registered for count in found),
        tuple(sorted((c for c in found if c.difference), key=lambda count: count.at_ms, reverse=True)),
    )
