"""Sends signed messages: commands to the machines, and the cloud's echo to itself."""

from collections.abc import Callable
from dataclasses import dataclass

from arcade_cloud.domain.events import Outcome
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.order import Command
from arcade_cloud.ports.messaging import Broker
from arcade_cloud.ports.store import Store
from arcade_shared.ids import random_hex_128
from arcade_shared.messages import Clock, Coinpulse, Echo, Gameover, Message, Revoke
from arcade_shared.signing import seal
from arcade_shared.times import format_ms
from arcade_shared.topics import ECHO, Kind, machine_topic
from arcade_shared.trial import EXPIRY_S, trial

# How long the broker keeps an echo for a cloud that is down. An older echo proves nothing new.
ECHO_EXPIRY_S = 3600
# A later answer is useless: the agent has asked again.
CLOCK_EXPIRY_S = 30
# A game over is useful at once or not at all.
GAME_OVER_EXPIRY_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Signs messages and publishes them. The broker keeps a message only as long as it is of use."""

    store: Store
    broker: Broker
    keyring: Keyring
    now_ms: Callable[[], int]

    def coinpulse(self, machine_id: str, command: Command, credits: int) -> Outcome:
        """Tell a machine to pulse."""
        return self._send(
            machine_id,
            "coinpulse",
            Coinpulse,
            max(1, (command.expires_at_ms - self.now_ms()) // 1000),
            credits=credits,
            credit_id=command.credit_id,
            installation=command.installation,
            expires_at=format_ms(command.expires_at_ms),
        )

    def revoke(self, machine_id: str, command: Command, expiry_s: int) -> Outcome:
        """Tell a machine to begin no more of a credit and to say where it stands."""
        return self._send(
            machine_id,
            "revoke",
            Revoke,
            expiry_s,
            credit_id=command.credit_id,
            installation=command.installation,
        )

    def clock(self, machine_id: str, nonce: str) -> Outcome:
        """Answer a machine's nonce with the time."""
        return self._send(machine_id, "clock", Clock, CLOCK_EXPIRY_S, nonce=nonce)

    def trials(self, machine_id: str, mark: str) -> None:
        """Publish what shows a doctor that the machine may read what else the cloud sends it."""
        kinds: tuple[Kind, ...] = ("coinpulse", "revoke")
        for kind in kinds:
            payload = trial(kind, mark, format_ms(self.now_ms()))
            self.broker.publish(machine_topic(machine_id, kind), payload, expiry_s=EXPIRY_S)

    def game_over(self, machine_id: str, event_id: str) -> Outcome:
        """Publish a game over for game software."""
        return self._send(
            machine_id,
            "gameover",
            Gameover,
            GAME_OVER_EXPIRY_S,
            status="game_over",
            event_id=event_id,
            source="api",
        )

    def echo(self) -> Outcome:
        """Publish a message that only the cloud can sign. If it comes back, acks would come too."""
        sent = {"echo_id": random_hex_128(), "timestamp": format_ms(self.now_ms())}
        payload = seal(self.keyring.of_echo[0], ECHO, Echo, **sent)
        return self.broker.publish(ECHO, payload, expiry_s=ECHO_EXPIRY_S)

    def _send(self, machine_id: str, kind: Kind, cls: type[Message], expiry_s: int, **fields: object) -> Outcome:
        """Sign with the key that the machine is known to have, and publish."""
        presence = self.store.presence(machine_id)
        key = self.keyring.to_sign(machine_id, "" if presence is None else presence.key_fingerprint)
        topic = machine_topic(machine_id, kind)
        payload = seal(key, topic, cls, machine_id=machine_id, timestamp=format_ms(self.now_ms()), **fields)
        return self.broker.publish(topic, payload, expiry_s=expiry_s)
