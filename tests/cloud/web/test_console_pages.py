"""The operator's pages: figures that come from whole purchases, each leads to what it is made of, and acts."""

import csv
import html
import io
import re
from collections.abc import Callable
from datetime import date

import pytest

from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.machines import FRESH_MS, Machine
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.people import NEEDS_SECOND_FACTOR, Act, Role, may
from arcade_cloud.services.overview import SLOW_MS
from support.console import Console
from support.pages import MARKUP, links, words
from support.site import START_MS, Site

DAY_MS = 86_400_000
TODAY = "2026-09-21"
FIVE = Offer(offer_id="c5-800myr", credits=5, amount_minor=800, currency="myr")
TWO = Offer(offer_id="c1-200myr", credits=1, amount_minor=200, currency="myr")


@pytest.fixture
def site() -> Site:
    made = Site()
    made.add_machine("cab-02", name="Daytona USA", location="Mid Valley", offers=(TWO, FIVE))
    return made


@pytest.fixture
def console(site: Site) -> Console:
    return Console(site, Role.OWNER)


def play(
    site: Site, machine_id: str = "cab-02", offer: Offer = FIVE, delivered: int | None = None, method: str = "card"
) -> str:
    """A purchase that goes the whole way."""
    site.say_status(machine_id)
    order_id = site.cloud.sales.begin_checkout(machine_id, offer_id=offer.offer_id, quantity=1).order_id
    site.pay(order_id, method)
    site.say_ack(order_id, "done", offer.credits if delivered is None else delivered)
    site.deliver_events()
    assert site.order(order_id).state == "settled"
    return order_id


def the_machine(site: Site) -> Machine:
    found = site.store.machine("cab-02")
    assert found is not None
    return found


def test_today_shows_what_needs_a_person_and_the_takings_beside_last_weeks(site: Site, console: Console) -> None:
    site.now_ms -= 7 * DAY_MS
    play(site)
    site.now_ms += 7 * DAY_MS + 3_600_000
    play(site, delivered=3)
    site.say_status("cab-01", ready=False, reason="the door is open")
    page = console.get("/console/")
    text = words(page)
    assert "Nothing: no alert stands" in text
    assert "Kept today, MYR RM 4.80" in text
    assert "Mon 14 Sep until 15:13 RM 8.00" in text
    assert "1 not ready" in text
    assert "This machine is not ready. (the door is open)" in text
    order_id = site.cloud.sales.begin_checkout("cab-02", offer_id="c5-800myr", quantity=1).order_id
    site.pay(order_id)
    site.now_ms += SLOW_MS + 1
    text = words(console.get("/console/"))
    assert "1 order takes long" in text
    assert site.order(order_id).code in text
    site.now_ms += FRESH_MS
    text = words(console.get("/console/"))
    assert "2 not payable" in text
    assert "Nothing: no alert" not in text


def test_a_figure_can_be_opened_down_to_the_pulse(site: Site, console: Console) -> None:
    order_id = play(site, delivered=3)
    (kept,) = set(links(console.get("/console/takings?by=month"), "RM 4.80"))
    by_machine = console.get(kept)
    (lines,) = set(links(by_machine, "RM 4.80"))
    page = console.get(lines)
    assert "3 of 5" in words(page)
    (order,) = links(page, site.order(order_id).code)
    text = words(console.get(order))
    for part in (
        "3 of 5 delivered: the machine reported it.",
        "The machine reports 3 of 5 delivered, done → settling",
        "Taken RM 4.80",
        "Kept RM 4.80",
        "A player went to pay → waits for payment",
        str(site.order(order_id).payment_intent),
        site.order(order_id).credit_ids[0],
    ):
        assert part in text
    (today,) = set(links(console.get("/console/machines"), "RM 4.80"))
    assert site.order(order_id).code in words(console.get(today))


@pytest.mark.parametrize("by", ["day", "week", "month", "location", "machine", "method"])
def test_each_row_of_the_takings_leads_to_what_adds_up_to_it(site: Site, console: Console, by: str) -> None:
    play(site)
    play(site, delivered=2, method="fpx")
    play(site, "cab-02", TWO)
    site.now_ms += 8 * DAY_MS
    play(site)
    site.add_machine("cab-01", offers=(TWO,))
    play(site, "cab-01", TWO)
    page = console.get(f"/console/takings?first=2026-09-01&last=2026-09-30&by={by}")
    assert "Total 14 of 17 RM 23.20" in words(page)
    rows = re.findall(
        r'<tr><th scope="row"><a href="([^"]*)".*?</tr>', page.text.partition("<tfoot>")[0], flags=re.S
    )
    sums = re.findall(r'<td data-label="Kept" class="figure"><a href="([^"]*)">([^<]*)</a>', page.text)
    assert len(rows) == len(sums) > 0
    for href, kept in sums:
        deeper = console.get(html.unescape(href))
        assert re.search(rf"Total[^A-Z]*.*{re.escape(kept)}", words(deeper)), (href, kept)


def test_a_statement_adds_up_a_location_with_its_share(site: Site, console: Console) -> None:
    play(site)
    play(site, delivered=2)
    site.add_machine("cab-03", location="Sunway", offers=(TWO,))
    play(site, "cab-03", TWO)
    page = console.get("/console/statement?month=2026-09&location=Mid+Valley&share=12.5")
    text = words(page)
    assert "Statement for September 2026 Mid Valley" in text
    assert "Daytona USA cab-02 7 of 10 RM 11.20" in text
    assert "Share of the location, 12.5 % of what was kept RM 1.40" in text
    assert "cab-03" not in text
    assert "Total 8 of 11 RM 13.20" in words(console.get("/console/statement?month=2026-09"))


def test_machines_that_earned_nothing_stand_below_those_that_did(site: Site, console: Console) -> None:
    site.add_machine("cab-03", name="Galaga", location="Pier", offers=(TWO,))
    play(site)
    query = "/console/takings?by=machine"
    assert "earned nothing 2 Street Fighter II cab-01 Galaga cab-03 Pier" in words(console.get(query))
    assert "earned nothing 1 Galaga cab-03 Pier" in words(console.get(f"{query}&location=Pier"))
    play(site, "cab-03", TWO)
    console.post("/console/machines/cab-01/close", reason="broken")
    assert "earned nothing" not in words(console.get(query))
    assert "earned nothing" not in words(console.get("/console/takings?by=day"))


def test_the_csv_has_every_line_and_no_formula(site: Site, console: Console) -> None:
    site.add_machine("cab-02", location='=HYPERLINK("http://evil")', offers=(TWO, FIVE))
    order_id = play(site)
    rows = list(csv.DictReader(io.StringIO(console.get("/console/takings/lines.csv").text, newline="")))
    assert [(row["order"], row["kept"], row["location"]) for row in rows] == [
        (order_id, "8.00", '\'=HYPERLINK("http://evil")')
    ]
    answer = console.get("/console/takings.csv?by=location")
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert (row["location"], row["net"]) == ('\'=HYPERLINK("http://evil")', "8.00")


@pytest.mark.parametrize(
    "ask",
    [
        lambda site, order_id: site.order(order_id).code.lower(),
        lambda site, order_id: order_id,
        lambda site, order_id: site.order(order_id).payment_intent,
        lambda site, order_id: site.order(order_id).credit_ids[0],
    ],
    ids=["code", "id", "payment", "credit"],
)
def test_an_order_is_found_by_whatever_somebody_has(
    site: Site, console: Console, ask: Callable[[Site, str], str]
) -> None:
    order_id = play(site)
    page = console.get("/console/orders", q=ask(site, order_id))
    assert f"/console/orders/{order_id}" in page.text


def test_an_order_is_found_by_where_and_when_and_its_price(site: Site, console: Console) -> None:
    order_id = play(site)
    play(site, offer=TWO)
    site.now_ms += 5 * DAY_MS
    play(site)
    page = console.get("/console/orders", machine="cab-02", at=f"{TODAY}T14:00", amount="8.00")
    assert re.findall(r"/console/orders/(ord_\w+)", page.text) == [order_id]
    nothing = words(console.get("/console/orders", q="AAAAAA"))
    assert "No order was found." in nothing
    assert "Tried: order id" in nothing


def test_orders_come_in_pages(site: Site, console: Console) -> None:
    for _ in range(60):
        site.now_ms += 1
        site.begin(1)
    first = console.get("/console/orders")
    (older,) = links(first, "Older")
    ids = [set(re.findall(r"/console/orders/(ord_\w+)", page.text)) for page in (first, console.get(older))]
    assert [len(page) for page in ids] == [50, 10]
    assert not ids[0] & ids[1]


# --- acts ------------------------------------------------------------------------------------------------


def test_a_refund_shows_what_it_will_do_and_does_it_once(site: Site, console: Console) -> None:
    order_id = play(site, delivered=5)
    where = f"/console/orders/{order_id}"
    plan = console.get(f"{where}/refund", credits="2", reason="the button sticks")
    assert "RM 3.20 of RM 8.00 go back; at most RM 4.80 are kept." in words(plan)
    assert site.order(order_id).books.goodwill_minor == 0
    for _ in range(2):
        answer = console.submit(plan)
        site.deliver_events()
    assert answer.status_code in {303, 422}
    order = site.order(order_id)
    assert (order.books.target_minor, order.books.goodwill_minor) == (480, 320)
    text = words(console.get(f"{where}?done=refunded"))
    assert "The refund is on its way." in text
    assert "the button sticks" in text
    assert "Given back RM 3.20" in text
    (line,) = [
        one
        for one in site.desk.log.read(10)
        if one.entry.act == "refund" and one.outcome and one.outcome.result == "done"
    ]
    assert (line.entry.who, line.entry.on) == (console.name, order_id)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"amount": "9.00", "reason": "x"}, "no more than RM 8.00"),
        ({"amount": "1.00", "credits": "2", "reason": "x"}, "only one of them"),
        ({"credits": "x2", "reason": "x"}, "a whole number"),
        ({"credits": "6", "reason": "x"}, "1 to 5"),
        ({"amount": "1.00"}, "say why"),
        ({"amount": "1 EUR", "reason": "x"}, "EUR"),
    ],
)
def test_a_refund_that_makes_no_sense_is_refused_in_words(
    site: Site, console: Console, fields: dict[str, str], says: str
) -> None:
    order_id = play(site)
    answer = console.get(f"/console/orders/{order_id}/refund", **fields)
    assert answer.status_code == 422
    assert says in html.unescape(answer.text)
    for keep in ("", "-5", "x", "9" * 30, "800"):
        assert console.post(f"/console/orders/{order_id}/refund", keep=keep, reason="x").status_code == 422
    site.deliver_events()
    assert site.order(order_id).books.target_minor == 800


def test_a_machine_goes_out_of_service_and_back(site: Site, console: Console) -> None:
    answer = console.post("/console/machines/cab-02/close", reason="The wheel is stuck", until="18:00")
    assert answer.status_code == 303
    assert (
        "out of service until 2026-09-21 18:00: the wheel is stuck."
        in words(console.get("/console/machines/cab-02")).lower()
    )
    assert "The wheel is stuck" in site.client.get("/m/cab-02").text
    refused = console.post("/console/machines/cab-01/close", reason="x", until="25:00")
    assert refused.status_code == 422
    assert "there is no such day or time" in refused.text
    assert console.post("/console/machines/cab-02/open").status_code == 303
    assert the_machine(site).closure is None


def test_offers_are_changed_and_what_cannot_be_sold_is_refused(site: Site, console: Console) -> None:
    answer = console.post("/console/machines/cab-02/offers", offers="1=2.50MYR, 6=12.00MYR")
    assert answer.status_code == 303
    assert [(one.credits, one.amount_minor) for one in the_machine(site).offers] == [
        (1, 250),
        (6, 1200),
    ]
    for offers, says in (
        ("1=2.50MYR 1=3.00USD", "one currency"),
        ("5", "CREDITS=AMOUNT"),
        ("0=1.00MYR", "at least one credit"),
    ):
        refused = console.post("/console/machines/cab-02/offers", offers=offers)
        assert refused.status_code == 422
        assert says in html.unescape(refused.text)
        assert f'value="{offers}"' in refused.text
    assert [one.credits for one in the_machine(site).offers] == [1, 6]


def test_a_machine_shows_what_each_day_of_a_week_sells(site: Site, console: Console) -> None:
    offers = "3=5.00MYR 6+1=12.00MYR/sat+sun 3=4.00MYR/mon-fri/14:00-17:00"
    assert console.post("/console/machines/cab-02/offers", offers=offers).status_code == 303
    page = html.unescape(console.get("/console/machines/cab-02").text)
    assert "7 credits for RM 12.00, 1 of them free, sat+sun" in page
    assert "3 credits for RM 4.00, mon-fri 14:00-17:00" in page
    assert "<dt>Fri</dt><dd>3 credits for RM 5.00, 3 credits for RM 4.00 (14:00-17:00)</dd>" in page
    assert "<dt>Sat</dt><dd>3 credits for RM 5.00, 7 credits for RM 12.00</dd>" in page
    assert f'value="{offers}"' in page


def test_free_credits_are_given_once_however_often_the_form_is_sent(site: Site, console: Console) -> None:
    site.say_status("cab-02")
    page = console.get("/console/machines/cab-02")
    (token,) = re.findall(r'name="token" value="(\w+)"', page.text)
    answers = [
        console.post("/console/machines/cab-02/grant", token=token, credits="2", reason="a birthday")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].location == answers[1].location
    assert len([o for o in site.store.recent_orders(10) if o.kind == "grant"]) == 1
    assert "a birthday" in words(console.get(answers[0].location))
    refused = console.post("/console/machines/cab-01/grant", token="x", credits="0", reason="y")
    assert refused.status_code == 422


def test_alerts_of_one_kind_and_machine_are_one_line_that_opens_to_all_of_them(
    site: Site, console: Console
) -> None:
    site.say_status("cab-02")
    for _ in range(3):
        order_id = site.cloud.sales.begin_checkout("cab-02", offer_id=FIVE.offer_id, quantity=1).order_id
        site.pay(order_id)
        site.say_ack(order_id, "done", 5, registered=1)
        site.now_ms += 1000
    site.store.raise_alert(alert("meter", "cab-01", "The meter of cab-01 is worn.", site.now_ms))
    meters = [one for one in site.store.standing_alerts(10) if one.kind == "meter"]
    assert [one.about for one in meters] == ["cab-01", "cab-02", "cab-02", "cab-02"]
    for path in ("/console/", "/console/machines/cab-02"):
        page = console.get(path)
        (group,) = re.findall(r'<details class="alert">.*?</details>', page.text, flags=re.S)
        summary, _, cards = group.partition("</summary>")
        assert "3 times, cab-02, last at" in summary
        assert meters[1].text in html.unescape(summary)
        assert re.findall(r'name="alert" value="([^"]*)"', cards) == [one.alert_id for one in meters[1:]]
        assert ("The meter of cab-01 is worn." in words(page)) is (path == "/console/")
    assert console.get("/console/alerts").text.count("Coin meter") == 4


def test_an_alert_is_acknowledged_by_the_person_who_is_signed_in(site: Site, console: Console) -> None:
    site.store.raise_alert(alert("meter", "cab-02", "The meter of cab-02 missed coins.", START_MS))
    page = console.get("/console/alerts")
    assert "The meter of cab-02 missed coins." in words(page)
    answer = console.post("/console/alerts", alert="meter:cab-02", back="machine/cab-02")
    assert answer.location.startswith("/console/machines/cab-02")
    seen = site.store.alert("meter:cab-02")
    assert seen is not None
    assert seen.acknowledged_by == console.name
    assert "No alert stands." in words(console.get("/console/alerts"))
    assert console.post("/console/alerts", alert="nothing").status_code == 422


def test_what_players_read_of_a_machine_is_changed_and_nothing_else(site: Site, console: Console) -> None:
    before = the_machine(site)
    fields = {
        "name": "Daytona 2",
        "location": " Sunway  Mall",
        "contact": "",
        "picture_url": "https://a.example/x.png",
    }
    assert console.post("/console/machines/cab-02/set", **fields).status_code == 303
    after = the_machine(site)
    assert (after.name, after.location, after.picture_url) == (
        "Daytona 2",
        "Sunway Mall",
        "https://a.example/x.png",
    )
    assert (after.offers, after.kind, after.closure) == (before.offers, before.kind, before.closure)
    refused = console.post("/console/machines/cab-02/set", name="Daytona 3", picture_url="ftp://x")
    assert refused.status_code == 422
    assert 'value="Daytona 3"' in refused.text
    assert site.store.machine("cab-02") == after


def test_the_audit_log_shows_who_did_what_and_what_it_was_before(site: Site, console: Console) -> None:
    console.post("/console/machines/cab-02/set", name="Daytona 2")
    text = words(console.get("/console/audit"))
    assert f"{console.name} " in text
    assert "machine set cab-02" in text
    assert "before: name: Daytona USA" in text
    assert "after: name: Daytona 2" in text
    for number in range(60):
        console.post("/console/machines/cab-01/set", name=f"Name {number}")
    first = console.get("/console/audit", on="cab-01")
    (older,) = links(first, "Older")
    shown = [set(re.findall(r"after: name: (Name \d+)", words(page))) for page in (first, console.get(older))]
    assert [len(names) for names in shown] == [50, 10]
    assert "Daytona" not in words(first)
    assert "Nothing of that kind" in words(console.get("/console/audit", who="nobody"))
    assert "Nothing of that kind" in words(console.get("/console/audit", act="refund"))
    of_day = console.get("/console/audit", act="machine set", since="2026-09-01", who=console.name)
    assert "machine set cab-02" in words(of_day) + words(console.get(*links(of_day, "Older")))
    assert "Nothing of that kind" in words(console.get("/console/audit", since="2027-01-01"))
    wrong = console.get("/console/audit", since="tomorrow")
    assert wrong.status_code == 400
    assert "write a day such as" in wrong.text


def several(site: Site) -> None:
    for number in range(4, 7):
        site.add_machine(f"cab-{number:02}", name=f"Machine {number}", location="Mid Valley", offers=(TWO,))
    site.add_machine("cab-07", location="Sunway", offers=(TWO,))


def test_a_location_is_closed_for_the_night_and_opened_again(site: Site, console: Console) -> None:
    several(site)
    page = console.get("/console/fleet", location="at:Mid Valley")
    assert "These 4" in words(page)
    fields = {"location": "at:Mid Valley", "number": "4"}
    done = console.post("/console/fleet/close", **fields, reason="Closed for the night", until="23:00")
    assert "Done: 4" in words(done)
    assert "Machine 4 : out of service until 2026-09-21 23:00: Closed for the night" in words(done)
    closed = {machine.machine_id for machine in site.store.machines() if machine.closed(site.now_ms)}
    assert closed == {"cab-02", "cab-04", "cab-05", "cab-06"}
    assert "Done: 4" in words(console.post("/console/fleet/open", **fields))
    assert not any(machine.closed(site.now_ms) for machine in site.store.machines())
    lines = site.desk.log.read(50, who=console.name)
    assert len([line for line in lines if line.entry.act == "machine service"]) == 8


def test_a_price_changes_on_all_machines_at_once(site: Site, console: Console) -> None:
    several(site)
    fields = {"location": "all", "number": "6"}
    done = console.post("/console/fleet/offers", **fields, offers="1=2.50MYR 5=10.00MYR")
    assert "Done: 6" in words(done)
    assert {tuple(offer.amount_minor for offer in machine.offers) for machine in site.store.machines()} == {
        (250, 1000)
    }
    assert "offers: 1=2.00MYR → 1=2.50MYR, 5=10.00MYR" in words(done)
    for more, says in (
        ({**fields, "number": "5", "offers": "1=3.00MYR"}, "these are 6 machines now"),
        ({**fields, "offers": "1=3.00MYR 1=3.00USD"}, "one currency"),
        ({"location": "at:Nowhere", "number": "1", "offers": "1=3.00MYR"}, "no machine is at"),
        ({"location": "", "number": "0", "offers": "1=3.00MYR"}, "look again"),
    ):
        refused = console.post("/console/fleet/offers", **more)
        assert refused.status_code == 422
        assert says in html.unescape(refused.text)
    assert {machine.offers[0].amount_minor for machine in site.store.machines()} == {250}


def test_a_difference_between_stripe_and_the_books_is_shown_with_what_to_do(site: Site, console: Console) -> None:
    order_id = play(site)
    site.payments.stripe.refund_by_hand(str(site.order(order_id).payment_intent), 300)
    site.payments.stripe.take_events()  # its webhook is lost
    site.now_ms += DAY_MS
    site.daily.run(date(2026, 9, 21))
    text = words(console.get("/console/books"))
    assert "Mon 21 Sep 1 difference" in text
    assert "Refunded at Stripe, not by this program Stripe has RM 3.00 less than the books" in text
    assert "Charged at Stripe RM 8.00 Given back RM 3.00" in text
    assert f"/console/orders/{order_id}" in console.get("/console/books").text
    assert "No day was reconciled" in words(console.get("/console/books", last="2026-08-01"))


def unclaimed(site: Site, amount_minor: int = 200) -> str:
    """A payment that names an order of ours, and has no mark; its id."""
    shop = site.payments.stripe.visit_shop(amount_minor, metadata={"order_id": site.begin()}, held=True)
    intent = site.payments.stripe.pay(shop)
    site.deliver_events()
    assert [one.payment_intent for one in site.store.unclaimed(10)][:1] == [intent]
    return intent


def test_a_payment_without_proof_is_decided_about_only_by_who_is_sure(site: Site, console: Console) -> None:
    intent = unclaimed(site)
    assert "1 payment waits for a decision" in words(console.get("/console/"))
    assert intent in words(console.get("/console/payments"))
    for path in ("return", "dismiss", "deliver"):
        refused = console.post(f"/console/payments/{intent}/{path}", machine="cab-02", credits="1")
        assert refused.status_code == 422
        assert "say that you are sure" in refused.text
    assert {"capture", "cancel", "refund"}.isdisjoint(site.payments.calls)
    answer = console.post(f"/console/payments/{intent}/return", sure="yes")
    site.deliver_events()
    assert answer.status_code == 303
    assert "It is decided" in words(console.get(answer.location))
    assert site.payments.stripe.money_of(intent)["status"] == "canceled"
    assert "None waits" in words(console.get("/console/payments"))
    assert console.post(f"/console/payments/{intent}/return", sure="yes").status_code == 422
    (line,) = [one for one in site.desk.log.read(20, on=intent) if one.outcome and one.outcome.result == "done"]
    assert (line.entry.who, line.entry.act) == (console.name, "payment decide")


def test_a_payment_without_proof_is_delivered_or_left_alone(site: Site, console: Console) -> None:
    intent = unclaimed(site)
    site.say_status("cab-02")
    for fields in ({"machine": "nowhere", "credits": "1"}, {"machine": "cab-02", "credits": "x"}):
        answer = console.post(f"/console/payments/{intent}/deliver", sure="yes", **fields)
        assert answer.status_code in {404, 422}
    answer = console.post(f"/console/payments/{intent}/deliver", sure="yes", machine="cab-02", credits="1")
    order_id = str(site.store.order_of_payment(intent))
    assert answer.location.startswith(f"/console/orders/{order_id}")
    site.say_ack(order_id, "done", 1)
    site.deliver_events()
    assert site.order(order_id).books.target_minor == 200
    other = unclaimed(site)
    assert console.post(f"/console/payments/{other}/dismiss", sure="yes").status_code == 303
    assert site.store.unclaimed(10) == []
    assert site.payments.stripe.money_of(other)["status"] == "requires_capture"


# --- attacks ---------------------------------------------------------------------------------------------


def pages_of(site: Site, order_id: str) -> list[str]:
    return [
        "/console/",
        "/console/machines",
        "/console/machines/cab-02",
        "/console/machines/cab-03",
        "/console/orders",
        f"/console/orders/{order_id}",
        f"/console/orders/{order_id}/evidence",
        f"/console/orders/{order_id}/refund?reason=x&credits=1",
        "/console/takings",
        "/console/takings?by=location",
        "/console/takings?by=method",
        "/console/takings?by=machine",
        "/console/takings/lines",
        "/console/statement",
        "/console/alerts",
        "/console/audit",
        "/console/books",
        "/console/payments",
        "/console/claims",
        "/console/fleet?location=all",
        "/console/new-machine",
        "/console/new-machine?like=cab-02",
        "/console/stickers",
    ]


def test_no_text_of_a_machine_or_an_operator_becomes_markup(site: Site, console: Console) -> None:
    """Every field that somebody can fill, also past the checks on entry, as an older version may have."""
    site.add_machine(
        "cab-02", name=MARKUP, location=MARKUP, contact=MARKUP, picture_url=MARKUP, offers=(TWO, FIVE)
    )
    order_id = play(site)
    site.say_status("cab-02", ready=False, reason=MARKUP, agent=MARKUP[:40])
    site.cloud.operations.refund(order_id, by=MARKUP, reason=MARKUP, keep_minor=500)
    site.deliver_events()
    site.store.raise_alert(alert("meter", "cab-02", MARKUP, START_MS))
    site.store.raise_alert(alert("meter", MARKUP, MARKUP, START_MS))
    site.cloud.alerts.acknowledge("meter:cab-02", "x")
    site.add_machine("cab-03")
    list(site.cloud.fleet.close(["cab-03"], reason=MARKUP[:100]))
    seen = 0
    for path in pages_of(site, order_id):
        page = console.get(path)
        assert page.status_code == 200, path
        lowered = page.text.lower()
        assert "<script>alert" not in lowered, path
        assert "<img src=x" not in lowered, path
        seen += "&lt;script&gt;" in lowered
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy
        assert not re.search(r"<[^>]*\sstyle=|<script(?![^>]*src=)", lowered), path
    assert seen >= 8
    for name in (
        "q",
        "machine",
        "at",
        "amount",
        "first",
        "by",
        "location",
        "month",
        "share",
        "done",
        "rank",
        "page",
        "like",
        "sheet",
    ):
        for path in (
            "/console/machines",
            "/console/orders",
            "/console/takings",
            "/console/statement",
            "/console/new-machine",
            "/console/stickers",
        ):
            answer = console.get(path, **{name: MARKUP})
            assert answer.status_code in {200, 422}, (path, name)
            assert "<script>alert" not in answer.text, (path, name)


@pytest.fixture(scope="module")
def browsing() -> Console:
    """Somebody who only looks."""
    return Console(Site())


@pytest.mark.parametrize(
    "path",
    [
        "/console/orders?before=99999999999999999999",
        "/console/orders?before=-1",
        "/console/machines?page=0",
        "/console/machines?page=9999999",
        "/console/machines?page=²",
        "/console/orders?at=9999-12-31T23:59",
        "/console/orders?at=0001-01-01T00:00",
        "/console/orders?amount=1e9",
        "/console/orders?q=%00",
        "/console/takings?first=2026-09-30&last=2026-09-01",
        "/console/takings?first=1990-01-01",
        "/console/takings/lines?first=x",
        "/console/takings.csv?last=0001-01-01",
        "/console/takings?last=0001-01-01",
        "/console/statement?month=9999-12",
        "/console/statement?month=0001-01",
        "/console/statement?month=2026-13",
        "/console/statement?share=101",
        "/console/statement?share=%C2%B2",
        "/console/machines/none",
        "/console/machines/%23",
        "/console/machines/none/sticker.svg",
        "/console/machines/none/sticker.pdf",
        "/console/stickers.pdf?location=at:x&per_page=²",
        "/console/new-machine?like=%00",
        "/console/orders/none",
        "/console/orders/" + "x" * 300,
    ],
)
def test_no_address_fails(browsing: Console, path: str) -> None:
    assert browsing.get(path).status_code in {200, 404, 422}


# --- roles -----------------------------------------------------------------------------------------------

# Which act each page and form is.
VIEWS: dict[str, Act] = {
    "GET /console/": Act.SEE,
    "GET /console/machines": Act.SEE,
    "GET /console/machines/cab-02": Act.SEE,
    "GET /console/orders": Act.SEE,
    "GET /console/orders/ORDER": Act.SEE,
    "GET /console/orders/ORDER/evidence": Act.SEE,
    "GET /console/alerts": Act.SEE,
    "GET /console/takings": Act.SEE_TAKINGS,
    "GET /console/takings.csv": Act.SEE_TAKINGS,
    "GET /console/takings/lines": Act.SEE_TAKINGS,
    "GET /console/takings/lines.csv": Act.SEE_TAKINGS,
    "GET /console/takings/receipts.csv": Act.SEE_TAKINGS,
    "GET /console/takings/receipts-summary.csv": Act.SEE_TAKINGS,
    "GET /console/statement": Act.SEE_TAKINGS,
    "GET /console/statement.csv": Act.SEE_TAKINGS,
    "GET /console/people": Act.PEOPLE,
    "POST /console/people": Act.PEOPLE,
    "GET /console/people/nobody": Act.PEOPLE,
    "POST /console/people/nobody": Act.PEOPLE,
    "POST /console/people/nobody/password": Act.PEOPLE,
    "POST /console/people/nobody/no-phone": Act.PEOPLE,
    "GET /console/payments": Act.SEE,
    "GET /console/claims": Act.SEE,
    "POST /console/claims/ORDER/decline": Act.PLAYER_CLAIM,
    "POST /console/payments/pi_1/return": Act.CLAIM,
    "POST /console/payments/pi_1/deliver": Act.CLAIM,
    "POST /console/payments/pi_1/dismiss": Act.CLAIM,
    "GET /console/books": Act.SEE_TAKINGS,
    "POST /console/books/run": Act.RECONCILE,
    "POST /console/books/accept": Act.ACCEPT,
    "GET /console/books/payout": Act.RECONCILE,
    "GET /console/audit": Act.SEE_AUDIT,
    "GET /console/settings": Act.SEE_SETTINGS,
    "POST /console/settings/check": Act.SEE_SETTINGS,
    "GET /console/keys": Act.KEYS,
    "POST /console/keys": Act.KEYS,
    "POST /console/keys/KEY/revoke": Act.KEYS,
    "GET /console/webhooks": Act.WEBHOOKS,
    "POST /console/webhooks": Act.WEBHOOKS,
    "GET /console/webhooks/we_1": Act.WEBHOOKS,
    "POST /console/webhooks/we_1/secret": Act.WEBHOOKS,
    "POST /console/webhooks/we_1/test": Act.WEBHOOKS,
    "POST /console/webhooks/we_1/replay": Act.WEBHOOKS,
    "POST /console/webhooks/we_1/replay-since": Act.WEBHOOKS,
    "POST /console/webhooks/we_1/remove": Act.WEBHOOKS,
    "GET /console/fleet": Act.MACHINE_SERVICE,
    "POST /console/fleet/close": Act.MACHINE_SERVICE,
    "POST /console/fleet/open": Act.MACHINE_SERVICE,
    "POST /console/fleet/offers": Act.OFFERS,
    "GET /console/orders/ORDER/refund": Act.REFUND,
    "POST /console/orders/ORDER/refund": Act.REFUND,
    "POST /console/orders/ORDER/close": Act.TAB_CLOSE,
    "POST /console/alerts": Act.ACKNOWLEDGE,
    "POST /console/machines/cab-02/close": Act.MACHINE_SERVICE,
    "POST /console/machines/cab-02/open": Act.MACHINE_SERVICE,
    "POST /console/machines/cab-02/set": Act.MACHINE_SET,
    "POST /console/machines/cab-02/offers": Act.OFFERS,
    "POST /console/machines/cab-02/grant": Act.GRANT,
    "POST /console/machines/cab-02/test": Act.MACHINE_TEST,
    "POST /console/machines/cab-02/identify": Act.MACHINE_IDENTIFY,
    "GET /console/new-machine": Act.MACHINE_ADD,
    "POST /console/new-machine": Act.MACHINE_ADD,
    "POST /console/machines/cab-02/retire": Act.MACHINE_RETIRE,
    "POST /console/machines/cab-02/config": Act.MACHINE_CONFIG,
    "GET /console/machines/cab-02/sticker.svg": Act.MACHINE_SET,
    "GET /console/machines/cab-02/sticker.pdf": Act.MACHINE_SET,
    "GET /console/stickers": Act.MACHINE_SET,
    "GET /console/stickers.pdf": Act.MACHINE_SET,
}


@pytest.mark.parametrize("second_factor", [True, False], ids=["code", "no-code"])
@pytest.mark.parametrize("role", Role)
def test_each_role_gets_to_its_pages_and_no_further(site: Site, role: Role, second_factor: bool) -> None:
    order_id = play(site)
    person = Console(site, role, "bob", second_factor=second_factor)
    for name, act in VIEWS.items():
        method, _, path = name.replace("ORDER", order_id).partition(" ")
        answer = person.get(path) if method == "GET" else person.post(path)
        if may(role, act) and not second_factor and act in NEEDS_SECOND_FACTOR:
            assert answer.status_code == 403 or "second-factor" in answer.location, name
        elif may(role, act):
            assert answer.status_code in {200, 303, 404, 422}, name
        else:
            assert answer.status_code == 403, name


@pytest.mark.parametrize("role", Role)
def test_no_page_offers_what_its_reader_may_not_do(site: Site, role: Role) -> None:
    order_id = play(site)
    site.store.raise_alert(alert("meter", "cab-02", "The meter missed coins.", START_MS))
    person = Console(site, role, "bob")
    for path in ("/console/", "/console/machines", "/console/machines/cab-02", f"/console/orders/{order_id}"):
        page = person.get(path)
        assert page.status_code == 200
        for href in {html.unescape(one) for one in re.findall(r'<a[^>]* href="(/console[^"#]*)"', page.text)}:
            assert person.get(href).status_code == 200, (path, href)
        for action in re.findall(r'<form[^>]*method="post" action="([^"]*)"', page.text):
            (act,) = {act for name, act in VIEWS.items() if name == f"POST {action.replace(order_id, 'ORDER')}"}
            assert may(role, act), (path, action)


def test_every_view_of_the_console_is_in_the_table_of_roles(site: Site) -> None:
    from arcade_cloud.web.console.app import create_console

    rules = create_console(site.dependencies).url_map.iter_rules()
    own = ("/console/account", "/console/sign", "/console/code", "/static")
    names = {"<machine_id>": "cab-02", "<order_id>": "ORDER", "<payment_intent>": "pi_1", "<name>": "nobody"}
    names |= {"<key_id>": "KEY", "<endpoint_id>": "we_1"}
    found = {
        f"{method} {re.sub('<[a-z_]+>', lambda part: names[part[0]], rule.rule)}"
        for rule in rules
        for method in rule.methods or ()
        if method in {"GET", "POST"} and not rule.rule.startswith(own)
    }
    assert found == set(VIEWS)


def test_no_form_is_taken_without_its_token(site: Site, console: Console) -> None:
    order_id = play(site)
    console.get("/console/")
    for name in VIEWS:
        method, _, path = name.replace("ORDER", order_id).partition(" ")
        if method == "POST":
            for token in (None, "", "x" * 64):
                data = {"reason": "x", "keep": "0"} | ({} if token is None else {"form_token": token})
                answer = console.client.post(path, base_url=site.settings.public_base_url, data=data)
                assert answer.status_code == 403, name
    assert site.order(order_id).books.goodwill_minor == 0
