"""Tells a person when the broker does not work for this process: wrong password, no rights, unreachable."""

from collections.abc import Callable
from dataclasses import dataclass

from arcade_cloud.services.alerts import NOTICED_EVERY_MS, Alerts
from arcade_cloud.services.sender import Sender

# A restart of the broker or of a network is over by then.
GRACE_MS = 30_000
# Whether messages can be sent shows only when one is. So often one is sent until the broker answers.
TRY_EVERY_MS = 20_000


@dataclass(kw_only=True)
class BrokerWatch:
    """Begins and ends the condition `broker` of one process.

    Attributes:
        monotonic_ms: A clock that nobody sets.
        name: The process. After a restart it has the same name.
        problems: What is wrong with the connections now, each in a sentence with what to do about it.
        is_answered: Whether the broker has answered the last message that was sent.
    """

    alerts: Alerts
    sender: Sender
    monotonic_ms: Callable[[], int]
    name: str
    problems: Callable[[], list[str]]
    is_answered: Callable[[], bool]
    _bad_since_ms: int | None = None
    _told_ms: int | None = None
    _is_fine: bool = False
    _tried_ms: int | None = None

    def run_once(self) -> None:
        """Look at the connections. The timer calls it at every pass.

        Raises:
            StoreUnavailable: It is told at a later pass.
        """
        now_ms = self.monotonic_ms()
        is_time = self._tried_ms is None or now_ms - self._tried_ms >= TRY_EVERY_MS
        if is_time and not self.is_answered():
            self._tried_ms = now_ms
            self.sender.echo()
        problems = self.problems()
        if problems:
            self._bad(problems, now_ms)
        elif self.is_answered() and not self._is_fine:
            self.alerts.end("broker", self.name, "The broker works again for this cloud.")
            self._bad_since_ms = self._told_ms = None
            self._is_fine = True

    def _bad(self, problems: list[str], now_ms: int) -> None:
        self._is_fine = False
        if self._bad_since_ms is None:
            self._bad_since_ms = now_ms
        if now_ms - self._bad_since_ms < GRACE_MS:
            return
        if self._told_ms is None or now_ms - self._told_ms >= NOTICED_EVERY_MS:
            text = (
                f"The broker does not work for the cloud on {self.name}: {'; '.join(problems)}. Meanwhile no "
                "credit is delivered; what cannot be delivered in time is given back. arcade-cloud check tries "
                "the broker, and docs/DEPLOY.md has the rights that the cloud needs."
            )
            self.alerts.begin("broker", self.name, text)
            self._told_ms = now_ms
