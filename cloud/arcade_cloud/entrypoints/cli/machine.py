"""`arcade-cloud machine`: register machines, list them."""

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.money import Offer


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `machine add` and `machine list`."""
    machine = commands.add_parser("machine", help="register or list machines").add_subparsers(
        dest="what", required=True, metavar="add|list"
    )
    add = machine.add_parser("add", help="register a machine and print its agent's config")
    add.add_argument("machine_id")
    add.add_argument("--name", default="", help="what players see")
    add.add_argument("--contact", default="", help="whom a player calls; without it, OPERATOR_CONTACT")
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
    add.add_argument("--update", action="store_true", help="change a machine that is already registered")
    add.set_defaults(run=_add)
    listing = machine.add_parser("list", help="list all machines, and whether players can pay for them")
    listing.set_defaults(run=_list)


def _add(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.config.agent_config import agent_config
    from arcade_cloud.config.private_files import close_to_others
    from arcade_cloud.domain.machines import Machine
    from arcade_cloud.domain.offers import parse_offer
    from arcade_cloud.errors import BadRequest
    from arcade_shared.topics import check_machine_id

    machine_id = check_machine_id(options.machine_id)
    offers = tuple(parse_offer(text) for text in options.offer)
    if len({offer.offer_id for offer in offers}) != len(offers):
        raise BadRequest("the same offer is given twice")
    with build(settings) as cloud:
        known = cloud.store.machine(machine_id)
        if known is not None and not options.update:
            raise BadRequest(f"machine {machine_id} is already registered: add --update to change it")
        version = 0 if known is None else known.version
        machine = Machine(
            machine_id=machine_id,
            version=version + 1,
            kind="subscriber" if options.subscriber else "agent",
            name=options.name,
            contact=options.contact,
            picture_url=options.picture,
            offers=offers,
            created_at_ms=cloud.services.fulfilment.now_ms() if known is None else known.created_at_ms,
        )
        for offer in offers:
            _warn_if_too_cheap(offer)
        cloud.store.put_machine(machine, version)
    if machine.kind == "subscriber":
        print(f"machine {machine_id} is registered; a credit counts as delivered once the broker has passed it on")
        return 0
    close_to_others(sys.stdout)  # it has the machine's signing key
    print(agent_config(settings, machine_id), end="")
    return 0


def _warn_if_too_cheap(offer: "Offer") -> None:
    from arcade_cloud.domain.money import currency_of, format_amount

    least_minor = currency_of(offer.currency).least_minor
    if least_minor is None:
        text = (
            f"warning: Stripe does not say which payments in {offer.currency.upper()} are too small for it: "
            "try a purchase of this offer"
        )
        print(text, file=sys.stderr)
    elif offer.amount_minor < least_minor:
        price, least = (format_amount(n, offer.currency) for n in (offer.amount_minor, least_minor))
        text = f"warning: nobody can pay {price}: Stripe charges at least {least}; sell more credits at once"
        print(text, file=sys.stderr)


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.machines import why_not_ready

    with build(settings) as cloud:
        for machine in cloud.store.machines():
            presence = cloud.store.presence(machine.machine_id)
            why_not = why_not_ready(machine, presence, cloud.services.fulfilment.now_ms())
            state = "only listens" if machine.kind == "subscriber" else why_not or "ready"
            print(f"{machine.machine_id:<24} {state:<40} {machine.name}")
    return 0
