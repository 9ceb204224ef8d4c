"""Webhooks: only what Stripe signed recently gets in, and everything in it is understood or refused."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from arcade_cloud.adapters.stripe.events import (
    EVENT_TYPES,
    MAX_HEADER_LENGTH,
    TOLERANCE_S,
    interpret,
    verify,
)
from arcade_cloud.domain.money import Payment
from arcade_cloud.errors import BadWebhook
from arcade_cloud.ports.payments import MAX_EVENT_BYTES, Report
from arcade_sandbox.stripe.sandbox import StripeSandbox

Json = dict[str, Any]

NOW_S = 1_790_000_000
SECRET = "whsec_0123456789abcdef0123456789abcdef"
OTHER = "whsec_fedcba9876543210fedcba9876543210"
BODY = json.dumps(
    {"id": "evt_1", "object": "event", "type": "ping", "created": NOW_S, "data": {"object": {}}}
).encode()


def _mac(body: bytes, secret: str = SECRET, at_s: int = NOW_S) -> str:
    return hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()


def _header(body: bytes = BODY, secret: str = SECRET, at_s: int = NOW_S) -> str:
    return f"t={at_s},v1={_mac(body, secret, at_s)}"


# what gets in


def test_what_stripe_signed_gets_in() -> None:
    assert verify(BODY, _header(), [SECRET], NOW_S) == json.loads(BODY)


def test_the_header_that_stripe_s_own_library_makes_gets_in() -> None:
    header = stripe.WebhookSignature.generate_signature_header(BODY.decode(), SECRET, NOW_S)
    assert verify(BODY, header, [SECRET], NOW_S)["id"] == "evt_1"


@pytest.mark.parametrize("secrets", [[SECRET, OTHER], [OTHER, SECRET], ["", OTHER, SECRET]])
def test_while_a_secret_is_rolled_any_of_them_fits(secrets: list[str]) -> None:
    assert verify(BODY, _header(), secrets, NOW_S)["id"] == "evt_1"


def test_one_good_signature_of_several_is_enough() -> None:
    """While a secret is rolled, Stripe signs with both."""
    header = f"t={NOW_S},v1={_mac(BODY, OTHER)},v1={_mac(BODY)},v0=6ffbb59b2300aae63f272406069a9788"
    assert verify(BODY, header, [SECRET], NOW_S)["id"] == "evt_1"


def test_text_beyond_ascii_is_signed_as_utf_8() -> None:
    body = json.dumps({"id": "evt_1", "name": "街機 ☺"}, ensure_ascii=False).encode()
    assert verify(body, _header(body), [SECRET], NOW_S)["name"] == "街機 ☺"


@pytest.mark.parametrize("age_s", [-TOLERANCE_S, -1, 0, 1, TOLERANCE_S])
def test_a_little_age_or_a_clock_that_is_a_little_off_is_forgiven(age_s: int) -> None:
    assert verify(BODY, _header(at_s=NOW_S - age_s), [SECRET], NOW_S)["id"] == "evt_1"


# what does not


@pytest.mark.parametrize("age_s", [-(10**9), -TOLERANCE_S - 1, TOLERANCE_S + 1, 10**9])
def test_neither_the_past_nor_the_future_gets_in(age_s: int) -> None:
    with pytest.raises(BadWebhook, match="clock"):
        verify(BODY, _header(at_s=NOW_S - age_s), [SECRET], NOW_S)


@pytest.mark.parametrize("secrets", [[OTHER], [], [""], [" "], [SECRET.upper()]])
def test_another_secret_or_none_fits_nothing(secrets: list[str]) -> None:
    with pytest.raises(BadWebhook, match="STRIPE_WEBHOOK_SECRET"):
        verify(BODY, _header(), secrets, NOW_S)


def test_an_empty_secret_does_not_open_the_door() -> None:
    """Anybody can sign with an empty secret."""
    for secret in ("", " ", "\t"):
        with pytest.raises(BadWebhook):
            verify(BODY, _header(secret=secret), [secret], NOW_S)


@pytest.mark.parametrize(
    "body", [BODY + b" ", BODY.replace(b"evt_1", b"evt_2"), b"", BODY[:-1], BODY.replace(b"{", b"{ ", 1)]
)
def test_a_body_that_was_touched_is_found_out(body: bytes) -> None:
    with pytest.raises(BadWebhook):
        verify(body, _header(), [SECRET], NOW_S)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=",
        "v1=",
        f"v1={_mac(BODY)}",
        f"t={NOW_S}",
        f"t={NOW_S},v0={_mac(BODY)}",
        f"t={NOW_S},v1=",
        f"t={NOW_S},v1=é{_mac(BODY)}",
        f"t={NOW_S},v1=\udcff",
        f"t=x,v1={_mac(BODY)}",
        f"t=-{NOW_S},v1={_mac(BODY)}",
        f"t={NOW_S}.5,v1={_mac(BODY)}",
        f"t=١٢٣,v1={_mac(BODY)}",
        f"t={NOW_S}\n,v1={_mac(BODY)}",
        f"t={'9' * 5000},v1={_mac(BODY)}",
        f"t=0,t={NOW_S},v1={_mac(BODY)}",
        f" t={NOW_S},v1={_mac(BODY)}",
        f"t={NOW_S};v1={_mac(BODY)}",
        f"t={NOW_S}," + f"v1={'0' * 64}," * 40 + f"v1={_mac(BODY)}",
    ],
)
def test_a_header_that_is_not_stripe_s_is_refused(header: str | None) -> None:
    with pytest.raises(BadWebhook):
        verify(BODY, header, [SECRET], NOW_S)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"7",
        b"NaN",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b'{"b": ' * 50_000 + b"1" + b"}" * 50_001,
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
)
def test_a_signed_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadWebhook):
        verify(body, _header(body), [SECRET], NOW_S)


def test_a_body_beyond_all_measure_is_refused_before_it_is_hashed() -> None:
    body = b'{"a": "' + b"x" * MAX_EVENT_BYTES + b'"}'
    with pytest.raises(BadWebhook, match="bytes"):
        verify(body, _header(body), [SECRET], NOW_S)


def test_no_secret_and_no_body_is_told() -> None:
    for header in (_header(secret=OTHER), "t=1,v1=0", None):
        with pytest.raises(BadWebhook) as refusal:
            verify(BODY, header, [SECRET], NOW_S)
        assert SECRET not in str(refusal.value)
        assert "evt_1" not in str(refusal.value)


@settings(max_examples=150, derandomize=True)
@given(
    body=st.binary(max_size=200),
    header=st.none() | st.text(max_size=MAX_HEADER_LENGTH // 8) | st.text("t=v10,. 9", max_size=40),
)
def test_whatever_comes_unsigned_is_refused_and_nothing_else(body: bytes, header: str | None) -> None:
    with pytest.raises(BadWebhook):
        verify(body, header, [SECRET], NOW_S)


@settings(max_examples=100, derandomize=True)
@given(body=st.binary(max_size=200) | st.text('[]{}":,0123456789.eEtrufalsn\\ud8', max_size=60).map(str.encode))
def test_whatever_comes_signed_is_an_object_or_refused(body: bytes) -> None:
    try:
        event = verify(body, _header(body), [SECRET], NOW_S)
    except BadWebhook:
        return
    assert isinstance(event, dict)


# what events say


@pytest.fixture(scope="module")
def events() -> list[Json]:
    """One event of each type that we take in, in the shape of Stripe's present API version."""
    with StripeSandbox() as sandbox:
        client = stripe.StripeClient("sk_test_x", base_addresses={"api": sandbox.base_url})

        def bought(method: str) -> str:
            session = client.v1.checkout.sessions.create(
                {
                    "mode": "payment",
                    "success_url": "https://arcade.example/done",
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {"currency": "myr", "unit_amount": 900, "product_data": {"name": "3"}},
                        }
                    ],
                    "client_reference_id": "o-1",
                    "metadata": {"order_id": "o-1", "machine_id": "cab-01", "site": "s"},
                    "payment_intent_data": {
                        "metadata": {"order_id": "o-1", "machine_id": "cab-01", "site": "s"},
                    },
                    "payment_method_options": {"card": {"capture_method": "manual"}},
                }
            )
            if method == "nobody":
                client.v1.checkout.sessions.expire(session.id)
                return ""
            return sandbox.pay(session.id, method, wait=False).payment_intent

        bought("nobody")
        bought("card_declined")
        client.v1.payment_intents.cancel(bought("card"))
        sandbox.settle_async(bought("fpx_later"), succeed=False)
        sandbox.settle_async(bought("fpx_later"))
        refunded = bought("fpx")
        refund = client.v1.refunds.create({"payment_intent": refunded})
        sandbox.finish_refund(refund.id, "failed")
        disputed = bought("grabpay")
        dispute = sandbox.open_dispute(disputed)
        sandbox.close_dispute(dispute["id"], "won")
        return list({event["type"]: event for event in sandbox.events(*EVENT_TYPES)}.values())


def test_every_type_that_we_know_is_understood(events: list[Json]) -> None:
    """`charge.dispute.updated` is the one that the stand-in never sends."""
    assert {event["type"] for event in events} == set(EVENT_TYPES) - {"charge.dispute.updated"}
    for event in events:
        report = interpret(event)
        assert report.kind != "ignored"
        assert report.event_id == event["id"]
        assert report.what == event["type"]
        assert report.created_ms == event["created"] * 1000
        expired = event["type"] == "checkout.session.expired"
        assert (report.payment_intent is None) == expired, event["type"]
        assert (report.session_id is not None) == event["type"].startswith("checkout.")
        named = event["data"]["object"]["object"] in ("checkout.session", "payment_intent", "charge")
        assert report.order_id == ("o-1" if named else None)
        assert report.site == ("s" if named else None)
        assert report.machine_id == ("cab-01" if named else None)


INTENT: Json = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "requires_capture",
    "amount": 900,
    "amount_capturable": 900,
    "amount_received": 0,
    "currency": "myr",
    "capture_method": "automatic_async",
    "payment_method_options": {"card": {"capture_method": "manual"}, "fpx": {}},
    "metadata": {"order_id": "o-1"},
}
TAKEN: Json = {**INTENT, "status": "succeeded", "amount_capturable": 0, "amount_received": 900}


CAPTURED: Json = {**TAKEN, "capture_method": "manual", "payment_method_options": {}}


def _event(what: str, subject: Json, **fields: Any) -> Json:
    event = {"id": "evt_1", "object": "event", "type": what, "created": NOW_S, "data": {"object": subject}}
    return {**event, **fields}


def test_a_hold_shows_itself() -> None:
    report = interpret(_event("payment_intent.amount_capturable_updated", INTENT))
    assert report == Report(
        event_id="evt_1",
        kind="payment",
        what="payment_intent.amount_capturable_updated",
        created_ms=NOW_S * 1000,
        order_id="o-1",
        amount_minor=900,
        currency="myr",
        payment_intent="pi_1",
        payment=Payment(
            payment_intent="pi_1",
            status="requires_capture",
            amount_minor=900,
            currency="myr",
            capturable_minor=900,
            paid_at_ms=NOW_S * 1000,
        ),
    )


@pytest.mark.parametrize(
    ("what", "subject", "kind", "shows_payment"),
    [
        ("payment_intent.amount_capturable_updated", INTENT, "payment", True),
        ("payment_intent.succeeded", {**TAKEN, "payment_method_options": {}}, "payment", False),
        ("payment_intent.succeeded", TAKEN, "payment", False),
        (
            "payment_intent.succeeded",
            {**TAKEN, "capture_method": "manual", "payment_method_options": {}},
            "payment",
            False,
        ),
        ("payment_intent.succeeded", {**TAKEN, "status": "canceled"}, "changed", False),
        ("payment_intent.amount_capturable_updated", TAKEN, "payment", False),
        ("payment_intent.amount_capturable_updated", {**INTENT, "status": "canceled"}, "changed", False),
        ("payment_intent.canceled", {**INTENT, "status": "canceled"}, "changed", False),
        ("payment_intent.processing", {**INTENT, "status": "processing"}, "changed", False),
        ("payment_intent.payment_failed", {**INTENT, "status": "requires_payment_method"}, "changed", False),
    ],
)
def test_a_payment_is_shown_only_where_nothing_is_in_doubt(
    what: str, subject: Json, kind: str, shows_payment: bool
) -> None:
    """A capture, a slow bank's word and a charge look alike, and only one of them is a payment of this moment."""
    report = interpret(_event(what, subject))
    assert report.kind == kind
    assert (report.payment is not None) == shows_payment


SESSION: Json = {
    "id": "cs_1",
    "object": "checkout.session",
    "mode": "payment",
    "payment_status": "paid",
    "payment_intent": "pi_1",
    "client_reference_id": "cab-07",
    "metadata": {},
}


@pytest.mark.parametrize("payment_status", ["paid", "unpaid", "no_payment_required"])
def test_a_session_never_proves_a_payment(payment_status: str) -> None:
    report = interpret(_event("checkout.session.completed", {**SESSION, "payment_status": payment_status}))
    assert (report.kind, report.payment) == ("payment", None)
    assert (report.payment_intent, report.session_id, report.client_reference_id) == ("pi_1", "cs_1", "cab-07")


def test_a_session_may_hold_its_payment_intent_expanded() -> None:
    report = interpret(_event("checkout.session.completed", {**SESSION, "payment_intent": INTENT}))
    assert report.payment_intent == "pi_1"


@pytest.mark.parametrize("mode", ["subscription", "setup", None])
def test_a_session_of_another_kind_is_none_of_ours(mode: str | None) -> None:
    assert interpret(_event("checkout.session.completed", {**SESSION, "mode": mode})).kind == "ignored"


@pytest.mark.parametrize(
    "what", ["charge.succeeded", "invoice.paid", "v2.core.event", "payment_intent.created", "x"]
)
def test_other_events_are_none_of_ours_whatever_they_hold(what: str) -> None:
    report = interpret({"id": "evt_1", "type": what, "created": "2026-11-22T10:00:00Z", "data": None})
    assert (report.kind, report.event_id, report.what) == ("ignored", "evt_1", what)


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        (7, None),
        ([], None),
        ({}, None),
        ("", None),
        ("x" * 300, "x" * 255),
        ("two words", "two words"),
        ("cab-01 ", "cab-01 "),
        ("cab-01\n", "cab-01\ufffd"),
        ("é", "é"),
    ],
)
def test_a_reference_that_others_wrote_is_shown_to_people_and_never_read_as_an_id(
    reference: object, shown: str | None
) -> None:
    """It may be another business's; refusing the event would have Stripe repeat it for days."""
    metadata = dict.fromkeys(("order_id", "machine_id", "site", "arcade_mark"), reference)
    subject = {**SESSION, "client_reference_id": reference, "metadata": metadata}
    report = interpret(_event("checkout.session.completed", subject))
    assert (report.client_reference_id, report.machine_id) == (shown, shown)
    assert (report.order_id, report.site, report.mark) == (None, None, None)


@pytest.mark.parametrize("amount", [None, "900", -1, 10**40, True, 9.5])
def test_the_amount_of_another_business_may_be_anything(amount: object) -> None:
    session = {**SESSION, "amount_total": amount, "currency": None}
    for what, subject in (
        ("checkout.session.completed", session),
        ("payment_intent.succeeded", {**TAKEN, "amount": amount, "currency": 7}),
    ):
        report = interpret(_event(what, subject))
        assert (report.kind, report.amount_minor, report.currency) == ("payment", None, None)


def test_the_event_of_another_account_or_mode_says_so() -> None:
    report = interpret(_event("payment_intent.succeeded", TAKEN, livemode=True, account="acct_1"))
    assert (report.is_live, report.account) == (True, "acct_1")
    report = interpret(_event("payment_intent.succeeded", TAKEN, livemode=False, account=None))
    assert (report.is_live, report.account) == (False, None)
    report = interpret(_event("payment_intent.succeeded", TAKEN, livemode="yes"))
    assert (report.is_live, report.account) == (None, None)


def test_only_a_session_that_a_static_link_made_says_so() -> None:
    for link, by_link in (("plink_1", True), (None, False)):
        report = interpret(_event("checkout.session.completed", {**SESSION, "payment_link": link}))
        assert report.by_link == by_link


def test_a_refund_whose_status_is_null_and_one_of_no_payment_intent_are_understood() -> None:
    """Both are in Stripe's reference. `charge.refund.updated` is the older name, told beside the new one."""
    refund: Json = {"id": "re_1", "object": "refund", "payment_intent": "pi_1", "status": None, "metadata": {}}
    assert interpret(_event("refund.updated", refund)).kind == "changed"
    assert interpret(_event("refund.updated", {**refund, "payment_intent": None})).payment_intent is None
    assert interpret(_event("charge.refund.updated", refund)).kind == "ignored"


@pytest.mark.parametrize(
    "broken",
    [
        {},
        _event("payment_intent.succeeded", TAKEN, id=None),
        _event("payment_intent.succeeded", TAKEN, id="x" * 256),
        _event("payment_intent.succeeded", TAKEN, type=7),
        _event("payment_intent.succeeded", TAKEN, created=None),
        _event("payment_intent.succeeded", TAKEN, created=-1),
        _event("payment_intent.succeeded", TAKEN, created=10**30),
        _event("payment_intent.succeeded", TAKEN, created=True),
        _event("payment_intent.succeeded", TAKEN, data=None),
        _event("payment_intent.succeeded", TAKEN, data={"object": []}),
        _event("payment_intent.succeeded", {**TAKEN, "id": "pi 1"}),
        _event("payment_intent.amount_capturable_updated", {**INTENT, "amount": "900"}),
        _event("payment_intent.amount_capturable_updated", {**INTENT, "amount": 10**40}),
        _event("payment_intent.amount_capturable_updated", {**INTENT, "currency": None}),
        _event("refund.created", {"id": "re_1", "payment_intent": 7}),
        _event("checkout.session.completed", {**SESSION, "payment_intent": {"id": None}}),
        _event("checkout.session.completed", {**SESSION, "id": None}),
    ],
)
def test_an_event_of_another_shape_is_refused(broken: Json) -> None:
    with pytest.raises(BadWebhook):
        interpret(broken)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def _paths(thing: object, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, object]] = []
    if isinstance(thing, dict):
        inner = list(thing.items())
    found = [so_far] if so_far else []
    for name, value in inner:
        found += _paths(value, (*so_far, name))
    return found


def _changed(thing: Any, path: tuple[Any, ...], change: Callable[[Json, Any], None]) -> Json:
    copy: Json = json.loads(json.dumps(thing))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    change(inner, path[-1])
    return copy


@settings(max_examples=250, derandomize=True)
@given(data=st.data())
def test_a_real_event_with_anything_anywhere_is_understood_or_refused(
    events: list[Json], data: st.DataObject
) -> None:
    event = data.draw(st.sampled_from(events))
    path = data.draw(st.sampled_from(_paths(event)))
    value = data.draw(_json)
    cut = data.draw(st.booleans())

    def change(inner: Json, name: Any) -> None:
        if cut:
            del inner[name]
        else:
            inner[name] = value

    try:
        report = interpret(_changed(event, path, change))
    except BadWebhook:
        return
    assert isinstance(report, Report)
    for text in (report.event_id, report.what, report.order_id, report.mark, report.site, report.session_id):
        assert text is None or (0 < len(text) <= 255 and text.isascii())
    for text in (report.machine_id, report.client_reference_id, report.account):
        assert text is None or (0 < len(text) <= 255 and text.isprintable())


@settings(max_examples=100, derandomize=True)
@given(
    event=st.dictionaries(st.sampled_from(["id", "type", "created", "data", "object"]), _json),
    what=st.sampled_from(EVENT_TYPES),
    subject=_json,
)
def test_whatever_object_comes_it_is_understood_or_refused(event: Json, what: str, subject: object) -> None:
    for thing in (event, {**event, "id": "evt_1", "type": what, "created": 1, "data": {"object": subject}}):
        try:
            assert isinstance(interpret(thing), Report)
        except BadWebhook:
            continue
