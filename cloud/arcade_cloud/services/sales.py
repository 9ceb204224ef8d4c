"""Sales: offers, readiness, and the checkout with which an order begins.

An order is on record before Stripe is asked for a checkout. Its offer is fixed then, so the sum paid never decides
the number of credits.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo

from arcade_cloud.domain.clocks import why_closed
from arcade_cloud.domain.closure import closed_text
from arcade_cloud.domain.events import CheckoutFailed, CheckoutMade
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import MAX_QUANTITY
from arcade_cloud.domain.machines import Machine, why_not_ready, why_unfit
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.offers import next_sold_ms, offer_text, sold_now, still_sold
from arcade_cloud.domain.order import Credit, Order, OrderPayment
from arcade_cloud.domain.ownership import Ours, mark
from arcade_cloud.domain.receipts import statement_suffix
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.errors import BadRequest, NotReady, PaymentsError, PaymentsRefused, UnknownMachine
from arcade_cloud.ports.payments import CheckoutRequest, Payments
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.unsellable import Unsellable
from arcade_shared.ids import uuid7
from arcade_shared.messages import MAX_CREDITS
from arcade_shared.topics import check_machine_id

# When Stripe is first asked about an order whose webhook has not come.
FIRST_READ_MS = 90_000


@dataclass(frozen=True, kw_only=True)
class Sales:
    """Sells credits.

    Attributes:
        payments: Stripe for what a player waits for. It may say no sooner than that of `fulfilment`.
        keyring: Has the key that marks our payments in a shared Stripe account.
        base_url: Where players reach this cloud. Our payments name it.
        price_id: The price of one credit at Stripe, for machines without offers of their own.
        zone: In which players read times.
        codes_on_statements: A card's statement shows the order's code.
    """

    fulfilment: Fulfilment
    unsellable: Unsellable
    payments: Payments
    keyring: Keyring
    base_url: str
    price_id: str | None = None
    zone: tzinfo = UTC
    codes_on_statements: bool = True
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def order_page(self, machine_id: str, order_id: str) -> str:
        """Where a player sees what became of an order."""
        return f"{self.base_url}/m/{machine_id}/o/{order_id}"

    def receipt_page(self, machine_id: str, order_id: str) -> str:
        """Where an order's receipt is, to print."""
        return f"{self.order_page(machine_id, order_id)}/receipt"

    # --- offers ------------------------------------------------------------------------------------------

    def machine(self, machine_id: object) -> Machine:
        """The registered machine.

        Raises:
            UnknownMachine: No such machine is registered.
            BadTopic: It is not a machine id at all.
        """
        machine = self.fulfilment.store.machine(check_machine_id(machine_id))
        if machine is None:
            raise UnknownMachine(f"no machine {machine_id} is registered: see `arcade-cloud machine add`")
        return machine

    def offers(self, machine: Machine) -> tuple[Offer, ...]:
        """What the machine sells: its own offers, or one credit at the configured price.

        Raises:
            PaymentsError: The configured price cannot be read.
        """
        if machine.offers or self.price_id is None:
            return machine.offers
        try:
            price = self.payments.read_price(self.price_id)
        except PaymentsRefused as error:
            self.unsellable.refused(machine, None, 1, error)
            raise
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

    def offers_shown(self, machine: Machine) -> tuple[Offer, ...]:
        """What is sold now; nothing where Stripe refuses the configured price, which a person is told."""
        try:
            return sold_now(self.offers(machine), self.fulfilment.now_ms(), self.zone)
        except PaymentsRefused:
            return ()

    def sold_next_ms(self, machine: Machine) -> int | None:
        """When one of the machine's offers with hours is sold next, epoch milliseconds; None if it has none."""
        return next_sold_ms(machine.offers, self.fulfilment.now_ms(), self.zone)

    def sells_at(self, price_id: str) -> bool:
        """Whether something is sold at this price. It looks at every machine."""
        offers = (offer for machine in self.fulfilment.store.machines() for offer in machine.offers)
        return price_id == self.price_id or any(offer.price_id == price_id for offer in offers)

    def _offer(self, machine: Machine, offer_id: str | None, price_id: str | None) -> Offer:
        offers, now_ms = self.offers(machine), self.fulfilment.now_ms()
        meant = [o for o in offers if offer_id in (None, o.offer_id) and price_id in (None, o.price_id)]
        # Which was named may have been shown a moment ago. Where none was, the first that is sold now is meant.
        named = (offer_id, price_id) != (None, None)
        sold = (
            [o for o in meant if still_sold(o, now_ms, self.zone)] if named else sold_now(meant, now_ms, self.zone)
        )
        if sold:
            return sold[0]
        if meant:
            when = ", ".join(offer_text(offer) for offer in meant)
            raise BadRequest(f"machine {machine.machine_id} does not sell this at this hour: {when}")
        if not offers:
            raise BadRequest(f"machine {machine.machine_id} sells nothing: set STRIPE_PRICE_ID, or add offers")
        raise BadRequest(f"machine {machine.machine_id} has no such offer")

    # --- a player's checkout -----------------------------------------------------------------------------

    def begin_checkout(
        self,
        machine_id: object,
        *,
        offer_id: str | None = None,
        price_id: str | None = None,
        quantity: int = 1,
        words: Words = ENGLISH,
    ) -> Order:
        """Begin an order with a checkout, at its `checkout_url`. Without a named offer, the first one is sold.

        Args:
            words: The language in which the player reads why the machine is not ready.

        Raises:
            UnknownMachine: No such machine is registered.
            NotReady: The machine cannot take so many credits now, or Stripe has just refused to sell this.
            BadRequest: The machine has no such offer, or the quantity is out of range.
            PaymentsUnavailable: Try again later.
            PaymentsRefused: The set-up at Stripe is wrong.
            StoreUnavailable: Try again later. As with every other error, nobody can have paid.
        """
        if not 1 <= quantity <= MAX_QUANTITY:
            raise BadRequest(f"quantity must lie between 1 and {MAX_QUANTITY}")
        machine = self.machine(machine_id)
        self.ready_installation(machine, 1, words=words)
        offer = self._offer(machine, offer_id, price_id)
        installation = self.ready_installation(machine, offer.credits * quantity, words=words)
        refused = self.why_not_sold(machine, offer, quantity, words)
        if refused is not None:
            raise NotReady(refused)
        now_ms = self.fulfilment.now_ms()
        order_id = "ord_" + uuid7(now_ms, self.random_bytes).replace("-", "")
        expires_at_ms = now_ms + self.fulfilment.limits.checkout_life_s * 1000
        order = Order(
            order_id=order_id,
            version=1,
            created_at_ms=now_ms,
            payment=self.payment_due(offer, quantity, now_ms + FIRST_READ_MS),
            credits=(self.credit(machine, offer, quantity, installation),),
        )
        self.fulfilment.begin(order, "Ordered")
        ours = Ours(
            order_id=order_id,
            amount_minor=order.amount_minor,
            currency=order.currency,
            machine_id=machine.machine_id,
            site=self.base_url,
        )
        request = CheckoutRequest(
            order_id=order_id,
            machine_id=machine.machine_id,
            machine_name=machine.name or machine.machine_id,
            offer=offer,
            quantity=quantity,
            success_url=self.order_page(machine.machine_id, order_id),
            cancel_url=f"{self.base_url}/m/{machine.machine_id}",
            expires_at_ms=expires_at_ms,
            site=self.base_url,
            mark=mark(self.keyring.of_payments[0], ours),
        )
        try:
            return self.send_to_checkout(
                order, request, opened=lambda: self.unsellable.sold(machine, offer, quantity), words=words
            )
        except PaymentsRefused as error:
            self.unsellable.refused(machine, offer, quantity, error)
            raise

    def send_to_checkout(
        self,
        order: Order,
        request: CheckoutRequest,
        *,
        opened: Callable[[], None] = lambda: None,
        words: Words = ENGLISH,
    ) -> Order:
        """Open the checkout of an order that was just begun.

        Args:
            opened: Is called when Stripe has opened it.

        Raises:
            NotReady: A clock is wrong, so nobody may pay.
            BadRequest: Stripe told no address.
            PaymentsUnavailable: Try again later.
            PaymentsRefused: The set-up at Stripe is wrong.
            StoreUnavailable: Try again later.
        """
        order_id = order.order_id
        if self.codes_on_statements:
            request = replace(request, statement_suffix=statement_suffix(order.code))
        try:
            checkout = self.payments.create_checkout(request, key=f"checkout:{order_id}")
        except PaymentsError as error:
            self.fulfilment.move(order_id, CheckoutFailed(f"Stripe created no checkout: {type(error).__name__}"))
            if (closed := self.why_closed(words)) is not None:  # what it asked for lies in the past, or far ahead
                raise NotReady(closed) from error
            raise
        opened()
        if (closed := self.why_closed(words)) is not None:  # the first answer of Stripe's has shown it
            self.fulfilment.move(order_id, CheckoutFailed("this process's clock is off Stripe's"))
            raise NotReady(closed)
        if checkout.url is None:
            self.fulfilment.move(order_id, CheckoutFailed("Stripe created a checkout without an address"))
            raise BadRequest("the payment page could not be opened; try again")
        made = CheckoutMade(checkout.session_id, checkout.url, checkout.expires_at_ms)
        moved = self.fulfilment.move(order_id, made)
        return order if moved is None else moved

    def why_closed(self, words: Words = ENGLISH) -> str | None:
        """Why nobody may pay at any machine now, in a sentence; None if they may."""
        return why_closed(self.payments.clock_off_ms(), words)

    def why_not_sold(self, machine: Machine, offer: Offer, quantity: int, words: Words = ENGLISH) -> str | None:
        """Why players are not offered so many of this now, whatever the machine's state; None if they are."""
        return self.why_closed(words) or self.unsellable.why_not(machine, offer, quantity, words)

    # --- the parts of an order ---------------------------------------------------------------------------

    def ready_installation(
        self, machine: Machine, credits: int, *, is_free: bool = False, words: Words | None = ENGLISH
    ) -> str | None:
        """The installation that would pulse the credits; None for a subscriber machine.

        Args:
            is_free: An operator gives them: a machine that is out of service may be tried.
            words: The language of the player who asks. None: an operator does, who reads more.

        Raises:
            NotReady: The machine cannot take so many credits now.
        """
        presence, now_ms = self.fulfilment.store.presence(machine.machine_id), self.fulfilment.now_ms()
        closed = machine.closed(now_ms)
        if words is not None:
            why_not = why_not_ready(machine, presence, now_ms, credits, self.zone, words)
        elif closed is not None and (closed.for_good or not is_free):
            why_not = closed_text(closed, now_ms, self.zone)
        else:
            why_not = why_unfit(machine, presence, now_ms, credits)
        if why_not is not None:
            raise NotReady(why_not)
        return None if presence is None or machine.kind == "subscriber" else presence.installation

    def payment_due(self, offer: Offer, quantity: int, due_at_ms: int) -> OrderPayment:
        """The payment for `quantity` offers. Stripe is asked about it at `due_at_ms`."""
        amount_minor = offer.amount_minor * quantity
        return OrderPayment(amount_minor=amount_minor, currency=offer.currency, due_at_ms=due_at_ms)

    def credit(self, machine: Machine, offer: Offer, quantity: int, installation: str | None = None) -> Credit:
        """`quantity` offers as one unpaid credit.

        Raises:
            BadRequest: These are more credits than one command can carry.
        """
        count = offer.credits * quantity
        if not 1 <= count <= MAX_CREDITS:
            raise BadRequest(f"{count} credits at once are too many; at most {MAX_CREDITS}")
        return Credit(
            machine_id=machine.machine_id,
            subscriber=machine.kind == "subscriber",
            count=count,
            price_minor=offer.amount_minor * quantity,
            ready_installation=installation,
        )
