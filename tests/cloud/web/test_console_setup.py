"""A machine's begin and end in the console: added, configured, labelled, retired; and what it says of itself."""

import html
import io
import re
import tomllib
from contextlib import closing

import pypdfium2  # type: ignore[import-untyped]
import pytest
from werkzeug.test import TestResponse

from arcade_cloud.domain.fleet import read_table
from arcade_cloud.domain.machines import FRESH_MS, Machine
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.people import Role
from arcade_shared.signing import machine_key
from support.console import Console
from support.pictures import codes_in
from support.site import BASE_URL, SIGNING_SECRET, Site

FIVE = Offer(offer_id="c5-800myr", credits=5, amount_minor=800, currency="myr")
TWO = Offer(offer_id="c1-200myr", credits=1, amount_minor=200, currency="myr")
MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def site() -> Site:
    made = Site()
    made.add_machine("cab-02", name="Daytona USA", location="Mid Valley", contact="Ann", offers=(TWO, FIVE))
    return made


@pytest.fixture
def console(site: Site) -> Console:
    return Console(site, Role.OWNER)


def the(site: Site, machine_id: str) -> Machine:
    found = site.store.machine(machine_id)
    assert found is not None
    return found


def words(page: TestResponse) -> str:
    body = re.sub(r"<(script|style|svg).*?</\1>", " ", page.text, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def codes_of(pdf: bytes) -> list[str]:
    """The codes of all pages, as a printer with 200 dots an inch makes them."""
    found: list[str] = []
    with closing(pypdfium2.PdfDocument(pdf)) as document:
        for page in document:
            png = io.BytesIO()
            page.render(scale=200 / 72).to_pil().save(png, "PNG")
            found += codes_in(png.getvalue())
    return sorted(found)


# --- added -----------------------------------------------------------------------------------------------


def test_a_machine_is_added_and_sells(site: Site, console: Console) -> None:
    page = console.get("/console/machines")
    assert "/console/new-machine" in page.text
    answer = console.post(
        "/console/new-machine",
        machine_id="cab-09",
        kind="agent",
        name=" Space Duel ",
        location="Mid  Valley",
        contact="",
        picture_url="https://a.example/x.png",
        offers="1=2.00MYR, 5=8.00MYR",
    )
    assert answer.status_code == 303
    assert "It is registered." in words(console.get(answer.location))
    made = the(site, "cab-09")
    assert (made.name, made.location, made.picture_url, made.kind) == (
        "Space Duel",
        "Mid Valley",
        "https://a.example/x.png",
        "agent",
    )
    site.say_status("cab-09")
    order_id = site.cloud.sales.begin_checkout("cab-09", offer_id="c5-800myr", quantity=1).order_id
    site.pay(order_id)
    site.say_ack(order_id, "done", 5)
    site.deliver_events()
    assert "RM 8.00" in words(console.get("/console/machines/cab-09"))
    (line,) = site.desk.log.read(5, on="cab-09")
    assert (line.entry.who, line.entry.act, line.outcome and line.outcome.result) == (
        console.name,
        "machine add",
        "done",
    )


def test_a_machine_is_made_like_another_also_by_who_may_set_no_prices(site: Site) -> None:
    bob = Console(site, Role.TECHNICIAN, "bob", second_factor=False)
    page = bob.get("/console/new-machine", like="cab-02")
    assert 'value="Mid Valley"' in page.text
    assert 'value="Daytona USA"' not in page.text
    assert 'name="offers"' not in page.text
    answer = bob.submit(
        page, machine_id="cab-09", name="Daytona 2", kind="agent", location="Sunway", contact="Ann"
    )
    assert answer.status_code == 303
    made = the(site, "cab-09")
    assert (made.offers, made.location, made.contact, made.name) == ((TWO, FIVE), "Sunway", "Ann", "Daytona 2")
    refused = bob.submit(page, machine_id="cab-10", offers="1=0.50MYR")
    assert refused.status_code == 403
    assert bob.post("/console/new-machine", machine_id="cab-10", offers="1=0.50MYR").status_code == 403
    assert site.store.machine("cab-10") is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"machine_id": "CAB-02"}, "machine cab-02 is registered, and CAB-02 differs in case alone"),
        ({"machine_id": "cab-02"}, "machine cab-02 is already registered"),
        ({"machine_id": "cab 9"}, "a machine id is 1 to 64 letters"),
        ({"machine_id": "x" * 65}, "a machine id is 1 to 64 letters"),
        ({"machine_id": ""}, "a machine id is 1 to 64 letters"),
        ({"name": "W" * 81}, "the name has 81 characters: at most 80"),
        ({"location": "a\u202eb"}, "the location must be one line"),
        ({"picture_url": "http://a.example/x.png"}, "a picture has an address that begins with https://"),
        ({"offers": "1=2.00MYR 5=8.00USD"}, "offers: a machine sells in one currency, not in MYR and USD"),
        ({"offers": "1=2.00XYZ"}, "Stripe takes no payments in XYZ"),
        ({"offers": "2.00"}, "CREDITS=AMOUNT"),
        ({"kind": "toaster"}, "the kind is agent or subscriber"),
        ({"like": "cab-20"}, "no machine cab-20 is registered: did you mean"),
        ({"like": MARKUP}, "a machine id is 1 to 64 letters"),
    ],
)
def test_what_is_mistyped_is_refused_and_what_was_typed_stays(
    site: Site, console: Console, fields: dict[str, str], says: str
) -> None:
    before = site.store.machines()
    answer = console.post("/console/new-machine", **{"machine_id": "cab-09", "name": "Kept", **fields})
    assert 400 <= answer.status_code < 500
    assert says in html.unescape(answer.text)
    assert "<script>alert" not in answer.text
    for value in {"name": "Kept", **fields}.values() if "kind" not in fields else ():
        assert value[:64] in html.unescape(answer.text)
    assert site.store.machines() == before


def test_more_credits_than_its_train_takes_are_refused_wherever_they_are_entered(
    site: Site, console: Console
) -> None:
    site.say_status("cab-02", max_credits=6)
    says = "offers: 9=12.00MYR is more than the 6 credits that cab-02 takes at once"
    for path, fields in (
        ("/console/machines/cab-02/offers", {}),
        ("/console/fleet/offers", {"location": "at:Mid Valley", "number": "1"}),
    ):
        answer = console.post(path, offers="1=2.00MYR 9=12.00MYR", **fields)
        assert answer.status_code == 422
        assert says in html.unescape(answer.text)
    lines, faults = read_table(b"id,offers\ncab-02,9=12.00MYR\ncab-09,9=12.00MYR\n")
    assert faults == []
    _, faults = site.cloud.fleet.plan(lines)
    assert [(fault.line, fault.text) for fault in faults] == [(2, says)]
    assert the(site, "cab-02").offers == (TWO, FIVE)
    assert console.post("/console/machines/cab-02/offers", offers="1=2.00MYR 6=9.00MYR").status_code == 303
    site.say_status("cab-02", max_credits=5)
    assert "Nobody can buy 6=9.00MYR" in words(console.get("/console/machines/cab-02"))


def test_what_is_doubtful_about_offers_is_told_as_on_the_command_line(site: Site, console: Console) -> None:
    console.post("/console/machines/cab-02/offers", offers="1=0.50MYR 2=9.00MYR 3=8.00MYR")
    text = words(console.get("/console/machines/cab-02"))
    assert "Nobody can pay RM 0.50: Stripe charges at least RM 2.00" in text
    assert "Nobody has a reason to buy 2=9.00MYR beside 3=8.00MYR" in text


# --- its config ------------------------------------------------------------------------------------------


def test_the_config_is_shown_only_in_answer_to_a_form_and_stands_in_the_audit_log(
    site: Site, console: Console
) -> None:
    where = "/console/machines/cab-02/config"
    key = machine_key(SIGNING_SECRET, "cab-02").hex()
    assert console.get(where).status_code == 405
    assert site.desk.log.read(5, on="cab-02") == []
    shown = console.post(where)
    assert shown.headers["Cache-Control"] == "no-store"
    assert key in shown.text
    file = console.submit(shown)
    assert file.headers["Cache-Control"] == "no-store"
    assert file.headers["Content-Disposition"] == 'attachment; filename="edge.toml"'
    config = tomllib.loads(file.text)
    assert (config["machine_id"], config["security"]["signing_key"]) == ("cab-02", key)
    lines = site.desk.log.read(5, on="cab-02")
    assert [(line.entry.who, line.entry.act) for line in lines] == [(console.name, "machine config")] * 2
    assert key not in console.get("/console/audit").text
    assert key not in console.get("/console/machines/cab-02").text


def test_who_has_no_code_sees_no_config(site: Site) -> None:
    bob = Console(site, Role.TECHNICIAN, "bob", second_factor=False)
    page = bob.get("/console/machines/cab-02")
    assert "/config" not in page.text
    assert "needs a code of your phone" in words(page)
    assert bob.post("/console/machines/cab-02/config").status_code == 403
    assert site.desk.log.read(5, on="cab-02") == []


def test_a_machine_that_only_listens_has_no_config(site: Site, console: Console) -> None:
    site.add_machine("web-01", kind="subscriber")
    assert "/config" not in console.get("/console/machines/web-01").text
    answer = console.post("/console/machines/web-01/config")
    assert answer.status_code == 422
    assert "it has no agent, and so no config" in answer.text
    (line,) = site.desk.log.read(5, on="web-01")
    assert line.outcome is not None
    assert line.outcome.result == "refused"


# --- retired ---------------------------------------------------------------------------------------------


def test_a_machine_is_retired_by_who_is_sure_and_comes_back(site: Site, console: Console) -> None:
    where = "/console/machines/cab-02"
    refused = console.post(f"{where}/retire", retire_reason="Sold")
    assert refused.status_code == 422
    assert "say that you are sure" in refused.text
    assert the(site, "cab-02").closure is None
    answer = console.post(f"{where}/retire", retire_reason="Sold", sure="yes")
    assert "It is retired." in words(console.get(answer.location))
    assert "Sold" in site.client.get("/m/cab-02").text
    bob = Console(site, Role.TECHNICIAN, "bob")
    assert "Put into service" not in bob.get(where).text
    assert bob.post(f"{where}/open").status_code == 403
    closed = the(site, "cab-02").closed(site.now_ms)
    assert closed is not None
    assert closed.for_good
    assert "Put into service" in console.get(where).text
    console.post(f"{where}/open")
    assert the(site, "cab-02").closure is None
    assert {line.entry.act for line in site.desk.log.read(5, on="cab-02")} == {"machine retire"}


# --- its sticker -----------------------------------------------------------------------------------------


def test_the_stickers_of_a_machine_and_of_a_location_lead_to_their_pages(site: Site, console: Console) -> None:
    site.add_machine("cab-03", location="mid valley")
    site.add_machine("cab-04", location="Sunway")
    svg = console.get("/console/machines/cab-02/sticker.svg")
    assert (svg.mimetype, svg.headers["Content-Disposition"]) == (
        "image/svg+xml",
        'attachment; filename="cab-02.svg"',
    )
    assert "Daytona USA" in svg.text
    for sheet in ("a4", "letter"):
        pdf = console.get("/console/machines/cab-02/sticker.pdf", sheet=sheet)
        assert codes_of(pdf.data) == [f"{BASE_URL}/m/cab-02"]
    sheets = console.get("/console/stickers.pdf", location="at:Mid Valley", per_page="12")
    assert codes_of(sheets.data) == [f"{BASE_URL}/m/cab-02", f"{BASE_URL}/m/cab-03"]
    list(site.cloud.fleet.close(["cab-04"], for_good=True))
    sheets = console.get("/console/stickers.pdf", location="all")
    assert codes_of(sheets.data) == [f"{BASE_URL}/m/{one}" for one in ("cab-01", "cab-02", "cab-03")]
    for location, says in (("", "choose a location"), ("at:Nowhere", "no machine is at"), (MARKUP, "choose a")):
        refused = console.get("/console/stickers.pdf", location=location)
        assert refused.status_code == 422
        assert says in html.unescape(refused.text)
    site.add_machine("cab-02", name="街机")
    refused = console.get("/console/machines/cab-02/sticker.pdf")
    assert refused.status_code == 422
    assert "does not have 机 街" in refused.text


def test_no_sticker_leads_where_no_phone_gets_but_for_a_trial() -> None:
    site = Site(public_base_url="http://127.0.0.1:5000")
    console = Console(site, Role.OWNER)
    assert "which no player's phone can trust" in words(console.get("/console/machines/cab-01"))
    for path in ("/console/machines/cab-01/sticker.svg", "/console/machines/cab-01/sticker.pdf"):
        refused = console.get(path)
        assert refused.status_code == 422
        assert "tick “For a trial”" in words(refused)
        assert "--force" not in refused.text
    assert "For a trial" in words(console.get("/console/stickers"))
    sheet = console.get("/console/stickers.pdf", location="all", trial="yes")
    assert codes_of(sheet.data) == ["http://127.0.0.1:5000/m/cab-01"]


# --- what its agent says of itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "says", "todo"),
    [
        ("coin line", "its coin line does not work", "Look at the wire and the pin"),
        ("journal", "it cannot write its journal", "the disk is full"),
        ("acks refused", "the broker takes no reports from it", "Look at what its user may publish"),
        ("machine not ready", "the game says that it takes no coins", "is it on, free"),
        ("coins not registered", "its coin meter has missed coins", "sudo arcade-edge pulse"),
        ("something new", "It is not ready: something new.", ""),
    ],
)
def test_the_machines_page_says_in_words_what_is_wrong_and_what_to_do(
    site: Site, console: Console, reason: str, says: str, todo: str
) -> None:
    site.say_status("cab-02", agent="0.1.0")
    text = words(console.get("/console/machines/cab-02"))
    assert "It is online." in text
    assert "It is ready." in text
    assert "It takes 50 credits at once." in text
    assert "It signs with the newest secret's key." in text
    assert "It has the cloud's time." in text
    site.say_status("cab-02", ready=False, reason=reason)
    text = words(console.get("/console/machines/cab-02"))
    assert says in text
    assert todo in text


def test_the_machines_page_tells_of_two_pis_of_a_foreign_key_and_of_silence(site: Site, console: Console) -> None:
    assert "It was never heard. Put its config on a Pi" in words(console.get("/console/machines/cab-02"))
    site.say_status("cab-02", contested=True)
    assert "Somebody else keeps taking its place" in words(console.get("/console/machines/cab-02"))
    site.say_status("cab-02", installation="c" * 32, boot_id="d" * 32)
    text = words(console.get("/console/machines/cab-02"))
    assert "Two Pis use this machine's id. Switch one off; after a Pi was replaced, the old one." in text
    site.now_ms += FRESH_MS + 1
    text = words(console.get("/console/machines/cab-02"))
    assert "Nothing is heard from it any more. Look at its power" in text


# --- its coin meter --------------------------------------------------------------------------------------


def trained(site: Site, delivered: int, registered: int | None, reason: str = "") -> str:
    """A purchase of five that goes the whole way, and what the machine's meter says of it."""
    site.now_ms += 1_000
    site.say_status("cab-02")
    order_id = site.cloud.sales.begin_checkout("cab-02", offer_id="c5-800myr", quantity=1).order_id
    site.pay(order_id)
    site.say_ack(order_id, "done", delivered, registered=registered, reason=reason)
    site.say_ack(order_id, "done", delivered, registered=registered, reason=reason)
    site.deliver_events()
    assert site.order(order_id).state == "settled"
    return order_id


def test_the_coin_meter_stands_against_the_pulses_day_by_day_down_to_the_order(
    site: Site, console: Console
) -> None:
    trained(site, 5, None)
    assert "Coin meter against pulses" not in words(console.get("/console/machines/cab-02"))
    trained(site, 5, 5)
    site.now_ms += 86_400_000
    short = trained(site, 5, 3, "coins not registered: 3 of 5")
    counting = trained(site, 4, 4, "coins not registered: 4 of 5")
    by_hand = trained(site, 5, 6)
    page = console.get("/console/machines/cab-02")
    text = words(page)
    assert "Tue 22 Sep 3 15 13 -2" in text
    assert "Mon 21 Sep 1 5 5 0 –" in text
    assert "Total 4 20 18 -2" in text
    section = page.text.partition('id="meter"')[2].partition("</section>")[0]
    assert re.findall(r"/console/orders/(\w+)", section) == [by_hand, counting, short]
    for order_id, off in ((short, "-2"), (counting, "-1"), (by_hand, "+1")):
        assert f"{site.order(order_id).code} ({off})" in text
    site.now_ms += 7 * 86_400_000
    assert "Coin meter against pulses" not in words(console.get("/console/machines/cab-02"))


# --- a test pulse ----------------------------------------------------------------------------------------


def pulsed(site: Site, registered: int | None = None, delivered: int = 1) -> str:
    """The machine reports on the credit that it was given last; the order's id."""
    order_id = site.store.recent_orders(1, machine_id="cab-02")[0].order_id
    site.say_ack(order_id, "done", delivered, registered=registered)
    site.now_ms += 1_000
    return order_id


def test_a_technician_tries_a_machine_and_sees_what_became_of_it(site: Site) -> None:
    bob = Console(site, Role.TECHNICIAN, "bob", second_factor=False)
    site.say_status("cab-02")
    list(site.cloud.fleet.close(["cab-02"], reason="Repair"))
    page = bob.get("/console/machines/cab-02")
    assert "0 of 10 today" in words(page)
    answer = bob.post("/console/machines/cab-02/test", number="1")
    assert answer.status_code == 303
    page = bob.get(answer.location.partition("#")[0])
    assert "on its way" in words(page)
    assert "Look again" in words(page)
    order_id = pulsed(site, registered=1)
    text = words(bob.get("/console/machines/cab-02"))
    assert f"delivered 1, the meter registered 1 {site.order(order_id).code}" in text
    assert "1 of 10 today" in text
    order = site.order(order_id)
    assert (order.kind, order.state, order.ordered) == ("grant", "settled", 1)
    (line,) = site.store.booked(order_id)
    assert (line.method, line.currency, line.delivered, line.gross_minor) == ("free", "", 1, 0)
    (logged,) = site.desk.log.read(5, who="bob", on="cab-02")
    assert (logged.entry.act, logged.entry.on, logged.entry.wish) == (
        "machine test",
        "cab-02",
        "test pulse 1 of 10 a day",
    )
    bob.post("/console/machines/cab-02/test", number="2")
    pulsed(site)
    assert "delivered 1; no meter has counted it" in words(bob.get("/console/machines/cab-02"))
    bob.post("/console/machines/cab-02/test", number="3")
    pulsed(site, registered=0, delivered=0)
    assert "delivered 0 (the machine reports 0 of 1 delivered" in words(bob.get("/console/machines/cab-02"))


def test_a_form_that_is_sent_again_pulses_once_and_nobody_pulses_for_another(site: Site, console: Console) -> None:
    where = "/console/machines/cab-02/test"
    site.say_status("cab-02")
    assert [console.post(where, number="1").status_code for _ in range(3)] == [303] * 3
    assert len(site.store.recent_orders(10)) == 1
    bob = Console(site, Role.TECHNICIAN, "bob")
    for number in ("1", "0", "3", "", "x", "99999"):
        refused = bob.post(where, number=number)
        assert refused.status_code == 422, number
        assert "somebody else has tested it meanwhile" in refused.text
    site.now_ms += 61_000
    site.say_status("cab-02")
    assert console.post(where, number="1").status_code == 422
    assert len(site.store.recent_orders(10)) == 1


def test_a_machine_has_so_many_test_pulses_a_day_whoever_asks(site: Site, console: Console) -> None:
    where = "/console/machines/cab-02/test"
    bob = Console(site, Role.TECHNICIAN, "bob")
    for number in range(1, 11):
        site.say_status("cab-02")
        assert (bob if number % 2 else console).post(where, number=str(number)).status_code == 303
        pulsed(site)
    for late in ("10", "11", "12"):
        site.now_ms += 61_000
        site.say_status("cab-02")
        refused = bob.post(where, number=late)
        assert refused.status_code == 422
        assert "was tested 10 times today" in refused.text
    assert "Pulse one credit" not in bob.get("/console/machines/cab-02").text
    assert len(site.store.recent_orders(50)) == 10
    site.now_ms += 86_400_000
    site.say_status("cab-02")
    assert bob.post(where, number="1").status_code == 303
    assert len(site.store.recent_orders(50)) == 11


def test_what_cannot_pulse_is_not_tried(site: Site, console: Console) -> None:
    refused = console.post("/console/machines/cab-02/test", number="1")
    assert refused.status_code == 409
    assert "has not been connected yet" in refused.text
    site.say_status("cab-02")
    list(site.cloud.fleet.close(["cab-02"], for_good=True))
    assert console.post("/console/machines/cab-02/test", number="1").status_code == 409
    assert site.store.recent_orders(10) == []
