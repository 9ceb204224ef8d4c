"""The simulation's Stripe as our code sees it: the port `Payments` on a `StripeAccount`.

It answers in a few microseconds, so that thousands of lives of orders fit into a test. The contract suite runs on
it and on the real gateway.
"""

import bisect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from arcade_cloud.adapters.stripe.events import reports_of
from arcade_cloud.domain.effects import PARTIAL_CAPTURE
from arcade_cloud.domain.money import Payment
from arcade_cloud.errors import PaymentsRefused, PaymentsUnavailable
from arcade_cloud.ports.payments import Belongs, Checkout, CheckoutRequest, EventPage, Price
from simulation.stripe_account import StripeAccount

Fault = Literal["before", "after"]
EVENTS_OF_A_PAGE = 100
LISTED_MS = 30 * 24 * 3_600_000
KEY_LIFE_MS = 24 * 3_600_000


@dataclass(frozen=True)
class Done:
    """What an idempotency key remembers."""

    at_ms: int
    request: tuple[object, ...]
    answer: object | PaymentsRefused


class AccountPayments:
    """`ports.payments.Payments` in memory. Thread-safe. `stripe` is the account behind it.

    `fault`, if set, is asked with the name of each call: "before" loses the request, "after" the answer; both
    raise PaymentsUnavailable. `refuse_partial_capture`: Stripe takes all of a hold or nothing.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.stripe = StripeAccount(now_ms)
        self.fault: Callable[[str], Fault | None] | None = None
        self.refuse_partial_capture = False
        self.calls: list[str] = []
        self.acts: list[tuple[int, str, str]] = []  # when, what, of which payment: only what was done
        self._now_ms = now_ms
        self._keys: dict[str, Done] = {}

    def clock_off_ms(self) -> int | None:
        return 0

    def create_checkout(self, request: CheckoutRequest, *, key: str) -> Checkout:
        def work() -> Checkout:
            offer = request.offer
            if offer.price_id is not None:
                self.stripe.price(offer.price_id)
            if not 30 * 60_000 - 1_000 <= request.expires_at_ms - self._now_ms() <= KEY_LIFE_MS:
                raise PaymentsRefused("invalid_request_error", "expires_at must be 30 minutes to 24 hours ahead")
            self.stripe.check_total(offer.amount_minor * request.quantity, offer.currency)
            metadata = {
                "order_id": request.order_id,
                "machine_id": request.machine_id,
                "site": request.site,
                "arcade_mark": request.mark,
            }
            session = self.stripe.new_session(
                amount=offer.amount_minor * request.quantity,
                currency=offer.currency,
                price_ids={offer.price_id or self.stripe.new_id("price"): request.quantity},
                metadata=metadata,
                client_reference_id=request.order_id,
                manual=True,
                card_only=request.is_tab,
                expires_at_s=request.expires_at_ms // 1000,
                intent_metadata=metadata,
            )
            return self.stripe.checkout(session, with_prices=False)

        made = self._call("create_checkout", work, key, (request,))
        assert isinstance(made, Checkout)
        return made

    def read_checkout(self, session_id: str) -> Checkout:
        found = self._call(
            "read_checkout", lambda: self.stripe.checkout(self.stripe.session(session_id), with_prices=True)
        )
        assert isinstance(found, Checkout)
        return found

    def read_payment(self, payment_intent: str) -> Payment:
        found = self._call("read_payment", lambda: self.stripe.payment(self.stripe.intent(payment_intent)))
        assert isinstance(found, Payment)
        return found

    def belongs_to(self, stripe_id: str) -> Belongs:
        """The model has no ids of charges, refunds and disputes, so it knows Checkout Sessions only."""

        def work() -> Belongs:
            session = self.stripe.session(stripe_id)
            return Belongs(payment_intent=session.intent_id, order_id=session.client_reference_id)

        found = self._call("belongs_to", work)
        assert isinstance(found, Belongs)
        return found

    def capture(self, payment_intent: str, amount_minor: int, *, key: str, mark: str = "") -> None:
        def work() -> None:
            held = self.stripe.intent(payment_intent).capturable
            if self.refuse_partial_capture and amount_minor < held:
                self.stripe.intent(payment_intent).part_refused = True
                raise PaymentsRefused(PARTIAL_CAPTURE, "this payment does not support partial capture")
            try:
                self.stripe.capture_by_hand(payment_intent, amount_minor)
            except PaymentsRefused as refusal:
                if refusal.code not in ("amount_too_small", "parameter_invalid_integer"):
                    raise
                self.stripe.intent(payment_intent).part_refused = True
                raise PaymentsRefused(PARTIAL_CAPTURE, str(refusal)) from None
            if mark:
                self.stripe.intent(payment_intent).metadata["arcade_capture"] = mark
            self._acted("capture", payment_intent)

        self._call("capture", work, key, (payment_intent, amount_minor, mark))

    def cancel(self, payment_intent: str, *, key: str) -> None:
        def work() -> None:
            self.stripe.cancel_by_hand(payment_intent)
            self._acted("cancel", payment_intent)

        self._call("cancel", work, key, (payment_intent,))

    def refund(self, payment_intent: str, amount_minor: int, *, key: str) -> None:
        def work() -> None:
            self.stripe.refund_by_hand(payment_intent, amount_minor)
            self._acted("refund", payment_intent)

        self._call("refund", work, key, (payment_intent, amount_minor))

    def _acted(self, what: str, payment_intent: str) -> None:
        self.acts.append((self._now_ms(), what, payment_intent))

    def read_price(self, price_id: str) -> Price:
        found = self._call("read_price", lambda: self.stripe.price(price_id))
        assert isinstance(found, Price)
        return found

    def read_events(self, types: tuple[str, ...], *, since_ms: int, after: str | None = None) -> EventPage:
        def work() -> EventPage:
            told, since_s = self.stripe.told, max(since_ms, self._now_ms() - LISTED_MS) // 1000
            first = bisect.bisect_left(told, since_s, key=lambda event: int(event["created"]))
            found = [event for event in reversed(told[first:]) if event["type"] in types]
            if after is not None:
                ids = [event["id"] for event in found]
                if after not in ids:
                    raise PaymentsRefused("resource_missing", f"no such event: {after}")
                found = found[ids.index(after) + 1 :]
            page = found[:EVENTS_OF_A_PAGE]
            return EventPage(tuple(reports_of(page)), page[-1]["id"] if len(found) > EVENTS_OF_A_PAGE else None)

        found = self._call("read_events", work)
        assert isinstance(found, EventPage)
        return found

    def check(self) -> None:
        self._call("check", lambda: None)

    def _call(
        self, name: str, work: Callable[[], object], key: str | None = None, request: tuple[object, ...] = ()
    ) -> object:
        with self.stripe.lock:
            self.calls.append(name)
            fault = None if self.fault is None else self.fault(name)
            if fault == "before":
                raise PaymentsUnavailable(f"{name}: the request was lost")
            self.stripe.let_time_pass()
            answer = self._at_most_once(work, key, (name, *request))
            if fault == "after":
                raise PaymentsUnavailable(f"{name}: the answer was lost")
            if isinstance(answer, PaymentsRefused):
                raise answer
            return answer

    def _at_most_once(
        self, work: Callable[[], object], key: str | None, request: tuple[object, ...]
    ) -> object | PaymentsRefused:
        done = None if key is None else self._keys.get(key)
        if done is not None and self._now_ms() - done.at_ms < KEY_LIFE_MS:
            if done.request != request:
                return PaymentsRefused("idempotency_error", "the key was used for something else")
            return done.answer
        answer: object
        try:
            answer = work()
        except PaymentsRefused as refusal:
            answer = refusal
        if key is not None:
            self._keys[key] = Done(self._now_ms(), request, answer)
        return answer
