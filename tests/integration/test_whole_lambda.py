"""The whole system as it stands at AWS: handler behind AWS's emulator, a schedule, the broker's rule, DynamoDB."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from arcade_cloud.adapters.store import open_store
from arcade_cloud.domain.order import Order
from arcade_cloud.ports.store import Store
from arcade_sandbox.demo import pulses
from arcade_sandbox.dynamodb import DynamoDBLocal
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import PRICE_MINOR, Profile, System
from support.dynamodb_tables import ENVIRONMENT, a_table
from support.orders import resolved_by

SHORT = Profile(pulse_ms=15, gap_ms=15, min_pulse_ms=10, min_gap_ms=10, start_after_ms=200, play_s=0.3)
LIMITS = {
    "DELIVER_WITHIN_S": "8",
    "SILENCE_LIMIT_S": "12",
    "HOLD_SILENCE_LIMIT_S": "12",
    "ANSWER_S": "1",
}


@dataclass(frozen=True)
class Whole:
    """A running system, and its store seen from another process."""

    system: System
    store: Store

    def order(self, order_id: str) -> Order:
        found = self.store.order(order_id)
        assert found is not None
        return found

    def settled(self, order_id: str) -> Order:
        """The order once it is settled, with what is kept of its money looked at where the money is."""

        def look() -> Order | None:
            order = self.order(order_id)
            return order if order.state == "settled" else None

        order = wait_for(f"order {order_id} is settled", look, 90)
        (entry,) = [entry for entry in self.system.stripe.money() if entry["id"] == order.payment_intent]
        assert entry["kept"] == order.books.target_minor == PRICE_MINOR * (order.delivered or 0)
        return order

    @property
    def pulsed(self) -> int:
        """How many pulses there have been, from the edges alone."""
        return len(pulses(self.system.cabinets["cab-01"].edge_log))


@pytest.fixture(scope="module")
def at_aws(emulator: None, dynamodb: DynamoDBLocal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with a_table(dynamodb.endpoint) as url:
        state = {"DATABASE_URL": url, "DYNAMODB_ENDPOINT": dynamodb.endpoint, **ENVIRONMENT}
        store = open_store(url, dynamodb_endpoint=dynamodb.endpoint)
        folder = tmp_path_factory.mktemp("system")
        with System(folder, profile=SHORT, settings={**LIMITS, **state}, tick_s=2) as system:
            yield Whole(system, store)
        store.close()


def test_what_was_paid_is_pulsed_and_captured(at_aws: Whole) -> None:
    before = at_aws.pulsed
    order = at_aws.settled(at_aws.system.buy("cab-01", 3))
    assert (order.delivered, resolved_by(order)) == (3, "ack")
    assert at_aws.pulsed - before == 3


def test_what_the_broker_could_not_take_is_brought_by_the_schedule(at_aws: Whole) -> None:
    before = at_aws.pulsed
    link = at_aws.system.create_link("cab-01", 2)
    at_aws.system.broker.stop()
    try:
        at_aws.system.stripe.pay(link["url"], "card")
        assert at_aws.system.stripe.wait_delivered(20), "the webhook must be answered with 200 all the same"
        assert at_aws.order(link["orderId"]).state == "funded"
    finally:
        at_aws.system.broker.start()
    order = at_aws.settled(link["orderId"])
    assert at_aws.pulsed - before == order.delivered
    at_aws.system.wait_ready("cab-01")


def test_a_machine_that_went_silent_costs_the_player_nothing(at_aws: Whole) -> None:
    """Only the schedule moves this order; the echo that proves the silence comes back by the broker's rule."""
    before = at_aws.pulsed
    link = at_aws.system.create_link("cab-01", 1)
    at_aws.system.cabinets["cab-01"].agent.kill()
    at_aws.system.stripe.pay(link["url"], "card")
    order = at_aws.settled(link["orderId"])
    assert (order.delivered, order.books.target_minor) == (0, 0)
    assert at_aws.pulsed == before
