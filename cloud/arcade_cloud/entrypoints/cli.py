"""The command `arcade-cloud`: serve, machines, orders, grants, the table, a timer pass, a check of everything."""

import argparse
import logging
import os
import re
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from arcade_cloud.errors import ArcadeError
from arcade_shared.errors import BadMessage

if TYPE_CHECKING:
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.money import Offer
    from arcade_cloud.domain.order import Order

OFFER = re.compile(r"(\d{1,3})=(\d{1,7})(?:\.(\d{2,3}))?([A-Za-z]{3})(?:@(price_\w+))?")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 well, 1 it could not be done, 2 the call or the settings are wrong."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG
        if options.verbose
        else logging.INFO
        if options.command == "serve"
        else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for talkative in ("stripe", "urllib3", "botocore"):  # below that they write whole answers, addresses, headers
        logging.getLogger(talkative).setLevel(logging.WARNING)
    from arcade_cloud.config.settings import SettingsError, load

    try:
        settings = load(os.environ, Path(options.env_file))
        status: int = options.run(settings, options)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (ArcadeError, BadMessage) as error:
        print(f"arcade-cloud: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="arcade-cloud",
        description="The cloud of Arcade STEM. Settings come from the environment and from .env.local.",
    )
    parser.add_argument("--env-file", default=".env.local", help="settings besides the environment (%(default)s)")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more about what is done")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="HTTP, timer and listener in one process")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument("--port", type=int, default=5000, help="port to listen on (%(default)s)")
    serve.set_defaults(run=_serve)

    machine = commands.add_parser("machine", help="register machines, list them").add_subparsers(
        dest="what", required=True, metavar="add|list"
    )
    add = machine.add_parser("add", help="register a machine, and print the agent's config for it")
    add.add_argument("machine_id")
    add.add_argument("--name", default="", help="what players see")
    add.add_argument("--contact", default="", help="whom a player calls; OPERATOR_CONTACT where none is given")
    add.add_argument("--picture", default="", metavar="URL", help="a picture of the cabinet")
    add.add_argument(
        "--offer",
        action="append",
        default=[],
        metavar="CREDITS=AMOUNT",
        help="such as 3=5.00MYR, or 3=5.00MYR@price_123 for a price at Stripe; may be repeated. "
        "Without offers the machine sells one credit at STRIPE_PRICE_ID",
    )
    add.add_argument("--subscriber", action="store_true", help="software that only listens and sends no acks")
    add.add_argument("--update", action="store_true", help="change a machine that is registered already")
    add.set_defaults(run=_machine_add)
    machine.add_parser("list", help="all machines, and whether they can be paid").set_defaults(run=_machine_list)

    order = commands.add_parser("order", help="list orders, show one, give money back").add_subparsers(
        dest="what", required=True, metavar="list|show|refund"
    )
    listed = order.add_parser("list", help="the latest orders")
    listed.add_argument("--machine", help="of one machine only")
    listed.add_argument("--limit", type=int, default=20)
    listed.set_defaults(run=_order_list)
    show = order.add_parser("show", help="one order and its history")
    show.add_argument("order_id")
    show.set_defaults(run=_order_show)
    refund = order.add_parser("refund", help="give money back; credits not yet pulsed are revoked first")
    refund.add_argument("order_id")
    refund.add_argument("--keep", type=int, default=0, metavar="MINOR", help="minor units to keep (%(default)s)")
    refund.add_argument("--reason", default="asked for", help="for the order's history")
    refund.set_defaults(run=_order_refund)

    grant = commands.add_parser("grant", help="free credits for a machine")
    grant.add_argument("machine_id")
    grant.add_argument("credits", type=int)
    grant.add_argument("--reason", default="free play", help="for the order's history")
    grant.add_argument("--token", help="the same token gives the same grant, however often it is sent")
    grant.set_defaults(run=_grant)

    table = commands.add_parser("table", help="the table of a dynamodb:// DATABASE_URL").add_subparsers(
        dest="what", required=True, metavar="create"
    )
    create = table.add_parser("create", help="make the table with its indexes and backups, where it is missing")
    create.set_defaults(run=_table_create)

    tick = commands.add_parser("tick", help="one timer pass: moves all orders that are due")
    tick.set_defaults(run=_tick)
    check = commands.add_parser("check", help="try the settings and the connections, each with a verdict")
    check.set_defaults(run=_check)
    return parser


def _cloud(settings: "Settings") -> "Cloud":
    from arcade_cloud.bootstrap import build

    return build(settings)


def _serve(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.config.settings import warnings
    from arcade_cloud.entrypoints.server import serve

    for warning in warnings(settings):
        logging.getLogger(__name__).warning("%s", warning)
    serve(settings, options.host, options.port)
    return 0


def parse_offer(text: str) -> "Offer":
    """`3=5.00MYR` or `3=5.00MYR@price_123` as an offer. Raises BadRequest."""
    from arcade_cloud.domain.money import THREE_DECIMAL, ZERO_DECIMAL, Offer
    from arcade_cloud.errors import BadRequest

    found = OFFER.fullmatch(text)
    if found is None:
        raise BadRequest(f"an offer is written CREDITS=AMOUNT with a currency, such as 3=5.00MYR, not {text!r}")
    credits, whole, fraction, currency, price_id = found.groups()
    currency = currency.lower()
    decimals = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    if fraction is not None and len(fraction) != decimals:
        right = f"{whole}.{'0' * decimals}".rstrip(".")
        raise BadRequest(f"{currency.upper()} has {decimals or 'no'} decimals: write {credits}={right}{found[4]}")
    amount = int(whole) * 10**decimals + int(fraction or 0)
    if decimals == 3 and amount % 10:
        raise BadRequest(f"Stripe takes {currency.upper()} in steps of 0.010 only, not {text!r}")
    if int(credits) < 1 or amount < 1:
        raise BadRequest(f"an offer sells at least one credit for more than nothing: {text!r}")
    return Offer(
        offer_id=f"c{credits}-{amount}{currency}",
        credits=int(credits),
        amount_minor=amount,
        currency=currency,
        price_id=price_id,
    )


def _machine_add(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.config.agent_config import agent_config
    from arcade_cloud.domain.machines import Machine
    from arcade_cloud.errors import BadRequest
    from arcade_shared.topics import check_machine_id

    machine_id = check_machine_id(options.machine_id)
    offers = tuple(parse_offer(text) for text in options.offer)
    if len({offer.offer_id for offer in offers}) != len(offers):
        raise BadRequest("the same offer is given twice")
    cloud = _cloud(settings)
    known = cloud.store.machine(machine_id)
    if known is not None and not options.update:
        raise BadRequest(f"machine {machine_id} is registered already: add --update to change it")
    version = 0 if known is None else known.version
    machine = Machine(
        machine_id=machine_id,
        version=version + 1,
        kind="subscriber" if options.subscriber else "agent",
        name=options.name,
        contact=options.contact,
        picture_url=options.picture,
        offers=offers,
        created_at_ms=cloud.fulfilment.now_ms() if known is None else known.created_at_ms,
    )
    for offer in offers:
        _warn_if_too_cheap(offer)
    cloud.store.put_machine(machine, version)
    if machine.kind == "subscriber":
        print(f"machine {machine_id} is registered; what the broker hands over to it counts as delivered")
        return 0
    print(agent_config(settings, machine_id), end="")
    return 0


def _warn_if_too_cheap(offer: "Offer") -> None:
    from arcade_cloud.domain.money import format_amount, least_minor

    if offer.amount_minor < least_minor(offer.currency):
        price, least = (
            format_amount(n, offer.currency) for n in (offer.amount_minor, least_minor(offer.currency))
        )
        text = f"warning: nobody can pay {price}: Stripe takes {least} at the least; sell more credits at once"
        print(text, file=sys.stderr)


def _machine_list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.domain.machines import why_not_ready

    cloud = _cloud(settings)
    for machine in cloud.store.machines():
        presence = cloud.store.presence(machine.machine_id)
        why_not = why_not_ready(machine, presence, cloud.fulfilment.now_ms())
        state = "only listens" if machine.kind == "subscriber" else why_not or "ready"
        print(f"{machine.machine_id:<24} {state:<40} {machine.name}")
    return 0


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def _line(order: "Order") -> str:
    from arcade_cloud.domain.money import format_amount

    delivered = "-" if order.delivered is None else str(order.delivered)
    price = "free" if order.kind == "grant" else format_amount(order.amount_minor, order.currency)
    return (
        f"{order.order_id:<38} {_moment(order.created_at_ms)[:19]}  {order.machine_id:<16} {order.state:<10} "
        f"{delivered}/{order.credits} credits  {price}"
    )


def _order_list(settings: "Settings", options: argparse.Namespace) -> int:
    for order in _cloud(settings).store.recent_orders(
        max(1, min(options.limit, 1000)), machine_id=options.machine
    ):
        print(_line(order))
    return 0


def _order_show(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.domain.money import format_amount
    from arcade_cloud.errors import BadRequest

    store = _cloud(settings).store
    order = store.order(options.order_id)
    if order is None:
        raise BadRequest(f"no order {options.order_id}")
    print(_line(order))
    amounts = {
        "to keep": order.target_minor,
        "given back out of goodwill": order.goodwill_minor,
        "lost": order.lost_minor,
        "owed to the player": order.owed_minor,
    }
    facts = {
        "code": order.code,
        "payment": order.payment_intent or "-",
        "credit": order.credit_id or "-",
        "uncertain": str(order.uncertain),
        "due": "-" if order.due_at_ms is None else _moment(order.due_at_ms),
        **{name: format_amount(amount, order.currency) for name, amount in amounts.items() if amount},
    }
    for name, value in facts.items():
        print(f"  {name:<28} {value}")
    for entry in store.history(order.order_id):
        print(f"  {_moment(entry.at_ms)}  {entry.event:<16} {entry.state:<10} {entry.text}")
    return 0


def _order_refund(settings: "Settings", options: argparse.Namespace) -> int:
    cloud = _cloud(settings)
    order = cloud.sales.refund(
        options.order_id, by="command line", reason=options.reason, keep_minor=max(0, options.keep)
    )
    print(_line(cloud.store.order(order.order_id) or order))
    cloud.close()
    return 0


def _grant(settings: "Settings", options: argparse.Namespace) -> int:
    cloud = _cloud(settings)
    order = cloud.sales.grant(
        options.machine_id,
        options.credits,
        by="command line",
        reason=options.reason,
        token=options.token or secrets.token_hex(16),
    )
    print(_line(cloud.store.order(order.order_id) or order))
    cloud.close()
    return 0


def _table_create(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.adapters.store.dynamodb.client import Table
    from arcade_cloud.adapters.store.dynamodb.table import make
    from arcade_cloud.config.dynamodb_address import parse
    from arcade_cloud.errors import BadRequest

    if not settings.database_url.startswith("dynamodb:"):
        raise BadRequest("DATABASE_URL is a file, which makes itself; a table is made for dynamodb://table")
    for line in make(Table(parse(settings.database_url), settings.dynamodb_endpoint)):
        print(line, flush=True)
    return 0


def _tick(settings: "Settings", options: argparse.Namespace) -> int:
    cloud = _cloud(settings)
    moved = cloud.fulfilment.run_once()
    while cloud.sweep.run_once():
        pass
    print(f"{moved} orders were due")
    cloud.close()
    return 0


def _check(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.config.settings import warnings
    from arcade_cloud.entrypoints.checks import verdicts

    print("ok    settings")
    for warning in warnings(settings):
        print(f"warn  {warning}")
    failed = False
    for name, verdict in verdicts(_cloud(settings)):
        failed = failed or verdict is not None
        print(f"ok    {name}" if verdict is None else f"FAIL  {name}: {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
