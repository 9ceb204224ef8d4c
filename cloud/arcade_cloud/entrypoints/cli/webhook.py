"""`arcade-cloud webhook`: endpoints of other software, which are told what happens."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, add_limit, print_list
from arcade_cloud.entrypoints.cli.person import actor
from arcade_cloud.entrypoints.cli.times import moment_ms, span_ms
from arcade_shared.command_line import identifier
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.outbox import Endpoint, Posting

_EVENTS = "play.delivered, order.refunded, machine.offline"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `webhook add`, `list`, `secret`, `test`, `log`, `replay` and `remove`."""
    webhook = commands.add_parser("webhook", help="tell other software what happens, by signed HTTP posts")
    what = webhook.add_subparsers(dest="what", required=True, metavar="add|list|secret|test|log|replay|remove")
    add = what.add_parser("add", help="set up an endpoint, and print its id and its secret")
    add.add_argument("url", type=str.strip, help="where to post to: https://host/path")
    add.add_argument("--events", required=True, metavar="EVENT,…", help=f"what it gets: {_EVENTS}")
    add.set_defaults(run=_add)
    listing = what.add_parser("list", help="list the endpoints")
    add_formats(listing)
    listing.set_defaults(run=_list)
    for name, run, text in (
        ("secret", _secret, "print the secret that an endpoint checks signatures with"),
        ("test", _test, "post a test event now"),
        ("remove", _remove, "forget an endpoint; what waits for it is sent no more"),
    ):
        one = what.add_parser(name, help=text)
        one.add_argument("id", type=identifier, metavar="ID", help="as `webhook list` shows it")
        one.set_defaults(run=run)
    log = what.add_parser("log", help="list what an endpoint was sent in the last 30 days, or waits for")
    log.add_argument("id", type=identifier, metavar="ID", help="as `webhook list` shows it")
    log.add_argument("--failed", action="store_true", help="only what was given up, or was tried in vain so far")
    add_limit(log, 50, ", the newest")
    add_formats(log)
    log.set_defaults(run=_log)
    replay = what.add_parser("replay", help="send events again, whether or not they have arrived")
    replay.add_argument("id", type=identifier, metavar="ID", help="as `webhook list` shows it")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("--event", type=identifier, metavar="EVENT_ID", help="this one")
    which.add_argument("--since", type=span_ms, metavar="SPAN", help="what happened in the last 30m, 2h or 7d")
    which.add_argument(
        "--from", dest="first", type=moment_ms, metavar="TIME", help="what happened from then on (UTC)"
    )
    replay.add_argument("--to", dest="last", type=moment_ms, metavar="TIME", help="and before then (UTC)")
    replay.add_argument("--given-up", action="store_true", help="only those that were given up")
    replay.set_defaults(run=_replay)


def _add(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    events = [name.strip() for name in options.events.split(",") if name.strip()]
    with build(settings) as cloud:
        endpoint = cloud.desk.acts.endpoint_add(actor(), options.url, events)
        secret = cloud.software.endpoints.secret(endpoint.endpoint_id)
    print(f"{endpoint.endpoint_id}  {endpoint.url}")
    print(f"secret  {secret}")
    print(
        f"It gets {', '.join(endpoint.events)} from now on. "
        f"Try it: arcade-cloud webhook test {endpoint.endpoint_id}"
    )
    return 0


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        endpoints = cloud.software.endpoints
        found = endpoints.store.endpoints()
        failing = {one.endpoint_id for one in found if endpoints.is_failing(one.endpoint_id)}

    def state(endpoint: "Endpoint") -> str:
        return "failing" if endpoint.endpoint_id in failing else "ok"

    columns: Sequence[Column[Endpoint]] = (
        Column("ID", lambda endpoint: endpoint.endpoint_id),
        Column("STATE", state),
        Column("EVENTS", lambda endpoint: " ".join(endpoint.events), folds=True),
        Column("SINCE", lambda endpoint: format_ms(endpoint.created_at_ms)[:10]),
    )

    def fields(endpoint: "Endpoint") -> Fields:
        return {
            "id": endpoint.endpoint_id,
            "url": endpoint.url,
            "events": list(endpoint.events),
            "state": state(endpoint),
            "createdAt": format_ms(endpoint.created_at_ms),
            "createdBy": endpoint.created_by or None,
        }

    print_list(options, found, columns, fields, lambda endpoint: [endpoint.url])
    return 0


def _secret(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        print(cloud.desk.acts.endpoint_secret(actor(), options.id))
    return 0


def _test(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        error = cloud.desk.acts.endpoint_test(actor(), options.id)
    print(f"ok    {options.id}" if error is None else f"FAIL  {options.id}: {error}")
    return 0 if error is None else 1


def _remove(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        endpoint = cloud.desk.acts.endpoint_remove(actor(), options.id)
    print(f"{endpoint.endpoint_id}: removed ({endpoint.url})")
    return 0


def _log(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        found = cloud.software.endpoints.log(options.id, options.limit, only_failed=options.failed)
    print_list(options, found, _COLUMNS, _fields, lambda posting: [posting.error] if posting.error else [])
    return 0


_COLUMNS: "tuple[Column[Posting], ...]" = (
    Column("TIME", lambda posting: f"{format_ms(posting.at_ms)[:19].replace('T', ' ')}Z"),
    Column("TYPE", lambda posting: posting.type),
    Column("STATE", lambda posting: posting.state),
    Column("TRIES", lambda posting: str(posting.tries), right=True),
    Column("EVENT", lambda posting: posting.event_id),
)


def _fields(posting: "Posting") -> Fields:
    def moment(at_ms: int | None) -> str | None:
        return None if at_ms is None else format_ms(at_ms)

    return {
        "id": posting.event_id,
        "type": posting.type,
        "at": format_ms(posting.at_ms),
        "state": posting.state,
        "tries": posting.tries,
        "nextTryAt": moment(posting.due_at_ms),
        "arrivedAt": moment(posting.delivered_at_ms),
        "givenUpAt": moment(posting.given_up_at_ms),
        "error": posting.error or None,
        "body": posting.body,
    }


def _replay(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    if options.event is not None and (options.given_up or options.last is not None):
        print("arcade-cloud: --event names one event: leave out --given-up and --to", file=sys.stderr)
        return 2
    with build(settings) as cloud:
        acts, now_ms = cloud.desk.acts, cloud.services.fulfilment.now_ms()
        if options.event is not None:
            acts.replay(actor(), options.id, options.event)
            count = 1
        else:
            first = now_ms - options.since if options.since is not None else options.first
            last = now_ms + 1 if options.last is None else options.last
            count = acts.replay_since(actor(), options.id, first, last, only_given_up=options.given_up)
    print(f"{count} events are sent again, as soon as the cloud's timer comes to them")
    return 0
