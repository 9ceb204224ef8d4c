"""What is stored for other software in the DynamoDB table. `dynamodb/store.py` shows where it stands."""

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.dynamodb import items, software_items
from arcade_cloud.adapters.store.dynamodb.client import Refused
from arcade_cloud.adapters.store.dynamodb.items import Item
from arcade_cloud.adapters.store.dynamodb.part import DynamoPart, new_token
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.domain.outbox import Endpoint, Posting
from arcade_cloud.errors import Conflict


class DynamoSoftware(DynamoPart):
    """`ports.software.SoftwareStore` on DynamoDB."""

    # API keys

    def api_key(self, key_id: str) -> ApiKey | None:
        """See `SoftwareStore.api_key`."""
        item = self.table.get(software_items.api_key_key(key_id))
        return None if item is None else records.api_key(items.body(item), key_id)

    def api_keys(self) -> list[ApiKey]:
        """See `SoftwareStore.api_keys`."""
        found = [
            records.api_key(items.body(item), items.text(item, "sk"))
            for item in self._in_partitions([software_items.API_KEYS])
        ]
        return sorted(found, key=lambda key: (key.created_at_ms, key.key_id))

    def put_api_key(self, key: ApiKey, expected_version: int) -> None:
        """See `SoftwareStore.put_api_key`."""
        records.check_next(f"API key {key.key_id}", key.version, expected_version)
        token = new_token()
        if not self._is_put(software_items.api_key_put(key, expected_version, token), token):
            raise Conflict(f"API key {key.key_id} has another version than {expected_version}")

    # endpoints, and what they are told

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """See `SoftwareStore.endpoint`."""
        item = self.table.get(software_items.endpoint_key(endpoint_id))
        return None if item is None else records.endpoint(items.body(item), endpoint_id)

    def endpoints(self) -> list[Endpoint]:
        """See `SoftwareStore.endpoints`."""
        found = [
            records.endpoint(items.body(item), items.text(item, "sk"))
            for item in self._in_partitions([software_items.ENDPOINTS])
        ]
        return sorted(found, key=lambda endpoint: (endpoint.created_at_ms, endpoint.endpoint_id))

    def add_endpoint(self, endpoint: Endpoint) -> None:
        """See `SoftwareStore.add_endpoint`."""
        token = new_token()
        if not self._is_put(software_items.endpoint_put(endpoint, token), token):
            raise Conflict(f"there is an endpoint {endpoint.endpoint_id}")

    def remove_endpoint(self, endpoint_id: str) -> None:
        """See `SoftwareStore.remove_endpoint`."""
        self._check_form()
        self.table.write("delete_item", {"Key": software_items.endpoint_key(endpoint_id)})

    def posting(self, endpoint_id: str, event_id: str) -> Posting | None:
        """See `SoftwareStore.posting`."""
        item = self.table.get(software_items.posting_key(endpoint_id, event_id))
        return None if item is None else _posting(item)

    def due_postings(self, endpoint_id: str, now_ms: int, limit: int) -> list[Posting]:
        """See `SoftwareStore.due_postings`; a moment late. Those tried meanwhile are not among them."""
        lists = [
            self.table.query(
                "waits_in = :shard AND waits_from < :before",
                {":shard": shard, ":before": items.before(now_ms + 1)},
                limit=max(0, limit),
                index="waiting",
            )
            for shard in software_items.posting_shards("posting", endpoint_id)
        ]
        keys = items.merged(lists, "waits_from", max(0, limit), newest_first=False)
        found = [_posting(item) for item in self.table.get_all(keys)]
        return [posting for posting in found if posting.due_at_ms is not None and posting.due_at_ms <= now_ms]

    def change_posting(self, before: Posting, after: Posting) -> None:
        """See `SoftwareStore.change_posting`."""
        records.check_posting(before, after)
        self._check_form()
        try:
            self.table.write("update_item", software_items.posting_change(before, after))
        except Refused as refused:
            (found,) = refused.found
            if not found or _posting(found) != after:  # else the answer to the first try was lost
                raise Conflict(f"the posting of event {before.event_id} has changed meanwhile") from refused

    def postings(self, endpoint_id: str, limit: int, *, before: tuple[int, str] | None = None) -> list[Posting]:
        """See `SoftwareStore.postings`. The newest may be missing for a moment; each record is current."""
        bound = None if before is None else items.rank_of(*before)
        keys = self._newest("lists", software_items.posting_shards("postings", endpoint_id), limit, before=bound)
        return [_posting(item) for item in self.table.get_all(keys)]


def _posting(item: Item) -> Posting:
    return records.posting(items.body(item), items.name_of(item))
