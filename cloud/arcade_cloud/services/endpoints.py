"""Endpoints of other software: set up by the operator, tried, and sent past events again."""

import itertools
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from arcade_cloud.domain import outbox
from arcade_cloud.domain.outbox import (
    ENDPOINTS_AT_MOST,
    EVENT_TYPES,
    KEPT_MS,
    TEST,
    Endpoint,
    Event,
    Posting,
    checked_url,
    new_posting,
)
from arcade_cloud.errors import BadRequest, Conflict, InvariantBroken
from arcade_cloud.ports.software import SoftwareStore
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.outbox_delivery import OutboxDelivery

CONFLICT_RETRIES = 20
# Postings that are read at once.
PAGE = 200
# Where only those that failed are wanted, so many are looked at.
LOOKED_AT = 5_000
ID_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """What the operator does with endpoints."""

    store: SoftwareStore
    alerts: Alerts
    delivery: OutboxDelivery
    site: str
    now_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def find(self, endpoint_id: str) -> Endpoint:
        """The endpoint with that id.

        Raises:
            BadRequest: There is none.
        """
        found = self.store.endpoint(endpoint_id)
        if found is None:
            raise BadRequest(f"there is no endpoint {endpoint_id}: `arcade-cloud webhook list` shows all that are")
        return found

    def add(self, url: str, events: Sequence[str], *, by: str) -> Endpoint:
        """Set up an endpoint. It gets what happens from now on.

        Raises:
            BadRequest: The address or an event cannot be, or there are enough endpoints.
        """
        address = checked_url(url)
        wrong = [name for name in events if name not in EVENT_TYPES]
        if wrong or not events:
            raise BadRequest(f"{wrong[0][:40]!r} is no event" if wrong else "name an event")
        self._check_room(address, self.store.endpoints())
        for _ in range(CONFLICT_RETRIES):
            endpoint = Endpoint(
                endpoint_id=f"we_{self.random_bytes(ID_BYTES).hex()}",
                url=address,
                events=tuple(name for name in EVENT_TYPES if name in events),
                created_at_ms=self.now_ms(),
                created_by=by,
            )
            with suppress(Conflict):  # 64 random bits are taken: draw others
                self.store.add_endpoint(endpoint)
                self._check_still(endpoint)
                return endpoint
        raise InvariantBroken(f"{CONFLICT_RETRIES} random ids of endpoints in a row are taken")

    def _check_still(self, added: Endpoint) -> None:
        """Look again once it is stored: of two that are added at once both may be refused, and never both stay."""
        others = [one for one in self.store.endpoints() if one.endpoint_id != added.endpoint_id]
        try:
            self._check_room(added.url, others)
        except BadRequest:
            self.store.remove_endpoint(added.endpoint_id)
            raise

    def _check_room(self, address: str, others: Sequence[Endpoint]) -> None:
        if len(others) >= ENDPOINTS_AT_MOST:
            raise BadRequest(f"there are {len(others)} endpoints, and more would slow down what they are told of")
        if any(one.url == address for one in others):
            raise BadRequest("there is an endpoint with this address: remove it first to change its events")

    def remove(self, endpoint_id: str) -> Endpoint:
        """Forget an endpoint. What waits for it is sent no more.

        Raises:
            BadRequest: There is none.
        """
        found = self.find(endpoint_id)
        self.store.remove_endpoint(endpoint_id)
        self.alerts.end("endpoint_failing", endpoint_id, f"The endpoint {endpoint_id} was removed.")
        return found

    def secret(self, endpoint_id: str) -> str:
        """The secret by which the endpoint knows what comes from here: that of the current signing secret.

        Raises:
            BadRequest: There is no such endpoint.
        """
        return self.delivery.secrets_of(self.find(endpoint_id).endpoint_id)[0]

    def test(self, endpoint_id: str) -> str | None:
        """Send an event that means nothing, now, and store nothing. Returns why it has not arrived, if it has not.

        Raises:
            BadRequest: There is no such endpoint.
        """
        endpoint, at_ms = self.find(endpoint_id), self.now_ms()
        event = Event(
            f"evt_test_{self.random_bytes(ID_BYTES).hex()}", TEST, at_ms, {"text": "Nothing has happened."}
        )
        return self.delivery.send(endpoint, new_posting(event, endpoint_id, self.site).body.encode())

    def is_failing(self, endpoint_id: str) -> bool:
        """Whether people have been told that it takes no events."""
        return self.alerts.store.lasting_alert("endpoint_failing", endpoint_id) is not None

    def log(
        self, endpoint_id: str, limit: int, *, before: tuple[int, str] | None = None, only_failed: bool = False
    ) -> list[Posting]:
        """What an endpoint was sent, or waits for, newest first.

        Args:
            before: Only what happened before this event: its time and its id.
            only_failed: Only what was given up, or was tried in vain so far, among the newest LOOKED_AT.

        Raises:
            BadRequest: There is no such endpoint.
        """
        self.find(endpoint_id)
        if not only_failed:
            return self.store.postings(endpoint_id, limit, before=before)
        found: list[Posting] = []
        for _ in range(LOOKED_AT // PAGE):
            page = self.store.postings(endpoint_id, PAGE, before=before)
            found += [posting for posting in page if posting.error]
            if len(found) >= limit or len(page) < PAGE:
                break
            before = (page[-1].at_ms, page[-1].event_id)
        return found[:limit]

    def replay(self, endpoint_id: str, event_id: str) -> Posting:
        """Send one event again, whether or not it has arrived before.

        Raises:
            BadRequest: There is no such endpoint, or it was never to get that event, or that is too long ago.
        """
        self.find(endpoint_id)
        for _ in range(CONFLICT_RETRIES):
            found = self.store.posting(endpoint_id, event_id)
            if found is None:
                raise BadRequest(
                    f"{endpoint_id} was not sent {event_id} in the last {KEPT_MS // 86_400_000} days: "
                    f"`arcade-cloud webhook log {endpoint_id}` shows what was"
                )
            after = outbox.again(found, self.now_ms())
            with suppress(Conflict):  # it is tried at this very moment
                self.store.change_posting(found, after)
                return after
        raise InvariantBroken(f"the posting of {event_id}: {CONFLICT_RETRIES} conflicts in a row")

    def replay_since(
        self,
        endpoint_id: str,
        from_ms: int,
        to_ms: int,
        *,
        only_given_up: bool = False,
        at_most: int | None = None,
    ) -> Iterator[Posting]:
        """Send what happened between two times again, the newest first.

        Args:
            at_most: If there are more, none is sent again. None: there may be any number.

        Yields:
            Each posting, once it is due again.

        Raises:
            BadRequest: There is no such endpoint, or there are more.
        """
        self.find(endpoint_id)
        wanted = (
            posting
            for posting in self._between(endpoint_id, from_ms, to_ms)
            if posting.given_up_at_ms is not None or not only_given_up
        )
        if at_most is not None:
            counted = list(itertools.islice(wanted, at_most + 1))
            if len(counted) > at_most:
                raise BadRequest(
                    f"there are more than {at_most} events in that time: choose a shorter one, or use "
                    f"arcade-cloud webhook replay {endpoint_id}"
                )
            wanted = (posting for posting in counted)
        for posting in wanted:
            yield self.replay(endpoint_id, posting.event_id)

    def _between(self, endpoint_id: str, from_ms: int, to_ms: int) -> Iterator[Posting]:
        before = (to_ms, "")
        while page := self.store.postings(endpoint_id, PAGE, before=before):
            yield from (posting for posting in page if posting.at_ms >= from_ms)
            if len(page) < PAGE or page[-1].at_ms < from_ms:
                return
            before = (page[-1].at_ms, page[-1].event_id)


def content(posting: Posting) -> object:
    """What a posting tells, as an object."""
    return json.loads(posting.body)
