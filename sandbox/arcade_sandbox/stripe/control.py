"""The control endpoints, `/_sandbox/…`: what a person, a demo or a checker does to the stand-in from outside.

JSON in, JSON out, no key. `GET /_sandbox` lists them. Errors: `{"error": {"code", "message"}}`.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flask import Flask, Response, jsonify, request

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe.errors import StripeRefusal
from arcade_sandbox.stripe.world import StripeWorld

Json = dict[str, Any]
Work = Callable[[StripeWorld, Json], Any]


@dataclass(frozen=True)
class Control:
    """One control endpoint.

    Attributes:
        takes: Its fields and their JSON types.
        needs: The fields that must be there.
    """

    method: str
    name: str
    help: str
    work: Work
    takes: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


_TEXT = (str,)
_NUMBER = (int, float)
_WHOLE = (int,)
_FLAG = (bool,)


def _pay(world: StripeWorld, given: Json) -> Any:
    return asdict(world.pay(given["session"], given.get("method", "card"), wait=given.get("wait", True)))


def _webhooks(world: StripeWorld, given: Json) -> Any:
    changes = dict(given)
    if "urls" in changes:
        world.set_webhooks(changes.pop("urls"), changes.pop("secret", None))
    if changes:
        world.configure_webhooks(**changes)
    return world.delivery.report()["settings"]


def _fail(world: StripeWorld, given: Json) -> Any:
    times, pattern = given.get("times", 1), given.get("pattern", "*")
    world.fail_next(given["kind"], given.get("when", "before"), times=times, pattern=pattern)
    return given


def _recover(world: StripeWorld, _: Json) -> Any:
    world.faults.clear()
    return {}


def _latency(world: StripeWorld, given: Json) -> Any:
    world.faults.set_latency(given["seconds"])
    return given


def _advance(world: StripeWorld, given: Json) -> Any:
    world.advance(given["seconds"])
    return {"now": int(world.clock.now_s())}


def _redeliver(world: StripeWorld, given: Json) -> Any:
    world.redeliver(given["event"])
    return given


def _finish_refund(world: StripeWorld, given: Json) -> Any:
    return world.finish_refund(given["refund"], given["outcome"], reason=given.get("reason", "unknown"))


def _open_dispute(world: StripeWorld, given: Json) -> Any:
    reason = given.get("reason", "fraudulent")
    return world.open_dispute(given["payment_intent"], given.get("amount"), reason=reason)


CONTROLS: tuple[Control, ...] = (
    Control("GET", "money", "what became of each payment", lambda world, _: {"payments": world.money()}),
    Control("GET", "state", "everything that is known", lambda world, _: world.dump()),
    Control("GET", "deliveries", "webhooks: sent, queued and dropped", lambda world, _: world.delivery.report()),
    Control(
        "POST",
        "pay",
        "press a button of the hosted page: card, card_declined, link, fpx, fpx_later, grabpay",
        _pay,
        {"session": _TEXT, "method": _TEXT, "wait": _FLAG},
        ("session",),
    ),
    Control(
        "POST",
        "settle_async",
        "the bank decides a payment that is processing",
        lambda world, given: world.settle_async(given["payment_intent"], succeed=given["succeed"]),
        {"payment_intent": _TEXT, "succeed": _FLAG},
        ("payment_intent", "succeed"),
    ),
    Control(
        "POST",
        "expire_hold",
        "a hold lapses now",
        lambda world, given: world.expire_hold(given["payment_intent"]),
        {"payment_intent": _TEXT},
        ("payment_intent",),
    ),
    Control(
        "POST",
        "finish_refund",
        "a refund becomes succeeded or failed",
        _finish_refund,
        {"refund": _TEXT, "outcome": _TEXT, "reason": _TEXT},
        ("refund", "outcome"),
    ),
    Control(
        "POST",
        "open_dispute",
        "the cardholder disputes a charge",
        _open_dispute,
        {"payment_intent": _TEXT, "amount": _WHOLE, "reason": _TEXT},
        ("payment_intent",),
    ),
    Control(
        "POST",
        "close_dispute",
        "the bank decides a dispute: won or lost",
        lambda world, given: world.close_dispute(given["dispute"], given["outcome"]),
        {"dispute": _TEXT, "outcome": _TEXT},
        ("dispute", "outcome"),
    ),
    Control("POST", "pay_out", "the day's payout to the bank", lambda world, _: {"payouts": world.pay_out()}),
    Control(
        "POST",
        "fail_payout",
        "the bank refuses a payout",
        lambda world, given: world.fail_payout(given["payout"]),
        {"payout": _TEXT},
        ("payout",),
    ),
    Control("POST", "advance", "the clock jumps ahead", _advance, {"seconds": _NUMBER}, ("seconds",)),
    Control(
        "POST",
        "webhooks",
        "deliver copies, late, shuffled, not at all; pause; other addresses",
        _webhooks,
        {
            "copies": _WHOLE,
            "delay_s": _NUMBER,
            "reorder_seed": (int, type(None)),
            "reorder_window_s": _NUMBER,
            "drop": (list,),
            "paused": _FLAG,
            "urls": (list,),
            "secret": _TEXT,
        },
    ),
    Control(
        "POST",
        "elsewhere",
        "send an event of another account, or of the live mode",
        lambda world, given: world.tell_elsewhere(account=given.get("account"), live=given.get("live", False)),
        {"account": _TEXT, "live": _FLAG},
    ),
    Control("POST", "redeliver", "send an event again", _redeliver, {"event": _TEXT}, ("event",)),
    Control(
        "POST",
        "fail",
        "fail the next API calls: 409, 429, 500, 502, 503, cut, hang; before or after their work",
        _fail,
        {"kind": _TEXT, "when": _TEXT, "times": _WHOLE, "pattern": _TEXT},
        ("kind",),
    ),
    Control("POST", "recover", "forget planned failures and latency", _recover),
    Control("POST", "latency", "every API call takes longer", _latency, {"seconds": _NUMBER}, ("seconds",)),
    Control(
        "POST",
        "rules",
        "switch how this account behaves",
        lambda world, given: asdict(world.set_rules(**given)),
        {
            "held_payment_status": _TEXT,
            "refuse_partial_capture": _FLAG,
            "enforce_smallest_charge": _FLAG,
            "card_last4": _TEXT,
            "twin_events": _FLAG,
            "fee_basis_points": _WHOLE,
            "fee_fixed": _WHOLE,
            "dispute_fee": _WHOLE,
            "balance_delay_s": _WHOLE,
            "available_after_days": _WHOLE,
        },
    ),
)


def add_controls(app: Flask, world: StripeWorld) -> None:
    """Serve `/_sandbox/…`."""
    for control in CONTROLS:
        name = f"control {control.name}"
        app.add_url_rule(f"/_sandbox/{control.name}", name, _view(world, control), methods=[control.method])
    app.add_url_rule("/_sandbox", "controls", lambda: jsonify(listing()), methods=["GET"])


def listing() -> Json:
    """Name, fields and purpose of each control endpoint."""
    return {
        f"{control.method} /_sandbox/{control.name}": {"does": control.help, "takes": sorted(control.takes)}
        for control in CONTROLS
    }


def _view(world: StripeWorld, control: Control) -> Callable[[], tuple[Response, int]]:
    def view() -> tuple[Response, int]:
        try:
            made = control.work(world, _given(control))
            with world.world():
                # Another request may change the very object while it is being written out.
                made = copy.deepcopy(made)
            return jsonify(made), 200
        except SandboxMisuse as misuse:
            return jsonify(error={"code": "misuse", "message": str(misuse)}), 400
        except StripeRefusal as refusal:
            return jsonify(error={"code": refusal.code or "refused", "message": refusal.message}), 400

    return view


def _given(control: Control) -> Json:
    if control.method == "GET":
        return {}
    given = request.get_json(force=True, silent=True) if request.get_data() else {}
    if not isinstance(given, dict):
        raise SandboxMisuse("the body must be a JSON object")
    for name, value in given.items():
        if name not in control.takes:
            raise SandboxMisuse(
                f"unknown field {name!r}: this takes {', '.join(sorted(control.takes)) or 'nothing'}"
            )
        # bool is an int to Python, but `true` is no number.
        wanted = control.takes[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise SandboxMisuse(f"the field {name!r} is of the wrong type")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise SandboxMisuse(f"the field {name!r} must be a list of strings")
    for name in control.needs:
        if name not in given:
            raise SandboxMisuse(f"the field {name!r} is missing")
    return given
