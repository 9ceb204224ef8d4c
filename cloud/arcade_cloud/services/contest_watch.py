"""Tells a person when somebody else takes this process's client ids at the broker."""

from collections.abc import Callable
from dataclasses import dataclass

from arcade_cloud.services.alerts import NOTICED_EVERY_MS, Alerts


@dataclass(kw_only=True)
class ContestWatch:
    """Begins and ends the condition `taken_over` of one process. Machines tell theirs in their statuses.

    Attributes:
        name: The process. After a restart it has the same name, and the same client ids.
        contested: The client ids that it has left to somebody else of late.
        calm_ms: For how long `contested` still names one.
        monotonic_ms: A clock that nobody sets.
    """

    alerts: Alerts
    name: str
    contested: Callable[[], list[str]]
    calm_ms: int
    monotonic_ms: Callable[[], int]
    _told_ms: int | None = None
    _calm_from_ms: int | None = None
    _is_over: bool = False

    def run_once(self) -> None:
        """Look whether an id is contested. The timer calls it at every pass.

        Raises:
            StoreUnavailable: It is told at a later pass.
        """
        now_ms = self.monotonic_ms()
        if self._calm_from_ms is None:
            self._calm_from_ms = now_ms + self.calm_ms  # an earlier process may have told of it
        subject, client_ids = f"cloud on {self.name}", self.contested()
        if client_ids:
            if self._told_ms is None or now_ms - self._told_ms >= NOTICED_EVERY_MS:
                self.alerts.begin("taken_over", subject, _taken_over(self.name, client_ids))
                self._told_ms = now_ms
            self._is_over = False
        elif not self._is_over and now_ms >= self._calm_from_ms:
            text = f"Nobody takes the client ids of the cloud on {self.name} any more."
            self.alerts.end("taken_over", subject, text)
            self._told_ms, self._is_over = None, True


def _taken_over(name: str, client_ids: list[str]) -> str:
    return (
        f"Somebody else kept connecting to the broker with the client id {' and '.join(client_ids)} of the cloud "
        f"on {name}, so the broker ended the cloud's connections. The cloud goes on with another id. Look for a "
        "second process with the same MQTT_LISTENER_ID or host name. If there is none, somebody knows the id: let "
        "nobody but the broker's operator read $SYS/#, and change the broker's passwords that may have leaked."
    )
