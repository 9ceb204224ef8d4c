"""The ports through which messages leave: to the machines, and to people."""

from typing import Protocol

from arcade_cloud.domain.events import Outcome


class Broker(Protocol):
    """The way to the machines."""

    def publish(self, topic: str, payload: bytes, *, expiry_s: int) -> Outcome:
        """Publish with QoS 1, not retained, and wait for the broker's word, under a deadline. Never raises."""
        ...


class AlertSink(Protocol):
    """Where alerts go."""

    def post(self, alert_id: str, kind: str, text: str, subject: str, at_ms: int) -> bool:
        """Whether the alert has arrived. Never raises."""
        ...
