"""A machine's page and the screen on the machine show the same sign, so that a swapped sticker is noticed."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from arcade_cloud.domain.people import Role
from arcade_cloud.domain.screens import LEAST_MS, NOTED_EVERY_MS, SCREEN_LASTS_MS, SHOWN_MS, Screen
from arcade_cloud.errors import Conflict, StoreUnavailable
from support.console import Console
from support.memory_store import MemoryStore
from support.pages import words
from support.site import Site


@pytest.fixture
def site() -> Site:
    return Site()


def of_the_page(client: FlaskClient, machine_id: str = "cab-01") -> str:
    """The sign on a phone, in words; empty if there is none."""
    page = client.get(f"/m/{machine_id}").text
    found = re.findall(r'class="same".*?<svg.*?it shows a <b>(.*?)</b> too', page)
    assert len(found) <= 1
    return found[0] if found else ""


def of_the_screen(site: Site, machine_id: str = "cab-01") -> list[str]:
    state = site.client.get(f"/kiosk/{machine_id}?format=json").get_json()
    return [one["words"] for one in state["emblems"]]


def put_screens(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[Screen]:
    """What is written of screens from now on."""
    written: list[Screen] = []
    put = site.store.put_screen

    def counted(screen: Screen, expected_version: int) -> None:
        put(screen, expected_version)
        written.append(screen)

    monkeypatch.setattr(site.store, "put_screen", counted)
    return written


def test_page_and_screen_show_the_same_for_a_minute_and_no_other_screen_does(site: Site) -> None:
    site.add_machine("cab-02")
    assert of_the_screen(site) == of_the_screen(site, "cab-02") == []
    sign = of_the_page(site.app.test_client())
    assert sign
    assert of_the_screen(site) == [sign]
    assert of_the_screen(site, "cab-02") == []
    colour, shape = sign.split()
    page = site.client.get("/kiosk/cab-01").text
    assert f'data-emblems="{colour}-{shape}"' in page
    assert f'<svg class="emblem {colour}"' in page
    site.now_ms += LEAST_MS
    assert of_the_page(site.app.test_client()) == sign, "a second visitor gets the same"
    site.now_ms += 1
    late = of_the_page(site.app.test_client())
    assert not set(late.split()) & {colour, shape}, "who comes late gets one that looks different"
    assert of_the_screen(site) == [sign, late]
    site.now_ms += LEAST_MS
    assert of_the_screen(site) == [late]
    site.now_ms += SHOWN_MS
    assert of_the_screen(site) == []
    assert 'data-emblems=""' in site.client.get("/kiosk/cab-01").text


def test_a_page_says_nothing_of_a_screen_where_there_is_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    written = put_screens(site, monkeypatch)
    assert of_the_page(site.client) == ""
    assert written == []
    of_the_screen(site)
    assert of_the_page(site.client)
    site.now_ms += SCREEN_LASTS_MS
    assert of_the_page(site.client) == "", "it was taken away"
    of_the_screen(site)
    assert of_the_page(site.client)


def test_an_hour_of_visitors_and_of_a_screen_costs_few_writes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    written = put_screens(site, monkeypatch)
    for _ in range(900):
        of_the_screen(site)
        of_the_page(site.client)
        site.client.get("/m/cab-01?format=json")
        site.now_ms += 4000
    assert len(written) <= 3_600_000 // LEAST_MS + 3_600_000 // NOTED_EVERY_MS + 1


def test_a_phone_begins_so_many_a_minute_and_keeps_no_other_from_it() -> None:
    site = Site(rate_limit_per_minute=120)
    names = [f"m-{number}" for number in range(20)]
    for name in names:
        site.add_machine(name)
        of_the_screen(site, name)
    phone = site.app.test_client()
    phone.get("/m/cab-01")  # it has its token from then on
    assert [bool(of_the_page(phone, name)) for name in names] == [True] * 12 + [False] * 8
    other = site.app.test_client()
    assert of_the_page(other, names[-1])
    assert of_the_page(phone, names[-1]), "what stands already costs nothing"
    site.now_ms += 60_000
    for name in names:
        of_the_screen(site, name)
    assert of_the_page(phone, names[-2])


def test_the_page_is_there_whatever_becomes_of_its_sign(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_screen(site)

    def fails(error: type[Exception]) -> Any:
        def put_screen(*_: object) -> None:
            raise error("not now")

        return put_screen

    for error in (StoreUnavailable, Conflict):
        monkeypatch.setattr(site.store, "put_screen", fails(error))
        page = site.client.get("/m/cab-01")
        assert page.status_code == 200
        assert 'class="same"' not in page.text
        site.now_ms += NOTED_EVERY_MS
        assert site.client.get("/kiosk/cab-01?format=json").status_code == 200


def test_of_two_visitors_at_once_both_get_the_one_that_stands(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_screen(site)
    others: list[str] = []

    def put_screen(screen: Screen, expected_version: int) -> None:
        monkeypatch.undo()
        others.append(of_the_page(site.app.test_client()))
        MemoryStore.put_screen(site.store, screen, expected_version)

    monkeypatch.setattr(site.store, "put_screen", put_screen)
    assert [of_the_page(site.client)] == others == of_the_screen(site)


def test_the_page_names_the_arcade_and_the_place(site: Site) -> None:
    site.add_machine("cab-02", name="Space Duel", location="Level 2, by the lift")
    text = words(site.client.get("/m/cab-02"))
    assert "Test Arcade" in text
    assert "Level 2, by the lift" in text


def test_a_technician_has_a_screen_show_a_sign_and_it_is_logged(site: Site) -> None:
    bob = Console(site, Role.TECHNICIAN, "bob", second_factor=False)
    answer = bob.post("/console/machines/cab-01/identify")
    assert answer.status_code == 422
    assert "no screen has shown cab-01 in the last 15 minutes: open /kiosk/cab-01" in answer.text
    of_the_screen(site)
    site.now_ms += 1
    answer = bob.post("/console/machines/cab-01/identify")
    assert answer.status_code == 303
    (sign,) = of_the_screen(site)
    assert f"Its screen shows a {sign} until" in words(bob.get("/console/machines/cab-01"))
    done, refused = site.desk.log.read(5, who="bob", on="cab-01")
    assert (done.entry.act, done.entry.on) == ("machine identify", "cab-01")
    assert [getattr(one.outcome, "result", "") for one in (done, refused)] == ["done", "refused"]
    assert getattr(done.outcome, "after", "") == f"its screen shows a {sign}"
