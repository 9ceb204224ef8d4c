"""Where alerts go: one JSON POST each to a webhook, or the log where none is set."""

import logging
from dataclasses import dataclass, field

from arcade_cloud.ports.senders import AlertSink
from arcade_shared.times import format_ms

logger = logging.getLogger(__name__)

# To connect, and between two bytes of the answer. Whoever posts holds up nobody but other alerts.
TIMEOUT_S = (3.0, 5.0)


def alert_sink(url: str | None) -> AlertSink:
    """The sink for `url`; the log where there is none."""
    return LogAlerts() if url is None else WebhookAlerts(url)


@dataclass(frozen=True, slots=True)
class LogAlerts:
    """Alerts as warnings in the log; that never fails."""

    def post(self, alert_id: str, kind: str, text: str, subject: str, at_ms: int) -> bool:
        logger.warning("alert %s about %s: %s (%s)", kind, subject, text, alert_id)
        return True


@dataclass(frozen=True, slots=True)
class WebhookAlerts:
    """Alerts as `{"id", "kind", "text", "subject", "at"}`, posted to `url`, which may hold a token."""

    url: str = field(repr=False)

    def post(self, alert_id: str, kind: str, text: str, subject: str, at_ms: int) -> bool:
        """Whether the other side took it (2xx). It may get the same alert, with the same id, more than once."""
        import requests  # costs more than the whole rest here, and most processes never raise an alert

        body = {"id": alert_id, "kind": kind, "text": text, "subject": subject, "at": format_ms(at_ms)}
        try:
            with requests.post(
                self.url, json=body, timeout=TIMEOUT_S, allow_redirects=False, stream=True
            ) as response:
                status = response.status_code
        except (requests.RequestException, ValueError, OSError) as error:
            # The error's own text holds the address with its token.
            logger.warning("alert %s did not arrive: %s", alert_id, type(error).__name__)
            return False
        if not 200 <= status < 300:
            logger.warning("alert %s was not taken: status %d", alert_id, status)
            return False
        return True
