"""Takes in the machines' messages, for a cloud that runs as a process.

There are two feeds, each with its own session, connection and workers:

acks      Acks, game overs and the cloud's own echoes. The broker keeps them while this process is down. statuses
The broker keeps each machine's latest status anyway. In the session of the acks they would fill its queue
          (two a minute from each machine; EMQX Serverless holds 1,000 messages), push acks out of it and delay
          them.

A session is named after the host, or as set, and ends in what only the owner of the signing secret can make. Two
processes with one name would disconnect each other until they take fresh ids. A process with a new name at every
start would abandon what the broker keeps for it; so does a new signing secret, once. Nothing is lost for good by
that: the cloud asks machines again about every order that is not resolved. Two processes with two names both get
everything, which does no harm.
"""

import platform
import re
import time
from collections.abc import Callable

from arcade_cloud.adapters.mqtt.connection import KEEPALIVE_S, cloud_connection
from arcade_cloud.adapters.mqtt.feed import RECEIVE_MAXIMUM, Feed, FeedState
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.client_ids import ClientId
from arcade_shared.mqtt import Connection, Received
from arcade_shared.topics import ECHO, every_machine

ACK_TOPICS = (every_machine("ack"), every_machine("gameover"), ECHO)
STATUS_TOPICS = (every_machine("status"),)
ACK_WORKERS = 4
STATUS_WORKERS = 2
# As long as money can wait for an ack (LAST_RESORT_S). A later ack changes nothing.
SESSION_EXPIRY_S = 24 * 3600
STOP_WITHIN_S = 5.0


def host_id() -> str:
    """The host's name, with only characters that a client id may have."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", platform.node())[:64] or "host"


class Listener:
    """Calls `handle(topic, payload)` for every message from the machines, from several threads.

    `feed.Feed` says what `handle` may raise. Within a feed, the messages of one machine come in order. A listener
    is started only once.
    """

    def __init__(
        self,
        address: BrokerAddress,
        handle: Callable[[str, bytes], object],
        *,
        session_key: bytes,
        listener_id: str | None = None,
        keepalive_s: int = KEEPALIVE_S,
    ) -> None:
        host = listener_id or host_id()

        def feed(name: str, topics: tuple[str, ...], workers: int, session_expiry_s: int) -> Feed:
            def connection(
                client_id: str, on_open: Callable[[], None], on_message: Callable[[Received], None]
            ) -> Connection:
                return cloud_connection(
                    address,
                    client_id,
                    topics=topics,
                    session_expiry_s=session_expiry_s,
                    receive_maximum=RECEIVE_MAXIMUM,
                    keepalive_s=keepalive_s,
                    on_open=on_open,
                    on_message=on_message,
                )

            client_id = ClientId(session_key, f"arcade-cloud-{name}-{host}", f"{host}\n{name}")
            return Feed(name, client_id, connection, handle, workers)

        self._feeds = (
            feed("acks", ACK_TOPICS, ACK_WORKERS, SESSION_EXPIRY_S),
            feed("statuses", STATUS_TOPICS, STATUS_WORKERS, 0),
        )

    def start(self) -> None:
        """Start listening. Returns at once, whether there is a broker or not."""
        for feed in self._feeds:
            feed.start()

    def stop(self) -> None:
        """Finish and acknowledge what is under way, and disconnect: within STOP_WITHIN_S for both feeds."""
        deadline = time.monotonic() + STOP_WITHIN_S
        for feed in self._feeds:
            feed.stop(deadline)

    @property
    def state(self) -> tuple[FeedState, ...]:
        """What each feed is doing."""
        return tuple(feed.state for feed in self._feeds)

    @property
    def problems(self) -> list[str]:
        """What is wrong, each in a sentence; empty if both feeds listen to all that they should."""
        found = [state.problem for state in self.state if state.problem is not None]
        return list(dict.fromkeys(found))
