"""What an operator's refund comes to, for each state in which an order may be."""

import msgspec
import pytest

from arcade_cloud.domain.events import RefundAsked
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.domain.refunds import RefundPlan, RefundWish, can_refund, plan
from arcade_cloud.errors import BadRequest
from support.lives import Life, new_order, paid
from support.orders import NOW_MS, an_order


def settled(delivered: int = 3, *, amount_minor: int = 1000, currency: str = "myr") -> Order:
    """Three credits, paid and settled."""
    payment = paid(amount_minor=amount_minor, currency=currency)
    life = Life(new_order(amount_minor=amount_minor, currency=currency)).resolved(delivered, payment)
    life.read(msgspec.structs.replace(payment, refunded_minor=amount_minor - life.order.earned_minor))
    assert life.order.state == "settled"
    return life.order


def under_way(keep_minor: int | None = None) -> Order:
    """Three credits for RM 3.00, on their way to the machine; perhaps a refund was asked for."""
    life = Life().funded(paid())
    if keep_minor is not None:
        life.on(RefundAsked("kim", "a complaint", keep_minor))
        assert life.order.state == "revoking"
    return life.order


def figures(found: RefundPlan) -> tuple[int, int, int]:
    return found.kept_minor, found.keep_minor, found.back_minor


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (RefundWish(), (666, 0, 666)),
        (RefundWish(keep="5.00"), (666, 500, 166)),
        (RefundWish(amount="6.66"), (666, 0, 666)),
        (RefundWish(amount="0.01"), (666, 665, 1)),
        (RefundWish(credits=1), (666, 333, 333)),
        (RefundWish(credits=2), (666, 0, 666)),
    ],
)
def test_of_an_order_that_was_delivered_in_part_only_what_is_kept_goes_back(
    wish: RefundWish, expected: tuple[int, int, int]
) -> None:
    found = plan(settled(2), wish)
    assert figures(found) == expected
    assert not found.is_delivering


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (RefundWish(amount="6.67"), "no more than RM 6.66"),
        (RefundWish(credits=3), "1 to 2, for 2 were delivered"),
        (RefundWish(keep="6.66"), "nothing to give back .* RM 6.66 are kept"),
    ],
)
def test_and_no_more_than_that(wish: RefundWish, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        plan(settled(2), wish)


@pytest.mark.parametrize("keep_minor", [None, 200])
def test_of_an_order_under_way_the_price_or_the_earlier_refund_is_the_most(keep_minor: int | None) -> None:
    found = plan(under_way(keep_minor), RefundWish(amount="0.50"))
    most = 300 if keep_minor is None else keep_minor
    assert figures(found) == (most, most - 50, 50)
    assert found.is_delivering
    with pytest.raises(BadRequest, match="nothing to give back"):
        plan(under_way(keep_minor), RefundWish(keep=f"{most // 100}.00"))
    with pytest.raises(BadRequest, match="1 to 3, for 3 were ordered"):
        plan(under_way(keep_minor), RefundWish(credits=4))


@pytest.mark.parametrize(
    "wish",
    [
        RefundWish(keep="1.00", amount="1.00"),
        RefundWish(keep="1.00", credits=1),
        RefundWish(keep="1", amount="2", credits=3),
    ],
)
def test_only_one_way_to_say_it_at_once(wish: RefundWish) -> None:
    with pytest.raises(BadRequest, match="only one of them"):
        plan(settled(), wish)


def test_free_credits_can_be_stopped_and_no_money_goes_back() -> None:
    grant = new_order(kind="grant", amount_minor=0, drawn_at_ms=NOW_MS, due_at_ms=NOW_MS)
    assert grant.state == "funded"
    assert plan(grant, RefundWish()).is_delivering
    for wish in (RefundWish(keep="1.00"), RefundWish(amount="1.00"), RefundWish(credits=1)):
        with pytest.raises(BadRequest, match="no money goes back"):
            plan(grant, wish)


def test_credits_of_several_prices_are_no_measure() -> None:
    credits = tuple(Credit(machine_id=f"cab-0{n}", count=3, price_minor=n * 100) for n in (1, 2))
    several = msgspec.structs.replace(an_order("ord_1", amount_minor=300), credits=credits)
    with pytest.raises(BadRequest, match="name an amount"):
        plan(several, RefundWish(credits=1))


def test_what_version_0_1_has_kept_beside_the_steps_of_a_currency_is_rounded_for_the_player() -> None:
    order = settled(3, currency="kwd")
    order = msgspec.structs.replace(order, books=msgspec.structs.replace(order.books, target_minor=666))
    assert figures(plan(order, RefundWish(amount="0.100"))) == (666, 560, 106)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (new_order(), "nobody has paid yet"),
        (settled(0), "RM 0.00 are kept of it"),
    ],
)
def test_where_nothing_is_kept_it_says_why_nothing_goes_back(order: Order, why: str) -> None:
    for wish in (RefundWish(), RefundWish(keep="0.00")):
        with pytest.raises(BadRequest, match=f"nothing to give back of order ord_1: {why}"):
            plan(order, wish)


@pytest.mark.parametrize(
    ("order", "keep_minor", "can"),
    [
        (settled(), 999, True),
        (settled(), 1000, False),
        (settled(), -1, True),
        (settled(0), 0, False),
        (settled(0), -1, False),
        (new_order(), 0, False),
        (under_way(), 300, True),
        (under_way(200), 300, True),
    ],
)
def test_money_can_be_given_back_while_more_would_be_kept_or_a_machine_may_pulse(
    order: Order, keep_minor: int, can: bool
) -> None:
    assert can_refund(order, keep_minor) is can
