"""The life of an alert: a condition begins and ends once, whoever says so, and each is posted once."""

import threading
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain import alerts
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.errors import BadRequest
from arcade_cloud.services.alerts import NOTICED_EVERY_MS, Alerts, short_id
from simulation.account_payments import AccountPayments
from support.memory_store import MemoryStore
from support.mortal_cloud import Inbox, Killed, MortalCloud
from support.order_records import an_alert
from support.orders import NOW_MS

KIND: Literal["unsellable"] = "unsellable"
MACHINE = "cab-01"


class Desk:
    """Alerts on a store in memory, at a time that stands still."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.store = MemoryStore()
        self.alerts = Alerts(self.store, lambda: self.now_ms)

    def begin(self) -> bool:
        return self.alerts.begin(KIND, MACHINE, "no price: correct it")

    def end(self) -> bool:
        return self.alerts.end(KIND, MACHINE, "sold again")

    def post(self) -> list[Alert]:
        """What is posted now."""
        found = self.store.unsent_alerts(100)
        for alert in found:
            self.store.mark_alert_sent(alert.alert_id)
        return found


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_condition_is_posted_once_when_it_begins_and_once_when_it_ends(desk: Desk) -> None:
    assert desk.begin()
    desk.now_ms += 10
    assert not desk.begin()
    (begun,) = desk.post()
    assert (begun.kind, begun.subject, begun.text, begun.at_ms) == (KIND, MACHINE, "no price: correct it", NOW_MS)
    desk.now_ms += 10
    assert desk.end()
    assert not desk.end()
    (ended,) = desk.post()
    assert (ended.recovers, ended.text, ended.at_ms) == (begun.alert_id, "sold again", NOW_MS + 20)


def test_what_never_began_does_not_end(desk: Desk) -> None:
    assert not desk.end()
    assert desk.post() == []


def test_a_condition_that_comes_back_in_the_same_millisecond_is_another_one(desk: Desk) -> None:
    for _ in range(3):
        assert desk.begin()
        assert desk.end()
    posted = desk.post()
    assert len({alert.alert_id for alert in posted}) == 6
    assert sum(bool(alert.recovers) for alert in posted) == 3


def test_a_condition_that_is_noticed_again_is_written_down_now_and_then(desk: Desk) -> None:
    desk.begin()
    desk.now_ms += NOTICED_EVERY_MS - 1
    desk.begin()
    (lasting,) = desk.store.standing_alerts(10)
    assert lasting.last_noticed_ms == NOW_MS
    desk.now_ms += 1
    assert not desk.begin()
    (lasting,) = desk.store.standing_alerts(10)
    assert lasting.last_noticed_ms == NOW_MS + NOTICED_EVERY_MS


def test_of_many_that_begin_and_end_at_once_each_does_it_once(tmp_path: Path) -> None:
    """As several processes on one database do."""
    stores = [SqliteStore(tmp_path / "cloud.sqlite") for _ in range(4)]
    desks = [Alerts(store, partial(int, NOW_MS + number)) for number, store in enumerate(stores)]
    done: list[bool] = []

    def act(desk: Alerts, what: str) -> None:
        done.append(getattr(desk, what)(KIND, MACHINE, "text"))

    def at_once(what: str) -> None:
        threads = [threading.Thread(target=act, args=(desk, what)) for desk in desks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    at_once("begin")
    assert sorted(done) == [False, False, False, True]
    done.clear()
    at_once("end")
    assert sorted(done) == [False, False, False, True]
    assert len(stores[0].recent_alerts(10)) == 2
    for store in stores:
        store.close()


def test_the_first_acknowledgement_stays(desk: Desk) -> None:
    desk.store.raise_alert(an_alert("a-1"))
    assert desk.alerts.acknowledge("a-1", "ana").acknowledged_by == "ana"
    desk.now_ms += 5
    again = desk.alerts.acknowledge("a-1", "ben")
    assert (again.acknowledged_by, again.acknowledged_at_ms) == ("ana", NOW_MS)


def test_a_condition_may_be_acknowledged_while_it_lasts_and_ends_all_the_same(desk: Desk) -> None:
    desk.begin()
    (lasting,) = desk.store.standing_alerts(10)
    assert desk.alerts.acknowledge(short_id(lasting), "ana").lasts
    desk.end()
    assert desk.store.standing_alerts(10) == []
    found = desk.alerts.find(lasting.alert_id)
    assert (found.acknowledged_by, found.ended_at_ms) == ("ana", NOW_MS)


def test_an_id_that_is_none_says_so_and_a_short_one_that_means_two_too(desk: Desk) -> None:
    with pytest.raises(BadRequest, match="no alert stukc:o-1: arcade-cloud alert list"):
        desk.alerts.acknowledge("stukc:o-1", "ana")
    event = an_alert("a-1")
    desk.store.raise_alert(event)
    desk.store.standing_alerts = lambda limit: [event, event]  # type: ignore[method-assign]
    with pytest.raises(BadRequest, match="2 alerts"):
        desk.alerts.acknowledge(short_id(event), "ana")


@pytest.mark.parametrize("point", range(1, 31))
def test_wherever_the_cloud_dies_each_begin_and_end_is_posted(point: int) -> None:
    """A post may come twice; none is lost, and the end never comes without its begin."""
    world = MortalCloud(payments=AccountPayments)
    world.killer.kill_at = {world.killer.points + point}
    for step in ("begin", "post", "end", "post", "begin", "end") * 2:
        try:
            if step == "post":
                world.fulfilment.delivery.run_once()
            else:
                getattr(Alerts(world.fulfilment.store, lambda: NOW_MS), step)(KIND, MACHINE, "text")
        except Killed:
            world.start()
    world.fulfilment.delivery.run_once()
    assert world.store.unsent_alerts(10) == []
    found = world.store.recent_alerts(100)
    begun = {alert.alert_id for alert in found if alert.condition}
    ended = {alert.recovers for alert in found if alert.recovers}
    assert ended <= begun
    assert len(begun - ended) <= 1
    once = len(begun) + len(ended)
    assert once <= world.alerts.kinds.count(KIND) <= once + Inbox.at_once


def test_an_end_is_never_earlier_than_its_begin() -> None:
    begun = alerts.condition("unsellable", MACHINE, "text", NOW_MS)
    assert alerts.ended(begun, NOW_MS - 60_000).ended_at_ms == NOW_MS
