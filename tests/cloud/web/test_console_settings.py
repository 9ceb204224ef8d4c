"""The console's settings, API keys and webhooks: no secret is shown but once, and all is tried on demand."""

import json

import pytest

from arcade_cloud.config.settings import load
from arcade_cloud.config.variables import VARIABLES
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.outbox import GIVE_UP_MS
from arcade_cloud.domain.people import Role
from arcade_cloud.services.outbox_delivery import LATE_MS
from support.console import Console
from support.pages import MARKUP, links, words
from support.site import ENVIRONMENT, Site

SHOP = "https://shop.example/hook/TOKEN-IN-PATH"
SECRETS = {
    "STRIPE_API_KEY": "sk_test_very_secret_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_very_secret_2",
    "MQTT_USERNAME": "arcade",
    "MQTT_PASSWORD": "very-secret-3",
    "SIGNING_SECRET": "very-secret-4-0123456789abcdefghijkl",
    "INGEST_SECRET": "very-secret-5-and-long",
    "GAMEOVER_API_KEY": "very-secret-6-and-long",
    "ALERT_WEBHOOK_URL": "https://hooks.example/very-secret-7",
    "ALERT_URLS": "tgram://very-secret-8/chat",
    "ALLOWED_HOSTS": "arcade.example",
    "STRIPE_API_BASE": "http://user:very-secret-9@localhost:12111",
}


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def console(site: Site) -> Console:
    return Console(site, Role.OWNER)


# --- settings --------------------------------------------------------------------------------------------


def test_every_setting_is_there_with_its_value_and_no_secret() -> None:
    given = load({**ENVIRONMENT, **SECRETS}, None)
    site = Site(given=given.given, remarks=given.remarks)
    page = Console(site, Role.MANAGER).get("/console/settings")
    text = words(page)
    for variable in VARIABLES:
        assert variable.name in text
    assert "very-secret" not in page.text
    assert "ALLOWED_HOSTS arcade.example" in text
    assert "STRIPE_API_BASE http://…@localhost:12111" in text
    assert "SITE_NAME Test Arcade" in text
    assert "STRIPE_API_KEY set" in text
    assert "MACHINE_SILENT_S 600 the default" in text
    assert "MQTT_CA_FILE not set" in text
    assert "very-secret" not in repr(given.given)


def test_opening_the_settings_asks_nobody_anything(site: Site) -> None:
    person = Console(site, Role.MANAGER)
    person.sign_in()
    calls = len(site.payments.calls)
    assert "SIGNING_SECRET set" in words(person.get("/console/settings"))
    assert len(site.payments.calls) == calls


def test_everything_is_tried_on_demand_with_what_to_do(site: Site, console: Console) -> None:
    text = words(console.post("/console/settings/check"))
    assert "Everything that was tried works." in text
    for part in ("database: ok", "Stripe: ok", "machine cab-01, offers: ok", "Stripe, balance: ok"):
        assert part in text
    site.broker_trouble = "the broker does not answer"
    site.add_machine("cab-09", offers=(Offer(offer_id="x", credits=1, amount_minor=50, currency="myr"),))
    text = words(console.post("/console/settings/check"))
    assert "broker, sending: ok" in text
    assert "broker, listening the broker does not answer What to do: see whether the broker runs" in text
    assert "machine cab-09, offers offer x: RM 0.50 is less than RM 2.00" in text
    site.payments.fault = lambda call: "before" if call == "check" else None
    text = words(console.post("/console/settings/check"))
    assert "What to do: see status.stripe.com" in text
    assert "Stripe, balance" not in text


def test_a_page_does_not_wait_for_ever(site: Site, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcade_cloud.web.console.settings_pages.WAIT_S", 0.0)
    assert "the rest not tried" in words(console.post("/console/settings/check"))
    with site.self_check._lock:  # somebody else is at it
        answer = console.post("/console/settings/check")
    assert answer.status_code == 409
    assert "look again in half a minute" in answer.text


# --- API keys --------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_works_and_is_revoked(site: Site, console: Console) -> None:
    answer = console.post("/console/keys", name="Kiosk", scope="takings", machines="")
    text = words(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    (key,) = site.store.software.api_keys()
    (secret,) = [part for part in text.split() if part.startswith(f"arcade_{key.key_id}_")]
    assert site.client.get("/takings", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    page = console.get("/console/keys")
    assert secret not in page.text
    assert f"Kiosk {key.key_id} takings all" in words(page)
    assert console.post(f"/console/keys/{key.key_id}/revoke").status_code == 422
    assert console.post("/console/keys/none/revoke", sure="yes").status_code == 422
    assert console.post(f"/console/keys/{key.key_id}/revoke", sure="yes").status_code == 303
    assert site.client.get("/takings", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    assert "revoked" in words(console.get("/console/keys"))
    for line in site.desk.log.read(50):
        assert secret not in repr(line)


def test_a_form_that_is_sent_twice_makes_one_key(site: Site, console: Console) -> None:
    page = console.get("/console/keys")
    assert console.submit(page, name="Kiosk", scope="takings").status_code == 200
    (key,) = site.store.software.api_keys()
    again = console.submit(page, name="Kiosk", scope="takings")
    assert again.status_code == 422
    assert f"has made key {key.key_id}" in again.text
    assert site.store.software.api_keys() == [key]
    assert console.submit(console.get("/console/keys"), name="Kiosk", scope="takings").status_code == 200


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "", "scope": "takings"}, "a key needs a name"),
        ({"name": "x"}, "a key needs a scope"),
        ({"name": "x", "scope": "everything"}, "a key needs a scope"),
        ({"name": "x", "scope": "takings", "machines": "cab-99"}, "no machine cab-99"),
        ({"name": "x", "scope": "takings", "machines": "#"}, "#"),
        ({"name": "x\u202e", "scope": "takings"}, "one line of text"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    site: Site, console: Console, fields: dict[str, str], says: str
) -> None:
    answer = console.post("/console/keys", **fields)
    assert answer.status_code == 422
    assert says in answer.text
    assert site.store.software.api_keys() == []


# --- webhooks --------------------------------------------------------------------------------------------


def added(site: Site, console: Console, url: str = SHOP) -> str:
    """A webhook; its id."""
    answer = console.post("/console/webhooks", url=url, event="play.delivered")
    assert answer.status_code == 200
    return site.store.software.endpoints()[-1].endpoint_id


def bought(site: Site) -> None:
    """A purchase that went the whole way."""
    order_id = site.begin()
    site.pay(order_id)
    site.say_ack(order_id, delivered=1)
    site.deliver_events()


def test_a_webhook_is_added_tried_and_removed(site: Site, console: Console) -> None:
    endpoint_id = added(site, console)
    secret = site.software.endpoints.secret(endpoint_id)
    assert secret not in console.get("/console/webhooks").text
    assert secret not in console.get(f"/console/webhooks/{endpoint_id}").text
    shown = console.post(f"/console/webhooks/{endpoint_id}/secret")
    assert secret in words(shown)
    assert shown.headers["Cache-Control"] == "no-store"
    assert console.post(f"/console/webhooks/{endpoint_id}/test").status_code == 303
    assert [url for url, _, _ in site.poster.posted] == [SHOP]
    site.poster.broken[SHOP] = "it answered 500"
    answer = console.post(f"/console/webhooks/{endpoint_id}/test")
    assert answer.status_code == 502
    assert "it answered 500" in answer.text
    assert console.post(f"/console/webhooks/{endpoint_id}/remove").status_code == 422
    assert console.post(f"/console/webhooks/{endpoint_id}/remove", sure="yes").status_code == 303
    assert "There is none yet" in words(console.get("/console/webhooks"))
    assert console.get(f"/console/webhooks/{endpoint_id}").status_code == 404
    acts = sorted(line.entry.wish for line in site.desk.log.read(20) if line.entry.act == "webhooks")
    assert acts == ["add, for play.delivered", "remove", "show the secret", "test", "test"]
    for line in site.desk.log.read(50):
        assert "TOKEN-IN-PATH" not in repr(line)
        assert secret not in repr(line)


def test_what_failed_is_shown_and_sent_again(site: Site, console: Console) -> None:
    endpoint_id = added(site, console)
    where = f"/console/webhooks/{endpoint_id}"
    bought(site)
    site.software.delivery.run_once()
    assert "arrived" in words(console.get(where))
    assert "Nothing has failed" in words(console.get(where, failed="1"))
    site.poster.broken[SHOP] = "it answered 500"
    site.now_ms += 60_000
    bought(site)
    site.software.delivery.run_once()
    site.now_ms += LATE_MS
    site.software.delivery.run_once()
    assert "It takes no events" in words(console.get(where))
    assert "takes no events" in words(console.get("/console/webhooks"))
    site.now_ms += GIVE_UP_MS
    site.software.delivery.run_once()
    text = words(console.get(where, failed="1"))
    assert "given up" in text
    assert "it answered 500" in text
    assert "arrived" not in text.partition("Send what happened again")[0]
    site.poster.broken.clear()
    site.poster.posted.clear()
    site.now_ms += 3_600_000
    assert console.post(f"{where}/replay-since", since="2026-09-21T00:00").status_code == 303
    site.software.delivery.run_once()
    assert len(site.poster.posted) == 1
    assert console.post(f"{where}/replay-since", since="2026-09-21T00:00", which="all").status_code == 303
    site.software.delivery.run_once()
    assert len(site.poster.posted) == 3
    answer = console.post(f"{where}/replay-since", since="2026-09-22T00:00", until="2026-09-22T00:01")
    assert "There was nothing of that time" in words(console.get(answer.location))
    event_id = json.loads(site.poster.posted[-1][1])["id"]
    assert console.post(f"{where}/replay", event=event_id).status_code == 303
    site.software.delivery.run_once()
    assert json.loads(site.poster.posted[-1][1])["id"] == event_id
    for path, fields in (
        ("replay", {"event": "evt_none"}),
        ("replay-since", {"since": "x"}),
        ("replay-since", {"since": ""}),
    ):
        assert console.post(f"{where}/{path}", **fields).status_code == 422


def test_no_more_are_sent_again_than_a_page_can_wait_for(
    site: Site, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint_id = added(site, console)
    for _ in range(3):
        bought(site)
    site.software.delivery.run_once()
    site.poster.posted.clear()
    monkeypatch.setattr("arcade_cloud.web.console.webhook_pages.AGAIN_AT_MOST", 2)
    fields = {"since": "2026-09-21T00:00", "which": "all"}
    answer = console.post(f"/console/webhooks/{endpoint_id}/replay-since", **fields)
    assert answer.status_code == 422
    assert "more than 2 events" in answer.text
    site.software.delivery.run_once()
    assert site.poster.posted == []
    monkeypatch.setattr("arcade_cloud.web.console.webhook_pages.AGAIN_AT_MOST", 3)
    assert console.post(f"/console/webhooks/{endpoint_id}/replay-since", **fields).status_code == 303
    site.software.delivery.run_once()
    assert len(site.poster.posted) == 3


def test_what_was_sent_comes_in_pages(site: Site, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint_id = added(site, console)
    for _ in range(5):
        site.now_ms += 1
        bought(site)
    site.poster.broken[SHOP] = "it answered 500"
    for _ in range(5):
        site.now_ms += 3_600_000
        site.software.delivery.run_once()
    monkeypatch.setattr("arcade_cloud.web.console.webhook_pages.POSTINGS_A_PAGE", 2)
    for query in ({}, {"failed": "1"}):
        page, seen = console.get(f"/console/webhooks/{endpoint_id}", **query), list[str]()
        while True:
            seen += [part for part in words(page).split() if part.startswith("evt_")]
            older = links(page, "Older")
            if not older:
                break
            page = console.get(older[0])
        assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"url": "http://shop.example/", "event": "play.delivered"}, "must begin with https"),
        ({"url": "https://169.254.169.254/", "event": "play.delivered"}, "link-local"),
        ({"url": SHOP}, "name an event"),
        ({"url": SHOP, "event": "everything"}, "is no event"),
        ({"url": "", "event": "play.delivered"}, "write https://host/path"),
    ],
)
def test_a_webhook_that_makes_no_sense_is_refused(
    site: Site, console: Console, fields: dict[str, str], says: str
) -> None:
    answer = console.post("/console/webhooks", **fields)
    assert answer.status_code == 422
    assert says in answer.text
    assert site.store.software.endpoints() == []


# --- attacks ---------------------------------------------------------------------------------------------


def test_no_text_becomes_markup(site: Site, console: Console) -> None:
    assert console.post("/console/keys", name=MARKUP, scope="takings").status_code == 200
    endpoint_id = added(site, console, "https://shop.example/?q=<script>alert(1)</script>")
    site.poster.broken[site.store.software.endpoints()[0].url] = MARKUP
    bought(site)
    site.software.delivery.run_once()
    shown = Site(given={"SITE_NAME": MARKUP, "OPERATOR_CONTACT": MARKUP}, remarks=(MARKUP,))
    pages = [
        console.get(path) for path in ("/console/keys", "/console/webhooks", f"/console/webhooks/{endpoint_id}")
    ]
    pages += [
        console.post("/console/keys", name=MARKUP, machines=MARKUP),
        console.post("/console/webhooks", url=MARKUP, event=MARKUP),
        console.post(f"/console/webhooks/{endpoint_id}/test"),
        console.post(f"/console/webhooks/{endpoint_id}/replay-since", since=MARKUP, until=MARKUP, which=MARKUP),
        Console(shown, Role.OWNER).get("/console/settings"),
    ]
    for page in pages:
        assert "<script>alert" not in page.text.lower()
        assert "<img src=x" not in page.text.lower()


def test_only_an_owner_is_led_to_keys_and_webhooks(site: Site, console: Console) -> None:
    assert "/console/keys" in console.get("/console/settings").text
    manager = Console(site, Role.MANAGER, "bob").get("/console/settings")
    assert "/console/keys" not in manager.text
    assert "/console/webhooks" not in manager.text
