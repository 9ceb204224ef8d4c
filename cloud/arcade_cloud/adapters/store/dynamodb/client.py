"""One DynamoDB table: how it is reached, which requests it gets, what is asked again, and what its errors mean.

What is asked again: botocore repeats what was throttled, what ended with a 5xx, and what got no answer in time,
`_ATTEMPTS` in all, with growing pauses. A transaction that met another one on the same item is repeated here, for
`BUSY_S`. After that it is StoreUnavailable: nothing was stored, or nobody knows whether it was.

A repetition doubles nothing. A transaction carries the same ClientRequestToken each time, so that DynamoDB answers
one that was applied with its success; a single write's condition does not hold a second time, and the item then
shows by whom it was put (`DynamoStore` looks).
"""

import random
import secrets
import time
from collections.abc import Iterable
from typing import Any

from arcade_cloud.adapters.store.dynamodb.items import Item, Write, key_of
from arcade_cloud.config.dynamodb_address import TableAddress
from arcade_cloud.errors import InvariantBroken, StoreUnavailable

# How long a transaction is repeated that meets others, before it gives up.
BUSY_S = 5.0
# A webhook's answer is waited for ten seconds: three attempts without any answer must fit.
_ATTEMPTS = 3
_CONNECT_S = 1.0
_ANSWER_S = 2.0
# As many as waitress, Stripe's workers, the listener and the timer may use at once, and some more.
_CONNECTIONS = 48
_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5
# DynamoDB's own limits for one request.
_MOST_KEYS = 100
_PAGE = 1000

# What DynamoDB says of a table with other keys or indexes than ours.
_OTHER_TABLE = ("does not have the specified index", "does not match the schema", "missing the key")
_MEETING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


class Refused(Exception):
    """A condition did not hold, and nothing was stored.

    `found`: for each of the writes, in their order, what stands in its place ({}: nothing), or None where its own
    condition held.
    """

    def __init__(self, found: list[Item | None]) -> None:
        super().__init__("a condition did not hold")
        self.found = found


class Table:
    """The requests to one table. Thread-safe. Every method raises StoreUnavailable."""

    def __init__(self, address: TableAddress, endpoint: str | None = None) -> None:
        """Nothing is reached yet. Raises StoreUnavailable where boto3 or the region is missing."""
        self.name = address.table
        self.endpoint = endpoint
        try:
            import boto3.session  # costs a tenth of a second, and only users of DynamoDB have it
            import botocore.config
            import botocore.exceptions
        except ImportError as error:
            raise StoreUnavailable(
                "DATABASE_URL: DynamoDB needs boto3, which is not installed: pip install 'arcade-cloud[dynamodb]'"
            ) from error
        self.errors: Any = botocore.exceptions
        self._closed = False
        config = botocore.config.Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_ANSWER_S,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=_CONNECTIONS,
            tcp_keepalive=True,
        )
        try:
            self.client: Any = boto3.session.Session().client(
                "dynamodb", region_name=address.region, endpoint_url=endpoint, config=config
            )
        except (self.errors.BotoCoreError, ValueError) as error:
            raise self.unavailable(error) from error

    def close(self) -> None:
        """Let go of the connections; every later request raises StoreUnavailable."""
        self._closed = True
        self.client.close()

    def get(self, key: Item) -> Item | None:
        """One item, read consistently."""
        answer = self.request("get_item", Key=key, ConsistentRead=True)
        found: Item | None = answer.get("Item")
        return found

    def get_all(self, keys: Iterable[Item]) -> list[Item]:
        """The items that there are of these keys, in their order, read consistently."""
        wanted = [key_of(key) for key in keys]
        found: dict[tuple[object, object], Item] = {}
        for start in range(0, len(wanted), _MOST_KEYS):
            asked: Any = {self.name: {"Keys": wanted[start : start + _MOST_KEYS], "ConsistentRead": True}}
            for pause_s in _pauses():
                answer = self.ask("batch_get_item", RequestItems=asked)
                found.update((_identity(item), item) for item in answer["Responses"].get(self.name, ()))
                asked = answer.get("UnprocessedKeys")
                if not asked:
                    break
                time.sleep(pause_s)
            else:
                raise StoreUnavailable(f"DynamoDB table {self.name} has kept throttling for {BUSY_S:g} s")
        return [found[_identity(key)] for key in wanted if _identity(key) in found]

    def query(
        self,
        condition: str,
        values: dict[str, str],
        *,
        limit: int | None = None,
        index: str | None = None,
        newest_first: bool = False,
    ) -> list[Item]:
        """The items of one partition that match, in their order; of an index: their keys, a moment late."""
        which: dict[str, object] = {"ConsistentRead": True} if index is None else {"IndexName": index}
        found: list[Item] = []
        start: dict[str, object] = {}
        while limit is None or len(found) < limit:
            answer = self.request(
                "query",
                KeyConditionExpression=condition,
                ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
                ScanIndexForward=not newest_first,
                Limit=_PAGE if limit is None else min(limit - len(found), _PAGE),
                **which,
                **start,
            )
            found += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                break
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return found

    def write(self, operation: str, write: Write) -> None:
        """One `put_item` or `update_item`. Raises Refused."""
        self.request(operation, ReturnValuesOnConditionCheckFailure="ALL_OLD", **write)

    def transact(self, writes: list[tuple[str, Write]]) -> None:
        """All of them or none; each is ("Put", …), ("Update", …) or ("Delete", …). Raises Refused."""
        more = {"TableName": self.name, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        self.ask(
            "transact_write_items",
            TransactItems=[{action: {**write, **more}} for action, write in writes],
            ClientRequestToken=secrets.token_hex(16),
        )

    def request(self, operation: str, **arguments: object) -> dict[str, Any]:
        """As `ask`, about this table."""
        return self.ask(operation, TableName=self.name, **arguments)

    def ask(self, operation: str, **arguments: object) -> dict[str, Any]:
        """DynamoDB's answer. Raises Refused, StoreUnavailable, InvariantBroken (a defect of ours)."""
        for pause_s in _pauses():
            if self._closed:
                raise StoreUnavailable(f"DynamoDB table {self.name}: the store has been closed")
            try:
                answer: dict[str, Any] = getattr(self.client, operation)(**arguments)
            except self.errors.ClientError as error:
                self._refused(error)
            except self.errors.ParamValidationError as error:
                raise InvariantBroken(f"DynamoDB table {self.name}: {error}") from error
            except self.errors.BotoCoreError as error:
                raise self.unavailable(error) from error
            else:
                return answer
            time.sleep(pause_s)
        raise StoreUnavailable(f"DynamoDB table {self.name}: others have kept the record busy for {BUSY_S:g} s")

    def _refused(self, error: Any) -> None:
        """Return where the request is to be repeated. Raises otherwise, as `ask` does."""
        code = code_of(error)
        if code == "ConditionalCheckFailedException":
            raise Refused([error.response.get("Item", {})]) from error
        if code == "TransactionConflictException":
            return
        if code == "TransactionCanceledException":
            reasons = error.response.get("CancellationReasons", [])
            codes = {reason.get("Code") for reason in reasons} - {"None"}
            if codes == {"ConditionalCheckFailed"}:
                found = [None if reason["Code"] == "None" else reason.get("Item", {}) for reason in reasons]
                raise Refused(found) from error
            if codes <= _MEETING | {"ConditionalCheckFailed"}:
                return
            raise InvariantBroken(f"DynamoDB table {self.name} cancelled a transaction: {error}") from error
        if code == "ValidationException" and not any(sign in str(error) for sign in _OTHER_TABLE):
            raise InvariantBroken(f"DynamoDB table {self.name}: {error}") from error
        raise self.unavailable(error) from error

    def unavailable(self, error: Any) -> StoreUnavailable:
        """What an error means, and what to do about it."""
        return StoreUnavailable(f"DynamoDB table {self.name}: {_what_to_do(code_of(error), error)}")


def code_of(error: Any) -> str:
    """DynamoDB's name for an error; the class where botocore raised it by itself."""
    response: Any = getattr(error, "response", None) or {}  # botocore's own errors have one that is None
    code: str = response.get("Error", {}).get("Code", "")
    return code or type(error).__name__


def _what_to_do(code: str, error: Any) -> str:
    match code:
        case "ResourceNotFoundException":
            return "there is no such table in this region and account: arcade-cloud table create"
        case "ValidationException":
            return f"the table is another program's ({error}): arcade-cloud table create, with another name"
        case "NoRegionError" | "InvalidRegionError":
            return "the region is missing: add ?region=… to DATABASE_URL, or set AWS_DEFAULT_REGION"
        case "NoCredentialsError" | "PartialCredentialsError":
            return (
                "no AWS credentials: give this process a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        case "AccessDeniedException":
            return f"these AWS credentials may not do that: {error}"
        case "UnrecognizedClientException" | "ExpiredTokenException" | "InvalidSignatureException":
            return f"AWS does not accept the credentials, or this host's clock is wrong: {error}"
        case "EndpointConnectionError" | "ConnectTimeoutError" | "ConnectionClosedError" | "ProxyConnectionError":
            return f"it cannot be reached: {error}"
        case "ReadTimeoutError":
            return f"no answer within {_ANSWER_S:g} s, {_ATTEMPTS} times: nobody knows whether it was stored"
        case _:
            return f"{code}: {error}"


def _pauses() -> Iterable[float]:
    """Growing pauses with a random part, so that two who met do not meet again; at least one, for `BUSY_S`."""
    end = time.monotonic() + BUSY_S
    longest_s = _PAUSE_S
    while True:
        yield random.uniform(0, longest_s)  # noqa: S311 - not a secret, only spread  # nosec B311
        if time.monotonic() > end:
            return
        longest_s = min(2 * longest_s, _LONGEST_PAUSE_S)


def _identity(item: Item) -> tuple[object, object]:
    return item["pk"]["S"], item["sk"]["S"]
