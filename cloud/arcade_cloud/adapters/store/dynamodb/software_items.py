"""The items of what is stored for other software in the DynamoDB table (pure)."""

from arcade_cloud.adapters.store.dynamodb.items import (
    IS_NEW,
    Item,
    Write,
    expiry,
    key,
    put,
    rank,
    record_of,
    shard,
    shards,
    short,
    versioned,
)
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.domain.outbox import KEPT_MS, Endpoint, Posting

# All API keys: they are few, and each is small.
API_KEYS = "api-keys"
# All endpoints of other software: five at most.
ENDPOINTS = "endpoints"


def api_key_key(key_id: str) -> Item:
    """API keys stand together, so that all of them can be read consistently."""
    return {"pk": {"S": API_KEYS}, "sk": {"S": f"api-key#{short(key_id)}"}}


def api_key_put(key: ApiKey, expected_version: int, by: str) -> Write:
    """An API key, if the expected version is stored."""
    body = record_of(key, f"API key {key.key_id}")
    return versioned(api_key_key(key.key_id), key.version, body, expected_version, by)


def endpoint_key(endpoint_id: str) -> Item:
    """Endpoints stand together, so that all of them can be read consistently."""
    return {"pk": {"S": ENDPOINTS}, "sk": {"S": f"endpoint#{short(endpoint_id)}"}}


def endpoint_put(endpoint: Endpoint, by: str) -> Write:
    """An endpoint, if its id is new."""
    body = record_of(endpoint, f"endpoint {endpoint.endpoint_id}")
    return put({**endpoint_key(endpoint.endpoint_id), "body": body, "by": {"S": by}}, IS_NEW)


def posting_key(endpoint_id: str, event_id: str) -> Item:
    """The key of an event on its way to an endpoint."""
    return key("posting", event_id, f"endpoint#{short(endpoint_id)}")


def posting_shards(kind: str, endpoint_id: str) -> list[str]:
    """The partitions of an endpoint's postings: `posting` of those that wait, `postings` of all."""
    return [f"{shard}#{endpoint_id}" for shard in shards(kind)]


def posting_update(posting: Posting) -> Write:
    """Store a posting, unless it is there. The step that it belongs to is stored in any case."""
    values = _posting(posting)
    return {
        "Key": posting_key(posting.endpoint_id, posting.event_id),
        "UpdateExpression": "SET " + ", ".join(f"{name} = if_not_exists({name}, :{name})" for name in values),
        "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
    }


def posting_change(before: Posting, after: Posting) -> Write:
    """Put `after` in the place of `before`, unless that has changed."""
    values = _posting(after)
    return {
        "Key": posting_key(before.endpoint_id, before.event_id),
        "UpdateExpression": "SET " + ", ".join(f"{name} = :{name}" for name in values),
        "ConditionExpression": "body = :was",
        "ExpressionAttributeValues": {
            **{f":{name}": value for name, value in values.items()},
            ":was": _posting(before)["body"],
        },
    }


def _posting(posting: Posting) -> Item:
    """A posting. Once it is over, it waits for its end, in a partition that nobody asks."""
    endpoint_id, name = posting.endpoint_id, posting.event_id
    waits = "posted" if posting.due_at_ms is None else "posting"
    waits_from_ms = posting.since_ms if posting.due_at_ms is None else posting.due_at_ms
    return {
        "listed_in": {"S": f"{shard('postings', name)}#{endpoint_id}"},
        "listed_at": {"S": rank(posting.at_ms, name)},
        "waits_in": {"S": f"{shard(waits, name)}#{endpoint_id}"},
        "waits_from": {"S": rank(waits_from_ms, name)},
        "expires_at": expiry(max(posting.at_ms, posting.since_ms), KEPT_MS),
        "body": record_of(posting, f"the posting of event {name}"),
    }
