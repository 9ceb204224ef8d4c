"""`arcade-cloud webhook`: endpoints are set up, tried, looked at, sent past events again, and removed."""

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from arcade_cloud.adapters.outgoing_webhooks import WebhookPoster
from arcade_cloud.adapters.store import open_store
from arcade_cloud.domain import alerts, outbox
from arcade_cloud.domain.keyring import endpoint_secret
from arcade_cloud.entrypoints.cli import main
from arcade_shared.times import format_ms
from support.site import ENVIRONMENT, SIGNING_SECRET, START_MS

URL = "https://shop.example/hook"


@pytest.fixture(autouse=True)
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    database_url = f"sqlite:///{tmp_path}/arcade.db"
    for name, value in {**ENVIRONMENT, "DATABASE_URL": database_url}.items():
        monkeypatch.setenv(name, value)
    assert main(["machine", "add", "cab-01", "--offer", "1=2.00MYR"]) == 0
    return database_url


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []

    def post(self: WebhookPoster, url: str, body: bytes, headers: dict[str, str]) -> str | None:
        found.append((url, json.loads(body)))
        return "status 500" if "broken" in url else None

    monkeypatch.setattr(WebhookPoster, "post", post)
    return found


def add(capsys: pytest.CaptureFixture[str], url: str = URL) -> str:
    capsys.readouterr()
    assert main(["webhook", "add", url, "--events", "play.delivered, machine.offline"]) == 0
    printed = capsys.readouterr().out
    (endpoint_id,) = re.findall(r"^(we_[0-9a-f]{16})  ", printed)
    assert f"secret  {endpoint_secret(SIGNING_SECRET, endpoint_id)}\n" in printed
    return str(endpoint_id)


def test_an_endpoint_is_listed_tried_and_removed(capsys: pytest.CaptureFixture[str], posted: list[Any]) -> None:
    endpoint_id, broken = add(capsys), add(capsys, "https://broken.example/hook")
    assert main(["webhook", "secret", endpoint_id]) == 0
    assert capsys.readouterr().out == endpoint_secret(SIGNING_SECRET, endpoint_id) + "\n"
    assert main(["webhook", "test", endpoint_id]) == 0
    assert main(["webhook", "test", broken]) == 1
    printed = capsys.readouterr().out
    assert f"ok    {endpoint_id}" in printed
    assert f"FAIL  {broken}: status 500" in printed
    assert [(url, body["type"]) for url, body in posted] == [
        (URL, "test"),
        ("https://broken.example/hook", "test"),
    ]
    assert main(["webhook", "list", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (first["url"], first["events"], first["state"]) == (URL, ["play.delivered", "machine.offline"], "ok")
    assert main(["webhook", "remove", broken]) == 0
    assert main(["webhook", "remove", broken]) == 1
    capsys.readouterr()
    assert main(["webhook", "list"]) == 0
    assert broken not in capsys.readouterr().out


@pytest.mark.heavy
def test_what_was_sent_is_shown_and_sent_again(
    capsys: pytest.CaptureFixture[str], posted: list[Any], url: str
) -> None:
    endpoint_id = add(capsys)
    with closing(open_store(url)) as store:
        event = outbox.machine_offline("machine_silent:cab-01", "cab-01", "Tetris", START_MS - 1, START_MS)
        told = (outbox.new_posting(event, endpoint_id, "https://play.example"),)
        store.raise_alert(alerts.condition("machine_silent", "cab-01", "…", START_MS), told)
    assert main(["webhook", "log", endpoint_id]) == 0
    table = capsys.readouterr().out
    assert "machine.offline" in table
    assert "waits" in table
    assert main(["tick"]) == 0
    capsys.readouterr()
    assert main(["webhook", "log", endpoint_id, "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["state"], line["tries"], line["error"], line["id"]) == ("arrived", 1, None, event.event_id)
    assert json.loads(line["body"])["data"]["machineId"] == "cab-01"
    since = ["--from", format_ms(START_MS), "--to", format_ms(START_MS + 1)]
    for which, count in (
        (["--event", event.event_id], 1),
        (since, 1),
        ([*since, "--given-up"], 0),
        (["--since", "9999d"], 1),
    ):
        before = len(posted)
        assert main(["webhook", "replay", endpoint_id, *which]) == 0
        assert f"{count} events are sent again" in capsys.readouterr().out
        assert main(["tick"]) == 0
        capsys.readouterr()
        assert len(posted) == before + count
    assert {body["id"] for _, body in posted} == {event.event_id}
    assert main(["webhook", "replay", endpoint_id, "--event", "evt_unknown"]) == 1
    assert main(["webhook", "replay", endpoint_id, "--event", event.event_id, "--given-up"]) == 2


@pytest.mark.parametrize(
    ("address", "events"),
    [
        ("http://shop.example/", "play.delivered"),
        ("https://169.254.169.254/", "play.delivered"),
        (URL, "play.begun"),
        (URL, " , "),
    ],
)
def test_an_endpoint_that_makes_no_sense_is_not_set_up(
    address: str, events: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["webhook", "add", address, "--events", events]) == 1
    capsys.readouterr()
    assert main(["webhook", "list", "--json"]) == 0
    assert capsys.readouterr().out == ""
