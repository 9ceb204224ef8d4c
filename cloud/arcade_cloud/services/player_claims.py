"""Players' claims that credits did not arrive: taken in, granted at once or shown to a person, and answered.

A claim is an entry of the audit log, with an id that its order gives it. So an order has one, however often the
form is sent, and it is written down before anything is done about it. Its outcome is the answer, once and for
good. If the process dies in between, the timer goes on. What is kept once it is granted stands in the claim, so
granting it again gives nothing more.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.audit import Audited, AuditEntry, AuditOutcome, Mark, Result
from arcade_cloud.domain.game_overs import claim_text
from arcade_cloud.domain.limits import SKEW_MS
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.money import format_amount, plain_amount
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.people import Act, Actor, Role
from arcade_cloud.domain.player_claims import (
    AT_ONCE_A_DAY,
    PLAYER,
    Claimed,
    Others,
    claimable,
    is_granted,
    machine_of,
    meter_text,
    why_a_person,
    why_refused,
    worth_minor,
)
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.errors import BadRequest, InvariantBroken
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.game_overs import since_credits
from arcade_cloud.services.operations import Operations
from arcade_shared.ids import uuid7

if TYPE_CHECKING:
    from arcade_cloud.services.audit_log import AuditLog  # whoever only plays needs nothing of it

logger = logging.getLogger(__name__)

DAY_MS = 24 * 3_600_000
# A claim that nobody has answered by then is off the list; the audit log keeps it.
LISTED_MS = 30 * DAY_MS
# Lines of the log that are read at once; a day has some hundreds at most.
PAGE = 200
PAGES_LOOKED_AT = 20
# Trains of a machine since an order, among which its own are.
COUNTS = 500
# How often the timer looks for claims that were cut short.
EVERY_MS = 60_000
# The answer to what no person had to decide.
AT_ONCE = "granted at once"
_ACTOR = Actor(name=PLAYER, role=Role.OWNER, second_factor=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim as people see it. `answer` is empty while it waits.

    Attributes:
        meter: What the coin meter says about it.
        game_overs: What game overs say about it; empty if the machine sends none.
    """

    order: Order
    line: Audited
    claimed: Claimed
    meter: str
    game_overs: str = ""

    @property
    def known(self) -> str:
        """What speaks for it or against it, in words."""
        return "; ".join(filter(None, (self.meter, self.game_overs)))

    @property
    def state(self) -> str:
        """Whether it waits, or how it was answered."""
        outcome = self.line.outcome
        return "waits" if outcome is None else "granted" if outcome.result == "done" else "declined"

    @property
    def answer(self) -> str:
        """What was answered."""
        return "" if self.line.outcome is None else self.line.outcome.after


@dataclass(kw_only=True)
class PlayerClaims:
    """Takes claims in, and sees to it that each gets an answer.

    Attributes:
        limits: What a claim may be worth at most to be granted at once, by currency, in minor units.
    """

    operations: Operations
    alerts: Alerts
    log: "AuditLog"
    limits: Mapping[str, int]
    now_ms: Callable[[], int]
    _looked_at_ms: int | None = field(default=None)

    # --- the player --------------------------------------------------------------------------------------

    def of(self, order: Order) -> Claim | None:
        """The claim about an order, if there is one."""
        for line in self.log.store.audit(PAGE, on=order.order_id):
            if line.entry.claimed is not None:
                return self._claim(order, line, line.entry.claimed)
        return None

    def claim(self, order_id: str, credits: int, phone: str, *, play: int = 0, words: Words = ENGLISH) -> Claim:
        """Take in that so many credits of an order did not arrive. Said again, it changes nothing.

        Args:
            phone: Tells one phone from others.
            play: Which play of a tab, from 1 on; 0 if it is no tab.
            words: The language of the player.

        Raises:
            BadRequest: They cannot be claimed, or there are too many claims today.
            StoreUnavailable: It may or may not be written down.
        """
        order = self._order(order_id)
        known = self.of(order)
        if known is not None:
            return known
        most = claimable(order, self.now_ms(), play)
        if not most:
            raise BadRequest(
                words.text(
                    "This can no longer be reported here, or money has gone back already. Ask the operator."
                )
            )
        if not 1 <= credits <= most:
            raise BadRequest(words.text("%(most)s were added: say a number from 1 to %(most)s.", most=most))
        back_minor = min(worth_minor(order, credits, play), order.books.target_minor)
        claimed = Claimed(
            credits=credits,
            machine_id=machine_of(order, play),
            back_minor=back_minor,
            keep_minor=order.books.target_minor - back_minor,
            phone=phone,
        )
        why_not = why_refused(self._others(claimed, ""), words)
        if why_not is not None:
            raise BadRequest(why_not)
        which = f" of play {play}, on {claimed.machine_id}," if play else ""
        entry = AuditEntry(
            entry_id=_entry_id(order),
            at_ms=self.now_ms(),
            who=PLAYER,
            act=Act.PLAYER_CLAIM,
            on=order_id,
            wish=f"{credits} of {most} credits{which} did not arrive: {_amount(back_minor, order)}",
            claimed=claimed,
        )
        try:
            self.log.store.append_audit(entry)
        except InvariantBroken:
            # Another tab was faster. On DynamoDB its entry may not be listed yet: then this is shown as waiting.
            return self.of(order) or self._claim(order, Audited(entry, None), claimed)
        self._decide(order, entry, claimed)
        return self.of(self._order(order_id)) or self._claim(order, Audited(entry, None), claimed)

    # --- the timer ---------------------------------------------------------------------------------------

    def run_once(self) -> None:
        """Go on with what was cut short, and take what a refund has answered off the list."""
        now_ms = self.now_ms()
        if self._looked_at_ms is not None and 0 <= now_ms - self._looked_at_ms < EVERY_MS:
            return
        for line, claimed in self._since(now_ms - LISTED_MS):
            if line.outcome is not None:
                continue
            order = self.operations.fulfilment.store.order(line.entry.on)
            if order is not None:
                self._decide(order, line.entry, claimed)
        self._looked_at_ms = now_ms

    # --- people ------------------------------------------------------------------------------------------

    def listed(self, limit: int, *, only_waiting: bool = True) -> list[Claim]:
        """The claims of the last 30 days, newest first: those that wait for a person, or all."""
        found = []
        for line, claimed in self._since(self.now_ms() - LISTED_MS):
            if only_waiting and line.outcome is not None:
                continue
            order = self.operations.fulfilment.store.order(line.entry.on)
            if order is not None:
                found.append(self._claim(order, line, claimed))
            if len(found) == limit:
                break
        return found

    def refunded(self, order_id: str, by: str) -> None:
        """A person has given money of this order back: that answers its claim."""
        claim = self.of(self._order(order_id))
        if claim is not None and claim.line.outcome is None:
            self._answer(claim.line.entry, "done", f"money was given back by {by}", by)

    def decline(self, order_id: str, reason: str, by: str) -> None:
        """Decline the claim about an order. The player reads the reason.

        Raises:
            BadRequest: There is no claim, or it was answered before.
        """
        claim = self.of(self._order(order_id))
        if claim is None:
            raise BadRequest(f"no player has claimed anything for order {order_id}")
        if claim.line.outcome is not None or not self._answer(claim.line.entry, "refused", reason, by):
            raise BadRequest(f"the claim for order {order_id} was answered before")

    # --- inside ------------------------------------------------------------------------------------------

    def _decide(self, order: Order, entry: AuditEntry, claimed: Claimed) -> None:
        """Grant it at once, or tell a person. Safe to repeat."""
        if is_granted(order, claimed):
            self._answer(entry, "done", "money was given back", "")
            return
        if self.alerts.store.alert(_alert_id(order)) is not None:
            return  # a person knows
        others = self._others(claimed, entry.entry_id)
        limit_minor = self.limits.get(order.currency)
        counts = self._counts(order)
        found, sends_any = since_credits(self.operations.fulfilment.store, order, entry.at_ms + SKEW_MS)
        overs = [over for over in found if over.machine_id == claimed.machine_id]
        why = why_a_person(order, claimed, limit_minor, counts, others, overs)
        if why is None and limit_minor is not None:
            why = self._grant(order, claimed, AT_ONCE_A_DAY * limit_minor)
            if why is None:
                self._answer(entry, "done", AT_ONCE, "")
                return
        known = "; ".join(filter(None, (meter_text(order, counts), claim_text(overs, sends_any))))
        keep = plain_amount(claimed.keep_minor, order.currency)
        text = (
            f"A player says of order {order.code}: {entry.wish}; {known}. Give it back in the console, or by "
            f"`arcade-cloud order refund {order.order_id} --keep {keep}`; or `arcade-cloud claim decline "
            f"{order.order_id} --reason …`. Why it waits: {why}."
        )
        self.alerts.store.raise_alert(alert("player_claim", order.order_id, text, self.now_ms()))

    def _grant(self, order: Order, claimed: Claimed, at_most: int) -> str | None:
        """Give it back at once. Returns why not, if it is not."""
        try:
            self._refund(order, claimed, at_most)
        except BadRequest as error:
            # Another process may have granted it in this very moment.
            return None if is_granted(self._order(order.order_id), claimed) else str(error)
        return None

    def _refund(self, order: Order, claimed: Claimed, at_most: int) -> None:
        reason = f"{claimed.credits} credits did not arrive"
        with self.log.doing(
            _ACTOR,
            Act.REFUND,
            order.order_id,
            wish=f"keep {_amount(claimed.keep_minor, order)}: {reason}",
            before=f"{_amount(order.books.target_minor, order)} kept",
            amount=claimed.back_minor,
            unit=order.currency,
            at_most=at_most,
        ) as doing:
            self.operations.refund(order.order_id, by=PLAYER, reason=reason, keep_minor=claimed.keep_minor)
            doing.after = f"at most {_amount(claimed.keep_minor, order)} kept"

    def _answer(self, entry: AuditEntry, result: Result, text: str, by: str) -> bool:
        """Write the answer down. False if there is one already."""
        outcome = AuditOutcome(entry_id=entry.entry_id, at_ms=self.now_ms(), result=result, after=text)
        written = self.log.store.append_outcome(outcome)
        with suppress(BadRequest):  # no person was told
            self.alerts.acknowledge(f"player_claim:{entry.on}", by or PLAYER)
        return written

    def _others(self, claimed: Claimed, entry_id: str) -> Others:
        others = [other for line, other in self._since(self.now_ms() - DAY_MS) if line.entry.entry_id != entry_id]
        return Others(
            of_phone=sum(other.phone == claimed.phone for other in others),
            of_machine=sum(other.machine_id == claimed.machine_id for other in others),
            all=len(others),
        )

    def _since(self, since_ms: int) -> Iterator[tuple[Audited, Claimed]]:
        """The claims since then, newest first. The log has what was granted at once between them."""
        before: Mark | None = None
        for _ in range(PAGES_LOOKED_AT):
            lines = self.log.store.audit(PAGE, who=PLAYER, before=before)
            for line in lines:
                if line.entry.at_ms < since_ms:
                    return
                if line.entry.claimed is not None:
                    yield line, line.entry.claimed
            if len(lines) < PAGE:
                return
            before = lines[-1].mark

    def _claim(self, order: Order, line: Audited, claimed: Claimed) -> Claim:
        overs = claim_text(*since_credits(self.operations.fulfilment.store, order, line.entry.at_ms + SKEW_MS))
        meter = meter_text(order, self._counts(order))
        return Claim(order=order, line=line, claimed=claimed, meter=meter, game_overs=overs)

    def _counts(self, order: Order) -> list[Count]:
        store = self.operations.fulfilment.store
        return [
            count
            for machine_id in order.machine_ids
            for count in store.counts(machine_id, order.created_at_ms, COUNTS)
            if count.order_id == order.order_id
        ]

    def _order(self, order_id: str) -> Order:
        order = self.operations.fulfilment.store.order(order_id)
        if order is None:
            raise BadRequest(f"there is no order {order_id}")
        return order


def _entry_id(order: Order) -> str:
    """The id of the claim about an order: the same each time."""
    digest = hashlib.sha256(f"claim {order.order_id}".encode()).digest()
    return uuid7(order.created_at_ms, lambda size: digest[:size])


def _amount(amount_minor: int, order: Order) -> str:
    return format_amount(amount_minor, order.currency)


def _alert_id(order: Order) -> str:
    return f"player_claim:{order.order_id}"
