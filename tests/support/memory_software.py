"""What is stored for other software, in memory: the same promises as the adapters, but for durability."""

import threading
from collections.abc import Callable, Iterable

from arcade_cloud.adapters.store import records
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.domain.outbox import KEPT_MS, Endpoint, Posting
from arcade_cloud.errors import Conflict


class MemorySoftware:
    """`ports.software.SoftwareStore` in memory, under the lock of the store that it belongs to."""

    def __init__(self, lock: "threading.RLock", check_up: Callable[[], None]) -> None:
        self._lock = lock
        self._check_up = check_up
        self._api_keys: dict[str, ApiKey] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._postings: dict[tuple[str, str], Posting] = {}

    def copied(self) -> "MemorySoftware":
        """All that is on record, as it is now."""
        copy = MemorySoftware(self._lock, self._check_up)
        copy._api_keys, copy._endpoints = dict(self._api_keys), dict(self._endpoints)
        copy._postings = dict(self._postings)
        return copy

    def api_key(self, key_id: str) -> ApiKey | None:
        with self._lock:
            self._check_up()
            return self._api_keys.get(key_id)

    def api_keys(self) -> list[ApiKey]:
        with self._lock:
            self._check_up()
            return sorted(self._api_keys.values(), key=lambda key: (key.created_at_ms, key.key_id))

    def put_api_key(self, key: ApiKey, expected_version: int) -> None:
        records.check_next(f"API key {key.key_id}", key.version, expected_version)
        with self._lock:
            self._check_up()
            known = self._api_keys.get(key.key_id)
            if (0 if known is None else known.version) != expected_version:
                raise Conflict(key.key_id)
            self._api_keys[key.key_id] = key

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        with self._lock:
            self._check_up()
            return self._endpoints.get(endpoint_id)

    def endpoints(self) -> list[Endpoint]:
        with self._lock:
            self._check_up()
            return sorted(self._endpoints.values(), key=lambda one: (one.created_at_ms, one.endpoint_id))

    def add_endpoint(self, endpoint: Endpoint) -> None:
        with self._lock:
            self._check_up()
            if endpoint.endpoint_id in self._endpoints:
                raise Conflict(endpoint.endpoint_id)
            self._endpoints[endpoint.endpoint_id] = endpoint

    def remove_endpoint(self, endpoint_id: str) -> None:
        with self._lock:
            self._check_up()
            self._endpoints.pop(endpoint_id, None)

    def put_postings(self, postings: Iterable[Posting]) -> None:
        """What a step or an alert tells: the store calls it in the same breath."""
        for posting in postings:
            self._postings.setdefault((posting.endpoint_id, posting.event_id), posting)

    def posting(self, endpoint_id: str, event_id: str) -> Posting | None:
        with self._lock:
            self._check_up()
            return self._postings.get((endpoint_id, event_id))

    def due_postings(self, endpoint_id: str, now_ms: int, limit: int) -> list[Posting]:
        with self._lock:
            self._check_up()
            due = [
                (one.due_at_ms, one.event_id, one)
                for one in self._postings.values()
                if one.endpoint_id == endpoint_id and one.due_at_ms is not None and one.due_at_ms <= now_ms
            ]
            return [one for _, _, one in sorted(due, key=lambda row: row[:2])][: max(0, limit)]

    def change_posting(self, before: Posting, after: Posting) -> None:
        records.check_posting(before, after)
        with self._lock:
            self._check_up()
            if self._postings.get((before.endpoint_id, before.event_id)) != before:
                raise Conflict(before.event_id)
            self._postings[after.endpoint_id, after.event_id] = after

    def postings(self, endpoint_id: str, limit: int, *, before: tuple[int, str] | None = None) -> list[Posting]:
        with self._lock:
            self._check_up()
            found = [
                one
                for one in self._postings.values()
                if one.endpoint_id == endpoint_id and (before is None or (one.at_ms, one.event_id) < before)
            ]
            return sorted(found, key=lambda one: (one.at_ms, one.event_id), reverse=True)[: max(0, limit)]

    def prune(self, now_ms: int) -> int:
        old = [key for key, posting in self._postings.items() if posting.at_ms < now_ms - KEPT_MS]
        for key in old:
            del self._postings[key]
        return len(old)
