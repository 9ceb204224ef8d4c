"""`arcade-cloud serve`, and `arcade-cloud tick` where no server runs."""

import argparse
import logging
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.database import place_of
from arcade_shared.command_line import PORT

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve` and `tick`."""
    serve = commands.add_parser("serve", help="run HTTP, timer and listener in one process")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument("--port", type=PORT, default=5000, help="port to listen on (%(default)s)")
    serve.set_defaults(run=_serve, makes_database=True)
    tick = commands.add_parser("tick", help="run the timer once: move every order that is due")
    tick.set_defaults(run=_tick)


def _serve(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.config.settings import warnings
    from arcade_cloud.entrypoints.server import serve

    for warning in warnings(settings):
        logging.getLogger(__name__).warning("%s", warning)
    logging.getLogger(__name__).info("the database: %s", place_of(settings))
    serve(settings, options.host, options.port)
    return 0


def _tick(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.services import watches

    with build(settings) as cloud:
        cloud.services.recheck.look()  # it learns whether the clock is right
        watches.look([cloud.services.watch])
        moved = cloud.services.fulfilment.run_once()
        while cloud.services.reconciliation.run_once():
            pass
        cloud.software.delivery.run_once()
    print(f"{moved} orders were due")
    return 0
