"""The simulation's own Stripe, without its API: sessions, payments, what players, banks and time do, and events.

It shares nothing with the sandbox, which is the other model of Stripe: where the two differ, one of them is wrong.
Deterministic: ids are counted, time comes from the injected clock. `account_payments.AccountPayments` is the way
in for our code.
"""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from arcade_cloud.domain.money import Dispute, Payment, PaymentStatus
from arcade_cloud.errors import PaymentsRefused
from arcade_cloud.ports.payments import Checkout, Price

Json = dict[str, Any]
Method = Literal["card", "card_declined", "link", "fpx", "fpx_later", "grabpay"]

HELD = frozenset({"card", "link"})
HOLD_LIFE_MS = 7 * 86_400_000
# docs.stripe.com/currencies: what an amount must be divisible by, and the least that is charged or captured.
STEPS = {"bhd": 10, "jod": 10, "kwd": 10, "omr": 10, "tnd": 10, "isk": 100, "ugx": 100}
LEAST = {"myr": 200}
LEAST_ELSEWHERE = 50


@dataclass
class _Refund:
    refund_id: str
    amount: int
    status: Literal["pending", "succeeded", "failed"]


@dataclass
class _Dispute:
    amount: int
    status: Literal["needs_response", "won", "lost"] = "needs_response"


@dataclass
class _Intent:
    intent_id: str
    session_id: str
    amount: int
    currency: str
    metadata: dict[str, str]
    manual: bool
    created_s: int
    method: str = ""
    status: PaymentStatus = "requires_payment_method"
    received: int = 0
    capturable: int = 0
    charged_s: int | None = None
    there_ms: int | None = None  # since when the money is held or taken: with a slow bank, long after `charged_s`
    hold_until_ms: int | None = None
    part_refused: bool = False
    refunds: list[_Refund] = field(default_factory=list)
    disputes: dict[str, _Dispute] = field(default_factory=dict)

    @property
    def paid_ms(self) -> int | None:
        """When the player paid: the date of a charge that has succeeded."""
        return None if self.charged_s is None or self.status == "processing" else self.charged_s * 1000

    @property
    def given_back(self) -> int:
        return sum(refund.amount for refund in self.refunds if refund.status != "failed")

    @property
    def dispute(self) -> Dispute:
        verdicts = {dispute.status for dispute in self.disputes.values()}
        if "needs_response" in verdicts:
            return "open"
        return "lost" if "lost" in verdicts else "won" if verdicts else "none"

    def disputed(self, status: str) -> int:
        """The sum of the disputes with this status."""
        return sum(dispute.amount for dispute in self.disputes.values() if dispute.status == status)


@dataclass
class _Session:
    session_id: str
    amount: int
    currency: str
    expires_at_s: int
    price_ids: dict[str, int]
    metadata: dict[str, str]
    client_reference_id: str | None
    manual: bool
    card_only: bool = False
    intent_metadata: dict[str, str] = field(default_factory=dict)
    payment_link: str | None = None
    status: Literal["open", "complete", "expired"] = "open"
    intent_id: str | None = None


class StripeAccount:
    """One account. Thread-safe: `lock` is held by every method, and by `AccountPayments` for a whole request."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.hold_life_ms = HOLD_LIFE_MS
        self.events: list[Json] = []
        self.told: list[Json] = []
        self.now_ms = now_ms
        self.lock = threading.RLock()
        self.asks_least = True
        self._counts: dict[str, int] = {}
        self._sessions: dict[str, _Session] = {}
        self._intents: dict[str, _Intent] = {}
        self._prices: dict[str, Price | None] = {}
        self._lapses: list[tuple[int, str]] = []

    # --- what the operator does at Stripe ----------------------------------------------------------------

    def add_price(
        self, price_id: str, amount_minor: int, currency: str = "myr", *, label: str = "", active: bool = True
    ) -> None:
        """Configure a price."""
        price = Price(price_id=price_id, amount_minor=amount_minor, currency=currency, label=label)
        with self.lock:
            self._prices[price_id] = price if active else None

    def visit_link(
        self,
        price_id: str,
        quantity: int = 1,
        *,
        metadata: dict[str, str] | None = None,
        client_reference_id: str | None = None,
        intent_metadata: dict[str, str] | None = None,
    ) -> str:
        """Somebody opens a static Payment Link; the id of the session that this makes. It charges at once."""
        with self.lock:
            price = self.price(price_id)
            session = self.new_session(
                amount=price.amount_minor * quantity,
                currency=price.currency,
                price_ids={price_id: quantity},
                metadata=metadata or {},
                client_reference_id=client_reference_id,
                manual=False,
                expires_at_s=self.now_ms() // 1000 + 24 * 3600,
                intent_metadata=intent_metadata or {},
                payment_link=self.new_id("plink"),
            )
            return session.session_id

    def visit_shop(self, amount_minor: int, currency: str, metadata: dict[str, str], *, held: bool) -> str:
        """Somebody goes to pay in another shop on the account, which has its own metadata; the session's id."""
        with self.lock:
            session = self.new_session(
                amount=amount_minor,
                currency=currency,
                price_ids={self.new_id("price"): 1},
                metadata=dict(metadata),
                client_reference_id=None,
                manual=held,
                expires_at_s=self.now_ms() // 1000 + 24 * 3600,
                intent_metadata=dict(metadata),
            )
            return session.session_id

    def tell_elsewhere(self, **fields: Any) -> Json:
        """An event about a paid session of another account or mode, which this account does not have."""
        with self.lock:
            session = {
                "id": self.new_id("cs_elsewhere"),
                "object": "checkout.session",
                "mode": "payment",
                "status": "complete",
                "payment_status": "paid",
                "payment_intent": self.new_id("pi_elsewhere"),
                "payment_link": self.new_id("plink"),
                "amount_total": 200,
                "currency": "myr",
                "client_reference_id": "cab-1",
                "metadata": {},
            }
            self._emit("checkout.session.completed", session)
            self.told.pop()  # it is in the other account's list
            self.events[-1].update(fields)
            return self.events[-1]

    def metadata_of(self, session_id: str) -> dict[str, str]:
        """What a session carries: everybody on the account may read it."""
        with self.lock:
            return dict(self.session(session_id).metadata)

    def capture_by_hand(self, payment_intent: str, amount_minor: int | None = None) -> None:
        """Capture a hold. Raises PaymentsRefused as Stripe does."""
        with self.lock:
            intent = self.intent(payment_intent)
            if intent.status != "requires_capture":
                raise PaymentsRefused("payment_intent_unexpected_state", f"the payment is {intent.status}")
            amount = intent.capturable if amount_minor is None else amount_minor
            if amount > intent.capturable:
                raise PaymentsRefused("amount_too_large", "more than is held")
            _check_amount(amount, intent.currency)
            if self.asks_least and amount < least(intent.currency):
                raise PaymentsRefused("amount_too_small", "the amount is below the smallest charge")
            intent.status, intent.received, intent.capturable = "succeeded", amount, 0
            self._emit("payment_intent.succeeded", self._intent_json(intent))

    def cancel_by_hand(self, payment_intent: str) -> None:
        """Cancel a payment that has not succeeded. Raises PaymentsRefused as Stripe does."""
        with self.lock:
            intent = self.intent(payment_intent)
            session = self._sessions[intent.session_id]
            if intent.status not in ("requires_capture", "requires_payment_method") or session.status == "open":
                raise PaymentsRefused("payment_intent_unexpected_state", f"the payment is {intent.status}")
            self._end(intent)

    def refund_by_hand(self, payment_intent: str, amount_minor: int | None = None) -> None:
        """Give back. Cards and Link at once, banks later. Raises PaymentsRefused as Stripe does."""
        with self.lock:
            intent = self.intent(payment_intent)
            if intent.status != "succeeded":
                raise PaymentsRefused("invalid_request_error", "there is no successful charge to refund")
            left = intent.received - intent.given_back - intent.disputed("lost")
            if intent.dispute == "open" or (intent.dispute == "lost" and left <= 0):
                raise PaymentsRefused("charge_disputed", "the charge has been charged back")
            amount = left if amount_minor is None else amount_minor
            if left <= 0:
                raise PaymentsRefused("charge_already_refunded", "the charge has already been refunded")
            if amount > left:
                raise PaymentsRefused("invalid_request_error", "more than is left to refund")
            _check_amount(amount, intent.currency)
            status: Literal["pending", "succeeded"] = "succeeded" if intent.method in HELD else "pending"
            refund = _Refund(self.new_id("re"), amount, status)
            intent.refunds.append(refund)
            self._emit("refund.created", self._refund_json(intent, refund))
            self._emit("charge.refunded", self._charge_json(intent))

    # --- what the player does ----------------------------------------------------------------------------

    def pay(self, session_id: str, method: Method = "card") -> str:
        """Pay an open session; the id of its payment intent."""
        with self.lock:
            self.let_time_pass()
            session = self.session(session_id)
            if session.status != "open":
                raise ValueError(f"the session is {session.status}: nobody can pay it any more")
            if session.card_only and not method.startswith("card"):
                raise ValueError(f"the session does not offer {method}")
            intent = self._intent_of(session)
            if method == "card_declined":
                self._emit("payment_intent.payment_failed", self._intent_json(intent))
                return intent.intent_id
            now_ms = self.now_ms()
            intent.method = method.removesuffix("_later")
            session.status = "complete"
            if method == "fpx_later":
                # The charge is made now, pending, and keeps this date, however late the bank decides.
                intent.status, intent.charged_s = "processing", now_ms // 1000
                self._emit("payment_intent.processing", self._intent_json(intent))
            elif session.manual and intent.method in HELD:
                intent.status, intent.capturable = "requires_capture", intent.amount
                intent.charged_s, intent.hold_until_ms = now_ms // 1000, now_ms + self.hold_life_ms
                intent.there_ms = now_ms
                heapq.heappush(self._lapses, (intent.hold_until_ms, intent.intent_id))
                self._emit("payment_intent.amount_capturable_updated", self._intent_json(intent))
            else:
                self._take(intent)
            self._emit("checkout.session.completed", self._session_json(session))
            return intent.intent_id

    # --- what banks and time do --------------------------------------------------------------------------

    def settle_async(self, payment_intent: str, *, succeed: bool = True) -> None:
        """The bank decides a payment that is processing."""
        with self.lock:
            intent = self.intent(payment_intent)
            if intent.status != "processing":
                raise ValueError(f"the payment is {intent.status}, not processing")
            session = self._sessions[intent.session_id]
            if succeed:
                self._take(intent)
                self._emit("checkout.session.async_payment_succeeded", self._session_json(session))
                return
            intent.status, intent.charged_s = "requires_payment_method", None
            self._emit("payment_intent.payment_failed", self._intent_json(intent))
            self._emit("checkout.session.async_payment_failed", self._session_json(session))

    def finish_refund(
        self, payment_intent: str, outcome: Literal["succeeded", "failed"], *, refund_id: str | None = None
    ) -> None:
        """The bank decides the latest refund, or the named one: what has succeeded may still fail."""
        with self.lock:
            intent = self.intent(payment_intent)
            refund = next(r for r in reversed(intent.refunds) if refund_id in (None, r.refund_id))
            if refund.status == "failed" or (refund.status, outcome) == ("succeeded", "succeeded"):
                raise ValueError(f"the refund is {refund.status} and cannot become {outcome}")
            refund.status = outcome
            if outcome == "failed":
                self._emit("refund.failed", self._refund_json(intent, refund))
            self._emit("refund.updated", self._refund_json(intent, refund))

    def expire_hold(self, payment_intent: str) -> None:
        """The bank lets a hold go."""
        with self.lock:
            intent = self.intent(payment_intent)
            if intent.status != "requires_capture":
                raise ValueError(f"the payment is {intent.status}: it holds nothing")
            self._end(intent)

    def open_dispute(self, payment_intent: str, amount: int | None = None) -> None:
        """The player disputes a payment that was taken, or a part of it."""
        with self.lock:
            intent = self.intent(payment_intent)
            if intent.status != "succeeded":
                raise ValueError(f"the payment is {intent.status}: there is nothing to dispute")
            dispute_id = self.new_id("du")
            intent.disputes[dispute_id] = _Dispute(intent.received if amount is None else amount)
            self._emit("charge.dispute.created", self._dispute_json(intent, dispute_id))
            self._emit("charge.dispute.funds_withdrawn", self._dispute_json(intent, dispute_id))

    def close_dispute(self, payment_intent: str, outcome: Literal["won", "lost"]) -> None:
        """The bank decides the latest dispute."""
        with self.lock:
            intent = self.intent(payment_intent)
            dispute_id = list(intent.disputes)[-1]
            intent.disputes[dispute_id].status = outcome
            if outcome == "won":
                self._emit("charge.dispute.funds_reinstated", self._dispute_json(intent, dispute_id))
            self._emit("charge.dispute.closed", self._dispute_json(intent, dispute_id))

    def let_time_pass(self) -> None:
        """Sessions expire and holds lapse, as far as the clock has come."""
        with self.lock:
            while self._lapses and self._lapses[0][0] <= self.now_ms():
                _, name = heapq.heappop(self._lapses)
                if name in self._sessions and self._sessions[name].status == "open":
                    self.expire(self._sessions[name])
                elif name in self._intents and self._intents[name].status == "requires_capture":
                    self._end(self._intents[name])

    # --- what a checker reads ----------------------------------------------------------------------------

    def money(self) -> list[Json]:
        """What became of each payment: `held`, `captured`, `refunded` (pending too), `kept`, `dispute`."""
        with self.lock:
            self.let_time_pass()
            return [self._money(intent) for intent in self._intents.values()]

    def money_of(self, payment_intent: str) -> Json:
        """One line of `money`, as it is now."""
        with self.lock:
            return self._money(self.intent(payment_intent))

    def _money(self, intent: _Intent) -> Json:
        return {
            "id": intent.intent_id,
            "session": intent.session_id,
            "order_id": intent.metadata.get("order_id"),
            "amount": intent.amount,
            "currency": intent.currency,
            "status": intent.status,
            "method": intent.method,
            "held": intent.capturable,
            "hold_until_ms": intent.hold_until_ms,
            "paid_ms": intent.paid_ms,
            "there_ms": intent.there_ms,
            "captured": intent.received,
            "part_refused": intent.part_refused,
            "capture_mark": intent.metadata.get("arcade_capture"),
            "refunded": intent.given_back,
            "refunds_failed": sum(refund.status == "failed" for refund in intent.refunds),
            "kept": intent.received - intent.given_back,
            "lost": intent.disputed("lost"),
            "dispute": intent.dispute,
        }

    def take_events(self) -> list[Json]:
        """The events since the last call, oldest first."""
        with self.lock:
            self.let_time_pass()
            taken, self.events = self.events, []
            return taken

    def new_id(self, prefix: str) -> str:
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}_fake{self._counts[prefix]:06}"

    def new_session(self, **fields: Any) -> _Session:
        """An open session; the fields are those of `_Session`."""
        session = _Session(session_id=self.new_id("cs"), **fields)
        self._sessions[session.session_id] = session
        heapq.heappush(self._lapses, (session.expires_at_s * 1000, session.session_id))
        return session

    def check_total(self, amount: int, currency: str) -> None:
        """Refuse what nobody can pay."""
        _check_amount(amount, currency)
        if self.asks_least and amount < least(currency):
            raise PaymentsRefused("amount_too_small", "the total is below the smallest charge")

    def _intent_of(self, session: _Session) -> _Intent:
        if session.intent_id is None:
            session.intent_id = self.new_id("pi")
            self._intents[session.intent_id] = _Intent(
                intent_id=session.intent_id,
                session_id=session.session_id,
                amount=session.amount,
                currency=session.currency,
                metadata=session.intent_metadata,
                manual=session.manual,
                created_s=self.now_ms() // 1000,
            )
        return self._intents[session.intent_id]

    def _take(self, intent: _Intent) -> None:
        intent.status, intent.received = "succeeded", intent.amount
        intent.charged_s = intent.charged_s or self.now_ms() // 1000
        intent.there_ms = self.now_ms()
        self._emit("payment_intent.succeeded", self._intent_json(intent))

    def _end(self, intent: _Intent) -> None:
        intent.status, intent.capturable = "canceled", 0
        self._emit("payment_intent.canceled", self._intent_json(intent))

    def expire(self, session: _Session) -> None:
        session.status = "expired"
        self._emit("checkout.session.expired", self._session_json(session))

    def session(self, session_id: str) -> _Session:
        if session_id not in self._sessions:
            raise PaymentsRefused("resource_missing", f"no such checkout session: {session_id}")
        return self._sessions[session_id]

    def intent(self, payment_intent: str) -> _Intent:
        if payment_intent not in self._intents:
            raise PaymentsRefused("resource_missing", f"no such payment intent: {payment_intent}")
        return self._intents[payment_intent]

    def price(self, price_id: str) -> Price:
        if price_id not in self._prices:
            raise PaymentsRefused("resource_missing", f"no such price: {price_id}")
        price = self._prices[price_id]
        if price is None:
            raise PaymentsRefused("unusable_price", f"price {price_id} is not active")
        return price

    def payment(self, intent: _Intent) -> Payment:
        return Payment(
            payment_intent=intent.intent_id,
            status=intent.status,
            amount_minor=intent.amount,
            currency=intent.currency,
            received_minor=intent.received,
            capturable_minor=intent.capturable,
            refunded_minor=intent.given_back,
            refunds_failed=sum(refund.status == "failed" for refund in intent.refunds),
            dispute=intent.dispute,
            lost_minor=intent.disputed("lost") or None,
            capture_mark=intent.metadata.get("arcade_capture"),
            paid_at_ms=intent.paid_ms,
            capture_before_ms=intent.hold_until_ms if intent.method == "card" else None,
            method=None if intent.charged_s is None else intent.method,
            last4="4242" if intent.charged_s is not None and intent.method == "card" else None,
        )

    def checkout(self, session: _Session, *, with_prices: bool) -> Checkout:
        intent = None if session.intent_id is None else self._intents[session.intent_id]
        return Checkout(
            session_id=session.session_id,
            url=f"https://checkout.example/{session.session_id}" if session.status == "open" else None,
            status=session.status,
            expires_at_ms=session.expires_at_s * 1000,
            payment=None if intent is None else self.payment(intent),
            price_ids=dict(session.price_ids) if with_prices else None,
        )

    # --- events, in the shape of Stripe's ----------------------------------------------------------------

    def _emit(self, what: str, subject: Json) -> None:
        event: Json = {"id": self.new_id("evt"), "object": "event", "type": what, "livemode": False}
        event["created"] = self.now_ms() // 1000
        self.events.append({**event, "pending_webhooks": 1, "data": {"object": subject}})
        self.told.append(self.events[-1])

    def _intent_json(self, intent: _Intent) -> Json:
        held = {"capture_method": "manual"}
        return {
            "id": intent.intent_id,
            "object": "payment_intent",
            "status": intent.status,
            "amount": intent.amount,
            "amount_received": intent.received,
            "amount_capturable": intent.capturable,
            "currency": intent.currency,
            "capture_method": "automatic_async",
            "payment_method_options": {"card": held, "link": held} if intent.manual else {},
            "latest_charge": None if intent.charged_s is None else f"ch_{intent.intent_id}",
            "created": intent.created_s,
            "metadata": dict(intent.metadata),
        }

    def _session_json(self, session: _Session) -> Json:
        intent = None if session.intent_id is None else self._intents[session.intent_id]
        return {
            "id": session.session_id,
            "object": "checkout.session",
            "mode": "payment",
            "status": session.status,
            "payment_status": "paid" if intent is not None and intent.status == "succeeded" else "unpaid",
            "payment_intent": session.intent_id,
            "amount_total": session.amount,
            "currency": session.currency,
            "client_reference_id": session.client_reference_id,
            "payment_link": session.payment_link,
            "metadata": dict(session.metadata),
        }

    def _charge_json(self, intent: _Intent) -> Json:
        return {
            "id": f"ch_{intent.intent_id}",
            "object": "charge",
            "payment_intent": intent.intent_id,
            "amount_refunded": intent.given_back,
            "metadata": dict(intent.metadata),
        }

    def _refund_json(self, intent: _Intent, refund: _Refund) -> Json:
        return {
            "id": refund.refund_id,
            "object": "refund",
            "payment_intent": intent.intent_id,
            "amount": refund.amount,
            "status": refund.status,
            "metadata": {},
        }

    def _dispute_json(self, intent: _Intent, dispute_id: str) -> Json:
        dispute = intent.disputes[dispute_id]
        return {
            "id": dispute_id,
            "object": "dispute",
            "payment_intent": intent.intent_id,
            "amount": dispute.amount,
            "status": dispute.status,
        }


def least(currency: str) -> int:
    """The smallest charge."""
    return LEAST.get(currency, LEAST_ELSEWHERE)


def _check_amount(amount: int, currency: str) -> None:
    if amount < 1 or amount % STEPS.get(currency, 1):
        raise PaymentsRefused("parameter_invalid_integer", f"no amount in {currency}: {amount}")
