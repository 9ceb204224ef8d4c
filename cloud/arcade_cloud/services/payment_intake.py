"""Payment intake: finds the order that a report from Stripe is about, and what the report means for it.

Reports come from webhooks and from reconciliation. No report is trusted to be news: it is compared with what is on
record, so taking it in again changes nothing.

Others may use the same Stripe account, and their events come here too. What is not proven to be ours is left alone
(`domain.ownership` says what proves it); what looks as if it were meant for us is shown to a person.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from arcade_cloud.domain import ownership
from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.events import Due, PaymentRead, PaymentReported
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer, Payment, format_amount
from arcade_cloud.domain.order import CheckoutPage, Credit, Order, OrderPayment, Settlement
from arcade_cloud.domain.ownership import Ours, Unclaimed
from arcade_cloud.domain.payment import is_another
from arcade_cloud.errors import InvariantBroken, PaymentsRefused, PaymentsUnavailable, PaymentTaken, UnknownMachine
from arcade_cloud.ports.payments import Checkout, Payments, Report
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.sales import Sales
from arcade_shared.messages import MAX_CREDITS

# What became of a report. `ignored`: it is nothing to us. `seen`: it was taken in before. `unmatched`: its payment
# is ours, has no order, and goes back. `unclaimed`: a person must decide about its payment. `refused`: Stripe does
# not let us see what it is about.
TakenAs = Literal["ignored", "seen", "moved", "unmatched", "unclaimed", "refused"]

# In an older report the payment may have changed since, so it is read back first.
TRUSTED_AGE_MS = 60_000
# As much of what a payment names as its machine as a person needs to see.
_MAX_REFERENCE = 100
_NO_PROOF = "it names an order or the address of this site, but lacks the mark of the payments made here"
# Two workers can claim one order, or one payment, at the same time. The next look shows who was first.
CLAIM_RETRIES = 3


@dataclass(frozen=True, kw_only=True)
class PaymentIntake:
    """Takes in reports from Stripe, and begins orders for payments without one.

    Attributes:
        payments: Stripe for what a webhook waits for. It may say no sooner than that of `fulfilment`.
        is_live: The key is of Stripe's live mode.
    """

    fulfilment: Fulfilment
    payments: Payments
    sales: Sales
    keyring: Keyring
    is_live: bool = False

    def take_in(self, report: Report) -> TakenAs:
        """Take in a verified webhook's report. Taking it in again changes nothing.

        Stripe sends again, for days, whatever is not answered, and in the end switches the endpoint off. So what
        can never be taken in is raised as an alert instead.

        Raises:
            StoreUnavailable: It was not taken in, so Stripe must send it again.
            PaymentsUnavailable: The same.
        """
        try:
            return self._once(report, is_news=True)
        except PaymentsRefused as error:
            text = (
                f"Stripe sends an event whose payment it does not show: {error}. Does STRIPE_API_KEY belong to "
                "the account and the mode in which the webhook endpoint is set up?"
            )
            self._alert("unreadable", text, error.code)
            return "refused"

    def take_in_found(self, report: Report) -> TakenAs:
        """Take in a report that was found in Stripe's list of events, perhaps long after it was made.

        Its payment may be from before an older database was put back, so its credits may have been delivered:
        nothing goes back by itself if its order is not on record.

        Raises:
            StoreUnavailable: It was not taken in. It may come again.
            PaymentsUnavailable: The same.
            PaymentsRefused: Stripe does not show what it is about.
        """
        return self._once(report, is_news=False)

    def _once(self, report: Report, *, is_news: bool) -> TakenAs:
        if report.kind == "ignored" or self._is_elsewhere(report):
            return "ignored"
        if self.fulfilment.store.is_seen(report.event_id):
            return "seen"
        for _ in range(CLAIM_RETRIES):
            try:
                return self._take_in(report, is_news=is_news)
            except PaymentTaken:
                continue  # another worker was faster; now it is on record whose payment it is
        raise InvariantBroken(f"payment {report.payment_intent} has no order after {CLAIM_RETRIES} looks")

    def _take_in(self, report: Report, *, is_news: bool) -> TakenAs:
        on_record, is_marked = self._on_record(report), self._is_marked(report)
        order = on_record
        if order is None and is_marked:
            order = None if report.order_id is None else self.fulfilment.store.order(report.order_id)
            if order is None:
                return self._without_order(report, is_news=is_news)
        if order is None:
            return self._unproven(report)
        paid = order.payment
        if report.payment_intent is not None and (paid is None or is_another(paid, report.payment_intent)):
            if report.kind != "payment":
                return "ignored"
            return self._unmatched(report.payment_intent, report, "its order is paid already")
        event = self._event(order, report, is_marked=is_marked, is_on_record=on_record is not None)
        is_unsure = (
            isinstance(event, PaymentReported) and event.payment_intent is None and order.payment_intent is None
        )
        if is_unsure and report.kind == "payment" and report.payment_intent is not None:
            return self._told_apart(order, report.payment_intent, report, event)
        self.fulfilment.move(order.order_id, event, seen=report.event_id)
        return "moved"

    def _is_elsewhere(self, report: Report) -> bool:
        """Whether the event is of another account or mode than the key. Raises an alert, once for each kind."""
        if report.account is not None:
            text = (
                f"Stripe sends events of connected accounts (such as {report.account}). The key does not see "
                "these payments, and nothing is done for them. If players pay there, set up the webhook endpoint "
                "and STRIPE_API_KEY in that account; if not, take these events off the endpoint."
            )
            self._alert("wrong_endpoint", text, "account")
            return True
        if report.is_live is None or report.is_live == self.is_live:
            return False
        theirs, ours = ("live", "a test") if report.is_live else ("test", "the live")
        text = (
            f"Stripe sends events of its {theirs} mode, but STRIPE_API_KEY is of {ours} mode: nothing is done for "
            "these payments. Take the key and the webhook secret from the same mode."
        )
        self._alert("wrong_endpoint", text, theirs)
        return True

    def _alert(self, kind: Literal["unreadable", "wrong_endpoint"], text: str, which: str) -> None:
        self.fulfilment.store.raise_alert(alert(kind, "Stripe", text, self.fulfilment.now_ms(), which))

    # --- what proves that a payment is ours ----------------------------------------------------------------

    def is_on_record(self, report: Report) -> bool:
        """Whether our own record names the payment intent or the session of the report."""
        return self._on_record(report) is not None

    def _on_record(self, report: Report) -> Order | None:
        """The order whose record names the payment intent or the session of the report."""
        store = self.fulfilment.store
        claimed = None if report.payment_intent is None else store.order_of_payment(report.payment_intent)
        if claimed is not None:
            return store.order(claimed)
        named = None if report.order_id is None or report.session_id is None else store.order(report.order_id)
        return named if named is not None and _session_of(named) == report.session_id else None

    def _is_marked(self, report: Report) -> bool:
        """Whether the report carries our mark for exactly what it is about."""
        order_id, machine_id, site = report.order_id, report.machine_id, report.site
        amount_minor, currency = report.amount_minor, report.currency
        if order_id is None or machine_id is None or site is None or amount_minor is None or currency is None:
            return False
        ours = Ours(
            order_id=order_id, amount_minor=amount_minor, currency=currency, machine_id=machine_id, site=site
        )
        return ownership.is_marked(self.keyring.of_payments, ours, report.mark)

    def _event(
        self, order: Order, report: Report, *, is_marked: bool, is_on_record: bool
    ) -> PaymentRead | PaymentReported:
        """The event for the order: the payment itself if it is beyond doubt, or a reason to read it back.

        Whoever has a leaked webhook secret can invent events, but not the mark. Whoever copies our metadata to a
        payment of the same sum copies the mark, and that payment may be declined. So of an order that knows its
        session, only the session says which payment is its.
        """
        is_fresh = self.fulfilment.now_ms() - report.created_ms <= TRUSTED_AGE_MS
        if order.state == "open" and report.payment is not None and is_marked and is_fresh:
            return PaymentRead(report.payment)
        its_own = report.payment_intent if is_on_record or _session_of(order) is None else None
        return PaymentReported(its_own, report.what, good_news=report.kind == "payment")

    def _told_apart(
        self, order: Order, payment_intent: str, report: Report, event: PaymentRead | PaymentReported
    ) -> TakenAs:
        """Take in money with the mark of an order that waits for the payment of its own page.

        If it is not that payment, somebody has copied the mark, and a person is asked.
        """
        try:
            if self._is_read_back(order, payment_intent, report):
                return "moved"
        except PaymentsUnavailable:
            self.fulfilment.move(order.order_id, event)  # so it is read in time, though Stripe may send this late
            raise
        why = f"it carries the mark of order {order.order_id}, but is not what was paid on the page of that order"
        return self._unclaimed(self._payment(payment_intent, report), report, why)

    # --- payments without proof ----------------------------------------------------------------------------

    def _unproven(self, report: Report) -> TakenAs:
        """Take in a report that neither our record nor our mark proves to be ours."""
        payment_intent = report.payment_intent
        if report.kind != "payment" or payment_intent is None:
            return "ignored"
        named = None if report.order_id is None else self.fulfilment.store.order(report.order_id)
        if named is not None and named.payment_intent == payment_intent:
            raise PaymentTaken(f"{payment_intent} funds order {named.order_id}")  # since its record was asked for
        if named is not None and self._is_read_back(named, payment_intent, report):
            return "moved"
        if named is None and report.site not in (None, self.sales.base_url):
            return "ignored"  # another site's
        machine = self._machine_of(report)
        is_named = named is not None or report.site is not None
        if report.session_id is None:
            if not is_named:
                return "ignored"
            return self._unclaimed(self._payment(payment_intent, report), report, _NO_PROOF)
        if machine is None and report.machine_id is None and not report.by_link and not is_named:
            return "ignored"  # the checkout of another business: what it may name as its reference is its own
        checkout = self.payments.read_checkout(report.session_id)
        if checkout.payment is None or not checkout.payment.has_money:
            return "ignored"  # if a slow bank takes it after all, that is another event
        sold = None if machine is None else self._offer_sold(machine, checkout)
        # Our own checkouts name their site, and static links do not.
        if machine is not None and sold is not None and report.site is None:
            return self._link_order(machine, *sold, checkout, checkout.payment, report)
        why = self._why_unclaimed(machine, checkout, is_named=is_named)
        return "ignored" if why is None else self._unclaimed(checkout.payment, report, why, checkout)

    def _is_read_back(self, named: Order, payment_intent: str, report: Report) -> bool:
        """Whether the order that is named has this payment, according to its own session. If so, it is moved.

        The checkouts of older versions carry no mark, and of an order that is not paid yet the record names the
        session alone.
        """
        session_id = _session_of(named)
        if session_id is None or named.payment_intent is not None:
            return False
        read_at_ms = self.fulfilment.now_ms()
        checkout = self.payments.read_checkout(session_id)
        if checkout.payment is None or checkout.payment.payment_intent != payment_intent:
            return False
        read = PaymentRead(checkout.payment, checkout.status, read_at_ms)
        self.fulfilment.move(named.order_id, read, seen=report.event_id)
        return True

    def _why_unclaimed(self, machine: Machine | None, checkout: Checkout, *, is_named: bool) -> str | None:
        """Why a session without proof looks as if it were meant for us; None if it does not."""
        if is_named:
            return _NO_PROOF
        if machine is not None:
            return f"it names machine {machine.machine_id}, but its price is not an offer of this machine"
        if any(self.sales.sells_at(price_id) for price_id in checkout.price_ids or ()):
            return "its price is sold here, but it names no registered machine"
        return None

    def _payment(self, payment_intent: str, report: Report) -> Payment:
        return report.payment or self.payments.read_payment(payment_intent)

    def _unclaimed(
        self, shown: Payment, report: Report, why: str, checkout: Checkout | None = None, *, todo: str = ""
    ) -> TakenAs:
        """Show the payment to a person, who gives it back or has it delivered. `todo`: what else to do."""
        store, now_ms = self.fulfilment.store, self.fulfilment.now_ms()
        if not shown.has_money or not shown.kept_minor + shown.capturable_minor:
            return "ignored"
        reference = (report.machine_id or report.client_reference_id or "")[:_MAX_REFERENCE]
        meant = ownership.likely_machine(reference, (machine.machine_id for machine in store.machines()))
        prices = list((None if checkout is None else checkout.price_ids) or {})
        price_id = prices[0] if len(prices) == 1 else None
        payment = Unclaimed(
            payment_intent=shown.payment_intent,
            amount_minor=shown.amount_minor,
            currency=shown.currency,
            why=why,
            at_ms=now_ms,
            reference=reference,
            likely_machine=meant,
            price_id=price_id,
            quantity=1 if checkout is None or price_id is None else (checkout.price_ids or {})[price_id],
        )
        hint = f" It probably means machine {meant}." if meant and meant != reference else ""
        named = f" It names {reference!r}." if reference else ""
        text = (
            f"A payment of {format_amount(shown.amount_minor, shown.currency)} may be meant for this arcade: "
            f"{why}.{named}{hint} Nothing was done with it. Decide: arcade-cloud payment deliver, return or, if "
            f"it is somebody else's, dismiss {shown.payment_intent}.{todo}"
        )
        store.note_unclaimed(payment)
        store.raise_alert(alert("unclaimed", shown.payment_intent, text, now_ms))
        store.note_seen(report.event_id, now_ms)
        return "unclaimed"

    # --- static Payment Links ------------------------------------------------------------------------------

    def may_be_ours(self, report: Report) -> bool:
        """Whether the report names a registered machine or this site."""
        return report.site == self.sales.base_url or self._machine_of(report) is not None

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
        try:
            offers = self.sales.offers(machine)
        except PaymentsRefused:
            return None  # STRIPE_PRICE_ID is wrong, so nothing is sold at it
        for offer in offers:
            if offer.price_id == price_id and 1 <= offer.credits * quantity <= MAX_CREDITS:
                return offer, quantity
        return None

    def _link_order(
        self, machine: Machine, offer: Offer, quantity: int, checkout: Checkout, shown: Payment, report: Report
    ) -> TakenAs:
        now_ms = self.fulfilment.now_ms()
        if self._is_paid_while_closed(machine, shown, now_ms):
            why = f"machine {machine.machine_id} is out of service, and a static link still sells it"
            return self._give_back(shown, machine.machine_id, why, report)
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

    def _is_paid_while_closed(self, machine: Machine, shown: Payment, now_ms: int) -> bool:
        """Whether the machine was out of service when the money came, and is.

        What became known late goes back without this. What was captured, before an older database was put back,
        has been delivered.
        """
        closed = machine.closed(now_ms)
        paid_at_ms = now_ms if shown.paid_at_ms is None else shown.paid_at_ms
        is_late = now_ms - paid_at_ms >= self.fulfilment.limits.deliver_within_s * 1000
        if closed is None or paid_at_ms < closed.since_ms or is_late:
            return False
        return ownership.captured_for(self.keyring.of_captures, shown.payment_intent, shown.capture_mark) is None

    # --- payments that are ours, and have no order ---------------------------------------------------------

    def _without_order(self, report: Report, *, is_news: bool) -> TakenAs:
        """Take in a report that carries our mark and names an order that is not on record."""
        if report.kind != "payment" or report.payment_intent is None or report.site != self.sales.base_url:
            return "ignored"  # another site may have the same signing secret
        why = "its order is not on record"
        shown = self.fulfilment.payments.read_payment(
            report.payment_intent
        )  # the event may be older than a capture
        target = ownership.captured_for(self.keyring.of_captures, shown.payment_intent, shown.capture_mark)
        if is_news and target is None:
            return self._unmatched(report.payment_intent, report, why)
        why += ", as after an older database was put back, so its credits may have been delivered"
        if target is not None:
            why += f"; {format_amount(target, shown.currency)} of it was to be kept for them"
        return self._unclaimed(shown, report, why, todo=f" {ownership.IF_RESTORED}.")

    def _unmatched(self, payment_intent: str, report: Report, why: str) -> TakenAs:
        """Begin an order that gives an unmatched payment back, if its money is there."""
        shown = self._payment(payment_intent, report)
        if not shown.has_money:
            return "ignored"  # if a slow bank takes it after all, that is another event
        return self._give_back(shown, report.machine_id or "", why, report)

    def _give_back(self, shown: Payment, machine_id: str, why: str, report: Report) -> TakenAs:
        now_ms = self.fulfilment.now_ms()
        order = giving_back(shown, machine_id, why, now_ms)
        text = f"An unmatched payment goes back: {why}."
        unmatched = alert("unmatched_payment", order.order_id, text, now_ms)
        is_new = self.fulfilment.begin_once(order, "Unmatched", unmatched)
        event: PaymentReported | Due = Due() if is_new else PaymentReported(shown.payment_intent, report.what)
        self.fulfilment.move(order.order_id, event, seen=report.event_id)
        return "unmatched"


def giving_back(shown: Payment, machine_id: str, why: str, now_ms: int) -> Order:
    """An order that gives a payment back, due at once. `why` is for people."""
    return Order(
        order_id=f"stray_{shown.payment_intent}",
        version=1,
        kind="unmatched",
        created_at_ms=now_ms,
        note=why,
        payment=OrderPayment(
            amount_minor=shown.amount_minor,
            currency=shown.currency,
            stage="returning",
            payment_intent=shown.payment_intent,
            shown=shown,
        ),
        credits=(Credit(machine_id=machine_id, count=1, price_minor=shown.amount_minor),),
        # It is decided that it goes back, also what was captured of it (`settlement.knowing`).
        settlement=Settlement(due_at_ms=now_ms, serial=1),
    )


def _session_of(order: Order) -> str | None:
    page = None if order.payment is None else order.payment.checkout
    return None if page is None else page.session_id
