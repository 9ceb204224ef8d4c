"""An operator's command closes a machine for everybody, in other processes and at once; what was begun goes on."""

import time
from typing import Any

import pytest
import requests

from arcade_sandbox.processes import wait_for
from support.sandbox_account import SandboxAccount

MACHINE = "cab-01"


@pytest.fixture
def closed(whole: Any) -> Any:
    """The machine is out of service, with one page of a checkout still open."""
    link = whole.system.create_link(MACHINE, 2)
    said = whole.system.cli("machine", "out-of-service", MACHINE, "--reason", "Closed for maintenance")
    assert "now:    out of service: Closed for maintenance" in said
    yield link
    whole.system.cli("machine", "in-service", MACHINE)
    whole.system.wait_ready(MACHINE)


def money_of(whole: Any, intent: str) -> dict[str, Any]:
    (line,) = [line for line in whole.system.stripe.money() if line["id"] == intent]
    return dict(line)


def test_nobody_can_pay_and_it_comes_back(whole: Any, closed: Any) -> None:
    url = whole.system.url
    state = whole.system.machine_state(MACHINE)
    assert (state["ready"], state["word"]) == (False, "Closed for maintenance")
    assert "Closed for maintenance" in requests.get(f"{url}/kiosk/{MACHINE}", timeout=10).text
    refused = requests.post(f"{url}/create-payment-link", json={"machine_id": MACHINE}, timeout=10)
    assert (refused.status_code, refused.json()["error"]["message"]) == (409, "Closed for maintenance")
    whole.system.cli("machine", "in-service", "--all")
    whole.system.wait_ready(MACHINE)
    assert whole.final(whole.system.buy(MACHINE, 1)).delivered == 1


def test_a_page_that_was_open_is_paid_and_delivered(whole: Any, closed: Any) -> None:
    before = len(whole.pulses())
    whole.system.stripe.pay(closed["url"], "card")
    order = whole.final(closed["orderId"])
    assert (order.state, order.delivered) == ("settled", 2)
    assert len(whole.pulses()) - before == 2
    whole.check_money(order)


@pytest.mark.parametrize("method", ["card", "fpx"])
def test_money_by_a_static_link_goes_back(whole: Any, closed: Any, method: str) -> None:
    before = len(whole.pulses())
    time.sleep(1.1)  # Stripe tells whole seconds, and what was paid before the closure is delivered
    account = SandboxAccount(whole.system.stripe)
    intent = account.pay(account.visit_link(whole.system.price_id, 2, metadata={"machine_id": MACHINE}), method)
    order = whole.final(
        wait_for("the order that gives it back", lambda: _there(whole, f"stray_{intent}"), 20).order_id
    )
    assert (order.state, order.machine_id) == ("settled", MACHINE)
    assert (money_of(whole, intent)["kept"], money_of(whole, intent)["held"]) == (0, 0)
    assert len(whole.pulses()) == before
    assert "a static link still sells it" in whole.system.cli("alert", "list")


def _there(whole: Any, order_id: str) -> Any:
    try:
        return whole.order(order_id)
    except AssertionError:
        return None
