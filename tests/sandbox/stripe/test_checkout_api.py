"""Checkout Sessions, prices and payment links, through the real library."""

import time

import pytest
import requests
import stripe

from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import TEST_KEY, checkout_params, stripe_client


def test_a_session_comes_back_as_it_was_asked_for(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(checkout_params(client_reference_id="cab-01"))
    read = client.v1.checkout.sessions.retrieve(made.id)
    assert (read.status, read.payment_status, read.payment_intent) == ("open", "unpaid", None)
    assert (read.amount_total, read.currency, read.client_reference_id) == (500, "myr", "cab-01")
    assert read.metadata is not None
    assert read.metadata.to_dict() == {"order_id": "order-1"}
    assert read.expires_at - read.created == 24 * 3600
    assert read.payment_method_types == ["card", "link", "fpx", "grabpay"]


def test_the_address_is_as_long_as_stripes_and_on_this_server(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    url = client.v1.checkout.sessions.create(checkout_params()).url
    assert url is not None
    assert url.startswith(f"{sandbox.base_url}/c/pay/cs_test_")
    assert 400 < len(url) < 550


def test_line_items_are_shown_where_they_are_asked_for(client: stripe.StripeClient) -> None:
    plain = client.v1.checkout.sessions.create(checkout_params())
    assert "line_items" not in plain.to_dict()
    shown = client.v1.checkout.sessions.retrieve(plain.id, {"expand": ["line_items.data.price.product"]})
    assert shown.line_items is not None
    line = shown.line_items.data[0]
    assert line.price is not None
    assert (line.description, line.quantity, line.amount_total, line.price.unit_amount) == (
        "1 credit",
        1,
        500,
        500,
    )
    assert isinstance(line.price.product, stripe.Product)
    listed = client.v1.checkout.sessions.line_items.list(plain.id)
    assert [item.id for item in listed.data] == [line.id]


def test_a_configured_price_can_be_bought_several_times_over(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    sandbox.create_price(300, "myr", "1 credit", "price_credit")
    lines = [{"price": "price_credit", "quantity": 3}]
    session = client.v1.checkout.sessions.create(checkout_params(line_items=lines))
    assert session.amount_total == 900


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"payment_intent_data": {"colour": "red"}}, "parameter_unknown", "payment_intent_data[colour]"),
        ({"payment_method_types": ["card"]}, "parameter_unknown", "payment_method_types"),
        ({"mode": None}, "parameter_missing", "mode"),
        ({"success_url": None}, "parameter_missing", "success_url"),
        ({"line_items": None}, "parameter_missing", "line_items"),
        ({"line_items": [{"price": "price_none", "quantity": 1}]}, "resource_missing", "line_items[0][price]"),
        ({"line_items": [{"quantity": 1}]}, "parameter_missing", "line_items[0][price]"),
        ({"success_url": ""}, "parameter_invalid_empty", "success_url"),
        ({"success_url": "arcade.example/done"}, "url_invalid", "success_url"),
        ({"expires_at": "soon"}, "parameter_invalid_integer", "expires_at"),
        ({"ui_mode": "hosted"}, None, "ui_mode"),
        ({"mode": "subscription"}, None, "mode"),
        ({"mode": "barter"}, None, "mode"),
        ({"payment_method_options": {"card": {"capture_method": "automatic"}}}, None, None),
        ({"adaptive_pricing": {"enabled": "perhaps"}}, None, "adaptive_pricing[enabled]"),
        ({"client_reference_id": "x" * 201}, None, "client_reference_id"),
    ],
)
def test_wrong_parameters_are_refused_as_stripe_refuses_them(
    client: stripe.StripeClient, changes: dict[str, object], code: str | None, param: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.checkout.sessions.create(checkout_params(**changes))
    assert caught.value.code == code
    assert param is None or caught.value.param == param
    assert caught.value.http_status == (404 if code == "resource_missing" else 400)
    assert caught.value.request_id is not None


def test_a_quantity_is_asked_for_and_positive(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    price = sandbox.create_price(500)["id"]
    for line in ({"price": price}, {"price": price, "quantity": 0}, {"price": price, "quantity": -5}):
        with pytest.raises(stripe.InvalidRequestError, match=r"[Qq]uantity|greater than"):
            client.v1.checkout.sessions.create(checkout_params(line_items=[line]))


def test_an_inactive_price_cannot_be_bought(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    price = sandbox.create_price(500)["id"]
    client.v1.prices.update(price, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        client.v1.checkout.sessions.create(checkout_params(line_items=[{"price": price, "quantity": 1}]))


def test_stripes_smallest_charge_is_asked_for_unless_it_is_switched_off(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    lines = [{"price": sandbox.create_price(100)["id"], "quantity": 1}]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.checkout.sessions.create(checkout_params(line_items=lines))
    assert caught.value.code == "amount_too_small"
    assert "RM2.00 myr" in str(caught.value)
    sandbox.set_rules(enforce_smallest_charge=False)
    assert client.v1.checkout.sessions.create(checkout_params(line_items=lines)).amount_total == 100


@pytest.mark.parametrize(
    ("offset_s", "words"),
    [(29 * 60, "at least 30 minutes"), (24 * 3600 + 60, "less than 24 hours")],
)
def test_a_session_lives_half_an_hour_to_a_day(client: stripe.StripeClient, offset_s: int, words: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=words):
        client.v1.checkout.sessions.create(checkout_params(expires_at=int(time.time()) + offset_s))
    good = int(time.time()) + 31 * 60
    assert client.v1.checkout.sessions.create(checkout_params(expires_at=good)).expires_at == good


def test_methods_are_filtered_and_those_that_cannot_be_held_fall_away(client: stripe.StripeClient) -> None:
    def methods(**changes: object) -> list[str]:
        return client.v1.checkout.sessions.create(checkout_params(**changes)).payment_method_types

    assert methods(allowed_payment_method_types=["fpx", "card", "alipay"]) == ["card", "fpx"]
    assert methods(excluded_payment_method_types=["link"]) == ["card", "fpx", "grabpay"]
    assert methods(payment_intent_data={"capture_method": "manual"}) == ["card", "link"]
    dollars = {"currency": "usd", "unit_amount": 500, "product_data": {"name": "1 credit"}}
    assert methods(line_items=[{"price_data": dollars, "quantity": 1}]) == ["card", "link"]


def test_an_open_session_can_be_expired_and_no_other(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    session = client.v1.checkout.sessions.create(checkout_params())
    expired = client.v1.checkout.sessions.expire(session.id)
    assert (expired.status, expired.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError, match=r"status of `expired`"):
        client.v1.checkout.sessions.expire(session.id)
    paid = client.v1.checkout.sessions.create(checkout_params())
    sandbox.pay(paid.id)
    with pytest.raises(stripe.InvalidRequestError, match=r"status of `complete`"):
        client.v1.checkout.sessions.expire(paid.id)
    assert len(sandbox.events("checkout.session.expired")) == 1


def test_a_session_is_found_by_its_payment_intent(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sessions = [client.v1.checkout.sessions.create(checkout_params()) for _ in range(3)]
    intent = sandbox.pay(sessions[1].id).payment_intent
    found = client.v1.checkout.sessions.list({"payment_intent": intent})
    assert [session.id for session in found.data] == [sessions[1].id]
    assert {session.id for session in client.v1.checkout.sessions.list({"status": "open"}).data} == {
        sessions[0].id,
        sessions[2].id,
    }


def test_lists_are_cut_into_pages_newest_first(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    made = [sandbox.create_price(200 + number)["id"] for number in range(7)]
    first = client.v1.prices.list({"limit": 3})
    assert ([price.id for price in first.data], first.has_more) == (made[:3:-1], True)
    assert [price.id for price in client.v1.prices.list({"limit": 3}).auto_paging_iter()] == made[::-1]
    before = client.v1.prices.list({"limit": 2, "ending_before": made[2]})
    assert [price.id for price in before.data] == [made[4], made[3]]
    assert client.v1.prices.list({"created": {"gt": int(time.time()) + 60}}).data == []
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.prices.list({"limit": 101})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.prices.list({"starting_after": "price_none"})


def test_prices_and_products_can_be_seeded(client: stripe.StripeClient) -> None:
    product = client.v1.products.create({"name": "Daytona USA"})
    price = client.v1.prices.create(
        {"currency": "myr", "unit_amount": 500, "product": product.id, "lookup_key": "play", "nickname": "1 play"}
    )
    assert client.v1.prices.retrieve(price.id).unit_amount == 500
    assert [found.id for found in client.v1.prices.list({"lookup_keys": ["play"]}).data] == [price.id]
    expanded = client.v1.prices.retrieve(price.id, {"expand": ["product"]})
    assert isinstance(expanded.product, stripe.Product)
    assert expanded.product.name == "Daytona USA"


def test_a_payment_link_hands_its_metadata_to_every_visit(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    price = sandbox.create_price(500)["id"]
    link = client.v1.payment_links.create(
        {"line_items": [{"price": price, "quantity": 2}], "metadata": {"machine_id": "cab-01"}}
    )
    for reference, kept in (("cab-01", "cab-01"), ("not/allowed", None)):
        page = requests.get(link.url, params={"client_reference_id": reference}, timeout=10)
        assert page.status_code == 200
        session = client.v1.checkout.sessions.retrieve(page.url.split("/c/pay/")[1].split("#")[0])
        assert session.metadata is not None
        assert session.metadata.to_dict() == {"machine_id": "cab-01"}
        assert (session.payment_link, session.client_reference_id, session.amount_total) == (link.id, kept, 1000)
    assert len(client.v1.checkout.sessions.list({"payment_link": link.id}).data) == 2
    client.v1.payment_links.update(link.id, {"active": False})
    assert requests.get(link.url, timeout=10).status_code == 404


def test_a_payment_link_may_send_its_customers_on(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    price = sandbox.create_price(500)["id"]
    target = "http://127.0.0.1:9/thanks?s={CHECKOUT_SESSION_ID}"
    link = client.v1.payment_links.create(
        {
            "line_items": [{"price": price, "quantity": 1}],
            "after_completion": {"type": "redirect", "redirect": {"url": target}},
        }
    )
    paid = sandbox.pay(link.url)
    page = requests.get(f"{sandbox.base_url}/c/pay/{paid.session_id}", allow_redirects=False, timeout=10)
    assert page.headers["Location"] == f"http://127.0.0.1:9/thanks?s={paid.session_id}"


@pytest.mark.parametrize("key", ["sk_live_0123456789abcdef", "rubbish", "pk_test_0123456789abcdef"])
def test_only_secret_test_keys_are_good(sandbox: StripeSandbox, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError) as caught:
        stripe_client(sandbox.base_url, key=key).v1.balance.retrieve()
    assert key not in str(caught.value)


def test_one_key_may_be_the_only_good_one() -> None:
    with StripeSandbox(api_key=TEST_KEY) as strict:
        assert stripe_client(strict.base_url).v1.balance.retrieve().object == "balance"
        with pytest.raises(stripe.AuthenticationError):
            stripe_client(strict.base_url, key="sk_test_other").v1.balance.retrieve()


def test_a_call_without_a_key_is_told_how_to_give_one(sandbox: StripeSandbox) -> None:
    answer = requests.get(f"{sandbox.base_url}/v1/balance", timeout=10)
    assert answer.status_code == 401
    assert "Authorization header" in answer.json()["error"]["message"]
    basic = requests.get(f"{sandbox.base_url}/v1/account", auth=(TEST_KEY, ""), timeout=10)
    assert (basic.status_code, basic.json()["object"]) == (200, "account")


def test_what_is_not_served_gets_stripes_error_shape(sandbox: StripeSandbox) -> None:
    bearer = {"Authorization": f"Bearer {TEST_KEY}"}
    unknown = requests.get(f"{sandbox.base_url}/v1/customers", headers=bearer, timeout=10)
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "invalid_request_error")
    as_json = requests.post(f"{sandbox.base_url}/v1/refunds", json={}, headers=bearer, timeout=10)
    assert (as_json.status_code, as_json.json()["error"]["type"]) == (400, "invalid_request_error")
    huge = requests.post(f"{sandbox.base_url}/v1/refunds", data={"a": "x" * 2_000_000}, headers=bearer, timeout=10)
    assert huge.status_code == 413
    broken = requests.post(
        f"{sandbox.base_url}/v1/refunds",
        data=b"amount=%ff",
        headers={**bearer, "Content-Type": "application/x-www-form-urlencoded"},
        timeout=10,
    )
    assert broken.status_code == 400


@pytest.mark.parametrize("path", ["line_items.data.price.product.name", "nothing", "payment_intent.nothing"])
def test_what_cannot_be_expanded_is_refused(
    sandbox: StripeSandbox, client: stripe.StripeClient, path: str
) -> None:
    session = client.v1.checkout.sessions.create(checkout_params())
    sandbox.pay(session.id)
    with pytest.raises(stripe.InvalidRequestError, match="expand"):
        client.v1.checkout.sessions.retrieve(session.id, {"expand": [path]})


# --- statements ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix",
    ["1234567", "NO 7K2M4P longer", "NO <7K>", 'NO "7K"', "NO 7*", "N\N{LATIN CAPITAL LETTER O WITH DIAERESIS}"],
)
def test_what_can_not_stand_on_a_statement_is_refused(client: stripe.StripeClient, suffix: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(
            checkout_params(payment_intent_data={"statement_descriptor_suffix": suffix})
        )
    assert refused.value.param == "payment_intent_data[statement_descriptor_suffix]"


def test_a_whole_descriptor_is_refused_for_cards(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(
            checkout_params(payment_intent_data={"statement_descriptor": "ARCADE 7K"})
        )
    assert refused.value.param == "payment_intent_data[statement_descriptor]"


def test_a_suffix_that_fits_is_taken(client: stripe.StripeClient) -> None:
    fits = checkout_params(payment_intent_data={"statement_descriptor_suffix": "NO 7K2M4P"})
    assert client.v1.checkout.sessions.create(fits).url
