"""Notices that Stripe's webhooks are refused, as after a wrong STRIPE_WEBHOOK_SECRET.

Anybody can send rubbish to `/webhook`. So a refused request is only counted, and noted once a minute. A flood
costs no more, and can neither begin nor end the condition. It begins when Stripe itself lists an event as not
delivered that was made after the last accepted webhook, and that this cloud has never seen. Only Stripe can end
it, by a webhook that is accepted.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from arcade_cloud.domain.webhooks import Webhooks
from arcade_cloud.errors import StoreUnavailable
from arcade_cloud.ports.payments import Report
from arcade_cloud.ports.store import Store
from arcade_cloud.services.alerts import Alerts
from arcade_shared.times import format_ms

logger = logging.getLogger(__name__)

# So often what was counted is written down.
NOTE_EVERY_MS = 60_000
# Stripe has tried by then, and has had its answer.
DELIVERED_WITHIN_MS = 2 * 60_000
# After the first refused request Stripe's list is read sooner than usual, and then again so often.
ASK_AGAIN_MS = 5 * 60_000
# Of the events that Stripe lists as not delivered, so many are looked up.
LOOK_AT = 20
STRIPE = "Stripe"
DAY_MS = 86_400_000

# No host's clock is as wrong as this.
CLOCK_MS = 30 * 86_400_000

_LIKE_STRIPES = re.compile(r"t=([0-9]{1,12}),.*v1=[0-9a-f]{64}", re.DOTALL)


@dataclass(kw_only=True)
class WebhookWatch:
    """Begins and ends the condition `webhook_refused`. Safe to use from many threads."""

    store: Store
    alerts: Alerts
    now_ms: Callable[[], int]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _accepted_noted_ms: int | None = None
    _refused: int = 0
    _refused_noted_ms: int | None = None
    _last_refused_ms: int = 0
    _why: str = ""
    _ask_at_ms: int | None = None

    def accepted(self) -> None:
        """A webhook was accepted. That it is noted late, or not at all, must not cost the webhook."""
        now_ms = self.now_ms()
        with self._lock:
            known_ms, self._ask_at_ms = self._accepted_noted_ms, None
            if known_ms is not None and 0 <= now_ms - known_ms < NOTE_EVERY_MS and self._refused_noted_ms is None:
                return
            self._accepted_noted_ms, self._refused, self._refused_noted_ms = now_ms, 0, None
        with suppress(StoreUnavailable):
            self.store.note_webhook_accepted(now_ms)
            self.alerts.end("webhook_refused", STRIPE, "A webhook from Stripe was accepted again.")

    def refused(self, signature: str, why: str) -> None:
        """A request was refused.

        Args:
            signature: Its header. One that is not like Stripe's cannot be from Stripe.
            why: Our own words, without anything from the request.
        """
        now_ms, like = self.now_ms(), _LIKE_STRIPES.search(signature)
        if like is None or abs(int(like[1]) * 1000 - now_ms) > CLOCK_MS:
            return
        with self._lock:
            self._refused += 1
            self._last_refused_ms, self._why = now_ms, why
            if self._refused_noted_ms is not None and 0 <= now_ms - self._refused_noted_ms < NOTE_EVERY_MS:
                return
            count, self._refused, self._refused_noted_ms = self._refused, 0, now_ms
            if self._ask_at_ms is None:
                self._ask_at_ms = now_ms + DELIVERED_WITHIN_MS + NOTE_EVERY_MS
        logger.warning("%d requests to /webhook were refused, the last one because of this: %s", count, why)
        with suppress(StoreUnavailable):
            self.store.note_webhooks_refused(count, now_ms, why)

    def wants_stripes_list(self) -> bool:
        """Whether to read Stripe's list of events now: requests were refused, and none was accepted since."""
        now_ms = self.now_ms()
        with self._lock:
            if self._ask_at_ms is None or 0 < self._ask_at_ms - now_ms <= ASK_AGAIN_MS:
                return False
            self._ask_at_ms = now_ms + ASK_AGAIN_MS
            return True

    def compare(self, listed: Iterable[Report]) -> None:
        """Compare Stripe's list with what has arrived here.

        Raises:
            StoreUnavailable: The list must be read again.
        """
        now_ms = self.now_ms()
        waiting = [r for r in listed if not r.is_delivered and now_ms - r.created_ms > DELIVERED_WITHIN_MS]
        if not waiting:
            return
        self._note_the_rest()
        webhooks = self.store.webhooks()
        missed = [report for report in waiting[:LOOK_AT] if self._is_missed(report, webhooks)]
        if missed:
            self.alerts.begin("webhook_refused", STRIPE, _text(webhooks, len(missed)))

    def _note_the_rest(self) -> None:
        """Write down what was counted since the last note."""
        with self._lock:
            count, at_ms, self._refused = self._refused, self._last_refused_ms, 0
        if count:
            self.store.note_webhooks_refused(count, at_ms, self._why)

    def _is_missed(self, report: Report, webhooks: Webhooks) -> bool:
        """Whether Stripe has tried to deliver an event, and requests were refused, but none was accepted since."""
        if webhooks.refused_at_ms is None or webhooks.refused_at_ms < report.created_ms:
            return False
        accepted_ms = webhooks.accepted_at_ms
        if accepted_ms is not None and accepted_ms > report.created_ms - NOTE_EVERY_MS:
            return False
        return not self.store.is_seen(report.event_id)


def _text(webhooks: Webhooks, missed: int) -> str:
    last, since = "none was ever accepted", format_ms(webhooks.refused_since_ms or 0)
    if webhooks.accepted_at_ms is not None:
        last = f"the last accepted one came at {format_ms(webhooks.accepted_at_ms)}"
    return (
        f"Stripe's webhooks are refused: {webhooks.refused} since {since} ({webhooks.why}), {last}, and Stripe "
        f"lists at least {missed} events as not delivered. Copy the endpoint's own signing secret (whsec_…) from "
        "Stripe's dashboard into STRIPE_WEBHOOK_SECRET. Until then payments are found only by asking Stripe, "
        "which is slower."
    )


def said(webhooks: Webhooks) -> str:
    """What was noted, in a few words."""
    if webhooks.accepted_at_ms is None:
        last = "none was accepted yet"
    else:
        last = f"the last was accepted at {format_ms(webhooks.accepted_at_ms)}"
    return f"{last}, {webhooks.refused} were refused since" if webhooks.refused else last


def missing(unseen: Sequence[Report], webhooks: Webhooks, now_ms: int) -> str | None:
    """What is wrong, where Stripe lists payments whose webhooks should have been here; None if nothing is.

    Args:
        unseen: Events about payments that this cloud has not seen.
    """
    late = [report for report in unseen if now_ms - report.created_ms > DELIVERED_WITHIN_MS]
    accepted_ms = webhooks.accepted_at_ms
    if accepted_ms is None:
        return f"Stripe lists {len(late)} events about payments, and no webhook has ever come" if late else None
    after = [
        report for report in late if not report.is_delivered and report.created_ms - NOTE_EVERY_MS > accepted_ms
    ]
    if not after:
        return None
    return f"Stripe lists {len(after)} events as not delivered that were made since the last accepted webhook"
