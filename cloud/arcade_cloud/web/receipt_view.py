"""What a player's receipt shows (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo

from arcade_cloud.domain.closure import local_text
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.receipts import Document, rate_text
from arcade_cloud.domain.words import ENGLISH, Words, marked
from arcade_cloud.services.receipts import Slip

# How Stripe's methods are called by people. Others are called as Stripe calls them.
METHODS = {"card": marked("card"), "fpx": "FPX", "grabpay": "GrabPay", "link": "Link"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """What a machine delivered for what price."""

    machine: str
    credits: int
    ordered: int
    price: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What went back later, or came again. `is_lost`: not by a refund of the operator's."""

    day: str
    amount: str
    is_back: bool
    is_lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptView:
    """A receipt as its player reads it. Amounts never wrap onto two lines.

    Attributes:
        number: None: it follows.
        sold_at: When the order was settled, in the arcade's time zone.
        tax_rate: In per cent; empty: there is no tax line.
        method: How it was paid; empty: not known.
        kept: What the player pays in the end; empty where nothing has changed since.
    """

    number: str | None
    sold_at: str
    zone: str
    sold: tuple[Sold, ...]
    price: str
    tax_rate: str
    tax: str
    method: str
    last4: str
    notes: tuple[Note, ...]
    kept: str


def receipt_view(
    order: Order, slip: Slip, names: Mapping[str, str], zone: tzinfo, words: Words = ENGLISH
) -> ReceiptView | None:
    """The receipt of an order; None if it has none.

    Args:
        names: Of its machines, as far as they have any.
    """
    if not slip.documents:
        return None
    sale, *notes = slip.documents
    shown = None if order.payment is None else order.payment.shown
    method = slip.lines[0].method or (shown.method if shown is not None else None) or ""
    return ReceiptView(
        number=None if slip.receipt is None else slip.receipt.name,
        sold_at=local_text(sale.at_ms, zone),
        zone=str(zone),
        sold=tuple(
            Sold(
                machine=names.get(line.machine_id) or line.machine_id,
                credits=line.delivered,
                ordered=line.ordered,
                price=words.money(line.kept_minor, line.currency),
            )
            for line in slip.lines
        ),
        price=words.money(sale.amount_minor, sale.currency),
        tax_rate=rate_text(sale.tax_bp) if sale.tax_bp else "",
        tax=words.money(sale.tax_minor, sale.currency),
        method=METHODS.get(method, method.replace("_", " ")),
        last4=order.last4 or "",
        notes=tuple(_note(note, words) for note in notes),
        kept=words.money(sum(one.amount_minor for one in slip.documents), sale.currency) if notes else "",
    )


def _note(note: Document, words: Words) -> Note:
    return Note(
        day=note.day,
        amount=words.money(abs(note.amount_minor), note.currency),
        is_back=note.amount_minor < 0,
        is_lost=note.lost_minor != 0,
    )
