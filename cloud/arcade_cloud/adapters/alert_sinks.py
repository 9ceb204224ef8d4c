"""Where alerts go: to a webhook, one JSON POST each, or to the log if none is set."""

import logging
from dataclasses import dataclass, field

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.ports.messaging import AlertSink
from arcade_shared.times import format_ms

logger = logging.getLogger(__name__)

# To connect, and between two bytes of the answer. Only other alerts wait meanwhile.
TIMEOUT_S = (3.0, 5.0)


def alert_sink(url: str | None) -> AlertSink:
    """The sink for `url`; the log if that is None."""
    return LogAlerts() if url is None else WebhookAlerts(url)


@dataclass(frozen=True, slots=True)
class LogAlerts:
    """Writes alerts to the log, as warnings. That never fails."""

    def post(self, alert: Alert) -> bool:
        what = "end of alert" if alert.recovers else "alert"
        logger.warning("%s %s about %s: %s (%s)", what, alert.kind, alert.subject, alert.text, alert.alert_id)
        return True


@dataclass(frozen=True, slots=True)
class WebhookAlerts:
    """Posts alerts to `url`, which may contain a token.

    The body is `{"id", "kind", "text", "subject", "at", "state"}`. `state` is `happened` for an event, `began` or
    `ended` for a condition. The end of a condition has an id of its own, and `recovers` is the id of its begin.
    """

    url: str = field(repr=False)

    def post(self, alert: Alert) -> bool:
        """Post an alert, and return whether the other side accepted it (2xx).

        The same alert, with the same id, may be posted more than once.
        """
        import requests  # slow to import, and most processes never raise an alert

        body = {
            "id": alert.alert_id,
            "kind": alert.kind,
            "text": alert.text,
            "subject": alert.subject,
            "at": format_ms(alert.at_ms),
            "state": _state(alert),
            **({"recovers": alert.recovers} if alert.recovers else {}),
        }
        try:
            with requests.post(
                self.url, json=body, timeout=TIMEOUT_S, allow_redirects=False, stream=True
            ) as response:
                status = response.status_code
        except (requests.RequestException, ValueError, OSError) as error:
            # The error's own text contains the address with its token.
            logger.warning("alert %s did not arrive: %s", alert.alert_id, type(error).__name__)
            return False
        if not 200 <= status < 300:
            logger.warning("alert %s was not accepted: status %d", alert.alert_id, status)
            return False
        return True


def _state(alert: Alert) -> str:
    if alert.recovers:
        return "ended"
    return "began" if alert.condition else "happened"
