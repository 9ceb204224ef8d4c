"""`arcade-cloud store`: the form in which the database keeps its orders."""

import argparse
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.asking import is_sure
from arcade_cloud.entrypoints.cli.person import actor

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings

_UPGRADE = """\
The store writes orders in form {form}. After the upgrade it writes form {newest}: new orders at once,
existing ones at their next step. Nothing else changes, and nothing has to stop.

Upgrade only when nothing runs an older version any more: no server, no Lambda function, no scheduled
arcade-cloud tick, no operator's shell. Older versions cannot use the store afterwards. The only way
back is a backup."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `store show` and `store upgrade`."""
    store = commands.add_parser("store", help="show or upgrade the form of the stored orders").add_subparsers(
        dest="what", required=True, metavar="show|upgrade"
    )
    show = store.add_parser("show", help="show which form the store writes, and which this program knows")
    show.set_defaults(run=_show)
    upgrade = store.add_parser(
        "upgrade",
        help="write this program's own form from now on",
        description="Write this program's own form from now on, which older versions cannot read.",
    )
    upgrade.add_argument(
        "--yes", action="store_true", help="do not ask: all processes of older versions are stopped"
    )
    upgrade.set_defaults(run=_upgrade)


def _show(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.adapters.store.forms import FORMS
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        form = cloud.store.form()
    print(f"the store writes orders in form {form}; this program reads and writes forms up to {FORMS.newest}")
    if form < FORMS.newest:
        print("run arcade-cloud store upgrade once nothing runs an older version any more")
    return 0


def _upgrade(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.adapters.store.forms import FORMS
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.people import Act
    from arcade_cloud.errors import BadRequest

    with build(settings) as cloud:
        before = cloud.store.form()
        if before == FORMS.newest:
            print(f"the store already writes form {before}: there is nothing to do")
            return 0
        print(_UPGRADE.format(form=before, newest=FORMS.newest), flush=True)
        if not options.yes and not is_sure("Are all processes of older versions stopped?"):
            raise BadRequest("the store was not upgraded: answer yes, or add --yes")
        with cloud.desk.acts.doing(actor(), Act.STORE, "store", f"write form {FORMS.newest}") as doing:
            doing.before = f"form {before}"
            form = cloud.store.upgrade()
            doing.after = f"form {form}"
        print(f"the store now writes form {form}")
    return 0
