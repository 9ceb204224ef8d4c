"""The people of a run: players who buy and pay in every way, and the operator."""

import random
from dataclasses import replace
from typing import Any

from arcade_cloud.domain.events import PlayerReturned
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import Order
from simulation.evidence import Decision, Evidence, Grant, Purchase, Refund
from simulation.faults import HOUR, MINUTE, SECOND, Faults
from simulation.scheduler import Scheduler
from simulation.sim_cloud import BASE_URL, Cloud, CloudDown
from simulation.sim_stripe import StripeSide
from support.shops import misspelt

# One, three and seven credits, in currencies with different steps.
PRICES = {"myr": (200, 500, 1_000), "kwd": (500, 1_000, 2_000), "isk": (10_000, 25_000, 50_000)}


def offers_in(currency: str) -> tuple[Offer, ...]:
    """What a machine sells."""
    names = (("one", 1), ("three", 3), ("seven", 7))
    return tuple(
        Offer(offer_id=name, credits=credits, amount_minor=minor, currency=currency, price_id=f"price_{name}")
        for (name, credits), minor in zip(names, PRICES[currency], strict=True)
    )


METHODS = ("card", "card", "card", "link", "fpx", "fpx_later", "grabpay", "card_declined", "nothing")
TRIES = 4


class People:
    """Everybody who is not an attacker."""

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        faults: Faults,
        evidence: Evidence,
        cloud: Cloud,
        stripe_side: StripeSide,
        machines: list[str],
        offers: tuple[Offer, ...],
        claims: random.Random,
    ) -> None:
        """`claims`: the chance of what the operator decides about payments without proof."""
        self._scheduler, self._rng, self._faults, self._evidence = scheduler, rng, faults, evidence
        self._cloud, self._side, self._machines, self._claims = cloud, stripe_side, machines, claims
        self._offers = offers
        self._grants = 0

    # --- players

    def arrive(self, at_ms: int) -> None:
        """A player comes then, and buys in one way or another."""
        dice = self._rng.random()
        if dice < 0.06:
            self._scheduler.at(at_ms, self._pay_by_link)
        elif dice < 0.12:
            self._scheduler.at(at_ms, self._give_credits)
        else:
            machine_id, offer = self._rng.choice(self._machines), self._rng.choice(self._offers)
            quantity = self._rng.choice((1, 1, 1, 2, 3, 6, 20))
            self._scheduler.at(at_ms, lambda: self._buy(machine_id, offer, quantity, TRIES))

    def _buy(self, machine_id: str, offer: Offer, quantity: int, tries: int) -> None:
        order: Order | None = self._cloud.ask(
            "checkout",
            lambda worker: worker.sales.begin_checkout(machine_id, offer_id=offer.offer_id, quantity=quantity),
        )
        page = None if order is None or order.payment is None else order.payment.checkout
        if order is None or page is None:
            if tries > 1:
                self._scheduler.after(
                    self._rng.randint(5, 90) * SECOND, lambda: self._buy(machine_id, offer, 1, tries - 1)
                )
            return
        session_id = page.session_id
        credits, amount = offer.credits * quantity, offer.amount_minor * quantity
        subscriber = machine_id in self._evidence.subscribers
        self._evidence.purchases[session_id] = Purchase(
            session_id,
            order.order_id,
            machine_id,
            credits,
            amount,
            subscriber=subscriber,
            currency=offer.currency,
        )
        self._scheduler.note("ordered", machine_id, credits, order.order_id[-6:])
        self._side.flush_at((page.expires_at_ms or 0) + SECOND)
        method = self._rng.choice(METHODS)
        thinks_ms = self._rng.choice((3, 5, 10, 20, 30, 90, 90, 400, 1700)) * SECOND + self._rng.randint(
            0, 5 * SECOND
        )
        if method != "nothing":
            self._scheduler.after(thinks_ms, lambda: self._pay(session_id, method))
        if self._rng.random() < 0.6:  # the others close the page, paid or not
            back_ms, order_id = thinks_ms + self._rng.randint(100, 5 * SECOND), order.order_id
            self._scheduler.after(back_ms, lambda: self._come_back(order_id))
        if self._rng.random() < 0.05 or self._faults.hit("operator refunds"):
            refund_ms = thinks_ms + self._rng.choice((0, 50, 700, 3 * SECOND, 40 * SECOND, 5 * MINUTE, 3 * HOUR))
            keep_minor = self._rng.choice((0, amount // 3, amount // 2, amount * 3 // 4, amount * 4 // 5))
            order_id = order.order_id
            self._scheduler.after(refund_ms, lambda: self._refund(order_id, keep_minor))
            if self._faults.hit("operator refunds"):  # less, and less again
                again_ms = refund_ms + self._rng.choice((1, 200, 6 * SECOND, 8 * SECOND, 11 * SECOND, 3 * MINUTE))
                self._scheduler.after(again_ms, lambda: self._refund(order_id, keep_minor * 2 // 3))

    def _come_back(self, order_id: str) -> None:
        self._cloud.ask("page", lambda worker: worker.fulfilment.move(order_id, PlayerReturned()))

    def _pay(self, session_id: str, method: Any) -> None:
        self._side.pay(session_id, method)
        if method == "card_declined" and self._rng.random() < 0.5:
            self._scheduler.after(self._rng.randint(5, 60) * SECOND, lambda: self._side.pay(session_id, "card"))

    def _pay_by_link(self) -> None:
        """A static Payment Link: its machine, and sometimes a price or a machine that nobody knows."""
        offer, machine_id = self._rng.choice(self._offers), self._rng.choice(self._machines)
        quantity = self._rng.choice((1, 1, 2))
        known, meant = self._rng.random() < 0.8, machine_id
        if not known:
            machine_id = self._claims.choice(misspelt(machine_id))
        metadata, reference = {"machine_id": machine_id}, None
        if known and self._rng.random() < 0.4:
            metadata, reference = {}, machine_id
        session_id = self._side.stripe.visit_link(
            offer.price_id or "", quantity, metadata=metadata, client_reference_id=reference
        )
        self._evidence.purchases[session_id] = Purchase(
            session_id,
            None,
            machine_id,
            offer.credits * quantity,
            offer.amount_minor * quantity,
            deliverable=known,
            subscriber=machine_id in self._evidence.subscribers,
            currency=offer.currency,
        )
        self._scheduler.note("link", machine_id, quantity)
        intent = self._side.pay(session_id, self._rng.choice(("card", "fpx", "grabpay", "fpx_later")))
        if not known and intent is not None and self._claims.random() < 0.7:
            decides_ms = self._claims.choice((SECOND, MINUTE, 20 * MINUTE, HOUR))
            credits = offer.credits * quantity if self._claims.random() < 0.5 else 0
            self._scheduler.after(decides_ms, lambda: self._decide(intent, meant, credits))

    # --- the operator

    def _decide(self, intent: str, machine_id: str, credits: int) -> None:
        """Have a payment without proof delivered or, for no credits, given back."""
        begun_ms = self._scheduler.now_ms
        # It counts even if the answer never comes.
        decision = Decision(begun_ms, begun_ms, intent, machine_id, credits)
        self._evidence.decisions[intent] = decision
        if credits:
            order = self._cloud.ask(
                "claim", lambda worker: worker.claims.deliver(intent, machine_id, credits, by="op")
            )
        else:
            order = self._cloud.ask("claim", lambda worker: worker.claims.give_back(intent, by="op"))
        self._scheduler.note("decided", intent, credits, order is not None)
        self._evidence.decisions[intent] = replace(decision, ended_ms=self._scheduler.now_ms)

    def _give_credits(self) -> None:
        self._grants += 1
        token, machine_id, credits = (
            f"form-{self._grants}",
            self._rng.choice(self._machines),
            self._rng.randint(1, 5),
        )

        def give() -> None:
            now_ms = self._scheduler.now_ms
            order = self._cloud.ask(
                "grant",
                lambda worker: worker.operations.grant(machine_id, credits, by="op", reason="play", token=token),
            )
            if order is not None:
                self._evidence.grants[order.order_id] = Grant(now_ms, order.order_id, machine_id, credits)

        for again_ms in self._rng.choice(((0,), (0, 1), (0, 500, 20 * MINUTE))):
            self._scheduler.after(again_ms, give)
        # What the operator asked for counts even if the answer never came.
        self._evidence.grants[f"asked {self._grants}"] = Grant(
            self._scheduler.now_ms, grant_order_id(token), machine_id, credits
        )

    def _refund(self, order_id: str, keep_minor: int) -> None:
        now_ms = self._scheduler.now_ms
        try:
            done = self._cloud.ask(
                "refund",
                lambda worker: worker.operations.refund(order_id, by="op", reason="sorry", keep_minor=keep_minor),
            )
        except CloudDown:
            done = None
        self._scheduler.note("refund asked", order_id[-6:], keep_minor, done is not None)
        self._evidence.refunds.append(Refund(now_ms, order_id, keep_minor, done is not None))


def grant_order_id(token: str) -> str:
    """The order that a form's token stands for."""
    import hashlib

    return "grant_" + hashlib.sha256(token.encode()).hexdigest()[:32]


__all__ = ["BASE_URL", "People", "offers_in"]
