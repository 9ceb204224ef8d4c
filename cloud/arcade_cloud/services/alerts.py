"""The life of an alert: conditions begin and end, and people acknowledge.

What happens once is stored by whoever notices it, with `Store.raise_alert`. The timer posts whatever is not sent
yet (`AlertDelivery`), so a begin or an end that is stored reaches people even if this process dies then.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from arcade_cloud.domain import alerts
from arcade_cloud.domain.alerts import Alert, ConditionKind
from arcade_cloud.domain.outbox import Posting
from arcade_cloud.domain.texts import NAME_LENGTH, checked_line
from arcade_cloud.errors import BadRequest, Conflict, InvariantBroken
from arcade_cloud.ports.store import Store

# Two workers rarely meet on one alert. So many conflicts in a row are a defect.
CONFLICT_RETRIES = 20
# A condition that is noticed again and again is written down so often.
NOTICED_EVERY_MS = 5 * 60_000
# The newest standing alerts, among which a short id is looked up.
SHORT_IDS = 1000


@dataclass(frozen=True, slots=True)
class Alerts:
    """Begins and ends conditions, and acknowledges alerts. Each call is safe to repeat, from any process."""

    store: Store
    now_ms: Callable[[], int]

    def begin(
        self,
        kind: ConditionKind,
        subject: str,
        text: str,
        tells: Callable[[Alert], tuple[Posting, ...]] = lambda alert: (),
    ) -> bool:
        """Begin a condition. False if it lasts already; then only the time at which it was noticed changes.

        Args:
            text: What is wrong, and what to do about it.
            tells: What the begin tells other software.

        Raises:
            StoreUnavailable: It may or may not have been stored.
        """
        at_ms = self.now_ms()
        for _ in range(CONFLICT_RETRIES):
            lasting = self.store.lasting_alert(kind, subject)
            if lasting is not None:
                self._notice(lasting, at_ms)
                return False
            begun = alerts.condition(kind, subject, text, at_ms)
            if self.store.raise_alert(begun, tells(begun)):
                return True
            at_ms += 1  # another one began in this very millisecond; it may have ended since
        raise InvariantBroken(f"condition {kind} of {subject}: {CONFLICT_RETRIES} conflicts in a row")

    def _notice(self, lasting: Alert, at_ms: int) -> None:
        if at_ms - lasting.last_noticed_ms >= NOTICED_EVERY_MS:
            with suppress(Conflict):  # somebody else has noticed it, acknowledged it or ended it
                self.store.change_alert(lasting, alerts.noticed(lasting, at_ms))

    def end(self, kind: ConditionKind, subject: str, text: str) -> bool:
        """End a condition. False, and nothing changes, if none lasts.

        Args:
            text: What is right again.

        Raises:
            StoreUnavailable: It may or may not have been stored.
        """
        for _ in range(CONFLICT_RETRIES):
            lasting = self.store.lasting_alert(kind, subject)
            if lasting is None:
                return False
            over = alerts.ended(lasting, self.now_ms())
            try:
                self.store.change_alert(lasting, over, alerts.recovery(over, text))
            except Conflict:
                continue
            return True
        raise InvariantBroken(f"condition {kind} of {subject}: {CONFLICT_RETRIES} conflicts in a row")

    def acknowledge(self, alert_id: str, by: str) -> Alert:
        """Acknowledge an alert. If somebody has done so already, that stays.

        Args:
            alert_id: Its id, or the short id of one that stands.

        Raises:
            BadRequest: There is no such alert, or the name cannot be shown.
            StoreUnavailable: It may or may not have been stored.
        """
        name = checked_line(by, "the name", NAME_LENGTH)
        for _ in range(CONFLICT_RETRIES):
            found = self.find(alert_id)
            after = alerts.acknowledged(found, name, self.now_ms())
            if after == found:
                return found
            try:
                self.store.change_alert(found, after)
            except Conflict:
                continue
            return after
        raise InvariantBroken(f"alert {alert_id}: {CONFLICT_RETRIES} conflicts in a row")

    def find(self, alert_id: str) -> Alert:
        """The alert with that id, or with that short id among those that stand.

        Raises:
            BadRequest: There is none, or the short id is that of several.
        """
        found = self.store.alert(alert_id)
        if found is not None:
            return found
        meant = [alert for alert in self.store.standing_alerts(SHORT_IDS) if short_id(alert) == alert_id]
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise BadRequest(f"{alert_id} is the short id of {len(meant)} alerts: give the whole id")
        raise BadRequest(f"there is no alert {alert_id}: arcade-cloud alert list shows those that stand")


def short_id(alert: Alert) -> str:
    """Eight hex digits that stand for the id, for people to type."""
    return hashlib.sha256(alert.alert_id.encode()).hexdigest()[:8]
