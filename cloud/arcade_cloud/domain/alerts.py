"""Alerts: what a person must look at (pure)."""

from typing import Literal

from msgspec import Struct

# docs/ORDER_LIFE.md says what to do about each.
AlertKind = Literal[
    "discrepancy",
    "dispute",
    "given_up",
    "impossible_ack",
    "loss",
    "owed",
    "refund_failed",
    "settle_refused",
    "settle_slow",
    "stuck",
    "taken_over",
    "two_installations",
    "unconfirmed",
    "undecided",
    "unmatched_ack",
    "unmatched_payment",
    "unreadable",
    "unreconciled",
    "wrong_installation",
    "wrong_machine",
    "wrong_payment",
]


class Alert(Struct, frozen=True, kw_only=True):
    """Something that a person must look at. An alert raised twice has one id, so it is stored once.

    Attributes:
        kind: An `AlertKind`, or a kind of an earlier version.
        subject: The order, machine or service that it is about.
    """

    alert_id: str
    kind: str
    text: str
    subject: str
    at_ms: int


def alert(kind: AlertKind, subject: str, text: str, at_ms: int, *which: str, about: str | None = None) -> Alert:
    """Make an alert of this kind.

    Args:
        which: Tells several alerts of one kind and subject apart. Empty texts are ignored.
        about: What is alerted once, if that is not the subject.
    """
    alert_id = ":".join((kind, subject if about is None else about, *filter(None, which)))
    return Alert(alert_id=alert_id, kind=kind, text=text, subject=subject, at_ms=at_ms)
