"""Turns Stripe's objects, as plain JSON, into our values (pure). The gateway and the webhook's route share it.

Stripe's times are in seconds; amounts are in minor units on both sides. All of it comes from the network, so
whatever does not have the documented shape raises `Unreadable`, and never another exception.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from arcade_cloud.domain.money import Dispute, Payment, PaymentStatus, SessionStatus
from arcade_cloud.ports.payments import Belongs, Checkout, Price

Json = Mapping[str, Any]

# Under this name the mark is in the metadata of our sessions and payment intents.
MARK = "arcade_mark"
# Under this name the mark of a capture is in the metadata of its payment intent.
CAPTURE_MARK = "arcade_capture"

# Stripe: "IDs … can be up to 255 characters"; metadata values up to 500.
MAX_ID_LENGTH = 255
_MAX_AMOUNT_MINOR = 10**12
_MAX_TIME_S = 1 << 40

# Such as `card`, `customer_balance`, `p24`.
_METHOD = re.compile(r"[a-z0-9_]{1,40}", re.ASCII)
_LAST4 = re.compile(r"[0-9]{4}", re.ASCII)
_STATUSES = frozenset(get_args(PaymentStatus))
_SESSION_STATUSES = frozenset(get_args(SessionStatus))
# A refund that is under way counts as money given back, and so does one whose status is null: nothing says that it
# failed. One that failed or was cancelled does not.
_REFUND_COUNTS = frozenset({"succeeded", "pending", "requires_action"})
_REFUND_FAILED = frozenset({"failed", "canceled"})
_DISPUTE_WON = frozenset({"won", "warning_closed"})


class Unreadable(ValueError):
    """An object does not have the documented shape. The text names the field."""


def payment_from(
    intent: Json,
    refunds: Sequence[Json] | None = None,
    disputes: Sequence[Json] = (),
    *,
    paid_at_ms: int | None = None,
) -> Payment:
    """Read a payment intent, with or without `latest_charge` expanded.

    Args:
        refunds: All refunds of the charge. None: those in the expanded charge, if any.
        disputes: All disputes of the charge.
        paid_at_ms: When it was paid, if the charge is not expanded.
    """
    payment_intent = required_id(intent, "id")
    status = _word(intent, "status")
    if status not in _STATUSES:
        raise Unreadable(f"payment intent {payment_intent}: unknown status {status!r}")
    charge = intent.get("latest_charge")
    capture_before_ms = method = last4 = None
    if isinstance(charge, Mapping):
        paid_at_ms = time_ms(charge, "created") if charge.get("status") == "succeeded" else None
        capture_before_ms = hold_ends_ms(charge)
        method, last4 = _method(charge), _last4(charge)
        if refunds is None:
            refunds = listed(charge, "refunds")
    refunded, failed = 0, 0
    for refund in refunds or ():
        refund_status = _word(refund, "status")
        if refund_status in _REFUND_COUNTS or refund.get("status") is None:
            refunded += _amount(refund, "amount")
        elif refund_status in _REFUND_FAILED:
            failed += 1
        else:
            raise Unreadable(f"payment intent {payment_intent}: a refund is {refund_status!r}")
    return Payment(
        payment_intent=payment_intent,
        status=cast(PaymentStatus, status),
        amount_minor=_amount(intent, "amount"),
        currency=currency(intent),
        received_minor=_amount(intent, "amount_received"),
        capturable_minor=_amount(intent, "amount_capturable"),
        refunded_minor=refunded,
        refunds_failed=failed,
        dispute=dispute_from(disputes),
        lost_minor=_lost_minor(disputes),
        paid_at_ms=paid_at_ms,
        capture_before_ms=capture_before_ms,
        capture_mark=optional_id(metadata_of(intent), CAPTURE_MARK),
        method=method,
        last4=last4,
    )


def belongs_from(thing: Json) -> Belongs:
    """To what a Checkout Session, charge, refund or dispute belongs."""
    return Belongs(
        payment_intent=reference(thing, "payment_intent"), order_id=optional_id(thing, "client_reference_id")
    )


def dispute_from(disputes: Sequence[Json]) -> Dispute:
    """Summarise the disputes of one charge: open if one is open, else lost if one was lost.

    `prevented` (settled with the bank before it became a chargeback) counts as lost if money left with it. A
    status that Stripe may add counts as open, so that nothing is refunded twice and a person looks.
    """
    found = {_verdict(dispute) for dispute in disputes}
    order: tuple[Dispute, ...] = ("open", "lost", "won")
    return next((verdict for verdict in order if verdict in found), "none")


def _verdict(dispute: Json) -> Dispute:
    status = _word(dispute, "status")
    if status in _DISPUTE_WON:
        return "won"
    if status == "lost":
        return "lost"
    if status == "prevented":
        return "lost" if _moved_minor(dispute) < 0 else "won"
    return "open"


def _lost_minor(disputes: Sequence[Json]) -> int | None:
    """What lost disputes took: each names its own amount, which may be a part of the charge."""
    lost = [_amount(dispute, "amount") for dispute in disputes if _verdict(dispute) == "lost"]
    return sum(lost) if lost else None


def _moved_minor(dispute: Json) -> int:
    """The sum of a dispute's entries in our balance: negative while it has taken money away."""
    entries = dispute.get("balance_transactions")
    if not isinstance(entries, list):
        return 0
    amounts = [entry.get("amount") for entry in entries if isinstance(entry, Mapping)]
    return sum(amount for amount in amounts if isinstance(amount, int))


def checkout_from(session: Json, payment: Payment | None, line_items: Sequence[Json] | None = None) -> Checkout:
    """Read a Checkout Session. `line_items`: all of them; None if they were not read."""
    status = _word(session, "status")
    if status not in _SESSION_STATUSES:
        raise Unreadable(f"checkout session: unknown status {status!r}")
    url = session.get("url")
    return Checkout(
        session_id=required_id(session, "id"),
        url=url if isinstance(url, str) else None,
        status=cast(SessionStatus, status),
        expires_at_ms=time_ms(session, "expires_at"),
        payment=payment,
        price_ids=None if line_items is None else _price_ids(line_items),
    )


def _price_ids(line_items: Sequence[Json]) -> dict[str, int]:
    quantities: dict[str, int] = {}
    for item in line_items:
        price, quantity = item.get("price"), item.get("quantity")
        if not isinstance(price, Mapping) or not isinstance(quantity, int) or quantity < 1:
            raise Unreadable("checkout session: a line item without a price or quantity")
        price_id = required_id(price, "id")
        quantities[price_id] = quantities.get(price_id, 0) + quantity
    return quantities


def price_from(price: Json) -> Price:
    """Read a price that can be an offer: active, one-time, fixed. The text of Unreadable says what to change."""
    price_id = required_id(price, "id")
    if price.get("active") is not True:
        raise Unreadable(f"price {price_id} is not active: choose another one, or activate it at Stripe")
    if price.get("type") != "one_time":
        raise Unreadable(f"price {price_id} is a subscription: choose a one-time price")
    amount = price.get("unit_amount")
    if (
        not isinstance(amount, int)
        or price.get("billing_scheme", "per_unit") != "per_unit"
        or price.get("transform_quantity") is not None
    ):
        raise Unreadable(f"price {price_id} has no fixed amount: choose one with a fixed price per piece")
    product = price.get("product")
    label = price.get("nickname") or (product.get("name") if isinstance(product, Mapping) else None)
    return Price(
        price_id=price_id,
        amount_minor=_amount(price, "unit_amount"),
        currency=currency(price),
        label=label if isinstance(label, str) else "",
    )


def listed(thing: Json, name: str) -> Sequence[Json]:
    """The objects in an embedded list; none if there is no list."""
    found = thing.get(name)
    members = found.get("data") if isinstance(found, Mapping) else None
    if not isinstance(members, list):
        return ()
    if not all(isinstance(member, Mapping) for member in members):
        raise Unreadable(f"{name}: not a list of objects")
    return members


def has_more(thing: Json, name: str) -> bool:
    """Whether an embedded list is incomplete."""
    found = thing.get(name)
    return isinstance(found, Mapping) and found.get("has_more") is True


def page_from(page: Json) -> tuple[Sequence[Json], str | None]:
    """The objects of one page, newest first, and the id after which the next page begins (None: no more)."""
    if not isinstance(page.get("data"), list):
        raise Unreadable("data: not a list")  # an empty list would mean that nothing has happened
    found = listed({"page": page}, "page")
    for thing in found:
        required_id(thing, "id")
    more = bool(found) and page.get("has_more") is True
    return found, required_id(found[-1], "id") if more else None


def reference(thing: Json, name: str) -> str | None:
    """The id in a field that holds an id, an expanded object or nothing."""
    found = thing.get(name)
    if found is None:
        return None
    return required_id(found, "id") if isinstance(found, Mapping) else required_id(thing, name)


def required_id(thing: Json, name: str) -> str:
    """The id in a field that must hold one: ASCII, at most 255 characters, no spaces."""
    found = thing.get(name)
    if not _is_id(found):
        raise Unreadable(f"{name}: not an id")
    return cast(str, found)


def optional_id(thing: Json, name: str) -> str | None:
    """The text of a field that others may also fill: None unless it could be one of our ids."""
    found = thing.get(name)
    return cast(str, found) if _is_id(found) else None


def optional_amount(thing: Json, name: str) -> int | None:
    """An amount of an object that may be somebody else's: None unless it is one."""
    try:
        return _amount(thing, name) if name in thing else None
    except Unreadable:
        return None


def optional_currency(thing: Json) -> str | None:
    """The currency of an object that may be somebody else's: None unless it is one."""
    try:
        return currency(thing)
    except Unreadable:
        return None


def as_written(thing: Json, name: str) -> str | None:
    """The text of a field that people fill in, as far as it can be shown; None if there is none."""
    found = thing.get(name)
    if not isinstance(found, str):
        return None
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in found[:MAX_ID_LENGTH]) or None


def metadata_of(thing: Json) -> Json:
    """The metadata, which others may also fill; empty if there are none."""
    metadata = thing.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def created_ms(thing: Json) -> int:
    """When the object was created, epoch milliseconds."""
    return time_ms(thing, "created")


def _word(thing: Json, name: str) -> str:
    """The beginning of a text, to compare with known words; "" for anything else."""
    found = thing.get(name)
    return found[:40] if isinstance(found, str) else ""


def _is_id(found: object) -> bool:
    return (
        isinstance(found, str)
        and 0 < len(found) <= MAX_ID_LENGTH
        and found.isascii()
        and found.isprintable()
        and " " not in found
    )


def _amount(thing: Json, name: str) -> int:
    found = signed_amount(thing, name) if name in thing else 0
    if found < 0:
        raise Unreadable(f"{name}: not an amount")
    return found


def signed_amount(thing: Json, name: str) -> int:
    """An amount that must be there; negative where money leaves."""
    found = thing.get(name)
    if isinstance(found, bool) or not isinstance(found, int) or abs(found) > _MAX_AMOUNT_MINOR:
        raise Unreadable(f"{name}: not an amount")
    return found


def time_ms(thing: Json, name: str) -> int:
    """A time, epoch milliseconds."""
    found = thing.get(name)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _MAX_TIME_S:
        raise Unreadable(f"{name}: not a time")
    return found * 1000


def currency(thing: Json) -> str:
    """The currency of an object that must have one."""
    found = thing.get("currency")
    if not isinstance(found, str) or len(found) != 3 or not found.isascii() or not found.isalpha():
        raise Unreadable("currency: not a currency")
    return found.lower()


def _method(charge: Json) -> str | None:
    """What the charge was paid by. A word that no report could show counts as not known."""
    details = charge.get("payment_method_details")
    found = details.get("type") if isinstance(details, Mapping) else None
    return found if isinstance(found, str) and _METHOD.fullmatch(found) else None


def _last4(charge: Json) -> str | None:
    """The last four digits of the card or account. Whatever else stands there is none."""
    found = _method_details(charge).get("last4")
    return found if isinstance(found, str) and _LAST4.fullmatch(found) else None


def hold_ends_ms(charge: Json) -> int | None:
    """When the hold of a card ends, or would have ended; None if it was charged at once."""
    method = _method_details(charge)
    return None if method.get("capture_before") is None else time_ms(method, "capture_before")


def _method_details(charge: Json) -> Json:
    """What the charge says of the card or account that it was paid with; empty if it says nothing."""
    details = charge.get("payment_method_details")
    kind = details.get("type") if isinstance(details, Mapping) else None
    method = details.get(kind) if isinstance(details, Mapping) and isinstance(kind, str) else None
    return method if isinstance(method, Mapping) else {}
