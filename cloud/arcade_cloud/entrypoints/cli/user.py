"""`arcade-cloud user`: the people who may sign in to the console."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, print_list
from arcade_cloud.entrypoints.cli.person import actor
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.people import Person

# As `domain.people.Role` has them.
ROLES = ("owner", "manager", "technician", "viewer")
_ROLES = "docs/OPERATING.md says what each may do"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `user add`, `user list`, `user set`, `user disable`, `user enable`, `user password`, `user totp`."""
    user = commands.add_parser("user", help="people who may sign in to the console").add_subparsers(
        dest="what", required=True, metavar="COMMAND"
    )
    add = user.add_parser("add", help="add a person; the password is asked for")
    add.add_argument("name", help="what the person signs in with")
    add.add_argument("--role", required=True, choices=ROLES, help=_ROLES)
    add.add_argument("--full-name", default="", help="as others know them")
    _take_password(add)
    add.set_defaults(run=_add, makes_database=True)
    listing = user.add_parser("list", help="list all people")
    add_formats(listing)
    listing.set_defaults(run=_list)
    change = user.add_parser("set", help="change a person's role or full name")
    change.add_argument("name")
    change.add_argument("--role", choices=ROLES, help=_ROLES)
    change.add_argument("--full-name", help="as others know them")
    change.set_defaults(run=_set)
    disable = user.add_parser("disable", help="let a person sign in no more, and end what they are signed in to")
    disable.add_argument("name")
    disable.set_defaults(run=_disable, disabled=True)
    enable = user.add_parser("enable", help="let a person sign in again")
    enable.add_argument("name")
    enable.set_defaults(run=_disable, disabled=False)
    password = user.add_parser("password", help="give a person a new password; it is asked for")
    password.add_argument("name")
    _take_password(password)
    password.set_defaults(run=_password)
    totp = user.add_parser(
        "totp", help="set up a person's second factor, or take it away", description=_totp.__doc__
    )
    totp.add_argument("name")
    totp.add_argument("--off", action="store_true", help="take it away, as after a lost phone")
    totp.set_defaults(run=_totp)


def _take_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of the input, as in a script; never give it as an argument",
    )


def _asked_password(options: argparse.Namespace) -> str:
    from arcade_cloud.errors import BadRequest

    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadRequest("nobody can be asked for the password here: add --password-stdin")
    first = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != first:
        raise BadRequest("the passwords differ: nothing was changed")
    return first


def _add(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.people import NEEDS_SECOND_FACTOR, checked_name, checked_role, may

    name, role = checked_name(options.name), checked_role(options.role)
    password = _asked_password(options)
    with build(settings) as cloud:
        person = cloud.desk.accounts.add(actor(), name, role, password, full_name=options.full_name)
    print(f"{person.name} may sign in as {person.role}: {settings.public_base_url}/console")
    if any(may(role, act) for act in NEEDS_SECOND_FACTOR):
        print("whatever moves money needs a second factor: it is set up there, or by `arcade-cloud user totp`")
    return 0


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        found = cloud.store.people.people()
    print_list(options, found, _COLUMNS, _fields)
    if not found:
        print("nobody may sign in, so there is no console: arcade-cloud user add", file=sys.stderr)
    return 0


_COLUMNS: "Sequence[Column[Person]]" = (
    Column("NAME", lambda person: person.name),
    Column("ROLE", lambda person: person.role),
    Column("STATE", lambda person: "disabled" if person.disabled else "may sign in"),
    Column("SECOND FACTOR", lambda person: "yes" if person.totp_secret else "no"),
    Column("FULL NAME", lambda person: person.full_name),
)


def _fields(person: "Person") -> Fields:
    return {
        "name": person.name,
        "role": person.role,
        "disabled": person.disabled,
        "secondFactor": bool(person.totp_secret),
        "fullName": person.full_name,
        "createdAt": format_ms(person.created_at_ms),
    }


def _set(settings: "Settings", options: argparse.Namespace) -> int:
    from msgspec import UNSET

    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.people import checked_role
    from arcade_cloud.errors import BadRequest

    if options.role is None and options.full_name is None:
        raise BadRequest("name what is to change: --role or --full-name")
    with build(settings) as cloud:
        before, after = cloud.desk.accounts.change(
            actor(),
            options.name,
            role=UNSET if options.role is None else checked_role(options.role),
            full_name=UNSET if options.full_name is None else options.full_name,
        )
    for what, old, new in (("role", before.role, after.role), ("full name", before.full_name, after.full_name)):
        if old != new:
            print(f"{after.name}: {what} was {old or '-'}, is now {new or '-'}")
    if before == after:
        print(f"{after.name}: nothing changed")
    return 0


def _disable(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        before, after = cloud.desk.accounts.change(actor(), options.name, disabled=options.disabled)
    state = "may sign in no more" if after.disabled else "may sign in"
    print(f"{after.name} {state}{' (as before)' if before == after else ''}")
    return 0


def _password(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        accounts = cloud.desk.accounts
        accounts.person(options.name)  # before anybody types two passwords
        person = accounts.set_password(actor(), options.name, _asked_password(options))
    print(f"{person.name} has a new password, and is signed out everywhere")
    return 0


def _totp(settings: "Settings", options: argparse.Namespace) -> int:
    """Show a code for an authenticator app, and ask for what the app shows."""
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        accounts = cloud.desk.accounts
        person = accounts.person(options.name)
        if options.off:
            accounts.set_second_factor(actor(), person.name, "")
            print(f"{person.name} has no second factor, and is signed out everywhere")
            return 0
        _set_up(cloud, person)
    print(f"{person.name} has a second factor, and is signed out everywhere")
    return 0


def _set_up(cloud: "Cloud", person: "Person") -> None:
    import segno

    from arcade_cloud.errors import BadRequest
    from arcade_cloud.services import second_factor

    secret = second_factor.new_secret()
    address = second_factor.address(secret, person.name, cloud.settings.site_name)
    segno.make_qr(address).terminal(out=sys.stdout, compact=True)
    print(f"Scan this with an authenticator app, or type in: {secret}")
    print("The code that the app shows: ", end="", flush=True)
    step = second_factor.step_of(sys.stdin.readline(), secret, cloud.services.fulfilment.now_ms(), 0)
    if step is None:
        raise BadRequest("this is not the code: nothing was changed; is the phone's clock right?")
    cloud.desk.accounts.set_second_factor(actor(), person.name, secret, step)
