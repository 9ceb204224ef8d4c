"""One run: players and faults until the time is up, peace until all is final, then the account."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from arcade_sandbox.errors import SandboxMisuse, SystemFailed
from arcade_sandbox.stripe.errors import StripeRefusal
from chaos import findings
from chaos.plant import ANSWER_S, DELIVER_WITHIN_S, SILENCE_LIMIT_S, TAB_IDLE_S, Plant
from chaos.players import Crowd
from chaos.storm import LONG_FROM_S, draw
from chaos.strike import Strike
from chaos.table import Progress
from chaos.verdict import FINAL, Account, check
from chaos.witness import Witness

PLAYERS_PER_MACHINE = 3
# docs/ORDER_LIFE.md, "By when an order is final": for a machine that is silent.
RESOLVED_WITHIN_S = DELIVER_WITHIN_S + SILENCE_LIMIT_S + 2 * 60 + ANSWER_S
# The same document: when a settlement is tried again that failed; and when Stripe is asked about an open order
# whose webhook never came, counted from the order.
SETTLE_BACKOFF_S = (5, 15, 60, 300, 900, 3600)
ASKED_BACKOFF_S = (90, 60, 120, 300, 600, 600)
# On top of what is published: one pass of a loaded timer, one call to Stripe with its repetitions.
SLACK_S = 40.0
# What is still on its way after the last order is final: acks that were not confirmed, events.
QUIET_S = 3.0
PLAYERS_LEAVE_WITHIN_S = 90.0
_STEP_S = 0.005


@dataclass(frozen=True)
class Options:
    """What the command was asked for. `long_s`: how long a long absence lasts."""

    seconds: float
    seed: int
    clouds: int
    agents: int
    folder: Path | None
    keep: bool
    long_s: float


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    account: Account
    struck: Mapping[str, int]
    outcomes: Mapping[str, int]
    final_after_s: list[float]
    wrong: list[str]  # what is no broken promise, and must not be either
    ended_by_themselves: list[str]
    peace_s: float

    @property
    def held(self) -> bool:
        """Whether everything that was promised held."""
        return not self.account.violations and not self.wrong


def patience_s(seconds: float) -> float:
    """How long orders may take to become final once the faults are over, after so long a storm.

    An attempt that failed in the last moment of the storm is made again after a pause, which is the longer the
    more attempts have failed before: only those pauses count that can have begun by then. A tab on which somebody
    has just played is closed when nobody has for so long.
    """
    return (
        TAB_IDLE_S
        + RESOLVED_WITHIN_S
        + _longest(SETTLE_BACKOFF_S, seconds)
        + _longest(ASKED_BACKOFF_S, seconds)
        + SLACK_S
    )


def _longest(pauses_s: tuple[int, ...], seconds: float) -> int:
    began, longest = 0, 0
    for pause_s in pauses_s:
        if began > seconds:
            break
        longest = max(longest, pause_s)
        began += pause_s
    return longest


def run(plant: Plant, options: Options, progress: Progress) -> Outcome:
    """Start faults and players on a plant that is ready, and judge the result. Raises SystemFailed."""
    targets = {
        "cloud": sorted(plant.clouds),
        "agent": sorted(plant.agents),
        "broker": ["broker"],
        "link": sorted(plant.links),
        "store": ["store"],
        "stripe": ["Stripe"],
        "webhooks": ["webhooks"],
    }
    faults = draw(options.seed, options.seconds, targets, options.long_s)
    with Witness(plant.system) as witness:
        # A short run has no time for the timer to ask about a player who did not come back.
        players, all_return = PLAYERS_PER_MACHINE * options.agents, options.seconds < LONG_FROM_S
        crowd = Crowd(plant, options.seed, players, all_return=all_return)

        def happened(name: str) -> int:
            return witness.trains(name) if name else len(crowd.deeds.paid)

        strike = Strike(plant, faults, time.monotonic_ns(), happened)
        crowd.start()
        wrong = _storm(plant, crowd, strike, options.seconds, progress)
        peace_s = _peace(plant, patience_s(options.seconds), progress)
        time.sleep(QUIET_S)
        stripe = plant.system.stripe
        books = {"deliveries": stripe.delivery.report(), **stripe.dump()}
        (plant.system.folder / "stripe.json").write_text(json.dumps(books, indent=1))
        wrong += plant.stop()
    wrong += crowd.deeds.defects
    ended = [
        f"{unit.process.name} ended by itself with {status}"
        for unit in (*plant.clouds.values(), *plant.agents.values())
        for status in unit.exits
    ]
    return Outcome(
        account=check(findings.gather(plant, witness, crowd.deeds, strike.away)),
        struck=Counter(strike.struck),
        outcomes=Counter(crowd.deeds.outcomes),
        final_after_s=findings.final_after_s(plant),
        wrong=wrong,
        ended_by_themselves=ended,
        peace_s=peace_s,
    )


def _storm(plant: Plant, crowd: Crowd, strike: Strike, seconds: float, progress: Progress) -> list[str]:
    """Run faults and purchases until the time is up. Returns what went wrong with the run itself."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        strike.pass_time()
        plant.supervise()
        progress.show(partial(_standing, plant, crowd, strike, left))
        time.sleep(_STEP_S)
    strike.end_all()
    return [] if crowd.stop(PLAYERS_LEAVE_WITHIN_S) else ["a player's or the operator's call never ended"]


def _standing(plant: Plant, crowd: Crowd, strike: Strike, left_s: float) -> str:
    faults, deeds = sum(strike.struck.values()), crowd.deeds
    return (
        f"{left_s:4.0f} s left, {faults} faults ({strike.under_way} now), "
        f"{len(deeds.bought)} orders, {len(deeds.paid)} paid, {unfinished(plant)} under way"
    )


def _peace(plant: Plant, within_s: float, progress: Progress) -> float:
    """Wait until every order is final, at most so long; how long it took."""
    stripe = plant.system.stripe
    began = time.monotonic()
    while (waited := time.monotonic() - began) < within_s:
        plant.supervise()
        _expire_checkouts(plant)
        _decide_payments(plant)
        left = unfinished(plant)
        if left == 0 and stripe.wait_delivered(1.0):
            break
        progress.show(partial("no more faults; {:.0f} s, {} orders under way".format, waited, left))
        time.sleep(0.2)
    return time.monotonic() - began


def _expire_checkouts(plant: Plant) -> None:
    """Players who left the payment page never come back. A page asked for in the storm may still be made."""
    stripe = plant.system.stripe
    for session in stripe.dump().get("checkout.session", []):
        if session["status"] == "open":
            try:
                stripe.expire(session["id"])
            except StripeRefusal as error:
                raise SystemFailed(f"{session['id']}: {error}") from error


def _decide_payments(plant: Plant) -> None:
    """Banks say yes to what still waits for their word: in the storm it may have been lost on its way."""
    stripe = plant.system.stripe
    for intent in stripe.dump().get("payment_intent", []):
        if intent["status"] == "processing":
            with contextlib.suppress(SandboxMisuse):  # a bank's earlier word has come after all
                stripe.settle_async(intent["id"])


def unfinished(plant: Plant) -> int:
    """Orders that are not final, but for those for which no payment page was ever made."""
    store = findings.open_store(plant)
    try:
        found = findings.orders(store)
    finally:
        store.close()
    return sum(
        order.state not in FINAL and not (order.state == "open" and order.checkout_url is None) for order in found
    )
