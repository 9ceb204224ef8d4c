"""The hosted payment page, by plain form posts as a browser without scripts makes them."""

import threading

import pytest
import requests
import stripe

from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import WebhookInbox, checkout_params


def open_page(client: stripe.StripeClient, **changes: object) -> str:
    """The address of a fresh session's page."""
    url = client.v1.checkout.sessions.create(checkout_params(**changes)).url
    assert url is not None
    return url


def press(url: str, method: str) -> requests.Response:
    """Press a button; redirects are not followed."""
    return requests.post(url, data={"method": method}, allow_redirects=False, timeout=20)


def test_the_page_shows_what_is_bought_for_how_much_and_how_to_pay(client: stripe.StripeClient) -> None:
    page = requests.get(open_page(client), timeout=10)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    for text in ("1 credit", "RM5.00", "Pay RM5.00 by card", "Held now", "FPX", "GrabPay", "Leave without paying"):
        assert text in page.text
    assert "<script" not in page.text


def test_the_page_lists_several_items(client: stripe.StripeClient) -> None:
    play = {"currency": "myr", "unit_amount": 500, "product_data": {"name": "<b>Play</b>"}}
    page = requests.get(open_page(client, line_items=[{"price_data": play, "quantity": 3}]), timeout=10)
    assert "&lt;b&gt;Play&lt;/b&gt; × 3" in page.text
    assert "RM15.00" in page.text


@pytest.mark.parametrize("method", ["card", "link", "fpx", "fpx_later", "grabpay"])
def test_paying_leads_to_the_success_page_with_the_sessions_id_and_a_reload_does_so_again(
    sandbox: StripeSandbox, client: stripe.StripeClient, method: str
) -> None:
    url = open_page(client)
    session_id = url.split("/c/pay/")[1].split("#")[0]
    for answer in (press(url, method), press(url, method), requests.get(url, allow_redirects=False, timeout=10)):
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"http://127.0.0.1:9/done?session={session_id}"
    assert len(sandbox.money()) == 1
    assert len(sandbox.events("checkout.session.completed")) == 1


def test_leaving_leads_back_and_the_session_stays_open(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    url = open_page(client)
    assert press(url, "abandon").headers["Location"] == "http://127.0.0.1:9/left"
    assert press(url, "card").status_code == 303
    assert press(open_page(client, cancel_url=None), "abandon").status_code == 200


def test_a_declined_card_is_told_and_another_way_still_works(client: stripe.StripeClient) -> None:
    url = open_page(client)
    declined = press(url, "card_declined")
    assert declined.status_code == 402
    assert "Your card was declined" in declined.text
    assert press(url, "card").status_code == 303


def test_an_expired_page_says_so_and_takes_no_money(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    url = open_page(client)
    sandbox.advance(25 * 3600)
    for answer in (requests.get(url, timeout=10), press(url, "card")):
        assert answer.status_code == 410
        assert "expired" in answer.text
    assert sandbox.money() == []


def test_an_unknown_page_and_an_unknown_button_do_no_harm(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    assert requests.get(f"{sandbox.base_url}/c/pay/cs_test_none", timeout=10).status_code == 404
    assert press(f"{sandbox.base_url}/c/pay/cs_test_none", "card").status_code == 404
    assert requests.get(f"{sandbox.base_url}/b/test_none", timeout=10).status_code == 404
    url = open_page(client)
    assert press(url, "cash").status_code == 400
    assert requests.post(url, timeout=10).status_code == 400
    assert press(open_page(client, excluded_payment_method_types=["fpx"]), "fpx").status_code == 400
    assert sandbox.money() == []


def test_two_presses_at_once_pay_once(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    url = open_page(client)
    answers: list[requests.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(press(url, "card"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {answer.status_code for answer in answers} == {303}
    assert len(answers) == 6
    assert [payment["held"] for payment in sandbox.money()] == [500]


def test_a_link_without_a_landing_page_thanks_its_customer(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    price = sandbox.create_price(500)["id"]
    link = client.v1.payment_links.create({"line_items": [{"price": price, "quantity": 1}]})
    page = requests.get(link.url, timeout=10)
    thanks = press(page.url, "card")
    assert thanks.status_code == 200
    assert "Thank you" in thanks.text


def test_the_customer_is_sent_on_only_after_the_webhook_has_answered(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    """As with Stripe: when the landing page is asked for, the order is known."""
    answered = threading.Event()

    def answer(got: object) -> int:
        answered.wait(10)
        return 200

    with WebhookInbox(answer=answer) as inbox:
        sandbox.set_webhooks([inbox.url])
        arrived: list[requests.Response] = []
        player = threading.Thread(target=lambda: arrived.append(press(open_page(client), "card")))
        player.start()
        inbox.wait_for("price.created")
        assert not arrived
        answered.set()
        player.join(20)
        assert arrived[0].status_code == 303
        assert "checkout.session.completed" in inbox.kinds


def test_the_customer_does_not_wait_for_ever(client: stripe.StripeClient, sandbox: StripeSandbox) -> None:
    stuck = threading.Event()

    def answer(got: object) -> int:
        stuck.wait(20)
        return 200

    with WebhookInbox(answer=answer) as inbox:
        sandbox.redirect_wait_s = 0.3
        sandbox.set_webhooks([inbox.url])
        assert press(open_page(client), "card").status_code == 303
        stuck.set()


def test_nobody_waits_for_a_webhook_that_is_not_sent(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        sandbox.configure_webhooks(drop=["checkout.session.completed"])
        assert press(open_page(client), "card").status_code == 303
        sandbox.pause_webhooks()
        assert press(open_page(client), "card").status_code == 303
        assert "checkout.session.completed" not in inbox.kinds


def test_the_front_page_says_what_this_is(sandbox: StripeSandbox) -> None:
    page = requests.get(sandbox.base_url, timeout=10)
    assert page.status_code == 200
    assert "Stand-in for Stripe" in page.text
    assert "/_sandbox/money" in page.text
