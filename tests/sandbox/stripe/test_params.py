"""The stand-in's parameters: brackets, rules, and that its names are those of the real library."""

import typing

import pytest
from stripe.params import (
    PaymentIntentCancelParams,
    PaymentIntentCaptureParams,
    PaymentLinkCreateParams,
    RefundCreateParams,
)
from stripe.params.checkout import SessionCreateParams, SessionCreateParamsPaymentIntentData

from arcade_sandbox.stripe import schemas
from arcade_sandbox.stripe.errors import StripeRefusal
from arcade_sandbox.stripe.params import (
    Array,
    Currency,
    Flag,
    Hash,
    Metadata,
    OneOf,
    Rule,
    Text,
    WebAddress,
    Whole,
    checked,
    nested,
)


def refused(rule: Rule, raw: object) -> StripeRefusal:
    with pytest.raises(StripeRefusal) as caught:
        checked(rule, raw, "x")
    return caught.value


def test_brackets_become_nested_values() -> None:
    pairs = [("a[b][0][c]", "1"), ("a[b][1][c]", "2"), ("list[]", "x"), ("list[]", "y"), ("plain", "z")]
    assert nested(pairs) == {
        "a": {"b": {"0": {"c": "1"}, "1": {"c": "2"}}},
        "list": {"0": "x", "1": "y"},
        "plain": "z",
    }


@pytest.mark.parametrize("key", ["a[", "a]b", "[a]", "a[b]c", "a" + "[b]" * 11])
def test_what_is_no_key_of_a_form_is_refused(key: str) -> None:
    with pytest.raises(StripeRefusal):
        nested([(key, "1")])


def test_a_value_cannot_also_be_an_object() -> None:
    with pytest.raises(StripeRefusal):
        nested([("a", "1"), ("a[b]", "2")])


def test_a_form_has_a_bound() -> None:
    with pytest.raises(StripeRefusal):
        nested((f"k{number}", "1") for number in range(3000))


def test_lists_keep_the_order_of_their_indexes() -> None:
    assert checked(Array(Text()), {"10": "c", "2": "b", "0": "a"}, "x") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("rule", "raw", "value"),
    [
        (Whole(1, 9), "5", 5),
        (Flag(), "true", True),
        (Flag(), "false", False),
        (OneOf(("a", "b")), "b", "b"),
        (Currency(), "MYR", "myr"),
        (
            WebAddress(),
            "https://a.example/{CHECKOUT_SESSION_ID}?b=c",
            "https://a.example/{CHECKOUT_SESSION_ID}?b=c",
        ),
        (Metadata(), {"a": "1", "b": ""}, {"a": "1"}),
        (Metadata(), "", {}),
    ],
)
def test_good_values_come_out_typed(rule: Rule, raw: object, value: object) -> None:
    assert checked(rule, raw, "x") == value


@pytest.mark.parametrize(
    ("rule", "raw", "code"),
    [
        (Whole(), "1.5", "parameter_invalid_integer"),
        (Whole(), "1" * 30, "parameter_invalid_integer"),
        (Whole(1), "0", "parameter_invalid_integer"),
        (Whole(1, 9), "10", "parameter_invalid_integer"),
        (Text(), "", "parameter_invalid_empty"),
        (Text(3), "four", None),
        (Text(), {"a": "b"}, None),
        (Flag(), "yes", None),
        (OneOf(("a", "b")), "c", None),
        (Currency(), "xxx", None),
        (WebAddress(), "javascript:alert(1)", "url_invalid"),
        (WebAddress(), "https://a.example:port/", "url_invalid"),
        (WebAddress(), "/relative", "url_invalid"),
        (WebAddress(), "https://a.example/a b", "url_invalid"),
        (Array(Text()), "no list", None),
        (Array(Text(), 1), {"0": "a", "1": "b"}, None),
        (Metadata(), {"a": {"b": "c"}}, None),
        (Metadata(), {str(number): "1" for number in range(51)}, None),
        (Metadata(), {"k" * 41: "1"}, None),
        (Metadata(), {"k": "v" * 501}, None),
        (Hash({"a": Text()}), "text", None),
        (Hash({"a": Text()}, required=("a",)), {}, "parameter_missing"),
        (Hash({"a": Text()}), {"b": "1"}, "parameter_unknown"),
    ],
)
def test_bad_values_are_refused_with_stripes_code(rule: Rule, raw: object, code: str | None) -> None:
    refusal = refused(rule, raw)
    assert (refusal.status, refusal.code) == (400, code)
    assert not refusal.stored


def test_all_unknown_parameters_are_named_with_their_path() -> None:
    refusal = refused(Hash({"a": Text()}), {"b": "1", "c": "2"})
    assert refusal.message == "Received unknown parameters: x[b], x[c]"
    assert refusal.param == "x[b]"


# Parameters that the library's own request options add to each of its types.
OPTIONS = {
    *("api_key", "api_version", "base_addresses", "content_type", "headers", "idempotency_key"),
    *("max_network_retries", "stripe_account", "stripe_context", "stripe_version"),
}


@pytest.mark.parametrize(
    ("rule", "library"),
    [
        (schemas.SESSION_CREATE, SessionCreateParams),
        (schemas.SESSION_CREATE.fields["payment_intent_data"], SessionCreateParamsPaymentIntentData),
        (schemas.REFUND_CREATE, RefundCreateParams),
        (schemas.CAPTURE, PaymentIntentCaptureParams),
        (schemas.CANCEL, PaymentIntentCancelParams),
    ],
)
def test_the_parameters_are_exactly_those_that_the_library_knows(rule: Hash, library: type) -> None:
    known = set(library.__annotations__) - OPTIONS
    assert set(rule.fields) == known


def test_no_parameter_of_a_payment_link_is_made_up() -> None:
    assert set(schemas.LINK_CREATE.fields) <= set(PaymentLinkCreateParams.__annotations__)


def test_required_parameters_exist() -> None:
    rules = [rule for rule in vars(schemas).values() if isinstance(rule, Hash)]
    assert len(rules) > 10
    for rule in rules:
        assert set(rule.required) <= set(rule.fields)
        assert typing.cast(object, rule.fields) is not None
