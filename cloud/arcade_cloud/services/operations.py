"""What operators do (machines, grants, refunds), and what game software does for a machine (game over)."""

import hashlib
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from arcade_cloud.domain.books import day_of
from arcade_cloud.domain.events import Due, Outcome, RefundAsked
from arcade_cloud.domain.machines import (
    Machine,
    MachineChange,
    beyond_train,
    changed,
    checked,
    condition,
    near_matches,
    why_not_new,
)
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.offers import mixed_currencies
from arcade_cloud.domain.order import Delivery, Order
from arcade_cloud.domain.refunds import RefundPlan, RefundWish, can_refund, plan
from arcade_cloud.domain.texts import REASON_LENGTH, TOKEN_LENGTH, checked_line
from arcade_cloud.errors import BadRequest, Conflict, NotReady, UnknownMachine
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.sales import Sales
from arcade_shared.ids import uuid7
from arcade_shared.messages import MAX_CREDITS
from arcade_shared.topics import check_machine_id

# Two people rarely change one machine at the same moment.
CHANGE_RETRIES = 5
# So many test pulses a machine gives a day, whoever asks: enough to find a loose wire, too few to play by.
TESTS_A_DAY = 10
TEST = "test pulse"
# A form that is sent again comes within this time.
REPEATED_MS = 60_000
# A machine that does not hear at once that it is to stop.
OUT_OF_REACH = frozenset({"never connected", "offline"})


@dataclass(frozen=True, kw_only=True)
class Operations:
    """What operators do. Each is safe to repeat.

    Attributes:
        broker_user: The cloud's own user at the broker.
    """

    fulfilment: Fulfilment
    sales: Sales
    broker_user: str | None = None
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    # --- machines ----------------------------------------------------------------------------------------

    def machine(self, machine_id: str) -> Machine:
        """The registered machine.

        Raises:
            UnknownMachine: No such machine is registered. The text says which ids are like it.
            BadTopic: It is not a machine id at all.
        """
        store = self.fulfilment.store
        found = store.machine(check_machine_id(machine_id))
        if found is not None:
            return found
        known = [machine.machine_id for machine in store.machines()]
        near = " or ".join(near_matches(machine_id, known))
        hint = f": did you mean {near}?" if near else "; `arcade-cloud machine list` shows all that are"
        raise UnknownMachine(f"no machine {machine_id} is registered{hint}")

    def machine_add(self, machine_id: str, change: MachineChange) -> Machine:
        """Register a machine.

        Raises:
            BadRequest: It is registered already, no new machine can have this id, its offers are in several
                currencies, or Stripe would refuse one of them.
            BadTopic: It is not a machine id at all.
        """
        store = self.fulfilment.store
        known = [machine.machine_id for machine in store.machines()]
        why_not = self.why_not_new(check_machine_id(machine_id), known)
        if why_not is not None:
            raise BadRequest(why_not)
        blank = Machine(machine_id=machine_id, version=1, created_at_ms=self.fulfilment.now_ms())
        machine = msgspec.structs.replace(blank, **checked(change).named)
        self._refuse_unsellable(machine)
        try:
            store.put_machine(machine, 0)
        except Conflict:
            raise BadRequest(
                f"machine {machine_id} is already registered: `arcade-cloud machine set {machine_id}` changes it, "
                f"`arcade-cloud machine config {machine_id}` prints its agent's config"
            ) from None
        return machine

    def why_not_new(self, machine_id: str, known: Collection[str]) -> str | None:
        """Why no new machine can have this id, and what to do; None if one can."""
        why_not = why_not_new(machine_id, known, self.broker_user)
        return None if why_not is None else f"{why_not}: choose another id"

    def machine_set(self, machine_id: str, change: MachineChange) -> tuple[Machine, Machine]:
        """Change what is named about a machine, and nothing else.

        Returns:
            The machine before and after; twice the same if nothing changed.

        Raises:
            UnknownMachine: No such machine is registered.
            BadTopic: It is not a machine id at all.
            BadRequest: The new offers are in several currencies, or Stripe or the machine would refuse one.
            Conflict: Others keep changing it.
        """
        wanted = checked(change)
        for attempt in range(CHANGE_RETRIES):
            before = self.machine(machine_id)
            after = changed(before, wanted)
            if after.offers != before.offers:
                self._refuse_unsellable(after)
            try:
                if after != before:
                    self.fulfilment.store.put_machine(after, before.version)
            except Conflict:
                if attempt == CHANGE_RETRIES - 1:
                    raise
            else:
                break
        if after.offers != before.offers:
            self.sales.unsellable.offers_changed(after)
        return before, after

    def _refuse_unsellable(self, machine: Machine) -> None:
        """Refuse offers in several currencies, or that Stripe or the machine itself would not sell."""
        faults = [*self.faults_of(machine.offers), *self.beyond_train(machine)]
        if faults:
            raise BadRequest("; ".join(faults))

    def faults_of(self, offers: Sequence[Offer]) -> list[str]:
        """Why a machine may not have these offers, as far as is known now: a sentence each."""
        mixed = mixed_currencies(offers)
        return self.sales.unsellable.faults_if_known(offers) if mixed is None else [f"offers: {mixed}"]

    def beyond_train(self, machine: Machine) -> list[str]:
        """Which of its offers the machine could never sell: a sentence each."""
        if machine.kind == "subscriber":
            return []
        return beyond_train(machine.offers, self.fulfilment.store.presence(machine.machine_id))

    # --- money and credits -------------------------------------------------------------------------------

    def grant(self, machine_id: str, credits: int, *, by: str, reason: str, token: str) -> Order:
        """Give free credits, also to try a machine that is out of service.

        Args:
            token: The same token always gives the same order, so a request may be sent again.

        Raises:
            UnknownMachine: No such machine is registered.
            NotReady: The machine cannot take so many credits now, or this process's clock is wrong.
            BadRequest: One command cannot carry so many credits, the token was used for another grant, or a text
                cannot be shown.
        """
        if not 1 <= credits <= MAX_CREDITS:
            raise BadRequest(f"a grant gives 1 to {MAX_CREDITS} credits, not {credits}")
        why, known_by = (
            checked_line(reason, "the reason", REASON_LENGTH),
            checked_line(token, "the token", TOKEN_LENGTH),
        )
        order_id = grant_id(known_by)
        existing = self.fulfilment.store.order(order_id)
        if existing is not None:
            return _same_grant(existing, machine_id, credits)
        machine = self.machine(machine_id)
        if (closed := self.sales.why_closed()) is not None:  # they could be pulsed hours late
            raise NotReady(closed)
        installation = self.sales.ready_installation(machine, credits, is_free=True, words=None)
        now_ms = self.fulfilment.now_ms()
        free = Offer(offer_id="grant", credits=credits, amount_minor=0, currency="")
        credit = self.sales.credit(machine, free, 1, installation)
        drawn = Delivery(drawn_at_ms=now_ms, due_at_ms=now_ms)
        order = Order(
            order_id=order_id,
            version=1,
            kind="grant",
            created_at_ms=now_ms,
            note=_granted(by, why),
            payment=None,
            credits=(msgspec.structs.replace(credit, delivery=drawn),),
        )
        self.fulfilment.begin_once(order, "Granted")
        moved = self.fulfilment.move(order_id, Due())
        return order if moved is None else moved

    def tests_today(self, machine_id: str) -> list[Order]:
        """The test pulses that a machine was given today, by the arcade's clock, the first one first."""
        found: list[Order] = []
        for number in range(1, TESTS_A_DAY + 1):
            order = self.fulfilment.store.order(grant_id(self._test_token(machine_id, number)))
            if order is None:
                break
            found.append(order)
        return found

    def test_pulse(self, machine_id: str, number: int, *, by: str) -> Order:
        """Give one free credit to try a machine, also while it is out of service.

        Each test of a day has a number, and each number gives one order. So there are never more, however many ask
        at once, and a form that is sent again gives nothing more.

        Args:
            number: Which test of the day it is, from 1, as the one who asks has been shown.

        Raises:
            UnknownMachine: No such machine is registered.
            NotReady: The machine cannot take a credit now, or this process's clock is wrong.
            BadRequest: It had all its tests today, or somebody else has tested it meanwhile.
        """
        before = self.tests_today(self.machine(machine_id).machine_id)
        if number == len(before) and before:
            last = before[-1]
            if self.fulfilment.now_ms() - last.created_at_ms <= REPEATED_MS and self._is_asked_by(last, by):
                return last
        if len(before) >= TESTS_A_DAY:
            raise BadRequest(
                f"machine {machine_id} was tested {TESTS_A_DAY} times today: go on tomorrow, or ask somebody who "
                "may give free credits"
            )
        if number != len(before) + 1:
            raise BadRequest("somebody else has tested it meanwhile: look at the last test, then try again")
        token = self._test_token(machine_id, number)
        return self.grant(machine_id, 1, by=by, reason=TEST, token=token)

    def _is_asked_by(self, test: Order, by: str) -> bool:
        first = self.fulfilment.store.history(test.order_id)[:1]
        return [entry.text for entry in first] == [_granted(by, TEST)]

    def _test_token(self, machine_id: str, number: int) -> str:
        day = day_of(self.fulfilment.now_ms(), self.fulfilment.zone)
        return f"{TEST} {number} of {machine_id} on {day}"

    def plan_refund(self, order_id: str, wish: RefundWish) -> tuple[RefundPlan, tuple[str, ...]]:
        """Work out what a refund would do, and what the operator should know first. Nothing is changed.

        Raises:
            BadRequest: There is no such order, nothing to give back, or the wish makes no sense for the order.
        """
        order = self.fulfilment.store.order(order_id)
        if order is None:
            raise BadRequest(f"there is no order {order_id}")
        found = plan(order, wish)
        return found, tuple(self._warnings(found))

    def _warnings(self, found: RefundPlan) -> Iterator[str]:
        order = found.order
        shown = None if order.payment is None else order.payment.shown
        if shown is not None and shown.dispute == "open":
            yield "The player disputes the payment. Stripe makes no refund until the bank has decided."
        if order.is_open_tab and found.play is None:
            yield "The tab is open: it is closed by this, and nothing more can be played on it."
        meant = order.credits if found.play is None else order.credits[found.play - 1 : found.play]
        for credit in meant if found.is_delivering else ():
            if credit.command is None or not credit.under_way:
                continue
            if credit.subscriber:
                yield f"Machine {credit.machine_id} only listens: it cannot be told to stop."
                continue
            machine = self.fulfilment.store.machine(credit.machine_id)
            presence = self.fulfilment.store.presence(credit.machine_id)
            if machine is None or condition(machine, presence, self.fulfilment.now_ms()) in OUT_OF_REACH:
                yield (
                    f"Machine {credit.machine_id} is out of reach: it may have pulsed these credits already, "
                    "or may still pulse them before it hears of this."
                )
            else:
                yield f"Machine {credit.machine_id} is told to stop; what it has pulsed by then is given away."

    def refund(
        self, order_id: str, *, by: str, reason: str, keep_minor: int = 0, play: int | None = None
    ) -> Order:
        """Give money back, all but `keep_minor` at most; of a tab perhaps the price of one play alone.

        The check is made before the move, so another worker's move in between changes nothing about the answer:
        either this refund is recorded, or somebody else has given back as much.

        Raises:
            BadRequest: There is no such order, or nothing to give back, or the reason cannot be shown.
        """
        why = checked_line(reason, "the reason", REASON_LENGTH)
        before = self.fulfilment.store.order(order_id)
        if before is None:
            raise BadRequest(f"there is no order {order_id}")
        if play is not None:
            plan(before, RefundWish(play=play))
        elif not can_refund(before, keep_minor):
            raise BadRequest(f"order {order_id} is {before.state}: there is nothing to give back")
        after = self.fulfilment.move(order_id, RefundAsked(by, why, keep_minor, play))
        return before if after is None else after

    def send_game_over(self, machine_id: object) -> Outcome:
        """Publish a game over for game software.

        Raises:
            UnknownMachine: No such machine is registered.
            BadTopic: It is not a machine id at all.
        """
        machine = self.sales.machine(machine_id)
        event_id = uuid7(self.fulfilment.now_ms(), self.random_bytes)
        return self.fulfilment.sender.game_over(machine.machine_id, event_id)


def _granted(by: str, why: str) -> str:
    return f"granted by {by}: {why}"


def grant_id(token: str) -> str:
    """The id of the order that a token gives."""
    return "grant_" + hashlib.sha256(token.strip().encode()).hexdigest()[:32]


def _same_grant(existing: Order, machine_id: str, credits: int) -> Order:
    """The grant that was made with a token, if it is the one that is asked for now."""
    if (existing.machine_id, existing.ordered) == (machine_id, credits):
        return existing
    raise BadRequest(
        f"this token was used for {existing.ordered} credits on machine {existing.machine_id} "
        f"({existing.order_id}): another grant needs another token"
    )
