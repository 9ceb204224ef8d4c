"""A machine whose key the cloud does not take any more: what it says is refused, and yet it is not silent."""

from contextlib import suppress

import msgspec
import pytest

from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.machines import WELL_AFTER_MS
from arcade_cloud.errors import NotReady
from arcade_shared.errors import BadSignature
from arcade_shared.times import format_ms
from arcade_shared.topics import machine_topic
from support.mortal_cloud import MACHINE, SECRET, MortalCloud

NEW = "fedcba9876543210" * 4


def rotated(cloud: MortalCloud, *secrets: str) -> None:
    """A new process with other signing secrets. Nobody changes the machine's key."""
    cloud.start(keyring=Keyring(secrets))


def say_status(cloud: MortalCloud) -> None:
    """The machine's next status, taken in or refused."""
    cloud.machine.say_status()
    deliver(cloud)


def deliver(cloud: MortalCloud) -> None:
    while cloud.to_cloud:
        topic, payload = cloud.to_cloud.popleft()
        with suppress(BadSignature):
            cloud.messages.take_in(topic, payload)


def wait_s(cloud: MortalCloud, seconds: int, *, speaks: bool = True) -> None:
    """Time passes; the machine says its status every half minute."""
    for _ in range(seconds // 30):
        cloud.now_ms += 30_000
        if speaks:
            cloud.machine.say_status()
        deliver(cloud)
        cloud.fulfilment.run_once()
        deliver(cloud)


def refused_order(cloud: MortalCloud) -> str:
    """The machine has pulsed, and its ack is refused: SIGNING_SECRET was replaced, and the old one not kept."""
    order_id = cloud.buy()
    assert order_id is not None
    rotated(cloud, NEW)
    for event in cloud.payments.stripe.take_events():
        cloud.deliver_webhook(event)
    deliver(cloud)
    assert cloud.machine.pulsed == 3
    assert cloud.order(order_id).state == "funded"
    return order_id


def lasting(cloud: MortalCloud) -> list[tuple[str, str]]:
    return [(alert.kind, alert.subject) for alert in cloud.store.recent_alerts(99) if alert.lasts]


def test_its_order_is_not_closed_as_silent_and_ends_right_once_the_old_secret_is_back() -> None:
    cloud = MortalCloud()
    order_id = refused_order(cloud)
    wait_s(cloud, 2 * cloud.limits.hold_silence_limit_s)
    assert cloud.order(order_id).state == "revoking"
    assert lasting(cloud) == [("signature_refused", MACHINE)]
    (alert,) = [alert for alert in cloud.store.recent_alerts(99) if alert.lasts]
    assert "put the old secret back" in alert.text
    rotated(cloud, NEW, SECRET)
    wait_s(cloud, 120)
    order = cloud.order(order_id)
    assert (order.delivered, order.credits[0].resolution and order.credits[0].resolution.by) == (3, "ack")
    cloud.settle_down()
    cloud.check_promises()


def test_it_does_not_hold_an_order_for_ever() -> None:
    cloud = MortalCloud()
    order_id = refused_order(cloud)
    wait_s(cloud, cloud.limits.last_resort_s + 300)
    order = cloud.order(order_id)
    assert order.credits[0].resolution is not None
    assert order.credits[0].resolution.by == "last resort"


def test_a_machine_that_says_nothing_at_all_is_silent_as_ever() -> None:
    cloud = MortalCloud()
    order_id = refused_order(cloud)
    cloud.machine.is_up = False
    wait_s(cloud, cloud.limits.hold_silence_limit_s + 600, speaks=False)
    order = cloud.order(order_id)
    assert order.credits[0].resolution is not None
    assert order.credits[0].resolution.by == "silence"


def test_nobody_can_pay_from_its_first_refused_status_until_its_next_good_one() -> None:
    cloud = MortalCloud()
    cloud.sales.begin_checkout(MACHINE)
    rotated(cloud, NEW)
    cloud.now_ms += 1000
    say_status(cloud)
    with pytest.raises(NotReady, match="The operator has been told"):
        cloud.sales.begin_checkout(MACHINE)
    rotated(cloud, NEW, SECRET)
    cloud.now_ms += 1000
    say_status(cloud)
    cloud.sales.begin_checkout(MACHINE)
    assert lasting(cloud) == [("signature_refused", MACHINE)]
    cloud.now_ms += WELL_AFTER_MS
    say_status(cloud)
    assert lasting(cloud) == []


def test_a_flood_of_refused_messages_is_written_down_now_and_then_and_for_registered_machines_only() -> None:
    cloud = MortalCloud()
    for machine_id in (MACHINE, "cab-77"):
        for _ in range(50):
            forge(cloud, machine_id)
    presence = cloud.store.presence(MACHINE)
    assert presence is not None
    assert presence.version == 2, "one write, and 49 that are only counted"
    assert presence.refused_messages == 1
    cloud.now_ms += 10_000
    forge(cloud, MACHINE)
    presence = cloud.store.presence(MACHINE)
    assert presence is not None
    assert (presence.version, presence.refused_messages) == (3, 51)
    assert (presence.refused_since_ms, presence.refused_at_ms) == (cloud.now_ms - 10_000, cloud.now_ms)
    assert cloud.store.presence("cab-77") is None
    assert lasting(cloud) == [("signature_refused", MACHINE)]


def test_the_end_says_how_many_were_refused_and_since_when() -> None:
    cloud = MortalCloud()
    since_ms = cloud.now_ms
    for _ in range(8):
        forge(cloud, MACHINE)
        cloud.now_ms += 4_000
    last_ms = since_ms + 24_000  # the last one came 4 s later, and is only counted
    cloud.now_ms = last_ms + WELL_AFTER_MS
    say_status(cloud)
    (end,) = [alert for alert in cloud.store.recent_alerts(9) if alert.recovers]
    assert f"at least 8 messages were refused, from {format_ms(since_ms)} to {format_ms(last_ms)}" in end.text
    forge(cloud, MACHINE)
    presence = cloud.store.presence(MACHINE)
    assert presence is not None
    assert (presence.refused_messages, presence.refused_since_ms) == (1, cloud.now_ms), "another time"


def forge(cloud: MortalCloud, machine_id: str) -> None:
    """Somebody says that the machine is offline."""
    forged = msgspec.json.encode({"machineId": machine_id, "state": "offline", "signature": "0" * 64})
    with pytest.raises(BadSignature):
        cloud.messages.take_in(machine_topic(machine_id, "status"), forged)
