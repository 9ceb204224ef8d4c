"""Orders as version 0.1 stored them: each is read for what it says, and written again as it was.

The records come from the simulation of that version (`tests/fixtures/0.1/README.md`): every combination of state,
kind and end, and every field of the record, in each state in which it was ever set.
"""

from typing import Any, get_args

import msgspec
import pytest

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.form_1 import FlatOrder
from arcade_cloud.adapters.store.forms import FORM_1, FORM_2, FORMS, Forms
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Draw, Order, ResolvedBy, State, credit_id_of
from arcade_cloud.errors import FormTooNew, InvariantBroken
from support.order_records import funded, new_order
from support.orders import only_payment
from support.version_0_1 import LEFT


class Line(msgspec.Struct):
    """One record, and the code that 0.1 showed the player for it."""

    code: str
    record: msgspec.Raw


LINES = [msgspec.json.decode(line, type=Line) for line in (LEFT / "orders.jsonl").read_bytes().splitlines()]
FIELDS = [msgspec.json.decode(line.record) for line in LINES]
every_record = pytest.mark.parametrize(
    "line",
    LINES,
    ids=[f"{number}-{said['state']}-{said['kind']}" for number, said in enumerate(FIELDS)],
)


def read(line: Line) -> tuple[dict[str, Any], Order]:
    """What the record says, and the order that it is taken for, checked as a store does."""
    record = bytes(line.record)
    said = msgspec.json.decode(record)
    return said, records.order(record, said["order_id"], FORMS)


@every_record
def test_a_record_is_read_for_what_it_says(line: Line) -> None:
    said, order = read(line)
    assert order.state == said["state"]
    assert order.due_at_ms == said["due_at_ms"]
    assert order.code == line.code
    assert order.machine_id == said["machine_id"]
    assert order.machine_ids == (said["machine_id"],)
    assert order.version == said["version"]
    assert order.payment_intent == said["payment_intent"]
    assert order.delivered == said["delivered"]
    assert order.books.target_minor == said["target_minor"]


@every_record
def test_its_credit_keeps_the_id_that_it_had_or_was_to_have(line: Line) -> None:
    said, order = read(line)
    (credit,) = order.credits
    assert order.credit_ids == (() if said["credit_id"] is None else (said["credit_id"],))
    if said["credit_id"] is not None:
        assert credit_id_of(order, credit) == said["credit_id"]


# What 0.1 wrote and never read, in an order and in its payment, and what it says where nothing was ever written.
NEVER_READ = {"money_gone": False}
NEVER_READ_OF_PAYMENT = {"refunds": 0, "order_id": None}


@every_record
def test_a_record_is_written_again_byte_for_byte(line: Line) -> None:
    """Except what nothing ever read."""
    said, order = read(line)
    assert msgspec.json.encode(said) == bytes(line.record)
    said |= NEVER_READ
    if said["payment"] is not None:
        said["payment"] |= NEVER_READ_OF_PAYMENT
    assert FORMS.write(order, 1) == msgspec.json.encode(said)


@every_record
def test_the_newest_form_holds_all_that_was_in_it(line: Line) -> None:
    _, order = read(line)
    newest = FORMS.write(order, FORMS.newest)
    assert records.order(newest, order.order_id, FORMS) == order
    assert FORMS.write(records.order(newest, order.order_id, FORMS), 1) == FORMS.write(order, 1)


def paid_with(last4: str | None) -> Order:
    """An order that Stripe shows as paid with a card that ends so."""
    order = funded(new_order("o-1"), "pi_1")
    payment = only_payment(order)
    shown = Payment(
        payment_intent="pi_1",
        status="requires_capture",
        amount_minor=300,
        currency="myr",
        last4=last4,
        lost_minor=20,
    )
    return msgspec.structs.replace(order, payment=msgspec.structs.replace(payment, shown=shown))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("last4", ["4242", "0005", None])
def test_the_last_four_digits_are_kept_in_every_form(number: int, last4: str | None) -> None:
    order = paid_with(last4)
    again = records.order(FORMS.write(order, number), "o-1", FORMS)
    assert again == order
    assert again.last4 == last4


@pytest.mark.parametrize(
    "text", ["ord_1", "1234", "last4=", "last4=123", "last4=12345", "last4=12a4", "last4=١٢٣٤", ""]
)
def test_an_id_of_0_1_is_not_taken_for_digits(text: str) -> None:
    said = msgspec.json.decode(FORMS.write(paid_with("4242"), 1))
    said["payment"]["order_id"] = text
    assert records.order(msgspec.json.encode(said), "o-1", FORMS) == paid_with(None)


def test_the_records_show_every_state_and_end_and_every_field() -> None:
    """A new version of the file must not lose any of it."""
    assert {said["state"] for said in FIELDS} == set(get_args(State))
    assert {said["kind"] for said in FIELDS} == {"checkout", "link", "grant", "stray"}
    assert {said["resolved_by"] for said in FIELDS} == {"", *get_args(ResolvedBy)}
    assert {said["last_outcome"] for said in FIELDS} >= {"", "sending", "confirmed", "refused", "unknown"}
    usual = {field.name: field.default for field in msgspec.structs.fields(FlatOrder)}
    assert {name for name in usual if all(said[name] == usual[name] for said in FIELDS)} == set()
    assert {said["settle_key"].split(":")[0] for said in FIELDS} == {
        "",
        "capture",
        "capture-all",
        "cancel",
        "refund",
    }


def test_a_program_that_knows_no_other_form_reads_the_newest_one_not_at_all() -> None:
    """Version 0.1 knows nothing of forms. This is what a program says that does."""
    order = new_order("o-1")
    with pytest.raises(FormTooNew, match=r"order o-1 has form 2.* forms up to 1: install the newer version"):
        Forms(FORM_1).read(FORM_2.write(order), "order o-1")


@pytest.mark.parametrize(
    "record",
    [
        b'{"form":2,"order":{},"more":1}',
        b'{"form":2}',
        b'{"form":0,"order":{}}',
        b'{"form":-1}',
        b'{"form":"2"}',
        b'{"form":null}',
        b'{"form":1,"order_id":"o-1"}',
        b"{}",
        b"[]",
        b"",
        b"\xff",
    ],
)
def test_what_is_no_record_of_any_form_is_broken(record: bytes) -> None:
    with pytest.raises(InvariantBroken, match="order o-1"):
        records.order(record, "o-1", FORMS)


def _line(**wanted: Any) -> dict[str, Any]:
    """The first record that says so."""
    return next(said for said in FIELDS if wanted.items() <= said.items())


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        ({"state": "settled", "kind": "checkout", "resolved_by": "ack"}, {"state": "resolved", "due_at_ms": None}),
        ({"state": "open"}, {"state": "resolved"}),
        ({"state": "open"}, {"delivered": 1, "resolved_by": "ack", "resolved_at_ms": 1, "paid_at_ms": 1}),
        ({"state": "open"}, {"publishes": 1}),
        ({"state": "funded"}, {"paid_at_ms": None}),
        ({"state": "funded"}, {"state": "revoking", "revoking_since_ms": None}),
        ({"state": "revoking"}, {"state": "funded"}),
        ({"state": "settled", "resolved_by": "ack"}, {"resolved_by": ""}),
        ({"state": "settled", "resolved_by": "ack"}, {"resolved_at_ms": None}),
        ({"state": "settled", "resolved_by": "ack"}, {"delivered": None}),
        ({"kind": "grant", "state": "settled"}, {"payment_intent": "pi_of_somebody"}),
        ({"kind": "grant", "state": "settled"}, {"amount_minor": 100}),
        ({"kind": "checkout", "state": "funded"}, {"kind": "grant"}),
    ],
)
def test_a_record_whose_fields_contradict_each_other_is_refused(
    wanted: dict[str, Any], changes: dict[str, Any]
) -> None:
    """State and due time follow from an order's parts, so a record that says otherwise must not pass for one."""
    said = _line(**wanted)
    assert records.order(msgspec.json.encode(said), said["order_id"], FORMS).state == said["state"]
    with pytest.raises(InvariantBroken, match=said["order_id"]):
        records.order(msgspec.json.encode({**said, **changes}), said["order_id"], FORMS)


@pytest.mark.parametrize(
    "changes", [{"draw": Draw(token="later", at_ms=1)}, {"price_minor": 1}, {"count": 2, "price_minor": 99}]
)
def test_an_order_that_form_1_cannot_hold_is_not_written_in_it(changes: dict[str, Any]) -> None:
    order = new_order("o-1")
    (credit,) = order.credits
    with pytest.raises(InvariantBroken, match="form 1"):
        FORM_1.write(msgspec.structs.replace(order, credits=(msgspec.structs.replace(credit, **changes),)))
