"""What is known about Stripe's webhooks: when one was last accepted, and how many were refused since (pure)."""

import msgspec
from msgspec import Struct


class Webhooks(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Refused are those with a header like Stripe's that could not be taken for one of its events.

    Anybody can send such requests, so their number alone proves nothing.

    Attributes:
        accepted_at_ms: When the last one was accepted, or up to a minute earlier.
        refused: How many were refused since.
        why: Why the last one was refused.
    """

    accepted_at_ms: int | None = None
    refused: int = 0
    refused_since_ms: int | None = None
    refused_at_ms: int | None = None
    why: str = ""


def accepted(before: Webhooks, at_ms: int) -> Webhooks:
    """After one was accepted. Notes that come late change nothing."""
    if before.accepted_at_ms is not None and before.accepted_at_ms >= at_ms:
        return before
    return Webhooks(accepted_at_ms=at_ms)


def refused(before: Webhooks, count: int, at_ms: int, why: str) -> Webhooks:
    """After so many were refused, the last one at that time. Notes that come late change nothing."""
    if before.accepted_at_ms is not None and before.accepted_at_ms > at_ms:
        return before
    return msgspec.structs.replace(
        before,
        refused=before.refused + count,
        refused_since_ms=at_ms if before.refused_since_ms is None else before.refused_since_ms,
        refused_at_ms=at_ms,
        why=why,
    )
