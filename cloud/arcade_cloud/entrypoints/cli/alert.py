"""`arcade-cloud alert` and `arcade-cloud ack`: what a person must look at."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, add_limit, print_list
from arcade_cloud.entrypoints.cli.person import actor, user
from arcade_shared.command_line import identifier
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.alerts import Alert
    from arcade_cloud.domain.order import UnmatchedAck

_STATES = (
    "lasts: a condition that has not ended; seen: the same, acknowledged; new, ended: waits to be acknowledged; "
    "over: acknowledged; end: the notice that a condition has ended"
)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `alert list`, `alert ack`, `alert test` and `ack list`."""
    alert = commands.add_parser("alert", help="list or acknowledge alerts").add_subparsers(
        dest="what", required=True, metavar="list|ack|test"
    )
    listing = alert.add_parser(
        "list", help="list the alerts that last, or that nobody has acknowledged", epilog=_STATES
    )
    listing.add_argument("--all", action="store_true", help="also those that are over, and the ends of conditions")
    add_limit(listing, 100, ", the newest")
    add_formats(listing)
    listing.set_defaults(run=_list)
    ack = alert.add_parser("ack", help="acknowledge alerts: somebody has seen to them")
    ack.add_argument("ids", type=identifier, nargs="+", metavar="ID", help="the id, or the short id from the list")
    ack.add_argument("--by", help="who (without it, the user who runs this)")
    ack.set_defaults(run=_acknowledge)
    test = alert.add_parser("test", help="send a test alert to every receiver that the settings name")
    test.set_defaults(run=_test)

    unmatched = commands.add_parser("ack", help="list acks that no order knows").add_subparsers(
        dest="what", required=True, metavar="list"
    )
    acks = unmatched.add_parser("list", help="list what machines reported on credits that no order knows")
    add_limit(acks, 20, ", the newest")
    add_formats(acks)
    acks.set_defaults(run=_list_acks)


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        store = cloud.store
        found = store.recent_alerts(options.limit) if options.all else store.standing_alerts(options.limit)
    print_list(options, found, _columns(), _fields, lambda alert: [f"{alert.subject}: {alert.text}"])
    return 0


def _columns() -> "Sequence[Column[Alert]]":
    """A table of alerts. Whom one is about and its text stand below it."""
    from arcade_cloud.services.alerts import short_id

    return (
        Column("ID", short_id),
        Column("TIME", lambda alert: format_ms(alert.at_ms)[:16].replace("T", " ") + "Z"),
        Column("STATE", state),
        Column("KIND", lambda alert: alert.kind),
    )


def state(alert: "Alert") -> str:
    """What became of it, in a word."""
    if alert.recovers:
        return "end"
    is_seen = alert.acknowledged_at_ms is not None
    if alert.lasts:
        return "seen" if is_seen else "lasts"
    if is_seen:
        return "over"
    return "ended" if alert.condition else "new"


def _fields(alert: "Alert") -> Fields:
    from arcade_cloud.services.alerts import short_id

    return {
        "id": alert.alert_id,
        "shortId": short_id(alert),
        "kind": alert.kind,
        "subject": alert.subject,
        "text": alert.text,
        "state": state(alert),
        "at": format_ms(alert.at_ms),
        "noticedAt": _moment(alert.noticed_at_ms),
        "endedAt": _moment(alert.ended_at_ms),
        "acknowledgedAt": _moment(alert.acknowledged_at_ms),
        "acknowledgedBy": alert.acknowledged_by or None,
        "recovers": alert.recovers or None,
    }


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_ms(at_ms)


def _acknowledge(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.errors import BadRequest

    by = options.by or user()
    failed = False
    with build(settings) as cloud:
        for alert_id in options.ids:
            try:
                alert = cloud.desk.acts.acknowledge(actor(), alert_id, by=by)
            except BadRequest as error:
                failed = True
                print(f"arcade-cloud: {error}", file=sys.stderr)
                continue
            lasts = "; it still lasts" if alert.lasts else ""
            print(f"{alert.alert_id}: acknowledged by {alert.acknowledged_by}{lasts}")
    return 1 if failed else 0


def _test(settings: "Settings", options: argparse.Namespace) -> int:
    """Send one now, which is stored nowhere."""
    from arcade_cloud.adapters.alert_receivers import alert_receivers
    from arcade_cloud.bootstrap import wall_clock_ms
    from arcade_cloud.domain.alerts import Alert

    at_ms = wall_clock_ms()
    text = "This is a test of arcade-cloud alert test: nothing is wrong."
    alert = Alert(alert_id=f"test:{at_ms}", kind="test", text=text, subject=settings.site_name, at_ms=at_ms)
    failed = False
    for receiver in alert_receivers(settings):
        arrived = receiver.post([alert])
        failed = failed or not arrived
        print(f"ok    {receiver.name}" if arrived else f"FAIL  {receiver.name}: look at {receiver.setting}")
    return 1 if failed else 0


def _list_acks(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        found = cloud.store.unmatched_acks(options.limit)
    print_list(options, found, _ACKS, _ack_fields)
    return 0


_ACKS: "Sequence[Column[UnmatchedAck]]" = (
    Column("TIME", lambda ack: f"{format_ms(ack.at_ms)[:19].replace('T', ' ')}Z"),
    Column("MACHINE", lambda ack: ack.machine_id),
    Column("STATE", lambda ack: ack.state),
    Column("DELIVERED", lambda ack: str(ack.delivered), right=True),
    Column("UNCERTAIN", lambda ack: str(ack.uncertain), right=True),
    Column("CREDIT", lambda ack: ack.credit_id),
    Column("BY", lambda ack: ack.installation[:8]),
)


def _ack_fields(ack: "UnmatchedAck") -> Fields:
    return {
        "at": format_ms(ack.at_ms),
        "machine": ack.machine_id,
        "creditId": ack.credit_id,
        "state": ack.state,
        "delivered": ack.delivered,
        "uncertain": ack.uncertain,
        "installation": ack.installation,
    }
