"""Payment intake: finds the order that a report from Stripe is about, and what the report means for it.

Reports come from webhooks and from reconciliation. No report is trusted to be news: it is compared with what is on
record, so taking it in again changes nothing.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.events import Due, PaymentRead, PaymentReported
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer, Payment
from arcade_cloud.domain.order import CheckoutPage, Credit, Order, OrderPayment, Settlement
from arcade_cloud.domain.payment import is_another
from arcade_cloud.errors import InvariantBroken, PaymentTaken, UnknownMachine
from arcade_cloud.ports.payments import Checkout, Report
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.sales import Sales
from arcade_shared.messages import MAX_CREDITS

# What became of a report. `ignored`: it is nothing to us. `seen`: it was taken in before. `unmatched`: its payment
# has no order and goes back.
TakenAs = Literal["ignored", "seen", "moved", "unmatched"]

# In an older report the payment may have changed since, so it is read back first.
TRUSTED_AGE_MS = 60_000
# Two workers can claim one order, or one payment, at the same time. The next look shows who was first.
CLAIM_RETRIES = 3


@dataclass(frozen=True, kw_only=True)
class PaymentIntake:
    """Takes in reports from Stripe, and begins orders for payments without one."""

    fulfilment: Fulfilment
    sales: Sales

    def take_in(self, report: Report) -> TakenAs:
        """Take in a verified report. Taking it in again changes nothing.

        Raises:
            StoreUnavailable: It was not taken in, so Stripe must send it again.
            PaymentsUnavailable: The same.
        """
        if report.kind == "ignored" or self.fulfilment.store.is_seen(report.event_id):
            return "ignored" if report.kind == "ignored" else "seen"
        for _ in range(CLAIM_RETRIES):
            order = self._order_of(report)
            if order is None:
                return self._without_order(report)
            paid = order.payment
            if report.payment_intent is not None and (paid is None or is_another(paid, report.payment_intent)):
                if report.kind != "payment":
                    return "ignored"
                why = "its order is free" if paid is None else "its order is paid already"
                return self._unmatched(report.payment_intent, report, why)
            try:
                self.fulfilment.move(order.order_id, self._event(order, report), seen=report.event_id)
            except PaymentTaken:
                continue  # another worker was faster; now it is on record whose payment it is
            return "moved"
        raise InvariantBroken(f"payment {report.payment_intent} has no order after {CLAIM_RETRIES} looks")

    def _order_of(self, report: Report) -> Order | None:
        """The order that has the payment intent already, or the one that the report names."""
        store = self.fulfilment.store
        claimed = None if report.payment_intent is None else store.order_of_payment(report.payment_intent)
        order_id = report.order_id if claimed is None else claimed
        return None if order_id is None else store.order(order_id)

    def _event(self, order: Order, report: Report) -> PaymentRead | PaymentReported:
        """The event for the order: the payment itself if it is beyond doubt, or a reason to read it back."""
        age_ms = self.fulfilment.now_ms() - report.created_ms
        if order.state == "open" and report.payment is not None and age_ms <= TRUSTED_AGE_MS:
            return PaymentRead(report.payment)
        return PaymentReported(report.payment_intent, report.what, good_news=report.kind == "payment")

    def _without_order(self, report: Report) -> TakenAs:
        """Take in a report that no order expects: a static Payment Link was paid, or it is not ours at all."""
        if report.site not in (None, self.sales.base_url):
            return "ignored"
        if report.kind != "payment" or report.payment_intent is None:
            return "ignored"
        if report.order_id is not None:
            return self._unmatched(report.payment_intent, report, "its order is not on record")
        if report.session_id is None:
            return "ignored"
        machine = self._machine_of(report)
        if machine is None and report.machine_id is None:
            return "ignored"  # the reference of another business on the same Stripe account
        checkout = self.fulfilment.payments.read_checkout(report.session_id)
        offer = None if machine is None else self._offer_sold(machine, checkout)
        if machine is None or offer is None:
            why = "machine is not registered" if machine is None else "price is not an offer of the machine"
            return self._unmatched(report.payment_intent, report, f"it was paid by a Payment Link whose {why}")
        return self._link_order(machine, *offer, checkout, report)

    def is_for_registered_machine(self, report: Report) -> bool:
        """Whether a report without an order names a registered machine."""
        return self._machine_of(report) is not None

    def _machine_of(self, report: Report) -> Machine | None:
        """The registered machine that a report without an order names."""
        machine_id = report.client_reference_id if report.machine_id is None else report.machine_id
        try:
            return None if machine_id is None else self.sales.machine(machine_id)
        except (UnknownMachine, ValueError):
            return None

    def _offer_sold(self, machine: Machine, checkout: Checkout) -> tuple[Offer, int] | None:
        """The offer and quantity that were bought; None unless the only line item is an offer of the machine."""
        if checkout.price_ids is None or len(checkout.price_ids) != 1:
            return None
        ((price_id, quantity),) = checkout.price_ids.items()
        for offer in self.sales.offers(machine):
            if offer.price_id == price_id and 1 <= offer.credits * quantity <= MAX_CREDITS:
                return offer, quantity
        return None

    def _link_order(
        self, machine: Machine, offer: Offer, quantity: int, checkout: Checkout, report: Report
    ) -> TakenAs:
        shown, now_ms = checkout.payment, self.fulfilment.now_ms()
        if shown is None:
            return "ignored"
        due = self.sales.payment_due(offer, quantity, now_ms)
        page = CheckoutPage(session_id=checkout.session_id)
        order = Order(
            order_id=f"link_{shown.payment_intent}",
            version=1,
            kind="link",
            # After a database was restored from a backup, this must give the same order with the same credit.
            created_at_ms=shown.paid_at_ms or now_ms,
            payment=msgspec.structs.replace(due, checkout=page, payment_intent=shown.payment_intent),
            credits=(self.sales.credit(machine, offer, quantity),),
        )
        if not self.fulfilment.begin_once(order, "PaidByLink"):
            return "seen"
        self.fulfilment.move(order.order_id, PaymentRead(shown), seen=report.event_id)
        return "moved"

    def _unmatched(self, payment_intent: str, report: Report, why: str) -> TakenAs:
        """Begin an order that gives an unmatched payment back."""
        shown: Payment = report.payment or self.fulfilment.payments.read_payment(payment_intent)
        now_ms = self.fulfilment.now_ms()
        order = Order(
            order_id=f"stray_{payment_intent}",
            version=1,
            kind="unmatched",
            created_at_ms=now_ms,
            note=why,
            payment=OrderPayment(
                amount_minor=shown.amount_minor,
                currency=shown.currency,
                stage="returning",
                payment_intent=payment_intent,
                shown=shown,
            ),
            credits=(Credit(machine_id=report.machine_id or "", count=1, price_minor=shown.amount_minor),),
            settlement=Settlement(due_at_ms=now_ms),
        )
        text = f"An unmatched payment goes back: {why}."
        unmatched = alert("unmatched_payment", order.order_id, text, now_ms)
        is_new = self.fulfilment.begin_once(order, "Unmatched", unmatched)
        event: PaymentReported | Due = Due() if is_new else PaymentReported(payment_intent, report.what)
        self.fulfilment.move(order.order_id, event, seen=report.event_id)
        return "unmatched"
