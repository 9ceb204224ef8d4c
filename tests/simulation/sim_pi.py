"""A Raspberry Pi: the real agent on a simulated journal, coin line and link, at times without power."""

import random
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from arcade_edge.agent.gate import Gate
from arcade_edge.agent.loop import Agent, AgentConfig, Input
from arcade_edge.agent.signals import (
    CreditPulsed,
    DetectorBack,
    DetectorFault,
    DetectorSignal,
    GameOver,
    InputKind,
    MeterPulse,
    PulseFailed,
    PulseHeld,
    ReadyChanged,
)
from arcade_edge.bootstrap import SWITCH_INTERVAL_S
from arcade_edge.domain.credits import Credit
from arcade_edge.domain.meter import Meter
from arcade_edge.domain.pulses import Profile
from arcade_edge.domain.train import TrainRules, sellable_credits
from arcade_edge.errors import CoinLineError, JournalFault
from arcade_edge.hardware.coin_line import PulseThread
from arcade_edge.ports import StopAsked
from simulation.evidence import Cause, Evidence, Game, Pulse, Registered, Span
from simulation.faults import HOUR, MINUTE, SECOND, Faults
from simulation.scheduler import Scheduler
from simulation.sim_broker import SimBroker
from simulation.sim_cloud import PowerCut
from simulation.sim_link import SimLink
from support.memory_journal import MemoryJournal

READY_WAIT_MS = 5 * SECOND
# Between two coins, for a while, for longer than a train waits.
NOT_READY_FOR_MS = (50, 300, 2 * SECOND, 4 * SECOND, 6 * SECOND, 40 * SECOND)
UNPLUGGED_FOR_MS = (SECOND, 4 * SECOND, 9 * SECOND, 12 * SECOND, 40 * SECOND, 3 * MINUTE)
LAGS_MS = (150, 250, 400, 2 * SECOND)
SNAPSHOTS = 6
IN_VAIN = 5
TELLS_GAME_OVER = 0.25


class SimJournal(MemoryJournal):
    """The card: it may be full, power may go at each write, and an older state of it may come back."""

    def __init__(self, installation: str, faults: Faults, rng: random.Random, scheduler: Scheduler) -> None:
        super().__init__(installation)
        self._scheduler = scheduler
        self._faults, self._rng = faults, rng
        self._snapshots: list[tuple[dict[str, Credit], set[str], int, int]] = []
        self.commits = []

    def commit(
        self, credits_: Sequence[Credit] = (), told: Collection[str] = (), *, short_trains: int | None = None
    ) -> None:
        faults = self._faults
        if not faults.on:
            super().commit(credits_, told, short_trains=short_trains)
            return
        if "journal rolled back" in faults.rates and self._rng.random() < 0.3:
            snapshot = (dict(self.credits), set(self.outbox), self._forgotten_before_ms, self._short_trains)
            self._snapshots = [*self._snapshots[-SNAPSHOTS:], snapshot]
        if faults.hit("Pi cut before a journal write"):
            raise PowerCut("before a journal write")
        if faults.hit("journal full"):
            raise JournalFault("database or disk is full")
        super().commit(credits_, told, short_trains=short_trains)
        self.commits.clear()
        if faults.hit("card stalls"):  # everybody else waits with it, which harms nobody
            self._scheduler.now_ms += self._rng.choice((100, 2 * SECOND, 20 * SECOND, 70 * SECOND))
        if faults.hit("Pi cut after a journal write"):
            raise PowerCut("after a journal write")
        if faults.hit("journal says no and has it"):
            raise JournalFault("disk I/O error")

    def roll_back(self) -> bool:
        """An older state of the card; whether there was one."""
        if not self._snapshots:
            return False
        earlier = self._rng.choice(self._snapshots)
        self.credits, self.outbox, self._forgotten_before_ms, self._short_trains = earlier
        self._snapshots = []
        return True


@dataclass
class _Plan:
    """The edges of one credit as they were planned. `over`: those that have not come do not come any more."""

    over: bool = False


class _Clock:
    """The pulse thread's clock while its work is planned: it moves by sleeping, and a little by being read."""

    def __init__(self, now_ms: int) -> None:
        self.ns = now_ms * 1_000_000

    def read(self) -> int:
        self.ns += 1_000_000
        return self.ns

    def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


class _Line:
    """A coin line that writes down when it was driven."""

    def __init__(self, clock: _Clock) -> None:
        self.clock = clock
        self.edges_ms: list[tuple[int, bool]] = []
        self.active = False
        self.broken = 0

    def set_active(self) -> None:
        if self.broken == 1:
            raise CoinLineError("the line does not obey")
        self.active = True
        self.edges_ms.append((self.clock.ns // 1_000_000, True))
        if self.broken == 2:
            raise CoinLineError("the line does not answer")

    def set_inactive(self) -> None:
        if self.active:
            self.edges_ms.append((self.clock.ns // 1_000_000, False))
        self.active = False

    def is_active(self) -> bool:
        return self.active


class Pi:
    """One computer in one cabinet. `line` names its board: the same for good, whatever the journal says."""

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        faults: Faults,
        evidence: Evidence,
        broker: SimBroker,
        machine_id: str,
        line: str,
        keys: tuple[bytes, ...],
        profile: Profile,
        *,
        has_ready: bool = False,
        meter: Meter | None = None,
    ) -> None:
        self.scheduler, self.rng, self.faults, self.evidence = scheduler, rng, faults, evidence
        self.machine_id, self.line, self.keys, self.profile = machine_id, line, keys, profile
        self.has_ready, self.meter = has_ready, meter
        self.has_meter = meter is not None
        if meter is not None:
            evidence.metered[line] = meter.counts
        self.plugged = True
        self._edge_ms: int | None = None
        self.journal = self._new_journal()
        self.agent: Agent | None = None
        self.ready = self._ready_told = True
        self.lost: set[InputKind] = set()  # detectors that cannot be read
        self._seen_ready = True
        # Chance of its own, so that other runs stay as they were.
        self._games = random.Random(f"{evidence.seed} games at {line}")  # it must be the same again
        self._tells_game_over = self._games.random() < TELLS_GAME_OVER
        self._playing = False
        self.registers = True  # coins reach the board, and its meter the Pi
        self.gate = Gate(self.boot_ms, has_ready=has_ready)
        self.switched_off = True
        self.broken = False
        self.wall_off_ms = rng.choice((0, 0, 3 * SECOND, -7 * 86_400_000 * 52, 86_400_000 * 365 * 10))
        self.wall_stopped = False
        self._drift = rng.choice((0.0, 0.0005, -0.0005))
        self._booted_ms = scheduler.now_ms
        self._epoch = 0
        self._line_epoch = 0
        self.link = SimLink(scheduler, rng, broker, machine_id, self.post)
        self._tick_at_ms: int | None = None
        self._vain = 0
        self._pulse: Pulse | None = None
        # A killed process: what starts it again drives the line inactive first, which ends the pulse.
        self._ends_in_a_pulse = (
            ("Pi cut in a pulse", self.power_cut),
            ("agent killed in a pulse", self.restart_agent),
            ("agent stopped in order in a train", self.stop_in_order),
            ("a thread of the agent dies in a train", self.lose_thread),
        )
        self._may_begin: Callable[[], bool] = lambda: True
        self._plan_clock = _Clock(0)
        self._plan_line = _Line(self._plan_clock)
        self._handed_over = 0  # credits that have not ended: one under way, at most one that waits

    def _new_journal(self) -> SimJournal:
        return SimJournal(self.rng.randbytes(16).hex(), self.faults, self.rng, self.scheduler)

    # --- clocks

    def boot_ms(self) -> int:
        """CLOCK_BOOTTIME, as its crystal has it; at an edge, that edge's."""
        now_ms = self.scheduler.now_ms if self._edge_ms is None else self._edge_ms
        return int((now_ms - self._booted_ms) * (1 + self._drift))

    def wall_ms(self) -> int:
        """What this computer believes."""
        return (1_000_000_000_000 if self.wall_stopped else self.scheduler.now_ms) + self.wall_off_ms

    # --- power

    def power_on(self) -> None:
        """The computer starts, and the agent with it."""
        self.switched_off = False
        self._come_up()

    def _come_up(self) -> None:
        if self.agent is None and not self.switched_off and not self.broken:
            self._epoch += 1
            self._booted_ms = self.scheduler.now_ms
            self.scheduler.after(self.rng.choice((500, 3 * SECOND, 25 * SECOND)), self._again_if_off(self._epoch))

    def start_agent(self) -> None:
        """A new agent process on this boot."""
        self._epoch += 1
        self.scheduler.note("agent starts", self.line, self.journal.installation[:4])
        clock = self._plan_clock = _Clock(self.scheduler.now_ms)
        self._plan_line = _Line(clock)
        self._handed_over = 0
        self._pulse_thread = PulseThread(
            self._plan_line,
            self.profile,
            lambda _: None,
            may_begin=lambda: self._may_begin(),
            clock_ns=clock.read,
            sleep=clock.sleep,
            switch_interval_s=SWITCH_INTERVAL_S,
        )
        self.gate = Gate(self.boot_ms, has_ready=self.has_ready)
        self.gate.take(ReadyChanged(self.ready, 0))
        rules = TrainRules(
            self.profile.credit_ms,
            READY_WAIT_MS if self.has_ready else 0,
            0 if self.meter is None else self.meter.settles_within_ms,
        )
        config = AgentConfig(
            self.machine_id,
            self.keys,
            sellable_credits(self.profile, rules),
            rules,
            has_ready=self.has_ready,
            meter=self.meter,
            version="simulated",
            gap_ms=self.profile.gap_ms,
        )
        try:
            self.agent = Agent(
                config,
                self.journal,
                self,
                self.link,
                self.gate,
                boottime_ms=self.boot_ms,
                wall_ms=self.wall_ms,
                random_bytes=self.rng.randbytes,
            )
        except PowerCut:
            self.power_cut()
            return
        except JournalFault:
            self.scheduler.after(10 * SECOND, self._again_if_off(self._epoch))
            return
        except Exception:  # noqa: BLE001  # whatever comes out is a defect, and evidence
            self.evidence.defects.append(f"agent {self.line} at its start: {traceback.format_exc(limit=-6)}")
            self.broken = True
            return
        if self.has_ready:
            self._ready_told = self.ready
            self.post(ReadyChanged(self.ready, 0))
        for kind in sorted(self.lost):
            self._tell(DetectorFault(kind, kind, "Remote I/O error", 0))
        self.link.start(f"{self.machine_id}-{self.journal.installation}", self.agent.will)
        self._arm()

    def _again_if_off(self, epoch: int) -> Callable[[], None]:
        def again() -> None:
            if self._epoch == epoch and self.agent is None:
                self.start_agent()

        return again

    def power_cut(self, off_ms: int | None = None) -> None:
        """The power goes; it comes back by itself after a while."""
        self.scheduler.note("power cut", self.line)
        self._die()
        if self.faults.hit("journal rolled back") and self.journal.roll_back():
            self._befell("journal rolled back", self.line)
        elif self.faults.hit("journal lost"):
            self._befell("journal lost", self.line)
            self.journal = self._new_journal()
        if self.faults.hit("Pi broken for good"):
            self.broken = True
        if off_ms is None:
            off_ms = self.rng.choice((3 * SECOND, 20 * SECOND, 2 * MINUTE, HOUR))
        self.scheduler.after(off_ms, self._come_up)

    def power_off(self) -> None:
        """Switched off, until somebody switches it on."""
        self.switched_off = True
        self._die()

    def restart_agent(self) -> None:
        """The process dies, the computer stays up; systemd starts it again."""
        if self.agent is not None:
            self._die()
            self.scheduler.after(self.rng.randint(500, 4_000), self._again_if_off(self._epoch))

    def lose_thread(self) -> None:
        """A thread of the agent dies, and the loop with it; the credit that the line has is pulsed to its end."""
        if self.agent is not None:
            self._die(line_goes_on=True)
            away_ms = self.profile.credit_ms + self.profile.gap_ms + self.rng.randint(500, 4_000)
            self.scheduler.after(away_ms, self._again_if_off(self._epoch))

    def _die(self, *, line_goes_on: bool = False, says_goodbye: bool = False) -> None:
        if not line_goes_on:
            self._line_epoch += 1
        if self._pulse is not None and not line_goes_on:
            self._pulse.off_ms, self._pulse.cut = self.scheduler.now_ms, True
            self._befell("cut in a pulse", self._pulse.credit_id)
            self._pulse = None
        self._befell("agent died", self.line)
        for game in self.evidence.games:
            if game.line == self.line and game.lost_ms is None:
                game.lost_ms = self.scheduler.now_ms
        self.agent = None
        self._epoch += 1
        self._tick_at_ms = None
        self.link.end(says_goodbye=says_goodbye)

    def _befell(self, what: str, subject: str) -> None:
        self.scheduler.note(what, subject)
        self.evidence.causes.append(Cause(self.scheduler.now_ms, what, subject))

    # --- the loop

    def post(self, event: Input) -> None:
        """Something for the loop."""
        agent = self.agent
        if agent is not None:
            self._do(lambda: agent.handle(event))

    def _do(self, work: Callable[[], None]) -> None:
        epoch = self._epoch
        try:
            work()
        except PowerCut:
            self.power_cut()
            return
        except Exception:  # noqa: BLE001  # whatever comes out is a defect, and evidence
            self.evidence.defects.append(f"agent {self.line}: {traceback.format_exc(limit=-6)}")
            self.power_cut()
            return
        if self._epoch == epoch:
            if self.agent is not None and self.agent.finished:
                self._die(says_goodbye=True)
                self.scheduler.after(self.rng.randint(1, 9) * SECOND, self._again_if_off(self._epoch))
                return
            self._arm()

    def _arm(self) -> None:
        if self.agent is None:
            return
        ahead_ms = self.agent.next_due_ms() - self.boot_ms()
        self._vain = self._vain + 1 if ahead_ms <= 0 else 0
        if self._vain > IN_VAIN:
            self._vain = 0
            self.evidence.defects.append(f"agent {self.line}: asks to be ticked again and again, and does nothing")
        at_ms = self.scheduler.now_ms + max(1, ahead_ms + 1)
        if self._tick_at_ms is None or at_ms < self._tick_at_ms:
            self._tick_at_ms = at_ms
            epoch = self._epoch
            self.scheduler.at(at_ms, lambda: self._tick(epoch, at_ms))

    def _tick(self, epoch: int, at_ms: int) -> None:
        if self._epoch == epoch and self._tick_at_ms == at_ms and self.agent is not None:
            self._tick_at_ms = None
            self._do(self.agent.tick)

    def stop_in_order(self) -> None:
        """SIGTERM."""
        self.post(StopAsked())

    def set_ready(self, ready: bool) -> None:
        """The machine's ready line."""
        self.ready = ready
        self._note_ready()
        if self.has_ready and "ready" not in self.lost:
            self._ready_told = ready
            self._tell(ReadyChanged(ready, 0))

    def _tell(self, signal: DetectorSignal) -> None:
        """What a detector says: to the gate first, then to the loop."""
        self.gate.take(signal)
        self.post(signal)

    def lose_detector(self, kind: InputKind) -> None:
        """An input can no longer be read."""
        if kind not in self.lost:
            self.lost.add(kind)
            self._note_ready()
            self._tell(DetectorFault(kind, kind, "Remote I/O error", 0))

    def find_detector(self, kind: InputKind) -> None:
        """It can be read again; a change that was missed is told then."""
        if kind not in self.lost:
            return
        self.lost.discard(kind)
        self._note_ready()
        self._tell(DetectorBack(kind, kind, 0))
        if kind == "ready" and self.has_ready and self._ready_told != self.ready:
            self.set_ready(self.ready)

    def _note_ready(self) -> None:
        """A ready line that cannot be read says no."""
        seen = not self.has_ready or (self.ready and "ready" not in self.lost)
        if seen != self._seen_ready:
            self._span(self.evidence.not_ready, begins=not seen)
        self._seen_ready = seen

    def _game_ends(self) -> None:
        """The machine says so; nobody hears it where the agent is down or the input cannot be read."""
        self._playing = False
        if self.agent is not None and "game_over" not in self.lost:
            self.evidence.games.append(Game(self.line, self.machine_id, self.scheduler.now_ms))
            self.post(GameOver("gpio", 0))

    def set_network(self, on: bool, *, noticed: bool = True) -> None:
        """The Pi's way to the broker; off but not `noticed`: the cable was pulled."""
        if on != self.plugged:
            self._span(self.evidence.unplugged, begins=not on)
        self.plugged = on
        if on or noticed:
            self.link.set_network(on)
        else:
            self.link.pull_cable()

    def take_client_id(self) -> None:
        """Somebody else on the broker knows the client id, and keeps connecting with it."""
        if self.link.throw_off():
            self._befell("client id taken", self.machine_id)

    def _span(self, spans: list[Span], *, begins: bool) -> None:
        now_ms = self.scheduler.now_ms
        if begins:
            spans.append(Span(self.line, now_ms))
        else:
            next(span for span in reversed(spans) if span.line == self.line).until_ms = now_ms

    def mend(self) -> None:
        """A technician repairs the coin line, and has a pulse registered, while no agent runs."""
        self.registers = True
        self.restart_agent()
        with suppress(PowerCut, JournalFault):
            self.journal.commit(short_trains=0)
        self.evidence.mended.append(Span(self.line, self.scheduler.now_ms))

    # --- the coin line (`ports.Pulses`)

    def pulse_credit(self, token: Any) -> None:
        """What the real pulse thread would do from now on, as edges in the future."""
        if self._handed_over > 1:
            busy = PulseFailed(token, started=False, error="a credit waits already")
            self.scheduler.after(0, self._if_still(self._epoch, lambda: self.post(busy)))
            return
        self._handed_over += 1
        self._plan_clock.ns = max(self._plan_clock.ns, self.scheduler.now_ms * 1_000_000)
        line = self._plan_line
        line.edges_ms = []
        thread, began_ns = self._pulse_thread, self._plan_clock.ns
        before = (thread._held, thread._inactive_since_ns)
        line.broken = self.rng.randint(1, 2) if self.faults.hit("coin line fails") else 0
        outcome = self._pulse_thread._pulse_credit(token)
        credit_id, index = token
        epoch, now_ms = self._epoch, self.scheduler.now_ms
        failed = not isinstance(outcome, CreditPulsed)
        if failed:
            self._befell("coin line failed", credit_id)
        plan = _Plan()

        def held_at(number: int) -> bool:
            """The line's gate is shut before that pulse: what the real thread does then."""
            self._edge_ms = None
            self._plan_clock.ns = began_ns
            thread._held, thread._inactive_since_ns = before
            edges_ms, line.edges_ms, line.broken = line.edges_ms, [], 0
            answers = iter([True] * number)
            self._may_begin = lambda: next(answers, False)
            outcome = thread._pulse_credit(token)
            self._may_begin = lambda: True
            line.edges_ms = edges_ms
            if not isinstance(outcome, PulseHeld):
                return False
            plan.over = True
            self._pulsed(epoch, outcome)()
            return True

        last_ms = now_ms
        for number, (at_ms, active) in enumerate(line.edges_ms):
            last_ms = max(at_ms, now_ms)
            edge = self._edge(self._line_epoch, last_ms, active, credit_id, index, failed)
            self.scheduler.at(last_ms, self._gated(plan, edge, last_ms, number // 2 if active else None, held_at))
        ended = self._pulsed(epoch, outcome)
        self.scheduler.at(last_ms, lambda: None if plan.over else ended())

    def _gated(
        self,
        plan: "_Plan",
        edge: Callable[[], None],
        at_ms: int,
        number: int | None,
        held_at: Callable[[int], bool],
    ) -> Callable[[], None]:
        """An edge that only comes if the gate is open right before it."""
        line_epoch = self._line_epoch

        def come() -> None:
            if plan.over:
                return
            if number is not None and self._line_epoch == line_epoch:
                self._edge_ms = at_ms
                is_open = self.gate.is_open()
                self._edge_ms = None
                if not is_open and held_at(number):
                    return
            edge()

        return come

    def _edge(
        self, line_epoch: int, now_ms: int, active: bool, credit_id: str, index: int, failed: bool
    ) -> Callable[[], None]:
        """An edge at `now_ms`, as planned: the pulse thread does not wait for a loop that waits for its card."""

        def edge() -> None:
            if self._line_epoch != line_epoch:
                return
            if not active:
                if self._pulse is not None:
                    self._pulse.off_ms, self._pulse = now_ms, None
                return
            self._pulse = Pulse(
                self.line, self.machine_id, self.journal.installation, credit_id, index, now_ms, failed=failed
            )
            self.evidence.pulses.append(self._pulse)
            self._strike(now_ms)
            self.scheduler.note("edge", self.line, credit_id[-4:], index)
            for name, what in self._ends_in_a_pulse:
                if self.faults.hit(name):
                    at_ms = now_ms + self.rng.randint(0, self.profile.pulse_ms)
                    self.scheduler.at(at_ms, self._if_still(self._epoch, what))
                    break

        return edge

    def _strike(self, now_ms: int) -> None:
        """What may befall the cabinet in a train."""
        rng, most_ms = self.faults.stream("in a train"), self.profile.credit_ms + self.profile.gap_ms
        if self.has_ready and self.faults.hit("machine not ready in a train"):
            at_ms = now_ms + rng.randint(0, most_ms)
            self.scheduler.at(at_ms, lambda: self.set_ready(False))
            self.scheduler.at(at_ms + rng.choice(NOT_READY_FOR_MS), lambda: self.set_ready(True))
        if self.faults.hit("cable pulled in a train"):
            at_ms = now_ms + rng.randint(0, most_ms)
            self.scheduler.at(at_ms, lambda: self.set_network(False, noticed=False))
            self.scheduler.at(at_ms + rng.choice(UNPLUGGED_FOR_MS), lambda: self.set_network(True))

    def _if_still(self, epoch: int, what: Callable[[], None]) -> Callable[[], None]:
        """`what`, if it is still the same process then."""
        return lambda: what() if self._epoch == epoch else None

    def _pulsed(self, epoch: int, outcome: Any) -> Callable[[], None]:
        def pulsed() -> None:
            if self._epoch != epoch:
                return
            self._handed_over -= 1
            if self.faults.hit("Pi cut between pulses"):
                self.power_cut()
                return
            if self.has_meter and isinstance(outcome, CreditPulsed):
                credit_id, delay_ms = str(outcome.token[0]), self.rng.randint(5, 80)  # type: ignore[index]
                if self.faults.hit("meter lags"):
                    delay_ms = self.faults.stream("in a train").choice(LAGS_MS)
                self.scheduler.after(delay_ms, lambda: self._meter(epoch, credit_id))
                if self.faults.hit("coin by hand in a train"):
                    self.scheduler.after(delay_ms, lambda: self._meter(epoch, credit_id))
            if self._tells_game_over and not self._playing:
                self._playing = True
                self.scheduler.after(self._games.randint(3, 90) * SECOND, self._game_ends)
            self.post(outcome)
            if self._epoch == epoch and self.faults.hit("agent restarted"):
                self.rng.choice((self.restart_agent, self.stop_in_order))()

        return pulsed

    def _meter(self, epoch: int, credit_id: str) -> None:
        if not self.registers:
            return
        self.evidence.registered.append(Registered(self.scheduler.now_ms, self.line, credit_id))
        if self._epoch == epoch:
            self.post(MeterPulse(0))
