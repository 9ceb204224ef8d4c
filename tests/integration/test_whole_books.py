"""Books of real processes: after purchases they agree with Stripe, and what somebody did there is named."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from arcade_sandbox.errors import SystemFailed
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import PRICE_MINOR


def rows(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]


def test_a_day_of_purchases_agrees_with_stripe_until_somebody_refunds_there(whole):
    stripe = whole.system.stripe
    stripe.set_rules(balance_delay_s=0)
    by_card = whole.final(whole.system.buy("cab-01", 3))
    by_fpx = whole.final(whole.system.buy("cab-01", 2, "fpx"))
    today = datetime.now(UTC).date().isoformat()
    assert rows(whole.system.cli("reconcile", "--day", today, "--json")) == []
    (taken,) = rows(whole.system.cli("takings", "--from", today, "--to", today, "--by", "machine", "--json"))
    gross = PRICE_MINOR * 5
    fees = sum(PRICE_MINOR * count * 3 // 100 + 100 for count in (3, 2))
    assert (taken["gross"], taken["fees"], taken["feesOpen"]) == (f"{gross / 100:.2f}", f"{fees / 100:.2f}", 0)
    assert taken["net"] == f"{(gross - fees) / 100:.2f}"

    stripe.refund(by_card.payment_intent, 100)
    wait_for("the refund is booked", lambda: whole.order(by_card.order_id).books.lost_minor == 100, 20)
    whole.final(by_card.order_id)
    with pytest.raises(SystemFailed) as differs:
        whole.system.cli("reconcile", "--day", today, "--json")
    assert "refund_by_hand" in str(differs.value)
    assert by_card.order_id in str(differs.value)
    assert by_fpx.order_id not in str(differs.value)
