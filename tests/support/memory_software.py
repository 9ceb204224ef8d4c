"""What is stored for other software, in memory: the same promises as the adapters, but for durability."""

import threading
from collections.abc import Callable

from arcade_cloud.adapters.store import records
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.errors import Conflict


class MemorySoftware:
    """`ports.software.SoftwareStore` in memory, under the lock of the store that it belongs to."""

    def __init__(self, lock: "threading.RLock", check_up: Callable[[], None]) -> None:
        self._lock = lock
        self._check_up = check_up
        self._api_keys: dict[str, ApiKey] = {}

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
