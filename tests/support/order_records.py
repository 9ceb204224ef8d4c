"""Orders and steps for tests of stores: made by hand, and by hypothesis."""

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.money import Offer, Payment
from arcade_cloud.domain.order import (
    Arrival,
    Books,
    CheckoutPage,
    ClosedBy,
    Closing,
    Command,
    Credit,
    Delivery,
    Draw,
    HistoryEntry,
    Kind,
    Order,
    OrderPayment,
    Resolution,
    Revoking,
    Settlement,
    Stage,
    Tab,
)
from arcade_cloud.ports.store import Move
from support.orders import NOW_MS, an_order, changed, only_payment


def new_order(order_id: str, **fields: Any) -> Order:
    """An open order at version 1, due in a minute."""
    return an_order(order_id, **fields)


def next_version(order: Order, **fields: Any) -> Order:
    """The order one version later."""
    return changed(order, version=order.version + 1, **fields)


def funded(order: Order, payment_intent: str, credit_id: str | None = None) -> Order:
    """The order one version later, paid and perhaps published."""
    command = None
    if credit_id is not None:
        command = Command(credit_id=credit_id, installation="a" * 32, expires_at_ms=NOW_MS + 120_000)
    return next_version(
        order,
        stage="funded",
        payment_intent=payment_intent,
        arrival=Arrival(paid_at_ms=NOW_MS),
        drawn_at_ms=NOW_MS,
        command=command,
        due_at_ms=order.due_at_ms,
    )


def at_machines(order_id: str, *machine_ids: str, **fields: Any) -> Order:
    """An open order with a credit at each of these machines, in this order."""
    credits = tuple(
        Credit(
            machine_id=machine_id,
            count=1,
            price_minor=100,
            draw=Draw(token=f"token-{number}", at_ms=NOW_MS) if number else None,
        )
        for number, machine_id in enumerate(machine_ids)
    )
    order = new_order(order_id, amount_minor=100 * len(credits), **fields)
    return msgspec.structs.replace(order, credits=credits)


def a_tab(order_id: str, secret_hash: str, *, machine_id: str = "cab-01", **fields: Any) -> Order:
    """A tab of RM 20.00 that is not paid yet, at version 1."""
    order = new_order(order_id, amount_minor=2000, **fields)
    tab = Tab(machine_id=machine_id, secret_hash=secret_hash)
    return msgspec.structs.replace(order, kind="tab", credits=(), tab=tab)


def with_plays(order: Order, *credit_ids: str, under_way: str = "") -> Order:
    """The open tab one version later, with these credits at cab-02, cab-03, …; all but one are resolved."""
    done = Resolution(delivered=1, by="ack", at_ms=NOW_MS)
    plays = []
    for number, credit_id in enumerate(credit_ids):
        delivery = _delivery(credit_id)
        if credit_id != under_way:
            delivery = msgspec.structs.replace(delivery, due_at_ms=None, resolution=done)
        draw = Draw(token=f"token-{number}", at_ms=NOW_MS)
        plays.append(
            Credit(machine_id=f"cab-{number + 2:02}", count=1, price_minor=10, draw=draw, delivery=delivery)
        )
    payment = msgspec.structs.replace(
        only_payment(order),
        stage="funded",
        payment_intent=f"pi_{order.order_id}",
        arrival=Arrival(paid_at_ms=NOW_MS, held=True),
        due_at_ms=None,
    )
    assert order.tab is not None
    tab = msgspec.structs.replace(order.tab, ends_at_ms=NOW_MS + 1_000_000, due_at_ms=NOW_MS + 1_000)
    return msgspec.structs.replace(
        order, version=order.version + 1, payment=payment, credits=tuple(plays), tab=tab
    )


def published(order: Order, payment_intent: str, *credit_ids: str) -> Order:
    """The order one version later, paid, and each of its credits sent to its machine under its own id."""
    credits = tuple(
        msgspec.structs.replace(credit, delivery=_delivery(credit_id))
        for credit, credit_id in zip(order.credits, credit_ids, strict=True)
    )
    payment = msgspec.structs.replace(
        only_payment(order),
        stage="funded",
        payment_intent=payment_intent,
        arrival=Arrival(paid_at_ms=NOW_MS),
        due_at_ms=None,
    )
    return msgspec.structs.replace(order, version=order.version + 1, payment=payment, credits=credits)


def _delivery(credit_id: str) -> Delivery:
    command = Command(credit_id=credit_id, installation="a" * 32, expires_at_ms=NOW_MS + 120_000)
    return Delivery(drawn_at_ms=NOW_MS, due_at_ms=NOW_MS + 1_000, command=command)


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
    dispute=st.sampled_from(["none", "open", "won", "lost"]),
    paid_at_ms=_maybe_times,
    capture_before_ms=_maybe_times,
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
def credits_of(
    draw: st.DrawFn, number: int, *, free: bool, drawn: bool, resolved: bool, on_tab: bool = False
) -> Credit:
    """A credit that keeps the invariants, with whatever in the fields that have none."""
    count, delivery = draw(st.integers(1, 99)), None
    if drawn or resolved:
        command = st.builds(Command, credit_id=_names, installation=_names, expires_at_ms=_times)
        delivered = draw(st.integers(0, count))
        done = Resolution(delivered=delivered, by="ack", at_ms=draw(_times))
        delivery = Delivery(
            drawn_at_ms=draw(_times),
            due_at_ms=None if resolved else draw(_times),
            command=draw(st.none() | command),
            publishes=draw(st.integers(0, 99)),
            accepted=draw(st.booleans()),
            reported=draw(st.integers(0, 99)),
            uncertain=draw(st.integers(0, min(1, count - delivered))),
            revoking=draw(st.none() | st.builds(Revoking, since_ms=_times, sent=st.integers(0, 99))),
            resolution=done if resolved else None,
            late_report=draw(st.none() | st.integers(0, 99)) if resolved else None,
        )
    return Credit(
        machine_id=draw(_names),
        subscriber=draw(st.booleans()),
        count=count,
        price_minor=0 if free else draw(_amounts),
        ready_installation=draw(st.none() | _names),
        draw=None if number == 0 and not on_tab else Draw(token=f"{draw(_names)}-{number}", at_ms=draw(_times)),
        delivery=delivery,
    )


@st.composite
def tabs(draw: st.DrawFn, *, is_funded: bool, is_closed: bool) -> Tab:
    """A tab that keeps the invariants."""
    closing = st.builds(Closing, at_ms=_times, by=st.sampled_from(get_args(ClosedBy)))
    is_open = is_funded and not is_closed
    return Tab(
        machine_id=draw(_names),
        secret_hash=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
        hold_read_at_ms=draw(_maybe_times),
        ends_at_ms=draw(_times) if is_funded else None,
        closing=draw(closing) if is_funded and is_closed else None,
        due_at_ms=draw(_times) if is_open else None,
    )


@st.composite
def orders_at_version_1(draw: st.DrawFn, *, most_credits: int = 3) -> Order:
    """Orders in any state that keeps the invariants, of one or more credits at any machines."""
    stage: Stage = draw(st.sampled_from(get_args(Stage)))
    kind: Kind = draw(st.sampled_from(get_args(Kind)))
    drawn = kind == "grant" or stage == "funded"
    resolved = drawn and draw(st.booleans())
    on_tab = kind == "tab"
    credits = tuple(
        draw(
            credits_of(
                number,
                free=kind == "grant",
                drawn=drawn,
                resolved=resolved or (drawn and number > 0 and draw(st.booleans())),
                on_tab=on_tab,
            )
        )
        for number in range(0 if on_tab and not drawn else draw(st.integers(0 if on_tab else 1, most_credits)))
    )
    done = draw(st.booleans()) if resolved or (stage == "returning" and kind != "grant") else False
    payment = OrderPayment(
        amount_minor=sum(credit.price_minor for credit in credits) + (draw(_amounts) if on_tab else 0),
        currency=draw(st.sampled_from(["myr", "usd", "jpy"])),
        stage=stage,
        checkout=draw(st.none() | st.builds(CheckoutPage, session_id=_names, url=st.none() | texts)),
        payment_intent=None if stage == "open" else draw(_names),
        shown=draw(st.none() | payments),
        arrival=Arrival(paid_at_ms=draw(_times), held=draw(st.booleans())) if stage == "funded" else None,
        reads=draw(st.integers(0, 99)),
        due_at_ms=draw(_maybe_times),
    )
    order = Order(
        order_id="o-1",
        version=1,
        kind=kind,
        created_at_ms=draw(_times),
        note=draw(texts),
        payment=None if kind == "grant" else payment,
        credits=credits,
        tab=draw(tabs(is_funded=drawn, is_closed=done or (resolved and draw(st.booleans())))) if on_tab else None,
        settlement=Settlement(done=done, due_at_ms=draw(_times), key=draw(texts), serial=draw(st.integers(0, 99))),
    )
    target = draw(st.integers(0, order.earned_minor)) if resolved else 0
    books = Books(target_minor=target, keep_at_most_minor=draw(st.none() | _amounts))
    return msgspec.structs.replace(order, books=books)
