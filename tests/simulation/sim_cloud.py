"""The cloud's processes: the real shells on a simulated store, killed and begun anew, several at a time."""

import random
import traceback
from collections.abc import Callable, Sequence
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from arcade_cloud.adapters.stripe.clock import StripeClock
from arcade_cloud.adapters.stripe.events import interpret, verify
from arcade_cloud.bootstrap import connect
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.outbox import EVENT_TYPES, Endpoint
from arcade_cloud.domain.receipts import Issuing, Receipt
from arcade_cloud.domain.tab import TabLimit
from arcade_cloud.errors import (
    BadRequest,
    BadWebhook,
    PaymentsError,
    PaymentsRefused,
    StoreUnavailable,
)
from arcade_cloud.ports.store import Move
from arcade_cloud.services.fulfilment import at_once
from arcade_cloud.services.receipts import ISSUE_EVERY_S
from arcade_shared.errors import BadMessage
from arcade_shared.times import parse_ms
from simulation.evidence import Evidence, Play, Stated, Step, TabStep
from simulation.faults import MINUTE, SECOND, Faults
from simulation.scheduler import Scheduler
from support.memory_store import MemoryStore

T = TypeVar("T")
BASE_URL = "https://play.example"
WEBHOOK_SECRET = "whsec_simulation"
SOFTWARE = "we_simulation"
STORE_WRITES = (
    "move note_seen raise_alert put_presence note_unmatched_ack note_unclaimed forget_unclaimed note_echo "
    "note_game_over mark_alert_sent note_reconciled change_alert note_webhook_accepted note_webhooks_refused "
    "forget_echoes forget put_machine book note_rechecked"
)
STORE_READS = (
    "order order_of_payment order_of_credit order_of_tab due_orders next_due_ms is_seen machine machines presence "
    "unsent_alerts heard_echo_ms reconciled_ms alert lasting_alert webhooks hearing due_presences "
    "form waiting_presences unclaimed unclaimed_payment waiting_orders rechecked_until standing_alerts booked"
)
PAYMENT_WRITES = "create_checkout capture cancel refund"
PAYMENT_READS = "read_checkout read_payment read_price read_events check"
NO_RECORDS = ("unavailable", "_lock", "_committed", "_alerted", "_watched", "_wants_number")
# A worker that waits for Stripe or the broker lets others work; so deep may that go.
MAX_DEPTH = 2
# docs/ORDER_LIFE.md: Stripe's list is looked through so often.
RECONCILE_EVERY_MS = 15 * MINUTE
# docs.stripe.com/webhooks: the libraries take a signature for so long, less what the clocks and the way differ.
SIGNED_FOR_MS = 290 * SECOND
ALLOWED = (StoreUnavailable,)


def _copied(held: Any) -> Any:
    if isinstance(held, dict):
        return {key: _copied(value) for key, value in held.items()}
    return list(held) if isinstance(held, list) else held


class PowerCut(BaseException):
    """The process is dead."""


class Endless(BaseException):
    """An order moves on and on."""


class CloudDown(Exception):
    """Nobody took it in: no process is up, or the one that had it died."""


class SimStore(MemoryStore):
    """The disk of all processes; tells what is committed, and that there is an alert to post."""

    def __init__(
        self,
        committed: Callable[[Move], None],
        alerted: Callable[[], None],
        watched: Callable[[int], None] = lambda due_ms: None,
        wants_number: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._committed, self._alerted, self._watched = committed, alerted, watched
        self._wants_number = wants_number

    def backup(self) -> dict[str, Any]:
        """All that is on record, as it is now."""
        records = {name: _copied(held) for name, held in vars(self).items() if name not in NO_RECORDS}
        return {**records, "software": self.software.copied(), "receipts": self.receipts.copied()}

    def restore(self, backup: dict[str, Any]) -> None:
        """What is on record is what it was."""
        vars(self).update(backup)

    def put_presence(self, presence: Any, expected_version: int, changes: Any = ()) -> None:
        super().put_presence(presence, expected_version, changes)
        if presence.due_at_ms is not None:
            self._watched(presence.due_at_ms)

    def next_look_ms(self) -> int | None:
        """When a machine is to be looked at next."""
        return min((p.due_at_ms for p in self._presences.values() if p.due_at_ms is not None), default=None)

    def _put_alert(self, alert: Any) -> bool:
        self._alerted()
        return super()._put_alert(alert)

    def _store(self, move: Move, before: Any) -> None:
        super()._store(move, before)
        if move.receipt is not None:
            self._wants_number()
        self._committed(move)


class Worker:
    """One process of the cloud."""

    def __init__(self, cloud: "Cloud", index: int) -> None:
        self.cloud = cloud
        self.index = index
        self.generation = 0
        self.up = False
        self.skew_ms = 0
        self.is_booking = False
        self.start()

    def start(self) -> None:
        """A new process on what is stored."""
        cloud = self.cloud
        self.up = True
        self.generation += 1
        payments = self._guarded(cloud.payments, PAYMENT_WRITES, PAYMENT_READS)
        self.clock = StripeClock(self.now_ms, lambda: cloud.scheduler.now_ms)
        payments.clock_off_ms = lambda: self.clock.off_ms
        receiver = self._guarded(cloud, "post", "")
        receiver.name, receiver.setting, receiver.at_once = "operator", "ALERT_URLS", 3
        receiver.is_quiet_at_night = False
        services = connect(
            store=self._store(),
            payments=payments,
            broker=self._guarded(cloud.broker, "publish", ""),
            receivers=[receiver],
            keyring=Keyring(cloud.secrets),
            limits=cloud.limits,
            base_url=BASE_URL,
            price_id="price_default",
            tab_limits=cloud.tab_limits,
            software=cloud.store.software,
            machine_silent_s=cloud.evidence.limits.machine_silent_s,
            zone=ZoneInfo(cloud.evidence.zone),
            now_ms=self.now_ms,
            monotonic_ms=lambda: cloud.scheduler.now_ms,
            later=at_once if cloud.serverless else self._later,
            random_bytes=cloud.rng.randbytes,
            issuing=Issuing(prefix=cloud.receipt_prefix),
        )
        self.fulfilment, self.messages, self.sales = services.fulfilment, services.messages, services.sales
        self.intake, self.operations, self.claims = services.intake, services.operations, services.claims
        self.tabs = services.tabs
        self.recheck, self.receipts = services.recheck, services.receipts
        self.reconciliation, self.watch, self.fleet = services.reconciliation, services.watch, services.fleet
        cloud.listens()

    def now_ms(self) -> int:
        """What the process takes for the time."""
        return self.cloud.scheduler.now_ms + self.skew_ms

    def _guarded(self, inner: Any, writes: str, reads: str) -> Any:
        kind = type(inner).__name__
        calls = {name: self._guard(getattr(inner, name), f"{kind}.{name}", True) for name in writes.split()}
        calls.update({name: self._guard(getattr(inner, name), f"{kind}.{name}", False) for name in reads.split()})
        return SimpleNamespace(**calls)

    def _store(self) -> Any:
        store = self._guarded(self.cloud.store, STORE_WRITES, STORE_READS)
        numbers = self.cloud.store.receipts
        reads = {name: getattr(numbers, name) for name in ("due", "series", "receipts_of")}
        store.receipts = SimpleNamespace(**reads, issue=self._issue)
        return store

    def _issue(self, receipts: Sequence[Receipt], *rest: Any) -> None:
        """Numbers are given. Others may give some first; and the process may die: for the store, no answer.

        Neither takes time: what else happens in the world is the same with receipts and without.
        """
        cloud, faults = self.cloud, self.cloud.faults
        if faults.hit("another worker while receipts are numbered"):
            cloud.number_meanwhile(self)
        dies = faults.hit("cloud killed while it numbers receipts")
        if dies and faults.stream("cloud killed while it numbers receipts").random() < 0.5:
            raise StoreUnavailable("killed before")
        cloud.store.receipts.issue(receipts, *rest)
        cloud.evidence.issued += [(one.prefix, one.number, one.order_id) for one in receipts]
        if dies:
            raise StoreUnavailable("killed after")

    def _guard(self, call: Callable[..., Any], name: str, changes: bool) -> Callable[..., Any]:
        """`call`, before and after which the process may die, and others may work."""
        cloud, faults, generation = self.cloud, self.cloud.faults, self.generation
        if not changes:

            def read(*args: Any, **fields: Any) -> Any:
                if name == "SimStore.booked":
                    return booked(*args)
                if self.is_booking and name == "SimStore.machine":
                    return call(*args)
                if faults.on and faults.hit("another worker in between"):
                    cloud.let_others_work(self, generation, name)
                answer = self._answer(call, name, args, fields)
                if name == "SimPayments.read_payment" and faults.hit("Stripe's answer waits before it is used"):
                    cloud.let_others_work(self, generation, name, (300, 3_000, 8_000, 12_000, 20_000))
                if faults.on and faults.hit("another worker before the answer is used"):
                    cloud.let_others_work(self, generation, name)
                return answer

            def booked(order_id: str) -> Any:
                """What is booked of an order. From here to the commit others meet by a chance of its own."""
                answer = call(order_id)
                if faults.hit("another worker while an order is booked"):
                    cloud.let_others_work(self, generation, name, (1, 30, 3_000, 12_000))
                self.is_booking = True
                return answer

            return read
        is_move, is_payment = name == "SimStore.move", name.startswith("SimPayments")

        def change(*args: Any, **fields: Any) -> Any:
            self.is_booking = False
            if not faults.on:
                answer = self._answer(call, name, args, fields)
                if is_payment:
                    cloud.flush_webhooks()
                return answer
            if faults.hit("another worker in between"):
                cloud.let_others_work(self, generation, name)
            if faults.hit("cloud killed before a commit or effect"):
                raise PowerCut(name)
            try:
                answer = self._answer(call, name, args, fields)
            finally:
                if is_payment:
                    self._while_stripe_answers(generation, name)
            if faults.hit("cloud killed after a commit or effect"):
                raise PowerCut(name)
            if is_move and faults.hit("store lost the answer"):
                raise StoreUnavailable("no word from the store")
            return answer

        return change

    def _answer(self, call: Callable[..., Any], name: str, args: Any, fields: Any) -> Any:
        """The answer to a call. Each of Stripe's has Stripe's time, a refusal too."""
        asked_ms, is_answer = self.now_ms(), False
        try:
            answer = call(*args, **fields)
            is_answer = True
        except PaymentsRefused:
            is_answer = True
            raise
        finally:
            if is_answer and name.startswith("SimPayments"):
                self.clock.answered({"Date": formatdate(self.cloud.scheduler.now_ms // 1000)}, asked_ms)
        return answer

    def _while_stripe_answers(self, generation: int, name: str) -> None:
        """What Stripe does sooner than it answers: webhooks overtake."""
        cloud = self.cloud
        early = cloud.faults.hit("webhook before its answer")
        cloud.flush_webhooks(early=early)
        if early or cloud.faults.hit("Stripe slow"):
            cloud.let_others_work(self, generation, name)

    def _later(self, work: Callable[[], None]) -> None:
        cloud, generation = self.cloud, self.generation

        def run() -> None:
            if self.generation == generation and self.up:
                cloud.try_on(self, "stripe", lambda _: work())

        if not cloud.faults.hit("work for Stripe dropped"):
            cloud.scheduler.after(cloud.rng.randint(1, 15), run)


class Cloud:
    """All processes, their timer, and the doors as the world sees them."""

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        faults: Faults,
        evidence: Evidence,
        limits: Limits,
        payments: Any,
        broker: Any,
        secrets: list[str],
        watch_rng: random.Random,
        receipts_rng: random.Random,
        tab_limits: tuple[TabLimit, ...] = (),
    ) -> None:
        self.scheduler, self.rng, self.faults, self.evidence, self.limits = (
            scheduler,
            rng,
            faults,
            evidence,
            limits,
        )
        self.payments, self.broker, self.secrets, self.tab_limits = payments, broker, secrets, tab_limits
        self._timer_at_ms: int | None = None
        self._watch_rng = watch_rng
        self._receipts_rng = receipts_rng
        self._number_at_ms: int | None = None
        self._numbering = False
        self.receipt_prefix = ""
        self._look_at_ms: int | None = None
        self.store = SimStore(
            self._committed, lambda: self._wake(scheduler.now_ms), self._look_from, self._number_from_now
        )
        self.store.note_reconciled(scheduler.now_ms)
        url = "https://software.example/"
        self.store.software.add_endpoint(
            Endpoint(endpoint_id=SOFTWARE, url=url, events=EVENT_TYPES, created_at_ms=0)
        )
        self._reconcile_until_ms: int | None = None
        self.serverless = rng.random() < 0.3
        self.timer_ms = evidence.limits.timer_s * SECOND
        self.flush_webhooks: Callable[..., None] = lambda early=False: None
        self.listens: Callable[[], None] = lambda: None
        self._depth = 0
        self.is_down = False
        self._rechecks_from_ms: int | None = None
        # The longest silence, with a revoke and its echo a minute; and what is brief where silence is, with a
        # grant by a clock that was hours ahead, sent four times a minute until its end.
        self.most_steps = 2_000 if limits.last_resort_s < 10_000 else 10_000
        self.workers = [Worker(self, index) for index in range(rng.choice((1, 2, 2)))]

    # --- processes

    def run(self, what: str, work: Callable[[Worker], T]) -> T:
        """Have some process do `work`. Raises CloudDown if it did not come to an end, and what `work` raises."""
        up = [worker for worker in self.workers if worker.up]
        if not up or self.is_down:
            raise CloudDown(what)
        return self._run_on(self.rng.choice(up) if len(up) > 1 else up[0], what, work)

    def _run_on(self, worker: Worker, what: str, work: Callable[[Worker], T]) -> T:
        generation = worker.generation
        try:
            return work(worker)
        except PowerCut as cut:
            if worker.generation == generation:
                self._kill(worker, f"{what}: {cut}")
            raise CloudDown(what) from None

    def try_on(self, worker: Worker, what: str, work: Callable[[Worker], object]) -> None:
        """Have this process do what nobody waits for; a failure that may happen is forgotten, as its log does."""
        try:
            self._run_on(worker, what, work)
        except (CloudDown, *ALLOWED):
            pass
        except Exception:  # noqa: BLE001  # whatever else comes out is a defect, and evidence
            self.defect(what)

    def defect(self, where: str) -> None:
        """Something came out of the code that never may."""
        self.evidence.defects.append(f"{where}: {traceback.format_exc(limit=-6)}")
        self.scheduler.note("DEFECT", where)

    def _kill(self, worker: Worker, where: str) -> None:
        self.scheduler.note("cloud killed", worker.index, where)
        worker.up = False
        worker.generation += 1
        away_ms = self.rng.choice((500, 5 * SECOND, 60 * SECOND, 10 * MINUTE))
        self.scheduler.after(away_ms, worker.start)

    def restart(self) -> None:
        """All processes end and begin anew: an upgrade, or new settings."""
        for worker in self.workers:
            worker.start()
        self._wake(self.scheduler.now_ms)

    def close_all_tabs(self) -> None:
        """What the operator has to do once an older database is in place, before anybody is let in."""
        is_on, self.faults.on = self.faults.on, False
        unavailable, self.store.unavailable = self.store.unavailable, False
        self.workers[0].tabs.close_all("restored")
        self.faults.on, self.store.unavailable = is_on, unavailable

    def let_others_work(
        self, worker: Worker, generation: int, name: str, waits_ms: tuple[int, ...] | None = None
    ) -> None:
        """Time goes on while `worker` waits inside a call."""
        if self._depth < MAX_DEPTH:
            self._depth += 1
            long = name.startswith(("SimPayments", "SimBroker"))
            usual_ms = (0, 1, 20, 300, 3_000, 12_000) if long else (0, 1, 5, 30, 200)
            wait_ms = self.rng.choice(waits_ms or usual_ms)
            self.scheduler.run_until(self.scheduler.now_ms + wait_ms)
            self._depth -= 1
        if worker.generation != generation:
            raise PowerCut(f"while waiting in {name}")

    # --- the timer

    def _committed(self, move: Move) -> None:
        order = move.order
        tab = None if order.tab is None else _tab_step(order)
        credit = order.credits[0] if order.credits and tab is None else None
        command, resolution = (None, None) if credit is None else (credit.command, credit.resolution)
        self.evidence.steps.append(
            Step(
                self.scheduler.now_ms,
                order.order_id,
                order.state,
                order.delivered if tab is None else None,
                resolution.by if resolution is not None else "",
                command.credit_id if command is not None else None,
                move.history.at_ms,
                tab,
            )
        )
        if order.version > self.most_steps:
            raise Endless(order.order_id)
        self.scheduler.note("order", order.order_id[-6:], order.version, move.history.event, order.state)
        if order.due_at_ms is not None:
            self._wake(order.due_at_ms)

    def _wake(self, due_ms: int) -> None:
        due_ms = max(due_ms, self.scheduler.now_ms) + self.rng.randint(1, self.timer_ms)
        if self._timer_at_ms is None or due_ms < self._timer_at_ms:
            self._timer_at_ms = due_ms
            self.scheduler.at(due_ms, lambda: self._timer(due_ms))

    def _timer(self, due_ms: int) -> None:
        if due_ms != self._timer_at_ms:
            return  # another one was set
        self._timer_at_ms = None
        up = [worker for worker in self.workers if worker.up]
        if up and not self.is_down:
            worker = self.rng.choice(up)
            self.try_on(worker, "timer", lambda worker: worker.fulfilment.run_once())
        unavailable, self.store.unavailable = self.store.unavailable, False
        next_ms = self.store.next_due_ms()
        unsent = self.store.unsent_alerts(1)
        self.store.unavailable = unavailable
        if unsent:
            again_ms = self.scheduler.now_ms + MINUTE
            next_ms = again_ms if next_ms is None else min(next_ms, again_ms)
        if next_ms is not None:
            self._wake(next_ms if up and not unavailable else max(next_ms, self.scheduler.now_ms + 5 * SECOND))

    def _look_from(self, due_ms: int) -> None:
        """A machine is to be looked at then: the timer does, some moments later."""
        due_ms = max(due_ms, self.scheduler.now_ms) + self._watch_rng.randint(1, self.timer_ms)
        if self._look_at_ms is None or due_ms < self._look_at_ms:
            self._look_at_ms = due_ms
            self.scheduler.at(due_ms, lambda: self._look(due_ms))

    def _look(self, due_ms: int) -> None:
        if due_ms != self._look_at_ms:
            return  # another one was set
        self._look_at_ms = None
        up = [worker for worker in self.workers if worker.up]
        if up and not self.is_down:
            self.try_on(self._watch_rng.choice(up), "watch", lambda worker: worker.watch.run_once())
        next_ms = self.store.next_look_ms()
        if next_ms is not None:
            self._look_from(max(next_ms, self.scheduler.now_ms + 11 * SECOND))

    def _number_from_now(self) -> None:
        """Somebody waits for a receipt: the timer numbers it, some moments later."""
        if self._number_at_ms is None:
            wait_ms = self._receipts_rng.randint(1, 1000 * ISSUE_EVERY_S)
            self._number_at_ms = self.scheduler.now_ms + wait_ms
            self.scheduler.at(self._number_at_ms, self._number)

    def _number(self) -> None:
        self._number_at_ms = None
        up = [worker for worker in self.workers if worker.up]
        if up and not self.is_down:
            self.try_on(self._receipts_rng.choice(up), "receipts", lambda worker: worker.receipts.run_once())
        unavailable, self.store.unavailable = self.store.unavailable, False
        waiting = self.store.receipts.due(1)
        self.store.unavailable = unavailable
        if waiting:
            self._number_from_now()

    def number_meanwhile(self, worker: Worker) -> None:
        """At this very moment another process numbers too."""
        others = [other for other in self.workers if other.up and other is not worker]
        if others and not self._numbering:
            self._numbering = True
            self.try_on(self._receipts_rng.choice(others), "receipts", lambda other: other.receipts.issue())
            self._numbering = False

    def begin_receipts_anew(self) -> None:
        """After a backup was put back an operator takes a prefix that was never used (docs/HOSTING.md)."""
        self.receipt_prefix = f"{chr(ord(self.receipt_prefix[0]) + 1) if self.receipt_prefix else 'A'}-"
        self._number_from_now()

    def reconcile_from_now(self) -> None:
        """Stripe has told of something: reconcile until all of this moment has been looked through."""
        if self._reconcile_until_ms is None:
            self.scheduler.after(self.timer_ms, self._reconcile)
        self._reconcile_until_ms = self.scheduler.now_ms

    def _reconcile(self) -> None:
        up = [worker for worker in self.workers if worker.up]
        next_ms = self.scheduler.now_ms + MINUTE
        if up and not self.is_down:
            worker = self.rng.choice(up)
            self.try_on(worker, "reconciliation", lambda worker: worker.reconciliation.run_once())
            # The timer calls all the time; when it is time for the next page, the process's own clock says.
            wait_ms = worker.reconciliation._next_ms - worker.fulfilment.now_ms()
            next_ms = self.scheduler.now_ms + max(self.timer_ms, min(wait_ms, RECONCILE_EVERY_MS))
        unavailable, self.store.unavailable = self.store.unavailable, False
        swept_ms = self.store.reconciled_ms() or 0
        self.store.unavailable = unavailable
        # What lies ahead was noted with a clock that was, and says nothing of the time before.
        if (self._reconcile_until_ms or 0) < swept_ms <= self.scheduler.now_ms:
            self._reconcile_until_ms = None
        else:
            self.scheduler.at(next_ms, self._reconcile)

    def recheck_from_now(self) -> None:
        """A clock was set: every process looks at what waits, now and then each minute, until all are right."""
        if self._rechecks_from_ms is None:
            self.scheduler.after(self.timer_ms, self._recheck)
        self._rechecks_from_ms = self.scheduler.now_ms

    def _recheck(self) -> None:
        done = not any(worker.skew_ms for worker in self.workers)
        for worker in self.workers:
            done = done and worker.up and not self.is_down and not self.store.unavailable
            if worker.up and not self.is_down:
                looks = worker.recheck.look if self.serverless else worker.recheck.run_once
                self.try_on(worker, "recheck", lambda _, looks=looks: looks())  # type: ignore[misc]  # bound now
            done = done and worker.fulfilment.clock() == "right"
        if done:
            self._rechecks_from_ms = None
        else:
            self.scheduler.after(MINUTE, self._recheck)

    def post(self, alerts: Sequence[Alert]) -> bool:
        """The receiver of alerts."""
        if self.faults.hit("an alert does not arrive"):
            return False
        self.evidence.posted.update(alert.alert_id for alert in alerts)
        return True

    # --- the doors

    def hear(self, topic: str, payload: bytes) -> str | None:
        """A message for the cloud; what became of it, or "refused".

        It must come again where it is "unfinished" (a process had it, and may have written it down), or None.
        """
        if self.is_down or not any(worker.up for worker in self.workers):
            return None
        try:
            word = self.run("hear", lambda worker: worker.messages.take_in(topic, payload))
            if word == "status":
                self._note_status(payload)
            return word
        except BadMessage:
            return "refused"
        except (CloudDown, *ALLOWED):
            return "unfinished"
        except Exception:  # noqa: BLE001  # evidence of a defect
            self.defect(f"hear {topic}")
            return "refused"

    def _note_status(self, payload: bytes) -> None:
        """A sign of life, unless the machine does not know the time: then nobody knows when it was said."""
        fields = msgspec.json.decode(payload)
        if fields["state"] == "online" and fields["reason"] != "no clock":
            stated_ms = parse_ms(fields["timestamp"])
            now_ms = self.scheduler.now_ms
            self.evidence.stated.append(Stated(now_ms, fields["machineId"], stated_ms, fields["contested"]))

    def webhook(self, body: bytes, header: str) -> int:
        """Stripe's door; the status."""

        def take_in(worker: Worker) -> int:
            event = verify(body, header, (WEBHOOK_SECRET,), worker.fulfilment.now_ms() // 1000)
            worker.intake.take_in(interpret(event))
            return 200

        try:
            return self.run("webhook", take_in)
        except BadWebhook:
            return 400
        except (CloudDown, PaymentsError, *ALLOWED):
            return 503
        except Exception:  # noqa: BLE001  # evidence of a defect
            self.defect("webhook")
            return 500

    def takes_for_forged(self) -> bool:
        """Whether some process's clock is so far off Stripe's that a webhook looks repeated, or made up."""
        return any(abs(worker.skew_ms) > SIGNED_FOR_MS for worker in self.workers)

    def ask(self, what: str, work: Callable[[Worker], T]) -> T | None:
        """A request of a person; None if it was turned down or came to nothing."""
        try:
            return self.run(what, work)
        except (CloudDown, BadRequest, PaymentsError, *ALLOWED):
            return None
        except Exception:  # noqa: BLE001  # evidence of a defect
            self.defect(what)
            return None


def _tab_step(order: Order) -> TabStep:
    """What is on record of a tab, in plain values."""
    payment, tab = order.payment, order.tab
    shown = None if payment is None else payment.shown
    held = shown is not None and shown.status == "requires_capture"
    return TabStep(
        plays=tuple(
            Play(
                token="" if credit.draw is None else credit.draw.token,
                credit_id=None if credit.command is None else credit.command.credit_id,
                machine_id=credit.machine_id,
                credits=credit.count,
                price_minor=credit.price_minor,
                drawn_ms=credit.drawn_at_ms or 0,
                is_revoking=credit.is_revoking,
                delivered=None if credit.resolution is None else credit.resolution.delivered,
            )
            for credit in order.credits
        ),
        closed_by="" if tab is None or tab.closing is None else tab.closing.by,
        stands=held and shown is not None and shown.capturable_minor >= order.amount_minor,
    )
