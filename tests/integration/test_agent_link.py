"""The agent's link on a real broker: what it does with connections that end, and what it never lets in."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from arcade_edge.agent.reports import Will
from arcade_edge.mqtt import link as edge_link
from arcade_edge.mqtt.link import Event, LinkState, MqttLink
from arcade_edge.ports import Arrived, LinkDown, LinkUp
from arcade_sandbox.broker.launcher import Broker
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.client_ids import ClientId
from arcade_shared.messages import MAX_PAYLOAD_BYTES
from support.agent_world import USERS
from support.link_ends import COINPULSE, STATUS, WAIT_S, Ends


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    with Broker(tmp_path / "broker", users=USERS) as broker, ExitStack() as ending:
        yield Ends(broker, ending)


def test_what_is_larger_than_any_payload_of_ours_is_not_even_sent_to_the_agent(ends: Ends) -> None:
    """Somebody with access to the broker cannot fill a small computer's memory with one message."""
    ends.link()
    ends.next(LinkUp)
    ends.publish(b"x" * 1_000_000)
    ends.publish(b"y" * MAX_PAYLOAD_BYTES)
    assert ends.next(Arrived).payload == b"y" * MAX_PAYLOAD_BYTES


def test_a_message_for_which_there_is_no_room_comes_again_later(ends: Ends) -> None:
    ends.link()
    ends.next(LinkUp)
    ends.room.clear()
    ends.publish(b"one")
    assert "more messages" in ends.next(LinkDown).reason
    ends.room.set()
    assert ends.next(Arrived).payload == b"one"


def test_two_with_one_client_id_are_named_in_the_log_and_go_on_trying(
    ends: Ends, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads the log learns what to look for, and before long both have a connection that lasts."""
    # They come back at once, so that it takes seconds.
    monkeypatch.setattr(edge_link, "backoff_s", lambda trouble, failures, jitter: 0.1 + 0.2 * jitter)
    first, second = ends.link("same"), ends.link("same")
    until = time.monotonic() + 3 * WAIT_S  # they throw each other out several times before it is said
    said = "somebody else keeps taking the client id same-"
    while said not in caplog.text or not (first.state is second.state is LinkState.ONLINE):
        assert time.monotonic() < until
        time.sleep(0.5)


def test_something_else_than_a_broker_is_named_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and is silent, as a half-open line or a wrong port."""
    monkeypatch.setattr(edge_link, "GREET_WITHIN_S", 0.5)
    events: queue.Queue[Event] = queue.Queue()

    def post(event: Event) -> bool:
        events.put(event)
        return True

    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = BrokerAddress(host="127.0.0.1", port=server.getsockname()[1], tls=False)
        link = MqttLink(settings, ClientId(b"k", "c", "c"), [COINPULSE], lambda _: Will(STATUS, b""), post)
        link.start()
        try:
            down = events.get(timeout=WAIT_S)
            assert isinstance(down, LinkDown)
            assert "does not answer" in down.reason
        finally:
            link.stop()
    assert link.state is LinkState.STOPPED


def test_connections_that_come_and_go_leave_nothing_open(ends: Ends) -> None:
    """No descriptor and no thread stays behind: an agent may lose its connection for weeks."""
    link = ends.link()
    ends.next(LinkUp)
    before, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    for _ in range(4):
        link.reconnect("the test wants it")
        ends.next(LinkUp)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    assert threading.active_count() == threads
