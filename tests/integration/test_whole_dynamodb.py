"""The whole system with its state in DynamoDB instead of a file: the same purchases, the same promises."""

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
    "DELIVER_WITHIN_S": "20",
    "SILENCE_LIMIT_S": "30",
    "HOLD_SILENCE_LIMIT_S": "30",
    "ANSWER_S": "2",
}


@dataclass(frozen=True)
class Whole:
    """A running system, and its store seen from another process."""

    system: System
    store: Store

    def final(self, order_id: str) -> Order:
        """The order once it is settled, after a look at the money and the coin line."""

        def look() -> Order | None:
            order = self.store.order(order_id)
            return order if order is not None and order.state == "settled" else None

        order = wait_for(f"order {order_id} is settled", look, 60)
        (entry,) = [entry for entry in self.system.stripe.money() if entry["id"] == order.payment_intent]
        assert entry["kept"] == order.books.target_minor
        assert [line.version for line in self.store.history(order_id)] == list(range(1, order.version + 1))
        return order

    @property
    def pulsed(self) -> int:
        """How many pulses there have been, from the edges alone."""
        return len(pulses(self.system.cabinets["cab-01"].edge_log))


@pytest.fixture(scope="module")
def on_dynamodb(dynamodb: DynamoDBLocal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with a_table(dynamodb.endpoint) as url:
        state = {"DATABASE_URL": url, "DYNAMODB_ENDPOINT": dynamodb.endpoint, **ENVIRONMENT}
        folder = tmp_path_factory.mktemp("system")
        store = open_store(url, dynamodb_endpoint=dynamodb.endpoint)
        with System(folder, profile=SHORT, settings={**LIMITS, **state}) as system:
            yield Whole(system, store)
        store.close()


def test_what_was_paid_is_pulsed_and_captured(on_dynamodb: Whole) -> None:
    before = on_dynamodb.pulsed
    order = on_dynamodb.final(on_dynamodb.system.buy("cab-01", 3))
    assert (order.delivered, resolved_by(order), order.books.target_minor) == (3, "ack", 3 * PRICE_MINOR)
    assert on_dynamodb.pulsed - before == 3


def test_a_refund_from_the_command_line_gives_all_back(on_dynamodb: Whole) -> None:
    order = on_dynamodb.final(on_dynamodb.system.buy("cab-01", 2))
    on_dynamodb.system.cli("order", "refund", order.order_id, "--yes")
    refunded = on_dynamodb.final(order.order_id)
    assert (refunded.delivered, refunded.books.target_minor, refunded.books.goodwill_minor) == (
        2,
        0,
        2 * PRICE_MINOR,
    )


def test_a_cloud_that_is_killed_with_a_payment_under_way_goes_on_where_it_was(on_dynamodb: Whole) -> None:
    before = on_dynamodb.pulsed
    order_id = on_dynamodb.system.buy("cab-01", 2, wait=False)
    on_dynamodb.system.cloud.kill()
    on_dynamodb.system.start_cloud()
    order = on_dynamodb.final(order_id)
    assert order.delivered in {0, 2}
    assert on_dynamodb.pulsed - before == order.delivered
    assert order.books.target_minor == PRICE_MINOR * order.delivered
