"""A cloud whose clock was eight hours ahead, over all parts but the real disk and wire."""

from arcade_cloud.domain.credit import REVOKE_BACKOFF_S
from support.mortal_cloud import MortalCloud

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
    cloud.fulfilment.put_clocks_right()
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
    assert cloud.fulfilment.put_clocks_right() == 1
    due_at_ms = cloud.order(order_id).due_at_ms
    assert due_at_ms is not None
    assert due_at_ms <= cloud.now_ms + 1000 * max(REVOKE_BACKOFF_S)
    began_ms = cloud.now_ms
    cloud.settle_down(lambda: cloud.order(order_id).state == "settled")
    assert cloud.now_ms - began_ms < 60_000
    assert cloud.fulfilment.put_clocks_right() == 0
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
