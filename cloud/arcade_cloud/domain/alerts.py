"""Alerts: what a person must look at, and how one is made (pure)."""

from typing import Literal

from msgspec import Struct

# What each one wants of a person is in docs/ORDER_LIFE.md.
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
    """Something that a person must look at. The id makes the same alert the same record.

    `subject` is the order, the machine or the service that it is about. `kind` is an AlertKind, or what an earlier
    version called one.
    """

    alert_id: str
    kind: str
    text: str
    subject: str
    at_ms: int


def alert(kind: AlertKind, subject: str, text: str, at_ms: int, *which: str, about: str | None = None) -> Alert:
    """The alert of this kind: one for each subject, or for each `which` of it (empty texts do not count).

    `about`: what there is one alert for, where that is not the subject.
    """
    alert_id = ":".join((kind, subject if about is None else about, *filter(None, which)))
    return Alert(alert_id=alert_id, kind=kind, text=text, subject=subject, at_ms=at_ms)
