"""The ports for outbound messages: to the machines, and to people."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.events import Outcome


class Broker(Protocol):
    """The MQTT broker, which leads to the machines."""

    def publish(self, topic: str, payload: bytes, *, expiry_s: int) -> Outcome:
        """Publish with QoS 1, not retained, and wait for the broker's answer, under a deadline. Never raises."""
        ...


class AlertReceiver(Protocol):
    """Where alerts go: people, or other software."""

    @property
    def name(self) -> str:
        """Its name, the same in every process and without a secret: it is stored with the alerts that it has."""
        ...

    @property
    def setting(self) -> str:
        """The setting that names it."""
        ...

    @property
    def at_once(self) -> int:
        """How many alerts one message may tell."""
        ...

    @property
    def is_quiet_at_night(self) -> bool:
        """Whether it is people, who are told in their quiet hours only what cannot wait."""
        ...

    def post(self, alerts: Sequence[Alert]) -> bool:
        """Send one message with these alerts, at most `at_once`. Returns whether it has arrived. Never raises."""
        ...


class Poster(Protocol):
    """The way to endpoints of other software."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
        """Post once, within a bounded time. Returns why it has not arrived; None if it has. Never raises."""
        ...
