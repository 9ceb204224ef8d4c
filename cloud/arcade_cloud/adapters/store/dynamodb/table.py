"""Makes the DynamoDB table, for `arcade-cloud table create`. What exists already is left as it is."""

import time
from collections.abc import Iterator
from typing import Any

from arcade_cloud.adapters.store.dynamodb.client import Table, code_of
from arcade_cloud.adapters.store.dynamodb.items import form_update
from arcade_cloud.adapters.store.forms import FORMS
from arcade_cloud.errors import StoreUnavailable

_READY_WITHIN_S = 300.0
_LOOK_EVERY_S = 1.0

_KEYS = ("pk", "sk")
_INDEXES = {
    "waiting": ("waits_in", "waits_from"),
    "lists": ("listed_in", "listed_at"),
    "of_machine": ("of_machine", "listed_at"),
}
_EXPIRY = "expires_at"


def make(table: Table) -> Iterator[str]:
    """Make the table, then switch on its time to live and its backups.

    Yields:
        What was done, line by line, as it is done.

    Raises:
        StoreUnavailable: DynamoDB cannot be reached or used, the table does not become ready in time, or a table
            of that name has other keys or indexes.
    """
    yield from make_table(table)
    yield from _forget_by_itself(table)
    yield from _back_up(table)


def make_table(table: Table) -> Iterator[str]:
    """Make the table with its indexes if it does not exist, and wait until it can be used. Errors as in `make`."""
    is_new = False
    if _describe(table) is not None:
        yield f"table {table.name} is there"
    else:
        try:
            table.client.create_table(
                TableName=table.name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[
                    {"AttributeName": name, "AttributeType": "S"}
                    for name in dict.fromkeys((*_KEYS, *(name for pair in _INDEXES.values() for name in pair)))
                ],
                KeySchema=_schema(_KEYS),
                GlobalSecondaryIndexes=[
                    {
                        "IndexName": index,
                        "KeySchema": _schema(pair),
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                    for index, pair in _INDEXES.items()
                ],
            )
        except table.errors.ClientError as error:
            if code_of(error) != "ResourceInUseException":  # somebody else was faster
                raise table.unavailable(error) from error
        except table.errors.BotoCoreError as error:
            raise table.unavailable(error) from error
        is_new = True
        yield f"table {table.name} made, with the indexes {', '.join(_INDEXES)}; billed by request"
    _refuse_other(_wait_until_active(table), table)
    if is_new:  # nothing older than this program has written to it
        table.write("update_item", form_update(FORMS.newest))
    yield "it can be used"


def _schema(names: tuple[str, str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=True)]


def _describe(table: Table) -> dict[str, Any] | None:
    try:
        described: dict[str, Any] = table.client.describe_table(TableName=table.name)["Table"]
    except (table.errors.ClientError, table.errors.BotoCoreError) as error:
        if code_of(error) == "ResourceNotFoundException":
            return None
        raise table.unavailable(error) from error
    return described


def _wait_until_active(table: Table) -> dict[str, Any]:
    end = time.monotonic() + _READY_WITHIN_S
    while True:
        described = _describe(table)
        if described is not None:
            indexes = described.get("GlobalSecondaryIndexes", [])
            states = {described["TableStatus"], *(index["IndexStatus"] for index in indexes)}
            if states == {"ACTIVE"}:
                return described
        if time.monotonic() > end:
            raise StoreUnavailable(
                f"DynamoDB table {table.name} is not ready after {_READY_WITHIN_S:g} s: run this again later"
            )
        time.sleep(_LOOK_EVERY_S)


def _refuse_other(described: dict[str, Any], table: Table) -> None:
    indexes = {
        index["IndexName"]: tuple(part["AttributeName"] for part in index["KeySchema"])
        for index in described.get("GlobalSecondaryIndexes", [])
    }
    keys = tuple(part["AttributeName"] for part in described["KeySchema"])
    if keys != _KEYS or not _INDEXES.items() <= indexes.items():
        raise StoreUnavailable(
            f"DynamoDB table {table.name} is another program's (its keys or indexes differ): choose another name"
        )


def _forget_by_itself(table: Table) -> Iterator[str]:
    """Time to live: DynamoDB deletes seen ids and sent alerts by itself."""
    known = table.request("describe_time_to_live")["TimeToLiveDescription"]
    if known["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}:
        yield "time to live is on"
        return
    table.request("update_time_to_live", TimeToLiveSpecification={"Enabled": True, "AttributeName": _EXPIRY})
    yield f"time to live switched on, by {_EXPIRY}"


def _back_up(table: Table) -> Iterator[str]:
    """Point-in-time recovery: the table as it was at any second of the last 35 days."""
    end = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            known = table.client.describe_continuous_backups(TableName=table.name)
            backups = known["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
            if backups.get("PointInTimeRecoveryStatus") == "ENABLED":
                yield "point-in-time recovery is on"
                return
            table.client.update_continuous_backups(
                TableName=table.name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
            yield "point-in-time recovery switched on"
            return
        except (table.errors.ClientError, table.errors.BotoCoreError) as error:
            code = code_of(error)
            if code == "UnknownOperationException" and table.endpoint is not None:
                yield f"point-in-time recovery is not to be had at {table.endpoint}"
                return
            # A table that has just been made cannot have them yet.
            if code != "ContinuousBackupsUnavailableException" or time.monotonic() > end:
                raise table.unavailable(error) from error
        time.sleep(_LOOK_EVERY_S)
