"""Several processes on one order: what one of them read before another acted moves no money."""

from collections.abc import Callable
from typing import Any

import pytest

from arcade_cloud.bootstrap import connect
from arcade_cloud.domain.events import PaymentReported
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.money import Payment
from arcade_cloud.services.operations import Operations
from support.mortal_cloud import BASE_URL, SECRET, MortalCloud


class SlowToUse:
    """Stripe as a process has it that is stopped between an answer and its use."""

    def __init__(self, inner: Any, meanwhile: Callable[[], None]) -> None:
        self._inner, self._meanwhile = inner, [meanwhile]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read_payment(self, payment_intent: str) -> Payment:
        answer: Payment = self._inner.read_payment(payment_intent)
        while self._meanwhile:
            self._meanwhile.pop()()
        return answer


@pytest.mark.parametrize("ahead_ms", [-60, 0, 60, 30_000])
def test_a_reading_from_before_an_operators_refund_refunds_nothing(ahead_ms: int) -> None:
    cloud = MortalCloud()

    def process(**parts: Any) -> Any:
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

    order_id = cloud.buy("grabpay") or ""
    cloud.settle_down()
    assert cloud.order(order_id).state == "settled"

    def refund(operations: Operations, keep_minor: int) -> None:
        operations.refund(order_id, by="kim", reason="a complaint", keep_minor=keep_minor)
        cloud.now_ms += 6_000

    def meanwhile() -> None:
        refund(process().operations, 200)
        # This process dies before it reads the payment.
        refund(process(later=lambda work: None).operations, 100)

    slow = process(payments=SlowToUse(cloud.payments, meanwhile), now_ms=lambda: cloud.now_ms + ahead_ms)
    slow.fulfilment.move(order_id, PaymentReported(cloud.intent(), "charge.updated"))
    cloud.settle_down()
    (money,) = cloud.payments.stripe.money()
    assert (money["kept"], cloud.order(order_id).books.target_minor) == (100, 100)
    cloud.check_promises()
