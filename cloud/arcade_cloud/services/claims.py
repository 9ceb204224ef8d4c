"""Claims: what a person decides about a payment that nobody can prove to be ours.

Such payments are on a list (`Store.unclaimed`). A decision about one begins an order for it, as a payment with
proof would have, and takes it off the list. Our own record names the payment from then on, and the order goes its
usual way.
"""

from contextlib import suppress
from dataclasses import dataclass

import msgspec

from arcade_cloud.domain.events import Due
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer, Payment, format_amount
from arcade_cloud.domain.order import Arrival, Delivery, Order, OrderPayment
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.errors import BadRequest
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.fulfilment import Beginning, Fulfilment
from arcade_cloud.services.payment_intake import giving_back
from arcade_cloud.services.sales import Sales
from arcade_shared.messages import MAX_CREDITS


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What people decide. Each decision is made once, whoever else decides at the same time."""

    fulfilment: Fulfilment
    sales: Sales
    alerts: Alerts

    def waiting(self, limit: int) -> list[Unclaimed]:
        """The payments that wait for a decision, newest first."""
        store = self.fulfilment.store
        return [
            payment for payment in store.unclaimed(limit) if store.order_of_payment(payment.payment_intent) is None
        ]

    def look(self, payment_intent: str) -> tuple[Unclaimed, Payment]:
        """A payment that waits for a decision: as it was noted, and as Stripe shows it now.

        Raises:
            BadRequest: It does not wait for a decision.
            PaymentsError: Stripe does not show it.
        """
        store = self.fulfilment.store
        order_id = store.order_of_payment(payment_intent)
        if order_id is not None:
            raise BadRequest(f"payment {payment_intent} belongs to order {order_id}: see arcade-cloud order show")
        noted = store.unclaimed_payment(payment_intent)
        if noted is None:
            raise BadRequest(f"payment {payment_intent} is not unclaimed: see arcade-cloud payment list")
        return noted, self.fulfilment.payments.read_payment(payment_intent)

    def give_back(self, payment_intent: str, *, by: str) -> Order:
        """Give the payment back: a hold is cancelled, money taken is refunded.

        Raises:
            BadRequest: It does not wait for a decision.
            PaymentsError: Stripe does not show it.
        """
        noted, shown = self.look(payment_intent)
        order = giving_back(shown, noted.likely_machine, f"given back by {by}", self.fulfilment.now_ms())
        return self._decided(order, "Unmatched", by)

    def machine_credits(self, noted: Unclaimed, machine_id: object) -> int | None:
        """How many credits of the machine the payment buys; None if it is not the price of an offer.

        Raises:
            UnknownMachine: No such machine is registered.
            BadTopic: It is not a machine id at all.
            PaymentsError: The configured price cannot be read.
        """
        offers = self.sales.offers(self.sales.machine(machine_id))
        for offer in offers:
            if noted.price_id is not None and offer.price_id == noted.price_id:
                return offer.credits * noted.quantity
        for offer in offers:
            if (offer.amount_minor, offer.currency) == (noted.amount_minor, noted.currency):
                return offer.credits
        return None

    def deliver(self, payment_intent: str, machine_id: object, credits: int, *, by: str) -> Order:
        """Have a machine pulse the credits for the payment, now, as if it had just been paid.

        Raises:
            BadRequest: It does not wait for a decision, its money is not there, or these are too many credits.
            UnknownMachine: No such machine is registered.
            NotReady: The machine cannot take so many credits now.
            PaymentsError: Stripe does not show it.
        """
        machine = self.sales.machine(machine_id)
        if not 1 <= credits <= MAX_CREDITS:
            raise BadRequest(f"a payment buys 1 to {MAX_CREDITS} credits, not {credits}")
        _, shown = self.look(payment_intent)
        if not shown.has_money or shown.dispute != "none":
            raise BadRequest(f"payment {payment_intent} is {shown.status} or disputed: nothing can be sold for it")
        if shown.kept_minor + shown.capturable_minor < shown.amount_minor:
            amount = format_amount(shown.amount_minor, shown.currency)
            raise BadRequest(f"of payment {payment_intent} not all of {amount} is there any more: give it back")
        installation = self.sales.ready_installation(machine, credits, words=None)
        return self._decided(self._order(machine, installation, credits, shown, by), "Claimed", by)

    def _order(self, machine: Machine, installation: str | None, credits: int, shown: Payment, by: str) -> Order:
        now_ms = self.fulfilment.now_ms()
        sold = Offer(offer_id="claim", credits=credits, amount_minor=shown.amount_minor, currency=shown.currency)
        credit = self.sales.credit(machine, sold, 1, installation)
        return Order(
            order_id=f"link_{shown.payment_intent}",
            version=1,
            kind="link",
            created_at_ms=now_ms,
            note=f"delivered by {by}",
            payment=OrderPayment(
                amount_minor=shown.amount_minor,
                currency=shown.currency,
                stage="funded",
                payment_intent=shown.payment_intent,
                shown=shown,
                # The time to deliver begins now, whenever the player paid.
                arrival=Arrival(
                    paid_at_ms=now_ms,
                    held=shown.status == "requires_capture",
                    capture_before_ms=shown.capture_before_ms,
                ),
            ),
            credits=(msgspec.structs.replace(credit, delivery=Delivery(drawn_at_ms=now_ms, due_at_ms=now_ms)),),
        )

    def _decided(self, order: Order, event: Beginning, by: str) -> Order:
        """Begin the order, and only then take its payment off the list."""
        payment_intent = order.payment_intent or ""
        if not self.fulfilment.begin_once(order, event):
            raise BadRequest(f"somebody else has just decided about payment {payment_intent}")
        self._take_off(payment_intent, by)
        moved = self.fulfilment.move(order.order_id, Due())
        return order if moved is None else moved

    def dismiss(self, payment_intent: str, *, by: str) -> None:
        """Take the payment off the list: it is somebody else's, and nothing is done with it.

        Raises:
            BadRequest: It is not on the list.
        """
        if self.fulfilment.store.unclaimed_payment(payment_intent) is None:
            raise BadRequest(f"payment {payment_intent} is not unclaimed: see arcade-cloud payment list")
        self._take_off(payment_intent, by)

    def _take_off(self, payment_intent: str, by: str) -> None:
        self.fulfilment.store.forget_unclaimed(payment_intent)
        with suppress(BadRequest):  # the alert is so old that it is gone
            self.alerts.acknowledge(f"unclaimed:{payment_intent}", by)
