"""`arcade-cloud machine`: register, change and show machines, and print their agents' configs."""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from arcade_cloud.entrypoints.cli import fleet
from arcade_cloud.entrypoints.cli.database import place_of
from arcade_cloud.entrypoints.cli.machine_view import columns, facts, fields, metered, seen
from arcade_cloud.entrypoints.cli.order_view import moment
from arcade_cloud.entrypoints.cli.output import add_formats, print_facts, print_list
from arcade_cloud.entrypoints.cli.person import actor
from arcade_shared.command_line import identifier, whole_number
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.machines import Machine, MachineChange


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `machine add`, `machine set`, `machine config`, `machine list`, `machine show`, `machine test`, …"""
    machine = commands.add_parser("machine", help="register, change or show machines").add_subparsers(
        dest="what", required=True, metavar="COMMAND"
    )
    add = machine.add_parser("add", help="register a machine and print its agent's config")
    _take_changes(add)
    add.add_argument("--subscriber", action="store_true", help="software that only listens and sends no acks")
    add.add_argument(
        "--update", action="store_true", help="if it is registered, change what is named, as `set` does"
    )
    add.set_defaults(run=_add, makes_database=True)
    change = machine.add_parser("set", help="change what is named about a machine, and nothing else")
    _take_changes(change)
    change.add_argument("--no-offers", action="store_true", help="sell one credit at STRIPE_PRICE_ID instead")
    change.add_argument(
        "--kind", choices=("agent", "subscriber"), help="a subscriber only listens, and sends no acks"
    )
    change.set_defaults(run=_set)
    config = machine.add_parser(
        "config", help="print a machine's agent's config again, with its newest signing key"
    )
    config.add_argument("machine_id", type=identifier)
    config.set_defaults(run=_config)
    listing = machine.add_parser("list", help="list all machines, and whether players can pay for them")
    listing.add_argument("--location", help="only the machines that stand there")
    add_formats(listing)
    listing.set_defaults(run=_list)
    show = machine.add_parser("show", help="show one machine")
    show.add_argument("machine_id", type=identifier)
    add_formats(show)
    show.set_defaults(run=_show)
    test = machine.add_parser("test", help="pulse one free credit to try a machine, and tell what became of it")
    test.add_argument("machine_id", type=identifier)
    test.add_argument(
        "--wait", type=whole_number(0, 600), default=30, metavar="S", help="for its report (%(default)s s)"
    )
    test.set_defaults(run=_test)
    identify = machine.add_parser("identify", help="have a machine's screen show a sign for a minute")
    identify.add_argument("machine_id", type=identifier)
    identify.set_defaults(run=_identify)
    fleet.add_to(machine)


def _take_changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("machine_id", type=identifier)
    parser.add_argument("--name", help="what players see")
    parser.add_argument("--location", help="where it stands; machines with the same location belong together")
    parser.add_argument("--contact", help="whom a player calls; without it, OPERATOR_CONTACT")
    parser.add_argument("--picture", metavar="URL", help="a picture of the cabinet")
    parser.add_argument(
        "--offer",
        action="append",
        metavar="CREDITS=AMOUNT",
        help="such as 3=5.00MYR; 6+1=12.00MYR with a bonus; 3=4.00MYR/mon-fri/14:00-17:00 at times; "
        "3=5.00MYR@price_123 for a price at Stripe. May be repeated, and replaces all offers. Without offers the "
        "machine sells one credit at STRIPE_PRICE_ID",
    )


def _change(options: argparse.Namespace) -> "MachineChange":
    """What the options name."""
    from arcade_cloud.domain.machines import MachineChange
    from arcade_cloud.domain.offers import parse_offers
    from arcade_cloud.errors import BadRequest

    given = {
        "name": options.name,
        "location": options.location,
        "contact": options.contact,
        "picture_url": options.picture,
    }
    if options.offer:
        given["offers"] = parse_offers(options.offer)
    if getattr(options, "no_offers", False):
        if options.offer:
            raise BadRequest("--offer and --no-offers contradict each other")
        given["offers"] = ()
    given["kind"] = "subscriber" if getattr(options, "subscriber", False) else getattr(options, "kind", None)
    return MachineChange(**{name: value for name, value in given.items() if value is not None})


def _add(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_shared.topics import check_machine_id

    machine_id, change = check_machine_id(options.machine_id), _change(options)
    with build(settings) as cloud:
        acts = cloud.desk.acts
        if options.update and cloud.store.machine(machine_id) is not None:
            before, machine = acts.machine_set(actor(), machine_id, change)
            _tell(before, machine, file=sys.stderr)
        else:
            machine = acts.machine_add(actor(), machine_id, change)
    print_new(settings, machine)
    return 0


def print_new(settings: "Settings", machine: "Machine") -> None:
    """Print what a machine that was just registered needs."""
    _tell_of_offers(settings, machine)
    if machine.kind == "subscriber":
        print(f"machine {machine.machine_id}: a credit counts as delivered once the broker has passed it on")
    else:
        _print_config(settings, machine)


def _set(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.errors import BadRequest

    change = _change(options)
    if not change.named:
        raise BadRequest(
            "name what is to change, such as --name or --offer: see `arcade-cloud machine set --help`"
        )
    with build(settings) as cloud:
        before, after = cloud.desk.acts.machine_set(actor(), options.machine_id, change)
    _tell(before, after)
    _tell_of_offers(settings, after)
    return 0


def _tell(before: "Machine", after: "Machine", file: TextIO | None = None) -> None:
    """Print what has changed."""
    from arcade_cloud.domain.machines import differences

    out = file or sys.stdout
    found = differences(before, after)
    print(f"machine {after.machine_id}: {'changed' if found else 'nothing changed'}", file=out)
    tell_differences(found, out)


def tell_differences(found: Sequence[tuple[str, str, str]], out: TextIO) -> None:
    """Print the names of what has changed, with before and after."""
    for name, old, new in found:
        print(f"  {name:<8} before: {old}", file=out)
        print(f"  {'':<8} now:    {new}", file=out)


def _tell_of_offers(settings: "Settings", machine: "Machine") -> None:
    """Say what the prices cost, and what is odd about them, beside what is printed for programs."""
    from arcade_cloud.domain.offers import warnings
    from arcade_cloud.domain.pricing import sentences

    for sentence in sentences(machine.offers, settings.card_fees):
        print(sentence, file=sys.stderr)

    for warning in warnings(machine.offers):
        print(f"warning: {warning}", file=sys.stderr)


def _config(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        machine = cloud.desk.acts.machine_config(actor(), options.machine_id)
    _print_config(settings, machine)
    return 0


def _print_config(settings: "Settings", machine: "Machine") -> None:
    from arcade_cloud.config.agent_config import agent_config
    from arcade_cloud.config.private_files import close_to_others

    close_to_others(sys.stdout)  # it has the machine's signing key
    print(agent_config(settings, machine.machine_id), end="")


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.fleet import at_location

    with build(settings) as cloud:
        machines = cloud.store.machines()
        if options.location is not None:
            machines = at_location(machines, options.location)
        found = [seen(cloud, machine) for machine in machines]
    print_list(options, found, columns(), fields)
    if not found:
        print(f"no machine is registered in {place_of(settings)}: arcade-cloud machine add", file=sys.stderr)
    return 0


def _show(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        found = seen(cloud, cloud.services.operations.machine(options.machine_id))
        life = cloud.services.overview.machine(found.machine)
    share, todo = life.share, " ".join(sign.todo for sign in life.signs if sign.todo)
    known = {} if share is None else {"uptime": f"ready {share:.1%} of the last 7 days, as far as they are known"}
    known |= {"to do": todo} if todo else {}
    over = life.last_game_over
    known |= {} if over is None else {"last game over": moment(over.at_ms)}
    if life.counted:
        pulsed, registered = (sum(getattr(day, name) for day in life.counted) for name in ("pulsed", "registered"))
        known["meter"] = f"{registered} registered of {pulsed} pulsed in the last 7 days"
    last = {"lastGameOverAt": None if over is None else format_ms(over.at_ms)}
    whole = {**fields(found), **metered(life.counted), **last}
    print_facts(options, found.machine.machine_id, facts(found) | known, whole)
    return 0


def _test(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.metering import test_text

    with build(settings) as cloud:
        acts, store = cloud.desk.acts, cloud.store
        number = 1 + len(acts.operations.tests_today(options.machine_id))
        order = acts.machine_test(actor(), options.machine_id, number)
        print(f"machine {order.machine_id}: test pulse {number} of today, order {order.order_id}")
        until_s = time.monotonic() + options.wait
        while order.delivered is None and time.monotonic() < until_s:
            time.sleep(0.25)
            order = store.order(order.order_id) or order
        counts = store.counts(order.machine_id, order.created_at_ms, 100)
    print(f"machine {order.machine_id}: {test_text(order, counts)}")
    missed = any(count.order_id == order.order_id and not count.registered for count in counts)
    return 0 if order.delivered and not missed else 1


def _identify(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        emblem = cloud.desk.acts.machine_identify(actor(), options.machine_id)
    print(f"machine {options.machine_id}: its screen shows a {emblem.words} within seconds, for up to a minute")
    return 0
