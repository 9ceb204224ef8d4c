"""What the stand-in for Stripe knows: tables of objects in Stripe's own shape, their ids, events and due times.

Pure state: no clock (every change is told the time), no I/O, no lock (`StripeWorld` holds one). The rules that
change it are in `catalogue`, `checkout`, `payments` and `refunds`.
"""

import copy
import heapq
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe import objects as shapes
from arcade_sandbox.stripe.errors import StripeRefusal, no_such

Json = dict[str, Any]

# A bench of 20,000 purchases makes about 120,000 events. Beyond this the sandbox says that it is full.
MAX_OBJECTS_PER_TABLE = 250_000

# Byte → letter or digit. Drawn one by one, an address of 340 letters takes longer than the rest of its session.
_LETTERS = ((string.ascii_letters + string.digits) * 5)[:256].encode()
# Prefix, what stands before the random part, and its length, as seen in Stripe's test mode.
_IDS = {
    "product": ("prod_", 14),
    "price": ("price_1", 23),
    "payment_link": ("plink_1", 23),
    "checkout.session": ("cs_test_a1", 56),
    "payment_intent": ("pi_3", 23),
    "payment_method": ("pm_1", 23),
    "charge": ("ch_3", 23),
    "refund": ("re_3", 23),
    "dispute": ("du_1", 23),
    "event": ("evt_1", 23),
    "item": ("li_1", 23),
    "balance_transaction": ("txn_3", 23),
    "payout": ("po_1", 23),
}


@dataclass
class StripeRules:
    """What may be switched while the sandbox runs, because Stripe's accounts or the future may differ in it."""

    # What a completed session shows while its card payment is only held; Stripe's documentation does not say.
    held_payment_status: str = "unpaid"
    refuse_partial_capture: bool = False
    # Stripe refuses totals below a currency's smallest charge (2 RM).
    enforce_smallest_charge: bool = True
    # How the numbers of the cards end that pay from now on.
    card_last4: str = "4242"
    # What the account calls itself on statements of cards: its shortened descriptor, 2 to 10 characters.
    statement_prefix: str = "ARCADE"
    # Now and then Stripe sends two events with different ids about one and the same change.
    twin_events: bool = False
    # Fees of an account in Malaysia, for cards (stripe.com/en-my/pricing): 3 % and RM 1.00.
    fee_basis_points: int = 300
    fee_fixed: int = 100
    dispute_fee: int = 1_500
    # How long a captured charge has no entry in the balance yet, and how long an entry's money is pending.
    balance_delay_s: int = 5
    available_after_days: int = 7


@dataclass(frozen=True)
class SessionPlan:
    """What a session keeps for the payment that it will make; Stripe does not show it on the session."""

    methods: tuple[str, ...]
    held: frozenset[str]
    capture_method: str
    intent_metadata: dict[str, str]
    description: str | None
    method_options: Json
    statement_suffix: str | None = None


@dataclass(frozen=True)
class Cause:
    """The API request to which an event is due; both None where it was the customer or time."""

    request_id: str | None = None
    key: str | None = None


NOBODY = Cause()


@dataclass
class StripeState:
    """The tables. `tables[kind][id]` is the object as the API shows it."""

    base_url: str = "http://127.0.0.1"
    rules: StripeRules = field(default_factory=StripeRules)
    tables: dict[str, dict[str, Json]] = field(default_factory=lambda: {kind: {} for kind in _IDS})
    plans: dict[str, SessionPlan] = field(default_factory=dict)
    line_items: dict[str, list[Json]] = field(default_factory=dict)
    session_of_intent: dict[str, str] = field(default_factory=dict)
    refunds_of_charge: dict[str, list[str]] = field(default_factory=dict)
    disputes_of_charge: dict[str, list[str]] = field(default_factory=dict)
    payout_of_entry: dict[str, str] = field(default_factory=dict)
    cause: Cause = NOBODY
    _due: list[tuple[int, str, str]] = field(default_factory=list)
    _fresh_events: list[Json] = field(default_factory=list)

    def new_id(self, kind: str) -> str:
        """An unguessable id with Stripe's prefix for this kind of object."""
        prefix, length = _IDS[kind]
        return prefix + random_letters(length)

    def put(self, kind: str, thing: Json) -> Json:
        """Store a new object.

        Raises:
            StripeRefusal: The sandbox is full (503).
        """
        table = self.tables[kind]
        if len(table) >= MAX_OBJECTS_PER_TABLE:
            raise StripeRefusal(
                f"The sandbox is full: it holds {len(table)} objects of kind {kind}. Restart it.",
                status=503,
                kind="api_error",
            )
        table[thing["id"]] = thing
        return thing

    def find(self, kind: str, object_id: str, param: str = "id") -> Json:
        """The object itself, to read or to change.

        Raises:
            StripeRefusal: The object is not on record (404).
        """
        found = self.tables[kind].get(object_id)
        if found is None:
            raise no_such(kind, object_id, param)
        return found

    def known(self, kind: str, object_id: str) -> Json:
        """The object that a control call names.

        Raises:
            SandboxMisuse: The object is not on record.
        """
        found = self.tables[kind].get(object_id)
        if found is None:
            raise SandboxMisuse(f"no {kind} has the id {object_id[:80]!r}")
        return found

    def emit(self, kind: str, subject: Json, now_s: int) -> str:
        """Record an event about `subject` as it is now; returns its id."""
        cause = self.cause
        for _ in range(2 if self.rules.twin_events else 1):
            snapshot = copy.deepcopy(subject)
            event = shapes.event(self.new_id("event"), now_s, kind, snapshot, cause.request_id, cause.key)
            self.put("event", event)
            self._fresh_events.append(event)
        return str(event["id"])

    def take_fresh_events(self) -> list[Json]:
        """The events recorded since the last call, oldest first."""
        fresh, self._fresh_events = self._fresh_events, []
        return fresh

    def wake_at(self, due_s: int, what: str, object_id: str) -> None:
        """Have `take_due` name this object once `due_s` has come."""
        heapq.heappush(self._due, (due_s, what, object_id))

    def take_due(self, now_s: int) -> Iterable[tuple[int, str, str]]:
        """What is due: its time, what (`session`, `hold`, …) and id, in the order of their times."""
        while self._due and self._due[0][0] <= now_s:
            yield heapq.heappop(self._due)

    def charge_of(self, intent: Json) -> Json | None:
        """The intent's latest charge."""
        charge_id = intent["latest_charge"]
        return None if charge_id is None else self.tables["charge"][charge_id]

    def session_for(self, intent_id: str) -> Json | None:
        """The session that made the intent."""
        session_id = self.session_of_intent.get(intent_id)
        return None if session_id is None else self.tables["checkout.session"][session_id]

    def refunds_on(self, charge: Json) -> list[Json]:
        """All refunds of a charge, oldest first."""
        return [self.tables["refund"][refund_id] for refund_id in self.refunds_of_charge.get(charge["id"], [])]

    def disputes_on(self, charge: Json) -> list[Json]:
        """All disputes of a charge, oldest first."""
        return [self.tables["dispute"][dispute_id] for dispute_id in self.disputes_of_charge.get(charge["id"], [])]


def random_letters(length: int) -> str:
    """`length` random letters and digits."""
    return secrets.token_bytes(length).translate(_LETTERS).decode()
