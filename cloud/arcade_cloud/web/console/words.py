"""How the console's pages write times, sums, states and lengths (pure)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo

from markupsafe import Markup, escape

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.books import FREE, By, Row
from arcade_cloud.domain.money import Offer, format_amount
from arcade_cloud.domain.order import ClosedBy, Credit, Order
from arcade_cloud.services.overview import Rank
from arcade_cloud.web.player_view import credits_text
from arcade_cloud.web.receipt_view import METHODS

STRIP_WIDTH = 1_000
NOT_NAMED: dict[By, str] = {"location": "no location", "method": "not known"}

RANK_WORDS: dict[Rank, str] = {
    "dead": "not payable",
    "not ready": "not ready",
    "ready": "ready",
    "being set up": "being set up",
    "out of service": "out of service",
    "retired": "retired",
}
_METHODS = {
    FREE: "free credits",
    "": NOT_NAMED["method"],
    **METHODS,
}
STATE_WORDS = {
    "open": "waits for payment",
    "abandoned": "not paid",
    "funded": "on its way",
    "revoking": "asking the machine",
    "resolved": "settling",
    "settled": "settled",
    "returning": "giving back",
}
# What an alert is about, of each kind.
ALERT_TITLES: dict[str, str] = {
    "alert_receiver": "Alerts do not arrive",
    "books_differ": "The books differ from Stripe's balance",
    "books_unread": "Stripe's balance cannot be read",
    "broker": "The broker cannot be reached",
    "clock_off": "A clock is wrong",
    "deaf": "The cloud hears no machine",
    "discrepancy": "The machine says something else",
    "dispute": "Disputed payment",
    "endpoint_failing": "Other software takes no events",
    "event_given_up": "An event was given up",
    "given_up": "Given up",
    "guessing": "Somebody guesses passwords",
    "impossible_ack": "More reported than ordered",
    "loss": "Delivered, and its money is gone",
    "machine_silent": "Machine not heard",
    "meter": "Coin meter",
    "owed": "Money owed to a player",
    "player_claim": "Credits did not arrive",
    "refund_failed": "A refund failed",
    "settle_refused": "Stripe refuses to settle",
    "settle_slow": "Settling takes long",
    "signature_refused": "Messages with a wrong signature",
    "stuck": "A defect holds something up",
    "taken_over": "Somebody takes a connection over",
    "two_installations": "Two Pis with one id",
    "unclaimed": "Payment without proof",
    "unconfirmed": "Closed without the machine's word",
    "undecided": "Stripe does not say whether it was paid",
    "unknown_capture": "A capture that the record does not know",
    "unmatched_ack": "A report on unknown credits",
    "unmatched_payment": "A payment of no order",
    "unreadable": "Stripe does not show a payment",
    "unreconciled": "Reconciliation fails",
    "unsellable": "An offer that cannot be sold",
    "untrusted_proxy": "A proxy that is not counted",
    "webhook_refused": "Stripe's webhooks are refused",
    "wrong_endpoint": "Stripe's events of another account",
    "wrong_installation": "A report of another Pi",
    "wrong_machine": "A report of another machine",
    "wrong_payment": "A payment that is not the order's",
}
_CLOSED_BY: dict[ClosedBy, str] = {
    "player": "the player has finished",
    "idle": "nobody played for a while",
    "life": "its time was over",
    "hold": "the hold is gone, or was touched at Stripe",
    "operator": "an operator closed it",
    "restored": "an older database was put back",
}
_RESOLVED_BY = {
    "ack": "the machine reported it",
    "silence": "the machine stayed silent",
    "last resort": "nobody could tell in time",
    "unsent": "it was never sent",
    "broker": "the broker took it; this machine only listens",
    "unconfirmed": "the machine reported it later, unconfirmed",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a strip or plot, in its own units; `title` says it in words."""

    at: float
    size: float
    kind: str
    title: str


def clock(at_ms: int | None, zone: tzinfo, now_ms: int) -> str:
    """A moment by the arcade's clock: `21:05` today, else with its day, and its year if that is another."""
    if not at_ms:
        return "–"
    at, now = (datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone) for ms in (at_ms, now_ms))
    if at.date() == now.date():
        return f"{at:%H:%M}"
    year = f" {at.year}" if at.year != now.year else ""
    return f"{at.day} {at:%b}{year} {at:%H:%M}"


def exact(at_ms: int | None, zone: tzinfo) -> str:
    """A moment to the second, with the zone."""
    if not at_ms:
        return "–"
    at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
    return f"{at:%Y-%m-%d %H:%M:%S} {at.tzname()}"


def length(length_ms: int) -> str:
    """A length of time: `40 s`, `12 min`, `3 h`, `5 d`."""
    for unit_ms, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if length_ms >= 2 * unit_ms or (name == "min" and length_ms >= unit_ms):
            return f"{length_ms // unit_ms} {name}"
    return f"{max(0, length_ms) // 1000} s"


def day_name(day: date) -> str:
    """`Thu 26 Nov`."""
    return f"{day:%a} {day.day} {day:%b}"


def money(amount_minor: int, currency: str) -> str:
    """A sum; free credits have none."""
    return format_amount(amount_minor, currency) if currency else "free"


def offer_words(offer: Offer) -> str:
    """An offer as it is read: `7 credits for RM 12.00, 1 of them free, mon-fri 14:00-17:00`."""
    parts = [f"{credits_text(offer.credits)} for {money(offer.amount_minor, offer.currency)}"]
    if offer.bonus:
        parts.append(f"{offer.bonus} of them free")
    if offer.hours is not None:
        parts.append(offer.hours.text.replace("/", " "))
    return ", ".join(parts)


def some(amount_minor: int, currency: str) -> str:
    """A sum; empty if it is nothing."""
    return money(amount_minor, currency) if amount_minor else ""


def sums(by_currency: dict[str, int]) -> str:
    """Sums in several currencies."""
    return " + ".join(money(minor, currency) for currency, minor in sorted(by_currency.items())) or "–"


def fees(row: Row) -> str:
    """Stripe's fees, as far as they are known."""
    if not row.currency:
        return "–"
    if row.knows_no_fee:
        return "not known yet"
    known = money(row.sums.fee_minor, row.currency)
    return f"{known} ({row.fees_open} not known yet)" if row.fees_open else known


def percent(share: float | None) -> str:
    """A share such as `99.5 %`: never 100 while something is missing, never 0 while there is something."""
    if share is None:
        return "not known"
    tenths = round(share * 1000)
    if share < 1:
        tenths = min(tenths, 999)
    if share > 0:
        tenths = max(tenths, 1)
    return f"{tenths / 10:g} %"


def order_state(order: Order) -> str:
    """What an order's state means."""
    return STATE_WORDS[order.state]


def price(order: Order) -> str:
    """What an order costs."""
    if order.payment is None:
        return "free"
    limit = money(order.amount_minor, order.currency)
    return limit if order.tab is None else f"{money(order.earned_minor, order.currency)} of {limit}"


def tab_state(order: Order) -> str:
    """How a tab stands; empty for any other order."""
    if order.tab is None:
        return ""
    if order.tab.closing is not None:
        return f"Closed: {_CLOSED_BY[order.tab.closing.by]}."
    return "Open." if order.is_open_tab else "Not open."


def kept(order: Order) -> str:
    """What is kept of an order's payment; empty if that is not known, or nobody paid."""
    if order.payment is None or order.state not in {"resolved", "settled", "returning"}:
        return ""
    return money(order.books.target_minor, order.currency)


def credit_end(credit: Credit) -> str:
    """What became of a credit, and how that is known."""
    delivery = credit.delivery
    if delivery is None:
        return "Nobody has paid for it yet."
    done = delivery.resolution
    if done is None:
        reported = f" {delivery.reported} of {credit.count} reported so far." if delivery.reported else ""
        return ("Accepted by the machine." if delivery.accepted else "On its way to the machine.") + reported
    text = f"{done.delivered} of {credit.count} delivered: {_RESOLVED_BY[done.by]}."
    if delivery.uncertain:
        text += f" {delivery.uncertain} uncertain, after a power cut; not charged."
    if delivery.late_report is not None:
        text += f" Later the machine reported {delivery.late_report}."
    return text


def alert_title(alert: Alert) -> str:
    """What an alert is about; of a kind of another version, its name."""
    return ALERT_TITLES.get(alert.kind, alert.kind.replace("_", " "))


def alert_state(alert: Alert) -> str:
    """What became of an alert."""
    seen = alert.acknowledged_at_ms is not None
    if alert.lasts:
        return "lasts, seen" if seen else "lasts"
    return "ended" if alert.condition else "new"


def coded(text: str) -> Markup:
    """A text with what stands between backticks as code: commands, in alerts and in what to do."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def sentence(text: str) -> str:
    """A text with a capital letter in front."""
    return text[:1].upper() + text[1:]


def method(name: str) -> str:
    """How something was paid for."""
    return _METHODS.get(name, name.replace("_", " "))


# What templates call by name.
WORDS: dict[str, object] = {
    one.__name__: one
    for one in (
        length,
        day_name,
        money,
        offer_words,
        some,
        sums,
        fees,
        percent,
        order_state,
        tab_state,
        price,
        kept,
        credit_end,
        alert_state,
        alert_title,
        method,
    )
} | {"rank_words": RANK_WORDS, "state_words": STATE_WORDS}
