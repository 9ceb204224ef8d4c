"""`arcade-cloud order` and `arcade-cloud grant`: look at orders, give money back, give free credits."""

import argparse
import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.asking import is_sure
from arcade_cloud.entrypoints.cli.database import place_of

if TYPE_CHECKING:
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.order import Order
    from arcade_cloud.domain.refunds import RefundPlan


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `order list`, `order show`, `order refund`, and `grant`."""
    order = commands.add_parser("order", help="list, show or refund orders").add_subparsers(
        dest="what", required=True, metavar="list|show|refund"
    )
    listing = order.add_parser("list", help="list the latest orders")
    listing.add_argument("--machine", help="only those of this machine")
    listing.add_argument("--limit", type=int, default=20, help="how many (%(default)s)")
    listing.add_argument(
        "--before",
        metavar="TIME",
        help="only those made before this time, such as 2026-11-22T10:00:00Z: the time in the last line goes on "
        "from there",
    )
    listing.set_defaults(run=_list)
    show = order.add_parser("show", help="show one order and its history")
    show.add_argument("order_id")
    show.set_defaults(run=_show)
    refund = order.add_parser(
        "refund",
        help="give money back; credits not yet pulsed are revoked first",
        description="Give the whole payment back, or a part of it. Credits not yet pulsed are revoked first.",
    )
    refund.add_argument("order_id")
    part = refund.add_mutually_exclusive_group()
    part.add_argument("--keep", metavar="AMOUNT", help="keep this much, such as 5.00 or RM5: the rest goes back")
    part.add_argument("--amount", metavar="AMOUNT", help="give this much back, such as 2.50")
    part.add_argument("--credits", type=int, metavar="K", help="give back the price of so many credits")
    refund.add_argument(
        "--yes", action="store_true", help="do not ask, as in a script; with --keep it may be repeated"
    )
    refund.add_argument("--reason", default="asked for", help="for the order's history (%(default)s)")
    refund.set_defaults(run=_refund)

    grant = commands.add_parser("grant", help="give free credits on a machine")
    grant.add_argument("machine_id")
    grant.add_argument("credits", type=int)
    grant.add_argument("--reason", default="free play", help="for the order's history (%(default)s)")
    grant.add_argument("--token", help="the same token gives the same grant, however often you send it")
    grant.set_defaults(run=_grant)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def line(order: "Order") -> str:
    """An order in one line."""
    from arcade_cloud.domain.money import format_amount

    delivered = "-" if order.delivered is None else str(order.delivered)
    price = "free" if order.kind == "grant" else format_amount(order.amount_minor, order.currency)
    if order.payment is not None and (what := _what_is_kept(order)):
        price += f", {what}"
    return (
        f"{order.order_id:<38} {_moment(order.created_at_ms)}  {order.machine_id:<16} {order.state:<10} "
        f"{delivered}/{order.ordered} credits  {price}"
    )


def _what_is_kept(order: "Order") -> str:
    """What is kept of a payment where that is not all; empty if it is all, or not known yet."""
    from arcade_cloud.domain.money import format_amount

    books = order.books
    if order.state in {"funded", "revoking"}:
        return "" if books.keep_at_most_minor is None else "a refund was asked for"
    if order.state not in {"resolved", "settled", "returning"} or books.target_minor == order.amount_minor:
        return ""
    kept = f"{format_amount(books.target_minor, order.currency)} kept"
    return kept if order.state == "settled" else f"{kept} once Stripe has done it"


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    limit, before_ms = max(1, min(options.limit, 1000)), _before_ms(options.before)
    with build(settings) as cloud:
        if options.machine is not None:
            _check_machine(cloud, options.machine)
        orders = list(cloud.store.recent_orders(limit, machine_id=options.machine, before_ms=before_ms))
        for order in orders:
            print(line(order))
    if not orders:
        print(f"no such order is in {place_of(settings)}", file=sys.stderr)
    return 0


def _before_ms(text: str | None) -> int | None:
    from arcade_cloud.errors import BadRequest
    from arcade_shared.times import parse_ms

    if text is None:
        return None
    try:
        return parse_ms(text.strip().replace(" ", "T"))
    except ValueError:
        raise BadRequest(f"--before {text}: write a time in UTC, such as 2026-11-22T10:00:00Z") from None


def _check_machine(cloud: "Cloud", machine_id: str) -> None:
    """Raise UnknownMachine if there is no such machine, now or ever."""
    if not cloud.store.recent_orders(1, machine_id=machine_id):
        cloud.services.operations.machine(machine_id)


def _show(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.money import format_amount
    from arcade_cloud.errors import BadRequest

    with build(settings) as cloud:
        order = cloud.store.order(options.order_id)
        if order is None:
            raise BadRequest(f"there is no order {options.order_id}")
        history = cloud.store.history(order.order_id)
    print(line(order))
    amounts = {
        "kept at most": order.books.keep_at_most_minor,
        "given back out of goodwill": order.books.goodwill_minor,
        "lost": order.books.lost_minor,
        "owed to the player": order.books.owed_minor,
    }
    facts = {
        "code": order.code,
        "payment": order.payment_intent or "-",
        "credit": " ".join(order.credit_ids) or "-",
        "uncertain": str(order.uncertain),
        "due": "-" if order.due_at_ms is None else _moment(order.due_at_ms),
        **{name: format_amount(amount, order.currency) for name, amount in amounts.items() if amount},
    }
    if order.payment is not None and order.state in {"resolved", "settled", "returning"}:
        word = "kept" if order.state == "settled" else "to keep"
        facts[word] = format_amount(order.books.target_minor, order.currency)
    for name, value in facts.items():
        print(f"  {name:<28} {value}")
    for entry in history:
        print(f"  {_moment(entry.at_ms)}  {entry.event:<16} {entry.state:<10} {entry.text}")
    return 0


def _refund(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.refunds import RefundWish

    wish = RefundWish(keep=options.keep, amount=options.amount, credits=options.credits)
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
        order = operations.refund(
            options.order_id, by="command line", reason=options.reason, keep_minor=plan.keep_minor
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
        order = cloud.services.operations.grant(
            options.machine_id,
            options.credits,
            by="command line",
            reason=options.reason,
            token=options.token or secrets.token_hex(16),
        )
        print(line(cloud.store.order(order.order_id) or order))
    return 0
