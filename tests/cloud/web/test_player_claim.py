"""The order's page of a player who says that credits did not arrive, and what the console shows of it."""

import html
import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from arcade_cloud.domain.people import Role
from arcade_cloud.domain.player_claims import WITHIN_MS
from support.console import Console
from support.pages import MARKUP, words
from support.site import Site

OFFER = "Credits did not arrive?"


@pytest.fixture
def site() -> Site:
    return Site(claim_limits={"myr": 100})


def played(site: Site, credits: int = 3) -> str:
    site.say_status("cab-01")
    order_id = site.begin(credits)
    site.pay(order_id)
    site.say_ack(order_id, delivered=credits)
    site.deliver_events()
    return order_id


def page(site: Site, order_id: str) -> str:
    answer = site.client.get(f"/m/cab-01/o/{order_id}")
    assert answer.status_code == 200
    return words(answer)


def claim(site: Site, order_id: str, credits: str = "1", **more: Any) -> TestResponse:
    return site.client.post(f"/m/cab-01/o/{order_id}/claim", data={"credits": credits}, **more)


def claimable(site: Site, order_id: str) -> int:
    found: int = site.client.get(f"/m/cab-01/o/{order_id}?format=json").get_json()["claimable"]
    return found


def answer_of(site: Site, order_id: str) -> str:
    found = site.player_claims.of(site.order(order_id))
    return "" if found is None else found.state


def test_it_is_offered_once_the_order_is_done_and_not_for_ever(site: Site) -> None:
    order_id = site.begin(2)
    assert claimable(site, order_id) == 0
    assert "data-claim hidden" in site.client.get(f"/m/cab-01/o/{order_id}").text
    site.pay(order_id)
    assert "How many of" not in page(site, order_id)
    site.say_ack(order_id, delivered=2)
    site.deliver_events()
    assert claimable(site, order_id) == 2
    assert f"{OFFER} How many of 2 did not arrive?" in page(site, order_id)
    site.now_ms += WITHIN_MS + 1
    assert claimable(site, order_id) == 0
    assert OFFER not in page(site, order_id)


def test_a_small_claim_goes_back_at_once(site: Site) -> None:
    order_id = played(site)
    answer = claim(site, order_id)
    assert (answer.status_code, answer.location) == (303, f"/m/cab-01/o/{order_id}")
    site.deliver_events()
    text = page(site, order_id)
    assert "You reported that 1 credit did not arrive. RM 1.00 goes back to you." in text
    assert OFFER not in text
    assert claim(site, order_id, "3").status_code == 303  # sent again, it changes nothing
    assert page(site, order_id) == text


def test_a_larger_one_waits_and_the_answer_is_on_the_page(site: Site) -> None:
    console = Console(site, Role.OWNER)
    order_id, other = played(site), played(site)
    assert claim(site, order_id, "3").status_code == claim(site, other, "2").status_code == 303
    assert "The operator has been told" in page(site, order_id)
    assert "2 players say that credits did not arrive" in words(console.get("/console/"))
    shown = console.get("/console/claims")
    assert "3 of 3 credits, RM 3.00" in words(shown)
    assert "no coin meter has counted them" in words(shown)

    refund = re.search(r'name="amount" value="3.00">', shown.text)
    assert refund is not None
    looked = console.get(f"/console/orders/{order_id}/refund", amount="3.00", reason="3 credits did not arrive")
    assert "RM 3.00" in words(looked)
    assert console.post(f"/console/orders/{order_id}/refund", keep="0", reason="sorry").status_code == 303
    site.deliver_events()
    assert "Money was given back to you." in page(site, order_id)

    assert console.post(f"/console/claims/{other}/decline", reason="").status_code == 422
    answer = console.post(f"/console/claims/{other}/decline", reason=MARKUP)
    assert answer.status_code == 303
    raw = site.client.get(f"/m/cab-01/o/{other}").text
    assert MARKUP not in raw
    assert f"The operator’s answer: {MARKUP}" in html.unescape(raw)
    assert "None waits" in words(console.get("/console/claims"))
    every = words(console.get("/console/claims", all="1"))
    assert "granted: money was given back" in every
    assert "declined: " in every
    assert console.post(f"/console/claims/{other}/decline", reason="again").status_code == 422
    assert console.post("/console/claims/ord_none/decline", reason="no").status_code == 422
    assert "player's claim" in words(console.get("/console/audit"))


@pytest.mark.parametrize("credits", ["", "0", "4", "-1", "1.5", "x", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 400])
def test_a_number_that_makes_no_sense_is_refused_in_words(site: Site, credits: str) -> None:
    order_id = played(site)
    answer = claim(site, order_id, credits)
    assert answer.status_code == 422
    assert "3 were added: say a number from 1 to 3." in answer.text
    assert OFFER in answer.text


def test_nobody_claims_elsewhere_or_for_somebody_elses_machine(site: Site) -> None:
    order_id = played(site)
    site.add_machine("cab-02")
    assert site.client.post(f"/m/cab-02/o/{order_id}/claim", data={"credits": "1"}).status_code == 404
    assert site.client.post("/m/cab-01/o/none/claim", data={"credits": "1"}).status_code == 404
    assert claim(site, order_id, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    again = site.client.get(f"/m/cab-01/o/{order_id}/claim")
    assert (again.status_code, again.location) == (303, f"/m/cab-01/o/{order_id}")
    assert site.player_claims.listed(9, only_waiting=False) == []


def test_another_phone_behind_the_same_address_is_another_phone(site: Site) -> None:
    for number in range(2):
        phone = site.app.test_client()
        phone.get("/m/cab-01")  # it gets its token
        order_id = played(site)
        phone.post(f"/m/cab-01/o/{order_id}/claim", data={"credits": "1"})
        assert answer_of(site, order_id) == "granted", number
    order_id = played(site)
    phone.post(f"/m/cab-01/o/{order_id}/claim", data={"credits": "1"})
    assert answer_of(site, order_id) == "waits"


@pytest.mark.parametrize(("role", "may"), [(Role.MANAGER, True), (Role.TECHNICIAN, False), (Role.VIEWER, False)])
def test_who_may_refund_may_decline(site: Site, role: Role, may: bool) -> None:
    console = Console(site, role)
    order_id = played(site)
    claim(site, order_id, "3")
    shown = console.get("/console/claims")
    assert shown.status_code == 200
    assert ("Decline" in words(shown)) == may
    assert console.post(f"/console/claims/{order_id}/decline", reason="no").status_code == (303 if may else 403)
