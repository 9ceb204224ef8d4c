"""`arcade-cloud order refund`: amounts as people write them; what it does is shown, asked, and seen afterwards."""

import io
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.events import RefundAsked
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.order import HistoryEntry, Order
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.ports.store import Move
from arcade_sandbox.processes import free_port
from support.lives import Life, held, new_order, paid

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
}
Left = Callable[[Order], None]


class Terminal(io.StringIO):
    """A person who types one line."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of a cloud that reaches neither Stripe nor broker."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cloud.sqlite"
    nobody = free_port()
    here = {"STRIPE_API_BASE": f"http://127.0.0.1:{nobody}", "EMQX_PORT": str(nobody)}
    for name, value in {**SETTINGS, **here, "DATABASE_URL": f"sqlite:///{path}"}.items():
        monkeypatch.setenv(name, value)
    with closing(SqliteStore(path)) as made:
        made.put_machine(Machine(machine_id="cab-01", version=1), 0)
    return path


@pytest.fixture
def left(store: Path) -> Left:
    """Puts an order on record."""

    def put(order: Order) -> None:
        first = msgspec.structs.replace(order, version=1)
        entry = HistoryEntry(
            order_id="ord_1", version=1, at_ms=order.created_at_ms, event="Ordered", state=order.state
        )
        with closing(SqliteStore(store)) as opened:
            opened.move(Move(order=first, expected_version=0, history=entry))

    return put


def settled(amount_minor: int = 1000, currency: str = "myr", delivered: int = 3) -> Order:
    """Three credits, paid and settled."""
    payment = paid(amount_minor=amount_minor, currency=currency)
    life = Life(new_order(amount_minor=amount_minor, currency=currency)).resolved(delivered, payment)
    life.read(msgspec.structs.replace(payment, refunded_minor=amount_minor - life.order.earned_minor))
    assert life.order.state == "settled"
    return life.order


def books_of(store: Path) -> tuple[int, int]:
    with closing(SqliteStore(store)) as opened:
        order = opened.order("ord_1")
    assert order is not None
    return order.books.target_minor, order.books.goodwill_minor


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ([], 0),
        (["--keep", "5.00"], 500),
        (["--keep", "RM 5"], 500),
        (["--keep", "5.00MYR"], 500),
        (["--amount", "2.50"], 750),
        (["--credits", "1"], 666),
        (["--credits", "3"], 0),
    ],
)
def test_a_refund_is_written_as_people_write_it(
    store: Path, left: Left, arguments: list[str], kept: int, capsys: pytest.CaptureFixture[str]
) -> None:
    left(settled())
    assert main(["order", "refund", "ord_1", *arguments, "--yes"]) == 0
    assert books_of(store) == (kept, 1000 - kept)
    said = capsys.readouterr().out
    rest = f"RM {kept // 100}.{kept % 100:02d} are kept" if kept else "nothing is kept"
    back = f"RM {(1000 - kept) // 100}.{(1000 - kept) % 100:02d} go back"
    assert f"Of RM 10.00 that are kept now, {back}; {rest}." in said
    for command in (["order", "list"], ["order", "show", "ord_1"]):
        assert main(command) == 0
        assert f"RM {kept // 100}.{kept % 100:02d} kept once Stripe has done it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--keep", "5"], "can mean RM 5.00 or RM 0.05"),
        (["--keep", "-3"], "not an amount"),
        (["--keep", "-3.00"], "not an amount"),
        (["--amount", "-2.50"], "not an amount"),
        (["--amount", "0.00"], "more than nothing"),
        (["--amount", "10.01"], "no more than RM 10.00"),
        (["--keep", "10.00"], "nothing to give back"),
        (["--keep", "99.00"], "nothing to give back"),
        (["--keep", "5.00USD"], "not an amount in MYR"),
        (["--credits", "4"], "1 to 3"),
    ],
)
def test_what_is_ambiguous_or_senseless_moves_no_money(
    store: Path, left: Left, arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    left(settled())
    (name, value) = arguments
    assert main(["order", "refund", "ord_1", f"{name}={value}", "--yes"]) == 1
    assert why in capsys.readouterr().err
    assert books_of(store) == (1000, 0)


def test_an_order_shows_what_is_kept_and_what_is_to_be(
    store: Path, left: Left, capsys: pytest.CaptureFixture[str]
) -> None:
    left(settled())
    for command, shown in (
        (["order", "show", "ord_1"], "kept RM 10.00"),
        (["order", "refund", "ord_1", "--keep", "5.00", "--yes"], "RM 5.00 kept once Stripe has done it"),
        (["order", "show", "ord_1"], "to keep RM 5.00"),
    ):
        assert main(command) == 0
        assert f" {shown}" in " ".join(capsys.readouterr().out.split())


def test_an_order_that_is_delivered_and_paid_in_full_needs_no_word_about_it(
    left: Left, capsys: pytest.CaptureFixture[str]
) -> None:
    left(settled())
    assert main(["order", "list"]) == 0
    assert capsys.readouterr().out.endswith(" 3/3  RM 10.00  ord_1\n")


def test_of_a_currency_with_steps_the_players_favour_decides(store: Path, left: Left) -> None:
    left(settled(1000, "kwd"))
    assert main(["order", "refund", "ord_1", "--credits", "1", "--yes"]) == 0
    assert books_of(store) == (660, 340)


def test_amounts_in_yen_have_no_decimals(store: Path, left: Left) -> None:
    left(settled(300, "jpy"))
    assert main(["order", "refund", "ord_1", "--keep", "100", "--yes"]) == 0
    assert books_of(store) == (100, 200)


@pytest.mark.parametrize(
    ("answer", "status", "kept"), [("yes\n", 0, 0), ("y\n", 0, 0), ("no\n", 1, 1000), ("\n", 1, 1000)]
)
def test_a_person_is_asked(
    store: Path,
    left: Left,
    answer: str,
    status: int,
    kept: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left(settled())
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert main(["order", "refund", "ord_1"]) == status
    assert "Give it back? [yes/no]" in capsys.readouterr().out
    assert books_of(store)[0] == kept


def test_where_nobody_can_be_asked_nothing_is_done_without_yes(
    store: Path, left: Left, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left(settled())
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert main(["order", "refund", "ord_1"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert books_of(store) == (1000, 0)


def test_a_machine_out_of_reach_may_still_pulse_what_is_refunded(
    store: Path, left: Left, capsys: pytest.CaptureFixture[str]
) -> None:
    left(Life().funded(held()).order)
    assert main(["order", "refund", "ord_1", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "Of RM 3.00, RM 3.00 or more go back; nothing is kept." in said
    assert "warning: Machine cab-01 is out of reach: it may have pulsed these credits already" in said
    assert said.splitlines()[-1].endswith("RM 3.00, a refund was asked for"), (
        "no wait ends before Stripe says the time"
    )


def test_what_is_kept_of_an_order_under_way_is_a_most(
    store: Path, left: Left, capsys: pytest.CaptureFixture[str]
) -> None:
    life = Life().funded(paid())
    life.on(RefundAsked("kim", "a complaint", 200))
    left(life.order)
    assert main(["order", "list"]) == 0
    assert capsys.readouterr().out.endswith(" RM 3.00  ord_1  a refund was asked for\n")
    assert main(["order", "refund", "ord_1", "--amount", "0.50", "--yes"]) == 0
    assert "Of RM 2.00, RM 0.50 or more go back; RM 1.50 are kept at most." in capsys.readouterr().out
    with closing(SqliteStore(store)) as opened:
        order = opened.order("ord_1")
    assert order is not None
    assert order.books.keep_at_most_minor == 150


def test_an_order_that_nobody_has_paid_yet_says_so(left: Left, capsys: pytest.CaptureFixture[str]) -> None:
    left(new_order())
    assert main(["order", "refund", "ord_1", "--yes"]) == 1
    assert "nobody has paid yet" in capsys.readouterr().err
