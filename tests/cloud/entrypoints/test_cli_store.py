"""`arcade-cloud store`: it says where the store stands, and upgrades it only when it is told that it may."""

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from arcade_cloud.adapters.store import open_store
from arcade_cloud.adapters.store.forms import FORM_1, FORMS, Forms
from arcade_cloud.adapters.store.sqlite.file import MIGRATIONS, SCHEMA_OF_FORM_1
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.entrypoints.cli import main
from support.dynamodb_tables import a_table
from support.order_records import new_order, next_version, step

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
}


@contextmanager
def _older(adapter: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[dict[str, str]]:
    if adapter == "sqlite":
        older = SqliteStore(folder / "arcade.db", forms=Forms(FORM_1), migrations=MIGRATIONS[:SCHEMA_OF_FORM_1])
        older.close()
        yield {"DATABASE_URL": f"sqlite:///{folder}/arcade.db"}
        return
    endpoint = request.getfixturevalue("dynamodb").endpoint
    with a_table(endpoint, older=True) as url:
        yield {"DATABASE_URL": url, "DYNAMODB_ENDPOINT": endpoint}


@pytest.fixture(params=["sqlite", "dynamodb"])
def older(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The settings of a store that the version before this one made."""
    monkeypatch.chdir(tmp_path)
    with _older(request.param, request, tmp_path) as found:
        for name, value in {**SETTINGS, **found}.items():
            monkeypatch.setenv(name, value)
        yield found


def form_of(settings: dict[str, str]) -> int:
    with closing(
        open_store(settings["DATABASE_URL"], dynamodb_endpoint=settings.get("DYNAMODB_ENDPOINT"))
    ) as store:
        return store.form()


def test_it_shows_which_form_the_store_is_at_and_what_is_to_be_done(
    older: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", "show"]) == 0
    said = capsys.readouterr().out
    assert f"writes orders in form 1; this program reads and writes forms up to {FORMS.newest}" in said
    assert "run arcade-cloud store upgrade once nothing runs an older version any more" in said
    assert form_of(older) == 1


def test_it_upgrades_once_and_says_so_each_time(older: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "upgrade", "--yes"]) == 0
    said = capsys.readouterr().out
    words = " ".join(said.split())
    assert "only when nothing runs an older version any more" in words
    assert "The only way back is a backup" in words
    assert said.endswith(f"the store now writes form {FORMS.newest}\n")
    assert form_of(older) == FORMS.newest
    assert main(["store", "upgrade", "--yes"]) == 0
    assert capsys.readouterr().out == f"the store already writes form {FORMS.newest}: there is nothing to do\n"
    assert main(["store", "show"]) == 0
    assert "upgrade" not in capsys.readouterr().out


@pytest.mark.parametrize("answer", ["", "no\n", "\n", "yes, but\n"])
def test_without_a_yes_nothing_is_changed(
    older: dict[str, str], answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody answers where there is no terminal."""
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert main(["store", "upgrade"]) == 1
    assert capsys.readouterr().err == "arcade-cloud: the store was not upgraded: answer yes, or add --yes\n"
    assert form_of(older) == 1


@pytest.mark.parametrize("answer", ["yes\n", "Y\n"])
def test_a_yes_upgrades_it(
    older: dict[str, str], answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert main(["store", "upgrade"]) == 0
    assert form_of(older) == FORMS.newest


def test_the_orders_of_before_are_there_after_it(
    older: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = older.get("DYNAMODB_ENDPOINT")
    order = new_order("o-1")
    with closing(open_store(older["DATABASE_URL"], dynamodb_endpoint=endpoint)) as store:
        store.move(step(order))
    assert main(["store", "upgrade", "--yes"]) == 0
    with closing(open_store(older["DATABASE_URL"], dynamodb_endpoint=endpoint)) as store:
        assert store.order("o-1") == order
        store.move(step(next_version(order)))
        assert store.order("o-1") == next_version(order)
    capsys.readouterr()
    assert main(["order", "list"]) == 0
    assert "o-1" in capsys.readouterr().out


def test_a_store_that_cannot_be_reached_is_not_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {**SETTINGS, "DATABASE_URL": f"sqlite:///{tmp_path}/missing/arcade.db"}.items():
        monkeypatch.setenv(name, value)
    for what in ("show", "upgrade"):
        assert main(["store", what]) == 1
        assert "does its folder exist" in capsys.readouterr().err
