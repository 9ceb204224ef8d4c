"""A visit on one tab through real pages and processes: one hold, one capture of exactly what was pulsed."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.order import Order
from arcade_sandbox.demo import pulses
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import PRICE_MINOR, System
from integration.conftest import QUICK, SHORT
from support.tab_phone import TabPhone

# How often the cloud is killed in a visit; `make soak` sets more.
ROUNDS = int(os.environ.get("ARCADE_ROUNDS", "10"))
MACHINES = ["cab-01", "cab-02"]
LIMIT_MINOR = 2000


def tab_of(system: System) -> Order:
    """The only tab."""
    with closing(SqliteStore(system.folder / "cloud.sqlite")) as store:
        (order,) = store.recent_orders(10)
    return order


def money_of(system: System) -> dict[str, Any]:
    """What Stripe's stand-in says of the only payment."""
    (money,) = system.stripe.money()
    return dict(money)


@pytest.mark.timeout(180 + 30 * ROUNDS)
def test_a_visit_with_a_cloud_that_is_killed_at_any_moment(folder: Path, dice: random.Random) -> None:
    settings = {**QUICK, "TAB_LIMITS": "20.00MYR"}
    with System(folder, MACHINES, SHORT, settings) as system:
        phone = TabPhone(system)
        phone.opens_tab(MACHINES[0], LIMIT_MINOR)
        wait_for("the tab is open", lambda: tab_of(system).is_open_tab, 20)
        played = 0
        for _ in range(min(ROUNDS, LIMIT_MINOR // PRICE_MINOR)):
            machine_id = dice.choice(MACHINES)
            ticket = phone.ticket(machine_id)

            with ThreadPoolExecutor(1) as at_once:
                tap = at_once.submit(phone.taps, machine_id, ticket)
                time.sleep(dice.uniform(0, 0.3))
                system.cloud.kill()
                system.start_cloud()
            status = tap.result()
            assert phone.taps(machine_id, ticket) == status or status == 409
            played = len(tab_of(system).credits)
        wait_for("all is confirmed", lambda: not any(c.under_way for c in tab_of(system).credits), 40)
        assert money_of(system)["held"] == LIMIT_MINOR
        phone.finishes()
        order = wait_for("the tab is settled", lambda: _settled(tab_of(system)), 40)
        counted = sum(len(pulses(cabinet.edge_log)) for cabinet in system.cabinets.values())
        assert order.delivered == counted
        assert counted >= 1
        assert len(order.credits) == played <= ROUNDS
        assert len({credit.draw.token for credit in order.credits if credit.draw}) == played
        money = money_of(system)
        assert (money["kept"], money["held"], money["refunded"]) == (order.earned_minor, 0, 0)
        assert order.earned_minor == PRICE_MINOR * counted
        assert f"You paid RM {order.earned_minor / 100:.2f} of RM 20.00 held" in phone.page("/tab").replace(
            "\u00a0", " "
        )


def _settled(order: Order) -> Order | None:
    return order if order.state == "settled" else None
