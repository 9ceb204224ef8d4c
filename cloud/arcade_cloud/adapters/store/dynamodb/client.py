"""One DynamoDB table: how it is reached, which requests it gets, which are repeated, and what its errors mean.

botocore repeats requests that were throttled, ended with a 5xx or got no answer in time. It makes `_ATTEMPTS`
attempts in all, with growing pauses. A transaction that met another one on the same item is repeated here, for
`BUSY_S`. After that StoreUnavailable is raised: nothing was stored, or it is unknown whether it was.

A repetition stores nothing twice. A transaction has the same ClientRequestToken each time, so DynamoDB reports
success again if it was applied already. The condition of a single write does not hold a second
time, and the item then shows which call put it (`DynamoStore` looks).
"""

import random
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from arcade_cloud.adapters.store.dynamodb.items import Item, Write, key_of
from arcade_cloud.config.dynamodb_address import TableAddress
from arcade_cloud.errors import InvariantBroken, StoreUnavailable

# How long a transaction that meets others is repeated.
BUSY_S = 5.0
# Stripe waits ten seconds for the answer to a webhook: three attempts without any answer must fit.
_ATTEMPTS = 3
_CONNECT_S = 1.0
_ANSWER_S = 2.0
# As many as waitress, Stripe's workers, the listener and the timer may use at once, and some to spare.
_CONNECTIONS = 64
# So many of them for one page of the console.
_AT_ONCE = 16
_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5
# DynamoDB's own limits for one request.
_MOST_KEYS = 100
_PAGE = 1000

# What DynamoDB says about a table whose keys or indexes are not ours.
_OTHER_TABLE = ("does not have the specified index", "does not match the schema", "missing the key")
_MEETING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


class Refused(Exception):
    """A condition did not hold, and nothing was stored.

    Attributes:
        found: One entry for each write, in order: the item in its place ({} if there is none), or None if the
            write's own condition held.
    """

    def __init__(self, found: list[Item | None]) -> None:
        super().__init__("a condition did not hold")
        self.found = found


class Table:
    """The requests to one table. Thread-safe. Every method may raise StoreUnavailable."""

    def __init__(self, address: TableAddress, endpoint: str | None = None) -> None:
        """Set up the client. It connects with the first request.

        Raises:
            StoreUnavailable: boto3 is not installed, or the region or another AWS setting is missing or invalid.
        """
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
        """Close the connections. Every later request raises StoreUnavailable."""
        self._closed = True
        self.client.close()

    def get(self, key: Item) -> Item | None:
        """One item, read consistently."""
        answer = self.request("get_item", Key=key, ConsistentRead=True)
        found: Item | None = answer.get("Item")
        return found

    def get_all(self, keys: Iterable[Item]) -> list[Item]:
        """The items with these keys, in the order of the keys, read consistently. Missing items are left out."""
        wanted = [key_of(key) for key in keys]
        parts = [wanted[start : start + _MOST_KEYS] for start in range(0, len(wanted), _MOST_KEYS)]
        found = {_identity(item): item for items in side_by_side(self._get_some, parts) for item in items}
        return [found[_identity(key)] for key in wanted if _identity(key) in found]

    def _get_some(self, keys: list[Item]) -> list[Item]:
        """The items with these keys, _MOST_KEYS at most, in no order."""
        found: list[Item] = []
        asked: Any = {self.name: {"Keys": keys, "ConsistentRead": True}}
        for pause_s in _pauses():
            answer = self.ask("batch_get_item", RequestItems=asked)
            found += answer["Responses"].get(self.name, ())
            asked = answer.get("UnprocessedKeys")
            if not asked:
                return found
            time.sleep(pause_s)
        raise StoreUnavailable(f"DynamoDB table {self.name} has kept throttling for {BUSY_S:g} s")

    def query_all(self, condition: str, every: Iterable[dict[str, str]]) -> list[Item]:
        """As `query`, of several partitions side by side; their items one after the other."""
        found = side_by_side(lambda values: self.query(condition, values), list(every))
        return [item for items in found for item in items]

    def query(
        self,
        condition: str,
        values: dict[str, str],
        *,
        limit: int | None = None,
        index: str | None = None,
        newest_first: bool = False,
    ) -> list[Item]:
        """The matching items of one partition, in order. From an index come only their keys, a moment late."""
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
        """Send one write.

        Args:
            operation: `put_item` or `update_item`.

        Raises:
            Refused: The write's condition does not hold.
        """
        self.request(operation, ReturnValuesOnConditionCheckFailure="ALL_OLD", **write)

    def transact(self, writes: list[tuple[str, Write]]) -> None:
        """Send several writes as one transaction: all are stored or none.

        Args:
            writes: Each is ("Put", …), ("Update", …) or ("Delete", …), or only asks: ("ConditionCheck", …).

        Raises:
            Refused: The condition of at least one write does not hold.
        """
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
        """DynamoDB's answer. A request that met another transaction is repeated for `BUSY_S`.

        Raises:
            Refused: A condition does not hold.
            StoreUnavailable: DynamoDB cannot be reached or used, or the store is closed.
            InvariantBroken: The request is invalid. That is a defect of this program.
        """
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
        """Return if the request should be repeated. Otherwise raise what the error means, as `ask` documents."""
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


def side_by_side(read: Callable[[_Asked], _Answer], asked: Sequence[_Asked]) -> list[_Answer]:
    """The answers to several reads, in their order. They wait for DynamoDB together, not one after the other."""
    if len(asked) < 2:
        return [read(one) for one in asked]
    from concurrent.futures import ThreadPoolExecutor  # only pages for people ask for so much

    with ThreadPoolExecutor(min(_AT_ONCE, len(asked))) as threads:
        return list(threads.map(read, asked))


def code_of(error: Any) -> str:
    """DynamoDB's name for an error, or the name of its class if it is botocore's own."""
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
    """Growing random pauses for `BUSY_S`, at least one, so that two transactions that met do not meet again."""
    end = time.monotonic() + BUSY_S
    longest_s = _PAUSE_S
    while True:
        yield random.uniform(0, longest_s)  # noqa: S311 - not a secret, only spread  # nosec B311
        if time.monotonic() > end:
            return
        longest_s = min(2 * longest_s, _LONGEST_PAUSE_S)


def _identity(item: Item) -> tuple[object, object]:
    return item["pk"]["S"], item["sk"]["S"]
