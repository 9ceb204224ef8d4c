"""What is stored for other software in the DynamoDB table. `dynamodb/store.py` shows where it stands."""

import secrets
from collections.abc import Callable

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.dynamodb import items
from arcade_cloud.adapters.store.dynamodb.client import Refused, Table
from arcade_cloud.adapters.store.dynamodb.items import Write
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.errors import Conflict


class DynamoSoftware:
    """`ports.software.SoftwareStore` on DynamoDB."""

    def __init__(self, table: Table, check_form: Callable[[], object]) -> None:
        """Set up on the table.

        Args:
            check_form: Is called before every write, and raises if a newer program has the table.
        """
        self._table = table
        self._check_form = check_form

    # API keys

    def api_key(self, key_id: str) -> ApiKey | None:
        """See `SoftwareStore.api_key`."""
        item = self._table.get(items.api_key_key(key_id))
        return None if item is None else records.api_key(items.body(item), key_id)

    def api_keys(self) -> list[ApiKey]:
        """See `SoftwareStore.api_keys`."""
        found = [
            records.api_key(items.body(item), items.text(item, "sk"))
            for item in self._table.query("pk = :pk", {":pk": items.API_KEYS})
        ]
        return sorted(found, key=lambda key: (key.created_at_ms, key.key_id))

    def put_api_key(self, key: ApiKey, expected_version: int) -> None:
        """See `SoftwareStore.put_api_key`."""
        records.check_next(f"API key {key.key_id}", key.version, expected_version)
        token = secrets.token_hex(8)
        if not self._is_put(items.api_key_put(key, expected_version, token), token):
            raise Conflict(f"API key {key.key_id} has another version than {expected_version}")

    def _is_put(self, write: Write, token: str) -> bool:
        """Put an item; False if its condition does not hold. A lost answer is told by the token."""
        self._check_form()
        try:
            self._table.write("put_item", write)
        except Refused as refused:
            (found,) = refused.found
            return found is not None and found.get("by") == {"S": token}
        return True
