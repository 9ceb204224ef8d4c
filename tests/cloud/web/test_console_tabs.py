"""Tabs in the console: one payment with its plays, refunded one by one or all, closed by hand, and booked."""

from datetime import UTC, datetime

import pytest

from arcade_cloud.domain import books
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.people import Role
from support.console import Console
from support.pages import words as words_of
from support.site import START_MS
from support.tab_site import TabSite


@pytest.fixture
def site() -> TabSite:
    return TabSite()


@pytest.fixture
def owner(site: TabSite) -> Console:
    return Console(site)


def path(site: TabSite) -> str:
    return f"/console/orders/{site.tab.order_id}"


def test_an_open_tab_shows_its_plays_and_is_closed_by_hand(site: TabSite, owner: Console) -> None:
    site.open_tab()
    assert "Nothing was played" in owner.get(path(site)).text
    site.play("cab-01")
    site.tap("cab-02")
    page = owner.get(path(site)).text
    for words in ("RM 2.00 of RM 20.00", "Open.", "Play 1: RM 2.00", "Play 2: RM 2.00", "cab-02", "Close the tab"):
        assert words in page, words
    answer = owner.post(path(site) + "/close")
    assert answer.status_code == 303
    page = owner.get(path(site)).text
    assert "Closed: an operator closed it." in page
    assert "Close the tab" not in page
    again = owner.post(path(site) + "/close")
    assert again.status_code == 422
    assert "is closed already" in again.text
    entries = [line.entry for line in site.people.audit(20) if line.entry.act == "tab close"]
    assert [(entry.on, entry.before) for entry in entries] == [(site.tab.order_id, "open")]


def test_one_play_is_refunded_and_the_tab_goes_on(site: TabSite, owner: Console) -> None:
    site.open_tab()
    site.play("cab-01")
    site.play("cab-02")
    shown = owner.get(path(site) + "/refund", play="2", reason="stuck")
    assert "RM 2.00 of RM 4.00 go back" in shown.text
    assert "play 2 of the tab" in shown.text
    assert owner.submit(shown).status_code == 303
    assert site.tab.is_open_tab
    assert "Play 2: RM 2.00, given back" in owner.get(path(site)).text
    refused = owner.get(path(site) + "/refund", play="2", reason="stuck")
    assert refused.status_code == 422
    assert "nothing to give back of play 2" in refused.text
    site.finish()
    (money,) = site.payments.stripe.money()
    assert (money["kept"], money["held"]) == (200, 0)


def test_all_is_refunded_which_closes_it(site: TabSite, owner: Console) -> None:
    site.open_tab()
    site.play("cab-01")
    shown = owner.get(path(site) + "/refund", reason="closing time")
    assert "it is closed by this" in shown.text
    assert owner.submit(shown).status_code == 303
    site.deliver_events()
    assert site.tab.state == "settled"
    assert [money["kept"] for money in site.payments.stripe.money()] == [0]


def test_the_takings_go_to_the_machines_that_were_played(site: TabSite) -> None:
    site.open_tab()
    for machine_id in ("cab-02", "cab-02", "cab-01"):
        site.play(machine_id)
    site.finish()
    assert site.tab.state == "settled"
    lines = site.store.booked(site.tab.order_id)
    assert [(line.machine_id, line.location, line.gross_minor) for line in lines if line.kind == books.PLAY] == [
        ("cab-02", "Hall 2", 200),
        ("cab-02", "Hall 2", 200),
        ("cab-01", "Hall 1", 200),
    ]


def test_a_day_with_a_tab_is_reconciled(site: TabSite) -> None:
    site.open_tab()
    site.play("cab-02")
    site.play("cab-01")
    site.finish()
    site.now_ms += 86_400_000
    day = datetime.fromtimestamp(START_MS / 1000, UTC).date()
    report = site.daily.run(day)
    assert report.differences == ()
    fees = [line for line in site.store.booked(site.tab.order_id) if line.kind == books.FEE]
    assert {line.machine_id for line in fees} == {"cab-02"}, "where its first play was"
    assert sum(line.moved_minor for line in fees) == 400


def test_what_is_too_cheap_for_a_payment_is_no_fault_where_there_are_tabs(site: TabSite) -> None:
    cheap = Offer(offer_id="cheap", credits=1, amount_minor=100, currency="myr")
    dear = Offer(offer_id="cheap", credits=1, amount_minor=10, currency="sgd")
    site.add_machine("cab-01", offers=(cheap,))
    site.add_machine("cab-02", offers=(dear,))

    def faults() -> dict[str, bool]:
        return {one.name: one.wrong is not None for one in site.self_check.offers() if "machine" in one.name}

    assert faults() == {"machine cab-01, offers": False, "machine cab-02, offers": True}
    site.store.__dict__["_form"] = 1
    assert faults() == {"machine cab-01, offers": True, "machine cab-02, offers": True}
    tabs = {one.name: one.wrong for one in site.self_check.verdicts()}["tabs"]
    assert "store upgrade" in (tabs or "")


def test_a_manager_may_close_a_tab_and_a_viewer_may_not(site: TabSite) -> None:
    site.open_tab()
    viewer = Console(site, Role.VIEWER, "vic", second_factor=False)
    assert "Close the tab" not in viewer.get(path(site)).text
    assert viewer.post(path(site) + "/close").status_code == 403
    assert site.tab.is_open_tab
    manager = Console(site, Role.MANAGER, "max")
    assert manager.post(path(site) + "/close").status_code == 303


def test_the_evidence_names_every_machine(site: TabSite, owner: Console) -> None:
    site.open_tab()
    site.play("cab-01")
    site.play("cab-02")
    site.finish()
    page = words_of(owner.get(path(site) + "/evidence"))
    for words in ("Game cab-01", "Game cab-02", "RM 4.00"):
        assert words in page, words


def test_a_tab_is_found_by_what_the_statement_shows(site: TabSite, owner: Console) -> None:
    site.open_tab()
    site.play("cab-01")
    site.play("cab-02")
    site.finish()
    for amount in ("4.00", "20.00"):
        assert site.tab.code in owner.get("/console/orders", amount=amount).text
    assert site.tab.code not in owner.get("/console/orders", amount="6.00").text


def test_a_tab_that_nobody_paid_for_is_closed_by_hand_only_while_somebody_may_pay(
    site: TabSite, owner: Console
) -> None:
    order, _ = site.cloud.tabs.begin("cab-01", 2000)
    address = f"/console/orders/{order.order_id}"
    assert "Close the tab" in owner.get(address).text
    page = order.payment.checkout if order.payment is not None else None
    assert page is not None
    site.payments.stripe.world.expire(page.session_id)
    site.deliver_events()
    assert site.order(order.order_id).state == "abandoned"
    assert "Close the tab" not in owner.get(address).text
