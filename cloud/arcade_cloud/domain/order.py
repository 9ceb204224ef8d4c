"""An order as it is stored: a payment, the credits drawn on it, the books and the settlement (pure).

    Order ── payment ──── what the player owes, and what Stripe shows (a grant has none)
          ├─ credits ──── one or more; each ── delivery ── command, revoking, resolution
          ├─ tab ──────── of a tab only: whose it is, and until when credits may be drawn
          ├─ books ────── what the operator keeps, and what became of the rest
          └─ settlement ─ how Stripe is made to show that

Each part says when it needs the timer; the order is due at the earliest of these times. Every `_ms` is in epoch
milliseconds, every `_minor` in minor units of the payment's currency.

A part refuses fields that it does not know. A later version has written them, and the next step would lose them.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from arcade_cloud.domain.money import Payment, kept_for
from arcade_cloud.errors import InvariantBroken
from arcade_shared.ids import uuid7

State = Literal["open", "abandoned", "funded", "revoking", "resolved", "settled", "returning"]
# Money or credits of a player are under way.
UNDER_WAY: frozenset[State] = frozenset({"funded", "revoking", "resolved", "returning"})
Kind = Literal["checkout", "link", "grant", "unmatched", "tab"]
Stage = Literal["open", "abandoned", "funded", "returning"]
# How a credit was resolved. `broker`: a subscriber machine, which sends no acks.
ResolvedBy = Literal["ack", "silence", "last resort", "unsent", "broker", "unconfirmed"]
# What is known about the latest message about a credit. Empty: none was sent yet.
Sending = Literal["", "sending", "confirmed", "nobody", "refused", "unknown"]
# Why nothing more may be drawn on a tab. `hold`: it ended, or was touched at Stripe. `restored`: an older database
# was put back.
ClosedBy = Literal["player", "idle", "life", "hold", "operator", "restored"]


# --- the payment -----------------------------------------------------------------------------------------


class CheckoutPage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Checkout Session. For a static Payment Link, address and end are not known."""

    session_id: str
    url: str | None = None
    expires_at_ms: int | None = None


class Arrival(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the money arrived. `capture_before_ms`: when the hold ends, if that is known."""

    paid_at_ms: int
    held: bool = False
    capture_before_ms: int | None = None


class OrderPayment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the player owes, how it can be paid, and what Stripe shows.

    Attributes:
        stage: `funded`: the money belongs to the order. `returning`: it does not, and goes back.
        shown: The payment intent as last read.
        recheck: Something changed at Stripe, so the payment is read again at the next opportunity.
        reads: How often in a row Stripe was asked in vain.
    """

    amount_minor: int
    currency: str
    stage: Stage = "open"
    checkout: CheckoutPage | None = None
    payment_intent: str | None = None
    shown: Payment | None = None
    arrival: Arrival | None = None
    recheck: bool = False
    reads: int = 0
    due_at_ms: int | None = None


# --- a credit --------------------------------------------------------------------------------------------


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the machine is told to pulse. It is made at the first publish and never changes after that."""

    credit_id: str
    installation: str
    expires_at_ms: int


class Revoking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine is asked where its credit stands. `…_confirmed_at_ms`: when the broker confirmed a revoke."""

    since_ms: int
    sent: int = 0
    first_confirmed_at_ms: int | None = None
    last_confirmed_at_ms: int | None = None


class Resolution(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many were delivered, and how that is known. It never changes again."""

    delivered: int
    by: ResolvedBy
    at_ms: int


class Delivery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A credit on its way to the machine.

    Attributes:
        drawn_at_ms: When the time to deliver it began.
        reported: Delivered so far, according to acks that were not final.
        late_report: What a final ack reported after the credit was resolved without it.
    """

    drawn_at_ms: int
    due_at_ms: int | None
    command: Command | None = None
    publishes: int = 0
    last_sent: Sending = ""
    accepted: bool = False
    reported: int = 0
    uncertain: int = 0
    revoking: Revoking | None = None
    resolution: Resolution | None = None
    late_report: int | None = None


class Draw(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What draws a later credit from an order's payment, and when."""

    token: str
    at_ms: int


class Credit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`count` pulses of one machine for `price_minor`. Without a `delivery` it is not paid for yet.

    Attributes:
        ready_installation: The installation that was ready when the credit was ordered. The credit is for no
            other. None: for the installation that is known when the money arrives.
        draw: What drew it. An order's first credit is drawn by the payment itself, and has none; on a tab, each
            has one.
        goodwill_minor: Of a play on a tab: the most of its price that the operator gives back although it was
            delivered.
    """

    machine_id: str
    subscriber: bool = False
    count: int
    price_minor: int
    ready_installation: str | None = None
    draw: Draw | None = None
    delivery: Delivery | None = None
    goodwill_minor: int = 0

    @property
    def drawn_at_ms(self) -> int | None:
        """When it was drawn; None while it is not paid for."""
        return None if self.delivery is None else self.delivery.drawn_at_ms

    @property
    def command(self) -> Command | None:
        """What the machine was told; None before the first publish."""
        return None if self.delivery is None else self.delivery.command

    @property
    def resolution(self) -> Resolution | None:
        """What became of it; None until that is known."""
        return None if self.delivery is None else self.delivery.resolution

    @property
    def under_way(self) -> bool:
        """Whether it was drawn and is not resolved yet."""
        return self.delivery is not None and self.delivery.resolution is None

    @property
    def is_revoking(self) -> bool:
        """Whether it is under way, and the machine is asked where it stands."""
        return self.delivery is not None and self.under_way and self.delivery.revoking is not None

    def earned_minor(self, currency: str) -> int:
        """The price of what was delivered. Each credit is rounded on its own."""
        done = self.resolution
        return 0 if done is None else kept_for(self.price_minor, done.delivered, self.count, currency)

    def paid_by(self, amount_minor: int, currency: str) -> int:
        """How many delivered credits a sum pays for: the fewest that it does not exceed."""
        sums = (kept_for(self.price_minor, number, self.count, currency) for number in range(self.count))
        return next((number for number, price in enumerate(sums) if price >= amount_minor), self.count)


# --- the tab ---------------------------------------------------------------------------------------------


class Closing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Since when nothing more may be drawn on a tab, and why. It never changes again."""

    at_ms: int
    by: ClosedBy


class Tab(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One hold for a visit, on which credits are drawn. Its rules are in `domain.tab`.

    Attributes:
        machine_id: Where it was opened.
        secret_hash: Of the secret that the player's browser keeps (`domain.tab.hash_of`).
        hold_read_at_ms: When the latest reading began that showed the hold standing, whole. None: not read yet.
        ends_at_ms: When its life ends: fixed when it opens.
        closing: None: it is open.
        due_at_ms: When the timer reads its hold again, or closes it.
    """

    machine_id: str
    secret_hash: str
    hold_read_at_ms: int | None = None
    ends_at_ms: int | None = None
    closing: Closing | None = None
    due_at_ms: int | None = None


# --- books and settlement --------------------------------------------------------------------------------


class Books(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator keeps, and what became of the rest.

    Attributes:
        target_minor: What Stripe must show as kept.
        keep_at_most_minor: The most that the operator wants to keep, from a refund before the order was resolved.
        goodwill_minor: Given back although it was delivered.
        lost_minor: Due to the operator, but gone.
        owed_minor: Due to the player, but Stripe cannot pay it out.
    """

    target_minor: int = 0
    keep_at_most_minor: int | None = None
    goodwill_minor: int = 0
    lost_minor: int = 0
    owed_minor: int = 0


# Proves which of two moments of a settlement was first, without a clock (`Settlement.acts`).
Acts = tuple[str, int, int | None, bool]


class Settlement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Stripe is made to show the target.

    Attributes:
        whole_capture: Stripe refused a partial capture, so everything is captured and the rest refunded.
        key: The idempotency key of the latest attempt.
        key_at_ms: When that attempt was last made, or known to be done.
        key_over: That attempt is no longer under way.
        serial: The last part of the key.
        serial_at_ms: When this serial was first used.
        settled_at_ms: When the order was settled. It stays if the order is settled again.
    """

    done: bool = False
    attempts: int = 0
    due_at_ms: int | None = None
    whole_capture: bool = False
    key: str = ""
    key_at_ms: int | None = None
    key_over: bool = False
    serial: int = 0
    serial_at_ms: int | None = None
    refunds_seen_failed: int = 0
    settled_at_ms: int | None = None

    @property
    def acts(self) -> Acts:
        """What was attempted so far. It differs once an attempt has begun, was repeated or is over."""
        return self.key, self.serial, self.key_at_ms, self.key_over


# --- the order -------------------------------------------------------------------------------------------


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order. `note` says to people why it is in its state. A tab has no credits before the first is drawn."""

    order_id: str
    version: int = 0
    kind: Kind = "checkout"
    created_at_ms: int
    note: str = ""
    payment: OrderPayment | None
    credits: tuple[Credit, ...]
    books: Books = Books()
    settlement: Settlement = Settlement()
    tab: Tab | None = None

    @property
    def state(self) -> State:
        """The state of the order, which follows from its parts."""
        if self.settlement.done:
            return "settled"
        if self.payment is not None and self.payment.stage != "funded":
            return self.payment.stage
        if self.is_open_tab:
            return "funded"
        under_way = [credit for credit in self.credits if credit.under_way]
        if not under_way:
            return "resolved"
        return "revoking" if all(credit.is_revoking for credit in under_way) else "funded"

    @property
    def due_at_ms(self) -> int | None:
        """When the timer must look at the order: the earliest time that a part needs. None: never."""
        due = [credit.delivery.due_at_ms for credit in self.credits if credit.delivery is not None]
        due.append(self.settlement.due_at_ms)
        if self.tab is not None:
            due.append(self.tab.due_at_ms)
        if self.payment is not None:
            due.append(self.payment.due_at_ms)
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    @property
    def under_way_since_ms(self) -> int | None:
        """Since when its money or credits are under way: since it was paid for, or made if it costs nothing.

        None: they are not, or there is neither a payment nor a command yet. On a tab each play counts since it was
        drawn, and the money since the tab was closed; an open tab on which nothing is under way waits for nobody.
        """
        if self.state not in UNDER_WAY or not (self.payment_intent or self.credit_ids):
            return None
        arrival = None if self.payment is None else self.payment.arrival
        if self.tab is not None and self.state != "returning":
            drawn = [c.drawn_at_ms for c in self.credits if c.under_way and c.drawn_at_ms is not None]
            closed = [] if self.tab.closing is None else [self.tab.closing.at_ms]
            return min(drawn or closed, default=None)
        return self.created_at_ms if arrival is None else arrival.paid_at_ms

    @property
    def code(self) -> str:
        """The short code that a player reads to the operator."""
        return code_of(self.order_id)

    @property
    def machine_id(self) -> str:
        """Where it was begun. The order is listed under this machine for good."""
        return self.credits[0].machine_id if self.tab is None else self.tab.machine_id

    @property
    def machine_ids(self) -> tuple[str, ...]:
        """Where it was begun, and the machines of its credits, each once."""
        return tuple(dict.fromkeys((self.machine_id, *(credit.machine_id for credit in self.credits))))

    @property
    def is_open_tab(self) -> bool:
        """Whether it is a tab on which credits may be drawn."""
        is_funded = self.payment is not None and self.payment.stage == "funded" and not self.settlement.done
        return self.tab is not None and self.tab.closing is None and is_funded

    @property
    def can_be_closed(self) -> bool:
        """Whether it is a tab that is open or may still open, once its hold is read."""
        waits = self.payment is not None and self.payment.stage in {"open", "abandoned"}
        return self.is_open_tab or (waits and self.tab is not None and self.tab.closing is None)

    @property
    def committed_minor(self) -> int:
        """The price of what was delivered and of what is under way, whatever becomes of it."""
        under_way = sum(credit.price_minor for credit in self.credits if credit.under_way)
        return self.earned_minor + under_way

    @property
    def checkout_url(self) -> str | None:
        """Where the player pays."""
        page = None if self.payment is None else self.payment.checkout
        return None if page is None else page.url

    @property
    def payment_intent(self) -> str | None:
        """Stripe's id of the payment that funds it."""
        return None if self.payment is None else self.payment.payment_intent

    @property
    def last4(self) -> str | None:
        """The last four digits of what it was paid with, as far as Stripe has shown them."""
        shown = None if self.payment is None else self.payment.shown
        return None if shown is None else shown.last4

    @property
    def credit_ids(self) -> tuple[str, ...]:
        """The ids of all credits that were sent to a machine."""
        return tuple(credit.command.credit_id for credit in self.credits if credit.command is not None)

    @property
    def ordered(self) -> int:
        """How many credits were ordered."""
        return sum(credit.count for credit in self.credits)

    @property
    def delivered(self) -> int | None:
        """How many credits were delivered; None until all are resolved."""
        done = [credit.resolution for credit in self.credits]
        return None if None in done else sum(resolution.delivered for resolution in done if resolution is not None)

    @property
    def reported(self) -> int:
        """How many credits were delivered so far, resolved or reported by acks that were not final."""
        deliveries = [credit.delivery for credit in self.credits if credit.delivery is not None]
        return sum(d.reported if d.resolution is None else d.resolution.delivered for d in deliveries)

    @property
    def uncertain(self) -> int:
        """How many credits a power cut left uncertain."""
        return sum(credit.delivery.uncertain for credit in self.credits if credit.delivery is not None)

    @property
    def amount_minor(self) -> int:
        """The price of the whole order, or the limit of a tab; 0 for a grant."""
        return 0 if self.payment is None else self.payment.amount_minor

    @property
    def currency(self) -> str:
        """The currency of the price; empty for a grant."""
        return "" if self.payment is None else self.payment.currency

    @property
    def earned_minor(self) -> int:
        """The price of what was delivered."""
        return sum(credit.earned_minor(self.currency) for credit in self.credits)

    @property
    def forgiven_minor(self) -> int:
        """What the operator gives back of single plays on a tab."""
        return sum(min(credit.goodwill_minor, credit.earned_minor(self.currency)) for credit in self.credits)


def code_of(order_id: str) -> str:
    """The short code of an order: six characters that are hard to confuse."""
    digest = hashlib.sha256(order_id.encode()).digest()
    return base64.b32encode(digest[:5]).decode().translate(str.maketrans("IO01", "WXYZ"))[:6]


# What `Order.code` is made of.
_CODE = re.compile(r"[A-HJ-NP-Z2-7]{6}", re.ASCII)


def code_in(text: str) -> str | None:
    """The code of an order as somebody has written it, in any case and with spaces; None if it is none."""
    code = re.sub(r"[\s.-]", "", text).upper()
    return code if _CODE.fullmatch(code) else None


_LAST4 = re.compile(r"[0-9]{4}", re.ASCII)


def last4_in(text: str) -> str | None:
    """The last four digits of a card as somebody has written them; None if they are none."""
    digits = text.strip().lstrip("*•.… ")
    return digits if _LAST4.fullmatch(digits) else None


class HistoryEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of an order's history: what happened, and what followed. `credit_id`: the credit it was about."""

    order_id: str
    version: int
    at_ms: int
    event: str
    state: State
    text: str = ""
    credit_id: str | None = None


class UnmatchedAck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ack with a valid signature for a credit that no order knows."""

    machine_id: str
    credit_id: str
    installation: str
    state: str
    delivered: int
    uncertain: int
    at_ms: int


def credit_id_of(order: Order, credit: Credit) -> str:
    """The id of a credit. It depends only on values that never change.

    So a cloud whose database was restored from a backup older than the credit gives it the same id again, and the
    machine answers with what became of it instead of pulsing again. The time of payment cannot be the id's time:
    the webhook and Stripe's own record differ by a second. The id has the time of the order instead, so a Pi that
    was switched on after the order was made refuses the credit.
    """
    token, born_ms = ("", order.created_at_ms) if credit.draw is None else (credit.draw.token, credit.draw.at_ms)
    digest = hashlib.sha256(f"{order.order_id}{token}".encode()).digest()
    return uuid7(born_ms, lambda size: digest[:size])


def check(order: Order) -> None:
    """Check that the parts of a record agree, on every write and read.

    Raises:
        InvariantBroken: They contradict each other.
    """

    def rule(holds: bool, text: str) -> None:
        if not holds:
            raise InvariantBroken(f"order {order.order_id} ({order.state if order.credits else '?'}): {text}")

    rule((order.tab is None) == (order.kind != "tab"), "it is both a tab and none")
    rule(bool(order.credits) or order.tab is not None, "no credits")
    payment, books, state = order.payment, order.books, order.state
    rule((payment is None) == (order.kind == "grant"), "it is both free and paid for")
    for credit in order.credits:
        _check_credit(credit, rule)
    draws = [credit.draw.token for credit in order.credits if credit.draw is not None]
    rule(len(set(draws)) == len(draws), "two credits are drawn by the same")
    if order.tab is None:
        rule(len(order.credits) - 1 == len(draws), "two credits are drawn by the payment")
        rule(order.credits[0].draw is None, "its first credit is a later one")
        rule(not any(credit.goodwill_minor for credit in order.credits), "one of its credits is given back")
        prices = sum(credit.price_minor for credit in order.credits)
        rule(prices == order.amount_minor, "its credits cost more or less than it")
    else:
        _check_tab(order, order.tab, rule)
    if payment is not None:
        rule(payment.amount_minor >= 0, "a negative amount")
        rule(payment.stage != "funded" or payment.arrival is not None, "funded without a payment")
        rule(payment.stage != "funded" or payment.payment_intent is not None, "funded without a payment intent")
    is_funded = payment is None or payment.stage == "funded"
    drawn_if_funded = all((credit.delivery is not None) == is_funded for credit in order.credits)
    rule(drawn_if_funded, "credits are drawn without money, or money has drawn no credits")
    is_delivering = any(credit.under_way for credit in order.credits)
    rule(not (order.settlement.done and is_delivering), "settled before every credit is resolved")
    rule(state not in {"resolved", "returning"} or order.due_at_ms is not None, "it is never due to be settled")
    if is_funded and order.delivered is not None:
        # Version 0.1 did not round to Stripe's steps. Settlement does it, before it moves any money.
        earned_minor = sum(credit.earned_minor(currency="") for credit in order.credits)
        rule(0 <= books.target_minor <= earned_minor, "more is kept than was earned")
    else:
        rule(books.target_minor == 0, "money is kept for nothing")


def _check_tab(order: Order, tab: Tab, rule: Callable[[bool, str], None]) -> None:
    is_open = order.is_open_tab
    rule(order.payment is not None, "a tab without a payment")
    rule(all(credit.draw is not None for credit in order.credits), "a credit was drawn on the tab by nothing")
    rule(order.committed_minor <= order.amount_minor, "more was drawn on the tab than it has")
    rule(not is_open or tab.due_at_ms is not None, "an open tab is never due")
    rule(is_open or tab.due_at_ms is None, "a tab that is not open is due")
    rule(not is_open or tab.ends_at_ms is not None, "an open tab has no end")
    is_funded = order.payment is not None and order.payment.stage == "funded"
    rule(is_funded or not order.credits, "something was drawn on no money")
    rule(is_open or not is_funded or tab.closing is not None, "it is neither open nor closed")


def _check_credit(credit: Credit, rule: Callable[[bool, str], None]) -> None:
    rule(credit.count >= 1, "no credits")
    rule(credit.price_minor >= 0, "a negative price")
    delivery = credit.delivery
    if delivery is None:
        return
    done = delivery.resolution
    rule(done is not None or delivery.due_at_ms is not None, "it is never due to be moved")
    if done is not None:
        rule(delivery.due_at_ms is None, "a resolved credit is due")
        rule(0 <= done.delivered <= credit.count, "more delivered than ordered")
        rule(done.delivered + delivery.uncertain <= credit.count, "more uncertain than ordered")
