"""What an operator looks at: figures from purchases that went the whole way, and the worst machine on top."""

from datetime import date

import pytest

from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.machines import FRESH_MS
from arcade_cloud.services.overview import SLOW_MS, SLOW_SHOWN, UPTIME_DAYS, Overview
from support.order_records import new_order, step
from support.site import ONE, START_MS, Site

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


@pytest.fixture
def site() -> Site:
    return Site()


def overview(site: Site) -> Overview:
    return site.cloud.overview


def play(site: Site, credits: int, machine_id: str = "cab-01", delivered: int | None = None) -> str:
    """A purchase that goes the whole way."""
    site.say_status(machine_id)
    order_id = site.begin(credits, machine_id)
    site.pay(order_id)
    site.say_ack(order_id, "done", credits if delivered is None else delivered)
    site.deliver_events()
    assert site.order(order_id).state == "settled"
    return order_id


def test_the_takings_so_far_stand_beside_the_same_hour_of_that_weekday(site: Site) -> None:
    play(site, 3)
    site.now_ms += HOUR_MS
    play(site, 10)  # later than the hour that is compared
    site.now_ms = START_MS + 7 * DAY_MS + 60_000
    play(site, 5, delivered=4)
    (compared,) = overview(site).today().takings
    assert (compared.currency, compared.now.net_minor, compared.then.net_minor) == ("myr", 400, 300)
    assert (compared.now.delivered, compared.now.ordered, compared.then.delivered) == (4, 5, 3)


def test_a_machine_has_its_own_plays_takings_and_last_play_of_today(site: Site) -> None:
    site.add_machine("cab-02", offers=(ONE,))
    play(site, 3)
    site.now_ms += 1000
    play(site, 2, "cab-02", delivered=1)
    found = overview(site)
    seen = {one.machine.machine_id: one for one in found.with_takings(found.machines())}
    assert (seen["cab-01"].plays, seen["cab-01"].takings) == (3, {"myr": 300})
    assert (seen["cab-02"].plays, seen["cab-02"].takings) == (1, {"myr": 100})
    assert seen["cab-02"].last_play_ms == START_MS + 1000
    site.now_ms += DAY_MS
    shown = found.with_takings(found.machines())
    assert [(one.plays, one.takings, one.last_play_ms) for one in shown] == [(0, {}, None)] * 2


def test_the_worst_machine_is_on_top(site: Site) -> None:
    for name in ("closed", "gone", "new", "old", "busy", "clash"):
        site.add_machine(name)
    site.add_machine("closed", closure=Closure(since_ms=START_MS, reason="a broken lamp"))
    site.add_machine("old", closure=Closure(since_ms=START_MS, for_good=True))
    for name in ("gone", "closed", "old"):
        site.say_status(name)
    site.say_status("clash")
    site.say_status("clash", installation="c" * 32)
    site.now_ms += FRESH_MS + 1
    site.say_status("cab-01")
    site.say_status("busy", ready=False, reason="the door is open")
    site.say_status("clash", installation="c" * 32)
    today = overview(site).today()
    assert [(one.machine.machine_id, one.rank) for one in today.machines] == [
        ("clash", "dead"),
        ("gone", "dead"),
        ("busy", "not ready"),
        ("cab-01", "ready"),
        ("new", "being set up"),
        ("closed", "out of service"),
        ("old", "retired"),
    ]
    assert today.counts == {
        "dead": 2,
        "not ready": 1,
        "ready": 1,
        "being set up": 1,
        "out of service": 1,
        "retired": 1,
    }
    seen = {one.machine.machine_id: one for one in today.machines}
    assert (seen["gone"].why_not, seen["gone"].since_ms) == ("This machine is offline.", START_MS)
    assert seen["busy"].why_not == "This machine is not ready. (the door is open)"
    assert (seen["closed"].why_not, seen["closed"].since_ms) == ("a broken lamp", START_MS)


def test_an_order_that_takes_too_long_is_shown_until_it_is_over(site: Site) -> None:
    order_id = site.begin(2)
    site.begin(1)  # nobody pays for it
    site.pay(order_id)
    assert overview(site).today().slow == ()
    site.now_ms += SLOW_MS + 1
    assert [order.order_id for order in overview(site).today().slow] == [order_id]
    site.say_ack(order_id, "done", 2)
    site.deliver_events()
    assert overview(site).today().slow == ()


def test_an_order_that_takes_too_long_is_shown_however_many_wait_for_something_else(site: Site) -> None:
    order_id = site.begin(2)
    site.pay(order_id)
    site.store.postpone(order_id, site.now_ms + 86_400_000)
    for number in range(SLOW_SHOWN + 10):
        site.store.move(step(new_order(f"ord_{number}", due_at_ms=1)))
    site.now_ms += SLOW_MS + 1
    assert [order.order_id for order in overview(site).today().slow] == [order_id]


def test_a_machines_days_are_booked_by_what_it_says(site: Site) -> None:
    """START_MS is 14:13:20 in UTC: ready for an hour, not ready for an hour, silent for the night, ready again."""
    site.now_ms += HOUR_MS
    for minutes in range(60):
        site.now_ms = START_MS + minutes * 60_000
        site.say_status("cab-01")
    for minutes in range(60, 120):
        site.now_ms = START_MS + minutes * 60_000
        site.say_status("cab-01", ready=False, reason="full")
    site.now_ms = START_MS + 24 * HOUR_MS
    site.say_status("cab-01")
    life = overview(site).machine(site.cloud.operations.machine("cab-01"))
    assert len(life.days) == UPTIME_DAYS
    assert [day.day for day in life.days[-2:]] == [date(2026, 9, 21), date(2026, 9, 22)]
    yesterday, today = (
        [(span.state, span.reason, span.length_ms) for span in day.spans] for day in life.days[-2:]
    )
    silent_ms = START_MS + 119 * 60_000 + FRESH_MS
    midnight_ms = START_MS - START_MS % DAY_MS + DAY_MS
    assert yesterday == [
        ("", "", START_MS % DAY_MS),
        ("ready", "", HOUR_MS),
        ("not ready", "full", 59 * 60_000 + FRESH_MS),
        ("silent", "", midnight_ms - silent_ms),
    ]
    assert today == [("silent", "", START_MS + 24 * HOUR_MS - midnight_ms)]
    assert life.share == pytest.approx(HOUR_MS / (24 * HOUR_MS))
    assert [day.share for day in life.days[:-2]] == [None] * 5
    site.now_ms += 30_000
    again = overview(site).machine(site.cloud.operations.machine("cab-01"))
    assert (again.now.rank, again.since_ms) == ("ready", START_MS + 24 * HOUR_MS)


def test_a_machine_that_fell_silent_days_ago_is_silent_on_each_day_since(site: Site) -> None:
    site.now_ms += 3 * DAY_MS
    life = overview(site).machine(site.cloud.operations.machine("cab-01"))
    assert [span.state for span in life.days[-2].spans] == ["silent"]
    assert [span.state for span in life.days[-4].spans] == ["", "ready", "silent"]
    assert (life.now.rank, life.since_ms) == ("dead", START_MS)


def test_one_machine_has_its_own_orders_and_alerts(site: Site) -> None:
    site.add_machine("cab-02", offers=(ONE,))
    play(site, 1)
    mine = play(site, 2, "cab-02")
    site.say_status("cab-02", installation="c" * 32)
    life = overview(site).machine(site.cloud.operations.machine("cab-02"))
    assert [order.order_id for order in life.orders] == [mine]
    assert [alert.kind for alert in life.alerts] == ["two_installations"]
