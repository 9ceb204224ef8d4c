"""`arcade-cloud claim`: what players say did not arrive."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.order_view import moment
from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, add_limit, print_list
from arcade_cloud.entrypoints.cli.person import actor
from arcade_shared.command_line import identifier
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.services.player_claims import Claim


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `claim list` and `claim decline`."""
    claim = commands.add_parser(
        "claim",
        help="decide about players' claims that credits did not arrive",
        epilog="To grant a claim, give the money back: arcade-cloud order refund ORDER --amount …",
    ).add_subparsers(dest="what", required=True, metavar="list|decline")
    listing = claim.add_parser("list", help="list the claims that wait for a person")
    listing.add_argument("--all", action="store_true", help="those that were answered in the last 30 days, too")
    add_limit(listing, 20)
    add_formats(listing)
    listing.set_defaults(run=_list)
    decline = claim.add_parser("decline", help="decline a claim, with a reason that the player reads")
    decline.add_argument("order_id", type=identifier, metavar="ORDER")
    decline.add_argument("--reason", required=True, metavar="TEXT", help="the player reads it")
    decline.set_defaults(run=_decline)


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        found = cloud.player_claims.listed(options.limit, only_waiting=not options.all)
    print_list(options, found, _columns(), _fields)
    return 0


def _columns() -> "Sequence[Column[Claim]]":
    return (
        Column("ORDER", lambda claim: claim.order.order_id),
        Column("CODE", lambda claim: claim.order.code),
        Column("TIME", lambda claim: moment(claim.line.entry.at_ms)),
        Column("MACHINE", lambda claim: claim.claimed.machine_id),
        Column("STATE", lambda claim: claim.state),
        Column("CLAIM", lambda claim: f"{claim.line.entry.wish}; {claim.known}", folds=True),
        Column("ANSWER", lambda claim: claim.answer, folds=True),
    )


def _fields(claim: "Claim") -> Fields:
    from arcade_cloud.domain.money import plain_amount

    order = claim.order
    return {
        "order": order.order_id,
        "code": order.code,
        "at": format_ms(claim.line.entry.at_ms),
        "machine": claim.claimed.machine_id,
        "credits": claim.claimed.credits,
        "delivered": order.delivered,
        "currency": order.currency.upper(),
        "amount": plain_amount(claim.claimed.back_minor, order.currency),
        "known": claim.known,
        "state": claim.state,
        "answer": claim.answer or None,
    }


def _decline(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        cloud.desk.acts.decline(actor(), options.order_id, reason=options.reason)
    print(f"the claim for order {options.order_id} is declined; the player's page says why")
    return 0
