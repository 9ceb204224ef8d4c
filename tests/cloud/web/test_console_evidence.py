"""An order as evidence in a dispute, and the last four digits of the card, which are for the operator's people."""

import html
import re
from datetime import UTC, date

import pytest

from arcade_cloud.domain.game_overs import KEPT_MS
from arcade_cloud.domain.people import Role
from arcade_cloud.services.game_overs import after_credits
from arcade_cloud.services.receipts import ISSUE_EVERY_S
from arcade_cloud.web.console.evidence import as_file, known_of
from support.console import Console
from support.pages import words
from support.site import ONE, Site


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def console(site: Site) -> Console:
    return Console(site, Role.OWNER)


def bought(site: Site, credits: int = 3, delivered: int | None = None) -> str:
    """An order that was paid, delivered and captured; its id."""
    order_id = site.begin(credits)
    site.pay(order_id)
    site.say_ack(order_id, delivered=credits if delivered is None else delivered)
    site.deliver_events()
    assert site.order(order_id).state == "settled"
    return order_id


def test_an_order_is_found_by_the_last_four_digits(site: Site, console: Console) -> None:
    site.payments.stripe.world.set_rules(card_last4="0341")
    order_id = bought(site)
    site.payments.stripe.world.set_rules(card_last4="4242")
    other = bought(site)
    page = console.get("/console/orders", q="0341")
    assert f"/console/orders/{order_id}" in page.text
    assert other not in page.text
    assert "card, ends in 0341" in words(console.get(f"/console/orders/{order_id}"))
    assert "ends in 9999" in words(console.get("/console/orders", q="9999"))


def test_the_evidence_of_an_order_says_it_all_in_words(site: Site, console: Console) -> None:
    site.add_machine("cab-01", name="Street Fighter II", location="Mid Valley", offers=(ONE,))
    site.payments.stripe.world.set_rules(balance_delay_s=0)
    order_id = site.begin(3)
    site.now_ms += 60_000
    site.pay(order_id)
    site.say_ack(order_id, "accepted")
    site.now_ms += 5_000
    site.say_ack(order_id, "done", 2, registered=2)
    site.deliver_events()
    site.add_machine("cab-01", name="Street Fighter II", location="Sunway", offers=(ONE,))  # it has moved since
    site.cloud.operations.refund(order_id, by="ann", reason="the stick is loose", keep_minor=100)
    site.deliver_events()
    site.now_ms += 86_400_000
    site.daily.run(date(2026, 9, 21))
    order = site.order(order_id)
    page = console.get(f"/console/orders/{order_id}/evidence")
    text = words(page)
    for part in (
        "On 2026-09-21 14:14:20 UTC a player paid RM 3.00 by card (ends in 4242) for 3 credits on Street Fighter "
        "II, Mid Valley. 2 of 3 were delivered. RM 1.00 of the money is kept.",
        "Seller Test Arcade, +60 12-345 6789",
        "Place Street Fighter II (cab-01), Mid Valley",
        f"Code {order.code}",
        f"The player's page https://play.example/m/cab-01/o/{order_id}",
        "held first, and taken for what was delivered",
        "Taken RM 2.00",
        "Given back RM 1.00",
        f"Stripe's payment {order.payment_intent}",
        "Stripe booked charge: RM 2.00, fee RM 1.06",
        "2 of 3 delivered: the machine reported it.",
        f"Credit {order.credit_ids[0]}",
        "the machine reports 2 of 3 delivered, 2 registered by its meter",
        "the stick is loose",
        "A player went to pay → waits for payment",
    ):
        assert part in text, part
    assert f"https://dashboard.stripe.com/test/payments/{order.payment_intent}" in page.text
    assert f"/console/orders/{order_id}/evidence" in console.get(f"/console/orders/{order_id}").text


def test_an_order_that_is_disputed_leads_to_its_evidence_and_to_stripe(site: Site, console: Console) -> None:
    order_id = bought(site)
    site.payments.stripe.open_dispute(str(site.order(order_id).payment_intent))
    site.deliver_events()
    page = console.get(f"/console/orders/{order_id}")
    assert "The player disputes this payment." in words(page)
    text = words(console.get(f"/console/orders/{order_id}/evidence"))
    assert "Dispute open" in text
    assert "Nobody has asked the seller for one" in text
    site.payments.stripe.close_dispute(str(site.order(order_id).payment_intent), "lost")
    site.deliver_events()
    assert "Dispute lost: RM 3.00 lost" in words(console.get(f"/console/orders/{order_id}/evidence"))


def test_an_order_of_any_kind_and_state_has_its_page(site: Site, console: Console) -> None:
    grant = site.cloud.operations.grant("cab-01", 1, by="ann", reason="a birthday", token="t").order_id
    text = words(console.get(f"/console/orders/{grant}/evidence"))
    assert "Nobody paid: 1 credit was given free on Street Fighter II." in text
    unpaid = site.begin(2)
    assert "Nobody has paid for this order." in words(console.get(f"/console/orders/{unpaid}/evidence"))
    under_way = site.begin(1)
    site.pay(under_way)
    assert "On its way to the machine." in words(console.get(f"/console/orders/{under_way}/evidence"))
    assert console.get("/console/orders/none/evidence").status_code == 404


def test_only_people_see_the_digits(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    site.software.endpoints.add("https://shop.example/hook", ["play.delivered", "order.refunded"], by="ann")
    site.payments.stripe.world.set_rules(card_last4="0341")
    order_id = bought(site, 3, delivered=1)
    site.software.delivery.run_once()
    assert site.order(order_id).last4 == "0341"
    assert len(site.poster.posted) == 2
    seen = [body.decode() for _, body, _ in site.poster.posted]
    seen += [
        site.client.get(path).text for path in (f"/m/cab-01/o/{order_id}", f"/m/cab-01/o/{order_id}?format=json")
    ]
    seen += [alert.text for alert in site.store.recent_alerts(100)] + [caplog.text]
    for text in seen:
        assert "0341" not in text


def test_the_file_of_the_command_line_says_what_the_page_says(site: Site, console: Console) -> None:
    order_id = bought(site, 3, delivered=2)
    page = words(console.get(f"/console/orders/{order_id}/evidence"))
    known = known_of(site.order(order_id), site.store, site.cloud.sales, site.now_ms)
    text = as_file(
        known, site_name="<Arcade>", operator_contact="+60", is_live=False, now_ms=site.now_ms, zone=UTC
    )
    body = re.sub(r"<(style|head).*?</\1>", " ", text, flags=re.S)
    said = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())
    begins = f"Order {site.order(order_id).code} : what was sold"
    assert said[said.index("The sale") :].replace("<Arcade>, +60", "Test Arcade, +60 12-345 6789") in page
    assert said.startswith(begins)
    assert "2 of 3 were delivered. RM 2.00 of the money is kept." in said
    assert "&lt;Arcade&gt;" in text
    assert "<Arcade>" not in text
    for outside in ("src=", "<link", "<script", "url("):
        assert outside not in text, "the file needs nothing else"


def test_the_order_its_evidence_and_the_machine_show_the_game_overs(site: Site, console: Console) -> None:
    order_id = bought(site)
    assert "Game over after it" not in words(console.get(f"/console/orders/{order_id}"))
    site.now_ms += 60_000
    site.say_game_over()
    site.now_ms += 60_000
    site.say_status("cab-01")
    other = bought(site)
    site.now_ms += 60_000
    site.say_game_over()
    site.say_game_over()
    first, second = (after_credits(site.store, site.order(one), site.now_ms) for one in (order_id, other))
    assert [len(one.game_overs) for one in (*first, *second)] == [1, 2]
    assert words(console.get(f"/console/orders/{order_id}")).count("Game over after it") == 1
    assert "Game over at cab-01 after these credits" in words(console.get(f"/console/orders/{order_id}/evidence"))
    assert "Last game over" in words(console.get("/console/machines/cab-01"))
    site.now_ms += KEPT_MS
    assert after_credits(site.store, site.order(order_id), site.now_ms) == ()
    assert "Game over" not in words(console.get(f"/console/orders/{order_id}"))


def test_an_order_leads_to_its_receipt(site: Site, console: Console) -> None:
    order_id = bought(site)
    assert "/receipt" not in console.get(f"/console/orders/{order_id}").text
    site.now_ms += 1000 * ISSUE_EVERY_S
    site.cloud.receipts.run_once()
    page = console.get(f"/console/orders/{order_id}")
    receipt = site.store.receipts.receipts_of([order_id])[order_id]
    assert f'href="{site.cloud.sales.receipt_page("cab-01", order_id)}">{receipt.name}</a>' in page.text
    path = f"/m/cab-01/o/{order_id}/receipt"
    assert site.cloud.sales.receipt_page("cab-01", order_id).endswith(path)
    assert receipt.name in site.client.get(path).get_data(as_text=True)
