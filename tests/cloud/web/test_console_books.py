"""The console's books: a day is reconciled on demand, what differs is accepted, a payout is taken apart."""

import html
from datetime import date

import pytest

from arcade_cloud.domain.people import Role
from arcade_cloud.errors import PaymentsUnavailable
from support.console import Console
from support.pages import MARKUP, words
from support.site import Site

DAY_MS = 86_400_000
DAY = "2026-09-21"


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def console(site: Site) -> Console:
    return Console(site, Role.MANAGER)


def bought(site: Site, credits: int = 3) -> str:
    """An order that was paid, delivered and captured; its id."""
    order_id = site.begin(credits)
    site.pay(order_id)
    site.say_ack(order_id, delivered=credits)
    site.deliver_events()
    assert site.order(order_id).state == "settled"
    return order_id


def refunded_by_hand(site: Site, amount_minor: int = 100) -> str:
    """An order of which somebody has given a part back at Stripe, and no webhook told of it; the next day."""
    order_id = bought(site)
    site.payments.stripe.refund_by_hand(str(site.order(order_id).payment_intent), amount_minor)
    site.payments.stripe.take_events()
    return order_id


def test_a_day_is_reconciled_on_demand(site: Site, console: Console) -> None:
    order_id = refunded_by_hand(site)
    site.now_ms += DAY_MS
    assert "No day was reconciled" in words(console.get("/console/books"))
    answer = console.post("/console/books/run", day=DAY)
    assert answer.status_code == 303
    page = console.get(answer.location)
    text = words(page)
    assert "The day is reconciled" in text
    assert "Mon 21 Sep 1 difference" in text
    assert "Stripe has RM 1.00 less than the books" in text
    assert f"/console/orders/{order_id}" in page.text
    (line,) = site.desk.log.read(10, on=DAY)
    assert (line.entry.who, line.entry.act) == (console.name, "reconcile")
    assert line.outcome is not None
    assert (line.outcome.result, line.outcome.after) == ("done", "1 differences")


def test_a_day_with_more_than_a_page_can_wait_for_goes_on_from_there(
    site: Site, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    refunded_by_hand(site)
    site.now_ms += DAY_MS
    monkeypatch.setattr("arcade_cloud.web.console.books_pages.WAIT_S", 0.0)
    phases = []
    for _ in range(3):
        answer = console.post("/console/books/run", day=DAY)
        report = site.store.day_report(DAY)
        assert report is not None
        phases.append(report.phase)
        page = console.get(answer.location)
        if report.phase != "done":
            assert "is being reconciled" in words(page)
            assert "Go on with it" in page.text
    assert phases == ["payouts", "orders", "done"]
    assert "1 difference" in words(page)
    # A look that was left long ago is begun anew.
    console.post("/console/books/run", day=DAY)
    site.now_ms += 20 * 60_000
    calls = len(site.payments.calls)
    console.post("/console/books/run", day=DAY)
    assert "GET /v1/balance_transactions" in site.payments.calls[calls:]


def test_a_difference_is_accepted_with_a_reason_by_whom_and_when(site: Site, console: Console) -> None:
    refunded_by_hand(site)
    site.now_ms += DAY_MS
    console.post("/console/books/run", day=DAY)
    assert site.store.lasting_alert("books_differ", DAY) is not None
    page = console.get("/console/books")
    assert "Accept 1 difference" in words(page)
    assert console.submit(page, reason="  ").status_code == 422
    assert console.submit(page, reason="x" * 301).status_code == 422
    assert site.store.lasting_alert("books_differ", DAY) is not None
    answer = console.submit(page, reason="Mei has asked for it")
    assert answer.status_code == 303
    page = console.get(answer.location)
    text = words(page)
    assert "Mon 21 Sep no difference" in text
    assert "Accepted by ann, 2026-09-22 14:13:20 UTC: Mei has asked for it" in text
    assert "Accept 1" not in text
    assert site.store.lasting_alert("books_differ", DAY) is None
    (line,) = [one for one in site.desk.log.read(10, on=DAY) if one.outcome and one.outcome.after == "1 accepted"]
    assert line.entry.wish == "accept, by ann: Mei has asked for it"
    # It stays accepted when the day is looked at again, and by whom is not forgotten.
    console.post("/console/books/run", day=DAY)
    text = words(console.get("/console/books"))
    assert "no difference" in text
    assert "Accepted by ann, 2026-09-22 14:13:20 UTC: Mei has asked for it" in text


def test_nobody_accepts_what_they_have_not_seen(site: Site, console: Console) -> None:
    refunded_by_hand(site)
    other = bought(site)
    site.now_ms += DAY_MS
    console.post("/console/books/run", day=DAY)
    seen = console.get("/console/books")
    before_ms, site.now_ms = site.now_ms, site.now_ms - DAY_MS + 60_000
    site.payments.stripe.refund_by_hand(str(site.order(other).payment_intent), 200)
    site.payments.stripe.take_events()
    site.now_ms = before_ms
    site.daily.run(date(2026, 9, 21))
    answer = console.submit(seen, reason="seen")
    assert answer.status_code == 422
    assert "was looked at again meanwhile" in answer.text
    report = site.store.day_report(DAY)
    assert report is not None
    assert len(report.found) == 2


def test_what_cannot_be_reconciled_says_why(site: Site, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    for day, says in (("2027-01-01", "has not begun"), ("x", "write a day"), ("1990-01-01", "not a day")):
        answer = console.post("/console/books/run", day=day)
        assert answer.status_code == 422
        assert says in html.unescape(answer.text)
    assert console.post("/console/books/accept", day=DAY, version="1", reason="x").status_code == 422

    def down(**_: object) -> None:
        raise PaymentsUnavailable("Stripe gave no answer")

    monkeypatch.setattr(site.payments, "read_entries", down)
    answer = console.post("/console/books/run", day=DAY)
    assert answer.status_code == 503
    assert "Stripe gave no answer" in answer.text


def paid_out(site: Site) -> str:
    """A payout with an order, a refund and another shop's payment in it; its id."""
    world = site.payments.stripe.world
    world.set_rules(balance_delay_s=0, available_after_days=0)
    bought(site)
    refunded_by_hand(site)
    site.payments.stripe.pay(site.payments.stripe.visit_shop(), "fpx")
    site.payments.stripe.take_events()
    site.now_ms += DAY_MS
    (payout,) = world.pay_out()
    return str(payout["id"])


def test_a_payout_is_opened_down_to_its_days(
    site: Site, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Stripe has paid nothing out" in words(console.get("/console/books/payout"))
    payout = paid_out(site)
    page = console.get("/console/books/payout")
    assert payout in words(page)
    assert "Stripe does not list what it is of" in words(console.get("/console/books/payout", id=payout))
    site.now_ms += DAY_MS
    text = words(console.get("/console/books/payout", id=payout))
    parts = site.daily.parts_of(payout)
    (sums,) = parts.by_day.values()
    assert (sums.charged_minor, sums.refunded_minor, sums.others) == (600, 100, 1)
    assert sums.net_minor == parts.payout.amount_minor
    assert "Mon 21 Sep RM 6.00 RM 1.00" in text
    assert f"Payout of RM {parts.payout.amount_minor / 100:.2f}" in text
    assert "is in no entry" not in text
    for wrong in ("po_none", "../v1/refunds", ".", "..", "\N{FULLWIDTH DIGIT ONE}"):
        answer = console.get("/console/books/payout", id=wrong)
        assert answer.status_code == 422
        assert f"Stripe knows no payout {wrong!r}" in html.unescape(answer.text)
    monkeypatch.setattr("arcade_cloud.web.console.books_pages.WAIT_S", 0.0)
    monkeypatch.setattr("arcade_cloud.adapters.stripe.gateway._PAGE", 1)
    long = console.get("/console/books/payout", id=payout)
    assert long.status_code == 422
    assert f"arcade-cloud reconcile --payout {payout}" in html.unescape(long.text)


def test_a_payout_that_failed_leads_to_what_it_was_of(site: Site, console: Console) -> None:
    payout = paid_out(site)
    site.payments.stripe.world.fail_payout(payout)
    site.now_ms += DAY_MS
    console.post("/console/books/run", day="2026-09-22")
    assert f"/console/books/payout?id={payout}" in console.get("/console/books").text


def test_no_reason_becomes_markup(site: Site, console: Console) -> None:
    refunded_by_hand(site)
    site.now_ms += DAY_MS
    console.post("/console/books/run", day=DAY)
    assert console.submit(console.get("/console/books"), reason=MARKUP).status_code == 303
    for path in ("/console/books", f"/console/audit?on={DAY}", f"/console/books/payout?id={MARKUP}"):
        text = console.get(path).text.lower()
        assert "<script>alert" not in text
        assert "<img src=x" not in text


def test_a_viewer_sees_the_books_and_no_buttons(site: Site, console: Console) -> None:
    refunded_by_hand(site)
    site.now_ms += DAY_MS
    console.post("/console/books/run", day=DAY)
    page = Console(site, Role.VIEWER, "bob").get("/console/books")
    assert "1 difference" in words(page)
    assert "<form" not in page.text
