"""The screen on a cabinet: a code only while the machine can be paid, and a page that recovers without help."""

import io
import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from arcade_cloud.domain.clocks import CLOSED_OFF_MS
from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.machines import FRESH_MS, Machine, Presence
from arcade_cloud.domain.money import Offer
from arcade_cloud.web.kiosk import qr_code
from arcade_cloud.web.kiosk_view import PASSING, kiosk_view
from support.pictures import codes_in
from support.site import BASE_URL, START_MS, Site

CAB = Machine(machine_id="cab-01")


@pytest.fixture
def site() -> Site:
    return Site()


def presence(**fields: Any) -> Presence:
    values: dict[str, Any] = {
        "machine_id": "cab-01",
        "installation": "a" * 32,
        "online": True,
        "ready": True,
        "max_credits": 50,
        "stated_at_ms": START_MS,
        "heard_at_ms": START_MS,
    }
    return Presence(**{**values, **fields})


@pytest.mark.parametrize("sells", [True, False])
@pytest.mark.parametrize("heard", [presence(), presence(online=False), None])
def test_a_machine_out_of_service_shows_why_and_until_when_whatever_its_state(
    heard: Presence | None, sells: bool
) -> None:
    closure = Closure(since_ms=START_MS, reason="Closed for maintenance", until_ms=START_MS + 60_000)
    machine = Machine(machine_id="cab-01", closure=closure)
    view = kiosk_view(machine, heard, START_MS, sells=sells, zone=ZoneInfo("Asia/Kuala_Lumpur"))
    assert (view.state, view.title) == ("out_of_order", "Out of service")
    assert view.detail == "Closed for maintenance. Back at 22:14."
    assert kiosk_view(machine, heard, START_MS + 60_000, sells=sells).title != "Out of service"


@pytest.mark.parametrize(
    ("heard", "state"),
    [
        (presence(), "ready"),
        (presence(stated_at_ms=START_MS - FRESH_MS - 1), "offline"),
        (presence(online=False, ready=False), "offline"),
        *[(presence(ready=False, reason=reason), "wait") for reason in sorted(PASSING)],
        (presence(ready=False, reason="coin line"), "out_of_order"),
        (presence(ready=False, reason="journal"), "out_of_order"),
        (presence(ready=False, reason="acks refused"), "out_of_order"),
        (presence(rival_installation="b" * 32, rival_heard_at_ms=START_MS), "out_of_order"),
        (presence(installation=None), "out_of_order"),
        (None, "out_of_order"),
    ],
)
def test_a_code_is_shown_only_while_the_machine_can_be_paid(heard: Presence | None, state: str) -> None:
    view = kiosk_view(CAB, heard, START_MS)
    assert view.state == state
    assert view.title
    assert view.detail


def test_the_passing_reasons_are_reasons_that_an_agent_gives() -> None:
    from arcade_edge.agent import loop as agent

    source = open(agent.__file__).read()  # noqa: SIM115 - read once, by a test
    for reason in PASSING:
        assert f'"{reason}"' in source, f"no agent says {reason!r}"


def test_a_machine_that_sells_nothing_shows_no_code() -> None:
    assert kiosk_view(CAB, presence(), START_MS, sells=False).state == "out_of_order"


@pytest.mark.parametrize("base", ["https://a.co", BASE_URL, "https://arcades.of.the.old.town.example:8443/stem"])
def test_the_code_leads_to_the_machines_own_page(base: str) -> None:
    site = Site(public_base_url=base)
    page = site.client.get("/kiosk/cab-01").text
    (svg,) = re.findall(r'<svg[^>]*class="segno".*</svg>', page)
    (found,) = codes_in(drawn(svg))
    assert found == f"{base}/m/cab-01"
    assert "stripe" not in page


def drawn(svg: str, scale: int = 6) -> bytes:
    """The modules of segno's SVG as a PNG: a square, and lines one module wide."""
    (size,) = re.findall(r'viewBox="0 0 (\d+) \1"', svg)
    image = Image.new("L", (int(size) * scale,) * 2, 255)
    pen = ImageDraw.Draw(image)
    x = y = 0.0
    (path,) = re.findall(r'class="qrline"[^>]*d="([^"]+)"', svg)
    for command, numbers in re.findall(r"([Mmh])([-\d. ]+)", path):
        values = [float(n) for n in re.findall(r"-?\d*\.?\d+", numbers)]
        if command == "M":
            x, y = values
        elif command == "m":
            x, y = x + values[0], y + values[1]
        else:
            pen.rectangle((x * scale, (y - 0.5) * scale, (x + values[0]) * scale - 1, (y + 0.5) * scale - 1), 0)
            x += values[0]
    png = io.BytesIO()
    image.save(png, "PNG")
    return png.getvalue()


def test_the_code_has_its_quiet_zone_and_a_level_that_screens_need() -> None:
    svg = qr_code("https://play.example/m/cab-01")
    (code,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(drawn(svg))))
    assert code.ec_level in {"M", "Q", "H"}
    assert 'fill="#fff"' in svg
    assert "style=" not in svg, "the page's policy would refuse it"
    first = re.search(r'class="qrline"[^>]* d="M(\d+) ([\d.]+)', svg)
    assert first is not None
    assert (float(first[1]), float(first[2])) == (4.0, 4.5)


def test_the_page_names_the_machine_its_offers_and_where_to_pay(site: Site) -> None:
    site.add_machine(
        "cab-01",
        name="Space <Duel>",
        offers=(
            Offer(offer_id="one", credits=1, amount_minor=200, currency="myr"),
            Offer(offer_id="six", credits=6, amount_minor=1000, currency="myr", label="Best value"),
        ),
    )
    answer = site.client.get("/kiosk/cab-01")
    text = re.sub(r"<[^>]+>", " ", answer.text.replace("\u00a0", " "))
    for expected in (
        "Space &lt;Duel&gt;",
        "Scan to play",
        "1 credit",
        "RM 2.00",
        "6 credits",
        "Best value",
        "RM 10.00",
    ):
        assert expected in text
    assert "play.example" in text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def state(site: Site) -> dict[str, Any]:
    answer = site.client.get("/kiosk/cab-01?format=json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.get_json()
    return found


def test_the_screens_state_follows_the_machine(site: Site) -> None:
    at_first = state(site)
    assert (at_first["state"], at_first["title"]) == ("ready", "Scan to play")
    site.say_status("cab-01", ready=False, reason="coin line")
    assert state(site)["title"] == "Out of order"
    site.now_ms += FRESH_MS + 1
    assert state(site)["state"] == "offline"
    site.say_status("cab-01")
    assert state(site) == at_first


def test_a_changed_machine_makes_the_screen_reload(site: Site) -> None:
    shown = re.findall(r'data-page="(\w+)"', site.client.get("/kiosk/cab-01").text)
    assert shown == [state(site)["page"]]
    site.add_machine("cab-01", name="Another game")
    assert state(site)["page"] != shown[0]


def test_the_state_needs_no_price_from_stripe(site: Site) -> None:
    site.payments.fault = lambda _: "before"
    assert state(site)["state"] == "ready"


@pytest.mark.parametrize("path", ["/kiosk/cab-99", "/kiosk/%23", "/kiosk/a%20b"])
def test_a_screen_of_an_unknown_machine_reloads(site: Site, path: str) -> None:
    answer = site.client.get(path)
    assert answer.status_code == 404
    assert 'http-equiv="refresh"' in answer.text
    assert site.client.get(path + "?format=json").get_json()["error"]["code"] == "unknown_machine"


def test_a_screen_reloads_while_the_store_or_stripe_is_down(site: Site) -> None:
    site.payments.fault = lambda _: "before"
    site.store.unavailable = True
    answer = site.client.get("/kiosk/cab-01")
    assert answer.status_code == 503
    assert 'http-equiv="refresh"' in answer.text
    site.store.unavailable = False
    answer = site.client.get("/kiosk/cab-01")
    assert answer.status_code == 503
    assert 'http-equiv="refresh"' in answer.text
    assert 'http-equiv="refresh"' not in site.client.get("/m/cab-99").text


def test_below_a_stage_the_screen_stays_below_it() -> None:
    site = Site(public_base_url=f"{BASE_URL}/prod", stage_prefix="/prod")
    page = site.client.get("/prod/kiosk/cab-01").text
    assert 'data-state-url="/prod/kiosk/cab-01?format=json"' in page
    assert "/prod/static/kiosk.css" in page


def test_no_code_is_shown_while_a_clock_keeps_everybody_from_paying(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "/kiosk/cab-01?format=json"
    assert site.client.get(address).get_json()["state"] == "ready"
    monkeypatch.setattr(site.payments, "clock_off_ms", lambda: CLOSED_OFF_MS)
    assert site.client.get(address).get_json()["state"] != "ready"
    assert "disabled" in site.client.get("/m/cab-01").text


# --- what is added now -----------------------------------------------------------------------------------


def test_while_credits_are_added_the_screen_says_so_and_shows_no_code(site):
    order_id = site.begin(3)
    assert look(site)["state"] == "ready", "nobody has paid"
    site.pay(order_id)
    site.say_ack(order_id, "accepted")
    assert look(site) == {"state": "adding", "title": "Adding credits", "detail": "3 credits to add"}
    site.say_status("cab-01", ready=False, reason="busy")
    site.say_ack(order_id, "pulsing", 2)
    assert look(site)["detail"] == "2 of 3 credits added"
    site.say_status("cab-01")
    site.say_ack(order_id, "done", 3)
    assert look(site)["state"] == "ready"


def test_a_screen_shows_what_its_own_machine_adds(site):
    site.add_machine("cab-02", name="Next to it")
    site.say_status("cab-02")
    order_id = site.begin(2, "cab-02")
    site.pay(order_id)
    site.say_ack(order_id, "accepted")
    assert look(site)["state"] == "ready"
    assert look(site, "cab-02")["state"] == "adding"


@pytest.mark.parametrize("coins", [False, True])
def test_coins_are_named_only_where_there_is_a_slot(coins):
    site = Site(coins_accepted=coins)
    site.add_machine("cab-02")
    never = look(site, "cab-02")
    site.now_ms += FRESH_MS + 1
    away = look(site)
    for shown in (never, away):
        assert ("oins" in f"{shown['title']} {shown['detail']}") is coins
        assert "connected" not in shown["title"]


def look(site: Site, machine_id: str = "cab-01") -> dict[str, str]:
    """What the screen shows."""
    values = site.client.get(f"/kiosk/{machine_id}?format=json").get_json()
    return {name: values[name] for name in ("state", "title", "detail")}
