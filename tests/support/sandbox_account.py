"""An account at the sandbox from its other side: what players, banks, time and the operator do, and its events.

All is named by session and payment intent, as tests know it; a `StripeWorld` wants the refund or dispute itself.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from arcade_cloud.adapters.stripe.events import EVENT_TYPES
from arcade_sandbox.stripe.catalogue import create_link, update_price
from arcade_sandbox.stripe.checkout import create_session
from arcade_sandbox.stripe.world import StripeWorld

Json = dict[str, Any]


class SandboxAccount:
    """One account, in this process or behind its web server. Thread-safe."""

    def __init__(self, world: StripeWorld) -> None:
        self.world = world
        self._taken = 0

    # --- what the operator does at Stripe ----------------------------------------------------------------

    def add_price(self, price_id: str, amount_minor: int, label: str = "1 credit", *, active: bool = True) -> None:
        """Configure a price, in ringgit."""
        self.world.create_price(amount_minor, name=label, price_id=price_id)
        if not active:
            with self.world.world() as (state, now_s):
                update_price(state, price_id, {"active": False}, now_s)

    def visit_link(
        self,
        price_id: str,
        quantity: int = 1,
        client_reference_id: str | None = None,
        *,
        metadata: dict[str, str] | None = None,
        intent_metadata: dict[str, str] | None = None,
    ) -> str:
        """Somebody opens a static Payment Link; the id of the session that this makes. It charges at once."""
        params: Json = {"line_items": [{"price": price_id, "quantity": quantity}], "metadata": metadata or {}}
        if intent_metadata is not None:
            params["payment_intent_data"] = {"metadata": intent_metadata}
        with self.world.world() as (state, now_s):
            token = create_link(state, params, now_s)["url"].rsplit("/", 1)[1]
        return str(self.world.visit_link(token, client_reference_id)["id"])

    def visit_shop(
        self,
        amount_minor: int = 4_900,
        *,
        metadata: dict[str, str] | None = None,
        held: bool = False,
        **more: Any,
    ) -> str:
        """Somebody goes to pay in another shop on the same account; the id of the session.

        `metadata` are the shop's own, on session and payment intent.
        """
        lamp = {"currency": "myr", "unit_amount": amount_minor, "product_data": {"name": "A lamp"}}
        params: Json = {
            "mode": "payment",
            "success_url": "https://lamps.example/thanks",
            "line_items": [{"quantity": 1, "price_data": lamp}],
            "metadata": metadata or {},
            "payment_intent_data": {"metadata": metadata or {}},
            "payment_method_options": {"card": {"capture_method": "manual"}} if held else {},
        }
        with self.world.world() as (state, now_s):
            return str(create_session(state, params | more, now_s)["id"])

    def refund_by_hand(self, payment_intent: str, amount_minor: int) -> None:
        """Give a part back."""
        self.world.refund(payment_intent, amount_minor)

    # --- what the player does, what banks do -------------------------------------------------------------

    def pay(self, session_id: str, method: str = "card") -> str:
        """Pay an open session; the id of its payment intent. Nobody waits for a webhook's answer."""
        return self.world.pay(session_id, method, wait=False).payment_intent

    def settle_async(self, payment_intent: str, *, succeed: bool = True) -> None:
        """The bank decides a payment that is processing."""
        self.world.settle_async(payment_intent, succeed=succeed)

    def expire_hold(self, payment_intent: str) -> None:
        """The bank lets a hold go."""
        self.world.expire_hold(payment_intent)

    def finish_refund(self, payment_intent: str, outcome: Literal["succeeded", "failed"]) -> None:
        """The bank decides the latest refund: what has succeeded may still fail."""
        self.world.finish_refund(self._latest("refund", payment_intent), outcome)

    def open_dispute(self, payment_intent: str, amount_minor: int | None = None) -> None:
        """The player disputes a payment that was taken, or a part of it."""
        self.world.open_dispute(payment_intent, amount_minor)

    def close_dispute(self, payment_intent: str, outcome: Literal["won", "lost"]) -> None:
        """The bank decides the latest dispute."""
        self.world.close_dispute(self._latest("dispute", payment_intent), outcome)

    def _latest(self, kind: str, payment_intent: str) -> str:
        with self.world.world() as (state, _):
            latest_first = reversed(state.tables[kind].values())
            return str(next(thing["id"] for thing in latest_first if thing["payment_intent"] == payment_intent))

    # --- what a checker reads, and an endpoint gets ------------------------------------------------------

    def money(self) -> list[Json]:
        """What became of each payment (`arcade_sandbox.stripe.refunds.money`)."""
        return self.world.money()

    def money_of(self, payment_intent: str) -> Json:
        """One line of `money`."""
        (line,) = [line for line in self.money() if line["id"] == payment_intent]
        return line

    def take_events(self) -> list[Json]:
        """The events since the last call, of the types that our endpoint asks for, oldest first."""
        with self.world.world() as (state, _):
            fresh = list(itertools.islice(state.tables["event"].values(), self._taken, None))
        self._taken += len(fresh)
        return [event for event in fresh if event["type"] in EVENT_TYPES]

    def all_delivered(self) -> None:
        """Every endpoint has taken all events so far."""
        for event in self.world.events():
            event["pending_webhooks"] = 0

    @contextmanager
    def events_unlisted(self) -> Iterator[None]:
        """Meanwhile the list shows none of the events so far."""
        with self.world.world() as (state, _):
            hidden = state.tables["event"]
            state.tables["event"] = {}
        yield
        with self.world.world() as (state, _):
            state.tables["event"] = hidden | state.tables["event"]
