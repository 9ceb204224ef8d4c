"""`arcade-cloud pricing`: what a play costs, paid singly or on a tab."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, print_list
from arcade_shared.command_line import identifier, whole_number

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.money import Offer
    from arcade_cloud.domain.pricing import Cost

_MOST_PLAYS = 1000


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `pricing`."""
    parser = commands.add_parser(
        "pricing",
        help="what Stripe keeps of a price, paid singly or on a tab",
        description="Compare what Stripe keeps of a machine's offers, or of those that you name: one payment for "
        "each play, or one tab for all of them. The fees are CARD_FEES, or Stripe's standard fees for cards.",
    )
    parser.add_argument("machine_id", nargs="?", type=identifier, help="whose offers (not with --offer)")
    parser.add_argument(
        "--offer", action="append", default=[], metavar="CREDITS=AMOUNT", help="such as 3=5.00MYR; may be repeated"
    )
    parser.add_argument(
        "--plays", type=whole_number(1, _MOST_PLAYS), default=8, metavar="N", help="of one visit (%(default)s)"
    )
    parser.add_argument(
        "--fee", action="append", default=[], metavar="FEE", help="instead of CARD_FEES: 3%%+1.00MYR"
    )
    add_formats(parser)
    parser.set_defaults(run=_pricing)


def _pricing(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.domain.pricing import costs, parse_fee

    offers = _offers(settings, options)
    fees = {**settings.card_fees, **dict(map(parse_fee, options.fee))}
    found = list(costs(offers, options.plays, fees))
    print_list(options, found, _COLUMNS, _fields)
    unknown = sorted({offer.currency.upper() for offer in offers if offer.currency not in fees})
    for currency in unknown:
        text = f"the fee in {currency} is not known: name it with --fee PERCENT%+AMOUNT{currency}"
        print(f"arcade-cloud: {text}", file=sys.stderr)
    return 1 if unknown else 0


def _offers(settings: "Settings", options: argparse.Namespace) -> "Sequence[Offer]":
    from arcade_cloud.domain.offers import parse_offers
    from arcade_cloud.entrypoints.cli import database
    from arcade_cloud.errors import BadRequest

    if options.offer and options.machine_id:
        raise BadRequest("name a machine or offers, not both")
    if options.offer:
        return parse_offers(options.offer)
    if not options.machine_id:
        raise BadRequest("name a machine, or offers such as --offer 1=2.00MYR")
    from arcade_cloud.bootstrap import build

    database.see_to(settings, may_make_it=False)
    with build(settings) as cloud:
        offers = cloud.services.operations.machine(options.machine_id).offers
    if not offers:
        raise BadRequest(f"machine {options.machine_id} has no offers of its own: name them with --offer")
    return offers


def _what(cost: "Cost") -> str:
    each = cost.credits // cost.plays
    credits = "1 credit" if each == 1 else f"{each} credits"
    if cost.plays == 1:
        return credits
    return f"{cost.plays} × {credits}{' on a tab' if cost.how == 'tab' else ', paid one by one'}"


def _amount(cost: "Cost", minor: int) -> str:
    from arcade_cloud.domain.money import format_amount

    return format_amount(minor, cost.currency)


_COLUMNS: "Sequence[Column[Cost]]" = (
    Column("WHAT", _what),
    Column("PRICE", lambda cost: _amount(cost, cost.price_minor), right=True),
    Column("FEES", lambda cost: _amount(cost, cost.fee_minor) if cost.is_sold else "", right=True),
    Column("OF THE PRICE", lambda cost: f"{cost.fee_percent} %" if cost.is_sold else "", right=True),
    Column(
        "LEFT", lambda cost: _amount(cost, cost.left_minor) if cost.is_sold else "too small to pay", right=True
    ),
)


def _fields(cost: "Cost") -> Fields:
    from arcade_cloud.domain.money import plain_amount

    def amount(minor: int) -> str:
        return plain_amount(minor, cost.currency)

    return {
        "how": cost.how,
        "plays": cost.plays,
        "credits": cost.credits,
        "currency": cost.currency.upper(),
        "price": amount(cost.price_minor),
        "fees": amount(cost.fee_minor),
        "feePercent": cost.fee_percent,
        "left": amount(cost.left_minor),
        "isSold": cost.is_sold,
    }
