"""`arcade-cloud table create`: what it makes, that it can be run again, and what it leaves alone."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from arcade_cloud.adapters.store import open_store
from arcade_cloud.adapters.store.dynamodb import table as dynamodb_table
from arcade_cloud.adapters.store.dynamodb.client import Table
from arcade_cloud.adapters.store.dynamodb.table import make, make_table
from arcade_cloud.config.dynamodb_address import parse
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.errors import StoreUnavailable
from arcade_sandbox.dynamodb import DynamoDBLocal
from support.order_records import new_order, step

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "SIGNING_SECRET": "0123456789abcdef0123456789abcdef",
    "EMQX_BROKER_URL": "localhost",
    "MQTT_TLS": "0",
}


@pytest.fixture
def table(dynamodb: DynamoDBLocal, request: pytest.FixtureRequest) -> Iterator[Table]:
    """A table that is not there yet."""
    found = Table(parse(f"dynamodb://made-{os.getpid()}-{abs(hash(request.node.name))}"), dynamodb.endpoint)
    yield found
    if found.name in found.client.list_tables()["TableNames"]:
        found.client.delete_table(TableName=found.name)
    found.close()


def _backups(table: Table, states: list[str]) -> list[str]:
    """Answer for AWS about backups, which DynamoDB Local has none of. A table just made cannot have them yet."""
    asked: list[str] = []

    def answer(event_name: str, **_: object) -> AWSResponse | None:
        operation = event_name.rsplit(".", 1)[1]
        if not operation.endswith("ContinuousBackups"):
            return None
        asked.append(operation)
        state = states[0] if len(states) == 1 else states.pop(0)
        if state == "not yet":
            return _answer(400, {"__type": "com.amazonaws#ContinuousBackupsUnavailableException", "message": "-"})
        recovery = {"PointInTimeRecoveryStatus": state}
        described = {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery}
        return _answer(200, {"ContinuousBackupsDescription": described})

    table.client.meta.events.register("before-send.dynamodb.*", answer)
    return asked


def _answer(status: int, body: dict[str, Any]) -> AWSResponse:
    class Raw:
        def stream(self, *_: object, **__: object) -> Iterator[bytes]:
            yield json.dumps(body).encode()

    return AWSResponse("http://stand-in", status, {"content-type": "application/x-amz-json-1.0"}, Raw())


def test_the_table_is_made_with_all_that_belongs_to_it(table: Table) -> None:
    said = list(make(table))
    assert "made" in said[0]
    described = table.client.describe_table(TableName=table.name)["Table"]
    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert {index["IndexName"] for index in described["GlobalSecondaryIndexes"]} == {
        "waiting",
        "lists",
        "of_machine",
    }
    assert {index["Projection"]["ProjectionType"] for index in described["GlobalSecondaryIndexes"]} == {
        "KEYS_ONLY"
    }
    expiry = table.client.describe_time_to_live(TableName=table.name)["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


def test_making_it_again_changes_nothing(table: Table) -> None:
    list(make(table))
    before = table.client.describe_table(TableName=table.name)["Table"]
    said = list(make(table))
    assert said[0] == f"table {table.name} is there"
    assert "time to live is on" in said
    assert table.client.describe_table(TableName=table.name)["Table"] == before


def test_point_in_time_recovery_is_switched_on_as_soon_as_it_can_be(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamodb_table, "_LOOK_EVERY_S", 0.01)
    asked = _backups(table, ["not yet", "DISABLED", "not yet", "DISABLED", "ENABLED"])
    assert list(make(table))[-1] == "point-in-time recovery switched on"
    assert asked == [
        "DescribeContinuousBackups",
        "DescribeContinuousBackups",
        "UpdateContinuousBackups",
        "DescribeContinuousBackups",
        "UpdateContinuousBackups",
    ]
    assert list(make(table))[-1] == "point-in-time recovery is on"


def test_recovery_that_never_can_be_had_is_an_error(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb_table, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(dynamodb_table, "_READY_WITHIN_S", 0.1)
    list(make_table(table))
    _backups(table, ["not yet"])
    with pytest.raises(StoreUnavailable, match="ContinuousBackupsUnavailable"):
        list(make(table))


@pytest.mark.parametrize("keys", [("pk", "sk"), ("id",)], ids=["no indexes", "other keys"])
def test_a_table_of_another_program_is_left_alone(table: Table, keys: tuple[str, ...]) -> None:
    table.client.create_table(
        TableName=table.name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
        KeySchema=[
            {"AttributeName": name, "KeyType": kind} for name, kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
    )
    with pytest.raises(StoreUnavailable, match="choose another name"):
        list(make(table))
    expiry = table.client.describe_time_to_live(TableName=table.name)["TimeToLiveDescription"]
    assert expiry["TimeToLiveStatus"] == "DISABLED"


def test_the_command_makes_what_the_store_then_uses(
    table: Table, dynamodb: DynamoDBLocal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"dynamodb://{table.name}?region=us-east-1"
    for name, value in {**SETTINGS, "DATABASE_URL": url, "DYNAMODB_ENDPOINT": dynamodb.endpoint}.items():
        monkeypatch.setenv(name, value)
    assert main(["order", "list"]) == 1
    assert "arcade-cloud table create" in capsys.readouterr().err
    assert main(["table", "create"]) == 0
    assert "it can be used" in capsys.readouterr().out.splitlines()
    store = open_store(url, dynamodb_endpoint=dynamodb.endpoint)
    store.move(step(new_order("o-1")))
    store.close()
    assert main(["order", "list"]) == 0
    assert capsys.readouterr().out.endswith("  o-1\n")


def test_a_file_needs_no_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {**SETTINGS, "DATABASE_URL": "sqlite:///arcade.db"}.items():
        monkeypatch.setenv(name, value)
    assert main(["table", "create"]) == 1
    assert "DATABASE_URL is a file" in capsys.readouterr().err
