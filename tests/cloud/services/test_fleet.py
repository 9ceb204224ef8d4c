"""A machine out of service: nobody can pay, orders under way go on, no alert; then it is in service again."""

import msgspec
import pytest

from arcade_cloud.domain.fleet import read_table
from arcade_cloud.domain.machines import MachineChange, stage
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.offers import parse_offers
from arcade_cloud.errors import BadRequest, NotReady, PaymentsRefused, UnknownMachine
from arcade_cloud.services.reconciliation import RECONCILE_EVERY_S
from arcade_shared.cabinet import NOT_REGISTERED
from arcade_shared.times import format_ms
from support.site import PRICE_ID, Site

RETIRED = "This machine is no longer in use."
COINPULSES = "arcade/machine/cab-01/coinpulse"
HOUR_MS = 3_600_000
BAD = Offer(offer_id="bad", credits=5, amount_minor=800, currency="myr", price_id="price_of_nobody")


@pytest.fixture
def site() -> Site:
    return Site()


def close(
    site: Site, *machine_ids: str, reason: str = "", until: str | None = None, for_good: bool = False
) -> None:
    for _ in site.cloud.fleet.close(machine_ids or ("cab-01",), reason=reason, until=until, for_good=for_good):
        pass


def put_back(site: Site) -> None:
    for _ in site.cloud.fleet.open(["cab-01"]):
        pass


def in_an_hour(site: Site) -> str:
    return format_ms(site.now_ms + HOUR_MS)[:16] + "Z"


def later(site: Site, ms: int) -> None:
    site.now_ms += ms
    site.say_status("cab-01")


def kinds(site: Site) -> list[str]:
    return [alert.kind for alert in site.store.recent_alerts(20)]


# --- nobody can pay --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["agent", "subscriber"])
def test_nobody_can_pay_for_a_machine_that_is_out_of_service(site: Site, kind: str) -> None:
    site.cloud.operations.machine_set("cab-01", MachineChange(kind=kind))  # type: ignore[arg-type]
    close(site, reason="Closed for maintenance")
    with pytest.raises(NotReady, match="Closed for maintenance"):
        site.cloud.sales.begin_checkout("cab-01")
    assert site.payments.calls.count("create_checkout") == 0
    assert site.store.recent_orders(10) == []
    put_back(site)
    assert site.cloud.sales.begin_checkout("cab-01").checkout_url


def test_it_is_in_service_again_by_itself_with_no_timer(site: Site) -> None:
    close(site, until=in_an_hour(site))
    later(site, HOUR_MS - 60_000)
    with pytest.raises(NotReady, match="Back at"):
        site.cloud.sales.begin_checkout("cab-01")
    later(site, 60_000)
    assert site.cloud.sales.begin_checkout("cab-01").checkout_url


def test_a_retired_machine_sells_nothing_and_takes_no_free_credits(site: Site) -> None:
    close(site, for_good=True)
    with pytest.raises(NotReady, match=RETIRED):
        site.cloud.sales.begin_checkout("cab-01")
    with pytest.raises(NotReady, match=RETIRED):
        site.cloud.operations.grant("cab-01", 1, by="a technician", reason="a try", token="t-1")
    put_back(site)
    assert site.cloud.sales.begin_checkout("cab-01").checkout_url


def test_a_machine_that_is_out_of_service_is_tried_with_free_credits(site: Site) -> None:
    close(site)
    order = site.cloud.operations.grant("cab-01", 1, by="a technician", reason="a try", token="t-1")
    assert order.state == "funded"
    assert len(site.broker.on(COINPULSES)) == 1
    later(site, 80_000)
    site.now_ms += 80_000
    with pytest.raises(NotReady, match="offline"):
        site.cloud.operations.grant("cab-01", 1, by="a technician", reason="a try", token="t-2")


def test_orders_under_way_are_not_disturbed(site: Site) -> None:
    """A page that was opened before may still be paid, and what was paid is delivered and settled."""
    waiting, playing = site.begin(2), site.begin(3)
    site.pay(playing)
    close(site)
    site.say_ack(playing, "done", 3)
    site.deliver_events()
    site.cloud.fulfilment.run_once()
    assert (site.order(playing).state, site.order(playing).books.target_minor) == ("settled", 300)
    site.pay(waiting)
    assert site.order(waiting).state == "funded"
    assert len(site.broker.on(COINPULSES)) == 2


# --- static links ----------------------------------------------------------------------------------------


def paid_by_link(site: Site, method: str = "fpx") -> str:
    link = site.payments.stripe.visit_link(PRICE_ID, metadata={"machine_id": "cab-01"})
    intent = site.payments.stripe.pay(link, method)
    events = site.payments.stripe.take_events()
    for event in [*events, *events]:
        assert site.post_event(event).status_code == 200
    return intent


def given_back(site: Site, intent: str) -> bool:
    money = site.payments.stripe.money_of(intent)
    return (money["kept"], money["held"]) == (0, 0)


@pytest.mark.parametrize("method", ["card", "fpx"])
@pytest.mark.parametrize("for_good", [False, True])
def test_money_by_a_static_link_goes_back_and_a_person_is_told(site: Site, method: str, for_good: bool) -> None:
    close(site, for_good=for_good)
    later(site, 1000)
    intent = paid_by_link(site, method)
    site.cloud.fulfilment.run_once()
    site.deliver_events()
    assert given_back(site, intent)
    assert site.broker.on(COINPULSES) == []
    (order,) = site.store.recent_orders(10)
    assert (order.state, order.note) == (
        "settled",
        "machine cab-01 is out of service, and a static link still sells it",
    )
    assert kinds(site) == ["unmatched_payment"]


def test_money_by_a_static_link_that_was_paid_before_is_delivered(site: Site) -> None:
    link = site.payments.stripe.visit_link(PRICE_ID, metadata={"machine_id": "cab-01"})
    intent = site.payments.stripe.pay(link, "fpx")
    site.now_ms += 5000
    close(site)
    site.deliver_events()
    assert site.order(f"link_{intent}").state == "funded"
    assert len(site.broker.on(COINPULSES)) == 1


def test_money_by_a_static_link_is_delivered_once_the_machine_is_back(site: Site) -> None:
    close(site, until=in_an_hour(site))
    later(site, 2 * HOUR_MS)
    intent = paid_by_link(site)
    assert site.order(f"link_{intent}").state == "funded"


def test_a_link_found_late_goes_back_by_the_rule_that_exists(site: Site) -> None:
    """Its webhook was lost. What is captured or delivered may be unknown here, so nothing else is decided."""
    site.reconciliation.run_once()
    close(site)
    later(site, 1000)
    link = site.payments.stripe.visit_link(PRICE_ID, metadata={"machine_id": "cab-01"})
    intent = site.payments.stripe.pay(link, "fpx")
    site.payments.stripe.take_events()
    later(site, RECONCILE_EVERY_S * 1000)
    site.reconciliation.run_once()
    site.cloud.fulfilment.run_once()
    assert given_back(site, intent)
    assert site.broker.on(COINPULSES) == []


# --- no alerts -------------------------------------------------------------------------------------------


def test_what_stripe_refuses_to_sell_is_no_alert_of_a_machine_out_of_service(site: Site) -> None:
    machine = site.cloud.operations.machine("cab-01")
    changed = msgspec.structs.replace(machine, offers=(BAD,), version=machine.version + 1)
    site.store.put_machine(changed, machine.version)
    with pytest.raises(PaymentsRefused):
        site.cloud.sales.begin_checkout("cab-01")
    assert site.store.lasting_alert("unsellable", "cab-01 bad") is not None
    close(site)
    assert site.store.lasting_alert("unsellable", "cab-01 bad") is None
    told = len(site.store.recent_alerts(20))
    site.cloud.sales.unsellable.refused(
        site.cloud.operations.machine("cab-01"), BAD, 1, PaymentsRefused("resource_missing", "No such price")
    )
    assert len(site.store.recent_alerts(20)) == told


def test_a_page_of_a_closed_machine_raises_no_alert_for_the_configured_price() -> None:
    site = Site(stripe_price_id="price_of_nobody")
    close(site)
    for path in ("/m/cab-01", "/kiosk/cab-01"):
        assert site.client.get(path).status_code == 200
    assert kinds(site) == []


def out_of_sale(site: Site) -> None:
    site.now_ms += 30_000
    site.say_status("cab-01", ready=False, reason=NOT_REGISTERED)


def test_a_meter_that_disagrees_is_told_once_the_machine_is_in_service_again(site: Site) -> None:
    close(site)
    out_of_sale(site)
    out_of_sale(site)
    assert kinds(site) == []
    put_back(site)
    assert kinds(site) == ["meter"]
    out_of_sale(site)
    assert kinds(site) == ["meter"]


def test_a_meter_that_disagrees_is_told_when_the_machine_comes_back_by_itself(site: Site) -> None:
    close(site, until=in_an_hour(site))
    out_of_sale(site)
    site.now_ms += HOUR_MS
    out_of_sale(site)
    assert kinds(site) == ["meter"]


def test_a_machine_that_is_well_again_when_it_comes_back_is_not_told(site: Site) -> None:
    close(site)
    out_of_sale(site)
    later(site, 30_000)
    put_back(site)
    assert kinds(site) == []


# --- before and after ------------------------------------------------------------------------------------


def test_closing_again_changes_what_is_said_and_not_since_when(site: Site) -> None:
    close(site)
    since_ms = site.now_ms
    site.now_ms += 60_000
    close(site, reason="Waiting for a part", until=in_an_hour(site))
    closed = site.cloud.operations.machine("cab-01").closed(site.now_ms)
    assert closed is not None
    assert (closed.since_ms, closed.reason) == (since_ms, "Waiting for a part")
    version = site.cloud.operations.machine("cab-01").version
    close(site, reason="Waiting for a part", until=in_an_hour(site))
    assert site.cloud.operations.machine("cab-01").version == version


@pytest.mark.parametrize(("reason", "until"), [("x" * 121, None), ("", "yesterday")])
def test_what_cannot_be_said_closes_nothing(site: Site, reason: str, until: str | None) -> None:
    with pytest.raises(BadRequest):
        site.cloud.fleet.close(["cab-01"], reason=reason, until=until)
    assert site.cloud.operations.machine("cab-01").closure is None


def test_a_machine_never_heard_is_being_set_up(site: Site) -> None:
    machine = site.cloud.operations.machine_add("cab-02", MachineChange())
    assert stage(machine, site.store.presence("cab-02"), site.now_ms) == "being set up"
    site.say_status("cab-02")
    assert stage(machine, site.store.presence("cab-02"), site.now_ms) == "in service"
    close(site, "cab-02")
    machine = site.cloud.operations.machine("cab-02")
    assert stage(machine, site.store.presence("cab-02"), site.now_ms) == "out of service"


def test_who_is_meant(site: Site) -> None:
    fleet = site.cloud.fleet
    site.add_machine("cab-02", location="Pier")
    site.add_machine("cab-03", location="Pier")
    close(site, "cab-03", for_good=True)

    def ids(*machine_ids: str, location: str | None = None, every: bool = False) -> list[str]:
        return [machine.machine_id for machine in fleet.chosen(machine_ids, location=location, every=every)]

    assert ids("cab-03", "cab-01", "cab-03") == ["cab-03", "cab-01"]
    assert ids(location="pier") == ["cab-02"]
    assert ids(every=True) == ["cab-01", "cab-02"]
    with pytest.raises(UnknownMachine, match="did you mean cab-01"):
        ids("cab-01", "cab-1")
    with pytest.raises(BadRequest, match="name the machines"):
        ids()
    close(site, "cab-02", for_good=True)
    with pytest.raises(BadRequest, match="retired"):
        ids(location="Pier")


# --- copies and tables -----------------------------------------------------------------------------------


def test_a_copy_has_the_offers_and_nothing_that_makes_the_other_what_it_is(site: Site) -> None:
    offers = parse_offers(["1=2.00MYR", "6=10.00MYR"])
    site.add_machine("cab-01", name="Duel", offers=offers, contact="+60 12", location="Pier", picture_url="/a.jpg")
    close(site)
    copied = site.cloud.fleet.copy("cab-01", "cab-02", MachineChange(name="Duo"))
    assert (copied.name, copied.offers, copied.contact) == ("Duo", offers, "+60 12")
    assert (copied.location, copied.picture_url, copied.kind) == ("Pier", "/a.jpg", "agent")
    assert (copied.version, copied.closure, copied.created_at_ms) == (1, None, site.now_ms)
    assert site.store.presence("cab-02") is None
    with pytest.raises(BadRequest, match="already registered"):
        site.cloud.fleet.copy("cab-01", "cab-02", MachineChange())
    with pytest.raises(UnknownMachine):
        site.cloud.fleet.copy("cab-09", "cab-03", MachineChange())


def test_a_table_changes_many_prices_at_once_and_asks_stripe_once_for_each(site: Site) -> None:
    site.payments.stripe.add_price("price_new", 300)
    ids = [f"cab-{number:02}" for number in range(1, 31)]
    table = "id,offers\n" + "".join(f"{machine_id},1=3.00MYR@price_new\n" for machine_id in ids)
    lines, faults = read_table(table.encode())
    planned, more = site.cloud.fleet.plan(lines)
    assert (faults, more, len(planned)) == ([], [], 30)
    assert site.payments.calls.count("read_price") == 1
    assert site.store.machine("cab-30") is None, "a plan changes nothing"
    steps = list(site.cloud.fleet.take_in(lines))
    assert [after for _, after in steps][1:] == [after for _, after in planned][1:]
    assert {machine.offers[0].amount_minor for machine in site.store.machines()} == {300}
    assert site.cloud.operations.machine("cab-01").name == "Street Fighter II"
    again = list(site.cloud.fleet.take_in(lines))
    assert all(before == after for before, after in again)


def test_what_stripe_would_refuse_is_told_by_line(site: Site) -> None:
    lines, _ = read_table(b"id,offers\ncab-01,5=8.00MYR@price_of_nobody\nCAB-01,\ncab-02,1=2.00MYR\n")
    _, faults = site.cloud.fleet.plan([lines[0], *lines[2:], msgspec.structs.replace(lines[1], number=9)])
    assert [str(fault) for fault in faults][1:] == [
        "line 9, id: machine cab-01 is registered, and CAB-01 differs in case alone: choose another id"
    ]
    assert "line 2, offers: offer c5-800myr: Stripe refuses the price price_of_nobody" in str(faults[0])
