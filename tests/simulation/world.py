"""One run: the world of a seed is drawn, lives through its faults, comes to rest, and leaves its evidence."""

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from arcade_cloud.adapters.store.form_1 import flattened
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.order import Credit, Order
from arcade_edge.domain.meter import Meter
from arcade_edge.domain.pulses import Profile
from arcade_shared.signing import machine_key
from simulation import evidence as seen
from simulation.closures import Closures
from simulation.evidence import Cause, Condition, Evidence, LineProfile, Restore, Trouble, WrongClock
from simulation.faults import DAY, HOUR, MINUTE, SECOND, WINDOWS, Faults, draw
from simulation.intruders import Intruders
from simulation.players import People, offers_in
from simulation.scheduler import START_MS, Scheduler
from simulation.shops import Shops
from simulation.sim_broker import SimBroker
from simulation.sim_cloud import SOFTWARE, Cloud, Endless
from simulation.sim_pi import Pi
from simulation.sim_stripe import SimPayments, StripeSide
from simulation.tab_players import BRISK_TIMES_S, TabPlayers, tab_limits

PROFILES = (Profile(), Profile(50, 50), Profile(60, 120, 2), Profile(50, 50, 3))
REST = 8 * MINUTE
# Most runs are brisk: idle hours show little, and cost as much as busy ones.
BRISK = 0.93
# In so many of the seeds some play on tabs.
WITH_TABS = 0.9
LONGEST_WHEN_BRISK = 20 * MINUTE
CURRENCIES = ("myr", "myr", "myr", "myr", "kwd", "isk")
# Zones whose clocks are the same all the year, and how far they are ahead of UTC.
ZONES = (("Asia/Kuala_Lumpur", 8 * HOUR), ("Pacific/Marquesas", -9 * HOUR - 30 * MINUTE), ("UTC", 0))
# How far the clock of a cloud process may be off: what NTP leaves as a rule, and now and then a host without it.
USUAL_SKEW_MS, RARE_SKEW_MS, RARELY = 2 * SECOND, 30 * SECOND, 0.3
MOST_OFF_MS = 8 * HOUR
WATCHING = {
    "attacker has the broker",
    "careless Pi answers for others",
    "thief with another machine's key",
    "leftovers retained",
}
# Longer than Stripe repeats webhooks, a hold lasts, a refund may come back, and anything may be waited for.
AFTERWARDS = 40 * DAY
FOR_GOOD_MS = START_MS + 1_000 * DAY


@dataclass(frozen=True)
class Run:
    """What is left of a run."""

    seed: int
    evidence: Evidence
    fingerprint: str
    trace: list[tuple[object, ...]]
    started_ms: int = START_MS


def _log_uniform(rng: random.Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _limits(rng: random.Random, brisk: bool) -> Limits:
    if not brisk:
        return Limits()
    return Limits(
        deliver_within_s=rng.choice((60, 120)),
        silence_limit_s=rng.choice((200, 400, 900)),
        hold_silence_limit_s=rng.choice((200, 300, 900)),
        last_resort_s=rng.choice((1_000, 2_000)),
        checkout_life_s=1_860,
    )


def _tab_times(limits: Limits, rng: random.Random, brisk: bool) -> Limits:
    """The limits of a run in which some play on tabs."""
    if not brisk:
        return limits
    fresh_s, idle_s, life_s = rng.choice(BRISK_TIMES_S)
    return replace(limits, tab_fresh_s=fresh_s, tab_idle_s=idle_s, tab_life_s=life_s)


class World:
    """The world of one seed."""

    def __init__(self, seed: int, weather: Sequence[str] = (), *, tabs: bool | None = None) -> None:
        """`tabs`: whether some play on tabs; None: as the seed has it."""
        self.seed = seed
        self.rng = rng = random.Random(seed)  # it must be the same again
        stream = self._stream
        self.scheduler = scheduler = Scheduler()
        self.faults: Faults = draw(seed, weather)
        self.brisk = rng.random() < BRISK
        tab_rng = stream("tabs")
        has_tabs = tab_rng.random() < WITH_TABS if tabs is None else tabs
        limits = _limits(rng, self.brisk)
        if has_tabs:
            limits = _tab_times(limits, tab_rng, self.brisk)
        timer_s = rng.choice((1, 1, 1, 60))
        self.evidence = evidence = Evidence(
            seed,
            seen.Limits(
                limits.deliver_within_s,
                limits.silence_limit_s,
                limits.hold_silence_limit_s,
                limits.last_resort_s,
                limits.answer_s,
                timer_s,
                limits.checkout_life_s,
                self._machine_silent_s(),
                limits.tab_idle_s,
                limits.tab_life_s,
                limits.tab_fresh_s,
            ),
            *ZONES[seed % len(ZONES)],
        )
        self.secrets = [rng.randbytes(32).hex()]
        self.broker = SimBroker(scheduler, stream("broker"), self.faults, evidence)
        self.payments = SimPayments(scheduler, stream("payments"), self.faults)
        self.cloud = Cloud(
            scheduler,
            stream("cloud"),
            self.faults,
            evidence,
            limits,
            self.payments,
            self.broker,
            list(self.secrets),
            stream("watch"),
            stream("receipts"),
            tab_limits(stream("currency").choice(CURRENCIES)) if has_tabs else (),
        )
        self.broker.hear = self.cloud.hear
        if not self.cloud.serverless:
            self.cloud.listens = self.broker.cloud_listens
        self.side = StripeSide(scheduler, stream("Stripe"), self.faults, evidence, self.payments, self.cloud)
        currency = stream("currency").choice(CURRENCIES)
        self.offers = offers_in(currency)
        for offer in self.offers:
            self.payments.stripe.add_price(offer.price_id or "", offer.amount_minor, currency)
        self.payments.stripe.add_price("price_default", 200)
        self.pis: list[Pi] = []
        self.spares: list[Pi] = []
        self.machines: list[str] = []
        self._furnish()
        self.people = People(
            scheduler,
            stream("people"),
            self.faults,
            evidence,
            self.cloud,
            self.side,
            self.machines,
            self.offers,
            stream("claims"),
        )
        self.closures = Closures(scheduler, evidence, self.cloud)
        self.tab_players: TabPlayers | None = None
        if has_tabs:
            self.tab_players = TabPlayers(
                scheduler,
                tab_rng,
                self.faults,
                evidence,
                self.cloud,
                self.side,
                self.machines,
                self.offers,
            )
        self.shops = Shops(scheduler, stream("shops"), evidence, self.side, self.machines)
        agents = [pi.machine_id for pi in self.pis]
        self.intruders = Intruders(
            scheduler, stream("intruders"), self.faults, evidence, self.broker, self.secrets, agents
        )
        self.horizon_ms = round(_log_uniform(rng, 2 * MINUTE, 15 * MINUTE if self.brisk else HOUR))
        self.end_ms = START_MS + self.horizon_ms
        self.players = rng.choice((1, 3, 10, 20, 35, 50))

    def _stream(self, name: str) -> random.Random:
        """Each part has chance of its own, so that one that is asked more often does not change all others."""
        return random.Random(f"{self.seed} {name}")

    def _machine_silent_s(self) -> int:
        """Where the cloud stays deaf for good, it would try to hear for all the days that follow."""
        if "acks lost for good" in self.faults.windows:
            return 0
        return self._stream("silent machines").choice((0, 120, 300, 600))

    def _furnish(self) -> None:
        rng = self.rng
        for number in range(1, rng.choice((1, 1, 2, 3)) + 1):
            machine_id = f"cab-{number}"
            self.cloud.store.put_machine(Machine(machine_id=machine_id, version=1, offers=self.offers), 0)
            profile = rng.choice(PROFILES)
            self.pis.append(
                self._pi(
                    machine_id,
                    machine_id,
                    profile,
                    has_ready=rng.random() < 0.4,
                    meter=self._meter(machine_id) if rng.random() < 0.3 else None,
                )
            )
            if "second Pi with the same id" in self.faults.windows:
                self.spares.append(self._pi(machine_id, f"{machine_id}-spare", profile))
            self.machines.append(machine_id)
        if rng.random() < 0.2:
            machine_id = "software"
            machine = Machine(machine_id=machine_id, version=1, kind="subscriber", offers=self.offers)
            self.cloud.store.put_machine(machine, 0)
            self.evidence.subscribers.add(machine_id)
            self.machines.append(machine_id)
            if rng.random() < 0.9:
                self.broker.subscribers[machine_id] = lambda payload: None

    def _pi(
        self, machine_id: str, line: str, profile: Profile, *, has_ready: bool = False, meter: Meter | None = None
    ) -> Pi:
        self.evidence.profiles[line] = LineProfile(profile.pulse_ms, profile.gap_ms, profile.pulses_per_credit)
        return Pi(
            self.scheduler,
            self._stream(line),
            self.faults,
            self.evidence,
            self.broker,
            machine_id,
            line,
            (machine_key(self.secrets[0], machine_id),),
            profile,
            has_ready=has_ready,
            meter=meter,
        )

    def _meter(self, machine_id: str) -> Meter:
        return Meter(counts=self._stream(f"{machine_id}'s meter").random() < 0.5)

    # --- a life

    def live(self) -> Run:
        """From the first to the last event."""
        try:
            self._live()
        except Endless as error:
            self.evidence.defects.append(f"{error} never comes to rest")
        return Run(self.seed, self._collect(), self.scheduler.fingerprint(), self.scheduler.trace)

    def _live(self) -> None:
        rng, scheduler = self.rng, self.scheduler
        for pi in self.pis:
            scheduler.after(rng.randint(0, 3_000), pi.power_on)
        if self.faults.rates or self.faults.windows:
            self._draw_windows()
        for _ in range(self.players):
            self.people.arrive(START_MS + rng.randint(4_000, self.horizon_ms))
        self.shops.arrive(START_MS, self.horizon_ms)
        if self.tab_players is not None:
            self.tab_players.arrive(START_MS, self.horizon_ms)
        scheduler.run_until(self.end_ms + rng.randint(0, 2 * MINUTE))
        self._come_to_rest()

    def _draw_windows(self) -> None:
        for name, times in self.faults.windows.items():
            rng = self.faults.stream(name)
            _, low, high = WINDOWS[name]
            high = min(high, LONGEST_WHEN_BRISK) if self.brisk else high
            for _ in range(times):
                begin_ms = START_MS + rng.randint(0, self.horizon_ms)
                end_ms = begin_ms + round(_log_uniform(rng, low, high))
                self.scheduler.at(begin_ms, self._opening(name, end_ms))
                if name != "attacker has the broker":
                    self.end_ms = max(self.end_ms, end_ms)
        if WATCHING & set(self.faults.windows):
            self.intruders.begin()

    def _opening(self, name: str, end_ms: int) -> Callable[[], None]:
        def begin() -> None:
            self.faults.happened[name] += 1
            self.scheduler.note("window", name, (end_ms - self.scheduler.now_ms) // 1000)
            now_ms, until_ms = self.scheduler.now_ms, FOR_GOOD_MS if name == "acks lost for good" else end_ms
            self.evidence.causes.append(Cause(now_ms, name, ""))
            self.evidence.troubles.append(Trouble(now_ms, until_ms, name))
            end = self._begin(name, end_ms)
            if end is not None:
                self.scheduler.at(end_ms, end)

        return begin

    def _begin(self, name: str, end_ms: int) -> Callable[[], object] | None:
        """Let it begin; how it ends."""
        broker, cloud, rng = self.broker, self.cloud, self.faults.stream(name)
        match name:
            case "broker down" | "broker restarted with its memory":
                broker.stop()
                return broker.start
            case "broker restarted without its memory":
                broker.stop(forget=True)
                return broker.start
            case "acks lost on their way":
                broker.acks_lost = True
                return self._ending(broker, "acks_lost")
            case "acks lost for good":
                broker.acks_lost_for_good = True
                return None
            case "acks held up":
                broker.acks_held = True
                return broker.release_acks
            case "Stripe down":
                self.payments.is_down = True
                return self._ending(self.payments, "is_down")
            case "store down":
                cloud.store.unavailable = True
                return self._ending(cloud.store, "unavailable")
            case "cloud down":
                cloud.is_down = True
                return self._ending(cloud, "is_down")
            case "attacker has the broker":
                self.intruders.attack(end_ms)
                return None
            case "careless Pi answers for others":
                self.intruders.careless = True
                return self._ending(self.intruders, "careless")
            case "thief with another machine's key":
                self.intruders.thieving = True
                return self._ending(self.intruders, "thieving")
            case "database restored from a backup":
                backup, first, now_ms = cloud.store.backup(), len(self.evidence.steps), self.scheduler.now_ms
                return lambda: self._restore(backup, now_ms, first)
            case "leftovers retained":
                self.intruders.leave(rng)
                return None
            case "a cloud process has another time":
                return self._set_wrong(rng)
            case "a cloud process's clock is hours off":
                return self._set_far_off(rng)
            case "signing secret rotated":
                return self._rotate(end_ms)
            case "machine out of service":
                return self._close(end_ms, rng)
        pi = rng.choice(self.spares if name == "second Pi with the same id" else self.pis)
        match name:
            case "link of a Pi down":
                pi.set_network(False)
                return lambda: pi.set_network(True)
            case "Pi without power":
                pi.power_cut(end_ms - self.scheduler.now_ms)
                return None
            case "client id of a Pi taken":
                self._take_client_id(pi, end_ms, rng)
                return None
            case "detector of a Pi fails":
                kind: Any = rng.choice(("ready", "game_over"))
                pi.lose_detector(kind)
                return lambda: pi.find_detector(kind)
            case "machine not ready":
                pi.set_ready(False)
                return lambda: pi.set_ready(True)
            case "coin not registered":
                pi.registers = False
                return pi.mend
            case "second Pi with the same id":
                pi.power_on()
                return pi.power_off
            case _:
                pi.wall_off_ms = rng.randint(-30 * 365 * DAY, 30 * 365 * DAY) // 1000 * 1000
                pi.wall_stopped = rng.random() < 0.3
                return None

    def _restore(self, backup: dict[str, Any], backup_ms: int, first: int) -> None:
        """The cloud's processes stop, an older state of the database is put in place, and they begin anew."""
        self.scheduler.note("restored", self.scheduler.now_ms - backup_ms)
        self.cloud.store.restore(backup)
        self.cloud.begin_receipts_anew()
        # At once: what the processes do as they begin takes time, and is remembered.
        self.evidence.restores.append(Restore(backup_ms, self.scheduler.now_ms, first, len(self.evidence.steps)))
        self.cloud.restart()
        self.cloud.reconcile_from_now()
        if self.tab_players is not None:
            self.cloud.close_all_tabs()

    def _take_client_id(self, pi: Pi, until_ms: int, rng: random.Random) -> None:
        """Somebody comes to know each client id that a Pi has, for a while."""
        if not self.faults.on or self.scheduler.now_ms >= until_ms:
            return
        pi.take_client_id()
        pause_ms = rng.choice((2 * SECOND, 20 * SECOND, 3 * MINUTE))
        self.scheduler.after(pause_ms, lambda: self._take_client_id(pi, until_ms, rng))

    def _set_wrong(self, rng: random.Random) -> Callable[[], None]:
        """The clock of one of the cloud's processes, or of its host."""
        worker = rng.choice(self.cloud.workers)
        most_ms = RARE_SKEW_MS if rng.random() < RARELY else USUAL_SKEW_MS
        worker.skew_ms = rng.randint(-most_ms, most_ms)
        self.evidence.skew_ms = max(self.evidence.skew_ms, abs(worker.skew_ms))
        self.scheduler.note("skew", worker.index, worker.skew_ms)
        return lambda: setattr(worker, "skew_ms", 0)

    def _close(self, end_ms: int, rng: random.Random) -> Callable[[], None] | None:
        """An operator closes a machine, and opens it again or has said until when it is closed."""
        machine_id = rng.choice(self.machines)
        if rng.random() < 0.5:
            self.closures.close(machine_id, end_ms)
            return None
        self.closures.close(machine_id, None)
        return lambda: self.closures.open(machine_id)

    def _set_far_off(self, rng: random.Random) -> Callable[[], None]:
        """The clock of one of the cloud's processes jumps, ahead or behind, and later back to where it was."""
        worker = rng.choice(self.cloud.workers)
        worker.skew_ms = rng.choice((-1, 1)) * round(_log_uniform(rng, 15 * SECOND, MOST_OFF_MS))
        wrong = WrongClock(self.scheduler.now_ms, worker.skew_ms)
        self.evidence.wrong_clocks.append(wrong)
        self.scheduler.note("far off", worker.index, worker.skew_ms)
        self.cloud.recheck_from_now()

        def put_right() -> None:
            worker.skew_ms, wrong.until_ms = 0, wrong.until_ms or self.scheduler.now_ms
            self.cloud.recheck_from_now()

        return put_right

    def _ending(self, thing: object, name: str) -> Callable[[], None]:
        return lambda: setattr(thing, name, False)

    def _rotate(self, end_ms: int) -> Callable[[], None]:
        """A new secret: the cloud takes both, then the Pis get their new keys, then the old one goes."""
        new = self.rng.randbytes(32).hex()
        self.cloud.secrets[:] = [new, self.secrets[0]]
        self.cloud.restart()

        def provide(pi: Pi) -> None:
            pi.keys = (machine_key(new, pi.machine_id),)
            pi.restart_agent()

        for pi in [*self.pis, *self.spares]:
            at_ms = self.rng.randint(self.scheduler.now_ms, end_ms)
            self.scheduler.at(at_ms, lambda pi=pi: provide(pi))  # type: ignore[misc]  # bound now

        def end() -> None:
            self.secrets[:] = [new]
            self.cloud.secrets[:] = [new]
            self.cloud.restart()

        return end

    def _come_to_rest(self) -> None:
        """No more faults: everything works again, then the machines are switched off for days, and on again."""
        faults, scheduler, cloud = self.faults, self.scheduler, self.cloud
        faults.on = False
        self.evidence.quiet_from_ms = scheduler.now_ms
        scheduler.note("quiet")
        self.broker.acks_lost = self.payments.is_down = cloud.store.unavailable = cloud.is_down = False
        self.intruders.careless = self.intruders.thieving = False
        for worker in cloud.workers:
            worker.skew_ms = 0
            if not worker.up:
                worker.start()
        for wrong in self.evidence.wrong_clocks:
            wrong.until_ms = wrong.until_ms or scheduler.now_ms
        if "a cloud process's clock is hours off" in faults.windows:
            cloud.recheck_from_now()
        self.broker.start()
        self.closures.open_all()
        for pi in self.pis:
            pi.set_network(True)
            for kind in list(pi.lost):
                pi.find_detector(kind)
            pi.set_ready(True)
            if not pi.registers:
                pi.mend()
            pi.power_on()
        scheduler.run_until(scheduler.now_ms + REST)
        self.evidence.machines_off_ms = scheduler.now_ms
        for pi in [*self.pis, *self.spares]:
            pi.power_off()
        scheduler.run_until(scheduler.now_ms + AFTERWARDS)
        self.evidence.machines_on_ms = scheduler.now_ms
        for pi in self.pis:
            pi.power_on()
        scheduler.run_until(scheduler.now_ms + 2 * MINUTE)
        if "attacker has the broker" in faults.windows:
            scheduler.run_until(scheduler.now_ms + 11 * MINUTE)  # the journals are pruned by then
            self.intruders.replay_all()
            scheduler.run_until(scheduler.now_ms + MINUTE)

    def _collect(self) -> Evidence:
        evidence, store = self.evidence, self.cloud.store
        evidence.ended_ms = self.scheduler.now_ms
        orders = store.recent_orders(100_000)
        evidence.orders = [msgspec.to_builtins(flattened(order)) for order in orders if order.tab is None]
        evidence.tabs = [_tab(order) for order in orders if order.tab is not None]
        evidence.readings = self.payments.readings
        evidence.takings = [
            msgspec.structs.asdict(line)
            for day_ms in range(START_MS - DAY, evidence.ended_ms + 2 * DAY, DAY)
            for line in store.lines_of_day(time.strftime("%Y-%m-%d", time.gmtime(day_ms // 1000)))
        ]
        evidence.tallies = [
            {**msgspec.structs.asdict(place), **msgspec.structs.asdict(counts.sums), "lines": counts.lines}
            for day_ms in range(START_MS - DAY, evidence.ended_ms + 2 * DAY, DAY)
            for place, counts in store.tallies_of_day(
                time.strftime("%Y-%m-%d", time.gmtime(day_ms // 1000))
            ).items()
        ]
        evidence.receipts = [
            msgspec.structs.asdict(receipt)
            for series in store.receipts.series()
            for receipt in store.receipts.numbered(series.prefix, 1, 1_000_000)
        ]
        evidence.receipts_waiting = len(store.receipts.due(1_000_000))
        evidence.counts = [
            msgspec.structs.asdict(count)
            for machine in store.machines()
            for count in store.counts(machine.machine_id, 0, 1_000_000)
        ]
        evidence.announced = [json.loads(one.body) for one in store.software.postings(SOFTWARE, 1_000_000)]
        evidence.alerts = [(alert.kind, alert.subject) for alert in store.recent_alerts(100_000)]
        evidence.conditions = [
            Condition(alert.kind, alert.subject, alert.at_ms, alert.ended_at_ms)
            for alert in store.recent_alerts(100_000)
            if alert.condition
        ]
        evidence.money = self.payments.stripe.money()
        evidence.acts = [seen.Act(*act) for act in self.payments.acts]
        evidence.faults = dict(self.faults.happened)
        evidence.troubles += [Trouble(START_MS, evidence.quiet_from_ms, name) for name in self.faults.rates]
        return evidence


def _tab(order: Order) -> dict[str, Any]:
    """A tab, and its plays: a play has the fields of an order of one credit."""
    tab = order.tab
    shared: dict[str, Any] = {"order_id": order.order_id, "kind": "tab", "state": order.state}
    shared |= {"payment_intent": order.payment_intent, "created_at_ms": order.created_at_ms, "held": True}
    return {
        **shared,
        "machine_id": order.machine_id,
        "credit_id": None,
        "resolved_by": "",
        "closed_by": "" if tab is None or tab.closing is None else tab.closing.by,
        "plays": [{**shared, **_play(credit)} for credit in order.credits],
    }


def _play(credit: Credit) -> dict[str, Any]:
    command, delivery, resolution = credit.command, credit.delivery, credit.resolution
    return {
        "machine_id": credit.machine_id,
        "credit_id": None if command is None else command.credit_id,
        "installation": None if command is None else command.installation,
        "credits": credit.count,
        "price_minor": credit.price_minor,
        "token": "" if credit.draw is None else credit.draw.token,
        "drawn_ms": credit.drawn_at_ms,
        "delivered": None if resolution is None else resolution.delivered,
        "resolved_by": "" if resolution is None else resolution.by,
        "uncertain": 0 if delivery is None else delivery.uncertain,
    }


def run(seed: int, weather: Sequence[str] = (), *, tabs: bool | None = None) -> Run:
    """The run of a seed: always the same."""
    return World(seed, weather, tabs=tabs).live()
