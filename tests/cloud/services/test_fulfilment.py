"""The one way to move an order: stored first, then done; repeated, raced, dropped and late without harm."""

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from arcade_cloud.bootstrap import Services, connect
from arcade_cloud.domain.effects import EFFECT_LIFE_MS
from arcade_cloud.domain.events import Due, Outcome, PaymentRead, PaymentReported, RefundAsked
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import Limits
from arcade_cloud.errors import Conflict, InvariantBroken, PaymentsRefused, PaymentTaken, StoreUnavailable
from arcade_cloud.ports.store import Move
from arcade_shared.messages import Coinpulse, Revoke
from arcade_shared.signing import machine_key
from arcade_shared.times import parse_ms
from simulation.account_payments import AccountPayments
from support.lives import new_order
from support.memory_store import MemoryStore
from support.mortal_cloud import BASE_URL, INSTALLATION, MACHINE, SECRET, START_MS, MortalCloud
from support.orders import only_command, only_delivery, only_payment
from support.sealed import unseal

COINPULSE = f"arcade/machine/{MACHINE}/coinpulse"
REVOKE = f"arcade/machine/{MACHINE}/revoke"


def another(cloud: MortalCloud, **parts: Any) -> Services:
    """Another process on the same world, some of its parts exchanged."""
    usual: dict[str, Any] = {
        "store": cloud.store,
        "payments": cloud.payments,
        "broker": cloud.broker,
        "receivers": [cloud.alerts],
        "keyring": Keyring([SECRET]),
        "limits": cloud.limits,
        "base_url": BASE_URL,
        "now_ms": lambda: cloud.now_ms,
    }
    return connect(**{**usual, **parts})


class Passing:
    """Passes all calls on to `inner`; the base for stores that misbehave."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def bought(cloud: MortalCloud, method: str = "card") -> str:
    order_id = cloud.buy(method)
    assert order_id is not None
    return order_id


def funded(cloud: MortalCloud, method: str = "card") -> str:
    """An order whose machine has not answered yet."""
    cloud.machine.is_up = False
    order_id = bought(cloud, method)
    cloud.settle_down(until=lambda: cloud.order(order_id).state != "open")
    return order_id


# --- what goes out ---------------------------------------------------------------------------------------


def test_a_coinpulse_is_signed_for_its_machine_and_says_when_it_ends() -> None:
    cloud = MortalCloud()
    order_id = funded(cloud)
    (sent,) = cloud.broker.on(COINPULSE)
    pulse = unseal([machine_key(SECRET, MACHINE)], COINPULSE, sent.payload, Coinpulse)
    order = cloud.order(order_id)
    assert (pulse.credits, pulse.credit_id, pulse.installation) == (3, only_command(order).credit_id, INSTALLATION)
    assert pulse.expires_at_ms == only_command(order).expires_at_ms == START_MS + 120_000
    assert sent.expiry_s == 120


def test_every_repetition_of_a_credit_says_the_same_but_for_its_time() -> None:
    cloud = MortalCloud()
    order_id = funded(cloud)
    cloud.settle_down(until=lambda: cloud.order(order_id).state == "revoking")
    pulses = [msgspec.json.decode(sent.payload) for sent in cloud.broker.on(COINPULSE)]
    assert len(pulses) > 5
    for pulse, sent in zip(pulses, cloud.broker.on(COINPULSE), strict=True):
        left_ms = parse_ms(pulse["expiresAt"]) - parse_ms(pulse["timestamp"])
        assert sent.expiry_s == max(1, left_ms // 1000), "the broker keeps it no longer than it is good for"
        for name in ("timestamp", "signature"):
            del pulse[name]
    assert all(pulse == pulses[0] for pulse in pulses)


def test_a_revoke_is_signed_and_addressed_as_the_credit_was() -> None:
    cloud = MortalCloud()
    order_id = funded(cloud)
    cloud.fulfilment.move(order_id, RefundAsked("kim", "a complaint"))
    (sent,) = cloud.broker.on(REVOKE)
    revoke = unseal([machine_key(SECRET, MACHINE)], REVOKE, sent.payload, Revoke)
    assert (revoke.credit_id, revoke.installation) == (only_command(cloud.order(order_id)).credit_id, INSTALLATION)


def test_nothing_is_published_that_is_not_on_record_first() -> None:
    cloud = MortalCloud()
    seen: list[str] = []

    class Watching(Passing):
        def publish(self, topic: str, payload: bytes, *, expiry_s: int) -> Outcome:
            credit_id = msgspec.json.decode(payload).get("creditId")
            if credit_id is not None:
                order_id = cloud.store.order_of_credit(credit_id)
                assert order_id is not None
                seen.append(cloud.order(order_id).state)
            outcome: Outcome = self.inner.publish(topic, payload, expiry_s=expiry_s)
            return outcome

    order_id = bought(cloud)
    fulfilment = another(cloud, broker=Watching(cloud.broker)).fulfilment
    fulfilment.move(order_id, PaymentRead(cloud.payments.read_payment(cloud.intent())))
    fulfilment.move(order_id, RefundAsked("kim", "a complaint"))
    assert seen == ["funded", "revoking"]


# --- repeated, raced -------------------------------------------------------------------------------------


def test_an_event_on_record_changes_nothing_and_does_nothing() -> None:
    cloud = MortalCloud()
    order_id = bought(cloud)
    payment = cloud.payments.read_payment(cloud.intent())
    for _ in range(3):
        cloud.fulfilment.move(order_id, PaymentRead(payment), seen="evt_1")
    assert len(cloud.broker.on(COINPULSE)) == 1
    reads = cloud.payments.calls.count("read_payment")
    for _ in range(3):
        cloud.fulfilment.move(order_id, PaymentReported(cloud.intent(), "payment_intent.canceled"), seen="evt_2")
    assert cloud.payments.calls.count("read_payment") == reads + 1


def test_an_unknown_order_is_moved_by_nothing() -> None:
    assert MortalCloud().fulfilment.move("ord_none", Due()) is None


def test_rule_one_payment_funds_one_order() -> None:
    cloud = MortalCloud()
    first = funded(cloud)
    second = cloud.survive(lambda: cloud.sales.begin_checkout(MACHINE)).order_id
    payment = only_payment(cloud.order(first)).shown
    sent = len(cloud.broker.on(COINPULSE))
    with pytest.raises(PaymentTaken):
        cloud.fulfilment.move(second, PaymentRead(payment))
    assert cloud.order(second).state == "open"
    assert len(cloud.broker.on(COINPULSE)) == sent


class Raced(Passing):
    """A store where somebody else is faster, so many times."""

    def __init__(self, inner: MemoryStore, times: int, somebody: Callable[[], object]) -> None:
        super().__init__(inner)
        self.times, self.somebody = times, somebody

    def move(self, move: Move) -> None:
        if self.times > 0:
            self.times -= 1
            self.somebody()
        self.inner.move(move)


def test_of_two_workers_on_one_order_the_slower_decides_anew() -> None:
    cloud = MortalCloud()
    order_id = bought(cloud)
    payment = cloud.payments.read_payment(cloud.intent())
    news = PaymentRead(payment)
    raced = Raced(cloud.store, 1, lambda: cloud.fulfilment.move(order_id, news))
    another(cloud, store=raced).fulfilment.move(order_id, news)
    assert len(cloud.broker.on(COINPULSE)) == 1
    assert only_delivery(cloud.order(order_id)).publishes == 1
    cloud.settle_down()
    cloud.check_promises()


def test_whoever_is_always_too_late_reports_a_defect() -> None:
    class Hopeless(Passing):
        def move(self, move: Move) -> None:
            raise Conflict(move.order.order_id)

    cloud = MortalCloud()
    order_id = funded(cloud)
    with pytest.raises(InvariantBroken, match="conflicts in a row"):
        another(cloud, store=Hopeless(cloud.store)).fulfilment.move(order_id, RefundAsked("kim", "a complaint"))


def test_workers_that_share_a_store_keep_the_promises_together() -> None:
    cloud = MortalCloud(payments=AccountPayments)
    cloud.machine.deliver = 2
    order_ids = [bought(cloud, method) for method in ("card", "grabpay") * 5]
    cloud.webhooks_twice = True
    failures: list[BaseException] = []

    def work() -> None:
        try:
            fulfilment = another(cloud).fulfilment
            for _ in range(30):
                fulfilment.run_once()
                for order_id in order_ids:
                    order = cloud.order(order_id)
                    if order.payment_intent is not None:
                        fulfilment.move(order_id, PaymentReported(order.payment_intent, "again"))
        except BaseException as error:
            failures.append(error)
            raise

    workers = [threading.Thread(target=work) for _ in range(4)]
    cloud.settle_down(until=lambda: all(cloud.order(order_id).state != "open" for order_id in order_ids))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not failures
    cloud.settle_down()
    cloud.check_promises()
    assert cloud.machine.pulsed == 20


# --- the store is away -----------------------------------------------------------------------------------


def test_what_could_not_be_stored_is_not_done() -> None:
    cloud = MortalCloud()
    order_id = bought(cloud)
    payment = cloud.payments.read_payment(cloud.intent())

    class Full(Passing):
        def move(self, move: Move) -> None:
            raise StoreUnavailable("the disk is full")

    with pytest.raises(StoreUnavailable):
        another(cloud, store=Full(cloud.store)).fulfilment.move(order_id, PaymentRead(payment), seen="evt_1")
    assert cloud.broker.on(COINPULSE) == []
    assert not cloud.store.is_seen("evt_1"), "it must be taken in when it comes again"
    cloud.settle_down()
    cloud.check_promises()


def test_a_result_that_could_not_be_stored_is_found_out_again() -> None:
    cloud = MortalCloud()
    bought(cloud)
    cloud.settle_down(until=lambda: bool(cloud.to_cloud))
    (ack,) = cloud.to_cloud
    failing = FailsAfter(cloud.store, 2)
    with pytest.raises(StoreUnavailable):
        another(cloud, store=failing).messages.take_in(*ack)
    assert cloud.payments.calls.count("capture") == 1, "Stripe has done it, and we could not note it"
    cloud.settle_down()
    cloud.check_promises()


class FailsAfter(Passing):
    """A store that takes so many steps, and then none."""

    def __init__(self, inner: MemoryStore, steps: int) -> None:
        super().__init__(inner)
        self.steps = steps

    def move(self, move: Move) -> None:
        if self.steps == 0:
            raise StoreUnavailable("the disk is full")
        self.steps -= 1
        self.inner.move(move)


def test_a_timer_without_its_store_says_so_and_moves_nothing() -> None:
    cloud = MortalCloud()
    order_id = funded(cloud)
    before = cloud.order(order_id)
    cloud.now_ms += 3_600_000
    cloud.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        cloud.fulfilment.run_once()
    cloud.store.unavailable = False
    assert cloud.order(order_id) == before


# --- Stripe is slow, away, or says no --------------------------------------------------------------------


class SlowAfter(Passing):
    """A store after whose step that decides about money a time goes by: the effect had to wait for its turn."""

    def __init__(self, cloud: MortalCloud, late_ms: int) -> None:
        super().__init__(cloud.store)
        self.cloud, self.late_ms = cloud, late_ms

    def move(self, move: Move) -> None:
        self.inner.move(move)
        if move.order.settlement.key_at_ms is not None:
            self.cloud.now_ms += self.late_ms
            self.late_ms = 0


@pytest.mark.parametrize(("late_ms", "done"), [(EFFECT_LIFE_MS, True), (EFFECT_LIFE_MS + 1, False)])
@pytest.mark.parametrize(("method", "effect"), [("card", "capture"), ("grabpay", "refund")])
def test_rule_no_effect_older_than_an_hour_is_carried_out(
    method: str, effect: str, late_ms: int, done: bool
) -> None:
    cloud = MortalCloud()
    cloud.machine.deliver = 2
    bought(cloud, method)
    cloud.settle_down(until=lambda: bool(cloud.to_cloud))
    ack = cloud.to_cloud.popleft()
    another(cloud, store=SlowAfter(cloud, late_ms)).messages.take_in(*ack)
    assert (effect in cloud.payments.calls) is done
    cloud.settle_down()
    cloud.check_promises()


def test_work_for_stripe_that_was_dropped_is_done_by_the_timer() -> None:
    cloud = MortalCloud()
    dropped: list[Callable[[], None]] = []
    cloud.start(later=dropped.append)
    order_id = bought(cloud)
    cloud.settle_down(until=lambda: cloud.order(order_id).state == "resolved")
    assert dropped
    cloud.start()
    cloud.settle_down()
    cloud.check_promises()


def test_what_waits_for_stripe_does_not_hold_up_what_does_not() -> None:
    cloud = MortalCloud()
    order_id = funded(cloud)
    later: list[Callable[[], None]] = []
    fulfilment = another(cloud, later=later.append).fulfilment
    calls = list(cloud.payments.calls)
    fulfilment.move(order_id, PaymentReported(cloud.intent(), "charge.updated"))
    cloud.now_ms += 1000
    fulfilment.move(order_id, Due())
    assert len(cloud.broker.on(COINPULSE)) == 2
    assert cloud.payments.calls == calls
    assert len(later) == 2
    for work in later:
        work()
    assert only_payment(cloud.order(order_id)).recheck is False


@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("method", ["card", "grabpay"])
def test_a_stripe_that_gives_no_verdict_for_hours_gets_the_money_right_in_the_end(lost: Any, method: str) -> None:
    cloud = MortalCloud()
    cloud.machine.deliver = 1
    order_id = bought(cloud, method)
    cloud.settle_down(until=lambda: cloud.order(order_id).state == "funded")
    end_ms = cloud.now_ms + 5 * 3_600_000
    cloud.payments.fault = lambda name: lost if cloud.now_ms < end_ms and name != "create_checkout" else None
    cloud.settle_down()
    cloud.check_promises()
    assert [money["kept"] for money in cloud.payments.stripe.money()] == [100]


def test_a_payment_that_stripe_does_not_know_is_shown() -> None:
    cloud = MortalCloud()
    order_id = funded(cloud)

    class AnotherAccount(Passing):
        def read_payment(self, payment_intent: str) -> Any:
            raise PaymentsRefused("resource_missing", "no such payment intent")

    fulfilment = another(cloud, payments=AnotherAccount(cloud.payments)).fulfilment
    fulfilment.move(order_id, PaymentReported(cloud.intent(), "charge.updated"))
    assert "unreadable" in {alert.kind for alert in cloud.store.recent_alerts(9)}


# --- the timer -------------------------------------------------------------------------------------------


def test_one_order_that_can_not_be_moved_does_not_keep_the_others_from_moving() -> None:
    cloud = MortalCloud()
    bad, good = funded(cloud), funded(cloud)

    class Broken(Passing):
        def order(self, order_id: str) -> Any:
            if order_id == bad:
                raise InvariantBroken("a record that nobody can read")
            return self.inner.order(order_id)

    cloud.now_ms += 1000
    before = only_delivery(cloud.order(good)).publishes
    fulfilment = another(cloud, store=Broken(cloud.store)).fulfilment
    assert fulfilment.run_once() == 2
    assert only_delivery(cloud.order(good)).publishes == before + 1
    assert {alert.kind for alert in cloud.store.recent_alerts(9)} == {"stuck"}
    assert cloud.alerts.kinds == ["stuck"]
    cloud.settle_down()
    cloud.check_promises()


def test_a_timer_pass_moves_at_most_so_many_the_longest_due_first() -> None:
    cloud = MortalCloud()
    cloud.machine.is_up = False
    order_ids = []
    for _ in range(5):
        order_ids.append(funded(cloud))
        cloud.now_ms += 10
    cloud.now_ms += 2000
    published = {order_id: only_delivery(cloud.order(order_id)).publishes for order_id in order_ids}
    assert cloud.fulfilment.run_once(2) == 2
    moved = [
        order_id for order_id in order_ids if only_delivery(cloud.order(order_id)).publishes > published[order_id]
    ]
    assert moved == order_ids[:2]
    assert cloud.fulfilment.run_once(100) == 3


def test_nothing_due_is_nothing_done() -> None:
    cloud = MortalCloud()
    funded(cloud)
    sent = len(cloud.broker.sent)
    assert cloud.fulfilment.run_once() == 0
    assert len(cloud.broker.sent) == sent


def test_a_new_order_is_stored_once() -> None:
    cloud = MortalCloud()
    order = new_order(due_at_ms=None, stage="abandoned")
    cloud.fulfilment.begin(order, "Ordered")
    with pytest.raises(Conflict):
        cloud.fulfilment.begin(order, "Ordered")
    (entry,) = cloud.store.history(order.order_id)
    assert (entry.version, entry.event, entry.state) == (1, "Ordered", "abandoned")


def test_the_history_has_a_line_for_every_step() -> None:
    cloud = MortalCloud()
    order_id = bought(cloud)
    cloud.settle_down()
    history = cloud.store.history(order_id)
    assert [entry.state for entry in history][-1] == "settled"
    assert [entry.version for entry in history] == list(range(1, cloud.order(order_id).version + 1))
    assert [entry.at_ms for entry in history] == sorted(entry.at_ms for entry in history)


def test_other_limits_are_kept() -> None:
    cloud = MortalCloud(limits=Limits(deliver_within_s=10, silence_limit_s=100, hold_silence_limit_s=100))
    order_id = funded(cloud)
    cloud.settle_down(until=lambda: cloud.order(order_id).state == "revoking")
    assert cloud.now_ms == START_MS + 10_000
