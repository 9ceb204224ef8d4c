"""The simulation's Stripe with what Stripe does on bad days, and its webhooks on their way."""

import hashlib
import hmac
import random
from collections.abc import Callable
from typing import Any

import msgspec

from arcade_cloud.domain.effects import PARTIAL_CAPTURE
from arcade_cloud.domain.money import Payment
from arcade_cloud.errors import PaymentsRefused, PaymentsUnavailable
from arcade_cloud.ports.payments import Checkout
from arcade_cloud.services.reconciliation import MOVED
from simulation.account_payments import KEY_LIFE_MS, AccountPayments, Done
from simulation.evidence import Cause, Evidence, Reading
from simulation.faults import DAY, HOUR, MINUTE, SECOND, Faults
from simulation.scheduler import START_MS, Scheduler
from simulation.sim_cloud import WEBHOOK_SECRET, Cloud
from simulation.stripe_account import HOLD_LIFE_MS, STEPS

# Stripe repeats an event for up to three days, less and less often.
REPEATS_S = (5, 60, 300, 3_600, 10_800, 36_000, 43_200, 43_200, 43_200, 43_200)
BUSY = ("409 idempotency_key_in_use", "429 rate_limit", "500 api_error", "connection reset")


class SimPayments(AccountPayments):
    """The port `Payments` on an account that is slow, busy, forgetful and fails refunds, as the seed has it."""

    def __init__(self, scheduler: Scheduler, rng: random.Random, faults: Faults) -> None:
        super().__init__(lambda: scheduler.now_ms)
        self.is_down = False
        self._scheduler, self._rng, self._faults = scheduler, rng, faults
        self.flush: Callable[[], None] = lambda: None
        self.fault = self._fault
        self.refuse_partial_capture = rng.random() < faults.rates.get("Stripe takes no part of a hold", 0)
        self.readings: list[Reading] = []

    def _fault(self, name: str) -> Any:
        if self.is_down:
            return "before"
        if not self._faults.on:
            return None
        if self._faults.hit("Stripe busy"):
            raise PaymentsUnavailable(f"{name}: {self._rng.choice(BUSY)}")
        return "after" if self._faults.hit("Stripe's answer lost") else None

    def read_payment(self, payment_intent: str) -> Payment:
        found = super().read_payment(payment_intent)
        self._note_reading(payment_intent)
        return found

    def read_checkout(self, session_id: str) -> Checkout:
        found = super().read_checkout(session_id)
        if found.payment is not None:
            self._note_reading(found.payment.payment_intent)
        return found

    def _note_reading(self, payment_intent: str) -> None:
        """What the answer shows, by the account's own books."""
        money = self.stripe.money_of(payment_intent)
        stood = money["status"] == "requires_capture" and money["held"] == money["amount"]
        self.readings.append(Reading(self._now_ms(), payment_intent, stood))

    def _at_most_once(self, work: Any, key: str | None, request: tuple[object, ...]) -> Any:
        known = None if key is None else self._keys.get(key)
        if known is not None and self._now_ms() - known.at_ms < KEY_LIFE_MS:
            if isinstance(known.answer, PaymentsUnavailable):
                raise known.answer
        elif key is not None and self._faults.hit("Stripe failed and keeps the key"):
            self._keys[key] = Done(self._now_ms(), request, PaymentsUnavailable("500, and so for this key"))
            raise PaymentsUnavailable("500, and so for this key")
        if key is not None and request[0] != "create_checkout" and self._faults.hit("Stripe does it later"):
            self._scheduler.after(self._rng.randint(1, 50) * SECOND, lambda: self._do_late(work, key, request))
            raise PaymentsUnavailable("time-out: the request is still on its way")
        if key is not None and request[0] == "capture" and self._faults.hit("Stripe refuses a capture"):
            work = _refuse
        answer = super()._at_most_once(work, key, request)
        if isinstance(answer, PaymentsRefused) and self.refuse_partial_capture:
            self._faults.happened["Stripe takes no part of a hold"] += answer.code == PARTIAL_CAPTURE
        return answer

    def _do_late(self, work: Any, key: str, request: tuple[object, ...]) -> None:
        super()._at_most_once(work, key, request)
        self.flush()


def _refuse() -> object:
    raise PaymentsRefused("processing_error", "an error occurred while processing the card")


class StripeSide:
    """What comes from Stripe by itself: webhooks, lapsing holds, decisions of banks."""

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        faults: Faults,
        evidence: Evidence,
        payments: SimPayments,
        cloud: Cloud,
    ) -> None:
        self._scheduler, self._rng, self._faults, self._evidence = scheduler, rng, faults, evidence
        self._payments, self._cloud = payments, cloud
        self.stripe = payments.stripe
        cloud.flush_webhooks = self.flush
        payments.flush = self.flush

    def flush(self, early: bool = False) -> None:
        """Send what Stripe has to report; `early`: before the call that caused it is answered."""
        for event in self.stripe.take_events():
            self._notice(event)
            if _tells_of_a_link(event):
                self._cloud.reconcile_from_now()
            if self._faults.hit("webhook never"):
                if event["type"] in MOVED:
                    self._cloud.reconcile_from_now()
                self._scheduler.note("webhook never", event["type"])
                continue
            for _ in range(self._rng.randint(2, 10) if self._faults.hit("webhook ten times") else 1):
                delay_ms = self._rng.randint(20, 600)
                if early:
                    delay_ms = 1
                elif self._faults.hit("webhook late"):
                    delay_ms = self._rng.choice((5 * SECOND, 90 * SECOND, 10 * MINUTE, 3 * HOUR, DAY, 2 * DAY))
                self._scheduler.after(delay_ms, lambda event=event: self._deliver(event, 0))  # type: ignore[misc]

    def flush_at(self, when_ms: int) -> None:
        """Look then what has lapsed."""
        self._scheduler.at(when_ms, self.flush)

    def _deliver(self, event: dict[str, Any], tries: int) -> None:
        body = msgspec.json.encode(event)
        at_s = self._scheduler.now_ms // 1000
        signed = hmac.digest(WEBHOOK_SECRET.encode(), b"%d." % at_s + body, hashlib.sha256).hex()
        status = self._cloud.webhook(body, f"t={at_s},v1={signed}")
        self._scheduler.note("webhook", event["id"], event["type"], status)
        if status == 200:
            event["pending_webhooks"] = 0
        if status == 400 and not self._cloud.takes_for_forged():
            self._evidence.defects.append(f"a true event of Stripe's was refused: {event['type']}")
        elif status != 200 and tries == len(REPEATS_S):
            self._evidence.defects.append(f"Stripe has given up on an event: {event['type']}")
        elif status != 200:
            self._scheduler.after(REPEATS_S[tries] * SECOND, lambda: self._deliver(event, tries + 1))

    def _notice(self, event: dict[str, Any]) -> None:
        """What banks will make of it."""
        what, subject = event["type"], event["data"]["object"]
        if what == "refund.created":
            intent = subject["payment_intent"]
            fails = self._faults.hit("refund fails")
            if subject["status"] == "pending" or fails:
                refund_id = subject["id"]
                self._scheduler.after(
                    self._rng.choice((MINUTE, HOUR, 5 * HOUR, 3 * DAY)),
                    lambda: self._bank_decides(intent, refund_id, fails),
                )
        elif what == "payment_intent.canceled":
            self._evidence.causes.append(Cause(self._scheduler.now_ms, "payment canceled", subject["id"]))

    def _bank_decides(self, payment_intent: str, refund_id: str, fails: bool) -> None:
        if fails:
            self._evidence.causes.append(Cause(self._scheduler.now_ms, "refund failed", payment_intent))
        self.stripe.finish_refund(payment_intent, "failed" if fails else "succeeded", refund_id=refund_id)
        self.flush()

    # --- what players and people at Stripe's dashboard do

    def pay(self, session_id: str, method: Any) -> str | None:
        """Pay, if the page is still open; the payment intent."""
        short_ms = 0
        if method == "card" and self._faults.hit("hold is short"):
            short_ms = self._faults.stream("hold is short").choice((20, 30, 60, 12 * 60)) * MINUTE
        self.stripe.hold_life_ms = short_ms or HOLD_LIFE_MS
        try:
            intent = self.stripe.pay(session_id, method)
        except ValueError:
            return None
        money = self.stripe.money_of(intent)
        self._scheduler.note("paid", method, intent, money["status"])
        self.flush()
        if money["status"] == "requires_capture":
            self.flush_at(money["hold_until_ms"])
            if short_ms:
                self._scheduler.at(money["hold_until_ms"] - 1, lambda: self._end_hold(intent))
            if self._faults.hit("hold ends early"):
                self._scheduler.after(self._rng.choice((MINUTE, HOUR, 10 * HOUR)), lambda: self._end_hold(intent))
        if money["status"] == "processing":
            decided_ms = self._rng.choice(
                (5 * SECOND, MINUTE, MINUTE, 20 * MINUTE, 20 * MINUTE, 5 * HOUR, 2 * DAY)
            )
            if self._rng.random() < 0.03:
                decided_ms = 15 * DAY
            succeed = self._rng.random() < 0.7
            self._scheduler.after(decided_ms, lambda: self._settle_async(intent, succeed))
        elif self._faults.hit("money moved by hand at Stripe"):
            self._scheduler.after(self._rng.choice((1, SECOND, MINUTE, HOUR)), lambda: self._meddle(intent))
        if self._faults.hit("dispute"):
            self._scheduler.after(self._rng.choice((MINUTE, HOUR, 8 * HOUR)), lambda: self._dispute(intent))
        return intent

    def _settle_async(self, intent: str, succeed: bool) -> None:
        if self._scheduler.now_ms - START_MS > 14 * DAY:
            self._evidence.causes.append(Cause(self._scheduler.now_ms, "bank took weeks", intent))
        self.stripe.settle_async(intent, succeed=succeed)
        self._scheduler.note("bank decided", intent, succeed)
        self.flush()

    def _end_hold(self, intent: str) -> None:
        if self.stripe.money_of(intent)["status"] == "requires_capture":
            self._gone(intent, "hold ended")
            self.stripe.expire_hold(intent)
            self.flush()

    def _gone(self, intent: str, what: str) -> None:
        self._scheduler.note(what, intent)
        self._evidence.causes.append(Cause(self._scheduler.now_ms, "money gone outside", intent))

    def _meddle(self, intent: str) -> None:
        money = self.stripe.money_of(intent)
        try:
            if money["status"] == "requires_capture" and self._rng.random() < 0.5:
                self._gone(intent, "canceled by hand")
                self.stripe.cancel_by_hand(intent)
            elif money["status"] == "requires_capture":
                part = self._rng.choice((money["amount"], max(1, money["amount"] // 2)))
                self._gone(intent, "captured by hand")
                self.stripe.capture_by_hand(intent, part)
            elif money["status"] == "succeeded":
                self._gone(intent, "refunded by hand")
                self.stripe.refund_by_hand(intent, max(1, money["kept"] // self._rng.choice((1, 2))))
        except PaymentsRefused:
            return
        self.flush()

    def _dispute(self, intent: str) -> None:
        """The player disputes the payment, or a part of it, perhaps for the second time."""
        money = self.stripe.money_of(intent)
        left = money["captured"] - money["lost"]
        if money["status"] != "succeeded" or money["dispute"] == "open" or left <= 0:
            self._faults.happened["dispute"] -= 1
            return
        self._gone(intent, "disputed")
        self._evidence.causes.append(Cause(self._scheduler.now_ms, "disputed", intent))
        part = max(1, left // 4) if money["currency"] not in STEPS else left
        self.stripe.open_dispute(intent, self._rng.choice((left, part, part)))
        self.flush()
        outcome: Any = self._rng.choice(("won", "lost"))
        self._scheduler.after(self._rng.choice((HOUR, DAY, 3 * DAY)), lambda: self._close(intent, outcome))

    def _close(self, intent: str, outcome: Any) -> None:
        self.stripe.close_dispute(intent, outcome)
        self.flush()
        if self._faults.hit("dispute"):
            self._scheduler.after(self._rng.choice((MINUTE, DAY)), lambda: self._dispute(intent))


def _tells_of_a_link(event: dict[str, Any]) -> bool:
    """Nothing is on record of a payment by a static link: if no webhook says so, only reconciliation finds it."""
    return event["type"].startswith("checkout.") and event["data"]["object"]["payment_link"] is not None
