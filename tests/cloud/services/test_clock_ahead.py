"""A cloud whose clock was eight hours ahead, over all parts but the real disk and wire."""

from dataclasses import replace

import pytest

from arcade_cloud.domain.credit import REVOKE_BACKOFF_S
from arcade_cloud.domain.effects import Settle
from arcade_cloud.domain.limits import SKEW_MS
from arcade_cloud.errors import FormTooNew, InvariantBroken
from arcade_cloud.ports.store import Waiting
from arcade_cloud.services.clock_recheck import BATCH
from support.mortal_cloud import MortalCloud
from support.order_records import new_order, step

HOURS_8_MS = 8 * 3_600_000


def with_clock_off(cloud: MortalCloud, off_ms: int) -> None:
    """A new process whose clock is so much ahead of everybody else's."""
    cloud.start(now_ms=lambda: cloud.now_ms + off_ms)


def revoking(cloud: MortalCloud) -> str:
    """An order whose machine does not answer, asked about by a process that is hours ahead."""
    order_id = cloud.buy()
    assert order_id is not None
    cloud.machine.is_up = False
    cloud.settle_down(lambda: cloud.order(order_id).state == "funded")
    with_clock_off(cloud, HOURS_8_MS)
    cloud.settle_down(lambda: cloud.order(order_id).state == "revoking" and not cloud.to_cloud)
    return order_id


def test_a_machine_that_pulsed_is_not_silent_because_an_echo_comes_from_the_future() -> None:
    cloud = MortalCloud()
    order_id = revoking(cloud)
    heard_ms = cloud.store.heard_echo_ms()
    assert heard_ms is not None
    assert heard_ms > cloud.now_ms + HOURS_8_MS - 60_000
    with_clock_off(cloud, 0)
    cloud.deaf = True  # no ack and no echo arrives any more
    cloud.machine.is_up = True  # it pulses, and nobody hears
    cloud.services.recheck.look()
    cloud.settle_down(lambda: cloud.order(order_id).state != "revoking", days=0.5)
    assert cloud.order(order_id).state == "revoking"
    cloud.deaf = False
    cloud.settle_down()
    cloud.check_promises()


def test_a_right_echo_takes_the_place_of_one_from_the_future() -> None:
    cloud = MortalCloud()
    revoking(cloud)
    with_clock_off(cloud, 0)
    cloud.services.sender.echo()
    cloud.deliver_message()
    assert cloud.store.heard_echo_ms() == cloud.now_ms


def test_an_order_that_was_put_off_for_hours_goes_on_at_once() -> None:
    cloud = MortalCloud()
    order_id = revoking(cloud)
    with_clock_off(cloud, 0)
    cloud.machine.is_up = True
    cloud.fulfilment.run_once()
    assert cloud.order(order_id).state == "revoking"  # it is due in eight hours
    assert cloud.services.recheck.look() == 1
    due_at_ms = cloud.order(order_id).due_at_ms
    assert due_at_ms is not None
    assert due_at_ms <= cloud.now_ms + 1000 * max(REVOKE_BACKOFF_S)
    began_ms = cloud.now_ms
    cloud.settle_down(lambda: cloud.order(order_id).state == "settled")
    assert cloud.now_ms - began_ms < 60_000
    assert cloud.services.recheck.look() == 0
    cloud.check_promises()


def test_reconciliation_waits_no_longer_than_usual() -> None:
    cloud = MortalCloud()
    off_ms = HOURS_8_MS
    cloud.start(now_ms=lambda: cloud.now_ms + off_ms)
    reconciliation = cloud.services.reconciliation
    reconciliation.run_once()
    calls = len(cloud.payments.calls)
    off_ms = 0
    reconciliation.run_once()
    reconciliation.run_once()
    assert cloud.payments.calls[calls:] == ["read_events"]


def put_off(cloud: MortalCloud, number: int) -> list[str]:
    """So many orders whose next step a clock that was ahead has put off, all for the same moment."""
    order_ids = [f"o-{one:03}" for one in range(number)]
    for order_id in order_ids:
        put_off_for(cloud, HOURS_8_MS, order_id)
    return order_ids


def put_off_for(cloud: MortalCloud, wait_ms: int, order_id: str) -> None:
    cloud.store.move(step(new_order(order_id, due_at_ms=cloud.now_ms + wait_ms, created_at_ms=cloud.now_ms)))


def waiting_for_hours(cloud: MortalCloud, order_ids: list[str]) -> int:
    found = [cloud.order(order_id).due_at_ms for order_id in order_ids]
    return sum(due_at_ms is not None and due_at_ms > cloud.now_ms + HOURS_8_MS // 2 for due_at_ms in found)


def test_a_pass_looks_at_so_many_and_the_next_one_goes_on_in_whichever_process() -> None:
    cloud = MortalCloud()
    orders = put_off(cloud, 2 * BATCH + 1)
    left = []
    for _ in range(3):
        cloud.start()
        cloud.services.recheck.look()
        left.append(waiting_for_hours(cloud, orders))
    assert left == [BATCH + 1, 1, 0]
    assert cloud.store.rechecked_until() is None


def test_a_pass_without_time_looks_at_one_order_and_the_next_one_goes_on() -> None:
    cloud = MortalCloud()
    orders = put_off(cloud, 3)
    for left in (2, 1, 0):
        cloud.services.recheck.look(until_ms=cloud.now_ms)
        assert waiting_for_hours(cloud, orders) == left


def test_a_process_that_begins_hurries_through_all_wherever_the_last_pass_ended() -> None:
    cloud = MortalCloud()
    orders = put_off(cloud, 2 * BATCH)
    cloud.store.note_rechecked(Waiting(cloud.now_ms + HOURS_8_MS, f"o-{BATCH:03}"))
    recheck = replace(cloud.services.recheck, monotonic_ms=lambda: 0)
    assert sum(recheck.run_once() for _ in range(4)) == 2 * BATCH
    assert not waiting_for_hours(cloud, orders)


def test_a_process_that_stays_looks_once_a_minute_and_at_once_when_its_clock_is_set_back() -> None:
    cloud = MortalCloud()
    monotonic_ms = 0
    recheck = replace(cloud.services.recheck, monotonic_ms=lambda: monotonic_ms)

    def found_after(ms: int, *, set_by_ms: int = 0) -> int:
        nonlocal monotonic_ms
        cloud.now_ms, monotonic_ms = cloud.now_ms + ms + set_by_ms, monotonic_ms + ms
        return recheck.run_once()

    for _ in range(2):
        found_after(0)
    put_off(cloud, 1)
    assert [found_after(500), found_after(59_500)] == [0, 1]
    put_off_for(cloud, 2 * HOURS_8_MS, "o-later")
    assert [found_after(500), found_after(500, set_by_ms=-HOURS_8_MS)] == [0, 2]


def test_a_record_that_cannot_be_read_does_not_keep_others_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = MortalCloud()
    orders = put_off(cloud, 3)
    read = cloud.store.order
    broken: dict[str, Exception] = {orders[0]: InvariantBroken("not an order"), orders[1]: FormTooNew("form 9")}

    def order(order_id: str) -> object:
        if order_id in broken:
            raise broken[order_id]
        return read(order_id)

    monkeypatch.setattr(cloud.store, "order", order)
    assert cloud.services.recheck.look() == 1


@pytest.mark.parametrize(("ahead_ms", "done"), [(SKEW_MS, 1), (SKEW_MS + 1, 0)])
def test_an_effect_that_was_decided_in_the_future_is_not_performed(ahead_ms: int, done: int) -> None:
    """Its clock was set back meanwhile, so nobody knows how old it is; Stripe forgets keys after a day."""
    cloud = MortalCloud()
    cloud.machine.is_up = False
    order_id = cloud.buy()
    assert order_id is not None
    cloud.settle_down(lambda: cloud.order(order_id).state == "funded")
    calls = len(cloud.payments.calls)
    effect = Settle("cancel", 0, "cancel:o:0", cloud.now_ms + ahead_ms)
    cloud.fulfilment._act(cloud.order(order_id), (effect,), waits=True)
    assert cloud.payments.calls[calls:].count("cancel") == done
