"""What became of other shops' payments is read from Stripe's books: who moved their money, and what was told."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from arcade_sandbox.stripe.sandbox import StripeSandbox
from chaos.findings import foreign_payments, own_payments
from chaos.shops import KEYS, Ledger, Page
from chaos.verdict import Evidence, Foreign, Sold, check
from support.sandbox_account import SandboxAccount
from support.shops import DECLINED, KINDS, LINK_KINDS, TAKEN, link, looks_ours, misspelt, sale
from support.stripe_side import stripe_client

OURS, THEIRS = "ours: an order", "theirs: nothing"
# What the cloud's calls look like.
OUR_KEY = "refund:ord_1:0"


@pytest.fixture
def sandbox() -> Iterator[StripeSandbox]:
    with StripeSandbox() as sandbox:
        yield sandbox


def sold(sandbox: StripeSandbox, method: str, *, held: bool = False) -> tuple[str, Ledger]:
    account = SandboxAccount(sandbox)
    session_id = account.visit_shop(held=held)
    return account.pay(session_id, method), Ledger(sold={session_id: OURS})


ACTS = {
    "refund.created": lambda api, intent, key: api.refunds.create({"payment_intent": intent}, key),
    "charge.captured": lambda api, intent, key: api.payment_intents.capture(intent, {}, key),
    "payment_intent.canceled": lambda api, intent, key: api.payment_intents.cancel(intent, {}, key),
}


@pytest.mark.parametrize(("event", "key"), [(event, key) for event in ACTS for key in (OUR_KEY, f"{KEYS}1-1")])
def test_whose_call_moved_a_payment_is_read_from_stripes_own_events(
    sandbox: StripeSandbox, event: str, key: str
) -> None:
    intent, ledger = sold(sandbox, "card", held=event != "refund.created")
    api: Any = stripe_client(sandbox.base_url).v1
    ACTS[event](api, intent, {"idempotency_key": key})
    (seen,) = foreign_payments(sandbox, ledger)
    assert seen.moved == ((event,) if key == OUR_KEY else ())


def test_a_call_without_a_key_is_not_the_shops(sandbox: StripeSandbox) -> None:
    intent, ledger = sold(sandbox, "fpx")
    sandbox.refund(intent, 4_000)
    (seen,) = foreign_payments(sandbox, ledger)
    assert (seen.moved, seen.left_minor) == (("refund.created",), 900)
    _, ledger = sold(sandbox, "card", held=True)
    assert [seen.left_minor for seen in foreign_payments(sandbox, ledger)] == [4_900]


def test_only_money_that_is_there_and_was_told_of_is_news(sandbox: StripeSandbox) -> None:
    def is_news(ledger: Ledger) -> bool:
        (seen,) = foreign_payments(sandbox, ledger)
        return seen.is_news

    for method, held in (("card", True), ("card", False), ("grabpay", False)):
        assert is_news(sold(sandbox, method, held=held)[1])
    assert not is_news(sold(sandbox, "card_declined")[1])
    intent, ledger = sold(sandbox, "card")
    assert not is_news(replace(ledger, moved={intent}))
    later, ledger = sold(sandbox, "fpx_later")
    assert not is_news(ledger)
    sandbox.settle_async(later)
    assert is_news(ledger)
    sandbox.configure_webhooks(drop=["checkout.session.completed", "checkout.session.async_payment_succeeded"])
    assert not is_news(sold(sandbox, "card")[1])
    later, ledger = sold(sandbox, "fpx_later")
    sandbox.settle_async(later)
    assert not is_news(ledger)


def test_a_payment_of_theirs_that_names_an_order_of_ours_is_not_ours(sandbox: StripeSandbox) -> None:
    account, naming = SandboxAccount(sandbox), {"order_id": "ord_1"}
    ours, theirs = (account.visit_shop(metadata=naming) for _ in range(2))
    account.pay(ours, "fpx")
    taken, ledger = account.pay(theirs, "fpx"), Ledger(sold={theirs: OURS})
    sandbox.refund(taken)
    assert [(paid.order_id, paid.kept_minor) for paid in own_payments(sandbox, ledger)] == [("ord_1", 4_900)]
    assert [seen.payment_intent for seen in foreign_payments(sandbox, ledger)] == [taken]


# --- the verdict -----------------------------------------------------------------------------------------------

NOTHING = Evidence(lines=[], words=[], commands={}, orders=[], payments=[], bought={}, granted=frozenset())
LEFT_ALONE = Foreign("pi_1", OURS, is_news=True)
NOT_NEWS = replace(LEFT_ALONE, is_news=False)


def found(*foreign: Foreign, unclaimed: frozenset[str] = frozenset({"pi_1"})) -> set[str]:
    seen = replace(NOTHING, foreign=foreign, unclaimed=unclaimed, alerts=[("unclaimed", "…")])
    return {violation.kind for violation in check(seen).violations}


def test_who_is_left_alone_and_shown_where_it_looks_like_ours_is_well() -> None:
    assert found(LEFT_ALONE) == set()
    assert found(replace(LEFT_ALONE, looks=THEIRS), unclaimed=frozenset()) == set()
    for shown in (frozenset({"pi_1"}), frozenset[str]()):
        assert found(NOT_NEWS, unclaimed=shown) == set()


def test_a_payment_of_another_shop_that_was_moved_is_found() -> None:
    for act in ACTS:
        assert found(replace(LEFT_ALONE, moved=(act,))) == {"not ours, and moved"}


def test_a_payment_that_looks_like_ours_and_is_shown_to_nobody_is_found() -> None:
    assert found(LEFT_ALONE, unclaimed=frozenset()) == {"nobody was asked"}


def test_who_is_asked_about_what_does_not_look_like_ours_or_is_ours_is_found() -> None:
    assert found(replace(LEFT_ALONE, looks=THEIRS)) == {"unexpected alert"}
    assert found(LEFT_ALONE, unclaimed=frozenset({"pi_1", "pi_of_an_order"})) == {"unexpected alert"}


def stray(**changes: Any) -> Sold:
    order = Sold("stray_pi_1", "cab-01", "unmatched", 1, 600, "settled", payment_intent="pi_1")
    return replace(order, **changes)


COPY = Foreign("pi_1", TAKEN, is_news=False, moved=("refund.created",))


@pytest.mark.parametrize(
    ("payment", "order", "kinds"),
    [
        (COPY, stray(), set()),
        # The shop was quicker to give it back.
        (replace(COPY, moved=()), stray(), set()),
        (replace(COPY, left_minor=200), stray(), {"lost"}),
        (replace(COPY, moved=("charge.captured",)), stray(), {"not ours, and moved", "not ours, and an order"}),
        (COPY, stray(kind="checkout"), {"not ours, and moved", "not ours, and an order"}),
        (
            replace(COPY, looks=OURS),
            stray(),
            {"not ours, and moved", "not ours, and an order", "unexpected alert"},
        ),
        (COPY, stray(payment_intent="pi_of_a_player"), {"not ours, and moved", "unexpected alert"}),
    ],
)
def test_only_a_copy_of_a_whole_order_of_ours_goes_back_and_all_of_it(
    payment: Foreign, order: Sold, kinds: set[str]
) -> None:
    seen = replace(NOTHING, foreign=[payment], orders=[order], alerts=[("unmatched_payment", "…")])
    assert {violation.kind for violation in check(seen).violations} == kinds


def test_a_copy_of_a_whole_order_that_is_left_alone_is_shown() -> None:
    assert found(replace(LEFT_ALONE, looks=TAKEN)) == set()
    assert found(replace(LEFT_ALONE, looks=TAKEN), unclaimed=frozenset()) == {"nobody was asked"}


# --- what they sell --------------------------------------------------------------------------------------------


def test_each_kind_of_sale_looks_like_what_it_says() -> None:
    page = Page("ord_1", "cs_1", 600)
    full = {"order_id": "ord_1", "machine_id": "cab-01", "site": "https://us.example", "arcade_mark": "f00"}

    def made(kind: str, *pages: Page) -> Any:
        return sale(
            kind,
            random.Random(1),
            machine_ids=["cab-01"],
            site="https://us.example",
            bought=pages,
            metadata_of=lambda _: dict(full),
        )

    for kind in (*KINDS, TAKEN):
        sold, alone = made(kind, page), made(kind)
        assert sold.looks == kind
        assert looks_ours(alone.looks) == (kind == "ours: a machine"), "there is nothing to copy yet"
        is_copy = (sold.metadata, sold.amount_minor) == (full, page.amount_minor)
        assert is_copy == (kind in (DECLINED, TAKEN)), "a copy of everything pays for the order"


def test_no_link_of_another_shop_is_a_good_one_of_ours() -> None:
    for kind in LINK_KINDS:
        made = link(kind, random.Random(1), ["cab-01"])
        names = {made.metadata.get("machine_id"), made.reference}
        assert not (made.at_our_price and "cab-01" in names), kind
        assert looks_ours(kind) == (made.at_our_price or "cab-01" in names), kind
    assert "cab-01" not in misspelt("cab-01")
