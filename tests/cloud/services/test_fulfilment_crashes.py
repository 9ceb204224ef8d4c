"""The cloud may be killed at any point: what was stored brings every order to its right end.

More than a thousand lives ask Stripe more than ten thousand times, so they run on the simulation's model of it.
Where nobody is killed, each scenario runs on the real gateway and the sandbox as well.
"""

import os
import random
from collections.abc import Callable

import pytest

from arcade_cloud.domain.events import Outcome
from arcade_cloud.domain.limits import Limits
from simulation.account_payments import AccountPayments
from support.mortal_cloud import MACHINE, START_MS, MortalCloud, Stripe
from support.sandbox_payments import SandboxPayments

ROUNDS = int(os.environ.get("ARCADE_ROUNDS", "1"))
PAIRS = 15 * ROUNDS
# The published ones give the same steps, and hundreds of revokes more.
SHORT = Limits(silence_limit_s=300, hold_silence_limit_s=300, last_resort_s=1200)

Scenario = Callable[[MortalCloud], None]


def held_and_delivered(cloud: MortalCloud) -> None:
    cloud.buy("card")


def every_webhook_twice(cloud: MortalCloud) -> None:
    cloud.webhooks_twice = True
    cloud.buy("card")


def held_and_partly_delivered(cloud: MortalCloud) -> None:
    cloud.machine.deliver, cloud.machine.uncertain = 1, True
    cloud.buy("card")


def partial_captures_refused(cloud: MortalCloud) -> None:
    cloud.machine.deliver = 2
    cloud.payments.refuse_partial_capture = True
    cloud.buy("card")


def taken_and_partly_delivered(cloud: MortalCloud) -> None:
    cloud.machine.deliver = 2
    cloud.buy("grabpay")


def taken_and_refused(cloud: MortalCloud) -> None:
    cloud.machine.refuse = True
    cloud.buy("grabpay")


def webhooks_never_come(cloud: MortalCloud) -> None:
    cloud.webhooks = False
    cloud.buy("card")


def machine_away_until_the_revoke(cloud: MortalCloud) -> None:
    cloud.machine.is_up = False
    cloud.buy("card")
    cloud.settle_down(until=lambda: cloud.now_ms - START_MS > 200_000)
    cloud.machine.is_up = True


def machine_silent(cloud: MortalCloud) -> None:
    cloud.machine.is_up = False
    cloud.buy("grabpay")


def broker_gone_for_good(cloud: MortalCloud) -> None:
    cloud.broker.answer("arcade/#", Outcome.UNKNOWN, "never")
    cloud.buy("card")


def refunded_by_the_operator_later(cloud: MortalCloud) -> None:
    order_id = cloud.buy("card")
    cloud.settle_down(days=1)
    if order_id is not None:
        for _ in range(3):
            order = cloud.order(order_id)
            if order.state == "settled" and order.books.target_minor > 100:
                cloud.survive(
                    lambda: cloud.operations.refund(order_id, by="kim", reason="a complaint", keep_minor=100)
                )


def granted(cloud: MortalCloud) -> None:
    for _ in range(3):
        cloud.survive(lambda: cloud.operations.grant(MACHINE, 2, by="kim", reason="lost a coin", token="form-1"))


def decided_late_by_the_bank(cloud: MortalCloud) -> None:
    if cloud.buy("fpx_later") is not None:
        (money,) = cloud.payments.stripe.money()
        cloud.settle_down(until=lambda: cloud.now_ms - START_MS > 3_600_000)
        cloud.payments.stripe.settle_async(money["id"])


def known_too_late(cloud: MortalCloud) -> None:
    """The cloud was down when the player paid."""
    cloud.buy("card")
    cloud.buy("grabpay")
    cloud.now_ms += 3_600_000


def a_refund_fails(cloud: MortalCloud) -> None:
    cloud.machine.deliver = 0
    cloud.buy("grabpay")
    cloud.settle_down()
    for money in cloud.payments.stripe.money():
        if money["refunded"]:
            cloud.payments.stripe.finish_refund(money["id"], "failed")


# What is kept at the end where nobody was killed, and the alerts that no crash may swallow.
SCENARIOS: dict[Scenario, tuple[int, set[str]]] = {
    held_and_delivered: (300, set()),
    every_webhook_twice: (300, set()),
    held_and_partly_delivered: (100, set()),
    partial_captures_refused: (200, set()),
    taken_and_partly_delivered: (200, set()),
    taken_and_refused: (0, set()),
    webhooks_never_come: (300, set()),
    machine_away_until_the_revoke: (0, set()),
    machine_silent: (0, {"unconfirmed"}),
    broker_gone_for_good: (0, {"unconfirmed"}),
    refunded_by_the_operator_later: (100, set()),
    granted: (0, set()),
    decided_late_by_the_bank: (0, set()),  # an hour after the player paid
    known_too_late: (0, set()),
    a_refund_fails: (0, {"refund_failed"}),
}


def run(scenario: Scenario, *kill_at: int, payments: Stripe = AccountPayments) -> MortalCloud:
    cloud = MortalCloud(limits=SHORT, payments=payments)
    cloud.killer.points = 0
    cloud.killer.kill_at = set(kill_at)
    scenario(cloud)
    cloud.settle_down()
    try:
        check(cloud, SCENARIOS[scenario][1])
    except AssertionError as error:
        raise AssertionError(f"killed at {kill_at}: {error}") from error
    return cloud


def check(cloud: MortalCloud, alerts: set[str]) -> None:
    cloud.check_promises()
    raised = {alert.kind for alert in cloud.store.recent_alerts(100)}
    if cloud.payments.stripe.money():
        assert alerts <= raised
    assert raised <= set(cloud.alerts.kinds), "an alert was never posted"
    for order in cloud.store.recent_orders(100):
        versions = [entry.version for entry in cloud.store.history(order.order_id)]
        assert versions == list(range(1, order.version + 1)), "a step without its line in the history"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("payments", [AccountPayments, SandboxPayments])
def test_where_nobody_is_killed_the_right_sum_is_kept(scenario: Scenario, payments: Stripe) -> None:
    cloud, right = run(scenario, payments=payments), SCENARIOS[scenario][0]
    assert sum(money["kept"] for money in cloud.payments.stripe.money()) == right


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_killed_at_any_one_point_the_promises_hold(scenario: Scenario) -> None:
    points = run(scenario).killer.points
    assert points >= 8
    # Long waits repeat the same few points: the first and the last ones stand for the rest.
    for point in [*range(1, min(points, 60) + 1), *range(max(61, points - 29), points + 1)]:
        run(scenario, point)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_killed_at_any_two_points_the_promises_hold(scenario: Scenario) -> None:
    points, seeded = min(100, run(scenario).killer.points), random.Random(7)
    for _ in range(PAIRS):
        first = seeded.randint(1, points)
        run(scenario, first, first + seeded.randint(1, 12))


def test_killed_at_every_point_again_and_again_the_order_still_ends() -> None:
    """A process that never lives longer than for a few calls."""
    run(held_and_partly_delivered, *range(3, 400, 7))


def test_a_subscriber_s_credit_is_published_once_wherever_the_cloud_is_killed() -> None:
    point, points = 0, 1
    while point <= points:
        cloud = MortalCloud(subscriber=True, limits=SHORT)
        cloud.killer.points, cloud.killer.kill_at = 0, {point}
        cloud.buy("card")
        cloud.settle_down()
        points = cloud.killer.points if point == 0 else points
        kept = sum(money["kept"] for money in cloud.payments.stripe.money())
        published = len(cloud.broker.on("arcade/machine/+/coinpulse"))
        assert published <= 1
        assert kept in {0, 300 * published}, "paid without a publish"
        assert kept == 300 or point > 0
        if published and not kept:
            assert [alert.kind for alert in cloud.store.recent_alerts(9)] == ["unconfirmed"]
        point += 1
    assert points >= 12
