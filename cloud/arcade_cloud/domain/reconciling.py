"""Reconciling a day: what Stripe's balance, the orders' books and the machines' reports say of the same payments.

Pure. `of_order` compares an order with what Stripe's balance moved for it, which the order has booked as lines of
kind FEE (`domain.books`), and with what its machines reported. `of_unknown` names entries that no order explains,
`of_payout` payouts. A difference has one cause, and MEANINGS says what to do about each. Notes are no differences:
a normal day has some, such as a payout that is on its way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Literal

from msgspec import Struct

from arcade_cloud.domain import books
from arcade_cloud.domain.balance import Entry, Payout
from arcade_cloud.domain.books import FEE, PLAY, REFUND_BY_HAND, Line
from arcade_cloud.domain.money import format_amount
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.domain.ownership import IF_RESTORED

Cause = Literal[
    "refund_by_hand",
    "lost_webhook",
    "unknown_order",
    "older_record",
    "not_at_stripe",
    "unclaimed",
    "dispute",
    "payout_failed",
    "meter_short",
    "late_report",
    "unconfirmed",
    "unreadable",
    "foreign",
    "account_fee",
    "other_entry",
    "payout_in_transit",
    "not_told_yet",
]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a cause means, and what to do. `is_note`: a normal day may have it."""

    text: str
    todo: str
    is_note: bool = False


MEANINGS: dict[Cause, Meaning] = {
    "refund_by_hand": Meaning(
        "refunded at Stripe, not by this program",
        "If it was meant, nothing: it is booked as lost. The next time, use arcade-cloud order refund",
    ),
    "lost_webhook": Meaning(
        "paid at Stripe, and not paid here: the webhook was lost",
        "Look at arcade-cloud check. The timer asks Stripe about the order by itself, and delivers it or gives it "
        "back; if this stays, refund it at Stripe",
    ),
    "unknown_order": Meaning(
        "a payment made here, whose order is not on record: an older database was put back",
        "Credits that were delivered are in the machine's journal. Refund at Stripe what was not delivered. "
        f"{IF_RESTORED}",
    ),
    "older_record": Meaning(
        "the order's record and Stripe differ: the record is older, or somebody acted at Stripe",
        "Compare arcade-cloud order show with the payment at Stripe, and put the payment right there",
    ),
    "not_at_stripe": Meaning(
        "booked as taken, and Stripe's balance does not have it",
        "See whether STRIPE_API_KEY is of the account that took the payment, and look up the payment at Stripe",
    ),
    "unclaimed": Meaning(
        "a payment that waits for a decision",
        "Decide: arcade-cloud payment list",
    ),
    "dispute": Meaning(
        "disputed: the bank has taken the money until it decides",
        "Answer the dispute at Stripe before its time is up",
    ),
    "payout_failed": Meaning(
        "a payout did not reach the bank: its money is in the balance again",
        "Put the bank account right at Stripe, under Payouts",
    ),
    "meter_short": Meaning(
        "the coin meter counted fewer coins than were pulsed",
        "Look at the machine's coin line and its meter; try arcade-edge pulse there",
    ),
    "late_report": Meaning(
        "the machine reported after the order was closed, and not what it was closed with",
        "Give back what it did not deliver (arcade-cloud order refund), and see why the machine was silent",
    ),
    "unconfirmed": Meaning(
        "closed without the machine's word, and given back",
        "Nothing for the player. See why the machine was silent: arcade-cloud machine show",
    ),
    "unreadable": Meaning(
        "the order's record cannot be read",
        "Send the timer's log to the maintainers",
    ),
    "foreign": Meaning("entries of others on the same Stripe account", "Nothing", is_note=True),
    "account_fee": Meaning("a fee of the account, for no payment", "Nothing", is_note=True),
    "other_entry": Meaning("moved in the balance, for no payment", "Nothing, if you know it", is_note=True),
    "payout_in_transit": Meaning("on its way to the bank", "Nothing: wait", is_note=True),
    "not_told_yet": Meaning(
        "Stripe has not told all of it yet, or the order is not settled", "Wait", is_note=True
    ),
}
# Stripe's entry of a charge is there within seconds, and an order settles within minutes, or within LAST_RESORT_S
# (a day) of a machine's silence.
TOLD_WITHIN_MS = 2 * 3_600_000
SETTLED_WITHIN_MS = 26 * 3_600_000
# A webhook that is lost is found in Stripe's list of events within a quarter of an hour.
TAKEN_IN_WITHIN_MS = 3_600_000
# So many differences a day are stored. Further ones are counted.
DIFFERENCES_AT_MOST = 200


class Difference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference or note.

    Attributes:
        subject: Stripe's id of the payment, payout or entry, or the order's.
        amount_minor: What Stripe has more than the books; negative: less. 0 where it is not about money.
        text: What it is, for people.
        alerts: A person must act, and no other alert says so.
    """

    cause: Cause
    subject: str
    text: str
    currency: str = ""
    amount_minor: int = 0
    order_id: str = ""
    machine_id: str = ""
    alerts: bool = False

    @property
    def key(self) -> str:
        """What tells it from the others of its day."""
        return f"{self.cause}:{self.subject}"

    @property
    def is_note(self) -> bool:
        """Whether a normal day may have it."""
        return MEANINGS[self.cause].is_note


class DaySums(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What moved in Stripe's balance, in one currency.

    Attributes:
        fees_minor: What Stripe took, of our payments and of the account.
        others: How many entries were of others on the same account; `others_minor`: what they brought after fees.
        other_minor: Of entries that are of no payment, such as a top-up.
    """

    currency: str
    charged_minor: int = 0
    refunded_minor: int = 0
    disputed_minor: int = 0
    fees_minor: int = 0
    paid_out_minor: int = 0
    others: int = 0
    others_minor: int = 0
    other_minor: int = 0

    @property
    def net_minor(self) -> int:
        """By how much the balance has grown, before payouts."""
        out = self.refunded_minor + self.disputed_minor + self.fees_minor
        return self.charged_minor - out + self.others_minor + self.other_minor

    def __add__(self, other: "DaySums") -> "DaySums":
        numbers = (name for name in self.__struct_fields__ if name != "currency")
        return DaySums(
            currency=self.currency, **{name: getattr(self, name) + getattr(other, name) for name in numbers}
        )


Phase = Literal["entries", "payouts", "orders", "done"]


class DayReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What reconciling a day has found so far. It can be made again at any time.

    Attributes:
        phase: What is to be read next.
        after: How far the phase has come: an entry's id, or an order's.
        more: How many differences are not stored, because there were too many.
        accepted: The keys of the differences that somebody has accepted; `accepted_by` is who did so last, and
            `accepted_why` is the reason.
    """

    day: str
    version: int = 0
    phase: Phase = "entries"
    after: str = ""
    began_ms: int = 0
    done_ms: int | None = None
    sums: tuple[DaySums, ...] = ()
    differences: tuple[Difference, ...] = ()
    more: int = 0
    accepted: tuple[str, ...] = ()
    accepted_by: str = ""
    accepted_at_ms: int | None = None
    accepted_why: str = ""

    @property
    def found(self) -> tuple[Difference, ...]:
        """What a normal day does not have, and nobody has accepted."""
        return tuple(one for one in self.differences if not one.is_note and one.key not in self.accepted)

    @property
    def to_act_on(self) -> tuple[Difference, ...]:
        """What a person must be told of."""
        return tuple(one for one in self.found if one.alerts)

    @property
    def wants_another_look(self) -> bool:
        """Whether another look may find less."""
        return bool(self.to_act_on) or any(one.cause == "not_told_yet" for one in self.differences)


def bounds_ms(day: date, zone: tzinfo) -> tuple[int, int]:
    """When a day begins in a time zone, and when it is over, epoch milliseconds."""
    begin = datetime.combine(day, time.min, zone)
    if day == date.max:  # there is no next day to begin
        return int(begin.timestamp() * 1000), int(begin.timestamp() * 1000) + 86_400_000
    end = datetime.combine(day + timedelta(days=1), time.min, zone)
    return int(begin.timestamp() * 1000), int(end.timestamp() * 1000)


def added(sums: Sequence[DaySums], entry: Entry, *, is_ours: bool) -> tuple[DaySums, ...]:
    """The sums with one more entry in them."""
    currency, amount, fee = entry.currency, entry.amount_minor, entry.fee_minor
    if entry.what == "payout":
        more = DaySums(currency=currency, paid_out_minor=-amount)
    elif entry.what == "fee":
        more = DaySums(currency=currency, fees_minor=fee)
    elif entry.what == "other":
        more = DaySums(currency=currency, other_minor=amount - fee)
    elif not is_ours:
        more = DaySums(currency=currency, others=1, others_minor=amount - fee)
    elif entry.what in {"charge", "capture reversed"}:
        more = DaySums(currency=currency, charged_minor=amount, fees_minor=fee)
    elif entry.what in {"refund", "refund failed"}:
        more = DaySums(currency=currency, refunded_minor=-amount, fees_minor=fee)
    else:
        more = DaySums(currency=currency, disputed_minor=-amount, fees_minor=fee)
    by_currency = {one.currency: one for one in sums}
    by_currency[currency] = by_currency.get(currency, DaySums(currency=currency)) + more
    return tuple(by_currency[code] for code in sorted(by_currency))


def with_more(differences: Sequence[Difference], new: Iterable[Difference]) -> tuple[tuple[Difference, ...], int]:
    """The differences with new ones, as far as they fit, and how many did not. What alerts is kept first."""
    every = (*differences, *new)
    if len(every) > DIFFERENCES_AT_MOST:
        every = tuple(sorted(every, key=lambda one: (not one.alerts, one.is_note)))
    return every[:DIFFERENCES_AT_MOST], max(0, len(every) - DIFFERENCES_AT_MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutParts:
    """What a payout is of: the entries' sums, by the day on which they were made."""

    payout: Payout
    by_day: dict[str, DaySums]

    @property
    def rest_minor(self) -> int:
        """What the entries do not explain; 0 if nothing is listed."""
        explained = sum(sums.net_minor for sums in self.by_day.values())
        return self.payout.amount_minor - explained if self.by_day else 0


# --- what no order explains ------------------------------------------------------------------------------


def of_unknown(
    entry: Entry, *, is_marked: bool, is_on_record: bool, is_unclaimed: bool, now_ms: int
) -> Difference | None:
    """What an entry is whose payment no order has. None: somebody else's, which the sums count.

    Args:
        is_marked: The entry is of a charge that carries our mark for what it names.
        is_on_record: The order that it names is.
        is_unclaimed: The payment is on the list of those that wait for a decision.
    """
    moved = -entry.fee_minor if entry.what == "fee" else entry.amount_minor
    ours = entry.claims if is_marked else None

    def found(cause: Cause, *, alerts: bool = False) -> Difference:
        what = f" ({entry.text})" if entry.what in {"fee", "other"} and entry.text else ""
        return Difference(
            cause=cause,
            subject=entry.payment_intent or entry.source or entry.entry_id,
            text=f"{format_amount(moved, entry.currency)}: {MEANINGS[cause].text}{what}",
            currency=entry.currency,
            amount_minor=moved,
            order_id="" if ours is None else ours.order_id,
            machine_id="" if ours is None else ours.machine_id,
            alerts=alerts,
        )

    match entry.what:
        case "payout":  # a payout itself is told by Stripe's list of payouts
            return found("payout_failed", alerts=True) if entry.amount_minor > 0 else None
        case "fee":
            return found("account_fee")
        case "other":
            return found("other_entry")
        case "charge" if is_marked:
            if now_ms - entry.created_ms < TAKEN_IN_WITHIN_MS:
                return found("not_told_yet")
            if not is_on_record:
                return found("unknown_order", alerts=True)
            return found("older_record" if entry.was_held else "lost_webhook", alerts=True)
        case "refund" if entry.key.startswith("refund:"):
            return found("unknown_order", alerts=True)
        case _:
            return found("unclaimed") if is_unclaimed else None


def of_payout(payout: Payout) -> Difference | None:
    """What a payout is, unless it has reached the bank."""
    if payout.status == "paid":
        return None
    cause: Cause = "payout_failed" if payout.status in {"failed", "canceled"} else "payout_in_transit"
    why = f" ({payout.failure})" if payout.failure else ""
    return Difference(
        cause=cause,
        subject=payout.payout_id,
        text=f"{format_amount(payout.amount_minor, payout.currency)}: {MEANINGS[cause].text}{why}",
        currency=payout.currency,
        amount_minor=payout.amount_minor,
        alerts=cause == "payout_failed",
    )


def of_others(sums: Iterable[DaySums]) -> tuple[Difference, ...]:
    """A note for each currency in which others have moved money."""
    return tuple(
        Difference(
            cause="foreign",
            subject="others",
            text=f"{format_amount(one.others_minor, one.currency)}: {one.others} {MEANINGS['foreign'].text}",
            currency=one.currency,
            amount_minor=one.others_minor,
        )
        for one in sums
        if one.others
    )


# --- an order --------------------------------------------------------------------------------------------


def of_order(order: Order, booked: Sequence[Line], day: str, *, meter_says: str, now_ms: int) -> list[Difference]:
    """What an order's books, Stripe's balance and its machines disagree about.

    Args:
        booked: All lines of the order.
        day: The day that is reconciled. What happened once is told on its day only.
        meter_says: What the alert about its coin meter says; empty if there is none.
    """
    found = _money(order, booked, day, now_ms)
    if any(line.kind == PLAY and line.day == day for line in booked):
        found += [one for credit in order.credits for one in _machine(order, credit)]
        if meter_says:
            found.append(_about(order, "meter_short", 0, meter_says))
    return found


def _money(order: Order, booked: Sequence[Line], day: str, now_ms: int) -> list[Difference]:
    entries = [line for line in booked if line.kind == FEE and line.moved_minor]
    if order.payment is None or any(line.currency != order.currency for line in entries):
        return []  # free, or settled in the account's currency: the sums cannot be compared
    plays = books.plays(booked)
    kept = books.total(plays).kept_minor + (order.books.owed_minor if order.settlement.done else 0)
    rest = sum(line.moved_minor for line in entries) - kept
    by_hand = sum(line.moved_minor for line in entries if line.what == REFUND_BY_HAND)
    disputed = sum(line.moved_minor for line in entries if line.what in {"dispute", "dispute won"})
    # Once the books have a refund or a dispute, it explains no difference any more.
    of_hand, of_dispute = rest in {by_hand, by_hand + disputed}, rest in {disputed, by_hand + disputed}
    today = {line.what for line in entries if line.day == day}
    found = []
    if REFUND_BY_HAND in today:
        found.append(_about(order, "refund_by_hand", by_hand, alerts=rest != 0 and of_hand))
    if "dispute" in today:
        is_told = order.payment.shown is not None and order.payment.shown.dispute != "none"
        found.append(_about(order, "dispute", disputed, alerts=rest != 0 and of_dispute and not is_told))
    if rest and not of_hand and not of_dispute:
        found.append(_unexplained(order, plays, entries, rest, now_ms))
    return found


def _unexplained(
    order: Order, plays: Sequence[Line], entries: Sequence[Line], rest: int, now_ms: int
) -> Difference:
    """The difference that no refund by hand and no dispute explains."""
    if not order.settlement.done:
        if order.state in {"open", "abandoned"}:
            return _about(order, "lost_webhook", rest, alerts=True)
        if now_ms - _last_moved_ms(order, plays) < SETTLED_WITHIN_MS:
            return _about(order, "not_told_yet", rest)
    elif now_ms - _last_moved_ms(order, plays) < TOLD_WITHIN_MS:
        return _about(order, "not_told_yet", rest)
    elif not any(line.what == "charge" for line in entries):
        return _about(order, "not_at_stripe", rest, alerts=True)
    return _about(order, "older_record", rest, alerts=True)


def _last_moved_ms(order: Order, plays: Sequence[Line]) -> int:
    """When the order's own side of the money last moved: paid, settled, or an attempt to settle."""
    arrival = None if order.payment is None else order.payment.arrival
    paid_ms = order.created_at_ms if arrival is None else arrival.paid_at_ms
    return max(paid_ms, order.settlement.key_at_ms or 0, *(line.at_ms for line in plays))


def _machine(order: Order, credit: Credit) -> list[Difference]:
    done, delivery = credit.resolution, credit.delivery
    if done is None or delivery is None:
        return []
    late = delivery.late_report
    if late is not None and late != done.delivered:
        text = f"{late} of {credit.count} reported late, closed with {done.delivered}"
        return [_about(order, "late_report", 0, text)]
    if done.by in {"silence", "last resort", "unconfirmed"}:
        text = f"{done.delivered} of {credit.count} taken as delivered ({done.by})"
        return [_about(order, "unconfirmed", 0, text)]
    return []


def _about(order: Order, cause: Cause, amount_minor: int, text: str = "", *, alerts: bool = False) -> Difference:
    amount = f"{format_amount(amount_minor, order.currency)}: " if amount_minor else ""
    return Difference(
        cause=cause,
        subject=order.payment_intent or order.order_id,
        text=f"{amount}{text or MEANINGS[cause].text}",
        currency=order.currency if amount_minor else "",
        amount_minor=amount_minor,
        order_id=order.order_id,
        machine_id=order.machine_id,
        alerts=alerts,
    )
