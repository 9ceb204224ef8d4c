"""`arcade-cloud alert` and `arcade-cloud ack`: what a person must look at."""

import argparse
import getpass
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.alerts import Alert

_AT_MOST = 1000
_INDENT = " " * 4
_STATES = (
    "lasts: a condition that has not ended; seen: the same, acknowledged; new, ended: waits to be acknowledged; "
    "over: acknowledged; end: the notice that a condition has ended"
)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `alert list`, `alert ack` and `ack list`."""
    alert = commands.add_parser("alert", help="list or acknowledge alerts").add_subparsers(
        dest="what", required=True, metavar="list|ack"
    )
    listing = alert.add_parser(
        "list", help="list the alerts that last, or that nobody has acknowledged", epilog=_STATES
    )
    listing.add_argument("--all", action="store_true", help="also those that are over, and the ends of conditions")
    listing.add_argument("--json", action="store_true", help="one JSON object a line, with all that is known")
    listing.add_argument("--limit", type=int, default=100, help="how many, the newest (%(default)s)")
    listing.set_defaults(run=_list)
    ack = alert.add_parser("ack", help="acknowledge alerts: somebody has seen to them")
    ack.add_argument("ids", nargs="+", metavar="ID", help="the id, or the short id from the list")
    ack.add_argument("--by", help="who (without it, the user who runs this)")
    ack.set_defaults(run=_acknowledge)

    unmatched = commands.add_parser("ack", help="list acks that no order knows").add_subparsers(
        dest="what", required=True, metavar="list"
    )
    acks = unmatched.add_parser("list", help="list what machines reported on credits that no order knows")
    acks.add_argument("--limit", type=int, default=20, help="how many, the newest (%(default)s)")
    acks.set_defaults(run=_list_acks)


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    limit = max(1, min(options.limit, _AT_MOST))
    with build(settings) as cloud:
        store = cloud.store
        found = store.recent_alerts(limit) if options.all else store.standing_alerts(limit)
    if options.json:
        for alert in found:
            print(json.dumps(_fields(alert)))
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table(found, width):
        print(line)
    return 0


def table(found: Sequence["Alert"], width: int | None) -> list[str]:
    """A line for each alert, and below it whom it is about and its text.

    Args:
        width: The terminal's columns, into which the text is folded; None folds nothing.
    """
    from arcade_cloud.services.alerts import short_id

    lines = []
    for alert in found:
        at = format_ms(alert.at_ms)[:16].replace("T", " ")
        lines.append(f"{short_id(alert)}  {at}Z  {state(alert):<5}  {alert.kind}")
        text = f"{alert.subject}: {alert.text}"
        folded = [text] if width is None else textwrap.wrap(text, max(20, width - len(_INDENT)))
        lines += [f"{_INDENT}{line}" for line in folded]
    return lines


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


def _fields(alert: "Alert") -> dict[str, object]:
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

    by = options.by or _user()
    failed = False
    with build(settings) as cloud:
        for alert_id in options.ids:
            try:
                alert = cloud.services.alerts.acknowledge(alert_id, by)
            except BadRequest as error:
                failed = True
                print(f"arcade-cloud: {error}", file=sys.stderr)
                continue
            lasts = "; it still lasts" if alert.lasts else ""
            print(f"{alert.alert_id}: acknowledged by {alert.acknowledged_by}{lasts}")
    return 1 if failed else 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return "command line"


def _list_acks(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        for ack in cloud.store.unmatched_acks(max(1, min(options.limit, _AT_MOST))):
            uncertain = f", {ack.uncertain} uncertain" if ack.uncertain else ""
            reported = f"{ack.machine_id} {ack.state}, {ack.delivered} delivered{uncertain}"
            print(f"{format_ms(ack.at_ms)[:19]}Z  {reported}  credit {ack.credit_id}  by {ack.installation[:8]}")
    return 0
