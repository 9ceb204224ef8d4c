"""Alerts: what a person must look at, and their life (pure).

There are two natures. An *event* happened once, and stands until a person acknowledges it. A *condition* lasts: it
begins once, whoever notices it, and ends by itself; when it comes back, that is another alert. Each begin and each
end is posted once. The end is posted as an alert of its own, the recovery, which nobody has to acknowledge.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from arcade_shared.times import format_ms

# What happens once. docs/ORDER_LIFE.md says what to do about each.
AlertKind = Literal[
    "discrepancy",
    "dispute",
    "event_given_up",
    "given_up",
    "guessing",
    "impossible_ack",
    "loss",
    "meter",
    "owed",
    "player_claim",
    "refund_failed",
    "settle_refused",
    "settle_slow",
    "stuck",
    "two_installations",
    "unclaimed",
    "unconfirmed",
    "undecided",
    "unknown_capture",
    "unmatched_ack",
    "unmatched_payment",
    "unreadable",
    "unreconciled",
    "untrusted_proxy",
    "wrong_endpoint",
    "wrong_installation",
    "wrong_machine",
    "wrong_payment",
]
# What lasts until it ends.
ConditionKind = Literal[
    "alert_receiver",
    "books_differ",
    "books_unread",
    "broker",
    "clock_off",
    "deaf",
    "endpoint_failing",
    "machine_silent",
    "signature_refused",
    "taken_over",
    "unsellable",
    "webhook_refused",
]


class Alert(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a person must look at. An alert raised twice has one id, so it is stored once.

    Attributes:
        kind: An `AlertKind` or `ConditionKind`, or a kind of an earlier version.
        subject: The order, machine or service that it is about.
        condition: Whether it is a condition, which lasts until `ended_at_ms`.
        noticed_at_ms: When a condition was last noticed again, if it was. Not every time is recorded.
        recovers: The id of the condition whose end this tells; empty if it tells of none.
        told: The receivers that have it, while others have not.
        machine_id: The machine of the order that it is about, where that is the subject and has one machine.
    """

    alert_id: str
    kind: str
    text: str
    subject: str
    at_ms: int
    condition: bool = False
    ended_at_ms: int | None = None
    noticed_at_ms: int | None = None
    acknowledged_at_ms: int | None = None
    acknowledged_by: str = ""
    recovers: str = ""
    told: tuple[str, ...] = ()
    machine_id: str = ""

    @property
    def about(self) -> str:
        """The machine that it is about, as far as it is about one, or else its subject."""
        return self.machine_id or self.subject

    @property
    def lasts(self) -> bool:
        """Whether it is a condition that has not ended."""
        return self.condition and self.ended_at_ms is None

    @property
    def last_noticed_ms(self) -> int:
        """When it was raised or, for a condition, last noticed."""
        return self.at_ms if self.noticed_at_ms is None else self.noticed_at_ms

    @property
    def is_standing(self) -> bool:
        """Whether it still lasts or waits for a person."""
        return self.lasts or (self.acknowledged_at_ms is None and not self.recovers)


def alert(kind: AlertKind, subject: str, text: str, at_ms: int, *which: str, about: str | None = None) -> Alert:
    """Make an alert of something that happened.

    Args:
        which: Tells several alerts of one kind and subject apart. Empty texts are ignored.
        about: What is alerted once, if that is not the subject.
    """
    alert_id = ":".join((kind, subject if about is None else about, *filter(None, which)))
    return Alert(alert_id=alert_id, kind=kind, text=text, subject=subject, at_ms=at_ms)


def condition(kind: ConditionKind, subject: str, text: str, at_ms: int) -> Alert:
    """Make the alert of a condition that begins at that time."""
    alert_id = f"{kind}:{subject}:{format_ms(at_ms)}"
    return Alert(alert_id=alert_id, kind=kind, text=text, subject=subject, at_ms=at_ms, condition=True)


def noticed(lasting: Alert, at_ms: int) -> Alert:
    """The condition after it was noticed again."""
    return msgspec.structs.replace(lasting, noticed_at_ms=at_ms)


def ended(begun: Alert, at_ms: int) -> Alert:
    """The condition once it has ended. It ends no earlier than it began, whatever the clocks say."""
    return msgspec.structs.replace(begun, ended_at_ms=max(at_ms, begun.at_ms))


def recovery(over: Alert, text: str) -> Alert:
    """The notice that a condition has ended."""
    return Alert(
        alert_id=f"{over.alert_id}:ended",
        kind=over.kind,
        text=text,
        subject=over.subject,
        at_ms=over.at_ms if over.ended_at_ms is None else over.ended_at_ms,
        recovers=over.alert_id,
    )


def acknowledged(seen: Alert, by: str, at_ms: int) -> Alert:
    """The alert once somebody has acknowledged it. The first acknowledgement stays."""
    if seen.acknowledged_at_ms is not None:
        return seen
    return msgspec.structs.replace(seen, acknowledged_at_ms=at_ms, acknowledged_by=by)


def of_order(raised: Iterable[Alert], order_id: str, machine_ids: Sequence[str]) -> tuple[Alert, ...]:
    """The alerts of an order's step. Those that are about the order name its machine, if there is one only."""
    machine_id = machine_ids[0] if len(machine_ids) == 1 else ""
    return tuple(
        msgspec.structs.replace(one, machine_id=machine_id) if one.subject == order_id else one for one in raised
    )


def grouped(alerts: Iterable[Alert]) -> list[tuple[Alert, ...]]:
    """The alerts, those of one kind about one machine (or whatever else) together, as the first of each came."""
    found: dict[tuple[str, str], list[Alert]] = {}
    for one in alerts:
        found.setdefault((one.kind, one.about), []).append(one)
    return [tuple(group) for group in found.values()]
