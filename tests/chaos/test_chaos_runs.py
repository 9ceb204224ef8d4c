"""`make chaos` runs, comes to an account, and draws the same faults from the same seed."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from arcade_sandbox.processes import free_port
from chaos.__main__ import main
from chaos.run import patience_s
from chaos.storm import KINDS, draw
from support.tcp_link import Link

TARGETS = {
    "cloud": ["cloud-1", "cloud-2"],
    "agent": ["cab-01"],
    "broker": ["broker"],
    "link": ["a", "b"],
    "store": ["store"],
    "stripe": ["Stripe"],
    "webhooks": ["webhooks"],
}
# In so short a run: a cloud killed, a connection cut; nothing that takes minutes to come right.
SEED = 1


@pytest.mark.heavy
def test_a_few_seconds_of_chaos_end_with_an_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "chaos"
    arguments = ["--seconds", "3", "--seed", str(SEED), "--agents", "1", "--folder", str(folder)]
    status = main(arguments)
    shown = capsys.readouterr().out
    assert status == 0, shown
    for row in ("| **lost** | 0 |", "| **doubled** | 0 |", "| other broken promises | 0 |"):
        assert row in shown
    for row in ("| cloud killed | 1 |", "| connection cut | 1 |"):
        assert row in shown
    assert "| payments to other shops on the account | 0 |" not in shown
    assert f"seed {SEED}" in shown
    assert (folder / "system" / "cloud-2.log").exists()


def test_the_same_seed_draws_the_same_faults_and_another_seed_others() -> None:
    first, again = (draw(5, 120, TARGETS, 28) for _ in range(2))
    assert first == again
    assert first != draw(6, 120, TARGETS, 28)


def test_faults_overlap_but_never_on_one_target_and_end_in_time() -> None:
    faults = draw(5, 600, TARGETS, 28)
    assert {fault.kind for fault in faults} == set(KINDS)
    assert any(fault.for_s == 28 for fault in faults)
    free_at: dict[tuple[str, str], float] = {}
    overlaps = 0
    latest = 0.0
    for fault in faults:
        assert fault.at_s >= free_at.get((fault.kind.hits, fault.target), 0.0)
        free_at[fault.kind.hits, fault.target] = fault.at_s + fault.for_s
        overlaps += fault.at_s < latest
        latest = max(latest, fault.at_s + fault.for_s)
        assert latest <= 600
    assert overlaps > len(faults) / 3


def test_a_longer_storm_asks_for_more_patience_up_to_what_is_published() -> None:
    assert patience_s(10) < patience_s(100) < patience_s(1000)
    assert patience_s(4) == patience_s(0)


@pytest.fixture
def answering() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(100):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def client(link: Link, timeout_s: float = 10.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=timeout_s)


def test_a_link_that_is_stalled_loses_nothing(answering: int) -> None:
    with Link(answering) as link, client(link) as end:
        link.stall("to client")
        end.sendall(b"one")
        end.settimeout(0.2)
        with pytest.raises(TimeoutError):
            end.recv(100)
        link.resume()
        end.settimeout(10)
        assert end.recv(100) == b"one"


def test_a_link_that_is_cut_ends_connections_and_refuses_new_ones_until_mended(answering: int) -> None:
    with Link(answering) as link:
        with client(link) as end:
            end.sendall(b"one")
            assert end.recv(100) == b"one"
            link.cut(refuse=True)
            assert ended(end)
        assert is_turned_away(link)
        link.mend()
        with client(link) as end:
            end.sendall(b"two")
            assert end.recv(100) == b"two"


def test_a_link_without_a_server_refuses_and_goes_on_when_there_is_one(answering: int) -> None:
    nobody = free_port()  # one that no outgoing connection is given meanwhile
    with Link(nobody) as link:
        assert is_turned_away(link)
        link._target_port = answering
        with client(link) as again:
            again.sendall(b"one")
            assert again.recv(100) == b"one"


def is_turned_away(link: Link) -> bool:
    """Whether a new connection comes to nothing: the reset may be here before it counts as made."""
    try:
        end = client(link)
    except ConnectionError:
        return True
    with end:
        return ended(end)


def ended(end: socket.socket) -> bool:
    try:
        end.sendall(b"x")
        return end.recv(100) == b""
    except ConnectionError:  # not a timeout: a connection that hangs has not ended
        return True
