"""Players with a tab: one hold for a visit, several machines, and every way to be careless with a phone.

Their chance is a stream of its own, and they are in some of the seeds only: the others are as they would be
without them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from arcade_cloud.domain.events import PlayerReturned
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.domain.tab import TabLimit
from arcade_cloud.errors import BadRequest, PaymentsError, StoreUnavailable
from simulation.evidence import Evidence, Finish, Purchase, Refund, Tap
from simulation.faults import DAY, MINUTE, SECOND, Faults
from simulation.scheduler import Scheduler
from simulation.sim_cloud import Cloud, CloudDown, Worker
from simulation.sim_stripe import StripeSide

# What a tab may hold, and what one credit costs at each machine that is too cheap for a payment of its own.
LIMITS = {"myr": (600, 1_500, 4_000), "kwd": (1_500, 5_000, 10_000), "isk": (30_000, 80_000, 200_000)}
CHEAP = {"myr": (100, 120, 150), "kwd": (100, 120, 150), "isk": (5_000, 6_000, 7_500)}
# The settings of a brisk run: how fresh the hold must be, how long nobody draws, and how long a tab lives.
BRISK_TIMES_S = ((20, 120, 600), (60, 300, 1_200), (120, 600, 1_800), (300, 900, 3_600))
METHODS = ("card", "card", "card", "card", "card_declined", "nothing")
TRIES = 4


def tab_limits(currency: str) -> tuple[TabLimit, ...]:
    """What the operator lets a tab hold."""
    return tuple(TabLimit(amount_minor, currency) for amount_minor in LIMITS[currency])


def cheap_offer(currency: str, price_minor: int) -> Offer:
    """What only tabs can pay for one by one."""
    return Offer(offer_id="cheap", credits=1, amount_minor=price_minor, currency=currency)


@dataclass
class Ticket:
    """What one button of a page draws, as the player has seen it."""

    number: int
    text: str
    machine_id: str
    credits: int
    price_minor: int
    shown_ms: int


@dataclass
class Visit:
    """A player, and what is in the browser."""

    order_id: str
    secret: str
    tickets: list[Ticket] = field(default_factory=list)


class TabPlayers:
    """Everybody who plays on a tab, and what the operator does with tabs and cheap games."""

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        faults: Faults,
        evidence: Evidence,
        cloud: Cloud,
        side: StripeSide,
        machines: list[str],
        offers: tuple[Offer, ...],
    ) -> None:
        self._scheduler, self._rng, self._faults, self._evidence = scheduler, rng, faults, evidence
        self._cloud, self._side, self._machines = cloud, side, machines
        self._offers = offers
        self._currency = offers[0].currency
        self._tickets = 0
        self._visits: list[Visit] = []

    def arrive(self, begin_ms: int, within_ms: int) -> None:
        """Let all of them come, some time from then on."""
        for machine_id in self._machines:
            self._sell(machine_id, CHEAP[self._currency][0])
        for _ in range(self._rng.choice((6, 10, 15, 24))):
            self._scheduler.at(begin_ms + self._rng.randint(4 * SECOND, within_ms), lambda: self._open(TRIES))
        for _ in range(self._rng.choice((0, 0, 2, 6))):
            self._scheduler.at(begin_ms + self._rng.randint(0, 2 * within_ms), self._reprice)

    # --- opening

    def _open(self, tries: int) -> None:
        machine_id, limit = self._rng.choice(self._machines), self._rng.choice(LIMITS[self._currency])
        begun = self._cloud.ask("tab", lambda worker: worker.tabs.begin(machine_id, limit))
        order, secret = (None, "") if begun is None else begun
        page = None if order is None or order.payment is None else order.payment.checkout
        if order is None or page is None:
            if tries > 1:
                self._later((5, 20, 60), lambda: self._open(tries - 1))
            return
        session_id, visit = page.session_id, Visit(order.order_id, secret)
        self._evidence.purchases[session_id] = Purchase(
            session_id, order.order_id, machine_id, 0, limit, currency=self._currency, is_tab=True
        )
        self._visits.append(visit)
        self._scheduler.note("tab begun", machine_id, limit, order.order_id[-6:])
        self._side.flush_at((page.expires_at_ms or 0) + SECOND)
        method = self._rng.choice(METHODS)
        if method == "nothing":
            return
        thinks_ms = self._rng.choice((3, 5, 10, 20, 90)) * SECOND
        self._scheduler.after(thinks_ms, lambda: self._pay(session_id, method))
        if self._rng.random() < 0.8:
            order_id = order.order_id
            self._scheduler.after(thinks_ms + 2 * SECOND, lambda: self._come_back(order_id))
        wait_ms = thinks_ms + self._rng.choice((2, 4, 6, 8, 8, 12, 60)) * SECOND
        plays = self._rng.choice((0, 1, 2, 3, 5, 8, 12))
        self._scheduler.after(wait_ms, lambda: self._visit(visit, plays))
        if self._rng.random() < 0.1 or self._faults.hit("operator refunds"):
            self._scheduler.after(
                wait_ms + self._rng.choice((0, 20, 60, 300, 3_600)) * SECOND, lambda: self._refund(visit, limit)
            )
        if self._rng.random() < 0.05:
            self._later((30, 90, 300), lambda: self._close(visit))
        if self._rng.random() < 0.05:  # by another of the player's browsers, perhaps before the hold is read
            self._scheduler.after(thinks_ms + self._rng.randint(-2, 3) * SECOND, lambda: self._finish(visit))

    def _pay(self, session_id: str, method: str) -> None:
        self._side.pay(session_id, method)
        if method == "card_declined" and self._rng.random() < 0.7:
            self._later((5, 20, 60), lambda: self._side.pay(session_id, "card"))

    def _come_back(self, order_id: str) -> None:
        self._cloud.ask("page", lambda worker: worker.fulfilment.move(order_id, PlayerReturned()))

    # --- playing

    def _visit(self, visit: Visit, plays: int) -> None:
        """One look at a machine's page, what is tapped there, and on to the next, until it is enough."""
        if plays == 0:
            self._leave(visit)
            return
        for _ in range(2 if self._rng.random() < 0.1 else 1):  # another browser with the same cookie
            machine_id = self._rng.choice(self._machines)
            for _ in range(self._rng.choice((1, 1, 1, 2))):  # a reload
                ticket = self._look(visit, machine_id)
            if ticket is not None:
                self._tap_somehow(visit, ticket)
        if visit.tickets and self._rng.random() < 0.1:
            old = self._rng.choice(visit.tickets)
            self._later((0, 60, 11 * 60), lambda: self._tap(visit, old))
        pause_s = (1, 2, 5, 10, 20, 20, 45, 100, 400)
        self._later(pause_s, lambda: self._visit(visit, plays - 1))

    def _look(self, visit: Visit, machine_id: str) -> Ticket | None:
        """A machine's page: the hold is read again if need be, and there is a ticket in each button."""
        offer_id = self._rng.choice(("cheap", "cheap", *(offer.offer_id for offer in self._offers)))
        quantity = self._rng.choice((1, 1, 1, 2, 2, 3))
        shown: list[Offer] = []

        def page(worker: Worker) -> str | None:
            order = worker.tabs.found(visit.secret)
            if order is None:
                return None
            order = worker.tabs.freshen(order)
            worker.tabs.why_not(order)
            machine = worker.sales.machine(machine_id)
            offer = next(offer for offer in worker.sales.offers(machine) if offer.offer_id == offer_id)
            shown.append(offer)
            return worker.tabs.ticket(order, machine, offer, quantity)

        text = self._cloud.ask("tab's page", page)
        if text is None:
            return None
        self._tickets += 1
        offer = shown[-1]
        number, cost = self._tickets, offer.amount_minor * quantity
        now_ms = self._scheduler.now_ms
        ticket = Ticket(number, text, machine_id, offer.credits * quantity, cost, now_ms)
        visit.tickets.append(ticket)
        return ticket

    def _tap_somehow(self, visit: Visit, ticket: Ticket) -> None:
        """Once, twice, and later again; sometimes with the cookie of another tab."""
        times_ms = self._rng.choice(
            ((300,), (700,), (3_000,), (300, 301), (500, 520), (200, 9_000), (700, 90_000))
        )
        dice = self._rng.random()
        if dice < 0.05:
            times_ms = (*times_ms, 11 * MINUTE, DAY)
        elif dice < 0.12:  # the page was left open
            times_ms = (self._rng.choice((9, 10, 11)) * MINUTE + SECOND,)
        elif dice < 0.2 and not self._cloud.store.unavailable:  # it costs something else by then
            self._sell(ticket.machine_id, self._rng.choice(CHEAP[self._currency]))
        for at_ms in times_ms:
            self._scheduler.after(at_ms, lambda: self._tap(visit, ticket))
        if len(self._visits) > 1 and self._rng.random() < 0.03:
            other = self._rng.choice(self._visits)
            self._scheduler.after(times_ms[0], lambda: self._tap(visit, ticket, other.secret))
        if self._rng.random() < 0.05:
            self._scheduler.after(times_ms[0] + self._rng.choice((0, 1, 200)), lambda: self._finish(visit))

    def _tap(self, visit: Visit, ticket: Ticket, secret: str = "", tries: int = 3) -> None:
        now_ms = self._scheduler.now_ms

        def draw(worker: Worker) -> tuple[Order, Credit]:
            return worker.tabs.draw(secret or visit.secret, ticket.text)

        token, word = None, "unknown"
        try:
            _, credit = self._cloud.run("tap", draw)
            token, word = "" if credit.draw is None else credit.draw.token, "drawn"
        except BadRequest as refusal:
            word = refusal.code
        except (CloudDown, PaymentsError, StoreUnavailable):
            if tries > 1:  # the same ticket tells whether it has drawn
                self._later((0, 1, 3, 30), lambda: self._tap(visit, ticket, secret, tries - 1))
        except Exception:  # noqa: BLE001  # evidence of a defect
            self._cloud.defect("tap")
        self._scheduler.note(
            "tap", visit.order_id[-6:], ticket.number, ticket.machine_id, ticket.price_minor, word
        )
        self._evidence.taps.append(
            Tap(
                now_ms,
                ticket.number,
                visit.order_id,
                ticket.machine_id,
                ticket.credits,
                ticket.price_minor,
                token,
                ticket.shown_ms,
            )
        )

    def _leave(self, visit: Visit) -> None:
        """Some finish, some forget, some finish and tap all the same, today or tomorrow."""
        if self._rng.random() < 0.3:
            return
        self._finish(visit)
        if visit.tickets and self._rng.random() < 0.3:
            ticket = visit.tickets[-1]
            self._later((0, 1, 5), lambda: self._tap(visit, ticket))
        if self._rng.random() < 0.2:
            self._later((1, 60, 600), lambda: self._visit(visit, 1))

    def _finish(self, visit: Visit, tries: int = 3) -> None:
        done = self._cloud.ask("finish", lambda worker: worker.tabs.finish(visit.secret))
        self._scheduler.note("finish", visit.order_id[-6:], done is not None)
        if done is not None and done.tab is not None and done.tab.closing is not None:
            self._evidence.finished.append(Finish(self._scheduler.now_ms, visit.order_id))
        elif tries > 1:
            self._later((1, 5, 30), lambda: self._finish(visit, tries - 1))

    # --- the operator

    def _sell(self, machine_id: str, price_minor: int) -> None:
        machine = self._cloud.store.machine(machine_id)
        if machine is None:
            return
        offers = (*self._offers, cheap_offer(self._currency, price_minor))
        changed = msgspec.structs.replace(machine, version=machine.version + 1, offers=offers)
        self._cloud.store.put_machine(changed, machine.version)
        self._evidence.prices.append((self._scheduler.now_ms, machine_id, price_minor))
        self._scheduler.note("price", machine_id, price_minor)

    def _reprice(self) -> None:
        if not self._cloud.store.unavailable:
            self._sell(self._rng.choice(self._machines), self._rng.choice(CHEAP[self._currency]))

    def _close(self, visit: Visit) -> None:
        self._cloud.ask("close a tab", lambda worker: worker.tabs.close(visit.order_id, "operator"))

    def _refund(self, visit: Visit, limit: int) -> None:
        """All of it, what some plays cost, or one play."""
        if self._rng.random() < 0.4:
            self._refund_play(visit, self._rng.choice((1, 1, 2, 3)))
            return
        keep_minor = self._rng.choice((0, 0, limit // 10, limit // 5, limit // 3, limit // 2))
        now_ms = self._scheduler.now_ms
        done = self._cloud.ask(
            "refund",
            lambda worker: worker.operations.refund(
                visit.order_id, by="op", reason="sorry", keep_minor=keep_minor
            ),
        )
        self._scheduler.note("refund asked", visit.order_id[-6:], keep_minor, done is not None)
        self._evidence.refunds.append(
            Refund(now_ms, visit.order_id, keep_minor, done is not None, done_ms=self._scheduler.now_ms)
        )
        if self._rng.random() < 0.3:
            self._later((1, 30, 600), lambda: self._refund(visit, limit))

    def _refund_play(self, visit: Visit, play: int) -> None:
        now_ms = self._scheduler.now_ms
        done = self._cloud.ask(
            "refund a play",
            lambda worker: worker.operations.refund(visit.order_id, by="op", reason="sorry", play=play),
        )
        self._scheduler.note("refund asked", visit.order_id[-6:], f"play {play}", done is not None)
        self._evidence.refunds.append(Refund(now_ms, visit.order_id, 0, done is not None, play))
        if self._rng.random() < 0.5:  # the same again, and it goes back once
            self._later((0, 30), lambda: self._refund_play(visit, play))

    def _later(self, seconds: tuple[int, ...], work: Callable[[], object]) -> None:
        self._scheduler.after(self._rng.choice(seconds) * SECOND + self._rng.randint(0, 999), work)
