"""Turns Stripe's balance transactions and payouts, as plain JSON, into our values (pure).

Categories: docs.stripe.com/reports/reporting-categories.
"""

from collections.abc import Mapping

from arcade_cloud.adapters.stripe.objects import (
    MARK,
    Json,
    Unreadable,
    as_written,
    created_ms,
    currency,
    hold_ends_ms,
    metadata_of,
    optional_amount,
    optional_id,
    page_from,
    reference,
    required_id,
    signed_amount,
    time_ms,
)
from arcade_cloud.domain.balance import Entry, Payout, What
from arcade_cloud.domain.ownership import Ours

# Under this name the idempotency key is in the metadata of our refunds.
REFUND_KEY = "arcade_key"

_WHAT: dict[str, What] = {
    "charge": "charge",
    "charge_failure": "capture reversed",
    "partial_capture_reversal": "capture reversed",
    "refund": "refund",
    "refund_failure": "refund failed",
    "dispute": "dispute",
    "dispute_reversal": "dispute won",
    "fee": "fee",
    "payout": "payout",
    "payout_reversal": "payout",
}


def entries_from(page: Json) -> tuple[list[Entry], str | None]:
    """The entries of one page, newest first, and the id after which the next page begins (None: no more)."""
    found, after = page_from(page)
    return [entry_from(thing) for thing in found], after


def payouts_from(page: Json) -> tuple[list[Payout], str | None]:
    """The payouts of one page, as `entries_from`."""
    found, after = page_from(page)
    return [payout_from(thing) for thing in found], after


def entry_from(thing: Json) -> Entry:
    """Read a balance transaction whose source is expanded."""
    what = _WHAT.get(_text(thing, "reporting_category"), "other")
    amount, fee = signed_amount(thing, "amount"), signed_amount(thing, "fee")
    if what == "fee":  # all of it is
        amount, fee = 0, fee - amount
    source = thing.get("source")
    about: Json = source if isinstance(source, Mapping) else {}
    is_charge = about.get("object") == "charge"
    metadata = metadata_of(about)
    return Entry(
        entry_id=required_id(thing, "id"),
        what=what,
        amount_minor=amount,
        fee_minor=fee,
        currency=currency(thing),
        created_ms=created_ms(thing),
        source=reference(thing, "source") or "",
        payment_intent=reference(about, "payment_intent"),
        claims=_claims(about, metadata) if is_charge else None,
        mark=optional_id(metadata, MARK) if is_charge else None,
        was_held=is_charge and hold_ends_ms(about) is not None,
        key=optional_id(metadata, REFUND_KEY) or "",
        text=as_written(thing, "description") or "",
    )


def _claims(charge: Json, metadata: Json) -> Ours | None:
    """What a charge says that it is for. Stripe has copied the metadata from its payment intent."""
    order_id, machine_id, site = (optional_id(metadata, name) for name in ("order_id", "machine_id", "site"))
    amount = optional_amount(charge, "amount")
    if order_id is None or machine_id is None or site is None or amount is None:
        return None
    return Ours(
        order_id=order_id, amount_minor=amount, currency=currency(charge), machine_id=machine_id, site=site
    )


def payout_from(thing: Json) -> Payout:
    """Read a payout."""
    status = _text(thing, "status")
    if not status:
        raise Unreadable("status: not a payout's")
    return Payout(
        payout_id=required_id(thing, "id"),
        amount_minor=signed_amount(thing, "amount"),
        currency=currency(thing),
        status=status,
        created_ms=created_ms(thing),
        arrives_ms=time_ms(thing, "arrival_date"),
        failure=as_written(thing, "failure_message") or "",
        is_listed=_text(thing, "reconciliation_status") == "completed",
    )


def _text(thing: Json, name: str) -> str:
    found = thing.get(name)
    return found[:40] if isinstance(found, str) else ""
