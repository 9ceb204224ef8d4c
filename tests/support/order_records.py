"""Orders and steps for tests of stores: made by hand, and by hypothesis."""

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from arcade_cloud.domain.money import Offer, Payment
from arcade_cloud.domain.order import Alert, HistoryEntry, Order, State
from arcade_cloud.ports.store import Move

NOW_MS = 1_790_000_000_000


def new_order(order_id: str, **fields: Any) -> Order:
    """An open order at version 1, due in a minute."""
    values: dict[str, Any] = {
        "order_id": order_id,
        "version": 1,
        "machine_id": "cab-01",
        "credits": 3,
        "amount_minor": 300,
        "currency": "myr",
        "created_at_ms": NOW_MS,
        "due_at_ms": NOW_MS + 60_000,
    }
    return Order(**{**values, **fields})


def next_version(order: Order, **fields: Any) -> Order:
    """The order one version later."""
    return msgspec.structs.replace(order, version=order.version + 1, **fields)


def funded(order: Order, payment_intent: str, credit_id: str | None = None) -> Order:
    """The order one version later, paid and perhaps published."""
    published: dict[str, Any] = {}
    if credit_id is not None:
        published = {"credit_id": credit_id, "installation": "a" * 32, "expires_at_ms": NOW_MS + 120_000}
    return next_version(order, state="funded", payment_intent=payment_intent, paid_at_ms=NOW_MS, **published)


def step(order: Order, *, seen: str | None = None, alerts: tuple[Alert, ...] = (), text: str = "") -> Move:
    """The step that leads to this version of the order."""
    entry = HistoryEntry(
        order_id=order.order_id,
        version=order.version,
        at_ms=NOW_MS + order.version,
        event="test",
        state=order.state,
        text=text,
    )
    return Move(order=order, expected_version=order.version - 1, history=entry, alerts=alerts, seen=seen)


def an_alert(alert_id: str, at_ms: int = NOW_MS) -> Alert:
    """An alert."""
    return Alert(alert_id=alert_id, kind="test", text=f"about {alert_id}", subject="cab-01", at_ms=at_ms)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_amounts = st.integers(0, 10**9)
_times = st.integers(0, 1 << 45)
_maybe_times = st.none() | _times
_names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=40)

payments = st.builds(
    Payment,
    payment_intent=_names,
    status=st.sampled_from(["requires_capture", "succeeded", "canceled", "processing"]),
    amount_minor=_amounts,
    currency=st.sampled_from(["myr", "usd", "jpy"]),
    received_minor=_amounts,
    capturable_minor=_amounts,
    refunded_minor=_amounts,
    refunds=st.integers(0, 99),
    dispute=st.sampled_from(["none", "open", "won", "lost"]),
    paid_at_ms=_maybe_times,
    capture_before_ms=_maybe_times,
    order_id=st.none() | texts,
)

offers = st.builds(
    Offer,
    offer_id=_names,
    credits=st.integers(1, 99),
    amount_minor=_amounts,
    currency=st.sampled_from(["myr", "usd", "jpy"]),
    price_id=st.none() | _names,
    label=texts,
)


@st.composite
def orders_at_version_1(draw: st.DrawFn) -> Order:
    """Orders in any state that keeps the invariants, with whatever in the fields that have none."""
    credits = draw(st.integers(1, 99))
    amount = draw(_amounts)
    state: State = draw(st.sampled_from(get_args(State)))
    fields: dict[str, Any] = {"due_at_ms": draw(_maybe_times)}
    if state not in ("open", "abandoned"):
        fields |= {"paid_at_ms": draw(_times), "payment_intent": None, "due_at_ms": draw(_times)}
        fields |= {"revoking_since_ms": draw(_times)}
        if draw(st.booleans()):
            fields |= {"credit_id": None, "installation": draw(_names)}
        fields |= {"kind": "grant"}
    if state in ("resolved", "settled"):
        delivered = draw(st.integers(0, credits))
        fields |= {"delivered": delivered, "uncertain": draw(st.integers(0, min(1, credits - delivered)))}
        fields |= {"target_minor": draw(st.integers(0, amount * delivered // credits))}
    return Order(
        order_id="o-1",
        version=1,
        state=state,
        machine_id=draw(_names),
        credits=credits,
        amount_minor=amount,
        currency=draw(st.sampled_from(["myr", "usd", "jpy"])),
        created_at_ms=draw(_times),
        note=draw(texts),
        payment=draw(st.none() | payments),
        checkout_url=draw(st.none() | texts),
        held=draw(st.booleans()),
        reported=draw(st.integers(0, 99)),
        **fields,
    )
