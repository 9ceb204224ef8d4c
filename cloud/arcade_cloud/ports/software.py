"""The port to what is stored for other software: its API keys.

Every store has one (`software`), and all pass one contract suite. Any call may raise StoreUnavailable.
"""

from typing import Protocol

from arcade_cloud.domain.api_keys import ApiKey


class SoftwareStore(Protocol):
    """What other software may do here."""

    def api_key(self, key_id: str) -> ApiKey | None: ...

    def api_keys(self) -> list[ApiKey]:
        """All keys, those that were revoked too, the oldest first. They are few."""
        ...

    def put_api_key(self, key: ApiKey, expected_version: int) -> None:
        """Store a key whose `version` is `expected_version` + 1; 0 if there must be none with that id.

        Raises:
            Conflict: The stored version is not the expected one. Nothing is stored.
        """
        ...
