"""Orders of one credit for tests, made and changed by the fields of their parts."""

from typing import Any

import msgspec
from msgspec import Struct

from arcade_cloud.domain.order import (
    Books,
    CheckoutPage,
    Command,
    Credit,
    Delivery,
    Order,
    OrderPayment,
    Settlement,
)

NOW_MS = 1_790_000_000_000
PAGE = CheckoutPage(session_id="cs_1")


def _part(kind: type[Struct], fields: dict[str, Any]) -> dict[str, Any]:
    """Takes out of `fields` what is this part's."""
    return {name: fields.pop(name) for name in kind.__struct_fields__ if name in fields}


def an_order(order_id: str = "ord_1", *, due_at_ms: int | None = NOW_MS + 60_000, **fields: Any) -> Order:
    """Three credits for 3.00 of cab-01, at version 1: open, if nothing else is said.

    `fields` are those of the order or of one of its parts; `due_at_ms` goes to the part that waits for it. The
    price of the credit is that of the order.
    """
    amount_minor = fields.pop("amount_minor", 300)
    values: dict[str, Any] = {
        "version": 1,
        "created_at_ms": NOW_MS,
        "payment": OrderPayment(amount_minor=amount_minor, currency="myr"),
        "credits": (Credit(machine_id="cab-01", count=3, price_minor=amount_minor),),
    }
    values |= _part(Order, fields)
    if values.get("kind") == "grant":
        values["payment"] = None
    return changed(Order(order_id=order_id, **values), due_at_ms=due_at_ms, **fields)


def changed(order: Order, **fields: Any) -> Order:
    """The order with other fields, its own or its parts'. Those of a delivery make one, if there was none."""
    (credit,) = order.credits
    due = {"due_at_ms": fields.pop("due_at_ms")} if "due_at_ms" in fields else {}
    of_order = _part(Order, {name: fields.pop(name) for name in list(fields) if name in Order.__struct_fields__})
    payment, books, settlement = of_order.pop("payment", order.payment), order.books, order.settlement
    credit = of_order.pop("credits", (credit,))[0]
    if payment is not None:
        payment = msgspec.structs.replace(payment, **_part(OrderPayment, fields))
    books = msgspec.structs.replace(of_order.pop("books", books), **_part(Books, fields))
    settlement = msgspec.structs.replace(of_order.pop("settlement", settlement), **_part(Settlement, fields))
    credit = msgspec.structs.replace(credit, **_part(Credit, fields))
    delivery = credit.delivery
    if of_delivery := _part(Delivery, fields):
        before = msgspec.structs.asdict(delivery) if delivery is not None else {"due_at_ms": None}
        delivery = Delivery(**{**before, **of_delivery})
    if fields:
        raise TypeError(f"no part of an order has {', '.join(fields)}")
    if due:  # one part waits, and no other
        payment = payment if payment is None else msgspec.structs.replace(payment, due_at_ms=None)
        delivery = delivery if delivery is None else msgspec.structs.replace(delivery, due_at_ms=None)
        settlement = msgspec.structs.replace(settlement, due_at_ms=None)
        if settlement.done or (payment is not None and payment.stage in {"open", "abandoned"}):
            payment = payment if payment is None else msgspec.structs.replace(payment, **due)
        elif delivery is not None and delivery.resolution is None:
            delivery = msgspec.structs.replace(delivery, **due)
        else:
            settlement = msgspec.structs.replace(settlement, **due)
    credit = msgspec.structs.replace(credit, delivery=delivery)
    return msgspec.structs.replace(
        order, payment=payment, credits=(credit,), books=books, settlement=settlement, **of_order
    )


def only_credit(order: Order) -> Credit:
    """The one credit that an ordinary order has."""
    (credit,) = order.credits
    return credit


def only_payment(order: Order) -> OrderPayment:
    """The payment of an order that is not free."""
    assert order.payment is not None
    return order.payment


def session_of(order: Order) -> str:
    """The Checkout Session at which it is paid."""
    page = only_payment(order).checkout
    assert page is not None
    return page.session_id


def only_delivery(order: Order) -> Delivery:
    """The delivery of an order that was paid."""
    delivery = only_credit(order).delivery
    assert delivery is not None
    return delivery


def only_command(order: Order) -> Command:
    """What the machine was told."""
    command = only_delivery(order).command
    assert command is not None
    return command


def resolved_by(order: Order) -> str:
    """How it was resolved; empty until it is."""
    done = only_credit(order).resolution
    return "" if done is None else done.by
