"""Alerts: one JSON POST each, accepted or not. The token in the address is never shown."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from arcade_cloud.adapters.alert_receivers import LogAlerts, PeopleAlerts, WebhookAlerts, alert_receivers
from arcade_cloud.domain import alerts
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.ports.messaging import AlertReceiver
from arcade_cloud.services.alerts import short_id

TOKEN = "T000-theTokenInTheAddress"
AT_MS = 1_795_342_800_123


@contextmanager
def receiving(status: int, **headers: str) -> Iterator[tuple[str, SimpleQueue[tuple[str, str, Any]]]]:
    """The address of a server that answers with `status`, and what it gets: path, content type, body."""
    got: SimpleQueue[tuple[str, str, Any]] = SimpleQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.put((self.path, self.headers["Content-Type"], body))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the test's own output is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{TOKEN}", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


ALERT = alerts.alert("discrepancy", "o-1", "3 of 2 credits – look", AT_MS, "3")
BEGUN = alerts.condition("unsellable", "cab-01", "Stripe refuses the price – correct it", AT_MS)
ENDED = alerts.recovery(alerts.ended(BEGUN, AT_MS + 1_000), "It is sold again.")


def post(receiver: AlertReceiver, *alerts: Alert) -> bool:
    return receiver.post(alerts or (ALERT,))


def named(webhook: str | None = None, *urls: str) -> tuple[AlertReceiver, ...]:
    """The receivers of these settings."""
    return alert_receivers(SimpleNamespace(alert_webhook_url=webhook, alert_urls=urls, site_name="Arcade"))


def only(webhook: str | None, *urls: str) -> AlertReceiver:
    (receiver,) = named(webhook, *urls)
    return receiver


def test_an_alert_is_one_post_of_json_with_all_its_fields() -> None:
    with receiving(204) as (url, got):
        assert post(only(url)) is True
    assert got.get(timeout=5) == (
        f"/{TOKEN}",
        "application/json",
        {
            "id": "discrepancy:o-1:3",
            "kind": "discrepancy",
            "text": "3 of 2 credits – look",
            "subject": "o-1",
            "at": "2026-11-22T10:20:00.123Z",
            "state": "happened",
        },
    )
    assert got.empty()


def test_the_end_of_a_condition_is_a_post_of_its_own_that_names_the_begin() -> None:
    with receiving(204) as (url, got):
        assert post(only(url), BEGUN)
        assert post(only(url), ENDED)
    began, ended = (got.get(timeout=5)[2] for _ in range(2))
    about = {"kind": "unsellable", "subject": "cab-01"}
    begin_id = "unsellable:cab-01:2026-11-22T10:20:00.123Z"
    assert began == {
        "id": begin_id,
        **about,
        "text": "Stripe refuses the price – correct it",
        "at": "2026-11-22T10:20:00.123Z",
        "state": "began",
    }
    assert ended == {
        "id": f"{begin_id}:ended",
        **about,
        "text": "It is sold again.",
        "at": "2026-11-22T10:20:01.123Z",
        "state": "ended",
        "recovers": begin_id,
    }


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_2xx_means_that_it_arrived(status: int) -> None:
    with receiving(status) as (url, _):
        assert post(WebhookAlerts(url)) is True


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500, 503])
def test_anything_else_means_that_it_did_not_and_is_not_followed(status: int) -> None:
    with receiving(200) as (elsewhere, got), receiving(status, Location=elsewhere) as (url, asked):
        assert post(WebhookAlerts(url)) is False
        assert asked.qsize() == 1
        assert got.empty()


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/{TOKEN}",
        f"https://no-such-host.invalid/{TOKEN}",
        f"http://[::1/{TOKEN}",
        "http://",
        "nonsense",
    ],
)
def test_what_cannot_be_reached_raises_nothing_and_shows_no_token(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = WebhookAlerts(url)
    with caplog.at_level(logging.INFO):
        assert post(sink) is False
    assert "discrepancy:o-1:3" in caplog.text
    assert TOKEN not in caplog.text + repr(sink)


def test_without_an_address_alerts_are_warnings_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    sink = only(None)
    assert isinstance(sink, LogAlerts)
    assert post(sink) is True
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "3 of 2 credits" in record.getMessage()
    assert post(sink, ENDED) is True
    assert caplog.records[-1].getMessage().startswith("end of alert unsellable about cab-01: It is sold again.")


def test_people_get_several_alerts_in_one_message() -> None:
    """By apprise's own service for JSON, over real HTTP."""
    with receiving(200) as (url, got):
        receiver = only(None, url.replace("http:", "json:"))
        assert post(receiver, BEGUN) is True
        assert post(receiver, ALERT, ENDED) is True
    (first, both) = (got.get(timeout=5)[2] for _ in range(2))
    assert (first["title"], first["type"]) == ("Arcade: unsellable cab-01", "warning")
    assert first["message"].splitlines() == [
        "Stripe refuses the price – correct it",
        f"2026-11-22 10:20 UTC · arcade-cloud alert ack {short_id(BEGUN)}",
    ]
    assert (both["title"], both["type"]) == ("Arcade: 2 alerts", "warning")
    assert both["message"].splitlines() == [
        "discrepancy o-1",
        "3 of 2 credits – look",
        f"2026-11-22 10:20 UTC · arcade-cloud alert ack {short_id(ALERT)}",
        "",
        "Over: unsellable cab-01",
        "It is sold again.",
        "2026-11-22 10:20 UTC",
    ]


def test_a_message_about_ends_alone_is_good_news() -> None:
    with receiving(200) as (url, got):
        assert post(only(None, url.replace("http:", "json:")), ENDED)
    told = got.get(timeout=5)[2]
    assert (told["title"], told["type"]) == ("Arcade: over: unsellable cab-01", "success")


@pytest.mark.parametrize("status", [400, 500])
def test_a_service_that_says_no_has_not_got_it(status: int) -> None:
    with receiving(status) as (url, _):
        assert post(only(None, url.replace("http:", "json:"))) is False


@pytest.mark.parametrize("url", [f"nonsense://{TOKEN}", f"tgram://{TOKEN}", f"json://127.0.0.1:1/{TOKEN}"])
def test_an_address_that_is_no_use_raises_nothing_and_shows_no_token(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = only(None, url)
    with caplog.at_level(logging.INFO):
        assert post(receiver) is False
    assert TOKEN not in caplog.text + repr(receiver) + receiver.name


def test_a_service_has_the_same_name_in_every_process_and_two_have_two() -> None:
    one, other, again = (PeopleAlerts(f"json://{name}", "Arcade") for name in ("a", "b", "a"))
    assert one.name == again.name != other.name
    assert one.name.startswith("json-")


def test_all_that_the_settings_name_are_told() -> None:
    receivers = named("https://hooks.example", "json://a", "json://b")
    assert [receiver.setting for receiver in receivers] == ["ALERT_WEBHOOK_URL", "ALERT_URLS", "ALERT_URLS"]
    assert len({receiver.name for receiver in receivers}) == 3


def test_without_the_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert post(only(None, "json://a")) is False
    assert "pip install 'arcade-cloud[alerts]'" in caplog.text


def test_importing_the_module_loads_no_http_library() -> None:
    code = "import sys, arcade_cloud.adapters.alert_receivers; print({'requests', 'apprise'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
