"""Where alerts go: to software by JSON POST, to people by apprise (mail, Telegram, Slack …), or to the log."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.ports.messaging import AlertReceiver
from arcade_cloud.services.alerts import short_id
from arcade_shared.times import format_ms

logger = logging.getLogger(__name__)

# To connect, and between two bytes of the answer. Only other alerts wait meanwhile.
TIMEOUT_S = (3.0, 5.0)
# People read one message with so many alerts more easily than so many messages.
IN_ONE_MESSAGE = 10


class _Settings(Protocol):
    @property
    def alert_webhook_url(self) -> str | None: ...
    @property
    def alert_urls(self) -> tuple[str, ...]: ...
    @property
    def site_name(self) -> str: ...


def alert_receivers(settings: _Settings) -> tuple[AlertReceiver, ...]:
    """All that the settings name; the log if they name none."""
    webhook = () if settings.alert_webhook_url is None else (WebhookAlerts(settings.alert_webhook_url),)
    people = tuple(PeopleAlerts(url, settings.site_name) for url in settings.alert_urls)
    return (*webhook, *people) or (LogAlerts(),)


@dataclass(frozen=True, slots=True)
class LogAlerts:
    """Writes alerts to the log, as warnings. That never fails."""

    name: str = "the log"
    setting: str = "ALERT_URLS"
    at_once: int = IN_ONE_MESSAGE
    is_quiet_at_night: bool = False

    def post(self, alerts: Sequence[Alert]) -> bool:
        """Write a line for each."""
        for alert in alerts:
            what = "end of alert" if alert.recovers else "alert"
            logger.warning("%s %s about %s: %s (%s)", what, alert.kind, alert.subject, alert.text, alert.alert_id)
        return True


@dataclass(frozen=True, slots=True)
class WebhookAlerts:
    """Posts alerts to `url`, which may contain a token, one at a time.

    The body is `{"id", "kind", "text", "subject", "at", "state"}`. `state` is `happened` for an event, `began` or
    `ended` for a condition. The end of a condition has an id of its own, and `recovers` is the id of its begin.
    """

    url: str = field(repr=False)
    name: str = "webhook"
    setting: str = "ALERT_WEBHOOK_URL"
    at_once: int = 1
    is_quiet_at_night: bool = False

    def post(self, alerts: Sequence[Alert]) -> bool:
        """Post an alert, and return whether the other side accepted it (2xx).

        The same alert, with the same id, may be posted more than once.
        """
        return all(self._post(alert) for alert in alerts)

    def _post(self, alert: Alert) -> bool:
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


@dataclass(frozen=True, slots=True)
class PeopleAlerts:
    """Sends alerts to people by one apprise address, which may contain a password, several in one message."""

    url: str = field(repr=False)
    site_name: str
    setting: str = "ALERT_URLS"
    at_once: int = IN_ONE_MESSAGE
    is_quiet_at_night: bool = True

    @property
    def name(self) -> str:
        """The kind of service, and what tells two of a kind apart."""
        scheme = self.url.partition(":")[0].lower()
        return f"{scheme}-{hashlib.sha256(self.url.encode()).hexdigest()[:6]}"

    def post(self, alerts: Sequence[Alert]) -> bool:
        """Send one message, and return whether the service accepted it."""
        try:
            service = _service(self.url)
            if service is None:
                logger.warning("%s: ALERT_URLS has an address that means nothing to apprise", self.name)
                return False
            return bool(
                service.notify(title=self.title(alerts), body=self.body(alerts), notify_type=_type(alerts))
            )
        except ImportError:
            logger.warning("ALERT_URLS needs the package apprise: pip install 'arcade-cloud[alerts]'")
        except Exception as error:  # noqa: BLE001  # of a hundred services; its text may contain the address
            logger.warning("%s: %s", self.name, type(error).__name__)
        return False

    def title(self, alerts: Sequence[Alert]) -> str:
        """What it is about, in a line."""
        if len(alerts) > 1:
            return f"{self.site_name}: {len(alerts)} alerts"
        (alert,) = alerts
        return f"{self.site_name}: {'over: ' if alert.recovers else ''}{alert.kind} {alert.subject}"

    def body(self, alerts: Sequence[Alert]) -> str:
        """Each alert's text, and how to acknowledge it."""
        return "\n\n".join(_told(alert, with_title=len(alerts) > 1) for alert in alerts)


def _told(alert: Alert, *, with_title: bool) -> str:
    lines = [f"{'Over: ' if alert.recovers else ''}{alert.kind} {alert.subject}"] if with_title else []
    lines += [alert.text, f"{format_ms(alert.at_ms)[:16].replace('T', ' ')} UTC"]
    if not alert.recovers:
        lines[-1] += f" · arcade-cloud alert ack {short_id(alert)}"
    return "\n".join(lines)


def _service(url: str) -> Any:
    """Apprise's object for the address; None if it knows no such service."""
    import apprise  # a fifth of a second, and most processes never send an alert

    # One message at a time, in this thread, and nothing kept on the disk.
    asset = apprise.AppriseAsset(async_mode=False, storage_mode=apprise.PersistentStoreMode.MEMORY)
    return apprise.Apprise.instantiate(url, asset=asset)


def _type(alerts: Sequence[Alert]) -> str:
    return "success" if all(alert.recovers for alert in alerts) else "warning"


def _state(alert: Alert) -> str:
    if alert.recovers:
        return "ended"
    return "began" if alert.condition else "happened"
