"""The ports for outbound messages: to the machines, and to people."""

from typing import Protocol

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.events import Outcome


class Broker(Protocol):
    """The MQTT broker, which leads to the machines."""

    def publish(self, topic: str, payload: bytes, *, expiry_s: int) -> Outcome:
        """Publish with QoS 1, not retained, and wait for the broker's answer, under a deadline. Never raises."""
        ...


class AlertSink(Protocol):
    """Where alerts go."""

    def post(self, alert: Alert) -> bool:
        """Post an alert. Returns whether it has arrived. Never raises."""
        ...
