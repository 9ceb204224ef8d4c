"""What begins an order: a player's checkout, a payment made elsewhere, an operator's grant; and what Stripe says.

An order is on record before Stripe is asked for a checkout, and its offer is fixed then: what is paid never
decides how many credits there are.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from arcade_cloud.domain.events import (
    CheckoutFailed,
    CheckoutMade,
    Due,
    Outcome,
    PaymentRead,
    PaymentReported,
    RefundAsked,
)
from arcade_cloud.domain.life import can_refund
from arcade_cloud.domain.machines import Machine, why_not_ready
from arcade_cloud.domain.money import Offer, Payment
from arcade_cloud.domain.order import Alert, Order
from arcade_cloud.errors import (
    BadRequest,
    Conflict,
    InvariantBroken,
    NotReady,
    PaymentsError,
    PaymentTaken,
    UnknownMachine,
)
from arcade_cloud.ports.payments import Checkout, CheckoutRequest, Report
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_shared.ids import uuid7
from arcade_shared.messages import MAX_CREDITS, Gameover
from arcade_shared.topics import check_machine_id

MAX_QUANTITY = 100
# The first look at Stripe for an open order whose webhook never came.
FIRST_READ_MS = 90_000
# A game over is of interest at once or not at all.
GAME_OVER_EXPIRY_S = 60
# A webhook that is older may tell of a payment that has changed since: read it back first.
TRUSTED_AGE_MS = 60_000
# Two payments of one order can meet at the claim; the second look shows whose it is.
CLAIM_RETRIES = 3


@dataclass(frozen=True, kw_only=True)
class Sales:
    """Begins orders. `price_id` is the configured price of one credit, for machines without offers of their own.

    `base_url` is where players reach this cloud; it also marks our payments in a shared Stripe account.
    """

    fulfilment: Fulfilment
    base_url: str
    price_id: str | None = None
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    # --- offers ------------------------------------------------------------------------------------------

    def machine(self, machine_id: object) -> Machine:
        """The registered machine. Raises UnknownMachine, BadTopic for what is no machine id at all."""
        machine = self.fulfilment.store.machine(check_machine_id(machine_id))
        if machine is None:
            raise UnknownMachine(f"no machine {machine_id} is registered: see `arcade-cloud machine add`")
        return machine

    def offers(self, machine: Machine) -> tuple[Offer, ...]:
        """What the machine sells: its own offers, or one credit at the configured price.

        Raises PaymentsError if the configured price can't be read.
        """
        if machine.offers or self.price_id is None:
            return machine.offers
        price = self.fulfilment.payments.read_price(self.price_id)
        return (
            Offer(
                offer_id="credit",
                credits=1,
                amount_minor=price.amount_minor,
                currency=price.currency,
                price_id=price.price_id,
                label=price.label,
            ),
        )

    def _offer(self, machine: Machine, offer_id: str | None, price_id: str | None) -> Offer:
        offers = self.offers(machine)
        for offer in offers:
            if offer_id in (None, offer.offer_id) and price_id in (None, offer.price_id):
                return offer
        if not offers:
            raise BadRequest(f"machine {machine.machine_id} sells nothing: set STRIPE_PRICE_ID, or add offers")
        raise BadRequest(f"machine {machine.machine_id} has no such offer")

    # --- a player's checkout -----------------------------------------------------------------------------

    def begin_checkout(
        self, machine_id: object, *, offer_id: str | None = None, price_id: str | None = None, quantity: int = 1
    ) -> Order:
        """A new order with its checkout (`checkout_url`). The first offer is meant where none is named.

        Raises UnknownMachine, NotReady, BadRequest, PaymentsUnavailable (try again later) or PaymentsRefused
        (the set-up at Stripe is wrong), StoreUnavailable. Nobody can have paid then.
        """
        if not 1 <= quantity <= MAX_QUANTITY:
            raise BadRequest(f"quantity must lie between 1 and {MAX_QUANTITY}")
        machine = self.machine(machine_id)
        self._ready_installation(machine, 1)
        offer = self._offer(machine, offer_id, price_id)
        installation = self._ready_installation(machine, offer.credits * quantity)
        now_ms = self.fulfilment.now_ms()
        order_id = "ord_" + uuid7(now_ms, self.random_bytes).replace("-", "")
        expires_at_ms = now_ms + self.fulfilment.limits.checkout_life_s * 1000
        order = self._order(order_id, machine, offer, quantity, installation)
        self.fulfilment.begin(order, "Ordered")
        page = f"{self.base_url}/m/{machine.machine_id}"
        request = CheckoutRequest(
            order_id=order_id,
            machine_id=machine.machine_id,
            machine_name=machine.name or machine.machine_id,
            offer=offer,
            quantity=quantity,
            success_url=f"{page}/o/{order_id}",
            cancel_url=page,
            expires_at_ms=expires_at_ms,
            site=self.base_url,
        )
        try:
            checkout = self.fulfilment.payments.create_checkout(request, key=f"checkout:{order_id}")
        except PaymentsError as error:
            self.fulfilment.move(order_id, CheckoutFailed(f"no checkout: {type(error).__name__}"))
            raise
        if checkout.url is None:
            self.fulfilment.move(order_id, CheckoutFailed("Stripe gave no address for the checkout"))
            raise BadRequest("the payment page could not be opened; try again")
        made = CheckoutMade(checkout.session_id, checkout.url, checkout.expires_at_ms)
        moved = self.fulfilment.move(order_id, made)
        return order if moved is None else moved

    def _ready_installation(self, machine: Machine, credits: int) -> str | None:
        """Which computer would pulse them; None for a subscriber's machine. Raises NotReady."""
        presence = self.fulfilment.store.presence(machine.machine_id)
        why_not = why_not_ready(machine, presence, self.fulfilment.now_ms(), credits)
        if why_not is not None:
            raise NotReady(why_not)
        return None if presence is None or machine.kind == "subscriber" else presence.installation

    def _order(
        self, order_id: str, machine: Machine, offer: Offer, quantity: int, installation: str | None = None
    ) -> Order:
        credits = offer.credits * quantity
        if not 1 <= credits <= MAX_CREDITS:
            raise BadRequest(f"{credits} credits at once are too many; at most {MAX_CREDITS}")
        now_ms = self.fulfilment.now_ms()
        return Order(
            order_id=order_id,
            version=1,
            machine_id=machine.machine_id,
            subscriber=machine.kind == "subscriber",
            credits=credits,
            amount_minor=offer.amount_minor * quantity,
            currency=offer.currency,
            created_at_ms=now_ms,
            due_at_ms=now_ms + FIRST_READ_MS,
            installation=installation,
        )

    # --- what Stripe says --------------------------------------------------------------------------------

    def stripe_reported(self, report: Report) -> str:
        """Take in a verified webhook event; what became of it, in a word. Repeating it changes nothing.

        Raises StoreUnavailable or PaymentsUnavailable if it could not be taken in: Stripe is to send it again.
        """
        if report.kind == "ignored" or self.fulfilment.store.is_seen(report.event_id):
            return "ignored" if report.kind == "ignored" else "seen"
        for _ in range(CLAIM_RETRIES):
            order = self._order_of(report)
            if order is None:
                return self._without_order(report)
            if report.payment_intent is not None and order.payment_intent not in (None, report.payment_intent):
                if report.kind != "payment":
                    return "ignored"
                return self._stray(report.payment_intent, report, "a second payment for an order that was paid")
            try:
                self.fulfilment.move(order.order_id, self._event(order, report), seen=report.event_id)
            except PaymentTaken:
                continue  # somebody was faster; now it is on record whose the payment is
            return "moved"
        raise InvariantBroken(f"payment {report.payment_intent}: nobody's after {CLAIM_RETRIES} looks")

    def _order_of(self, report: Report) -> Order | None:
        """The order that has the payment intent already, else the one that the payment names."""
        store = self.fulfilment.store
        claimed = None if report.payment_intent is None else store.order_of_payment(report.payment_intent)
        order_id = report.order_id if claimed is None else claimed
        return None if order_id is None else store.order(order_id)

    def _event(self, order: Order, report: Report) -> PaymentRead | PaymentReported:
        """What the report means: the payment itself where nothing is in doubt, else a reason to read it back."""
        age_ms = self.fulfilment.now_ms() - report.created_ms
        if order.state == "open" and report.payment is not None and age_ms <= TRUSTED_AGE_MS:
            return PaymentRead(report.payment)
        return PaymentReported(report.payment_intent, report.what, good_news=report.kind == "payment")

    def _without_order(self, report: Report) -> str:
        """A payment that no order of ours expects: made by a static Payment Link, or not ours at all."""
        if report.site not in (None, self.base_url):
            return "ignored"
        if report.kind != "payment" or report.payment_intent is None:
            return "ignored"
        if report.order_id is not None:
            return self._stray(report.payment_intent, report, "the order is not on record")
        if report.session_id is None:
            return "ignored"
        machine = self._machine_of(report)
        if machine is None and report.machine_id is None:
            return "ignored"  # somebody else's reference: another business on the same Stripe account
        checkout = self.fulfilment.payments.read_checkout(report.session_id)
        offer = None if machine is None else self._offer_sold(machine, checkout)
        if machine is None or offer is None:
            why = "no such machine" if machine is None else "its price is no offer of the machine"
            return self._stray(report.payment_intent, report, f"paid by a Payment Link, and {why}")
        return self._link_order(machine, *offer, checkout, report)

    def is_for_machine_here(self, report: Report) -> bool:
        """Whether a payment that names no order names a machine that is registered."""
        return self._machine_of(report) is not None

    def _machine_of(self, report: Report) -> Machine | None:
        """The registered machine that a payment without an order is for."""
        machine_id = report.client_reference_id if report.machine_id is None else report.machine_id
        try:
            return None if machine_id is None else self.machine(machine_id)
        except (UnknownMachine, ValueError):
            return None

    def _offer_sold(self, machine: Machine, checkout: Checkout) -> tuple[Offer, int] | None:
        """The offer and the quantity that a Payment Link's only line item stands for."""
        if checkout.price_ids is None or len(checkout.price_ids) != 1:
            return None
        ((price_id, quantity),) = checkout.price_ids.items()
        for offer in self.offers(machine):
            if offer.price_id == price_id and 1 <= offer.credits * quantity <= MAX_CREDITS:
                return offer, quantity
        return None

    def _link_order(
        self, machine: Machine, offer: Offer, quantity: int, checkout: Checkout, report: Report
    ) -> str:
        payment = checkout.payment
        if payment is None:
            return "ignored"
        order = msgspec.structs.replace(
            self._order(f"link_{payment.payment_intent}", machine, offer, quantity),
            kind="link",
            session_id=checkout.session_id,
            payment_intent=payment.payment_intent,
            # Made anew, after a database was set back, it must be the same order with the same credit.
            created_at_ms=payment.paid_at_ms or self.fulfilment.now_ms(),
            due_at_ms=self.fulfilment.now_ms(),
        )
        if not self._begun(order, "PaidByLink"):
            return "seen"
        self.fulfilment.move(order.order_id, PaymentRead(payment), seen=report.event_id)
        return "moved"

    def _stray(self, payment_intent: str, report: Report, why: str) -> str:
        """Money that belongs to no order: an order of its own, which gives it back."""
        payment: Payment = report.payment or self.fulfilment.payments.read_payment(payment_intent)
        now_ms = self.fulfilment.now_ms()
        order = Order(
            order_id=f"stray_{payment_intent}",
            version=1,
            kind="stray",
            state="returning",
            machine_id=report.machine_id or "",
            credits=1,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            created_at_ms=now_ms,
            due_at_ms=now_ms,
            payment_intent=payment_intent,
            payment=payment,
            note=why,
        )
        alert = Alert(
            alert_id=f"stray:{payment_intent}",
            kind="stray",
            text=f"A payment is given back: {why}.",
            subject=order.order_id,
            at_ms=now_ms,
        )
        begun = self._begun(order, "Stray", alert)
        event: PaymentReported | Due = Due() if begun else PaymentReported(payment_intent, report.what)
        self.fulfilment.move(order.order_id, event, seen=report.event_id)
        return "stray"

    def _begun(self, order: Order, event: str, *alerts: Alert) -> bool:
        """Whether the order is new. An older one for the same payment stands."""
        try:
            self.fulfilment.begin(order, event, alerts=alerts)
        except (Conflict, PaymentTaken):
            return False
        return True

    # --- the operator, and game software -----------------------------------------------------------------

    def grant(self, machine_id: object, credits: int, *, by: str, reason: str, token: str) -> Order:
        """Free credits. `token` is the form's: the same token gives the same order, however often it is sent.

        Raises UnknownMachine, NotReady, BadRequest.
        """
        order_id = "grant_" + hashlib.sha256(token.encode()).hexdigest()[:32]
        existing = self.fulfilment.store.order(order_id)
        if existing is not None:
            return existing
        machine = self.machine(machine_id)
        installation = self._ready_installation(machine, credits)
        now_ms = self.fulfilment.now_ms()
        free = Offer(offer_id="grant", credits=credits, amount_minor=0, currency="")
        order = msgspec.structs.replace(
            self._order(order_id, machine, free, 1, installation),
            kind="grant",
            state="funded",
            paid_at_ms=now_ms,
            due_at_ms=now_ms,
            note=f"granted by {by}: {reason}",
        )
        self._begun(order, "Granted")
        moved = self.fulfilment.move(order_id, Due())
        return order if moved is None else moved

    def refund(self, order_id: str, *, by: str, reason: str, keep_minor: int = 0) -> Order:
        """Give money back, all but `keep_minor` at the most. Raises BadRequest where there is none.

        What is asked here must not hang on what others make of the order meanwhile: once money can be given back,
        it has been asked for, or somebody else has given back as much.
        """
        before = self.fulfilment.store.order(order_id)
        if before is None:
            raise BadRequest(f"no order {order_id}")
        if not can_refund(before, keep_minor):
            raise BadRequest(f"order {order_id} is {before.state}: there is nothing to give back")
        after = self.fulfilment.move(order_id, RefundAsked(by, reason, keep_minor))
        return before if after is None else after

    def send_game_over(self, machine_id: object) -> Outcome:
        """Publish a game over on behalf of game software. Raises UnknownMachine."""
        machine = self.machine(machine_id)
        now_ms = self.fulfilment.now_ms()
        return self.fulfilment.send(
            machine.machine_id,
            "gameover",
            Gameover,
            GAME_OVER_EXPIRY_S,
            status="game_over",
            event_id=uuid7(now_ms, self.random_bytes),
            source="api",
        )
