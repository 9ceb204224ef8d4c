"""Stripe's form-encoded parameters: brackets to nested values, and a small language of rules to check them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from arcade_sandbox.stripe.currencies import CURRENCIES
from arcade_sandbox.stripe.errors import (
    StripeRefusal,
    bad_integer,
    empty_parameter,
    missing_parameter,
    out_of_range,
    unknown_parameters,
)

# A Checkout Session with a hundred line items has about 500 pairs; what is larger is a mistake.
MAX_PAIRS = 2000
# Stripe's deepest parameter has seven levels.
MAX_DEPTH = 10

_KEY = re.compile(r"\A([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
_WHOLE = re.compile(r"\A[+-]?[0-9]{1,18}\Z")


@dataclass(frozen=True)
class Text:
    """A non-empty string."""

    max_length: int = 5000


@dataclass(frozen=True)
class Whole:
    """An integer in its decimal form."""

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Flag:
    """`true` or `false`."""


@dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class WebAddress:
    """An absolute http or https address."""


@dataclass(frozen=True)
class Currency:
    """A currency code; comes out in lower case."""


@dataclass(frozen=True)
class Metadata:
    """A flat hash of strings: at most 50 keys of 40 characters, values of 500."""


@dataclass(frozen=True)
class Anything:
    """Known to Stripe, without effect in this sandbox: accepted as it comes."""


@dataclass(frozen=True)
class Array:
    """A list (`a[0]=…&a[1]=…`, or `a[]=…`)."""

    item: "Rule"
    max_items: int = 100


@dataclass(frozen=True)
class Hash:
    """A hash with known fields; any other is refused."""

    fields: "Mapping[str, Rule]"
    required: tuple[str, ...] = ()


Rule = Text | Whole | Flag | OneOf | WebAddress | Currency | Metadata | Anything | Array | Hash


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0]=x` → `{"a": {"b": {"0": "x"}}}`. A later value replaces an earlier one.

    Raises:
        StripeRefusal: A name is malformed, nested too deeply or contradicts another, or there are too many pairs.
    """
    tree: dict[str, Any] = {}
    for count, (key, value) in enumerate(pairs, start=1):
        matched = _KEY.match(key)
        if matched is None or count > MAX_PAIRS or key.count("[") > MAX_DEPTH:
            raise StripeRefusal(f"Invalid request parameters: {key[:60]}", param=key[:60])
        path = [matched[1], *re.findall(r"\[([^\[\]]*)\]", matched[2])]
        place = tree
        for depth, raw_name in enumerate(path):
            name = raw_name or str(len(place))
            if depth == len(path) - 1:
                place[name] = value
                break
            below = place.setdefault(name, {})
            if not isinstance(below, dict):
                raise StripeRefusal("Invalid object", param=key)
            place = below
    return tree


def checked(rule: Rule, raw: Any, param: str) -> Any:
    """The value that `rule` describes.

    Args:
        raw: A string, or a dict from `nested`.
        param: The parameter's name, for the refusal.

    Raises:
        StripeRefusal: `raw` breaks the rule.
    """
    match rule:
        case Hash():
            return _hash(rule, raw, param)
        case Array():
            return _array(rule, raw, param)
        case Metadata():
            return _metadata(raw, param)
        case Anything():
            return raw
        case _:
            if not isinstance(raw, str):
                raise StripeRefusal("Invalid string: expected a value, not an object or a list", param=param)
            if raw == "":
                raise empty_parameter(param)
            return _scalar(rule, raw, param)


def _scalar(rule: Rule, raw: str, param: str) -> Any:
    match rule:
        case Text(max_length=limit):
            if len(raw) > limit:
                raise StripeRefusal(
                    f"Invalid string: {raw[:10]}…; must be at most {limit} characters", param=param
                )
            return raw
        case Whole(minimum=minimum, maximum=maximum):
            if _WHOLE.match(raw) is None:
                raise bad_integer(raw, param)
            number = int(raw)
            if minimum is not None and number < minimum:
                raise out_of_range(param, f"greater than or equal to {minimum}")
            if maximum is not None and number > maximum:
                raise out_of_range(param, f"less than or equal to {maximum}")
            return number
        case Flag():
            if raw not in ("true", "false"):
                raise StripeRefusal(f"Invalid boolean: {raw[:60]}", param=param)
            return raw == "true"
        case OneOf(options=options):
            if raw not in options:
                listed = (
                    ", ".join(options[:-1]) + f", or {options[-1]}" if len(options) > 2 else " or ".join(options)
                )
                raise StripeRefusal(f"Invalid {param}: must be one of {listed}", param=param)
            return raw
        case WebAddress():
            return _address(raw, param)
        case _:
            code = raw.lower()
            if code not in CURRENCIES:
                listed = ", ".join(CURRENCIES)
                raise StripeRefusal(
                    f"Invalid currency: {code[:10]}. Stripe currently supports these currencies: {listed}",
                    param=param,
                )
            return code


def _address(raw: str, param: str) -> str:
    try:
        parts = urlsplit(raw)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or len(raw) > 5000 or any(sign.isspace() for sign in raw):
        raise StripeRefusal("Not a valid URL", code="url_invalid", param=param)
    return raw


def _hash(rule: Hash, raw: Any, param: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise StripeRefusal("Invalid object", param=param)
    inside = (lambda name: f"{param}[{name}]") if param else (lambda name: name)
    unknown = [inside(name) for name in raw if name not in rule.fields]
    if unknown:
        raise unknown_parameters(unknown)
    for name in rule.required:
        if name not in raw:
            raise missing_parameter(inside(name))
    return {name: checked(rule.fields[name], value, inside(name)) for name, value in raw.items()}


def _array(rule: Array, raw: Any, param: str) -> list[Any]:
    if not isinstance(raw, dict) or any(re.fullmatch("[0-9]{1,4}", index) is None for index in raw):
        raise StripeRefusal("Invalid array", param=param)
    if len(raw) > rule.max_items:
        raise StripeRefusal(f"Array exceeded maximum {rule.max_items} allowed elements.", param=param)
    ordered = sorted(raw.items(), key=lambda pair: int(pair[0]))
    return [checked(rule.item, value, f"{param}[{index}]") for index, value in ordered]


def _metadata(raw: Any, param: str) -> dict[str, str]:
    if raw == "":
        return {}
    if not isinstance(raw, dict) or any(not isinstance(value, str) for value in raw.values()):
        raise StripeRefusal("Metadata must be a hash of strings.", param=param)
    if len(raw) > 50:
        raise StripeRefusal("You may only specify up to 50 metadata keys.", param=param)
    for key, value in raw.items():
        if len(key) > 40:
            raise StripeRefusal(f"Metadata keys can have up to 40 characters: {key[:20]}…", param=param)
        if len(value) > 500:
            raise StripeRefusal(
                f"Metadata values can have up to 500 characters, but you passed in a value that is {len(value)} "
                f"characters. Invalid value: {value[:20]}…",
                param=param,
            )
    # An empty value unsets its key, so on a new object it sets nothing.
    return {key: value for key, value in raw.items() if value != ""}
