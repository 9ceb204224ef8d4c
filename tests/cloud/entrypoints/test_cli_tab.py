"""`arcade-cloud tab close`: asked before, written down, and said what came of it."""

from contextlib import closing
from pathlib import Path

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.order import Order
from arcade_cloud.entrypoints.cli import main
from arcade_sandbox.processes import free_port
from support.order_records import a_tab, step, with_plays

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
    "TAB_LIMITS": "20.00MYR",
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of a cloud that reaches neither Stripe nor broker. It has two open tabs."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cloud.sqlite"
    nobody = free_port()
    here = {"STRIPE_API_BASE": f"http://127.0.0.1:{nobody}", "EMQX_PORT": str(nobody)}
    for name, value in {**SETTINGS, **here, "DATABASE_URL": f"sqlite:///{path}"}.items():
        monkeypatch.setenv(name, value)
    with closing(SqliteStore(path)) as made:
        for number in "12":
            tab = a_tab(f"tab_{number}", number * 64)
            made.move(step(tab))
            made.move(step(with_plays(tab, f"credit-{number}")))
    return path


def tab(store: Path, number: int) -> Order:
    with closing(SqliteStore(store)) as opened:
        found = opened.order(f"tab_{number}")
    assert found is not None
    return found


def closed_by(store: Path, number: int) -> str | None:
    found = tab(store, number).tab
    assert found is not None
    return None if found.closing is None else found.closing.by


def test_one_tab_is_closed_and_the_other_is_not(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tab", "close", "tab_1", "--yes"]) == 0
    assert "RM 0.10 of RM 20.00" in capsys.readouterr().out
    assert (closed_by(store, 1), closed_by(store, 2)) == ("operator", None)
    assert main(["tab", "close", "tab_1", "--yes"]) == 1
    assert "is closed already" in capsys.readouterr().err
    assert main(["audit"]) == 0
    assert "tab close" in capsys.readouterr().out


def test_all_are_closed_after_an_older_database_was_put_back(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tab", "close", "--all", "--yes"]) == 0
    assert capsys.readouterr().out == "tabs closed: 2\n"
    assert (closed_by(store, 1), closed_by(store, 2)) == ("restored", "restored")


def test_nothing_is_closed_where_nobody_can_be_asked(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tab", "close", "--all"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert closed_by(store, 1) is None


@pytest.mark.parametrize("order_id", ["tab_9", "nothing"])
def test_what_is_no_tab_is_not_closed(store: Path, order_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tab", "close", order_id, "--yes"]) == 1
    assert "there is no tab" in capsys.readouterr().err


def test_a_tab_is_shown_with_its_plays_and_one_is_refunded(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["order", "show", "tab_1"]) == 0
    said = capsys.readouterr().out
    for words in ("open, until", "cab-02, 1/1 delivered, RM 0.10", "RM 0.10 of RM 20.00"):
        assert words in said, words
    assert main(["order", "refund", "tab_1", "--play", "1", "--yes"]) == 0
    capsys.readouterr()
    assert main(["order", "show", "tab_1"]) == 0
    assert "RM 0.10 (given back)" in capsys.readouterr().out
    assert closed_by(store, 1) is None
    assert main(["order", "refund", "tab_1", "--play", "2", "--yes"]) == 1
    assert "are 1 to 1" in capsys.readouterr().err
    assert main(["order", "list", "--json"]) == 0
    assert '"tab": "open"' in capsys.readouterr().out
