"""A tab in a browser: opened, played on at several machines, found again by another browser, finished."""

import re
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.offers import parse_offers
from arcade_cloud.domain.tab import TabLimit
from support.site import BASE_URL, Site

LIMITS = (TabLimit(2000, "myr"), TabLimit(5000, "myr"))
TWO = Offer(offer_id="two", credits=2, amount_minor=200, currency="myr")
CHEAP = Offer(offer_id="one", credits=1, amount_minor=50, currency="myr")


class Phone:
    """A browser, and what its owner reads and taps. Its cookies are its own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.client: FlaskClient = site.app.test_client()
        self.page = ""

    def sees(self, answer: TestResponse) -> str:
        self.page = answer.text
        text = re.sub(r"<(script|style).*?</\1>", " ", answer.text, flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).replace("\u00a0", " ").split())

    def opens(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path, base_url=BASE_URL)
        assert answer.status_code == status, answer.text
        return self.sees(answer)

    def posts(self, path: str, **form: str) -> TestResponse:
        return self.client.post(path, data=form, base_url=BASE_URL)

    def state(self, path: str) -> dict[str, Any]:
        answer = self.client.get(f"{path}?format=json", base_url=BASE_URL)
        assert answer.status_code == 200
        found: dict[str, Any] = answer.get_json()
        return found

    def opens_tab(self, limit: int = 2000, method: str = "card") -> str:
        """Open a tab at cab-01, and pay; the order's id."""
        answer = self.posts("/m/cab-01/tab", limit=str(limit))
        assert answer.status_code == 303, answer.text
        found = self.site.cloud.tabs.found(self.cookie)
        assert found is not None
        order_id: str = found.order_id
        self.site.pay(order_id, method)
        return order_id

    def tickets(self, machine_id: str = "cab-01") -> list[str]:
        self.site.say_status(machine_id)
        self.opens(f"/m/{machine_id}")
        return re.findall(r'name="ticket" value="([^"]+)"', self.page)

    def taps(self, machine_id: str = "cab-01", number: int = 0) -> TestResponse:
        return self.posts(f"/m/{machine_id}/play", ticket=self.tickets(machine_id)[number])

    def finishes(self) -> TestResponse:
        self.opens("/tab")
        (token,) = re.findall(r'name="token" value="([^"]+)"', self.page)
        return self.posts("/tab/finish", token=token)

    @property
    def cookie(self) -> str:
        found = self.client.get_cookie("tab", domain="play.example")
        return "" if found is None else found.value


@pytest.fixture
def site() -> Site:
    site = Site(tab_limits=LIMITS)
    site.add_machine("cab-01", name="Street Fighter II", offers=(TWO,))
    site.add_machine("cab-02", name="Dance Dance", offers=(TWO,))
    site.say_status("cab-02")
    return site


@pytest.fixture
def phone(site: Site) -> Phone:
    return Phone(site)


def kept(site: Site, order_id: str) -> dict[str, Any]:
    (money,) = [m for m in site.payments.stripe.money() if m["id"] == site.order(order_id).payment_intent]
    return dict(money)


# --- opening ---------------------------------------------------------------------------------------------


def test_without_a_tab_both_ways_to_pay_are_compared(site: Site, phone: Phone) -> None:
    read = phone.opens("/m/cab-01")
    for text in (
        "Open a tab: up to RM 20.00 is held",
        "up to RM 50.00",
        "You pay only for what you play",
        "RM 2.00",
    ):
        assert text in read
    assert "ticket" not in phone.page


def test_where_there_are_no_tabs_no_page_speaks_of_them() -> None:
    site = Site()
    phone = Phone(site)
    assert "tab" not in phone.opens("/m/cab-01")
    answer = phone.posts("/m/cab-01/tab", limit="2000")
    assert answer.status_code == 422
    assert "Nothing was charged" in phone.sees(answer)
    assert not site.store.recent_orders(5)


@pytest.mark.parametrize("limit", ["", "2001", "-2000", "2000.0", "x", "9" * 40, "\u0662"])
def test_only_the_operators_limits_can_be_held(site: Site, phone: Phone, limit: str) -> None:
    answer = phone.posts("/m/cab-01/tab", limit=limit)
    assert answer.status_code == 422
    assert "Nothing was charged" in phone.sees(answer)
    assert not site.store.recent_orders(5)


def test_the_cookie_is_kept_by_this_browser_alone_for_as_long_as_a_tab_lives(site: Site, phone: Phone) -> None:
    answer = phone.posts("/m/cab-01/tab", limit="2000")
    (cookie,) = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith("tab=")]
    attributes = {part.strip() for part in cookie.split(";")[1:]}
    life_s = site.settings.limits.checkout_life_s + site.settings.limits.tab_life_s
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/", f"Max-Age={life_s}"} <= attributes
    (order,) = site.store.recent_orders(5)
    assert phone.cookie
    assert phone.cookie not in answer.headers["Location"]
    assert answer.headers["Location"] == order.checkout_url
    assert answer.headers["Cache-Control"] == "no-store"


def test_on_plain_http_the_cookie_is_kept_too() -> None:
    site = Site(tab_limits=LIMITS, public_base_url="http://localhost:5000")
    answer = site.client.post("/m/cab-01/tab", data={"limit": "2000"})
    (cookie,) = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith("tab=")]
    assert "Secure" not in cookie
    assert site.client.get_cookie("tab") is not None


def test_below_a_prefix_the_cookie_stays_below_it() -> None:
    site = Site(tab_limits=LIMITS, stage_prefix="/prod")
    answer = site.client.post("/prod/m/cab-01/tab", data={"limit": "2000"})
    (cookie,) = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith("tab=")]
    assert "Path=/prod" in cookie


def test_a_form_that_is_sent_twice_leads_to_one_checkout(site: Site, phone: Phone) -> None:
    first = phone.posts("/m/cab-01/tab", limit="2000")
    cookie = phone.cookie
    again = phone.posts("/m/cab-01/tab", limit="2000")
    assert again.headers["Location"] == first.headers["Location"]
    assert phone.cookie == cookie
    assert len(site.store.recent_orders(5)) == 1


def test_an_open_tab_is_not_lost_by_opening_another(site: Site, phone: Phone) -> None:
    phone.opens_tab()
    cookie = phone.cookie
    assert phone.posts("/m/cab-02/tab", limit="5000").headers["Location"] == "/m/cab-02"
    assert phone.cookie == cookie
    assert len(site.store.recent_orders(5)) == 1


def test_a_declined_card_opens_no_tab(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab(method="card_declined")
    assert "not open yet" in phone.opens(f"/m/cab-01/o/{order_id}")
    assert "ticket" not in phone.page
    assert "Open a tab" in phone.opens("/m/cab-01")


# --- playing ---------------------------------------------------------------------------------------------


def test_a_visit_on_one_tab(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    assert "Your tab: RM 20.00 left" in phone.opens(f"/m/cab-01/o/{order_id}")
    read = phone.opens("/m/cab-01")
    assert "Your tab: RM 20.00 left" in read
    assert "Pay for one play, without the tab" in read
    assert "Finish: pay nothing" in read
    assert "Open a tab" not in read
    answer = phone.taps()
    assert (answer.status_code, answer.headers["Location"]) == (303, "/m/cab-01")
    read = phone.opens("/m/cab-01")
    for text in (
        "Your tab: RM 18.00 left",
        "2 credits on their way",
        "still adding",
        "Not confirmed yet: RM 2.00. You pay it only if the credits are added.",
        "Finish your tab",
    ):
        assert text in read
    site.say_last_ack(order_id)
    read = phone.opens("/m/cab-01")
    assert "2 credits added: press START" in read
    assert "Finish: pay RM 2.00" in read
    assert "Not confirmed" not in read
    assert phone.taps("cab-02").status_code == 303
    site.say_last_ack(order_id, delivered=1)
    assert "1 of 2 added: you pay RM 1.00" in phone.opens("/m/cab-02")
    read = phone.opens("/tab")
    for text in ("Street Fighter II", "Dance Dance", "Your tab: RM 17.00 left", "Finish: pay RM 3.00"):
        assert text in read
    assert phone.finishes().headers["Location"] == "/tab"
    site.deliver_events()
    assert "You paid RM 3.00 of RM 20.00 held" in phone.opens("/tab")
    assert "You paid RM 3.00 of RM 20.00 held" in phone.opens(f"/m/cab-02/o/{order_id}")
    read = phone.opens("/m/cab-01")
    assert "Your last tab: You paid RM 3.00 of RM 20.00 held" in read
    assert "Open a tab" in read
    money = kept(site, order_id)
    assert (money["kept"], money["held"], money["refunded"]) == (300, 0, 0)


def test_one_ticket_plays_once_and_says_so(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    (ticket,) = phone.tickets()
    for _ in range(3):
        assert phone.posts("/m/cab-01/play", ticket=ticket).status_code == 303
    site.say_last_ack(order_id)
    assert phone.posts("/m/cab-01/play", ticket=ticket).status_code == 303
    assert len(site.order(order_id).credits) == 1


def test_two_pages_on_one_phone_play_one_after_the_other(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    (first,), (second,) = phone.tickets(), phone.tickets()
    assert phone.posts("/m/cab-01/play", ticket=first).status_code == 303
    answer = phone.posts("/m/cab-01/play", ticket=second)
    assert answer.status_code == 409
    assert "Nothing was played" in phone.sees(answer)
    assert len(site.order(order_id).credits) == 1


def test_going_back_shows_the_machine_and_plays_nothing(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    for path in ("/m/cab-01/play", "/m/cab-01/tab"):
        assert phone.client.get(path, base_url=BASE_URL).headers["Location"] == "/m/cab-01"
    for path in ("/tab/finish", "/tab/join"):
        assert phone.client.get(path, base_url=BASE_URL).headers["Location"] == "/tab"
    assert site.order(order_id).is_open_tab
    assert not site.order(order_id).credits


def test_each_refusal_is_a_notice_on_the_page(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()

    def refused(ticket: str, text: str, status: int = 409) -> None:
        answer = phone.posts("/m/cab-01/play", ticket=ticket)
        assert answer.status_code == status
        assert text in phone.sees(answer)
        assert 'role="alert"' in phone.page
        assert not site.order(order_id).credits

    (ticket,) = phone.tickets()
    for bad in ("", "x", "a.b", ticket[:-1], "\u00e4" * 50, "x" * 5000):
        refused(bad, "no longer up to date")
    site.add_machine("cab-01", name="Street Fighter II", offers=(Offer(**{**_fields(TWO), "amount_minor": 300}),))
    refused(ticket, "The price has changed")
    site.add_machine("cab-01", name="Street Fighter II", offers=(TWO,))
    site.now_ms += 11 * 60_000
    site.say_status("cab-01")
    phone.opens("/m/cab-01")  # the hold is read again
    refused(ticket, "This page has been open for too long")
    (ticket,) = phone.tickets()
    site.say_status("cab-01", ready=False)
    refused(ticket, "This machine is not ready. Nothing was played.")


def _fields(offer: Offer) -> dict[str, Any]:
    return {name: getattr(offer, name) for name in ("offer_id", "credits", "amount_minor", "currency")}


def test_on_a_finished_tab_nothing_is_played(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    (ticket,) = phone.tickets()
    phone.finishes()
    answer = phone.posts("/m/cab-01/play", ticket=ticket)
    assert answer.status_code == 409
    assert "You have finished this tab." in phone.sees(answer)
    assert not site.order(order_id).credits


def test_without_a_cookie_nothing_is_played(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    (ticket,) = phone.tickets()
    stranger = Phone(site)
    answer = stranger.posts("/m/cab-01/play", ticket=ticket)
    assert answer.status_code == 409
    assert "no tab on this phone" in stranger.sees(answer)
    assert not site.order(order_id).credits
    assert "Finish" not in stranger.opens(f"/m/cab-01/o/{order_id}")
    assert "This phone does not have this tab." in stranger.opens(f"/m/cab-01/o/{order_id}")


def test_what_is_too_little_for_a_first_play_is_sold_twice_and_then_singly(site: Site, phone: Phone) -> None:
    site.add_machine("cab-01", offers=(CHEAP,))
    order_id = phone.opens_tab()
    assert "4 credits RM 2.00" in phone.opens("/m/cab-01")
    assert phone.taps().status_code == 303
    site.say_last_ack(order_id)
    assert "1 credit RM 0.50" in phone.opens("/m/cab-01")
    assert phone.taps().status_code == 303
    site.say_last_ack(order_id)
    assert site.order(order_id).earned_minor == 250


def test_what_is_not_left_cannot_be_tapped(site: Site, phone: Phone) -> None:
    site.add_machine("cab-01", offers=(Offer(offer_id="big", credits=15, amount_minor=1500, currency="myr"),))
    order_id = phone.opens_tab()
    phone.taps()
    site.say_last_ack(order_id)
    phone.opens("/m/cab-01")
    assert re.search(r'<button class="choice" data-credits="15" data-price="1500" disabled>', phone.page)
    answer = phone.posts("/m/cab-01/play", ticket=phone.tickets()[0])
    assert answer.status_code == 409
    assert "not enough left" in phone.sees(answer)


def test_when_the_store_does_not_answer_the_same_tap_can_be_sent_again(
    site: Site, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arcade_cloud.errors import StoreUnavailable

    order_id = phone.opens_tab()
    (ticket,) = phone.tickets()
    real = site.cloud.fulfilment.store.move

    def stored_but_not_said(*arguments: Any, **named: Any) -> Any:
        real(*arguments, **named)
        raise StoreUnavailable("the answer was lost")

    monkeypatch.setattr(site.cloud.fulfilment.store, "move", stored_but_not_said)
    answer = phone.posts("/m/cab-01/play", ticket=ticket)
    monkeypatch.undo()
    assert answer.status_code == 503
    assert "plays once" in phone.sees(answer)
    assert re.findall(r'name="ticket" value="([^"]+)"', phone.page) == [ticket]
    assert phone.posts("/m/cab-01/play", ticket=ticket).status_code == 303
    assert len(site.order(order_id).credits) == 1


# --- what keeps the pages live ---------------------------------------------------------------------------


def test_the_machines_page_is_kept_live(site: Site, phone: Phone) -> None:
    assert "tab" not in phone.state("/m/cab-01")
    order_id = phone.opens_tab()
    phone.taps()
    tab = phone.state("/m/cab-01")["tab"]
    assert (tab["open"], tab["leftMinor"], tab["leastMinor"]) == (True, 1800, 0)
    assert [play["underWay"] for play in tab["plays"]] == [True]
    assert tab["whyNot"]
    assert phone.state("/m/cab-02")["tab"]["whyNot"] == ""
    site.say_last_ack(order_id)
    tab = phone.state("/m/cab-01")["tab"]
    assert (tab["whyNot"], tab["unconfirmed"]) == ("", "")
    assert [play["result"] for play in tab["plays"]] == ["2 credits added: press START"]
    assert phone.state(f"/m/cab-01/o/{order_id}")["phase"] == "tab"
    phone.finishes()
    site.deliver_events()
    assert "tab" not in phone.state("/m/cab-01")
    assert phone.state(f"/m/cab-01/o/{order_id}")["final"]


def test_what_is_under_way_is_followed_after_finishing(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    phone.taps()
    phone.finishes()
    read = phone.opens("/m/cab-01")
    assert "Finishing your tab" in read
    assert "ticket" not in phone.page
    assert "Finishing your tab" in phone.opens("/tab")
    site.say_last_ack(order_id)
    site.deliver_events()
    assert "You paid RM 2.00 of RM 20.00 held" in phone.opens("/tab")


# --- finishing -------------------------------------------------------------------------------------------


def test_finishing_needs_a_form_of_this_tab(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    for token in ("", "x", "0" * 32, "\u00e4"):
        answer = phone.posts("/tab/finish", token=token)
        assert answer.status_code == 409
        assert "no longer up to date" in phone.sees(answer)
    other = Phone(site)
    other.opens_tab()
    other.opens("/tab")
    (theirs,) = re.findall(r'name="token" value="([^"]+)"', other.page)
    assert phone.posts("/tab/finish", token=theirs).status_code == 409
    assert site.order(order_id).is_open_tab
    stranger = Phone(site).posts("/tab/finish", token=theirs)
    assert stranger.status_code == 409


def test_no_other_site_can_play_or_finish(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    (ticket,) = phone.tickets()
    away = {"Sec-Fetch-Site": "cross-site"}
    for path, form in (
        ("/m/cab-01/play", {"ticket": ticket}),
        ("/tab/finish", {}),
        ("/tab/join", {"secret": "x"}),
    ):
        assert phone.client.post(path, data=form, headers=away, base_url=BASE_URL).status_code == 403
    assert site.order(order_id).is_open_tab
    assert not site.order(order_id).credits


def test_finishing_twice_is_finishing_once(site: Site, phone: Phone) -> None:
    phone.opens_tab()
    phone.opens("/tab")
    (token,) = re.findall(r'name="token" value="([^"]+)"', phone.page)
    for _ in range(2):
        assert phone.posts("/tab/finish", token=token).status_code == 303


def test_nobody_played_so_nothing_is_paid(site: Site, phone: Phone) -> None:
    phone.opens_tab()
    phone.finishes()
    site.deliver_events()
    assert "You were not charged" in phone.opens("/tab")


# --- another browser -------------------------------------------------------------------------------------


def test_another_browser_finds_the_tab_by_a_link_with_a_fragment(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    read = phone.opens("/tab")
    assert "Whoever has this link can spend what is left" in read
    assert f"{BASE_URL}/tab#{phone.cookie}" in phone.page
    assert phone.cookie not in re.sub(r"#[\w-]+", "", phone.page), "in the fragment, and nowhere else"
    other = Phone(site)
    assert "No tab on this phone" in other.opens("/tab")
    assert other.posts("/tab/join", secret=phone.cookie).headers["Location"] == "/tab"
    assert other.cookie == phone.cookie
    assert other.taps("cab-02").status_code == 303
    assert len(site.order(order_id).credits) == 1


def test_a_link_to_nothing_says_so(site: Site) -> None:
    phone = Phone(site)
    answer = phone.posts("/tab/join", secret="x" * 43)
    assert answer.status_code == 409
    assert "no tab any more" in phone.sees(answer)
    assert not phone.cookie


def test_a_link_takes_no_open_tab_away(site: Site, phone: Phone) -> None:
    phone.opens_tab()
    other = Phone(site)
    other.opens_tab()
    before = other.cookie
    answer = other.posts("/tab/join", secret=phone.cookie)
    assert answer.status_code == 409
    assert "has an open tab of its own" in other.sees(answer)
    assert other.cookie == before


def test_a_cookie_of_nothing_is_like_none(site: Site) -> None:
    phone = Phone(site)
    for value in ("x", "x" * 4000, "%00"):
        phone.client.set_cookie("tab", value, domain="play.example")
        assert "Open a tab" in phone.opens("/m/cab-01")
        assert "No tab on this phone" in phone.opens("/tab")
        assert phone.posts("/m/cab-01/play", ticket="x").status_code == 409


def test_a_phone_that_comes_back_next_day_reads_what_became_of_it(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    phone.taps()
    site.say_last_ack(order_id)
    (ticket,) = phone.tickets()
    site.now_ms += 3_700_000
    while site.cloud.fulfilment.run_once():
        site.deliver_events()
    site.deliver_events()
    site.now_ms += 20 * 3_600_000
    site.say_status("cab-01")
    assert phone.posts("/m/cab-01/play", ticket=ticket).status_code == 409
    read = phone.opens(f"/m/cab-01/o/{order_id}")
    assert "You paid RM 2.00 of RM 20.00 held" in read
    assert "Nobody played on this tab for a while, so it was finished." in read


def test_a_page_with_a_tab_is_small_and_never_cached(site: Site, phone: Phone) -> None:
    phone.opens_tab()
    phone.taps()
    for path in ("/m/cab-01", "/tab"):
        answer = phone.client.get(path, base_url=BASE_URL)
        assert answer.headers["Cache-Control"] == "no-store"
        loads = re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text)
        sizes = [
            len(phone.client.get(address, base_url=BASE_URL).data) for address in loads if ".svg" not in address
        ]
        assert len(answer.data) + sum(sizes) < 30 * 1024


def test_no_address_that_is_logged_has_the_secret(site: Site, phone: Phone) -> None:
    """The server is asked for addresses without it, from the tap that opens the tab to the one that ends it."""
    phone.opens_tab()
    phone.taps()
    for path in ("/m/cab-01", "/tab"):
        phone.opens(path)
        addresses = re.findall(r'(?:src|href|action|data-state-url)="([^"]+)"', phone.page)
        assert all(phone.cookie not in address.partition("#")[0] for address in addresses)


def test_why_a_tap_plays_nothing_is_said_in_the_players_language(site: Site, phone: Phone) -> None:
    phone.opens("/m/cab-01?lang=ms")
    phone.opens_tab()
    first, second = phone.tickets()[0], phone.tickets()[0]
    assert phone.posts("/m/cab-01/play", ticket=first).status_code == 303
    answer = phone.posts("/m/cab-01/play", ticket=second)
    assert answer.status_code == 409
    assert "Mesin masih menambah kredit anda." in phone.sees(answer)
    assert "still adding" not in answer.text
    assert "Pautan ini tidak lagi membuka" in phone.sees(phone.posts("/tab/join", secret="nobody"))
    assert "Tab ini tidak boleh dibuka di sini." in phone.sees(
        Phone(site).posts("/m/cab-01/tab?lang=ms", limit="1")
    )


def test_a_play_on_a_tab_says_what_is_free_and_until_when_as_a_purchase_does(site: Site, phone: Phone) -> None:
    phone.opens_tab()
    site.add_machine("cab-01", name="Street Fighter II", offers=parse_offers(["6+1=12.00MYR/14:00-18:00"]))
    site.say_status("cab-01", max_credits=50)
    read = phone.opens("/m/cab-01")
    assert read.count("6 + 1 free · until 18:00") == 2  # on the tab, and without it


# --- credits that did not arrive ------------------------------------------------------------------------------


def finished(site: Site, phone: Phone) -> str:
    """A tab that is done: one play on cab-01, two on cab-02."""
    order_id = phone.opens_tab()
    for machine_id in ("cab-01", "cab-02", "cab-02"):
        assert phone.taps(machine_id).status_code == 303
        site.say_last_ack(order_id)
    phone.finishes()
    site.deliver_events()
    assert site.order(order_id).state == "settled"
    return order_id


def claims(phone: Phone, order_id: str, **form: str) -> TestResponse:
    return phone.posts(f"/m/cab-01/o/{order_id}/claim", **form)


def test_a_play_of_a_finished_tab_is_claimed_once(site: Site, phone: Phone) -> None:
    site.player_claims.limits = {"myr": 10_000}
    order_id = finished(site, phone)
    before = kept(site, order_id)["kept"]
    said = phone.opens("/tab")
    assert "Credits did not arrive? Which play?" in said
    assert re.findall(r'<option value="(\d)">', phone.page) == ["3", "2", "1"]
    assert phone.state(f"/m/cab-01/o/{order_id}")["claimable"] == 2
    for _ in range(2):
        assert claims(phone, order_id, play="2", credits="1").status_code == 303
    assert claims(phone, order_id, play="3", credits="1").status_code == 303, "an order has one claim"
    site.deliver_events()
    assert kept(site, order_id)["kept"] == before - TWO.amount_minor // 2
    claim = site.player_claims.of(site.order(order_id))
    assert claim is not None
    assert claim.claimed.machine_id == "cab-02"
    assert claim.line.entry.wish.startswith("1 of 2 credits of play 2, on cab-02, did not arrive")
    assert "goes back to you" in phone.opens("/tab")
    assert "Which play?" not in phone.opens("/tab")


def test_a_claim_of_a_tab_names_a_play_that_was_delivered(site: Site, phone: Phone) -> None:
    order_id = finished(site, phone)
    for form in ({"credits": "1"}, {"play": "0", "credits": "1"}, {"play": "4", "credits": "1"}):
        assert "no longer be reported" in phone.sees(claims(phone, order_id, **form))
    assert "from 1 to 2" in phone.sees(claims(phone, order_id, play="1", credits="3"))
    assert site.player_claims.of(site.order(order_id)) is None


def test_nothing_is_claimed_of_an_open_tab(site: Site, phone: Phone) -> None:
    order_id = phone.opens_tab()
    assert phone.taps().status_code == 303
    site.say_last_ack(order_id)
    assert "Which play?" not in phone.opens("/tab")
    assert "no longer be reported" in phone.sees(claims(phone, order_id, play="1", credits="1"))


@pytest.mark.parametrize(("language", "why"), [("ms", "dari 1 hingga 2"), ("zh", "1 到 2")])
def test_why_a_claim_is_refused_is_said_in_the_players_language(
    site: Site, phone: Phone, language: str, why: str
) -> None:
    order_id = finished(site, phone)
    phone.client.get(f"/m/cab-01?lang={language}", base_url=BASE_URL)
    said = phone.sees(
        phone.client.post(
            f"/m/cab-01/o/{order_id}/claim",
            data={"play": "1", "credits": "9"},
            headers={"Accept-Language": language},
            base_url=BASE_URL,
        )
    )
    assert why in said
    assert "number from" not in said


# --- what is said of money that goes back ---------------------------------------------------------------------


def test_what_was_paid_is_what_was_captured_and_not_what_was_held(site: Site, phone: Phone) -> None:
    order_id = finished(site, phone)
    site.cloud.operations.refund(order_id, by="ann", reason="it froze", play=1)
    site.deliver_events()
    assert "You paid RM 6.00, and RM 2.00 of it goes back to you." in phone.opens("/tab")
    site.cloud.operations.refund(order_id, by="ann", reason="it froze again", keep_minor=0)
    site.deliver_events()
    assert "Refund started: RM 6.00" in phone.opens("/tab")
