"""The first form of an order's record: one flat object, for one payment and one credit (pure).

It is read as long as such records exist, and written until the store is upgraded to a later form.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from arcade_cloud.domain.money import Dispute, Payment, PaymentStatus
from arcade_cloud.domain.order import (
    Arrival,
    Books,
    CheckoutPage,
    Command,
    Credit,
    Delivery,
    Order,
    OrderPayment,
    Resolution,
    ResolvedBy,
    Revoking,
    Sending,
    Settlement,
    Stage,
    State,
)
from arcade_cloud.errors import InvariantBroken


class FlatPayment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payment intent as it was last read.

    Version 0.1 wrote the number of refunds into `refunds` and an id into `order_id`, and never read them. A
    negative `refunds` is what lost disputes took. Version 0.1 takes all for lost then, as it would by itself. An
    `order_id` such as `last4=4242` has the last four digits of the card.
    """

    payment_intent: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    received_minor: int = 0
    capturable_minor: int = 0
    refunded_minor: int = 0
    refunds: int = 0
    refunds_failed: int = 0
    dispute: Dispute = "none"
    paid_at_ms: int | None = None
    capture_before_ms: int | None = None
    order_id: str | None = None


class FlatOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order of one credit, as version 0.1 stored it. `money_gone` was never read by anything."""

    order_id: str
    version: int = 0
    kind: Literal["checkout", "link", "grant", "stray"] = "checkout"
    state: State = "open"
    machine_id: str
    subscriber: bool = False
    credits: int
    amount_minor: int
    currency: str
    created_at_ms: int
    due_at_ms: int | None = None
    note: str = ""  # why it is where it is, for people

    # Stripe's side
    session_id: str | None = None
    checkout_url: str | None = None
    checkout_expires_at_ms: int | None = None
    payment_intent: str | None = None
    payment: FlatPayment | None = None
    paid_at_ms: int | None = None
    held: bool = False
    capture_before_ms: int | None = None
    money_gone: bool = False  # the hold ended, or money went back, without our doing
    recheck: bool = False  # something changed at Stripe: read it back at the next chance
    reads: int = 0  # reads of an open order in a row, for the backoff

    # the credit: made at the first publish, and for no other installation than was ready when it was ordered
    credit_id: str | None = None
    installation: str | None = None  # None: a payment by a static link is for whoever is heard then
    expires_at_ms: int | None = None
    publishes: int = 0
    last_outcome: Sending = ""

    # what the machine reported
    accepted: bool = False
    reported: int = 0  # delivered so far, by acks that were not final
    uncertain: int = 0
    delivered: int | None = None  # k: fixed when the order is resolved
    resolved_by: ResolvedBy | Literal[""] = ""
    late_word: int | None = None  # what a final ack said after the order had been resolved without it

    # revoking
    revoking_since_ms: int | None = None
    revokes: int = 0
    revoke_confirmed_at_ms: int | None = None  # the first that the broker confirmed
    last_revoke_confirmed_at_ms: int | None = None

    # money back and money kept
    target_minor: int = 0
    keep_at_most_minor: int | None = None  # asked for by the operator before it was known what was delivered
    goodwill_minor: int = 0  # given back although delivered: booked apart
    lost_minor: int = 0  # due to the operator, and not to be had
    owed_minor: int = 0  # due to the player, and Stripe cannot give it back: to be paid by hand
    whole_capture: bool = False  # Stripe refused a partial capture: capture all, refund the rest
    settle_key: str = ""  # the idempotency key of the latest attempt
    settle_at_ms: int | None = None  # when it was last made, or done: what was read before counts no more
    settle_over: bool = False  # it is not under way any more: Stripe has done it
    serial: int = 0  # the key's last part; a new one only when no older attempt can do harm
    serial_at_ms: int | None = None  # since when that serial has been in use
    refunds_seen_failed: int = 0
    settle_attempts: int = 0
    resolved_at_ms: int | None = None
    settled_at_ms: int | None = None


# What stands before the last four digits of a card, where version 0.1 wrote an id.
_LAST4 = "last4="
_DECODER = msgspec.json.Decoder(FlatOrder)
_ENCODER = msgspec.json.Encoder()


def read(record: bytes) -> Order:
    """The order in a record of this form.

    Raises:
        msgspec.MsgspecError: The record is not JSON, or does not have this form.
        UnicodeDecodeError: The record is not UTF-8.
        RecursionError: The record is nested too deeply.
        InvariantBroken: The record's fields contradict each other.
    """
    return unflattened(_DECODER.decode(record))


def write(order: Order) -> bytes:
    """The record of an order in this form.

    Raises:
        InvariantBroken: The order does not have exactly one credit, or that credit is not the whole order.
    """
    return _ENCODER.encode(flattened(order))


# --- to this form ----------------------------------------------------------------------------------------


def flattened(order: Order) -> FlatOrder:
    """The order as one flat record.

    Raises:
        InvariantBroken: The order does not have exactly one credit, or that credit is not the whole order.
    """
    if order.kind == "tab":
        raise InvariantBroken(f"order {order.order_id}: form 1 holds no tab; run `arcade-cloud store upgrade`")
    if len(order.credits) != 1:
        raise InvariantBroken(f"order {order.order_id}: form 1 holds one credit, not {len(order.credits)}")
    (credit,) = order.credits
    if credit.draw is not None or credit.price_minor != order.amount_minor:
        raise InvariantBroken(f"order {order.order_id}: form 1 holds a credit that is the whole order")
    books, settlement = order.books, order.settlement
    return FlatOrder(
        order_id=order.order_id,
        version=order.version,
        kind="stray" if order.kind == "unmatched" else order.kind,
        state=order.state,
        machine_id=credit.machine_id,
        subscriber=credit.subscriber,
        credits=credit.count,
        created_at_ms=order.created_at_ms,
        due_at_ms=order.due_at_ms,
        note=order.note,
        keep_at_most_minor=books.keep_at_most_minor,
        target_minor=books.target_minor,
        goodwill_minor=books.goodwill_minor,
        lost_minor=books.lost_minor,
        owed_minor=books.owed_minor,
        whole_capture=settlement.whole_capture,
        settle_key=settlement.key,
        settle_at_ms=settlement.key_at_ms,
        settle_over=settlement.key_over,
        serial=settlement.serial,
        serial_at_ms=settlement.serial_at_ms,
        refunds_seen_failed=settlement.refunds_seen_failed,
        settle_attempts=settlement.attempts,
        settled_at_ms=settlement.settled_at_ms,
        **(_flat_payment(order.payment) | _flat_delivery(credit)),
    )


def _flat_payment(payment: OrderPayment | None) -> dict[str, Any]:
    if payment is None:
        return {"amount_minor": 0, "currency": ""}
    page, arrival = payment.checkout, payment.arrival
    fields: dict[str, Any] = {
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "payment_intent": payment.payment_intent,
        "payment": None if payment.shown is None else _flat_shown(payment.shown),
        "recheck": payment.recheck,
        "reads": payment.reads,
    }
    if page is not None:
        fields |= {
            "session_id": page.session_id,
            "checkout_url": page.url,
            "checkout_expires_at_ms": page.expires_at_ms,
        }
    if arrival is not None:
        fields |= {
            "paid_at_ms": arrival.paid_at_ms,
            "held": arrival.held,
            "capture_before_ms": arrival.capture_before_ms,
        }
    return fields


def _flat_shown(shown: Payment) -> FlatPayment:
    fields = {
        name: getattr(shown, name) for name in Payment.__struct_fields__ if name in FlatPayment.__struct_fields__
    }
    last4 = None if shown.last4 is None else f"{_LAST4}{shown.last4}"
    return FlatPayment(**fields, refunds=-(shown.lost_minor or 0), order_id=last4)


def _flat_delivery(credit: Credit) -> dict[str, Any]:
    delivery = credit.delivery
    if delivery is None:
        return {"installation": credit.ready_installation}
    command, revoking, done = delivery.command, delivery.revoking, delivery.resolution
    fields: dict[str, Any] = {
        "installation": credit.ready_installation if command is None else command.installation,
        "paid_at_ms": delivery.drawn_at_ms,  # the same moment, for an order's only credit
        "publishes": delivery.publishes,
        "last_outcome": delivery.last_sent,
        "accepted": delivery.accepted,
        "reported": delivery.reported,
        "uncertain": delivery.uncertain,
        "late_word": delivery.late_report,
    }
    if command is not None:
        fields |= {"credit_id": command.credit_id, "expires_at_ms": command.expires_at_ms}
    if revoking is not None:
        fields |= {
            "revoking_since_ms": revoking.since_ms,
            "revokes": revoking.sent,
            "revoke_confirmed_at_ms": revoking.first_confirmed_at_ms,
            "last_revoke_confirmed_at_ms": revoking.last_confirmed_at_ms,
        }
    if done is not None:
        fields |= {"delivered": done.delivered, "resolved_by": done.by, "resolved_at_ms": done.at_ms}
    return fields


# --- from this form --------------------------------------------------------------------------------------


def unflattened(flat: FlatOrder) -> Order:
    """The order of a flat record.

    State and due time follow from the parts of the order. So the order is accepted only if it would be written as
    the same record again.

    Raises:
        InvariantBroken: The record's fields contradict each other.
    """
    order = _order(flat)
    if flattened(order) != _without_unread(flat):
        raise InvariantBroken(f"order {flat.order_id} ({flat.state}): its fields contradict each other")
    return order


def _without_unread(flat: FlatOrder) -> FlatOrder:
    """The record without the fields that nothing ever read."""
    shown = flat.payment
    if shown is not None:
        last4 = None if _last4(shown) is None else shown.order_id
        shown = msgspec.structs.replace(shown, refunds=min(0, shown.refunds), order_id=last4)
    return msgspec.structs.replace(flat, money_gone=False, payment=shown)


def _order(flat: FlatOrder) -> Order:
    payment = None if flat.kind == "grant" else _payment(flat)
    is_drawn = payment is None or payment.stage == "funded"
    return Order(
        order_id=flat.order_id,
        version=flat.version,
        kind="unmatched" if flat.kind == "stray" else flat.kind,
        created_at_ms=flat.created_at_ms,
        note=flat.note,
        payment=payment,
        credits=(
            Credit(
                machine_id=flat.machine_id,
                subscriber=flat.subscriber,
                count=flat.credits,
                price_minor=flat.amount_minor,
                # A subscriber machine has none, although its command has an empty one.
                ready_installation=flat.installation or None,
                delivery=_delivery(flat) if is_drawn else None,
            ),
        ),
        books=Books(
            target_minor=flat.target_minor,
            keep_at_most_minor=flat.keep_at_most_minor,
            goodwill_minor=flat.goodwill_minor,
            lost_minor=flat.lost_minor,
            owed_minor=flat.owed_minor,
        ),
        settlement=Settlement(
            done=flat.state == "settled",
            attempts=flat.settle_attempts,
            due_at_ms=flat.due_at_ms if flat.state in {"resolved", "returning"} else None,
            whole_capture=flat.whole_capture,
            key=flat.settle_key,
            key_at_ms=flat.settle_at_ms,
            key_over=flat.settle_over,
            serial=flat.serial,
            serial_at_ms=flat.serial_at_ms,
            refunds_seen_failed=flat.refunds_seen_failed,
            settled_at_ms=flat.settled_at_ms,
        ),
    )


def _payment(flat: FlatOrder) -> OrderPayment:
    stage: Stage
    match flat.state:
        case "open" | "abandoned" | "returning":
            stage = flat.state
        case "settled" if flat.delivered is None:  # given back without a delivery
            stage = "returning"
        case _:
            stage = "funded"
    page = arrival = None
    if flat.session_id is not None:
        page = CheckoutPage(
            session_id=flat.session_id, url=flat.checkout_url, expires_at_ms=flat.checkout_expires_at_ms
        )
    if flat.paid_at_ms is not None:
        arrival = Arrival(paid_at_ms=flat.paid_at_ms, held=flat.held, capture_before_ms=flat.capture_before_ms)
    return OrderPayment(
        amount_minor=flat.amount_minor,
        currency=flat.currency,
        stage=stage,
        checkout=page,
        payment_intent=flat.payment_intent,
        shown=None if flat.payment is None else _shown(flat.payment),
        arrival=arrival,
        recheck=flat.recheck,
        reads=flat.reads,
        due_at_ms=flat.due_at_ms if flat.state in {"open", "abandoned", "settled"} else None,
    )


def _shown(flat: FlatPayment) -> Payment:
    fields = msgspec.structs.asdict(flat)
    known = {name: fields[name] for name in Payment.__struct_fields__ if name in fields}
    return Payment(**known, lost_minor=-flat.refunds if flat.refunds < 0 else None, last4=_last4(flat))


def _last4(flat: FlatPayment) -> str | None:
    """The last four digits of the card; None if the record has none, or an id of version 0.1's in their place."""
    text = flat.order_id or ""
    digits = text.removeprefix(_LAST4)
    return digits if text != digits and len(digits) == 4 and digits.isascii() and digits.isdecimal() else None


def _delivery(flat: FlatOrder) -> Delivery:
    if flat.paid_at_ms is None:
        raise InvariantBroken(f"order {flat.order_id} ({flat.state}): delivered for without a payment")
    command = revoking = done = None
    if flat.credit_id is not None:
        if flat.installation is None or flat.expires_at_ms is None:
            raise InvariantBroken(f"order {flat.order_id} ({flat.state}): a credit without address or expiry")
        command = Command(
            credit_id=flat.credit_id, installation=flat.installation, expires_at_ms=flat.expires_at_ms
        )
    if flat.revoking_since_ms is not None:
        revoking = Revoking(
            since_ms=flat.revoking_since_ms,
            sent=flat.revokes,
            first_confirmed_at_ms=flat.revoke_confirmed_at_ms,
            last_confirmed_at_ms=flat.last_revoke_confirmed_at_ms,
        )
    if flat.delivered is not None:
        done = _resolution(flat, flat.delivered)
    return Delivery(
        drawn_at_ms=flat.paid_at_ms,
        due_at_ms=flat.due_at_ms if flat.state in {"funded", "revoking"} else None,
        command=command,
        publishes=flat.publishes,
        last_sent=flat.last_outcome,
        accepted=flat.accepted,
        reported=flat.reported,
        uncertain=flat.uncertain,
        revoking=revoking,
        resolution=done,
        late_report=flat.late_word,
    )


def _resolution(flat: FlatOrder, delivered: int) -> Resolution:
    if flat.resolved_by == "" or flat.resolved_at_ms is None:
        raise InvariantBroken(f"order {flat.order_id} ({flat.state}): it does not say how or when it was resolved")
    return Resolution(delivered=delivered, by=flat.resolved_by, at_ms=flat.resolved_at_ms)
