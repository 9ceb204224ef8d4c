"""Other software is told at least once, whatever dies; what it does not take for a day is told to a person."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from arcade_cloud.bootstrap import for_software
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.outbox import ENDPOINTS_AT_MOST, GIVE_UP_MS, Endpoint, Posting
from arcade_cloud.errors import BadRequest, StoreUnavailable
from arcade_cloud.services.outbox_delivery import ENDPOINT_AGAIN_MS, LATE_MS
from support.site import SIGNING_SECRET, Site

GOOD, BAD = "https://good.example/hook", "https://bad.example/hook"
EVENTS = ("play.delivered", "order.refunded", "machine.offline")
MINUTE_MS = 60_000


class Told:
    """A site with endpoints, and what they were told."""

    def __init__(self, *urls: str) -> None:
        self.site = Site()
        self.endpoints = [self.add(url) for url in urls]

    def add(self, url: str, events: tuple[str, ...] = EVENTS) -> Endpoint:
        self.site.now_ms += 1  # they are told in the order of their age
        return self.site.software.endpoints.add(url, events, by="ann")

    def restart(self) -> None:
        """A new process remembers nothing."""
        site = self.site
        keyring = Keyring(site.settings.signing_secrets)
        site.software = for_software(site.cloud, site.store.software, keyring, site.poster)

    def play(self, delivered: int = 1, credits: int = 1) -> str:
        """Buy and deliver."""
        self.site.say_status("cab-01")
        order_id = self.site.begin(credits)
        self.site.pay(order_id)
        self.site.say_ack(order_id, "done", delivered)
        self.site.deliver_events()
        self.site.cloud.fulfilment.run_once()
        assert self.site.order(order_id).state == "settled"
        return order_id

    def tick(self, for_ms: int = 0, step_ms: int = MINUTE_MS) -> None:
        """Let time pass, with the timer at each step."""
        end_ms = self.site.now_ms + for_ms
        while True:
            self.site.software.delivery.run_once()
            if self.site.now_ms >= end_ms:
                return
            self.site.now_ms = min(end_ms, self.site.now_ms + step_ms)

    def bodies(self, url: str = GOOD) -> list[dict[str, Any]]:
        return [json.loads(body) for where, body, _ in self.site.poster.posted if where == url]

    def types(self, url: str = GOOD) -> list[str]:
        return [body["type"] for body in self.bodies(url)]

    def postings(self, endpoint: int = 0) -> list[Posting]:
        return self.site.store.software.postings(self.endpoints[endpoint].endpoint_id, 1000)

    def alerts(self, kind: str) -> list[str]:
        return [alert.subject for alert in self.site.store.recent_alerts(1000) if alert.kind == kind]


@pytest.fixture
def told() -> Told:
    return Told(GOOD)


def test_a_purchase_is_told_by_the_timer_and_never_by_the_request(told: Told) -> None:
    order_id = told.play(2, 3)
    assert told.site.poster.tried == []
    told.tick()
    assert sorted(told.types()) == ["order.refunded", "play.delivered"]
    by_type = {body["type"]: body for body in told.bodies()}
    assert by_type["play.delivered"]["data"]["delivered"] == 2
    assert by_type["order.refunded"]["data"] == {
        **by_type["order.refunded"]["data"],
        "orderId": order_id,
        "paid": "3.00",
        "refunded": "1.00",
        "kept": "2.00",
    }
    assert by_type["play.delivered"]["site"] == "https://play.example"
    told.tick(10 * MINUTE_MS)
    assert len(told.bodies()) == 2


def test_a_message_is_signed_with_the_secret_of_its_endpoint(told: Told) -> None:
    import stripe

    told.play()
    told.tick()
    ((_, body, headers),) = told.site.poster.posted
    (secret,) = Keyring([SIGNING_SECRET]).of_endpoint(told.endpoints[0].endpoint_id)
    assert told.site.software.endpoints.secret(told.endpoints[0].endpoint_id) == secret
    assert stripe.WebhookSignature.verify_header(body.decode(), headers["Arcade-Signature"], secret, None)
    assert headers["Arcade-Signature"].startswith(f"t={told.site.now_ms // 1000},")


def test_who_wants_nothing_of_it_is_told_nothing() -> None:
    told = Told()
    told.endpoints = [told.add(GOOD, ("machine.offline",)), told.add(BAD, ("play.delivered",))]
    told.play(1, 2)
    told.tick()
    assert (told.types(GOOD), told.types(BAD)) == ([], ["play.delivered"])


def test_an_event_is_stored_before_it_is_sent_and_survives_the_process(told: Told) -> None:
    told.play()
    assert len(told.postings()) == 1
    told.restart()
    told.tick()
    assert told.types() == ["play.delivered"]


def test_a_process_that_dies_after_sending_sends_again_with_the_same_id(told: Told) -> None:
    told.play()
    store, change = told.site.store.software, told.site.store.software.change_posting

    def dies(before: Posting, after: Posting) -> None:
        if after.delivered_at_ms is not None:
            raise StoreUnavailable("the process is dead")
        change(before, after)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "change_posting", dies)
        with pytest.raises(StoreUnavailable):
            told.tick()
    told.restart()
    told.tick(MINUTE_MS)
    first, second = told.bodies()
    assert first == second
    assert told.postings()[0].delivered_at_ms is not None


def test_two_processes_send_one_posting_once(told: Told) -> None:
    told.play()
    other = for_software(
        told.site.cloud, told.site.store.software, Keyring(told.site.settings.signing_secrets), told.site.poster
    )
    real = told.site.poster.post

    def meanwhile(*arguments: Any) -> str | None:
        other.delivery.run_once()
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(told.site.poster, "post", meanwhile)
        told.tick()
    assert len(told.bodies()) == 1


def test_an_endpoint_that_fails_holds_up_no_other_and_gets_everything_later() -> None:
    told = Told(BAD, GOOD)
    told.site.poster.broken[BAD] = "status 500"
    plays = [told.play() for _ in range(3)]
    told.tick()
    assert sorted(body["data"]["orderId"] for body in told.bodies(GOOD)) == sorted(plays)
    assert told.bodies(BAD) == []
    assert told.site.poster.tried.count(BAD) == 1  # the others wait for the first
    del told.site.poster.broken[BAD]
    told.tick(10 * MINUTE_MS)
    assert {body["data"]["orderId"] for body in told.bodies(BAD)} == set(plays)
    assert told.alerts("endpoint_failing") == []


def test_an_endpoint_that_fails_is_not_asked_all_the_time() -> None:
    told = Told(BAD)
    told.site.poster.broken[BAD] = "no answer in time"
    for _ in range(30):
        told.play()
    told.tick(60 * MINUTE_MS, step_ms=1_000)
    most = 60 * MINUTE_MS // ENDPOINT_AGAIN_MS[1] + 10
    assert 5 < told.site.poster.tried.count(BAD) <= most


def test_an_endpoint_that_fails_is_told_to_a_person_and_so_is_its_recovery() -> None:
    told = Told(BAD)
    (endpoint,) = told.endpoints
    told.site.poster.broken[BAD] = "status 500"
    told.play()
    told.tick(LATE_MS - MINUTE_MS)
    assert told.alerts("endpoint_failing") == []
    told.tick(60 * MINUTE_MS)
    assert told.alerts("endpoint_failing") == [endpoint.endpoint_id]
    (alert,) = told.site.store.standing_alerts(10)
    assert "bad.example does not take events: status 500" in alert.text
    assert "/hook" not in alert.text  # the address may hold a token
    told.restart()
    del told.site.poster.broken[BAD]
    told.tick(60 * MINUTE_MS)
    assert told.site.store.lasting_alert("endpoint_failing", endpoint.endpoint_id) is None
    assert told.types(BAD) == ["play.delivered"]


def test_what_is_not_taken_for_a_day_is_given_up_and_told() -> None:
    told = Told(BAD)
    (endpoint,) = told.endpoints
    told.site.poster.broken[BAD] = "status 500"
    for _ in range(5):
        told.play()
    told.tick(GIVE_UP_MS - 60 * MINUTE_MS)
    assert told.alerts("event_given_up") == []
    assert all(posting.given_up_at_ms is None for posting in told.postings())
    told.tick(4 * 60 * MINUTE_MS)
    assert all(posting.given_up_at_ms is not None for posting in told.postings())
    assert all(posting.due_at_ms is None for posting in told.postings())
    assert told.alerts("event_given_up") == [endpoint.endpoint_id]  # one for all five
    tries = len(told.site.poster.tried)
    del told.site.poster.broken[BAD]
    told.tick(24 * 60 * MINUTE_MS)
    assert (len(told.site.poster.tried), told.bodies(BAD)) == (tries, [])


def test_a_cloud_that_was_down_for_days_gives_nothing_up_at_the_first_failure() -> None:
    told = Told(BAD)
    told.play()
    told.site.now_ms += 3 * GIVE_UP_MS
    told.restart()
    told.site.poster.broken[BAD] = "status 503"
    told.tick()
    assert told.postings()[0].given_up_at_ms is None
    del told.site.poster.broken[BAD]
    told.tick(MINUTE_MS)
    assert told.types(BAD) == ["play.delivered"]


def test_the_alert_comes_before_the_posting_is_given_up() -> None:
    """If the process dies in between, one more try fails, and there is one alert all the same."""
    told = Told(BAD)
    told.site.poster.broken[BAD] = "status 500"
    told.play()
    told.tick(GIVE_UP_MS - 60 * MINUTE_MS)
    store, change = told.site.store.software, told.site.store.software.change_posting

    def dies(before: Posting, after: Posting) -> None:
        if after.given_up_at_ms is not None:
            raise StoreUnavailable("the process is dead")
        change(before, after)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "change_posting", dies)
        with pytest.raises(StoreUnavailable):
            told.tick(3 * 60 * MINUTE_MS)
    assert len(told.alerts("event_given_up")) == 1
    assert told.postings()[0].given_up_at_ms is None
    told.restart()
    told.tick(3 * 60 * MINUTE_MS)
    assert told.postings()[0].given_up_at_ms is not None


# replay


def test_what_was_given_up_is_sent_again_by_one_command() -> None:
    told = Told(BAD)
    told.site.poster.broken[BAD] = "status 500"
    told.play()
    told.tick(GIVE_UP_MS + 4 * 60 * MINUTE_MS)
    del told.site.poster.broken[BAD]
    told.play()
    told.tick()
    assert len(told.bodies(BAD)) == 1
    again = list(
        told.site.software.endpoints.replay_since(
            told.endpoints[0].endpoint_id, 0, told.site.now_ms + 1, only_given_up=True
        )
    )
    assert len(again) == 1
    told.tick(10 * MINUTE_MS)
    assert len({body["id"] for body in told.bodies(BAD)}) == 2 == len(told.bodies(BAD))


def test_events_are_sent_again_by_id_and_by_time(told: Told) -> None:
    endpoint_id = told.endpoints[0].endpoint_id
    endpoints = told.site.software.endpoints
    first = told.play()
    told.tick()
    told.site.now_ms += 60 * MINUTE_MS
    begin_ms = told.site.now_ms
    told.site.say_status("cab-01")
    told.play()
    told.tick()
    of_first = told.bodies()[0]
    assert of_first["data"]["orderId"] == first
    endpoints.replay(endpoint_id, of_first["id"])
    told.tick()
    assert told.bodies()[2] == of_first
    assert len(list(endpoints.replay_since(endpoint_id, begin_ms, told.site.now_ms + 1))) == 1
    told.tick()
    assert told.bodies()[3] == told.bodies()[1]
    assert len(list(endpoints.replay_since(endpoint_id, 0, told.site.now_ms + 1))) == 2
    with pytest.raises(BadRequest):
        endpoints.replay(endpoint_id, "evt_unknown")
    with pytest.raises(BadRequest):
        list(endpoints.replay_since("we_unknown", 0, told.site.now_ms))


# endpoints


def test_a_test_event_goes_out_at_once_and_is_stored_nowhere(told: Told) -> None:
    assert told.site.software.endpoints.test(told.endpoints[0].endpoint_id) is None
    assert told.types() == ["test"]
    assert told.postings() == []
    told.site.poster.broken[GOOD] = "status 404"
    assert told.site.software.endpoints.test(told.endpoints[0].endpoint_id) == "status 404"


def test_an_endpoint_that_was_removed_gets_nothing_more_and_accuses_nobody() -> None:
    told = Told(BAD)
    told.site.poster.broken[BAD] = "status 500"
    told.play()
    told.tick(60 * MINUTE_MS)
    assert told.site.store.lasting_alert("endpoint_failing", told.endpoints[0].endpoint_id)
    told.site.software.endpoints.remove(told.endpoints[0].endpoint_id)
    assert told.site.store.lasting_alert("endpoint_failing", told.endpoints[0].endpoint_id) is None
    del told.site.poster.broken[BAD]
    told.tick(60 * MINUTE_MS)
    assert told.bodies(BAD) == []


def test_what_an_operator_mistypes_is_refused(told: Told) -> None:
    endpoints = told.site.software.endpoints
    for url, events in (
        ("http://shop.example/", EVENTS),
        ("https://shop.example/", ("play.started",)),
        ("https://shop.example/", ()),
        (GOOD, EVENTS),
    ):
        with pytest.raises(BadRequest):
            endpoints.add(url, events, by="ann")
    for number in range(ENDPOINTS_AT_MOST - 1):
        endpoints.add(f"https://shop.example/{number}", EVENTS, by="ann")
    with pytest.raises(BadRequest):
        endpoints.add("https://shop.example/more", EVENTS, by="ann")
    with pytest.raises(BadRequest):
        endpoints.remove("we_unknown")


def test_of_two_who_add_an_endpoint_at_once_not_both_do(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends a form twice is not told of everything twice, and there are never more than so many."""
    endpoints, store = told.site.software.endpoints, told.site.store.software
    for number in range(ENDPOINTS_AT_MOST - 1 - len(store.endpoints())):
        endpoints.add(f"https://shop.example/{number}", EVENTS, by="ann")
    before, add = store.endpoints(), store.add_endpoint

    for other in (BAD, "https://shop.example/other"):
        meanwhile = iter([other])

        def add_endpoint(endpoint: Endpoint, meanwhile: Iterator[str] = meanwhile) -> None:
            for url in meanwhile:  # the other one comes between the look and the writing
                endpoints.add(url, EVENTS, by="bob")
            add(endpoint)

        monkeypatch.setattr(store, "add_endpoint", add_endpoint)
        with pytest.raises(BadRequest):
            endpoints.add(BAD, EVENTS, by="ann")
        assert [one.url for one in store.endpoints() if one not in before] == [other]
        endpoints.remove(next(one.endpoint_id for one in store.endpoints() if one.url == other))


def test_a_broken_record_of_an_endpoint_keeps_no_order_from_moving(told: Told) -> None:
    from arcade_cloud.errors import InvariantBroken

    def broken() -> list[Endpoint]:
        raise InvariantBroken("endpoint we_1: the stored record cannot be read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(told.site.store.software, "endpoints", broken)
        told.play()
    assert told.alerts("stuck") == ["webhooks"]


# what is told


def test_a_machine_that_falls_silent_is_told_with_the_alert(told: Told) -> None:
    site = told.site
    alerts, outbox = site.cloud.alerts, site.cloud.fulfilment.outbox

    def tells(begun: Alert) -> tuple[Posting, ...]:
        return outbox.of_silence(begun, "cab-01", "Tetris", site.now_ms - 5)

    assert alerts.begin("machine_silent", "cab-01", "…", tells)
    assert not alerts.begin("machine_silent", "cab-01", "…", tells)
    told.tick()
    (body,) = told.bodies()
    assert body["type"] == "machine.offline"
    assert body["data"]["machineId"] == "cab-01"
    site.now_ms += MINUTE_MS
    alerts.end("machine_silent", "cab-01", "…")
    assert alerts.begin("machine_silent", "cab-01", "…", tells)
    told.tick()
    assert len({body["id"] for body in told.bodies()}) == 2
