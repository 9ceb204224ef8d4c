"""Alerts reach people: each goes to every receiver, and none waits for a receiver that does not take it."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.quiet_hours import QuietHours
from arcade_cloud.errors import Conflict
from arcade_cloud.ports.messaging import AlertReceiver
from arcade_cloud.ports.store import Store
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.failures import Failures

logger = logging.getLogger(__name__)

# The oldest of those that wait, at one look; far more than wait where receivers work.
LOOKED_AT = 500
# In quiet hours most of them wait on purpose, and none of these may hide one that cannot.
LOOKED_AT_AT_NIGHT = 2_000
MESSAGES_PER_PASS = 20
# How long an alert, and a receiver, is left alone after a failure: doubled each time, up to the second number.
ALERT_AGAIN_MS = (60_000, 60 * 60_000)
RECEIVER_AGAIN_MS = (5_000, 5 * 60_000)
# A receiver that does not take an alert for so long is an alert of its own. After the second time it does not get
# that alert any more: whoever reads the list of alerts still sees it.
LATE_MS = 15 * 60_000
GIVEN_UP_MS = 3 * 24 * 60 * 60_000
# It may take others, so this begins and ends at once: not more often than that.
TELL_AGAIN_MS = 24 * 60 * 60_000
CONFLICT_RETRIES = 20


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """Posts what is not sent yet. The timer calls it; nobody who waits for an answer does."""

    store: Store
    alerts: Alerts
    receivers: Sequence[AlertReceiver]
    now_ms: Callable[[], int]
    quiet_hours: QuietHours | None = None
    _alerts_failed: Failures[tuple[str, str]] = field(default_factory=lambda: Failures(*ALERT_AGAIN_MS))
    _receivers_failed: Failures[str] = field(default_factory=lambda: Failures(*RECEIVER_AGAIN_MS))
    _receivers_proven: set[str] = field(default_factory=set)
    _told_ms: dict[str, int] = field(default_factory=dict)

    def run_once(self, *, until_ms: int | None = None) -> None:
        """Post the alerts that are not sent yet. Those that do not arrive stay unsent, and hold up no others.

        One message is sent even after `until_ms`: people must be told even if the orders use up all the time.

        Raises:
            StoreUnavailable: What has arrived may be posted again.
        """
        unsent = self.store.unsent_alerts(LOOKED_AT_AT_NIGHT if self._is_quiet() else LOOKED_AT)
        told = {alert.alert_id: {*alert.told, *self._given_up(alert)} for alert in unsent}
        self._forget(unsent)
        left = MESSAGES_PER_PASS
        for receiver in self._in_turn():
            mine = [alert for alert in unsent if receiver.name not in told[alert.alert_id]]
            mine = [alert for alert in mine if not self._waits(receiver, alert)]
            for message in self._messages(receiver, mine):
                is_first = left == MESSAGES_PER_PASS
                if not left or (until_ms is not None and not is_first and self.now_ms() >= until_ms):
                    break
                left -= 1
                if not receiver.post(message):
                    self._failed(receiver, message)
                    break
                self._arrived(receiver)
                for alert in message:
                    told[alert.alert_id].add(receiver.name)
                    self._note(alert, told[alert.alert_id])
        for alert in unsent:
            if self._is_done(told[alert.alert_id]):
                self._note(alert, told[alert.alert_id])  # given up by the last of them

    def _is_quiet(self) -> bool:
        return self.quiet_hours is not None and self.quiet_hours.lasts(self.now_ms())

    def _waits(self, receiver: AlertReceiver, alert: Alert) -> bool:
        """Whether people are told in the morning."""
        quiet = self.quiet_hours if receiver.is_quiet_at_night else None
        return quiet is not None and quiet.holds(alert.kind, self.now_ms())

    def _due_ms(self, receiver: AlertReceiver, alert: Alert) -> int:
        """From when on the receiver is late."""
        if self.quiet_hours is None or not receiver.is_quiet_at_night:
            return alert.at_ms
        return max(alert.at_ms, self.quiet_hours.ended_ms(self.now_ms()))

    def _in_turn(self) -> list[AlertReceiver]:
        """Those that may be tried now; who failed least first."""
        now_ms, failed = self.now_ms(), self._receivers_failed
        ready = [each for each in self.receivers if failed.may_try(each.name, now_ms)]
        return sorted(ready, key=lambda each: failed.times(each.name))

    def _messages(self, receiver: AlertReceiver, mine: Iterable[Alert]) -> list[tuple[Alert, ...]]:
        """Alerts that go together. One that failed goes alone: another may have been the reason."""
        now_ms, together = self.now_ms(), list[Alert]()
        alone = list[tuple[Alert, ...]]()
        for alert in mine:
            which = receiver.name, alert.alert_id
            if not self._alerts_failed.times(which):
                together.append(alert)
            elif self._alerts_failed.may_try(which, now_ms):
                alone.append((alert,))
        size = receiver.at_once
        return [tuple(together[start : start + size]) for start in range(0, len(together), size)] + alone

    def _given_up(self, alert: Alert) -> set[str]:
        if self.now_ms() - alert.at_ms < GIVEN_UP_MS:
            return set()
        return {each.name for each in self.receivers if self._alerts_failed.times((each.name, alert.alert_id))}

    def _is_done(self, told: set[str]) -> bool:
        return all(each.name in told for each in self.receivers)

    def _note(self, alert: Alert, told: set[str]) -> None:
        if self._is_done(told):
            self.store.mark_alert_sent(alert.alert_id)
            return
        for _ in range(CONFLICT_RETRIES):
            known = self.store.alert(alert.alert_id)
            if known is None:
                return
            try:
                self.store.change_alert(
                    known, msgspec.structs.replace(known, told=tuple(sorted({*known.told, *told})))
                )
                return
            except Conflict:  # somebody has acknowledged it, or it has ended
                continue

    def _failed(self, receiver: AlertReceiver, message: Sequence[Alert]) -> None:
        now_ms = self.now_ms()
        self._receivers_failed.note(receiver.name, now_ms)
        for alert in message:
            self._alerts_failed.note((receiver.name, alert.alert_id), now_ms)
        logger.warning("%s did not take %s", receiver.name, ", ".join(alert.alert_id for alert in message))
        late = [alert for alert in message if now_ms - self._due_ms(receiver, alert) >= LATE_MS]
        late = [alert for alert in late if alert.kind != "alert_receiver"]
        told_ms = self._told_ms.get(receiver.name)
        if late and (told_ms is None or now_ms - told_ms >= TELL_AGAIN_MS):
            self._told_ms[receiver.name] = now_ms
            what = f"Alerts do not reach {receiver.name}: it does not take {late[0].alert_id}"
            self.alerts.begin(
                "alert_receiver",
                receiver.name,
                f"{what}. Look at {receiver.setting}; `arcade-cloud alert test` tries it.",
            )

    def _arrived(self, receiver: AlertReceiver) -> None:
        had_failed = self._receivers_failed.end(receiver.name)
        if had_failed or receiver.name not in self._receivers_proven:
            self._receivers_proven.add(receiver.name)
            self.alerts.end("alert_receiver", receiver.name, f"Alerts reach {receiver.name} again.")

    def _forget(self, unsent: Iterable[Alert]) -> None:
        """Of what is sent or gone."""
        waiting = {alert.alert_id for alert in unsent}
        self._alerts_failed.keep_only(lambda which: which[1] in waiting)
