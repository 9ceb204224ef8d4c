"""`arcade-cloud tab`: closing tabs by hand. They are listed, found, shown and refunded as orders."""

import argparse
import sys
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.asking import is_sure
from arcade_cloud.entrypoints.cli.order_view import line
from arcade_cloud.entrypoints.cli.person import actor
from arcade_shared.command_line import identifier

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `tab close`."""
    tab = commands.add_parser("tab", help="close tabs").add_subparsers(dest="what", required=True, metavar="close")
    close = tab.add_parser(
        "close",
        help="close a tab, or all of them after an older database was put back",
        description="Close a tab for good: what was delivered is charged, the rest of the hold is let go, and "
        "nothing more can be played on it.",
    )
    which = close.add_mutually_exclusive_group(required=True)
    which.add_argument("order_id", nargs="?", type=identifier, help="the order of the tab, such as tab_…")
    which.add_argument("--all", action="store_true", help="every open tab: an older database was put back")
    close.add_argument("--yes", action="store_true", help="do not ask, as in a script")
    close.set_defaults(run=_close)


def _close(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    what = "every open tab" if options.all else f"tab {options.order_id}"
    if not options.yes and not sys.stdin.isatty():
        print("arcade-cloud: nothing was done: nobody can be asked here, so add --yes", file=sys.stderr)
        return 2
    if not options.yes and not is_sure(f"Close {what}? Players cannot go on with it."):
        print("arcade-cloud: nothing was done", file=sys.stderr)
        return 1
    with build(settings) as cloud:
        if options.all:
            print(f"tabs closed: {cloud.desk.acts.close_tabs(actor())}")
        else:
            closed = cloud.desk.acts.close_tab(actor(), options.order_id)
            print(line(cloud.store.order(closed.order_id) or closed))
    return 0
