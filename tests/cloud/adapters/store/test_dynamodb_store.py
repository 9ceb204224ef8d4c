"""What only the DynamoDB store promises: one write a call, no scan, repetitions that double nothing."""

import collections
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import botocore.retries.standard
import msgspec
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

from arcade_cloud.adapters.store import open_store
from arcade_cloud.adapters.store.dynamodb import client as dynamodb_client
from arcade_cloud.adapters.store.dynamodb import items as dynamodb_items
from arcade_cloud.adapters.store.dynamodb import store as dynamodb
from arcade_cloud.adapters.store.dynamodb.store import DynamoStore
from arcade_cloud.adapters.store.records import FORGET_AFTER_MS, FORGET_STANDING_AFTER_MS
from arcade_cloud.domain import alerts
from arcade_cloud.domain.books import Line
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.order import UnmatchedAck
from arcade_cloud.errors import AlreadySeen, Conflict, InvariantBroken, StoreUnavailable
from arcade_sandbox.dynamodb import DynamoDBLocal
from support.dynamodb_tables import ENVIRONMENT, WRITES, a_table, requests_of
from support.order_records import an_alert, funded, new_order, next_version, step
from support.orders import NOW_MS

Call = Callable[[DynamoStore], object]
OLD_MS = NOW_MS - FORGET_AFTER_MS - 1


@pytest.fixture
def store(dynamodb: DynamoDBLocal) -> Iterator[DynamoStore]:
    with a_table(dynamodb.endpoint) as url:
        opened = open_store(url, dynamodb_endpoint=dynamodb.endpoint)
        assert isinstance(opened, DynamoStore)
        opened.form()  # asked for once a minute
        yield opened
        opened.close()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without the pauses between them."""
    monkeypatch.setattr(botocore.retries.standard.ExponentialBackoff, "delay_amount", lambda *_: 0)


def _orphan() -> UnmatchedAck:
    return UnmatchedAck(
        machine_id="cab-01",
        credit_id="credit-9",
        installation="a" * 32,
        state="done",
        delivered=2,
        uncertain=0,
        at_ms=NOW_MS,
    )


def _move_all(store: DynamoStore) -> None:
    order = funded(new_order("o-1"), "pi_1", "credit-1")
    store.move(step(order, seen="evt_1", alerts=(an_alert("a-1"), an_alert("a-2"))))


UNPAID = new_order("o-9", stage="abandoned", payment_intent="pi_9")
BEGUN = alerts.condition("unsellable", "cab-01", "no price", NOW_MS)
OVER = alerts.ended(BEGUN, NOW_MS + 5)
ACKED = alerts.acknowledged(an_alert("a-1"), "ana", NOW_MS)


# Every call that writes, prepared so that there is something to be done, and what it answers then.
MUTATING: dict[str, tuple[Call, Call, object]] = {
    "move, a new order": (lambda _: None, lambda s: s.move(step(new_order("o-1"), seen="evt_1")), None),
    "move, a step": (lambda s: s.move(step(new_order("o-1"))), _move_all, None),
    "postpone": (lambda s: s.move(step(new_order("o-1", due_at_ms=5))), lambda s: s.postpone("o-1", 9), None),
    "note_seen": (lambda _: None, lambda s: s.note_seen("evt_1", NOW_MS), True),
    "put_machine": (lambda _: None, lambda s: s.put_machine(Machine(machine_id="cab-01", version=1), 0), None),
    "put_machine, again": (
        lambda s: s.put_machine(Machine(machine_id="cab-01", version=1), 0),
        lambda s: s.put_machine(Machine(machine_id="cab-01", version=2), 1),
        None,
    ),
    "put_presence": (lambda _: None, lambda s: s.put_presence(Presence(machine_id="cab-01", version=1), 0), None),
    "raise_alert": (lambda _: None, lambda s: s.raise_alert(an_alert("a-1")), True),
    "raise_alert, a condition": (lambda _: None, lambda s: s.raise_alert(BEGUN), True),
    "change_alert": (
        lambda s: s.raise_alert(an_alert("a-1")),
        lambda s: s.change_alert(an_alert("a-1"), ACKED),
        None,
    ),
    "change_alert, an end": (
        lambda s: s.raise_alert(BEGUN),
        lambda s: s.change_alert(BEGUN, OVER, alerts.recovery(OVER, "over")),
        None,
    ),
    "mark_alert_sent": (lambda s: s.raise_alert(an_alert("a-1")), lambda s: s.mark_alert_sent("a-1"), None),
    "note_unmatched_ack": (lambda _: None, lambda s: s.note_unmatched_ack(_orphan()), True),
    "note_echo, another": (lambda s: s.note_echo(5), lambda s: s.note_echo(6), None),
    "note_webhook_accepted": (lambda _: None, lambda s: s.note_webhook_accepted(5), None),
    "note_webhooks_refused": (lambda _: None, lambda s: s.note_webhooks_refused(2, 5, "why"), None),
    "forget_echoes": (lambda s: s.note_echo(9), lambda s: s.forget_echoes(5), None),
    "note_reconciled": (lambda _: None, lambda s: s.note_reconciled(6), None),
    "forget": (lambda s: s.move(step(UNPAID)), lambda s: s.forget(UNPAID), None),
    "prune": (lambda s: s.note_seen("evt_old", OLD_MS), lambda s: s.prune(NOW_MS), 1),
}
READING: tuple[Call, ...] = (
    lambda s: s.order("o-1"),
    lambda s: s.order_of_payment("pi_1"),
    lambda s: s.order_of_credit("credit-1"),
    lambda s: s.due_orders(NOW_MS * 2, 10),
    lambda s: s.next_due_ms(),
    lambda s: s.history("o-1"),
    lambda s: s.recent_orders(10),
    lambda s: s.recent_orders(10, machine_id="cab-01"),
    lambda s: s.is_seen("evt_1"),
    lambda s: s.machine("cab-01"),
    lambda s: s.machines(),
    lambda s: s.presence("cab-01"),
    lambda s: s.unsent_alerts(10),
    lambda s: s.recent_alerts(10),
    lambda s: s.standing_alerts(10),
    lambda s: s.alert("a-1"),
    lambda s: s.lasting_alert("unsellable", "cab-01"),
    lambda s: s.unmatched_acks(10),
    lambda s: s.heard_echo_ms(),
    lambda s: s.hearing(),
    lambda s: s.webhooks(),
    lambda s: s.due_presences(NOW_MS * 2, 10),
    lambda s: s.reconciled_ms(),
)


def _everything(store: DynamoStore) -> list[object]:
    return [read(store) for read in READING]


def _raw(store: DynamoStore) -> list[dict[str, Any]]:
    """All items, as no call of the store would read them."""
    found: list[dict[str, Any]] = []
    for page in store.table.client.get_paginator("scan").paginate(TableName=store.table.name):
        found += page["Items"]
    return found


def _answer(status: int, body: dict[str, Any]) -> AWSResponse:
    class Raw:
        def stream(self, *_: object, **__: object) -> Iterator[bytes]:
            yield json.dumps(body).encode()

    return AWSResponse("http://stand-in", status, {"content-type": "application/x-amz-json-1.0"}, Raw())


def _fault(code: str, status: int = 400, **more: object) -> AWSResponse:
    return _answer(
        status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "by the test", **more}
    )


def _cancelled(*codes: str) -> AWSResponse:
    reasons = [{"Code": code, "Message": "by the test"} for code in codes]
    return _fault("TransactionCanceledException", CancellationReasons=reasons)


def _answering(store: DynamoStore, *answers: AWSResponse, forever: bool = False) -> list[bytes]:
    """Give these answers to the next requests, which do not arrive; the bodies of all requests from now on."""
    waiting = collections.deque(answers)
    bodies: list[bytes] = []

    def answer(request: Any, **_: object) -> AWSResponse | None:
        bodies.append(request.body)
        if forever:
            return waiting[0]
        return waiting.popleft() if waiting else None

    store.table.client.meta.events.register("before-send.dynamodb.*", answer)
    return bodies


def _losing_answers(store: DynamoStore, count: int) -> list[int]:
    """The next `count` writes arrive and are carried out, but their answers never come back."""
    lost: list[int] = []

    def lose(request: Any, event_name: str, **_: object) -> None:
        if len(lost) < count and event_name.rsplit(".", 1)[1] in WRITES:
            lost.append(store.table.client._endpoint.http_session.send(request).status_code)
            raise ReadTimeoutError(endpoint_url=request.url)

    store.table.client.meta.events.register("before-send.dynamodb.*", lose)
    return lost


# one write, no scan


@pytest.mark.parametrize("name", MUTATING)
def test_a_call_that_changes_something_is_one_write_and_reads_at_most_an_index(
    store: DynamoStore, name: str
) -> None:
    prepare, call, result = MUTATING[name]
    prepare(store)
    asked = requests_of(store)
    assert call(store) == result
    ((operation, arguments),) = [(operation, given) for operation, given in asked if operation in WRITES]
    assert arguments["ClientRequestToken" if operation == "TransactWriteItems" else "ConditionExpression"]
    # An alert is read before it is changed: whether it has been sent decides how long it is kept.
    looks = {"prune": {"Query"}, "forget": {"Query"}}
    reads = looks.get(name, {"GetItem"} if name.startswith("change_alert") else set())
    assert {operation for operation, _ in asked} - WRITES == reads


def test_nothing_scans_and_what_is_read_from_the_table_is_read_consistently(store: DynamoStore) -> None:
    store.move(step(new_order("o-1")))
    _move_all(store)
    store.put_machine(Machine(machine_id="cab-01", version=1), 0)
    asked = requests_of(store)
    _everything(store)
    assert {operation for operation, _ in asked} == {"GetItem", "BatchGetItem", "Query"}
    for operation, arguments in asked:
        if operation == "BatchGetItem":
            assert arguments["RequestItems"][store.table.name]["ConsistentRead"]
        else:
            assert bool(arguments.get("ConsistentRead")) != ("IndexName" in arguments)


def test_importing_the_store_does_not_import_boto3() -> None:
    """The import takes a tenth of a second, and an installation on SQLite may not have it."""
    code = "import sys, arcade_cloud.bootstrap\n"
    code += "from arcade_cloud.adapters.store.dynamodb import store, table\n"
    code += "assert not {'boto3', 'botocore'} & set(sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_opening_reaches_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance on Lambda starts without a round trip; nobody listens on this port."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    opened = open_store("dynamodb://table?region=us-east-1", dynamodb_endpoint="http://127.0.0.1:9")
    opened.close()


# what is repeated


@pytest.mark.parametrize("name", MUTATING)
@pytest.mark.usefixtures("at_once")
def test_a_write_whose_answer_is_lost_is_repeated_and_done_once(store: DynamoStore, name: str) -> None:
    prepare, call, result = MUTATING[name]
    prepare(store)
    lost = _losing_answers(store, 1)
    assert call(store) == result
    assert lost == [200]
    once = _everything(store)
    order = store.order("o-1")
    if order is not None:
        assert [entry.version for entry in store.history("o-1")] == list(range(1, order.version + 1))
    if result is True:
        assert call(store) is False
        assert _everything(store) == once


@pytest.mark.usefixtures("at_once")
def test_without_any_answer_nobody_knows_and_the_event_may_come_again(store: DynamoStore) -> None:
    store.move(step(new_order("o-1")))
    lost = _losing_answers(store, 3)
    second = step(next_version(new_order("o-1")), seen="evt_1")
    with pytest.raises(StoreUnavailable, match="nobody knows whether it was stored"):
        store.move(second)
    assert lost == [200, 200, 200]
    assert [entry.version for entry in store.history("o-1")] == [1, 2]
    with pytest.raises(AlreadySeen):
        store.move(second)


@pytest.mark.usefixtures("at_once")
def test_a_conflict_stays_one_where_the_first_answer_was_lost(store: DynamoStore) -> None:
    """What was refused is refused again: only a process's own write counts as done."""
    store.put_machine(Machine(machine_id="cab-01", version=1, name="the other's"), 0)
    store.move(step(new_order("o-1")))
    lost = _losing_answers(store, 2)
    with pytest.raises(Conflict):
        store.put_machine(Machine(machine_id="cab-01", version=1), 0)
    with pytest.raises(Conflict):
        store.move(step(new_order("o-1")))
    assert lost == [400, 400]


@pytest.mark.parametrize(
    "fault",
    [
        _fault("ProvisionedThroughputExceededException"),
        _fault("ThrottlingException"),
        _fault("RequestLimitExceeded"),
        _fault("TransactionInProgressException"),
        _fault("InternalServerError", 500),
        _fault("ServiceUnavailable", 503),
        _cancelled("TransactionConflict", "None"),
        _cancelled("None", "ThrottlingError"),
        _cancelled("ProvisionedThroughputExceeded", "None"),
        _cancelled("TransactionConflict", "ConditionalCheckFailed"),
        _fault("TransactionConflictException"),
    ],
    ids=lambda fault: json.loads(b"".join(fault.raw.stream()))["__type"].partition("#")[2],
)
@pytest.mark.usefixtures("at_once")
def test_what_will_pass_is_repeated_with_the_same_token_and_in_the_end_unavailable(
    store: DynamoStore, fault: AWSResponse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = _answering(store, fault, fault)
    store.move(step(new_order("o-1")))
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    monkeypatch.setattr(dynamodb_client, "BUSY_S", 0.05)
    _answering(store, fault, forever=True)
    with pytest.raises(StoreUnavailable, match=store.table.name):
        store.move(step(next_version(new_order("o-1"))))
    with pytest.raises(StoreUnavailable):
        store.put_machine(Machine(machine_id="cab-01", version=1), 0)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (_fault("ResourceNotFoundException"), "arcade-cloud table create"),
        (_fault("AccessDeniedException"), "credentials"),
        (_fault("UnrecognizedClientException"), "credentials"),
        (_fault("ExpiredTokenException"), "credentials"),
        (_fault("SomethingNewException"), "SomethingNewException"),
        (_fault("ValidationException", message="The table does not have the specified index: waiting"), "another"),
    ],
)
def test_what_will_not_pass_is_said_at_once(store: DynamoStore, fault: AWSResponse, word: str) -> None:
    bodies = _answering(store, fault, forever=True)
    for call in (lambda: store.due_orders(NOW_MS, 1), lambda: store.move(step(new_order("o-1")))):
        with pytest.raises(StoreUnavailable, match=word):
            call()
    assert len(bodies) == 2


def test_a_table_that_is_missing_and_a_host_that_is_down_are_named(dynamodb: DynamoDBLocal) -> None:
    missing = open_store("dynamodb://nobody-made-it?region=us-east-1", dynamodb_endpoint=dynamodb.endpoint)
    with pytest.raises(StoreUnavailable, match="nobody-made-it: there is no such table"):
        missing.order("o-1")
    missing.close()


@pytest.mark.usefixtures("at_once")
def test_a_host_that_is_down_is_unavailable(monkeypatch: pytest.MonkeyPatch, dynamodb: DynamoDBLocal) -> None:
    down = open_store("dynamodb://table?region=us-east-1", dynamodb_endpoint="http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        down.order("o-1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    penniless = open_store("dynamodb://table?region=us-east-1", dynamodb_endpoint=dynamodb.endpoint)
    with pytest.raises(StoreUnavailable, match="AWS_ACCESS_KEY_ID"):
        penniless.order("o-1")


def test_without_boto3_or_a_region_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(StoreUnavailable, match=r"\?region="):
        open_store("dynamodb://table")
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'arcade-cloud\[dynamodb\]'"):
        open_store("dynamodb://table?region=us-east-1")


@pytest.mark.parametrize("url", ["dynamodb://", "dynamodb://ab", "dynamodb://table?regio=x", "dynamodb://a/b/c"])
def test_an_address_that_names_no_table_is_refused(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="must be dynamodb://table"):
        open_store(url)


# indexes that lag behind


def _freeze_indexes(store: DynamoStore) -> None:
    """From now on the indexes answer every question as they did the first time, or as they would now."""
    first: dict[str, Any] = {}

    def replay(parsed: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        question = json.dumps(context["asked"], sort_keys=True)
        if "IndexName" in context["asked"]:
            parsed["Items"] = first.setdefault(question, parsed["Items"])

    def note(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context["asked"] = params

    events = store.table.client.meta.events
    events.register("provide-client-params.dynamodb.Query", note)
    events.register("after-call.dynamodb.Query", replay)


def test_a_late_index_sends_no_alert_twice(store: DynamoStore) -> None:
    store.raise_alert(an_alert("a-1", 1))
    store.raise_alert(an_alert("a-2", 2))
    _freeze_indexes(store)
    assert [alert.alert_id for alert in store.unsent_alerts(10)] == ["a-1", "a-2"]
    store.mark_alert_sent("a-1")
    assert [alert.alert_id for alert in store.unsent_alerts(10)] == ["a-2"]


def test_a_late_index_lists_orders_as_they_are_now(store: DynamoStore) -> None:
    store.move(step(new_order("o-1")))
    _freeze_indexes(store)
    store.recent_orders(10)
    store.move(step(next_version(new_order("o-1"))))
    assert [order.version for order in store.recent_orders(10)] == [2]


def test_a_late_index_lists_no_alert_that_is_over(store: DynamoStore) -> None:
    store.raise_alert(an_alert("a-1"))
    _freeze_indexes(store)
    assert store.standing_alerts(10) == [an_alert("a-1")]
    store.change_alert(an_alert("a-1"), ACKED)
    assert store.standing_alerts(10) == []


def test_an_alert_that_is_sent_while_it_is_changed_is_marked_as_sent_and_changed(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.raise_alert(an_alert("a-1"))
    real = store.table.transact

    def raced(writes: list[Any]) -> None:
        monkeypatch.setattr(store.table, "transact", real)
        store.mark_alert_sent("a-1")
        real(writes)

    monkeypatch.setattr(store.table, "transact", raced)
    with pytest.raises(Conflict):
        store.change_alert(an_alert("a-1"), ACKED)
    store.change_alert(an_alert("a-1"), ACKED)
    assert store.alert("a-1") == ACKED
    assert store.unsent_alerts(10) == []
    (item,) = [item for item in _raw(store) if item["pk"]["S"] == "alert#a-1"]
    assert item["waits_in"]["S"].startswith("sent#")
    assert item["expires_at"] == item["forget_at"]


def test_a_late_index_makes_nobody_forget_what_is_young(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alert of an old id was forgotten, and the same id is raised anew before the index shows it."""
    store.raise_alert(an_alert("a-1", OLD_MS))
    store.raise_alert(an_alert("a-2", OLD_MS))
    for name in ("a-1", "a-2"):
        found = an_alert(name, OLD_MS)
        store.change_alert(found, alerts.acknowledged(found, "ana", OLD_MS))
        store.mark_alert_sent(name)
    shown = store._waiting("sent", NOW_MS - FORGET_AFTER_MS, 10)
    assert store.prune(NOW_MS) == 2
    store.raise_alert(an_alert("a-1", NOW_MS))
    with monkeypatch.context() as patch:
        patch.setattr(store, "_waiting_in", lambda shard, *_: shown if shard == "sent#0" else [])
        assert store.prune(NOW_MS) == 0
    assert store.unsent_alerts(10) == [an_alert("a-1", NOW_MS)]


def test_pruning_goes_on_beside_another_that_prunes(store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dynamodb_items.SHARDS, "seen", 1)
    monkeypatch.setattr(dynamodb, "_PRUNE_BATCH", 4)
    for number in range(10):
        store.note_seen(f"evt_{number}", OLD_MS)
    asked = requests_of(store)
    real = store.table.transact

    def raced(writes: list[Any]) -> None:
        if len(writes) == 4 and store.is_seen("evt_3"):
            store.table.client.delete_item(TableName=store.table.name, Key=dynamodb_items.key("seen", "evt_3"))
        real(writes)

    monkeypatch.setattr(store.table, "transact", raced)
    gone = store.prune(NOW_MS) + store.prune(NOW_MS)
    assert gone == 9
    assert not any(store.is_seen(f"evt_{number}") for number in range(10))
    assert max(len(arguments.get("TransactItems", ())) for _, arguments in asked) == 4


# spread, size, forgetting


def test_busy_records_spread_over_many_partitions(store: DynamoStore) -> None:
    """No partition of the table or of an index gets more than its share of what a busy fleet writes."""
    count = 200
    for number in range(count):
        store.move(step(new_order(f"o-{number}"), seen=f"evt_{number}", alerts=(an_alert(f"stuck:o-{number}"),)))
        store.put_machine(Machine(machine_id=f"cab-{number}", version=1), 0)
    found = _raw(store)
    for attribute in ("waits_in", "listed_in"):
        kinds = {item[attribute]["S"].partition("#")[0] for item in found if attribute in item}
        for kind in kinds - {"code"}:  # each order's code is a partition of its own
            shares = collections.Counter(
                item[attribute]["S"]
                for item in found
                if item.get(attribute, {}).get("S", "").startswith(f"{kind}#")
            )
            assert sum(shares.values()) == count
            assert len(shares) == dynamodb_items.SHARDS[kind]
            assert max(shares.values()) < 2 * count / dynamodb_items.SHARDS[kind], kind
    partitions = collections.Counter(item["pk"]["S"] for item in found)
    machines = {pk: size for pk, size in partitions.items() if pk.startswith("machines#")}
    assert max(size for pk, size in partitions.items() if pk not in machines) == 2  # an order and its history
    assert max(machines.values()) < 2 * count / dynamodb_items.SHARDS["machines"]


def test_the_lines_of_a_busy_day_spread_over_its_partitions_and_are_read_with_a_query_of_each(
    store: DynamoStore,
) -> None:
    count, shards = 200, dynamodb_items.SHARDS["takings"]
    for number in range(count):
        line = Line(
            order_id=f"o-{number}",
            number=0,
            serial=1,
            day="2026-11-26",
            at_ms=NOW_MS,
            machine_id="cab-01",
            currency="myr",
        )
        store.book((line,))
    partitions = collections.Counter(item["pk"]["S"] for item in _raw(store))
    days = {pk: size for pk, size in partitions.items() if pk.startswith("takings#")}
    assert (sum(days.values()), len(days)) == (count, shards)
    assert max(days.values()) < 2 * count / shards
    asked = requests_of(store)
    assert len(store.lines_of_day("2026-11-26")) == count
    assert [operation for operation, _ in asked] == ["Query"] * shards


def test_more_shards_may_be_made_of_those_in_use(store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    spread = dict.fromkeys(dynamodb_items.SHARDS, 3) | {"machines": dynamodb_items.SHARDS["machines"]}
    monkeypatch.setattr(dynamodb_items, "SHARDS", spread)
    for number in range(12):
        store.move(step(new_order(f"o-{number}", due_at_ms=number), alerts=(an_alert(f"a-{number}", number),)))
        store.put_machine(Machine(machine_id=f"cab-{number}", version=1), 0)
    before = _everything(store)
    monkeypatch.setattr(dynamodb_items, "SHARDS", {**dict.fromkeys(spread, 8), "machines": spread["machines"]})
    assert _everything(store) == before
    for number in range(12):
        store.move(step(next_version(new_order(f"o-{number}"), due_at_ms=None)))
        store.mark_alert_sent(f"a-{number}")
    assert store.due_orders(NOW_MS, 100) == []
    assert store.unsent_alerts(100) == []


def test_a_record_that_dynamodb_can_not_hold_is_refused_before_it_is_sent(store: DynamoStore) -> None:
    big = msgspec.structs.replace(new_order("o-1"), note="x" * dynamodb_items.MAX_RECORD_BYTES)
    asked = requests_of(store)
    for broken in (big, new_order("x" * 600), new_order("o-1", due_at_ms=-1), new_order("o-1", due_at_ms=10**16)):
        with pytest.raises(InvariantBroken):
            store.move(step(broken))
    assert asked == []
    largest = 350_000
    order = msgspec.structs.replace(new_order("o-1"), note="x" * largest)
    store.move(step(order))
    assert store.order("o-1") == order


def test_an_item_of_another_program_is_a_broken_record(store: DynamoStore) -> None:
    for key in (dynamodb_items.key("order", "o-1"), dynamodb_items.key("payment", "pi_1")):
        store.table.client.put_item(TableName=store.table.name, Item={**key, "other": {"S": "x"}})
    with pytest.raises(InvariantBroken, match="not written by this program"):
        store.order("o-1")
    with pytest.raises(InvariantBroken, match="not written by this program"):
        store.order_of_payment("pi_1")


def test_only_seen_ids_and_sent_alerts_are_ever_forgotten_by_themselves(store: DynamoStore) -> None:
    """A claim, an order or an alert that nobody has read must outlive everything; a second is DynamoDB's unit."""
    _move_all_kinds(store)
    forgotten = {item["pk"]["S"]: int(item["expires_at"]["N"]) for item in _raw(store) if "expires_at" in item}
    assert set(forgotten) == {"seen#evt_1", "seen#evt_2", "alert#a-1", "alert#a-3", f"alert#{BEGUN.alert_id}"}
    assert forgotten.pop(f"alert#{BEGUN.alert_id}") > 4 * 10**9  # in a hundred years
    unread = forgotten.pop("alert#a-3")
    assert NOW_MS + FORGET_STANDING_AFTER_MS < unread * 1000 <= NOW_MS + FORGET_STANDING_AFTER_MS + 3_000
    for expires_at in forgotten.values():
        assert NOW_MS + FORGET_AFTER_MS < expires_at * 1000 <= NOW_MS + FORGET_AFTER_MS + 3_000


def _move_all_kinds(store: DynamoStore) -> None:
    store.move(step(new_order("o-1"), alerts=(an_alert("a-1"), an_alert("a-2"))))
    store.move(step(funded(new_order("o-1"), "pi_1", "credit-1"), seen="evt_1"))
    store.note_seen("evt_2", NOW_MS)
    store.put_machine(Machine(machine_id="cab-01", version=1), 0)
    store.put_presence(Presence(machine_id="cab-01", version=1), 0)
    store.note_unmatched_ack(_orphan())
    store.note_echo(1)
    store.note_reconciled(2)
    store.change_alert(an_alert("a-1"), ACKED)
    store.raise_alert(an_alert("a-3"))
    store.raise_alert(BEGUN)
    for alert_id in ("a-1", "a-3", BEGUN.alert_id):
        store.mark_alert_sent(alert_id)


# long lists


def test_long_lists_are_read_page_by_page(store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb_client, "_PAGE", 2)
    monkeypatch.setattr(dynamodb_client, "_MOST_KEYS", 3)
    order = new_order("o-00", due_at_ms=0, created_at_ms=0)
    store.move(step(order))
    for _ in range(6):
        order = next_version(order)
        store.move(step(order))
    for number in range(1, 40):
        store.move(step(new_order(f"o-{number:02}", due_at_ms=number, created_at_ms=number)))
    ids = [f"o-{number:02}" for number in range(40)]
    assert store.due_orders(100, 100) == ids
    assert store.due_orders(100, 7) == ids[:7]
    assert [found.order_id for found in store.recent_orders(100)] == ids[::-1]
    assert [found.order_id for found in store.recent_orders(100, machine_id="cab-01")] == ids[::-1]
    assert [entry.version for entry in store.history("o-00")] == list(range(1, 8))


def test_records_that_are_not_handed_out_at_once_are_asked_for_again(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB hands out 16 MB at most, and less while it is busy."""
    for number in range(6):
        store.move(step(new_order(f"o-{number}", created_at_ms=number)))
    asked = requests_of(store)
    withheld: list[object] = []

    def withhold(parsed: dict[str, Any], **_: object) -> None:
        found = parsed["Responses"][store.table.name]
        if len(withheld) < 2:
            late = [{"pk": item["pk"], "sk": item["sk"]} for item in found[2:]]
            parsed["Responses"][store.table.name] = found[:2]
            parsed["UnprocessedKeys"] = {store.table.name: {"Keys": late, "ConsistentRead": True}}
            withheld.append(late)

    store.table.client.meta.events.register("after-call.dynamodb.BatchGetItem", withhold)
    assert [order.order_id for order in store.recent_orders(10)] == [
        f"o-{number}" for number in reversed(range(6))
    ]
    assert [operation for operation, _ in asked].count("BatchGetItem") == 3
    withheld.clear()
    monkeypatch.setattr(dynamodb_client, "BUSY_S", 0)
    with pytest.raises(StoreUnavailable, match="throttling"):
        store.recent_orders(10)
