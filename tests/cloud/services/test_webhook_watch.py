"""Stripe's webhooks are refused: it is told by Stripe's own word, and no flood of rubbish begins or ends it."""

import json
import logging
from typing import Any

import pytest

from arcade_cloud.domain.webhooks import Webhooks
from arcade_cloud.ports.payments import Report
from arcade_cloud.services.reconciliation import RECONCILE_EVERY_S
from arcade_cloud.services.webhook_watch import ASK_AGAIN_MS, DELIVERED_WITHIN_MS, NOTE_EVERY_MS, missing, said
from support.orders import NOW_MS, session_of
from support.site import Site

WRONG = "whsec_of_another_endpoint"


class Desk:
    """The site, a Stripe that sends it webhooks signed with some secret, and its timer."""

    def __init__(self) -> None:
        self.site = Site()
        self.store = self.site.store
        self.site.reconciliation.run_once()

    def wait_s(self, seconds: float) -> None:
        self.site.now_ms += int(seconds * 1000)

    def buy(self) -> list[dict[str, Any]]:
        """Pay for an order. Stripe's events about it, which it lists as not delivered."""
        self.site.say_status("cab-01")
        order_id = self.site.begin()
        session_id = session_of(self.site.order(order_id))
        assert session_id is not None
        self.site.payments.stripe.pay(session_id)
        events = self.site.payments.stripe.take_events()
        for event in self.site.payments.stripe.world.events():
            event["pending_webhooks"] = 1
        return events

    def post(self, event: dict[str, Any], secret: str) -> int:
        body = json.dumps(event).encode()
        headers = {"Stripe-Signature": self.site.signature(body, secret)}
        return self.site.client.post("/webhook", data=body, headers=headers).status_code

    def rubbish(self, signature: str | None = None) -> None:
        if signature is None:
            signature = f"t={self.site.now_ms // 1000},v1=" + "0" * 64
        answer = self.site.client.post("/webhook", data=b"{}", headers={"Stripe-Signature": signature})
        assert answer.status_code == 400

    def timer(self, seconds: float) -> None:
        for _ in range(int(seconds // 10)):
            self.wait_s(10)
            self.site.reconciliation.run_once()

    @property
    def told(self) -> list[str]:
        found = reversed(self.store.recent_alerts(100))
        return ["end" if alert.recovers else "begin" for alert in found if alert.kind == "webhook_refused"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_wrong_secret_is_told_once_within_minutes_and_over_with_the_next_accepted_webhook(desk: Desk) -> None:
    for event in desk.buy():
        assert desk.post(event, WRONG) == 400
    desk.timer(60)
    assert desk.told == []
    desk.timer((DELIVERED_WITHIN_MS + NOTE_EVERY_MS) / 1000)
    assert desk.told == ["begin"]
    (alert,) = desk.store.standing_alerts(10)
    assert "none was ever accepted" in alert.text
    assert "STRIPE_WEBHOOK_SECRET" in alert.text
    desk.timer(2 * RECONCILE_EVERY_S)
    assert desk.told == ["begin"]
    assert desk.site.post_event({"id": "evt_other", "type": "invoice.paid"}).status_code == 200
    assert desk.told == ["begin", "end"]
    desk.timer(2 * RECONCILE_EVERY_S)
    assert desk.told == ["begin", "end"]


def test_a_flood_of_rubbish_begins_nothing_and_writes_once_a_minute(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for event in desk.buy():
        assert desk.site.post_event(event).status_code == 200
    noted: list[int] = []
    real = desk.store.note_webhooks_refused

    def note(count: int, at_ms: int, why: str) -> None:
        noted.append(count)
        real(count, at_ms, why)

    monkeypatch.setattr(desk.store, "note_webhooks_refused", note)
    with caplog.at_level(logging.WARNING):
        for _ in range(60):
            for _ in range(20):
                desk.rubbish()
            desk.timer(10)
    assert desk.told == []
    assert len(noted) <= 10 + 3  # each minute, and each time that Stripe's list is read
    assert sum("refused" in record.getMessage() for record in caplog.records) == 10
    assert desk.store.webhooks().refused >= 1000


def test_a_flood_of_rubbish_does_not_end_it_or_begin_it_again(desk: Desk) -> None:
    for event in desk.buy():
        desk.post(event, WRONG)
    desk.timer(RECONCILE_EVERY_S)
    for _ in range(100):
        desk.rubbish()
        desk.timer(60)
    assert desk.told == ["begin"]


def test_what_is_nothing_like_a_signature_is_not_counted(desk: Desk) -> None:
    for signature in ("", "nonsense", "t=x,v1=" + "0" * 64, "t=1,v1=", "t=1,v1=" + "0" * 64):
        desk.rubbish(signature)
    assert desk.store.webhooks().refused == 0


def test_webhooks_that_only_another_endpoint_refuses_tell_nothing(desk: Desk) -> None:
    """Stripe lists an event as not delivered as long as any endpoint of the account has not taken it."""
    for _ in range(3):
        desk.rubbish()
        for event in desk.buy():
            assert desk.site.post_event(event).status_code == 200
        desk.timer(60)
    desk.rubbish()
    desk.timer(2 * RECONCILE_EVERY_S)
    assert desk.told == []


def test_a_store_that_is_down_costs_no_webhook_more_than_before(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = desk.buy()

    def down(*_: object) -> None:
        desk.store.unavailable = True
        try:
            desk.store.webhooks()
        finally:
            desk.store.unavailable = False

    monkeypatch.setattr(desk.store, "note_webhook_accepted", down)
    monkeypatch.setattr(desk.store, "note_webhooks_refused", down)
    desk.rubbish()
    assert desk.site.post_event(events[0]).status_code == 200


def _event(age_ms: int, *, delivered: bool = False) -> Report:
    return Report(
        event_id="evt_1", kind="payment", what="paid", created_ms=NOW_MS - age_ms, is_delivered=delivered
    )


@pytest.mark.parametrize(
    ("unseen", "webhooks", "wrong"),
    [
        ([], Webhooks(), None),
        ([_event(1_000)], Webhooks(), None),
        ([_event(3_600_000, delivered=True)], Webhooks(), "1 events about payments, and no webhook has ever come"),
        ([_event(3_600_000)], Webhooks(accepted_at_ms=NOW_MS - 7_200_000), "1 events as not delivered"),
        ([_event(3_600_000, delivered=True)], Webhooks(accepted_at_ms=NOW_MS - 7_200_000), None),
        ([_event(3_600_000)], Webhooks(accepted_at_ms=NOW_MS - 3_600_000), None),
    ],
)
def test_check_says_which_webhooks_never_came(unseen: list[Report], webhooks: Webhooks, wrong: str | None) -> None:
    found = missing(unseen, webhooks, NOW_MS)
    assert found is None if wrong is None else wrong in (found or "")


def test_check_says_when_a_webhook_was_last_accepted() -> None:
    assert said(Webhooks()) == "none was accepted yet"
    noted = Webhooks(accepted_at_ms=0, refused=7, refused_since_ms=1, refused_at_ms=2)
    assert said(noted) == "the last was accepted at 1970-01-01T00:00:00.000Z, 7 were refused since"


# --- its process's clock is set back ---------------------------------------------------------------------

HOURS_8_S = 8 * 3600


def test_what_is_refused_after_the_clock_was_set_back_is_noted_at_once(desk: Desk) -> None:
    desk.wait_s(HOURS_8_S)
    desk.rubbish()
    desk.wait_s(-HOURS_8_S)
    desk.rubbish()
    noted = desk.store.webhooks()
    assert (noted.refused, noted.refused_at_ms) == (2, desk.site.now_ms)
    desk.wait_s(NOTE_EVERY_MS / 1000 - 1)
    desk.rubbish()
    assert desk.store.webhooks().refused == 2, "the next one is only counted, as ever"


def test_stripes_list_is_read_at_once_after_the_clock_was_set_back_and_then_as_often_as_ever(desk: Desk) -> None:
    watch = desk.site.reconciliation.webhooks
    desk.wait_s(HOURS_8_S)
    desk.rubbish()
    assert not watch.wants_stripes_list()
    desk.wait_s(-HOURS_8_S)
    assert watch.wants_stripes_list()
    assert not watch.wants_stripes_list()
    desk.wait_s(ASK_AGAIN_MS / 1000)
    assert watch.wants_stripes_list()


def test_a_webhook_that_is_accepted_after_the_clock_was_set_back_ends_what_was_told(desk: Desk) -> None:
    """A clock that is minutes ahead still takes Stripe's signature; another process tells the condition."""
    desk.wait_s(200)
    assert desk.site.post_event({"id": "evt_1", "type": "invoice.paid"}).status_code == 200
    desk.wait_s(-200)
    desk.site.reconciliation.webhooks.alerts.begin("webhook_refused", "Stripe", "Stripe's webhooks are refused.")
    assert desk.site.post_event({"id": "evt_2", "type": "invoice.paid"}).status_code == 200
    assert desk.told == ["begin", "end"]
