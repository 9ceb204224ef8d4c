"""Postings reach other software: each endpoint on its own, so none waits for one that fails."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from arcade_cloud.domain import outbox
from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.outbox import Endpoint, Posting
from arcade_cloud.errors import Conflict
from arcade_cloud.ports.messaging import Poster
from arcade_cloud.ports.software import SoftwareStore
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.failures import Failures

logger = logging.getLogger(__name__)

SIGNATURE_HEADER = "Arcade-Signature"
# Of one endpoint, in one pass: then it is the next one's turn.
POSTINGS_PER_PASS = 20
# Those that are given up together, once one of them has failed.
LOOKED_AT = 500
# How long an endpoint is left alone after a failure: doubled each time, up to the second number. So it is found to
# work again within minutes, however many wait.
ENDPOINT_AGAIN_MS = (5_000, 5 * 60_000)
# An endpoint that does not take a posting for so long is told to a person.
LATE_MS = 15 * 60_000


@dataclass(frozen=True, slots=True)
class OutboxDelivery:
    """Sends what is due. The timer calls it; nobody who waits for an answer does."""

    store: SoftwareStore
    alerts: Alerts
    poster: Poster
    secrets_of: Callable[[str], Sequence[str]]
    now_ms: Callable[[], int]
    _failed: Failures[str] = field(default_factory=lambda: Failures(*ENDPOINT_AGAIN_MS))
    _proven: set[str] = field(default_factory=set)

    def run_once(self, *, until_ms: int | None = None) -> int:
        """Send what is due to the endpoints that there are.

        Args:
            until_ms: After this time nothing more is sent. The next pass does the rest.

        Returns:
            How many postings were tried.

        Raises:
            StoreUnavailable: What has arrived may be sent again.
        """
        endpoints = self.store.endpoints()
        self._failed.keep_only({endpoint.endpoint_id for endpoint in endpoints}.__contains__)
        tried = 0
        for endpoint in sorted(endpoints, key=lambda one: self._failed.times(one.endpoint_id)):
            if not self._failed.may_try(endpoint.endpoint_id, self.now_ms()):
                continue
            for posting in self.store.due_postings(endpoint.endpoint_id, self.now_ms(), POSTINGS_PER_PASS):
                if until_ms is not None and self.now_ms() >= until_ms:
                    return tried
                tried += 1
                if not self._try(endpoint, posting):
                    break
        return tried

    def _try(self, endpoint: Endpoint, posting: Posting) -> bool:
        """Send one posting. Returns whether the endpoint may get more in this pass."""
        sent = outbox.trying(posting, self.now_ms())
        try:
            self.store.change_posting(posting, sent)
        except Conflict:  # another process sends it
            return True
        error = self.send(endpoint, posting.body.encode())
        if error is None:
            self._arrived(endpoint, sent)
            return True
        self._fails(endpoint, sent, error)
        return False

    def send(self, endpoint: Endpoint, body: bytes) -> str | None:
        """Send a body now. Returns why it has not arrived; None if it has."""
        signed = outbox.signature(self.secrets_of(endpoint.endpoint_id), body, self.now_ms() // 1000)
        headers = {"Content-Type": "application/json", "User-Agent": "Arcade-STEM", SIGNATURE_HEADER: signed}
        return self.poster.post(endpoint.url, body, headers)

    def _arrived(self, endpoint: Endpoint, sent: Posting) -> None:
        self._change(sent, outbox.arrived(sent, self.now_ms()))
        had_failed = self._failed.end(endpoint.endpoint_id)
        if had_failed or endpoint.endpoint_id not in self._proven:
            self._proven.add(endpoint.endpoint_id)
            self.alerts.end("endpoint_failing", endpoint.endpoint_id, f"{_called(endpoint)} takes events again.")

    def _fails(self, endpoint: Endpoint, sent: Posting, error: str) -> None:
        now_ms = self.now_ms()
        self._failed.note(endpoint.endpoint_id, now_ms)
        logger.warning("%s did not take %s: %s", endpoint.endpoint_id, sent.event_id, error)
        if outbox.is_hopeless(sent, now_ms):
            self._give_up(endpoint, sent, error)
            return
        self._change(sent, outbox.failed(sent, error))
        if now_ms - sent.since_ms >= LATE_MS:
            self.alerts.begin(
                "endpoint_failing",
                endpoint.endpoint_id,
                f"{_called(endpoint)} does not take events: {error}. Each is tried for a day, then given up. "
                f"`arcade-cloud webhook test {endpoint.endpoint_id}` tries it now.",
            )

    def _give_up(self, endpoint: Endpoint, sent: Posting, error: str) -> None:
        """Give up a posting, and all others that have waited as long: the endpoint has failed for a day."""
        now_ms, day = self.now_ms(), self.now_ms() // 86_400_000
        text = (
            f"{_called(endpoint)} has not taken {sent.type} {sent.event_id} for a day, and does not get it any "
            f"more: {error}. There may be others. Once it works, `arcade-cloud webhook replay "
            f"{endpoint.endpoint_id} --given-up --since 7d` sends them again."
        )
        # First the alert: if this process dies in between, one more try fails, and the alert has the same id.
        self.alerts.store.raise_alert(alert("event_given_up", endpoint.endpoint_id, text, now_ms, str(day)))
        self._change(sent, outbox.given_up(outbox.failed(sent, error), now_ms))
        for other in self.store.due_postings(endpoint.endpoint_id, now_ms, LOOKED_AT):
            if outbox.is_hopeless(other, now_ms):
                self._change(other, outbox.given_up(other, now_ms))

    def _change(self, before: Posting, after: Posting) -> None:
        """Write down what became of it, unless the operator has it sent again, or another process was faster."""
        try:
            self.store.change_posting(before, after)
        except Conflict:
            logger.info("the posting of %s has changed meanwhile", before.event_id)


def _called(endpoint: Endpoint) -> str:
    return f"The endpoint {endpoint.endpoint_id} at {endpoint.host}"
