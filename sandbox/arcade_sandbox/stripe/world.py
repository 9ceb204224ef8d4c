"""The stand-in for Stripe without its web server: the state under one lock, its clock, its deliveries, its faults.

Everything that the control endpoints offer is a method here, so that a test in the same process needs no HTTP.
Threads: any may call anything. Locks are taken in this order: the world's, then the delivery's.
"""

import copy
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe import balance, payments, refunds
from arcade_sandbox.stripe import objects as shapes
from arcade_sandbox.stripe.catalogue import create_price
from arcade_sandbox.stripe.checkout import expire_session, session_from_link
from arcade_sandbox.stripe.currencies import CURRENCIES
from arcade_sandbox.stripe.faults import Fault, FaultPlan, Kind, When
from arcade_sandbox.stripe.idempotency import IdempotencyKeys
from arcade_sandbox.stripe.payments import Paid
from arcade_sandbox.stripe.schemas import MAX_AMOUNT
from arcade_sandbox.stripe.sender import Receiver
from arcade_sandbox.stripe.state import NOBODY, Cause, StripeRules, StripeState
from arcade_sandbox.stripe.webhooks import SandboxClock, WebhookDelivery

Json = dict[str, Any]

# "Checkout waits up to ten seconds for your server to respond" (docs.stripe.com/checkout/fulfillment).
REDIRECT_WAIT_S = 10.0

_SESSION_ID = re.compile(r"cs_test_[A-Za-z0-9]+")
_LINK_TOKEN = re.compile(r"/b/(test_[A-Za-z0-9]+)")


class StripeWorld:
    """One Stripe account in test mode, and whatever is done to it from outside the API."""

    def __init__(
        self,
        *,
        webhook_urls: Iterable[str] = (),
        webhook_secret: str | None = None,
        api_key: str | None = None,
        rules: StripeRules | None = None,
        concurrency: int = 1,
        retry_base_s: float = 0.5,
        retry_cap_s: float = 60.0,
        redirect_wait_s: float = REDIRECT_WAIT_S,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Make an account that delivers its events once `delivery` has been started.

        Args:
            api_key: The only key that is good. None: any test key is.
            concurrency: How many deliveries run at once. 1 keeps the order of events.
            retry_base_s: A delivery is repeated after this time, then after twice that, and so on, until it is
                answered with 2xx or three days (of the sandbox's clock) have passed.
            retry_cap_s: The longest time between two attempts.
            redirect_wait_s: How long the hosted page waits for the webhook's answer.
            now_s: The time to live by, in seconds since the epoch.

        Raises:
            SandboxMisuse: A webhook address is not an http or https address.
        """
        self.webhook_secret = webhook_secret or f"whsec_{secrets.token_hex(24)}"
        self.api_key = api_key
        self.redirect_wait_s = redirect_wait_s
        self.clock = SandboxClock(now_s)
        self.faults = FaultPlan()
        self.keys = IdempotencyKeys()
        self.stopping = threading.Event()
        self._state = StripeState(rules=rules or StripeRules())
        self._lock = threading.RLock()
        self.delivery = WebhookDelivery(
            self.clock,
            concurrency=concurrency,
            retry_base_s=retry_base_s,
            retry_cap_s=retry_cap_s,
            heartbeat=self._let_time_pass,
        )
        self.set_webhooks(webhook_urls)

    @contextmanager
    def world(self, cause: Cause = NOBODY) -> Iterator[tuple[StripeState, int]]:
        """The state, alone, and the time; what became due has been done, and events are queued at the end."""
        with self._lock:
            now_s = int(self.clock.now_s())
            payments.let_time_pass(self._state, now_s)
            self._state.cause = cause
            try:
                yield self._state, now_s
            finally:
                self._state.cause = NOBODY
                for event in self._state.take_fresh_events():
                    self.delivery.offer(event)

    def _let_time_pass(self) -> None:
        with self.world():
            pass

    # What the customer does.

    def pay(self, session: str, method: str = "card", *, wait: bool = True) -> Paid:
        """Press a button on the hosted page of a session.

        Args:
            session: Its id or address, or a payment link's address.
            wait: Take as long as Stripe's page: until the webhook has answered, by default at most ten seconds.

        Raises:
            SandboxMisuse: There is no such session or link, it is not open, or it does not take the method.
        """
        session_id = self.session_id_of(session)
        with self.world() as (state, now_s):
            paid = payments.pay_session(state, session_id, method, now_s)
        if wait and paid.completed_event is not None:
            self.delivery.wait_answered(paid.completed_event, self.redirect_wait_s)
        return paid

    def session_id_of(self, session: str) -> str:
        """The id in a session's address; for a payment link's address, that of a new visit.

        Raises:
            SandboxMisuse: It is neither a session nor a payment link that is on.
        """
        found = _SESSION_ID.search(session)
        if found is not None:
            return found[0]
        link = _LINK_TOKEN.search(session)
        if link is None:
            raise SandboxMisuse(f"neither a Checkout Session nor a payment link: {session[:80]!r}")
        return str(self.visit_link(link[1])["id"])

    def visit_link(self, token: str, client_reference_id: str | None = None) -> Json:
        """Open a payment link: every visit makes a session.

        Raises:
            SandboxMisuse: There is no such link, or it is off.
        """
        with self.world() as (state, now_s):
            for link in state.tables["payment_link"].values():
                if link["url"].endswith(f"/{token}"):
                    break
            else:
                raise SandboxMisuse("no such payment link")
            if not link["active"]:
                raise SandboxMisuse(link["inactive_message"] or "This link has been deactivated.")
            return session_from_link(state, link, client_reference_id, now_s)

    # What banks and time do.

    def settle_async(self, payment_intent: str, *, succeed: bool = True) -> Json:
        """Decide a payment that is `processing`.

        Raises:
            SandboxMisuse: The payment intent is not on record, or not `processing`.
        """
        with self.world() as (state, now_s):
            return payments.settle_async(state, payment_intent, succeed, now_s)

    def expire_hold(self, payment_intent: str) -> Json:
        """Let a hold lapse now.

        Raises:
            SandboxMisuse: The payment intent is not on record, or holds nothing.
        """
        with self.world() as (state, now_s):
            return payments.expire_hold(state, payment_intent, now_s)

    def finish_refund(
        self, refund: str, outcome: Literal["succeeded", "failed"] = "succeeded", *, reason: str = "unknown"
    ) -> Json:
        """Decide a refund.

        Args:
            reason: Stripe's `failure_reason`.

        Raises:
            SandboxMisuse: The refund is not on record, or can no longer have this outcome.
        """
        with self.world() as (state, now_s):
            return refunds.finish_refund(state, refund, outcome, reason, now_s)

    def open_dispute(self, payment_intent: str, amount: int | None = None, *, reason: str = "fraudulent") -> Json:
        """Have the cardholder dispute a charge.

        Raises:
            SandboxMisuse: The payment intent is not on record, nothing was captured, the charge is disputed
                already, or the amount is out of range.
        """
        with self.world() as (state, now_s):
            return refunds.open_dispute(state, payment_intent, amount, reason, now_s)

    def close_dispute(self, dispute: str, outcome: Literal["won", "lost"]) -> Json:
        """Have the bank decide a dispute.

        Raises:
            SandboxMisuse: The dispute is not on record, or decided already.
        """
        with self.world() as (state, now_s):
            return refunds.close_dispute(state, dispute, outcome, now_s)

    def pay_out(self) -> list[Json]:
        """Make the day's automatic payout, one for each currency in which something is available."""
        with self.world() as (state, now_s):
            return balance.pay_out(state, now_s)

    def fail_payout(self, payout: str) -> Json:
        """Have the bank refuse a payout.

        Raises:
            SandboxMisuse: The payout is not on record, or has failed already.
        """
        with self.world() as (state, now_s):
            return balance.fail_payout(state, payout, now_s)

    def charge_account(self, amount: int, currency: str = "myr", text: str = "Radar for Fraud Teams") -> Json:
        """Have Stripe take a fee that belongs to no payment.

        Raises:
            SandboxMisuse: It is no fee.
        """
        with self.world() as (state, now_s):
            return balance.account_fee(state, amount, currency, text, now_s)

    def advance(self, seconds: float) -> None:
        """Let the sandbox's clock jump ahead; what falls due happens at once.

        Raises:
            SandboxMisuse: The time is negative, or more than ten years.
        """
        self.clock.skip(seconds)
        self._let_time_pass()
        self.delivery.wake()

    # What somebody does in Stripe's dashboard.

    def create_price(
        self, unit_amount: int, currency: str = "myr", name: str = "1 credit", price_id: str | None = None
    ) -> Json:
        """Seed a price, with an id of one's own if given.

        Raises:
            SandboxMisuse: The currency is unknown, the amount is out of range, or the id is taken.
        """
        params = {"unit_amount": unit_amount, "currency": currency, "product_data": {"name": name}}
        if currency not in CURRENCIES or not 0 <= unit_amount <= MAX_AMOUNT:
            raise SandboxMisuse(f"no price can be {unit_amount} {currency}: see Stripe's currencies and amounts")
        with self.world() as (state, now_s):
            if price_id is not None and price_id in state.tables["price"]:
                raise SandboxMisuse(f"there is a price {price_id!r} already")
            return create_price(state, params, now_s, price_id)

    def capture(self, payment_intent: str, amount: int | None = None) -> Json:
        """Capture by hand.

        Raises:
            StripeRefusal: The payment intent is not on record, or the amount cannot be captured.
        """
        with self.world() as (state, now_s):
            return payments.capture_intent(state, payment_intent, amount, now_s)

    def cancel(self, payment_intent: str) -> Json:
        """Cancel by hand.

        Raises:
            StripeRefusal: The payment intent is not on record, cannot be canceled, or its session is open.
        """
        with self.world() as (state, now_s):
            return payments.cancel_intent(state, payment_intent, None, now_s)

    def refund(self, payment_intent: str, amount: int | None = None) -> Json:
        """Refund by hand.

        Raises:
            StripeRefusal: The payment intent is not on record, or the amount cannot be refunded.
        """
        params: Json = {"payment_intent": payment_intent, **({} if amount is None else {"amount": amount})}
        with self.world() as (state, now_s):
            return refunds.create_refund(state, params, now_s)

    def expire(self, session: str) -> Json:
        """Expire a session by hand.

        Raises:
            StripeRefusal: The session is not on record, or not open.
            SandboxMisuse: It is neither a session nor a payment link that is on.
        """
        with self.world() as (state, now_s):
            return expire_session(state, self.session_id_of(session), now_s)

    # What happens elsewhere at Stripe.

    def tell_elsewhere(self, *, account: str | None = None, live: bool = False) -> Json:
        """Deliver an event about a paid session that this account does not have, and does not list.

        Args:
            account: The connected account that it comes from, as an endpoint for Connect is told.
            live: It is of the live mode.

        Returns:
            The event.
        """
        with self.world() as (state, now_s):
            session = shapes.checkout_session(
                state.new_id("checkout.session"), now_s, total=500, currency="myr", expires_at=now_s, url=""
            )
            session |= {"status": "complete", "payment_status": "paid", "url": None, "livemode": live}
            session |= {"payment_intent": state.new_id("payment_intent"), "payment_link": "plink_elsewhere"}
            event = shapes.event(state.new_id("event"), now_s, "checkout.session.completed", session, None, None)
            event["livemode"] = live
            if account is not None:
                event["account"] = account
            self.delivery.offer(event)
            return event

    # Webhooks.

    def set_webhooks(self, urls: Iterable[str], secret: str | None = None) -> None:
        """Deliver events to these addresses from now on, signed with `secret` (else `webhook_secret`)."""
        self.delivery.set_receivers(Receiver(url, secret or self.webhook_secret) for url in urls)

    def configure_webhooks(self, **changes: Any) -> None:
        """Change some `DeliverySettings`: copies, delay_s, reorder_seed, reorder_window_s, drop, paused."""
        if "drop" in changes:
            changes["drop"] = frozenset(changes["drop"])
        self.delivery.configure(**changes)

    def pause_webhooks(self) -> None:
        """Keep events back; what is being sent is finished."""
        self.delivery.configure(paused=True)

    def resume_webhooks(self) -> None:
        """Send what was kept back."""
        self.delivery.configure(paused=False)

    def redeliver(self, event_id: str) -> None:
        """Send an event again.

        Raises:
            SandboxMisuse: The event is not on record.
        """
        with self.world() as (state, _):
            self.delivery.redeliver(state.known("event", event_id))

    def wait_delivered(self, timeout_s: float = 10.0) -> bool:
        """Wait until every event has been taken by every endpoint; whether it came to that."""
        return self.delivery.wait_idle(timeout_s)

    # Faults and switches.

    def fail_next(self, kind: Kind, when: When = "before", *, times: int = 1, pattern: str = "*") -> None:
        """Plan a failure of API calls.

        Args:
            pattern: The calls that it is for, such as `POST /v1/refunds*`.

        Raises:
            SandboxMisuse: The failure is not valid, or too many are planned already.
        """
        self.faults.add(Fault(kind, when, times, pattern))

    def set_rules(self, **changes: bool | str | int) -> StripeRules:
        """Change some `StripeRules`.

        Raises:
            SandboxMisuse: A rule is unknown, or does not take the value.
        """
        with self.world() as (state, _):
            for name, value in changes.items():
                if not hasattr(state.rules, name) or type(value) is not type(getattr(state.rules, name)):
                    raise SandboxMisuse(f"no rule {name!r} takes {value!r}")
            if changes.get("held_payment_status", "paid") not in ("paid", "unpaid"):
                raise SandboxMisuse("held_payment_status must be paid or unpaid")
            if any(type(value) is int and not 0 <= value <= MAX_AMOUNT for value in changes.values()):
                raise SandboxMisuse(f"a rule's number must be 0 to {MAX_AMOUNT}")
            for name, value in changes.items():
                setattr(state.rules, name, value)
            return state.rules

    # What a checker reads.

    def money(self) -> list[Json]:
        """What became of each payment (see `refunds.money`)."""
        with self.world() as (state, _):
            return refunds.money(state)

    def events(self, *kinds: str) -> list[Json]:
        """All events of these kinds (of all, where none is named), oldest first; only to be read."""
        with self.world() as (state, _):
            return [event for event in state.tables["event"].values() if not kinds or event["type"] in kinds]

    def object(self, kind: str, object_id: str) -> Json:
        """An object as the API shows it, by its kind (`checkout.session`, `payment_intent`, …)."""
        with self.world() as (state, _):
            return copy.deepcopy(state.known(kind, object_id))

    def dump(self) -> Json:
        """Everything that is known, for a look from outside."""
        with self.world() as (state, now_s):
            rules = {name: getattr(state.rules, name) for name in StripeRules.__dataclass_fields__}
            tables = {
                kind: list(table.values()) for kind, table in state.tables.items() if table and kind != "event"
            }
            return copy.deepcopy({"now": now_s, "rules": rules, **tables, "events": len(state.tables["event"])})
