"""The agent's link without a broker: how long it waits before it tries again."""

from __future__ import annotations

import itertools
import queue
import socket
import time
from types import SimpleNamespace

import pytest

from arcade_edge.agent.reports import Will
from arcade_edge.mqtt import link as edge_link
from arcade_edge.mqtt.link import Event, MqttLink, Trouble, backoff_s
from arcade_edge.ports import LinkDown
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.client_ids import ClientId

TOPIC = "arcade/machine/cab-01/coinpulse"
WAIT_S = 20.0


@pytest.mark.parametrize("jump_s", [-3_600.0, 3_600.0])
def test_pauses_between_attempts_do_not_go_by_the_computers_time_of_day(
    jump_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Pi without a clock of its own learns the time once it is online, and jumps by years."""
    ticks = itertools.count()
    wall = SimpleNamespace(monotonic=time.monotonic, time=lambda: 1e9 + next(ticks) * jump_s)
    monkeypatch.setattr(edge_link, "time", wall)
    ended: queue.Queue[float] = queue.Queue()

    def post(event: Event) -> bool:
        if isinstance(event, LinkDown):
            assert not event.contested, "nobody has taken the client id of a broker that is not there"
            ended.put(time.monotonic())
        return True

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings = BrokerAddress(host="127.0.0.1", port=port, tls=False)
    client_id = ClientId(b"k", "c", "c")
    link = MqttLink(
        settings, client_id, [TOPIC], lambda _: Will("arcade/machine/cab-01/status", b""), post, jitter=lambda: 0
    )
    link.start()
    try:
        times = [ended.get(timeout=WAIT_S) for _ in range(3)]
    finally:
        link.stop()
    first_s, second_s = (backoff_s(Trouble.NETWORK, failures, 0) for failures in (1, 2))
    assert times[1] - times[0] >= first_s
    assert times[2] - times[1] >= second_s
