"""The player's pages, from the sticker on the cabinet to the credits, or to the money back."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from arcade_cloud.domain.money import Offer
from arcade_cloud.web import assets
from support.site import Site, check_error

# Over the wire, before the picture of the machine, uncompressed.
MAX_PAGE_BYTES = 30 * 1024


@pytest.fixture
def site() -> Site:
    return Site()


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\u00a0", " ")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of a kind."""
        return [attributes for name, attributes in self.found if name == tag]


def page(site: Site, path: str, status: int = 200) -> Elements:
    """A page that was served with 200."""
    answer = site.client.get(path)
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    return Elements(answer.text)


def state(site: Site, path: str) -> dict[str, Any]:
    """What keeps a page live."""
    answer = site.client.get(f"{path}?format=json")
    assert answer.status_code == 200
    values: dict[str, Any] = answer.get_json()
    return {
        name: value.replace("\u00a0", " ") if isinstance(value, str) else value for name, value in values.items()
    }


# --- the machine -----------------------------------------------------------------------------------------


def test_the_page_shows_which_machine_this_is_and_what_it_costs():
    site = Site(quantities=(1, 3))
    shown = page(site, "/m/cab-01")
    for text in (
        "Test Arcade",
        "Street Fighter II",
        "cab-01",
        "Ready to play",
        "3 credits",
        "RM 3.00",
        "+60 12-345",
    ):
        assert text in shown.text
    buttons = shown.all("button")
    assert len(buttons) == 2
    assert not any("disabled" in button for button in buttons)


def test_one_offer_is_one_button_unless_the_operator_wants_more(site):
    assert len(page(site, "/m/cab-01").all("button")) == 1


def test_the_machines_own_contact_and_picture_come_first(site):
    site.add_machine(
        "cab-01", name="Pac-Man", contact="counter@example.com", picture_url="https://pictures.example/pac.jpg"
    )
    shown = page(site, "/m/cab-01")
    assert {"href": "mailto:counter@example.com"} in shown.all("a")
    assert [image["src"] for image in shown.all("img")] == ["https://pictures.example/pac.jpg"]


def test_a_name_that_is_code_is_shown_as_text(site):
    site.add_machine("cab-01", name="<script>alert(1)</script>", contact='"><img src=x onerror=alert(1)>')
    answer = site.client.get("/m/cab-01").text
    assert "<script>alert" not in answer
    assert "<img src=x" not in answer


def test_an_offline_machine_says_so_and_every_button_is_off(site):
    assert state(site, "/m/cab-01") == {
        "machineId": "cab-01",
        "ready": True,
        "word": "Ready to play",
        "maxCredits": 50,
    }
    site.now_ms += 120_000
    shown = page(site, "/m/cab-01")
    assert "This machine is offline." in shown.text
    assert all("disabled" in button for button in shown.all("button"))
    assert state(site, "/m/cab-01")["ready"] is False


def test_the_prices_of_a_machine_that_nobody_can_pay_are_folded(site):
    (prices,) = page(site, "/m/cab-01").all("details")
    assert "open" in prices
    site.now_ms += 120_000
    (prices,) = page(site, "/m/cab-01").all("details")
    assert "open" not in prices


@pytest.mark.parametrize(("name", "told"), [("", False), ("Cabinet cab-01", False), ("Street Fighter", True)])
def test_the_machines_id_is_told_once(site, name, told):
    site.add_machine("cab-01", name=name)
    answer = site.client.get("/m/cab-01").text
    assert ('<p class="id">' in answer) is told
    assert "cab-01" in Elements(answer).text


def test_live_readiness_asks_stripe_nothing(site):
    calls = len(site.payments.calls)
    for _ in range(10):
        state(site, "/m/cab-01")
    assert len(site.payments.calls) == calls


def test_a_machine_that_sells_nothing_says_so():
    site = Site(stripe_price_id=None)
    assert "You cannot pay by phone here yet." in page(site, "/m/cab-01").text


@pytest.mark.parametrize("machine_id", ["cab-99", "x" * 65, "..", "%23", "a%2fb", "%00", "%ff"])
def test_an_unregistered_machine_is_a_page(site, machine_id):
    page(site, f"/m/{machine_id}", 404)


def test_when_stripe_is_down_the_page_says_that_nothing_was_charged(site):
    site.payments.fault = lambda _: "before"
    shown = page(site, "/m/cab-01", 503)
    assert "Nothing was charged" in shown.text
    assert "Try again" in shown.text


# --- to the checkout -------------------------------------------------------------------------------------


def test_a_tap_leads_to_stripe_with_an_order_on_record(site):
    answer = site.client.post("/m/cab-01/checkout", data={"offer_id": "credit", "quantity": "3"})
    (order,) = site.store.recent_orders(5)
    assert (answer.status_code, answer.headers["Location"]) == (303, order.checkout_url)
    assert (order.ordered, order.amount_minor) == (3, 300)


def test_every_button_of_the_page_can_be_pressed(site):
    site.add_machine(
        "cab-01",
        offers=(
            Offer(offer_id="a b&c", credits=1, amount_minor=100, currency="myr"),
            Offer(offer_id="five", credits=5, amount_minor=400, currency="myr", label="Best price"),
        ),
    )
    shown = page(site, "/m/cab-01")
    values = [field["value"] for field in shown.all("input")]
    assert values == ["a b&c", "1", "five", "1"]
    for offer_id, quantity, amount in (("a b&c", "1", 100), ("five", "1", 400)):
        answer = site.client.post("/m/cab-01/checkout", data={"offer_id": offer_id, "quantity": quantity})
        assert answer.status_code == 303
        site.now_ms += 1
        assert site.store.recent_orders(1)[0].amount_minor == amount


def test_a_form_without_fields_buys_one_of_the_first_offer(site):
    assert site.client.post("/m/cab-01/checkout").status_code == 303
    assert site.store.recent_orders(1)[0].ordered == 1


def test_a_machine_that_is_no_longer_ready_charges_nobody(site):
    site.say_status("cab-01", ready=False, reason="inhibited")
    answer = site.client.post("/m/cab-01/checkout", data={"offer_id": "credit", "quantity": "1"})
    assert (answer.status_code, answer.mimetype) == (409, "text/html")
    assert "This machine is not ready. Nothing was charged." in answer.text
    assert "create_checkout" not in site.payments.calls
    assert site.store.recent_orders(5) == []


@pytest.mark.parametrize(
    "form",
    [
        {"offer_id": "gone", "quantity": "1"},
        {"quantity": "0"},
        {"quantity": "-1"},
        {"quantity": "101"},
        {"quantity": "1.0"},
        {"quantity": "٣"},
        {"quantity": "9" * 5000},
        {"offer_id": "x" * 5000},
    ],
)
def test_an_invalid_choice_shows_the_machines_page_again(site, form):
    answer = site.client.post("/m/cab-01/checkout", data=form)
    assert (answer.status_code, answer.mimetype) == (422, "text/html")
    assert "Nothing was charged." in answer.text
    assert 'action="/m/cab-01/checkout"' in answer.text


def test_when_stripe_is_down_there_is_no_checkout_and_no_open_order(site):
    site.payments.fault = lambda name: "after" if name == "create_checkout" else None
    answer = site.client.post("/m/cab-01/checkout", data={"offer_id": "credit"})
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert site.store.recent_orders(1)[0].state == "abandoned"


def test_too_many_checkouts_are_a_page_that_says_when_to_try_again():
    site = Site(rate_limit_per_minute=1)
    assert site.client.post("/m/cab-01/checkout").status_code == 303
    answer = site.client.post("/m/cab-01/checkout")
    assert (answer.status_code, answer.mimetype) == (429, "text/html")
    assert answer.headers["Retry-After"]


def test_a_tab_that_is_restored_without_its_form_goes_to_the_machine(site):
    answer = site.client.get("/m/cab-01/checkout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/m/cab-01")


def test_a_form_beyond_all_bounds_is_refused_as_a_page(site):
    answer = site.client.post("/m/cab-01/checkout", data={"offer_id": "x" * 70_000})
    assert (answer.status_code, answer.mimetype) == (413, "text/html")


# --- the order -------------------------------------------------------------------------------------------


def test_the_page_of_an_order_follows_it_to_the_credits(site):
    order_id = site.begin(3)
    path = f"/m/cab-01/o/{order_id}"
    assert state(site, path)["phase"] == "unpaid"
    site.pay(order_id)
    assert state(site, path)["phase"] == "sending"
    site.say_ack(order_id, "accepted")
    site.say_ack(order_id, "pulsing", 2)
    values = state(site, path)
    assert (values["phase"], values["title"], values["delivered"]) == ("adding", "2 of 3 credits added", 2)
    site.say_ack(order_id, "done", 3)
    values = state(site, path)
    assert (values["phase"], values["title"], values["final"]) == ("added", "3 credits added", True)
    assert values["code"] == site.order(order_id).code


def test_coming_back_from_the_checkout_is_no_payment(site):
    """The landing alone says nothing: without Stripe's word the page waits."""
    order_id = site.begin(2)
    for _ in range(3):
        shown = page(site, f"/m/cab-01/o/{order_id}")
        assert "Waiting for your payment" in shown.text
        assert "added" not in shown.text
    assert site.order(order_id).state == "open"


def test_a_player_who_returns_before_the_webhook_makes_the_cloud_ask_stripe_soon(site):
    order_id = site.begin(2)
    state(site, f"/m/cab-01/o/{order_id}")
    assert site.order(order_id).due_at_ms > site.now_ms + 60_000, "what keeps the page live changes nothing"
    page(site, f"/m/cab-01/o/{order_id}")
    assert site.order(order_id).due_at_ms <= site.now_ms + 5_000


def test_a_player_who_has_not_paid_finds_the_link_to_the_checkout(site):
    order_id = site.begin()
    shown = page(site, f"/m/cab-01/o/{order_id}")
    assert site.order(order_id).checkout_url in [link["href"] for link in shown.all("a")]
    site.pay(order_id)
    shown = page(site, f"/m/cab-01/o/{order_id}")
    assert site.order(order_id).checkout_url not in [link["href"] for link in shown.all("a")]


def test_while_a_bank_confirms_a_transfer_nobody_is_asked_to_pay_again(site):
    order_id = site.begin()
    site.pay(order_id, "fpx_later")
    path = f"/m/cab-01/o/{order_id}"
    shown, values = page(site, path), state(site, path)
    assert (values["phase"], values["title"]) == ("checking", "Your bank is confirming the payment")
    assert "Nothing" not in shown.text
    assert "You do not need to pay again." in shown.text
    assert site.order(order_id).checkout_url not in [link["href"] for link in shown.all("a")]


def test_the_page_and_its_live_state_agree(site):
    order_id = site.begin(3)
    site.pay(order_id)
    site.say_ack(order_id, "done", 2, uncertain=1)
    path = f"/m/cab-01/o/{order_id}"
    values, shown = state(site, path), page(site, path)
    for text in (values["title"], values["detail"], values["money"], values["code"]):
        assert text in shown.text


def test_a_final_page_stops_updating(site):
    order_id = site.begin()
    live = site.client.get(f"/m/cab-01/o/{order_id}").text
    assert "live.js" in live
    assert 'http-equiv="refresh"' in live
    site.pay(order_id)
    site.say_ack(order_id, "done", 1)
    final = site.client.get(f"/m/cab-01/o/{order_id}").text
    assert "live.js" not in final
    assert 'http-equiv="refresh"' not in final


@pytest.mark.parametrize("order_id", ["ord_nothing", "x" * 101, "..", "%00", "%ff", "a%2fb", "a.b"])
def test_an_order_that_does_not_exist_is_not_found_in_either_form(site, order_id):
    page(site, f"/m/cab-01/o/{order_id}", 404)
    check_error(site.client.get(f"/m/cab-01/o/{order_id}?format=json"), 404, "not_found")


def test_an_order_is_shown_at_its_own_machine_only(site):
    site.add_machine("cab-02")
    order_id = site.begin()
    page(site, f"/m/cab-02/o/{order_id}", 404)
    check_error(site.client.get(f"/m/cab-02/o/{order_id}?format=json"), 404, "not_found")


def test_a_store_that_is_down_is_a_page_and_json_that_say_so(site):
    order_id = site.begin()
    site.store.unavailable = True
    page(site, f"/m/cab-01/o/{order_id}", 503)
    check_error(site.client.get(f"/m/cab-01/o/{order_id}?format=json"), 503, "store_unavailable")


# --- what a phone loads ----------------------------------------------------------------------------------


def loaded(site: Site, path: str) -> dict[str, int]:
    """Each file that a page loads from here, with its size."""
    answer = site.client.get(path)
    shown = Elements(answer.text)
    names = [link["href"] for link in shown.all("link")] + [item["src"] for item in shown.all("script")]
    names += [image["src"] for image in shown.all("img")]
    sizes = {path: len(answer.data)}
    for name in names:
        assert name is not None
        assert name.startswith("/static/"), "nothing is loaded from anybody else"
        file = site.client.get(name)
        assert file.status_code == 200
        sizes[name] = len(file.data)
    return sizes


def test_a_page_weighs_no_more_than_30_kilobytes_and_loads_nothing_from_others(site):
    order_id = site.begin()
    for path in ("/m/cab-01", f"/m/cab-01/o/{order_id}"):
        sizes = loaded(site, path)
        assert len(sizes) >= 4
        assert sum(sizes.values()) <= MAX_PAGE_BYTES, sizes


def test_files_are_cached_for_long_under_a_name_that_changes_with_them(site):
    names = [name for name in loaded(site, "/m/cab-01") if name.startswith("/static/")]
    for name in names:
        assert re.search(r"\?v=[0-9a-f]{12}$", name)
        assert "immutable" in site.client.get(name).headers["Cache-Control"]
    assert "immutable" not in site.client.get("/static/arcade.css").headers["Cache-Control"]
    assert assets.version("arcade.css") != assets.version("live.js")


def test_pages_hold_no_code_and_no_style_of_their_own(site):
    order_id = site.begin()
    for path in ("/m/cab-01", f"/m/cab-01/o/{order_id}", "/m/nothing"):
        shown = Elements(site.client.get(path).text)
        assert shown.all("style") == []
        assert all(script.get("src") for script in shown.all("script"))
        for _, attributes in shown.found:
            assert not any(name == "style" or name.startswith("on") for name in attributes)


def test_what_changes_on_a_page_is_announced_to_screen_readers(site):
    order_id = site.begin()
    for path in ("/m/cab-01", f"/m/cab-01/o/{order_id}"):
        shown = page(site, path)
        assert [html["lang"] for html in shown.all("html")] == ["en"]
        assert any(attributes.get("role") == "status" for _, attributes in shown.found)


@pytest.mark.parametrize(
    ("base", "allowed"),
    [
        (None, "form-action 'self' https:;"),
        ("http://127.0.0.1:12111", "form-action 'self' https: http://localhost:12111 http://127.0.0.1:12111;"),
        ("http://stripe.test:8080", "form-action 'self' https: http://stripe.test:8080;"),
    ],
)
def test_a_form_may_lead_to_the_checkout_and_nowhere_unencrypted(base, allowed):
    site = Site(stripe_api_base=base)
    assert allowed in site.client.get("/m/cab-01").headers["Content-Security-Policy"]


def test_what_was_paid_is_what_was_captured_and_not_what_was_held(site):
    order_id = site.begin(3)
    site.pay(order_id)
    site.say_ack(order_id, delivered=2)
    site.deliver_events()
    site.cloud.operations.refund(order_id, by="ann", reason="it froze", keep_minor=100)
    site.deliver_events()
    said = site.client.get(f"/m/cab-01/o/{order_id}").text.replace("\u00a0", " ")
    assert "You paid RM 2.00, and RM 1.00 of it goes back to you." in said
