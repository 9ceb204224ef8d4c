"""`arcade-cloud order` and `arcade-cloud grant`: look at orders, give money back, give free credits."""

import argparse
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.asking import is_sure
from arcade_cloud.entrypoints.cli.database import place_of
from arcade_cloud.entrypoints.cli.order_view import (
    columns,
    entry_fields,
    facts,
    fields,
    line,
    moment,
    over_fields,
    overs,
)
from arcade_cloud.entrypoints.cli.output import (
    Column,
    add_formats,
    add_limit,
    print_facts,
    print_list,
    table,
    terminal_width,
)
from arcade_cloud.entrypoints.cli.person import actor
from arcade_cloud.entrypoints.cli.times import at_ms, clock_time, moment_ms, span_ms
from arcade_shared.command_line import identifier, whole_number

if TYPE_CHECKING:
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.refunds import RefundPlan
    from arcade_cloud.domain.story import Happening
    from arcade_cloud.services.finding import Found

_HALF_HOUR_MS, _DAY_MS = 30 * 60_000, 24 * 3_600_000
_STORY: "tuple[Column[Happening], ...]" = (
    Column("TIME", lambda happening: moment(happening.at_ms)),
    Column("STATE", lambda happening: happening.state or ""),
    Column("WHAT HAPPENED", lambda happening: happening.text, folds=True),
)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `order list`, `order show`, `order find`, `order evidence`, `order refund`, and `grant`."""
    order = commands.add_parser("order", help="list, show, find or refund orders").add_subparsers(
        dest="what", required=True, metavar="list|show|find|evidence|refund"
    )
    listing = order.add_parser("list", help="list the latest orders")
    listing.add_argument("--machine", type=identifier, metavar="ID", help="only those of this machine")
    add_limit(listing, 20)
    listing.add_argument(
        "--before",
        type=moment_ms,
        metavar="TIME",
        help="only those made before this time, such as 2026-11-22T10:00:00Z: the time in the last line goes on "
        "from there",
    )
    add_formats(listing)
    listing.set_defaults(run=_list)
    show = order.add_parser("show", help="show one order and its history")
    show.add_argument("order_id", type=identifier)
    add_formats(show)
    show.set_defaults(run=_show)
    evidence = order.add_parser("evidence", help="write an order as evidence for the bank that asks, as HTML")
    evidence.add_argument("order_id", type=identifier)
    evidence.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE.html", help="the file to write"
    )
    evidence.set_defaults(run=_evidence)
    find = order.add_parser(
        "find",
        help="find an order by its code, an id, a card's last four digits, or where and when it was made",
        description="Find an order by one text (its code in any case, its id, a credit's id, or an id from "
        "Stripe: pi_, cs_, ch_, re_, dp_), by the last four digits of the card, or by where and when it was made.",
    )
    find.add_argument("text", nargs="?", metavar="TEXT", help="a code, such as K7QX2A, or an id")
    find.add_argument("--machine", type=identifier, metavar="ID", help="made at this machine")
    find.add_argument(
        "--at",
        type=clock_time,
        metavar="TIME",
        help="made about then: '2026-11-26 21:00' in TIMEZONE, or 21:00 for the last one",
    )
    find.add_argument(
        "--within",
        type=span_ms,
        metavar="SPAN",
        help="so long before and after --at (30m); without --at, so long until now (24h)",
    )
    find.add_argument("--amount", help="its price, such as 5.00")
    find.add_argument(
        "--last4", metavar="DIGITS", help="the last four digits of the card; --machine and --amount narrow it down"
    )
    add_formats(find)
    find.set_defaults(run=_find)
    refund = order.add_parser(
        "refund",
        help="give money back; credits not yet pulsed are revoked first",
        description="Give the whole payment back, or a part of it. Credits not yet pulsed are revoked first.",
    )
    refund.add_argument("order_id", type=identifier)
    part = refund.add_mutually_exclusive_group()
    part.add_argument("--keep", metavar="AMOUNT", help="keep this much, such as 5.00 or RM5: the rest goes back")
    part.add_argument("--amount", metavar="AMOUNT", help="give this much back, such as 2.50")
    part.add_argument(
        "--credits", type=whole_number(1), metavar="K", help="give back the price of so many credits"
    )
    part.add_argument(
        "--play", type=whole_number(1), metavar="N", help="of a tab: give back its Nth play, and leave the others"
    )
    refund.add_argument(
        "--yes", action="store_true", help="do not ask, as in a script; with --keep it may be repeated"
    )
    refund.add_argument("--reason", default="asked for", help="for the order's history (%(default)s)")
    refund.set_defaults(run=_refund)

    grant = commands.add_parser("grant", help="give free credits on a machine")
    grant.add_argument("machine_id", type=identifier)
    grant.add_argument("credits", type=whole_number(1))
    grant.add_argument("--reason", default="free play", help="for the order's history (%(default)s)")
    grant.add_argument("--token", help="the same token gives the same grant, however often you send it")
    grant.set_defaults(run=_grant)


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        if options.machine is not None:
            _check_machine(cloud, options.machine)
        orders = list(
            cloud.store.recent_orders(options.limit, machine_id=options.machine, before_ms=options.before)
        )
    print_list(options, orders, columns(), fields)
    if not orders:
        print(f"no such order is in {place_of(settings)}", file=sys.stderr)
    return 0


def _check_machine(cloud: "Cloud", machine_id: str) -> None:
    """Raise UnknownMachine if there is no such machine, now or ever."""
    if not cloud.store.recent_orders(1, machine_id=machine_id):
        cloud.services.operations.machine(machine_id)


def _show(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.story import story
    from arcade_cloud.errors import BadRequest
    from arcade_cloud.services.game_overs import after_credits

    with build(settings) as cloud:
        order = cloud.store.order(options.order_id)
        if order is None:
            raise BadRequest(f"there is no order {options.order_id}")
        history = cloud.store.history(order.order_id)
        after = after_credits(cloud.store, order, cloud.services.fulfilment.now_ms())
        receipt = cloud.store.receipts.receipts_of([order.order_id]).get(order.order_id)
        page = cloud.services.sales.receipt_page(order.machine_id, order.order_id)
    known = {} if receipt is None else {"receipt": f"{receipt.name} ({page})"}
    whole = dict(fields(order)) | {
        "receipt": None if receipt is None else receipt.name,
        "receiptPage": None if receipt is None else page,
    }
    if options.json:
        whole["history"] = [entry_fields(entry) for entry in history]
        whole["gameOvers"] = [over_fields(one) for one in after]
    print_facts(options, order.order_id, facts(order) | known | overs(after), whole)
    if not (options.json or options.csv):
        print()
        for text in table(list(story(history)), _STORY, terminal_width()):
            print(text)
    return 0


def _evidence(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.errors import BadRequest
    from arcade_cloud.web.console.evidence import as_file, known_of

    with build(settings) as cloud:
        order = cloud.store.order(options.order_id)
        if order is None:
            raise BadRequest(f"there is no order {options.order_id}")
        now_ms = cloud.services.fulfilment.now_ms()
        known = known_of(order, cloud.store, cloud.services.sales, now_ms)
    text = as_file(
        known,
        site_name=settings.site_name,
        operator_contact=settings.operator_contact,
        is_live=settings.stripe_is_live,
        now_ms=now_ms,
        zone=settings.timezone,
    )
    try:
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"{options.output}: {error.strerror}") from error
    print(f"{options.output}: order {order.order_id}, code {order.code}, to print or to send")
    return 0


def _find(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    place = (options.machine, options.at, options.within, options.amount, options.last4)
    if (options.text is None) == (place == (None,) * len(place)):
        print("arcade-cloud: name one code or id, or --last4, --machine, --at, --amount", file=sys.stderr)
        return 2
    if options.last4 is not None and (options.at is not None or options.within is not None):
        print("arcade-cloud: --last4 goes with --machine and --amount, not with a time", file=sys.stderr)
        return 2
    with build(settings) as cloud:
        if options.text is not None:
            found = cloud.services.finding.by_text(options.text)
        elif options.last4 is not None:
            if options.machine is not None:
                _check_machine(cloud, options.machine)
            found = cloud.services.finding.by_last4(
                options.last4, machine_id=options.machine, amount=options.amount
            )
        else:
            found = _find_by_time(cloud, options)
    print_list(options, found.orders, columns(), fields)
    if not found.orders:
        print(f"arcade-cloud: no order was found in {place_of(settings)}. Tried:", file=sys.stderr)
        for tried in found.tried:
            print(f"  {tried}", file=sys.stderr)
    return 0 if found.orders else 1


def _find_by_time(cloud: "Cloud", options: argparse.Namespace) -> "Found":
    from arcade_cloud.services.finding import Found

    now_ms = cloud.services.fulfilment.now_ms()
    if options.machine is not None:
        _check_machine(cloud, options.machine)
    if options.at is None:
        from_ms, until_ms = now_ms - (options.within or _DAY_MS), now_ms
    else:
        about_ms, within_ms = at_ms(options.at, cloud.settings.timezone, now_ms), options.within or _HALF_HOUR_MS
        from_ms, until_ms = about_ms - within_ms, about_ms + within_ms
    found = cloud.services.finding.made_between(
        from_ms, until_ms, machine_id=options.machine, amount=options.amount
    )
    return Found(found.orders, (f"made from {moment(from_ms)} to {moment(until_ms)}", *found.tried))


def _refund(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.refunds import RefundWish

    wish = RefundWish(keep=options.keep, amount=options.amount, credits=options.credits, play=options.play)
    with build(settings) as cloud:
        operations = cloud.services.operations
        plan, warnings = operations.plan_refund(options.order_id, wish)
        print(line(plan.order))
        print(_what_it_does(plan))
        for warning in warnings:
            print(f"warning: {warning}")
        if not options.yes and not sys.stdin.isatty():
            print("arcade-cloud: nothing was done: nobody can be asked here, so add --yes", file=sys.stderr)
            return 2
        if not options.yes and not is_sure("Give it back?"):
            print("arcade-cloud: nothing was done", file=sys.stderr)
            return 1
        order = cloud.desk.acts.refund(
            actor(), options.order_id, reason=options.reason, keep_minor=plan.keep_minor, play=plan.play
        )
        print(line(cloud.store.order(order.order_id) or order))
    return 0


def _what_it_does(plan: "RefundPlan") -> str:
    from arcade_cloud.domain.money import format_amount

    order = plan.order
    if order.payment is None:
        return "The free credits that are not pulsed yet are stopped."
    back, kept, keep = (
        format_amount(amount, order.currency) for amount in (plan.back_minor, plan.kept_minor, plan.keep_minor)
    )
    rest = f"{keep} are kept" if plan.keep_minor else "nothing is kept"
    if plan.is_delivering:
        return f"Of {kept}, {back} or more go back; {rest}{' at most' if plan.keep_minor else ''}."
    return f"Of {kept} that are kept now, {back} go back; {rest}."


def _grant(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        order = cloud.desk.acts.grant(
            actor(),
            options.machine_id,
            options.credits,
            reason=options.reason,
            token=options.token or secrets.token_hex(16),
        )
        print(line(cloud.store.order(order.order_id) or order))
    return 0
