"""A simulated Pi's link (`ports.Link`): it connects by itself, and again, while an agent runs."""

from collections.abc import Callable, Hashable
from random import Random

from arcade_edge.agent.reports import Will
from arcade_edge.ports import Arrived, Confirmed, LinkDown, LinkUp, Receipt
from simulation.faults import SECOND
from simulation.scheduler import Scheduler
from simulation.sim_broker import Packet, SimBroker

Event = LinkUp | LinkDown | Arrived | Confirmed


class SimLink:
    """The network of one Pi: one agent after the other has its connections here.

    `post` takes each event, and may end the agent while it does.
    """

    def __init__(
        self, scheduler: Scheduler, rng: Random, broker: SimBroker, machine_id: str, post: Callable[[Event], None]
    ) -> None:
        self._scheduler, self._rng, self._broker, self._post = scheduler, rng, broker, post
        self.machine_id = machine_id
        self._network = True
        self._agent = 0
        self._client_id: str | None = None
        self._will: Callable[[int], Will]
        self._connection = 0
        self._connected = False
        self._token = 0
        self._stuck: list[Callable[[], None]] | None = None  # what a pulled cable holds up

    def start(self, client_id: str, will: Callable[[int], Will]) -> None:
        """An agent starts; its link begins to connect."""
        self._agent += 1
        self._client_id, self._will = client_id, will
        self._connect_later(self._rng.randint(50, 2_000))

    def end(self, *, says_goodbye: bool = False) -> None:
        """The agent is gone, and its connection."""
        client_id, self._client_id = self._client_id, None
        self._agent += 1
        self._connected = False
        self._stuck = None
        if client_id is not None:
            self._broker.disconnect(client_id, says_goodbye=says_goodbye)

    def set_network(self, on: bool) -> None:
        """The Pi's way to the broker."""
        self._network = on
        if on and self._stuck is not None:
            stuck, self._stuck = self._stuck, None
            for work in stuck:
                work()
        if not on and self._connected and self._client_id is not None:
            self._broker.disconnect(self._client_id)
            self.dropped(self._connection, "the network is gone")

    def pull_cable(self) -> None:
        """Nothing goes through any more, and neither side notices before its keep-alive is over."""
        self._network = False
        if not self._connected or self._stuck is not None:
            return
        self._stuck = []
        agent, connection, client_id = self._agent, self._connection, self._client_id

        def notice() -> None:
            if self._stuck is not None and (agent, connection) == (self._agent, self._connection) and client_id:
                self._broker.disconnect(client_id)
                self.dropped(connection, "keep alive timeout")

        self._scheduler.after(self._rng.randint(15, 23) * SECOND, notice)

    def throw_off(self) -> bool:
        """Somebody connects with the client id; whether that ended a connection. The next one has another id."""
        if not self._connected or self._stuck is not None or self._client_id is None:
            return False
        connection, client_id = self._connection, self._client_id
        self._broker.disconnect(client_id)
        self._client_id += "-fresh"
        self.dropped(connection, "session taken over", contested=True)
        return True

    def _held_up(self, work: Callable[[], None]) -> bool:
        """Whether a pulled cable holds `work` up. It is done if the cable is back in time."""
        if self._stuck is None:
            return False
        self._stuck.append(work)
        return True

    def _connect_later(self, delay_ms: int) -> None:
        agent = self._agent
        self._scheduler.after(delay_ms, lambda: self._connect(agent))

    def _connect(self, agent: int) -> None:
        client_id = self._client_id
        if self._agent != agent or client_id is None or self._connected:
            return
        self._connection += 1
        will = self._will(self._connection)
        if not self._network or not self._broker.connect(
            client_id, self, self._connection, (will.topic, will.payload)
        ):
            self._connect_later(self._rng.randint(1, 20) * SECOND)
            return
        self._connected = True
        self._post(LinkUp(self._connection))
        if self._connected and self._agent == agent:
            self._broker.subscribed(client_id)

    # --- the broker's side

    def dropped(self, connection: int, why: str, *, contested: bool = False) -> None:
        """The connection is lost."""
        if self._connected and connection == self._connection:
            self._connected = False
            self._stuck = None
            self._post(LinkDown(connection, why, contested))
            self._connect_later(self._rng.randint(300, 8_000))

    def arrives(self, connection: int, mid: int, packet: Packet, repeated: bool) -> None:
        """A message is on its way."""
        agent = self._agent

        def arrive() -> None:
            if self._held_up(arrive):
                return
            if self._agent == agent and self._connected and connection == self._connection:
                receipt = Receipt(connection, mid, 1)
                self._post(Arrived(packet.topic, packet.payload, packet.retained, receipt, repeated))

        self._scheduler.after(self._rng.randint(1, 30), arrive)

    def confirmed(self, connection: int, token: object, ok: bool) -> None:
        """The broker's word about a publish."""
        if self._held_up(lambda: self.confirmed(connection, token, ok)):
            return
        if self._connected and connection == self._connection:
            self._post(Confirmed(token, ok, "" if ok else "Not authorized"))

    # --- the agent's side

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Hashable | None:
        """`ports.Link`."""
        if not self._connected or self._client_id is None:
            return None
        self._token += 1
        client_id, connection, token = self._client_id, self._connection, self._token

        def send() -> None:
            self._broker.receive(client_id, connection, topic, payload, retain, token)

        if not self._held_up(send):
            send()
        return token

    def acknowledge(self, receipt: Receipt) -> None:
        """`ports.Link`."""
        if self._held_up(lambda: self.acknowledge(receipt)):
            return
        if self._client_id is not None:
            self._broker.acknowledge(self._client_id, receipt.connection, receipt.mid)

    def reconnect(self, why: str) -> None:
        """`ports.Link`."""
        if self._client_id is None:
            return
        connection = self._connection
        self._broker.disconnect(self._client_id, says_goodbye=True)
        self._scheduler.after(1, lambda: self.dropped(connection, why))
