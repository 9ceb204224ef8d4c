"""What other software is told of an order, how it is signed, and where nothing is sent."""

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
import stripe

from arcade_cloud.domain import outbox
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Command, Resolution
from arcade_cloud.domain.outbox import AGAIN_S, GIVE_UP_MS, Endpoint
from arcade_cloud.errors import BadRequest
from support.orders import NOW_MS, an_order, changed

VECTORS = json.loads((Path(__file__).parents[2] / "fixtures" / "outgoing_webhooks.json").read_text())


def funded(**fields: Any) -> Any:
    shown = Payment(payment_intent="pi_1", status="requires_capture", amount_minor=300, currency="myr")
    command = Command(credit_id="c-1", installation="a" * 32, expires_at_ms=NOW_MS)
    values = {"payment_intent": "pi_1", "shown": shown, "command": command, "drawn_at_ms": NOW_MS, **fields}
    return changed(an_order(due_at_ms=None), **values)


def settled(order: Any, received: int, refunded: int = 0, status: str = "succeeded", **fields: Any) -> Any:
    shown = Payment(
        payment_intent="pi_1",
        status=status,  # type: ignore[arg-type]
        amount_minor=300,
        currency="myr",
        received_minor=received,
        refunded_minor=refunded,
    )
    return changed(order, shown=shown, done=True, target_minor=received - refunded, **fields)


def resolved(order: Any, delivered: int) -> Any:
    return changed(order, resolution=Resolution(delivered=delivered, by="ack", at_ms=NOW_MS))


# what is told


def test_a_play_is_told_once_when_it_is_known_what_was_delivered() -> None:
    before, after = funded(), resolved(funded(), 2)
    (event,) = outbox.of_step(before, after, NOW_MS)
    assert (event.type, event.at_ms) == ("play.delivered", NOW_MS)
    assert event.data == {
        "orderId": "ord_1",
        "code": after.code,
        "machineId": "cab-01",
        "creditId": "c-1",
        "credits": 3,
        "delivered": 2,
        "currency": "MYR",
        "amount": "2.00",
    }
    assert outbox.of_step(after, settled(after, 300), NOW_MS) == []
    assert outbox.of_step(before, resolved(before, 2), NOW_MS + 9)[0].event_id == event.event_id


def test_nothing_delivered_is_no_play() -> None:
    assert outbox.of_step(funded(), resolved(funded(), 0), NOW_MS) == []


@pytest.mark.parametrize(
    ("received", "refunded", "status", "told"),
    [
        (300, 0, "succeeded", None),
        (200, 0, "succeeded", "1.00"),
        (300, 100, "succeeded", "1.00"),
        (0, 0, "canceled", "3.00"),
        (300, 300, "succeeded", "3.00"),
    ],
)
def test_a_refund_is_told_whether_it_was_released_or_given_back(
    received: int, refunded: int, status: str, told: str | None
) -> None:
    before = resolved(funded(), 3)
    events = outbox.of_step(before, settled(before, received, refunded, status), NOW_MS)
    assert [event.data["refunded"] for event in events] == ([] if told is None else [told])
    for event in events:
        assert (event.type, event.data["paid"]) == ("order.refunded", "3.00")
        assert float(str(event.data["kept"])) + float(str(event.data["refunded"])) == 3.0


def test_a_second_refund_is_another_event_and_the_same_sum_is_the_same_one() -> None:
    before = resolved(funded(), 3)
    first, second, third = (
        outbox.of_step(before, settled(before, 300, refunded), NOW_MS)[0].event_id for refunded in (100, 200, 100)
    )
    assert first == third != second


def test_what_a_dispute_took_is_no_refund() -> None:
    before = resolved(funded(), 3)
    after = settled(before, 300, lost_minor=300)
    assert outbox.of_step(before, after, NOW_MS) == []


def test_a_free_credit_has_no_price() -> None:
    grant = changed(an_order(kind="grant", due_at_ms=None), drawn_at_ms=NOW_MS)
    (event,) = outbox.of_step(grant, resolved(grant, 3), NOW_MS)
    assert (event.data["currency"], event.data["amount"]) == (None, None)


def test_each_endpoint_gets_what_it_wants() -> None:
    events = outbox.of_step(funded(), resolved(funded(), 2), NOW_MS)
    wants, other = (
        Endpoint(endpoint_id=name, url="https://a.example", events=wanted, created_at_ms=0)
        for name, wanted in (("we_1", ("play.delivered", "machine.offline")), ("we_2", ("order.refunded",)))
    )
    (posting,) = outbox.postings(events, [wants, other], "https://play.example")
    assert (posting.endpoint_id, posting.due_at_ms, posting.since_ms) == ("we_1", NOW_MS, NOW_MS)
    body = json.loads(posting.body)
    assert list(body) == ["id", "type", "created", "site", "data"]
    assert (body["id"], body["data"]) == (events[0].event_id, events[0].data)


def test_there_is_a_bound_on_what_one_step_stores() -> None:
    events = outbox.of_step(funded(), resolved(funded(), 2), NOW_MS) * 50
    endpoint = Endpoint(endpoint_id="we_1", url="https://a.example", events=("play.delivered",), created_at_ms=0)
    assert len(outbox.postings(events, [endpoint], "")) == outbox.POSTINGS_AT_MOST


# the life of a posting


def test_tries_come_later_and_later_and_end_after_a_day() -> None:
    event = outbox.machine_offline("machine_silent:cab-01", "cab-01", "Tetris", NOW_MS - 1, NOW_MS)
    posting = outbox.new_posting(event, "we_1", "")
    now_ms, waits = NOW_MS + GIVE_UP_MS, []  # the cloud was down all day: that counts for nothing
    while not outbox.is_hopeless(posting := outbox.failed(outbox.trying(posting, now_ms), "…"), now_ms):
        assert posting.due_at_ms is not None
        waits.append((posting.due_at_ms - now_ms) // 1000)
        now_ms = posting.due_at_ms
    assert waits[: len(AGAIN_S)] == list(AGAIN_S)
    assert set(waits[len(AGAIN_S) :]) == {AGAIN_S[-1]}
    assert 24 * 3600 <= sum(waits) < 25 * 3600
    assert outbox.again(outbox.given_up(posting, now_ms), now_ms + 5).due_at_ms == now_ms + 5


# signatures


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["endpoint"])
def test_signatures_are_as_openssl_computes_them(vector: dict[str, Any]) -> None:
    (secret,) = Keyring([vector["signingSecret"]]).of_endpoint(vector["endpoint"])
    assert secret == vector["secret"]
    assert outbox.signature([secret], vector["body"].encode(), vector["timestamp"]) == vector["header"]


def test_a_receiver_can_verify_as_it_does_stripes() -> None:
    """Any library of Stripe's checks the header, with the secret of either signing secret while one is rotated."""
    secrets = Keyring(["new" * 20, "old" * 20]).of_endpoint("we_1")
    body = '{"id":"evt_1"}'
    header = outbox.signature(secrets, body.encode(), 1_790_000_000)
    for secret in secrets:
        assert stripe.WebhookSignature.verify_header(body, header, secret, None)
    for wrong in (body + " ", '{"id":"evt_2"}'):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(wrong, header, secrets[0], None)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body, header, Keyring(["new" * 20]).of_endpoint("we_2")[0], None)
    with pytest.raises(stripe.SignatureVerificationError):  # the time is signed, and an old one can be told
        stripe.WebhookSignature.verify_header(body, header.replace("t=179", "t=279"), secrets[0], None)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body, header, secrets[0], 300)


# addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hook?token=1",
        "https://shop.example:8443",
        "https://192.168.1.20/hook",
        "https://[fd12::1]/hook",
        "http://localhost:8000/hook",
        "http://127.0.0.1/",
        "http://[::1]:8000/",
    ],
)
def test_an_address_that_may_be(url: str) -> None:
    assert outbox.checked_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example/hook",
        "http://shop.example/hook",
        "http://192.168.1.20/hook",
        "http://localhost.example/",
        "ftp://shop.example/",
        "https://",
        "https:///path",
        "https://user:password@shop.example/",
        "https://shop.example/#part",
        "https://shop.example:99999/",
        "https://shop.example:0/",
        "https://shop.example/a b",
        "https://shop.example/\r\nHost: other",
        "https://bücher.example/",
        "https://[::1/",
        "https://shop.example\\@169.254.169.254/",
        "https://169.254.169.254%2f@shop.example/",
        "HTTPS://shop.example/",
        "https://shop.example/" + "a" * 500,
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/",
        "https://[fd20:ce::254]/",
        "https://100.100.100.200/",
        "https://168.63.129.16/",
        "https://192.0.0.192/",
        "https://2852039166/",
        "https://0xA9FEA9FE/",
        "https://0251.0376.0251.0376./",
        "https://169.254.43518/",
        "https://shop.0x7f/",
        "https://[::1.2]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:a9fe:a9fe::]/",
        "https://0.0.0.0/",
        "https://[::]/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
    ],
)
def test_an_address_that_may_not_be(url: str) -> None:
    with pytest.raises(BadRequest) as refused:
        outbox.checked_url(url)
    assert "user:password" not in str(refused.value)  # the audit log keeps the text


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "::1", "fd12::1", "8.8.8.8"]
)
def test_addresses_of_hosts_are_not_refused(text: str) -> None:
    assert outbox.why_refused(ipaddress.ip_address(text)) is None
