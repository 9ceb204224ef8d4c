"""How the stand-in for Stripe shows objects: pages of a list, and `expand[]`."""

import copy
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from arcade_sandbox.stripe import objects as shapes
from arcade_sandbox.stripe.errors import StripeRefusal, bad_integer
from arcade_sandbox.stripe.state import StripeState

Json = dict[str, Any]

DEFAULT_LIMIT = 10
# Stripe: "Expansions have a maximum depth of four levels."
_MAX_EXPAND_DEPTH = 4

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
# Field of an object that holds an id → the kind of object behind it.
_LINKS = {
    "payment_intent": "payment_intent",
    "latest_charge": "charge",
    "charge": "charge",
    "payment_link": "payment_link",
    "product": "product",
    "balance_transaction": "balance_transaction",
    "failure_balance_transaction": "balance_transaction",
}
# What an entry in the balance is about: how its id begins → the kind of object.
_SOURCES = {"ch": "charge", "re": "refund", "du": "dispute", "po": "payout"}


def paged(things: Iterable[Json], params: Json, url: str) -> Json:
    """One page of `things` (newest first), by `created`, `limit`, `starting_after`, `ending_before`.

    Raises:
        StripeRefusal: A parameter is wrong, or names an object that is not in the list.
    """
    if "starting_after" in params and "ending_before" in params:
        raise StripeRefusal("You may only specify one of these parameters: starting_after, ending_before.")
    limit = params.get("limit", DEFAULT_LIMIT)
    within = _created_filter(params.get("created"))
    chosen = [thing for thing in things if within(thing)]
    if "starting_after" in params:
        chosen = chosen[_position(chosen, params["starting_after"], "starting_after") + 1 :]
    elif "ending_before" in params:
        before = chosen[: _position(chosen, params["ending_before"], "ending_before")]
        return shapes.page(before[-limit:], len(before) > limit, url)
    return shapes.page(chosen[:limit], len(chosen) > limit, url)


def _position(things: list[Json], object_id: str, param: str) -> int:
    for index, thing in enumerate(things):
        if thing["id"] == object_id:
            return index
    raise StripeRefusal(f"No such object: '{object_id[:80]}'", status=404, code="resource_missing", param=param)


def _created_filter(wanted: Any) -> Callable[[Json], bool]:
    if wanted is None:
        return lambda _: True
    bounds: dict[str, int] = {}
    for name, text in (wanted if isinstance(wanted, dict) else {"gte": wanted, "lte": wanted}).items():
        if name not in _COMPARE:
            raise StripeRefusal(
                f"Received unknown parameter: created[{name}]", code="parameter_unknown", param=f"created[{name}]"
            )
        if not isinstance(text, str) or re.fullmatch("[0-9]{1,15}", text) is None:
            raise bad_integer(str(text), "created")
        bounds[name] = int(text)
    return lambda thing: all(_COMPARE[name](thing["created"], bound) for name, bound in bounds.items())


def expanded(state: StripeState, answer: Json, paths: list[str]) -> Json:
    """A copy of `answer` with the ids at `paths` replaced by their objects.

    Raises:
        StripeRefusal: A path is too deep, or names something that cannot be expanded.
    """
    shown = copy.deepcopy(answer)
    for path in paths:
        names = path.split(".")
        if len(names) > _MAX_EXPAND_DEPTH:
            raise StripeRefusal(
                f"You cannot expand more than {_MAX_EXPAND_DEPTH} levels of a property, but the property you "
                f"provided has {len(names)} levels ({path[:200]}).",
                param="expand",
            )
        _expand(state, shown, names, path)
    return shown


def _expand(state: StripeState, thing: Json, names: list[str], path: str) -> None:
    name, rest = names[0], names[1:]
    if name == "data" and thing.get("object") == "list":
        for member in thing["data"]:
            _expand(state, member, rest or [""], path)
        return
    _fill(state, thing, name, path)
    inside = thing[name]
    if rest and isinstance(inside, dict):
        _expand(state, inside, rest, path)


def _fill(state: StripeState, thing: Json, name: str, path: str) -> None:
    kind = thing.get("object")
    if name == "line_items" and kind in ("checkout.session", "payment_link"):
        owner = "checkout/sessions" if kind == "checkout.session" else "payment_links"
        url = f"/v1/{owner}/{thing['id']}/line_items"
        thing.setdefault("line_items", paged(copy.deepcopy(state.line_items[thing["id"]]), {}, url))
    elif name == "refunds" and kind == "charge":
        newest_first = list(reversed(state.refunds_on(thing)))
        thing.setdefault("refunds", paged(copy.deepcopy(newest_first), {}, f"/v1/charges/{thing['id']}/refunds"))
    elif name == "source" and kind == "balance_transaction":
        target = thing[name]
        if isinstance(target, str):
            source = _SOURCES[target.partition("_")[0]]
            thing[name] = copy.deepcopy(state.find(source, target, "expand"))
    elif name in _LINKS and name in thing:
        target = thing[name]
        if isinstance(target, str):
            thing[name] = copy.deepcopy(state.find(_LINKS[name], target, "expand"))
    elif name not in thing or not isinstance(thing[name], dict):
        raise StripeRefusal(f"This property cannot be expanded ({path[:200]}).", param="expand[]")
