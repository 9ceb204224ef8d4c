"""A machine out of service says so on every page and to every program, and comes back on the page that is open."""

import re
from zoneinfo import ZoneInfo

import pytest

from support.site import Site, check_error

CLOSED = "Closed for maintenance. Back at"


@pytest.fixture
def site() -> Site:
    """`cab-01` is out of service for an hour, though its agent is there and ready."""
    site = Site(timezone=ZoneInfo("Asia/Kuala_Lumpur"))
    fleet = site.cloud.fleet
    assert list(fleet.close(["cab-01"], reason="Closed for maintenance", until="2026-09-21 14:14Z"))
    return site


def back(site: Site) -> None:
    site.now_ms += 3_600_000
    site.say_status("cab-01")


def test_the_players_page_says_so_and_offers_no_button(site: Site) -> None:
    page = site.client.get("/m/cab-01")
    assert page.status_code == 200
    assert f"{CLOSED} 22:14." in page.text
    buttons = re.findall(r"<button[^>]*>", page.text)
    assert buttons
    assert all("disabled" in button for button in buttons)
    state = site.client.get("/m/cab-01?format=json").get_json()
    assert (state["ready"], state["word"]) == (False, f"{CLOSED} 22:14.")


def test_the_cabinets_screen_says_so(site: Site) -> None:
    state = site.client.get("/kiosk/cab-01?format=json").get_json()
    assert (state["state"], state["detail"]) == ("out_of_order", f"{CLOSED} 22:14.")
    assert f"{CLOSED} 22:14." in site.client.get("/kiosk/cab-01").text


def test_a_tap_on_a_page_that_was_open_charges_nothing(site: Site) -> None:
    answer = site.client.post("/m/cab-01/checkout", data={"offer_id": "credit", "quantity": "1"})
    assert answer.status_code == 409
    assert "Nothing was charged" in answer.text
    assert CLOSED in answer.text
    assert site.store.recent_orders(9) == []


def test_kiosk_software_is_told_why(site: Site) -> None:
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    assert check_error(answer, 409, "not_ready").startswith(CLOSED)


def test_an_open_page_comes_back_by_itself(site: Site) -> None:
    version = site.client.get("/kiosk/cab-01?format=json").get_json()["page"]
    back(site)
    assert site.client.get("/m/cab-01?format=json").get_json()["ready"] is True
    state = site.client.get("/kiosk/cab-01?format=json").get_json()
    assert (state["state"], state["page"]) == ("ready", version)
    assert site.begin()


def test_what_an_operator_writes_is_text_and_no_markup(site: Site) -> None:
    assert list(site.cloud.fleet.close(["cab-01"], reason="<script>alert(1)</script>"))
    for path in ("/m/cab-01", "/kiosk/cab-01"):
        page = site.client.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_a_retired_machine_says_so(site: Site) -> None:
    assert list(site.cloud.fleet.close(["cab-01"], for_good=True))
    assert "This machine is no longer in use." in site.client.get("/m/cab-01").text
    assert "This machine is no longer in use." in site.client.get("/kiosk/cab-01").text
