"""The promises, recomputed from what was seen outside: boards' edge logs, Stripe's books, messages (pure).

The cloud's own records say which credit belongs to which order, and whether it calls the order final. What was
delivered and what was paid is never taken from them.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.visits import Visit
from support.shops import TAKEN, looks_ours

FINAL = frozenset({"settled", "abandoned"})
# What a fault of a network, a process or Stripe may bring about. Every other alert tells of a defect or an attack.
# A broker that is killed again and again looks like somebody who takes the cloud's client id.
# The last two only about payments of other shops (`_check_foreign`): `unclaimed` where one looks like ours,
# `unmatched_payment` where one copies an order's mark and sum. No player pays without an order, or twice for one.
EXPECTED_ALERTS = frozenset(
    "unconfirmed discrepancy settle_slow settle_refused taken_over broker deaf machine_silent "  # noqa: SIM905
    "unclaimed unmatched_payment".split()
)
# The id of a credit is made just before it is sent; the clocks are those of one computer.
CLOCK_SLACK_MS = 500.0
# How a play was closed of which its machine has said nothing.
SILENT = frozenset({"silence", "last resort"})
# A line that is active for longer has a reason: its process was frozen or killed.
STUCK_MS = 5_000.0


@dataclass(frozen=True)
class Pulse:
    """One active time of a coin line, by the wall clock."""

    began_ms: float
    ended_ms: float


@dataclass(frozen=True)
class Line:
    """What one board saw. `away`: from when to when its agent was frozen or dead (wall clock)."""

    machine_id: str
    pulses: Sequence[Pulse]
    left_active: bool = False
    away: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Word:
    """What an agent said about a credit: heard from the broker, or read in its journal (`told_ms` None)."""

    credit_id: str
    machine_id: str
    final: bool
    delivered: int
    uncertain: int
    told_ms: float | None = None


@dataclass(frozen=True)
class Sold:
    """An order as the cloud has it. `credit_made_ms`: no pulse of its credit can be older.

    `kept_minor` is what its books say, `booked_…` are the sums of its lines in the takings. `payment_intent` is
    the payment that it takes for its own.
    """

    order_id: str
    machine_id: str
    kind: str
    credits: int
    amount_minor: int
    state: str
    credit_id: str | None = None
    credit_made_ms: float | None = None
    delivered: int | None = None
    resolved_by: str = ""
    alerts: frozenset[str] = frozenset()
    kept_minor: int = 0
    booked_minor: int = 0
    booked_credits: int = 0
    payment_intent: str | None = None


@dataclass(frozen=True)
class Tab:
    """A tab as the cloud has it: one payment, and its plays. `session`: the checkout that its player saw."""

    order_id: str
    session: str | None
    limit_minor: int
    state: str
    plays: Sequence[Sold]
    alerts: frozenset[str] = frozenset()
    kept_minor: int = 0
    booked_minor: int = 0
    booked_credits: int = 0
    delivered: int | None = None


@dataclass(frozen=True)
class Paid:
    """A payment in Stripe's books. `had_money`: it was held or taken at some time."""

    order_id: str
    amount_minor: int
    had_money: bool
    held_minor: int = 0
    kept_minor: int = 0
    refunded_minor: int = 0


@dataclass(frozen=True)
class Foreign:
    """A payment to another shop on the account.

    Attributes:
        looks: What it looks like: a kind of `support.shops`.
        is_news: There was money, the shop let it be, and Stripe told the clouds of it.
        moved: What was done to its money, and not by the shop.
        left_minor: What the shop has of it, held or taken.
    """

    payment_intent: str
    looks: str
    is_news: bool
    moved: tuple[str, ...] = ()
    left_minor: int = 0


@dataclass(frozen=True)
class Evidence:
    """All that was seen. `bought`: credits by order, as players asked. `granted`: the orders that we asked for.

    `commands`: credits by credit id, as published. `refunds`: what an operator said is to be kept, by order, and
    whether the command reported success. `unclaimed`: the payments about which a person is asked.
    """

    lines: Sequence[Line]
    words: Sequence[Word]
    commands: Mapping[str, int]
    orders: Sequence[Sold]
    payments: Sequence[Paid]
    bought: Mapping[str, int]
    granted: frozenset[str]
    refunds: Mapping[str, tuple[int, bool]] = field(default_factory=dict)
    tabs: Sequence[Tab] = ()
    visits: Mapping[str, Visit] = field(default_factory=dict)  # what players did, by the tab's checkout
    alerts: Sequence[tuple[str, str]] = ()  # kind and text of each
    foreign: Sequence[Foreign] = ()
    unclaimed: frozenset[str] = frozenset()
    min_pulse_ms: float = 10
    min_gap_ms: float = 10


@dataclass(frozen=True)
class Violation:
    """A promise that was broken. `count`: of how many credits, pulses or orders."""

    kind: str
    text: str
    count: int = 1


@dataclass(frozen=True)
class Account:
    """The figures of the run, and every promise that was broken."""

    violations: tuple[Violation, ...]
    orders: int
    orders_paid: int
    tabs: int
    tabs_paid: int
    plays: int
    credits_paid: int
    credits_granted: int
    pulses: int
    reported: int
    uncertain: int
    given_back: int
    goodwill: int
    silent: int
    discrepancies: int
    foreign: int
    foreign_told: int

    def broken(self, kind: str) -> int:
        """How often this kind of promise was broken."""
        return sum(violation.count for violation in self.violations if violation.kind == kind)


@dataclass(frozen=True)
class _Claim:
    """What an agent said last about a credit: `least` to `most` pulses, between two moments (wall clock)."""

    credit_id: str
    machine_id: str
    least: int
    most: int
    from_ms: float
    until_ms: float


def check(seen: Evidence) -> Account:
    """The account of a run."""
    violations: list[Violation] = []
    sold = (*seen.orders, *(play for tab in seen.tabs for play in tab.plays))
    by_credit = {order.credit_id: order for order in sold if order.credit_id is not None}
    finals = _finals(seen, violations)
    claims = [_claim(order, finals, seen) for order in by_credit.values()]
    for line in seen.lines:
        _check_line(line, seen, violations)
        _match(line, [claim for claim in claims if claim.machine_id == line.machine_id], violations)
    _check_origin(seen, by_credit, violations)
    payments = {payment.order_id: payment for payment in seen.payments if payment.had_money}
    given_back = goodwill = 0
    for order in seen.orders:
        payment = payments.get(order.order_id)
        # A cloud that died while it made the page: nobody was ever sent there, and it ends when the page does.
        unsold = order.state == "open" and payment is None and order.order_id not in seen.bought
        if order.state not in FINAL and not unsold:
            violations.append(Violation("not final", f"{order.order_id} is {order.state}"))
        if payment is not None:
            back, gift = _check_money(order, payment, finals, seen, violations)
            given_back, goodwill = given_back + back, goodwill + gift
    for tab in seen.tabs:
        _check_tab(tab, payments.get(tab.order_id), finals, seen, violations)
    _check_books(seen, violations)
    _check_foreign(seen, violations)
    for alert, text in seen.alerts:
        if alert not in EXPECTED_ALERTS:
            violations.append(Violation("unexpected alert", f"{alert}: {text}"))
    paid = [order for order in seen.orders if order.order_id in payments]
    return Account(
        violations=tuple(violations),
        orders=len(seen.orders),
        orders_paid=len(paid),
        tabs=len(seen.tabs),
        tabs_paid=sum(tab.order_id in payments for tab in seen.tabs),
        plays=sum(len(tab.plays) for tab in seen.tabs),
        credits_paid=sum(order.credits for order in paid),
        credits_granted=sum(order.credits for order in seen.orders if order.kind == "grant"),
        pulses=sum(len(line.pulses) for line in seen.lines),
        reported=sum(word.delivered for word in finals.values()),
        uncertain=sum(word.uncertain for word in finals.values()),
        given_back=given_back,
        goodwill=goodwill,
        silent=sum("unconfirmed" in order.alerts for order in seen.orders),
        discrepancies=sum("discrepancy" in order.alerts for order in seen.orders),
        foreign=len(seen.foreign),
        foreign_told=sum(payment.payment_intent in seen.unclaimed for payment in seen.foreign),
    )


# --- the machines' words ---------------------------------------------------------------------------------


def _finals(seen: Evidence, violations: list[Violation]) -> dict[str, Word]:
    """The final word about each credit; it was told first at `told_ms`. It may never change."""
    finals: dict[str, Word] = {}
    for word in sorted(seen.words, key=lambda word: (word.told_ms is None, word.told_ms or 0.0)):
        if not word.final:
            continue
        before = finals.setdefault(word.credit_id, word)
        if (before.delivered, before.uncertain) != (word.delivered, word.uncertain):
            text = f"{word.credit_id}: {_amount(before)}, then {_amount(word)}"
            violations.append(Violation("final word changed", text))
    return finals


def _amount(word: Word) -> str:
    return f"{word.delivered} and {word.uncertain} uncertain"


def _claim(order: Sold, finals: Mapping[str, Word], seen: Evidence) -> _Claim:
    credit_id = order.credit_id or ""
    word = finals.get(credit_id)
    made_ms = (order.credit_made_ms or 0.0) - CLOCK_SLACK_MS
    if word is None:
        said = max((word.delivered for word in seen.words if word.credit_id == credit_id), default=0)
        return _Claim(credit_id, order.machine_id, said, order.credits, made_ms, float("inf"))
    until_ms = float("inf") if word.told_ms is None else word.told_ms + CLOCK_SLACK_MS
    most = word.delivered + word.uncertain
    return _Claim(credit_id, order.machine_id, word.delivered, most, made_ms, until_ms)


# --- the coin lines --------------------------------------------------------------------------------------


def _check_line(line: Line, seen: Evidence, violations: list[Violation]) -> None:
    if line.left_active:
        violations.append(Violation("line left active", f"{line.machine_id}: active at the end"))
    before: Pulse | None = None
    for pulse in line.pulses:
        width_ms = pulse.ended_ms - pulse.began_ms
        if width_ms < seen.min_pulse_ms:
            violations.append(Violation("pulse too short", f"{line.machine_id}: {width_ms:.2f} ms"))
        if before is not None and pulse.began_ms - before.ended_ms < seen.min_gap_ms:
            gap_ms = pulse.began_ms - before.ended_ms
            violations.append(Violation("pulses merged", f"{line.machine_id}: {gap_ms:.2f} ms apart"))
        excused = any(begin < pulse.ended_ms and end > pulse.began_ms for begin, end in line.away)
        if width_ms > STUCK_MS and not excused:
            text = f"{line.machine_id}: active for {width_ms:.0f} ms while its agent ran"
            violations.append(Violation("line left active", text))
        before = pulse


def _match(line: Line, claims: Sequence[_Claim], violations: list[Violation]) -> None:
    """Every pulse belongs to a credit, and every credit that was reported has its pulse.

    Both are matchings of moments with intervals of time, where taking the interval that ends first is best
    (Glover); and if each can be had alone, both can be had together (Mendelsohn and Dulmage).
    """
    left = _unmatched(line.pulses, claims, [claim.least for claim in claims])
    for claim, missing in zip(claims, left.missing, strict=True):
        if missing:
            text = f"{line.machine_id}, {claim.credit_id}: {missing} of {claim.least} reported were not pulsed"
            violations.append(Violation("lost", text, missing))
    extra = _unmatched(line.pulses, claims, [claim.most for claim in claims]).pulses
    if extra:
        moments = ", ".join(f"{pulse.began_ms / 1000:.3f}" for pulse in extra[:5])
        text = f"{line.machine_id}: {len(extra)} pulses that no credit accounts for, at {moments}"
        violations.append(Violation("doubled", text, len(extra)))


@dataclass(frozen=True)
class _Left:
    missing: list[int]
    pulses: list[Pulse]


def _unmatched(pulses: Sequence[Pulse], claims: Sequence[_Claim], wanted: Sequence[int]) -> _Left:
    missing = list(wanted)
    waiting = sorted(range(len(claims)), key=lambda index: claims[index].from_ms, reverse=True)
    open_claims: list[tuple[float, int]] = []
    extra = []
    for pulse in sorted(pulses, key=lambda pulse: pulse.began_ms):
        while waiting and claims[waiting[-1]].from_ms <= pulse.began_ms:
            index = waiting.pop()
            heapq.heappush(open_claims, (claims[index].until_ms, index))
        while open_claims and (open_claims[0][0] < pulse.began_ms or missing[open_claims[0][1]] == 0):
            heapq.heappop(open_claims)
        if open_claims:
            missing[open_claims[0][1]] -= 1
        else:
            extra.append(pulse)
    return _Left(missing, extra)


# --- where credits come from -----------------------------------------------------------------------------


def _check_origin(seen: Evidence, by_credit: Mapping[str, Sold], violations: list[Violation]) -> None:
    """No credit without a payment in Stripe's books, or a grant that was asked for; none larger than ordered."""
    paid = {payment.order_id for payment in seen.payments if payment.had_money}
    for credit_id, credits in seen.commands.items():
        order = by_credit.get(credit_id)
        if order is None:
            violations.append(Violation("unpaid", f"{credit_id}: {credits} credits were sent for no order"))
        elif order.order_id not in paid | seen.granted:
            violations.append(Violation("unpaid", f"{order.order_id}: {credits} credits were sent, nobody paid"))
        elif credits != order.credits:
            text = f"{order.order_id}: {credits} credits were sent, {order.credits} ordered"
            violations.append(Violation("doubled" if credits > order.credits else "lost", text))
    for credit_id in {word.credit_id for word in seen.words if word.delivered} - by_credit.keys():
        violations.append(Violation("unpaid", f"{credit_id}: pulsed for no order"))
    for order in seen.orders:
        if order.credits != seen.bought.get(order.order_id, order.credits):
            text = f"{order.order_id}: {seen.bought[order.order_id]} credits were bought, {order.credits} sold"
            violations.append(Violation("lost", text))


# --- the money -------------------------------------------------------------------------------------------


def _check_money(
    order: Sold, payment: Paid, finals: Mapping[str, Word], seen: Evidence, violations: list[Violation]
) -> tuple[int, int]:
    """What was kept is the price of what the machine says it pulsed; else there is a reason on record.

    Returns the credits given back because they were not delivered, and those out of goodwill.
    """
    word = None if order.credit_id is None else finals.get(order.credit_id)
    delivered = _delivered(order, word, seen)
    price = payment.amount_minor * delivered // order.credits
    keep, certain = seen.refunds.get(order.order_id, (payment.amount_minor, False))
    refunded = min(price, keep)
    kept = payment.kept_minor
    if payment.held_minor:
        violations.append(Violation("not final", f"{order.order_id}: {payment.held_minor} are still held"))
    elif kept > (refunded if certain else price):
        too_much = -(-(kept - (refunded if certain else price)) * order.credits // payment.amount_minor)
        text = f"{order.order_id}: {kept} kept, {delivered} of {order.credits} pulsed, {payment.amount_minor} paid"
        violations.append(Violation("lost", text, too_much))
    elif kept < price and kept != refunded and "unconfirmed" not in order.alerts:
        text = f"{order.order_id}: only {kept} kept, {delivered} of {order.credits} pulsed, nobody was told"
        violations.append(Violation("given away", text))
    if word is not None and order.resolved_by == "ack" and order.delivered != word.delivered:
        text = f"{order.order_id}: the machine says {word.delivered}, the cloud {order.delivered} by its ack"
        violations.append(Violation("contradiction", text))
    return order.credits - delivered, delivered if kept < price else 0


def _check_tab(
    tab: Tab, payment: Paid | None, finals: Mapping[str, Word], seen: Evidence, violations: list[Violation]
) -> None:
    """One hold, and one sum of it is kept: the price of what the machines say they pulsed. A tap plays once."""
    unsold = tab.state == "open" and payment is None and tab.session not in seen.visits
    if tab.state not in FINAL and not unsold:
        violations.append(Violation("not final", f"{tab.order_id} is {tab.state}"))
    visit = seen.visits.get(tab.session or "")
    if visit is not None and not visit.played <= len(tab.plays) <= visit.tapped:
        text = f"{tab.order_id}: {len(tab.plays)} plays, {visit.tapped} taps, of which {visit.played} played"
        violations.append(Violation("doubled" if len(tab.plays) > visit.tapped else "lost", text))
    drawn = [play.credit_id for play in tab.plays if play.credit_id is not None]
    if len(set(drawn)) < len(drawn):
        violations.append(Violation("doubled", f"{tab.order_id}: two plays are one credit"))
    if payment is None:
        if drawn:
            violations.append(Violation("unpaid", f"{tab.order_id}: played, and nothing is held"))
        return
    price = excused = 0
    for play in tab.plays:
        word = None if play.credit_id is None else finals.get(play.credit_id)
        part = play.amount_minor * _delivered(play, word, seen) // play.credits
        price += part
        excused += part if play.resolved_by in SILENT else 0
    if price > tab.limit_minor:
        violations.append(Violation("doubled", f"{tab.order_id}: {price} pulsed, {tab.limit_minor} held"))
    if payment.held_minor:
        violations.append(Violation("not final", f"{tab.order_id}: {payment.held_minor} are still held"))
    elif payment.kept_minor > price:
        violations.append(Violation("lost", f"{tab.order_id}: {payment.kept_minor} kept, {price} pulsed"))
    elif payment.kept_minor < price - (excused if "unconfirmed" in tab.alerts else 0):
        text = f"{tab.order_id}: only {payment.kept_minor} kept, {price} pulsed, nobody was told"
        violations.append(Violation("given away", text))
    if payment.refunded_minor:
        text = f"{tab.order_id}: {payment.refunded_minor} were captured and refunded, and nobody asked for it"
        violations.append(Violation("captured too much", text))


def _delivered(order: Sold, word: Word | None, seen: Evidence) -> int:
    if word is not None:
        return word.delivered
    said = (other.delivered for other in seen.words if other.credit_id == order.credit_id)
    return max(said, default=0)


def _check_books(seen: Evidence, violations: list[Violation]) -> None:
    """Every payment has an order; every purchase is on record."""
    both: list[Sold | Tab] = [*seen.orders, *seen.tabs]
    known = {order.order_id for order in both}
    for payment in seen.payments:
        if payment.order_id not in known and (payment.kept_minor or payment.held_minor):
            violations.append(Violation("lost", f"{payment.order_id}: paid, and no such order"))
    sessions = {tab.session for tab in seen.tabs}
    for session in _missing(seen.visits, {session for session in sessions if session is not None}):
        violations.append(Violation("lost", f"{session}: a tab's player was sent to pay, and it is not on record"))
    for order in both:
        is_settled = order.state == "settled"
        books = (order.kept_minor, order.delivered or 0) if is_settled else (0, 0)
        lines = (order.booked_minor, order.booked_credits)
        if lines != books and order.state in FINAL:
            text = f"{order.order_id}: {lines} in the takings, {books} in the order (kept, credits)"
            violations.append(Violation("not booked", text))
    for order_id in _missing(seen.bought, known):
        violations.append(Violation("lost", f"{order_id}: the player was sent to pay, and it is not on record"))


def _missing(wanted: Iterable[str], known: set[str]) -> list[str]:
    return [order_id for order_id in wanted if order_id not in known]


# --- other shops' money ----------------------------------------------------------------------------------


def _check_foreign(seen: Evidence, violations: list[Violation]) -> None:
    """What is not ours is left alone and never credited; a person is asked about all that looks like ours.

    One exception has a name: who pays for a copy of a whole order of ours gets that back, as a second payment.
    """
    orders = {order.payment_intent: order for order in seen.orders if order.payment_intent is not None}
    for payment in seen.foreign:
        name, order = f"{payment.payment_intent} ({payment.looks})", orders.get(payment.payment_intent)
        is_returned = payment.looks == TAKEN and order is not None and order.kind == "unmatched"
        if is_returned and set(payment.moved) <= {"refund.created"}:
            if payment.left_minor:
                violations.append(Violation("lost", f"{name}: {payment.left_minor} of a second payment were kept"))
            continue
        if payment.moved:
            text = f"{name}: {', '.join(payment.moved)}, and not by the shop"
            violations.append(Violation("not ours, and moved", text))
        if order is not None:
            text = f"{name} counts as the payment of {order.order_id}"
            violations.append(Violation("not ours, and an order", text))
        if payment.is_news and looks_ours(payment.looks) and payment.payment_intent not in seen.unclaimed:
            violations.append(Violation("nobody was asked", f"{name} looks like ours"))
    looks = {payment.payment_intent: payment.looks for payment in seen.foreign}
    for payment_intent in sorted(seen.unclaimed):
        if not looks_ours(looks.get(payment_intent, "")):
            violations.append(
                Violation("unexpected alert", f"unclaimed: {payment_intent} does not look like ours")
            )
    for order in seen.orders:
        if order.kind == "unmatched" and looks.get(order.payment_intent or "") != TAKEN:
            text = f"unmatched_payment: {order.order_id} is no second payment of another shop"
            violations.append(Violation("unexpected alert", text))
