"""Stripe's events: verified by signature, age and shape, and turned into reports (pure).

`verify` says whether the bytes are an event from Stripe; `interpret` says what it is about. Events come twice,
late and in any order, so no event is assumed to be news: the caller compares it with what is on record.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from arcade_cloud.adapters.stripe.objects import (
    MARK,
    Json,
    Unreadable,
    as_written,
    created_ms,
    metadata_of,
    optional_amount,
    optional_currency,
    optional_id,
    payment_from,
    reference,
    required_id,
)
from arcade_cloud.domain.money import Payment
from arcade_cloud.errors import BadWebhook
from arcade_cloud.ports.payments import MAX_EVENT_BYTES, Report, ReportKind

logger = logging.getLogger(__name__)

# As in Stripe's own libraries. Stripe signs every repetition again.
TOLERANCE_S = 300
# A timestamp and some signatures of 70 characters each. There are several while a secret is being rolled.
MAX_HEADER_LENGTH = 2048

_TIMESTAMP = re.compile(r"t=([0-9]{1,12})\Z")

_KINDS: dict[str, ReportKind] = {
    "checkout.session.completed": "payment",
    "checkout.session.async_payment_succeeded": "payment",
    "checkout.session.async_payment_failed": "checkout_ended",
    "checkout.session.expired": "checkout_ended",
    "payment_intent.amount_capturable_updated": "payment",
    "payment_intent.succeeded": "payment",
    "payment_intent.canceled": "changed",
    "payment_intent.payment_failed": "changed",
    "payment_intent.processing": "changed",
    "charge.refunded": "changed",
    "refund.created": "changed",
    "refund.updated": "changed",
    "refund.failed": "changed",
    "charge.dispute.created": "changed",
    "charge.dispute.updated": "changed",
    "charge.dispute.closed": "changed",
    "charge.dispute.funds_withdrawn": "changed",
    "charge.dispute.funds_reinstated": "changed",
}
# The events that a webhook endpoint at Stripe must be subscribed to.
EVENT_TYPES = tuple(_KINDS)


def verify(body: bytes, signature_header: str | None, secrets: Sequence[str], now_s: int) -> dict[str, Any]:
    """Verify a webhook's body: it must be signed with one of `secrets`, within `TOLERANCE_S` of now.

    Returns:
        The event.

    Raises:
        BadWebhook: It is not such an event. The text contains neither a secret nor the body.
    """
    from stripe import SignatureVerificationError, WebhookSignature  # 70 ms that other routes need not pay

    if len(body) > MAX_EVENT_BYTES:
        raise BadWebhook(f"the body has more than {MAX_EVENT_BYTES} bytes")
    timestamp_s = _timestamp_s(signature_header)
    if abs(now_s - timestamp_s) > TOLERANCE_S:
        raise BadWebhook(f"signed {abs(now_s - timestamp_s)} s away from this host's time: check its clock")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadWebhook("the body is not UTF-8") from error
    for secret in secrets:
        try:
            WebhookSignature.verify_header(text, signature_header, secret)
        except SignatureVerificationError:
            continue
        return _event(text)
    raise BadWebhook("no signature fits: is STRIPE_WEBHOOK_SECRET the secret of this endpoint?")


def _timestamp_s(header: str | None) -> int:
    # The library parses the header in the same way. Whatever would make it fail is refused here first.
    if not header:
        raise BadWebhook("the header Stripe-Signature is missing")
    if len(header) > MAX_HEADER_LENGTH or not header.isascii():
        raise BadWebhook("the header Stripe-Signature is malformed")
    found = next((item for item in header.split(",") if item.startswith("t=")), "")
    timestamp = _TIMESTAMP.match(found)
    if timestamp is None:
        raise BadWebhook("the header Stripe-Signature has no timestamp")
    return int(timestamp[1])


def _event(text: str) -> dict[str, Any]:
    try:
        event = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadWebhook("the body is not JSON") from error
    if not isinstance(event, dict):
        raise BadWebhook("the body is not a JSON object")
    return event


def reader(secrets: Sequence[str], now_ms: Callable[[], int]) -> Callable[[bytes, str], Report]:
    """Make the function that verifies and interprets webhooks.

    Returns:
        A function from a webhook's body and signature to its report. It raises BadWebhook if the
        webhook cannot be verified or read.
    """

    def read(body: bytes, signature: str) -> Report:
        return interpret(verify(body, signature, secrets, now_ms() // 1000))

    return read


def interpret(event: Mapping[str, Any]) -> Report:
    """What a verified event is about.

    Raises:
        BadWebhook: The event does not have the shape that Stripe documents.
    """
    try:
        return _interpret(event)
    except Unreadable as error:
        raise BadWebhook(f"not an event from Stripe: {error}") from error


def reports_of(events: Iterable[Mapping[str, Any]]) -> Iterator[Report]:
    """What listed events are about. An event without the shape that Stripe documents is skipped and logged."""
    for event in events:
        try:
            yield interpret(event)
        except BadWebhook as error:
            logger.warning("an event in Stripe's list is skipped: %s", error)


def _interpret(event: Json) -> Report:
    event_id, what = required_id(event, "id"), required_id(event, "type")
    kind = _KINDS.get(what, "ignored")
    if kind == "ignored":
        return Report(event_id=event_id, kind=kind, what=what)
    data = event.get("data")
    subject = data.get("object") if isinstance(data, Mapping) else None
    if not isinstance(subject, Mapping):
        raise Unreadable("data.object: not an object")
    at_ms = created_ms(event)
    is_session, is_intent = what.startswith("checkout."), what.startswith("payment_intent.")
    if is_session and subject.get("mode") != "payment":
        return Report(event_id=event_id, kind="ignored", what=what, created_ms=at_ms)
    if is_intent and kind == "payment" and subject.get("status") not in ("requires_capture", "succeeded"):
        kind = "changed"
    ours = metadata_of(subject)
    return Report(
        event_id=event_id,
        kind=kind,
        what=what,
        created_ms=at_ms,
        order_id=optional_id(ours, "order_id"),
        machine_id=as_written(ours, "machine_id"),
        site=optional_id(ours, "site"),
        mark=optional_id(ours, MARK),
        amount_minor=_asked_for(subject, is_session=is_session, is_intent=is_intent),
        currency=optional_currency(subject),
        payment_intent=required_id(subject, "id") if is_intent else reference(subject, "payment_intent"),
        session_id=required_id(subject, "id") if is_session else None,
        client_reference_id=as_written(subject, "client_reference_id") if is_session else None,
        payment=_payment_beyond_doubt(what, subject, at_ms),
        by_link=is_session and subject.get("payment_link") is not None,
        is_delivered=event.get("pending_webhooks") == 0,
        is_live=_is_live(event),
        account=as_written(event, "account"),
    )


def _is_live(event: Json) -> bool | None:
    found = event.get("livemode")
    return found if isinstance(found, bool) else None


def _asked_for(subject: Json, *, is_session: bool, is_intent: bool) -> int | None:
    if is_session:
        return optional_amount(subject, "amount_total")
    return optional_amount(subject, "amount") if is_intent else None


def _payment_beyond_doubt(what: str, subject: Json, at_ms: int) -> Payment | None:
    """The payment that the event shows, on the conditions in `Report`."""
    is_hold = what == "payment_intent.amount_capturable_updated" and subject.get("status") == "requires_capture"
    return payment_from(subject, paid_at_ms=at_ms) if is_hold else None
