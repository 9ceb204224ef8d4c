"""The port to what is stored for other software: its API keys, its endpoints, and what they are told.

Every store has one (`software`), and all pass one contract suite. Any call may raise StoreUnavailable.
"""

from typing import Protocol

from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.domain.outbox import Endpoint, Posting


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

    def endpoint(self, endpoint_id: str) -> Endpoint | None: ...

    def endpoints(self) -> list[Endpoint]:
        """All endpoints, the oldest first."""
        ...

    def add_endpoint(self, endpoint: Endpoint) -> None:
        """Store an endpoint.

        Raises:
            Conflict: There is one with that id.
        """
        ...

    def remove_endpoint(self, endpoint_id: str) -> None:
        """Forget an endpoint, if there is one. Its postings stay until they are old, and are sent no more."""
        ...

    def posting(self, endpoint_id: str, event_id: str) -> Posting | None: ...

    def due_postings(self, endpoint_id: str, now_ms: int, limit: int) -> list[Posting]:
        """The endpoint's postings that are due, at most `limit`, the longest due first."""
        ...

    def change_posting(self, before: Posting, after: Posting) -> None:
        """Put `after` in the place of `before`.

        Raises:
            Conflict: What is stored is not `before`. Nothing is stored.
        """
        ...

    def postings(self, endpoint_id: str, limit: int, *, before: tuple[int, str] | None = None) -> list[Posting]:
        """The endpoint's newest postings by the time of their events, newest first.

        Args:
            before: Only older ones than this event: its time and its id.
        """
        ...
