"""How an order is shown: in a line, in a table, and as named fields for programs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.domain.game_overs import After
    from arcade_cloud.domain.order import HistoryEntry, Order


def moment(at_ms: int) -> str:
    """A time for people, as `order list --before` takes it: `2026-11-22 10:00:00.123Z`."""
    return format_ms(at_ms).replace("T", " ")


def columns() -> "Sequence[Column[Order]]":
    """A table of orders. The first six columns fit into eighty characters."""
    return (
        Column("CODE", lambda order: order.code),
        Column("TIME", lambda order: moment(order.created_at_ms)),
        Column("MACHINE", lambda order: order.machine_id),
        Column("STATE", lambda order: order.state),
        Column("CREDITS", _credits, right=True),
        Column("PRICE", _price, right=True),
        Column("ORDER", lambda order: order.order_id),
        Column("KEPT", what_is_kept),
    )


def line(order: "Order") -> str:
    """An order in one line, after something was done to it."""
    kept = what_is_kept(order)
    return (
        f"{order.order_id:<38} {moment(order.created_at_ms)}  {order.machine_id:<16} {order.state:<10} "
        f"{_credits(order)} credits  {_price(order)}{f', {kept}' if kept else ''}"
    )


def _credits(order: "Order") -> str:
    delivered = "-" if order.delivered is None else str(order.delivered)
    return f"{delivered}/{order.ordered}"


def _price(order: "Order") -> str:
    from arcade_cloud.domain.money import format_amount

    if order.payment is None:
        return "free"
    price = format_amount(order.amount_minor, order.currency)
    return price if order.tab is None else f"{format_amount(order.earned_minor, order.currency)} of {price}"


def what_is_kept(order: "Order") -> str:
    """What is kept of a payment where that is not all; empty if it is all, or not known yet."""
    from arcade_cloud.domain.money import format_amount

    books = order.books
    if order.payment is None:
        return ""
    if order.state in {"funded", "revoking"}:
        return "" if books.keep_at_most_minor is None else "a refund was asked for"
    if order.state not in {"resolved", "settled", "returning"} or books.target_minor == _due_minor(order):
        return ""
    kept = f"{format_amount(books.target_minor, order.currency)} kept"
    return kept if order.state == "settled" else f"{kept} once Stripe has done it"


def _due_minor(order: "Order") -> int:
    """What is kept of the order if nothing goes wrong."""
    return order.amount_minor if order.tab is None else order.earned_minor


def _tab_state(order: "Order") -> str:
    if order.is_open_tab:
        return "open"
    return "closed" if order.tab is not None and order.tab.closing is not None else "not open"


def _tab(order: "Order") -> dict[str, str]:
    """Of a tab: how it stands, and its plays."""
    from arcade_cloud.domain.money import format_amount

    if order.tab is None:
        return {}
    how, closing, ends_ms = _tab_state(order), order.tab.closing, order.tab.ends_at_ms
    if closing is not None:
        how += f" {moment(closing.at_ms)} ({closing.by})"
    elif order.is_open_tab and ends_ms is not None:
        how += f", until {moment(ends_ms)} at the latest"
    plays = {}
    for number, credit in enumerate(order.credits, 1):
        done = (
            "under way" if credit.resolution is None else f"{credit.resolution.delivered}/{credit.count} delivered"
        )
        given = " (given back)" if credit.goodwill_minor else ""
        plays[f"play {number}"] = (
            f"{credit.machine_id}, {done}, {format_amount(credit.price_minor, order.currency)}{given}"
        )
    return {"tab": how, **plays}


def facts(order: "Order") -> dict[str, str]:
    """What is known about one order, for people."""
    from arcade_cloud.domain.money import format_amount

    page = None if order.payment is None else order.payment.checkout
    amounts = {
        "kept at most": order.books.keep_at_most_minor,
        "given back out of goodwill": order.books.goodwill_minor,
        "lost": order.books.lost_minor,
        "owed to the player": order.books.owed_minor,
    }
    kept = what_is_kept(order)
    found = {
        "code": order.code,
        "state": order.state,
        "made": moment(order.created_at_ms),
        "machine": ", ".join(order.machine_ids),
        "credits": _credits(order),
        "price": f"{_price(order)}{f', {kept}' if kept else ''}",
        "payment": order.payment_intent or "-",
        "paid by": _paid_by(order) or "-",
        "checkout": "-" if page is None else page.session_id,
        "credit": " ".join(order.credit_ids) or "-",
        "uncertain": str(order.uncertain),
        "due": "-" if order.due_at_ms is None else moment(order.due_at_ms),
        **_tab(order),
        **{name: format_amount(amount, order.currency) for name, amount in amounts.items() if amount},
    }
    if order.payment is not None and order.state in {"resolved", "settled", "returning"}:
        word = "kept" if order.state == "settled" else "to keep"
        found[word] = format_amount(order.books.target_minor, order.currency)
    return found


def _paid_by(order: "Order") -> str:
    shown = None if order.payment is None else order.payment.shown
    if shown is None:
        return ""
    ends = None if shown.last4 is None else f"ends in {shown.last4}"
    return ", ".join(part for part in (shown.method, ends) if part)


def fields(order: "Order") -> Fields:
    """What is known about an order, for programs. Amounts are numbers in the currency's own units, as text."""
    from arcade_cloud.domain.money import plain_amount

    payment, books = order.payment, order.books
    page = None if payment is None else payment.checkout
    arrival = None if payment is None else payment.arrival

    def amount(minor: int | None) -> str | None:
        return None if payment is None or minor is None else plain_amount(minor, order.currency)

    is_decided = order.state in {"resolved", "settled", "returning"}
    return {
        "id": order.order_id,
        "code": order.code,
        "createdAt": format_ms(order.created_at_ms),
        "paidAt": None if arrival is None else format_ms(arrival.paid_at_ms),
        "kind": order.kind,
        "state": order.state,
        "tab": None if order.tab is None else _tab_state(order),
        "machines": list(order.machine_ids),
        "credits": order.ordered,
        "delivered": order.delivered,
        "uncertain": order.uncertain,
        "currency": order.currency.upper() or None,
        "amount": amount(order.amount_minor),
        "kept": amount(books.target_minor) if is_decided else None,
        "goodwill": amount(books.goodwill_minor),
        "lost": amount(books.lost_minor),
        "owed": amount(books.owed_minor),
        "last4": order.last4,
        "paymentIntent": order.payment_intent,
        "checkoutSession": None if page is None else page.session_id,
        "creditIds": list(order.credit_ids),
        "note": order.note or None,
    }


def overs(after: "Sequence[After]") -> dict[str, str]:
    """The game overs after each play, for people; nothing about machines that send none."""
    return {
        "game over" if len(after) == 1 else f"game over after play {one.number}": ", ".join(
            f"{moment(over.at_ms)}{'' if over.signed else ' (unsigned)'}" for over in one.game_overs
        )
        or "none before the next credits"
        for one in after
        if one.sends_any
    }


def over_fields(after: "After") -> Fields:
    """The game overs after a play, for programs."""
    return {
        "play": after.number,
        "machine": after.machine_id,
        "from": format_ms(after.from_ms),
        "until": format_ms(after.until_ms),
        "sendsAny": after.sends_any,
        "gameOvers": [
            {"at": format_ms(over.at_ms), "source": over.source or None, "signed": over.signed}
            for over in after.game_overs
        ],
    }


def entry_fields(entry: "HistoryEntry") -> Fields:
    """A line of an order's history, for programs."""
    return {
        "at": format_ms(entry.at_ms),
        "event": entry.event,
        "state": entry.state,
        "text": entry.text or None,
        "creditId": entry.credit_id,
    }
