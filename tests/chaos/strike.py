"""Carries out the drawn faults, and takes each back when its time is over. All in the thread that made the plant.

A slow disk is imitated by a connection that holds SQLite's write lock: to every cloud it looks as a disk does
that takes seconds for a commit, at times longer than they wait for one. A cloud that happens to be frozen in a
commit does the same to the others.
"""

import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from arcade_sandbox.stripe.faults import Kind as StripeKind
from chaos.plant import Plant, Unit, send
from chaos.storm import AIM_WITHIN_S, Fault

Undo = Callable[[], None]

MONEY_EVENTS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "payment_intent.amount_capturable_updated",
    "payment_intent.succeeded",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "charge.succeeded",
    "charge.captured",
    "charge.refunded",
    "charge.updated",
    "refund.created",
    "refund.updated",
)
# Stripe remembers a 500 with its key, and the cloud keeps a key for ten minutes and longer: a capture, a
# cancellation or a refund that got one without being done would be final only then. They get the other failures.
_FAILURES: tuple[tuple[StripeKind, str], ...] = (
    ("500", "GET *"),
    ("500", "POST /v1/checkout/sessions"),
    ("429", "*"),
    ("502", "*"),
    ("503", "*"),
    ("409", "POST *"),
    ("cut", "*"),
)
_SILENT: tuple[StripeKind, ...] = ("cut", "hang", "500", "502")
_MONEY_CALLS = ("POST /v1/refunds*", "POST /v1/payment_intents/*", "POST /v1/checkout/sessions", "POST *")


@dataclass
class _Aim:
    """A fault that waits for more of what is `name`d to happen than was `seen`, until `begin_ns`."""

    fault: Fault
    name: str
    seen: int
    begin_ns: int


def _awaited(fault: Fault) -> str:
    """A machine, whose next coinpulse is meant; "" for the next payment."""
    return fault.target.partition(" - ")[0] if "cab-" in fault.target else ""


@dataclass
class Strike:
    """Faults that are under way, and those that were."""

    plant: Plant
    faults: list[Fault]
    began_ns: int
    happened: Callable[[str], int]  # how many payments ("") or long trains of a machine
    struck: Counter[str] = field(default_factory=Counter)
    away: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # agents, by the wall clock
    _under_way: list[tuple[int, Fault, Undo]] = field(default_factory=list)
    _aiming: list[_Aim] = field(default_factory=list)

    @property
    def under_way(self) -> int:
        """How many faults last at this moment."""
        return len(self._under_way)

    def pass_time(self) -> None:
        """Do what is due now: faults that end, then faults that begin."""
        now_ns = time.monotonic_ns()
        for ends_ns, fault, undo in list(self._under_way):
            if ends_ns <= now_ns:
                self._end(ends_ns, fault, undo)
        while self.faults and self.began_ns + int(self.faults[0].at_s * 1e9) <= now_ns:
            fault = self.faults.pop(0)
            if fault.aimed:
                name = _awaited(fault)
                self._aiming.append(_Aim(fault, name, self.happened(name), now_ns + int(AIM_WITHIN_S * 1e9)))
            else:
                self._begin(fault, now_ns)
        for aim in list(self._aiming):
            if aim.begin_ns > now_ns and self.happened(aim.name) > aim.seen:
                aim.seen = sys.maxsize  # once is enough
                aim.begin_ns = min(aim.begin_ns, now_ns + int((aim.fault.then_s or 0.0) * 1e9))
            if aim.begin_ns <= now_ns:
                self._aiming.remove(aim)
                self._begin(aim.fault, now_ns)

    def end_all(self) -> None:
        """No more faults, and those under way end now."""
        self.faults.clear()
        self._aiming.clear()
        for ends_ns, fault, undo in list(self._under_way):
            self._end(ends_ns, fault, undo)

    def _begin(self, fault: Fault, now_ns: int) -> None:
        undo = self._strike(fault, random.Random(fault.dice))
        if undo is None:
            return
        self.struck[fault.kind.name] += 1
        if fault.kind.hits == "agent":
            self.away.setdefault(fault.target, []).append((time.time() * 1000, float("inf")))
        self._under_way.append((now_ns + int(fault.for_s * 1e9), fault, undo))

    def _end(self, ends_ns: int, fault: Fault, undo: Undo) -> None:
        self._under_way.remove((ends_ns, fault, undo))
        undo()
        if fault.kind.hits == "agent":
            began_ms, _ = self.away[fault.target].pop()
            self.away[fault.target].append((began_ms, time.time() * 1000))

    def _strike(self, fault: Fault, dice: random.Random) -> Undo | None:
        match fault.kind.hits:
            case "cloud":
                return _on_unit(fault.kind.name, self.plant.clouds[fault.target])
            case "agent":
                return _on_unit(fault.kind.name, self.plant.agents[fault.target])
            case "broker":
                return self._on_broker(fault.kind.name)
            case "link":
                return self._on_link(fault)
            case "store":
                return self._on_store()
            case "stripe":
                return self._on_stripe(fault.kind.name, dice)
            case _:
                return self._on_webhooks(fault, dice)

    def _on_broker(self, kind: str) -> Undo:
        broker = self.plant.system.broker
        if kind == "broker frozen":
            pid = broker.pid
            send(pid, signal.SIGSTOP)
            return lambda: send(pid, signal.SIGCONT)
        if kind == "broker restarted":
            broker.stop()
        else:
            broker.kill()
        if kind == "broker killed, its memory lost":
            (broker.folder / "sessions.db").unlink(missing_ok=True)
        return broker.start

    def _on_link(self, fault: Fault) -> Undo:
        link = self.plant.links[fault.target]
        match fault.kind.name:
            case "connection cut":
                link.cut(refuse=True)
                return link.mend
            case "connection stalled":
                link.stall()
            case "connection stalled one way":
                link.stall("to server" if fault.dice % 2 else "to client")
            case _:
                link.go_silent()
        return link.resume

    def _on_store(self) -> Undo | None:
        holder = sqlite3.connect(self.plant.system.folder / "cloud.sqlite", timeout=1.0, isolation_level=None)
        try:
            holder.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # a frozen process has the lock already, which is the same fault
            holder.close()
            return None
        return holder.close

    def _on_stripe(self, kind: str, dice: random.Random) -> Undo:
        stripe = self.plant.system.stripe
        times = dice.randint(1, 6)
        if kind == "Stripe slow":
            stripe.faults.set_latency(dice.uniform(0.2, 3.0))
        elif kind == "Stripe fails":
            failure, pattern = dice.choice(_FAILURES)
            stripe.fail_next(failure, "before", times=times, pattern=pattern)
        else:
            stripe.fail_next(dice.choice(_SILENT), "after", times=times, pattern=dice.choice(_MONEY_CALLS))
        return stripe.faults.clear

    def _on_webhooks(self, fault: Fault, dice: random.Random) -> Undo:
        stripe = self.plant.system.stripe
        match fault.kind.name:
            case "webhooks late":
                stripe.configure_webhooks(delay_s=fault.for_s)
            case "webhooks never":
                stripe.configure_webhooks(drop=MONEY_EVENTS)
            case _:
                seed = dice.randrange(2**31)
                stripe.configure_webhooks(copies=dice.randint(2, 4), reorder_seed=seed, reorder_window_s=2.0)
        return lambda: stripe.configure_webhooks(copies=1, delay_s=0.0, reorder_seed=None, drop=())


def _on_unit(kind: str, unit: Unit) -> Undo | None:
    process = unit.process
    if not process.running:
        return None
    if kind.endswith("frozen"):
        process.send(signal.SIGSTOP)
        return lambda: process.send(signal.SIGCONT)
    unit.wanted = False
    if kind.endswith("killed"):
        process.kill()
    else:
        process.send(signal.SIGTERM)

    def start() -> None:
        process.kill()  # as every supervisor does with what takes too long to stop in order
        unit.wanted = True
        process.start()

    return start
