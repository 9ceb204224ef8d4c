"""The demo: the whole system on this machine, one purchase as a timeline in milliseconds, and a living arcade.

With `--once` there is one cabinet, and the demo ends after the purchase, with exit code 0 if the promises were
kept and 1 if not. Without it, the twelve cabinets of `arcade.py` live until Ctrl-C, and the addresses to open are
printed. With `--lambda` the cloud runs as on AWS, with one cabinet: the handler behind AWS's emulator, a schedule
as the only timer, acks through the broker's rule and /ingest, and DynamoDB Local.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from arcade_edge.simulator.cabinet import read_edge_log
from arcade_sandbox.arcade import AWAY, CLOSED, MACHINES, NEVER_PLAYED, OPEN_TAB, WORN_METER, Arcade
from arcade_sandbox.aws.lambda_emulator import find_emulator
from arcade_sandbox.console_visit import CODE_LIFE_S, ConsoleVisit, add_owner, add_person
from arcade_sandbox.dynamodb import DynamoDBLocal
from arcade_sandbox.errors import SandboxError, SystemFailed
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import PRICE_MINOR, System
from arcade_shared.command_line import PORT

MACHINE = "cab-01"
OPERATOR = "ann"
CREDITS = 3
PORT_TO_OPEN = 5000
TICK_S = 60.0  # the shortest interval of EventBridge's schedules
DELIVERED_WITHIN_S = 20.0
GAME_OVER_WITHIN_S = 20.0


@dataclass
class Watch:
    """A subscriber to the machine's topics: what it has seen, and when."""

    system: System
    seen: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)

    def __enter__(self) -> "Watch":
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.username_pw_set("bench", self.system.bench_password)
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", self.system.broker.port)
        self._client.subscribe(f"arcade/machine/{MACHINE}/#", qos=1)
        self._client.loop_start()
        if not subscribed.wait(10):
            raise SystemFailed("the broker does not answer a subscriber")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rpartition("/")[2]
        if not message.retain:
            self.seen.append((now_ms(), kind, json.loads(message.payload)))

    def first(self, kind: str, **fields: object) -> tuple[int, dict[str, Any]] | None:
        """The first message of `kind` with these fields, and when it was seen."""
        for at_ms, seen_kind, message in list(self.seen):
            if seen_kind == kind and all(message.get(name) == value for name, value in fields.items()):
                return at_ms, message
        return None


@dataclass(frozen=True)
class Pulse:
    """One active time of the coin line, from the board's log."""

    at_ms: int  # wall clock
    width_ms: float
    gap_ms: float | None  # to the pulse before


def now_ms() -> int:
    """Now, epoch milliseconds."""
    return time.time_ns() // 1_000_000


def pulses(edge_log: Path) -> list[Pulse]:
    """The pulses in an edge log."""
    edges = read_edge_log(edge_log)
    to_wall_ms = now_ms() - time.monotonic_ns() // 1_000_000
    found: list[Pulse] = []
    began_ns: int | None = None
    ended_ns: int | None = None
    for edge in edges:
        if edge.active and began_ns is None:
            began_ns = edge.at_ns
        elif not edge.active and began_ns is not None:
            gap_ms = None if ended_ns is None else (began_ns - ended_ns) / 1e6
            found.append(Pulse(began_ns // 1_000_000 + to_wall_ms, (edge.at_ns - began_ns) / 1e6, gap_ms))
            began_ns, ended_ns = None, edge.at_ns
    return found


def purchase(system: System) -> bool:
    """Buy credits once. Print what happened when, and return whether the promises were kept."""
    cabinet, profile = system.cabinets[MACHINE], system.profile
    with Watch(system) as watch:
        link = system.create_link(MACHINE, CREDITS)
        order_id: str = link["orderId"]
        paid_ms = now_ms()
        system.stripe.pay(link["url"], "card")
        lines = [(paid_ms, f"paid      {CREDITS} credits by card: the money is held, not taken")]
        wait_for("the final ack", lambda: watch.first("ack", final=True), DELIVERED_WITHIN_S)
        (payment,) = wait_for("the capture", lambda: _captured(system), DELIVERED_WITHIN_S)
        lines.append(
            (now_ms(), f"captured  {payment['kept'] / 100:.2f} {payment.get('currency', '').upper()}".rstrip())
        )
        page = wait_for("the page's last word", lambda: _final_page(system, order_id), DELIVERED_WITHIN_S)
        lines.append((now_ms(), f"page      “{page['title']}”"))
        game_over = wait_for("the game over", lambda: watch.first("gameover"), GAME_OVER_WITHIN_S)
        lines.append((game_over[0], f"game over from the machine's {game_over[1].get('source', 'line')}"))
    for kind, wanted, text in (
        ("coinpulse", {}, "published coinpulse"),
        ("ack", {"state": "accepted"}, "accepted  by the agent"),
        ("ack", {"final": True}, "delivered"),
    ):
        found = watch.first(kind, **wanted)
        if found is not None:
            extra = f" {found[1]['delivered']} of {found[1]['credits']}" if text == "delivered" else ""
            lines.append((found[0], text + extra))
    made = pulses(cabinet.edge_log)
    for number, pulse in enumerate(made, 1):
        gap = "" if pulse.gap_ms is None else f", {pulse.gap_ms:.1f} ms after the one before"
        lines.append((pulse.at_ms, f"pulse {number}   {pulse.width_ms:.1f} ms wide{gap}"))
    for at_ms, text in sorted(lines):
        print(f"{at_ms - paid_ms:>7} ms  {text}")
    verdicts = {
        f"the board counted {CREDITS} pulses": len(made) == CREDITS,
        f"each at least {profile.pulse_ms} ms wide, {profile.gap_ms} ms apart": all(
            pulse.width_ms >= profile.pulse_ms and (pulse.gap_ms or profile.gap_ms) >= profile.gap_ms
            for pulse in made
        ),
        "what was captured is the price of what was pulsed": payment["kept"] == PRICE_MINOR * len(made),
        "the machine signalled game over": game_over[1]["status"] == "game_over",
    }
    print()
    for text, held in verdicts.items():
        print(f"  {'yes' if held else 'NO '}  {text}")
    return all(verdicts.values())


def _captured(system: System) -> list[dict[str, Any]] | None:
    money = system.stripe.money()
    return money if money and all(entry["kept"] for entry in money) else None


def _final_page(system: System, order_id: str) -> dict[str, Any] | None:
    page = system.order_page(MACHINE, order_id)
    return page if page["final"] else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description="The whole system on this machine.")
    parser.add_argument("--once", action="store_true", help="end after one purchase")
    parser.add_argument("--lambda", action="store_true", dest="serverless", help="run the cloud as on AWS")
    parser.add_argument("--port", type=PORT, default=0, help="the cloud's port (5000, or a free one with --once)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing is left behind
    with tempfile.TemporaryDirectory(prefix="arcade-demo-") as name:
        try:
            if options.once or options.serverless:
                return _one_cabinet(Path(name), options)
            return _arcade(Path(name), options.port or PORT_TO_OPEN)
        except SandboxError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130


def _one_cabinet(folder: Path, options: argparse.Namespace) -> int:
    """One machine. Returns the exit code."""
    port = options.port or (0 if options.once else PORT_TO_OPEN)
    tick_s = TICK_S if options.serverless else 0.0
    with contextlib.ExitStack() as stack:
        settings = stack.enter_context(_dynamodb(folder)) if options.serverless else {}
        system = stack.enter_context(System(folder, [MACHINE], settings=settings, port=port, tick_s=tick_s))
        where = ", as on AWS: handler behind AWS's emulator, schedule, DynamoDB Local" if tick_s else ""
        print(f"broker, stand-in for Stripe, cloud and cabinet {MACHINE} are up{where}\n", flush=True)
        held = purchase(system)
        if not options.once:
            owner = add_owner(system, OPERATOR)
            with _until_told(owner) as told:
                print(_addresses(system, owner), flush=True)
                told.wait()
    return 0 if held else 1


def _arcade(folder: Path, port: int) -> int:
    """Twelve machines that live. Returns the exit code."""
    print(
        f"starting broker, stand-in for Stripe, cloud and {len(MACHINES)} cabinets: about ten seconds", flush=True
    )
    arcade = Arcade(folder, port=port)
    with arcade.system as system:
        print("all are up: one purchase first\n", flush=True)
        held = purchase(system)
        owner = add_owner(system, OPERATOR, "Ann Ng")
        add_person(system, "bob", "technician", "Bob Lim")
        viewer = add_person(system, "mei", "viewer", "Mei Tan")
        with arcade.crowd:
            arcade.troubles()
            arcade.compare_books()
            with _until_told(owner) as told:
                print(_STORY)
                print(_addresses(system, owner, viewer), flush=True)
                told.wait()
        arcade.close()
    return 0 if held else 1


@contextlib.contextmanager
def _dynamodb(folder: Path) -> Iterator[Mapping[str, str]]:
    """Run DynamoDB Local.

    Yields:
        The cloud's settings for it.

    Raises:
        EmulatorNotInstalled: AWS's emulator, which the demo needs too, is not on this machine.
        DynamoDBNotInstalled: DynamoDB Local is not on this machine, or cannot run here.
        DynamoDBNotStarted: DynamoDB Local did not answer when it was started.
    """
    find_emulator()
    with DynamoDBLocal(folder) as dynamodb:
        yield {
            "DATABASE_URL": "dynamodb://arcade?region=us-east-1",
            "DYNAMODB_ENDPOINT": dynamodb.endpoint,
            # Any credentials will do. Nothing of the user's own configuration may be read.
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",  # nosec B105 # DynamoDB Local accepts any
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


_STORY = f"""
The arcade lives: {len(MACHINES)} cabinets in three places, and a player every second. Some have a tab, one hold
for several machines; one tab, with a play at {OPEN_TAB}, is open. What needs a person:
  {WORN_METER:9} its coin meter counts less than is pulsed: out of sale, with alerts
  {AWAY:9} has just lost its network: nobody can pay in half a minute, an alert in six
  {CLOSED:9} is out of service
  {NEVER_PLAYED:9} earns nothing
  race-01   a cardholder disputes a payment
  dance-01  one of two credits was given back
  and a payment by a misprinted sticker waits for a decision"""


def _addresses(system: System, owner: ConsoleVisit, viewer: ConsoleVisit | None = None) -> str:
    """What to open, and how to get in."""
    looks = ""
    if viewer is not None:
        looks = f"\n                        or as {viewer.name}, password {viewer.password}, who may only see"
    return f"""
Open these:
  the operator's pages  {system.url}/console
                        as {owner.name}, password {owner.password}, and a code: press Enter here to see one,
                        or have an authenticator app make them of {owner.secret}{looks}
  the player's page     {system.url}/m/{MACHINE}
  the API               {system.url}/openapi.json
  Stripe's stand-in     {system.stripe.base_url}/_sandbox
Watch:
  mosquitto_sub -p {system.broker.port} -u bench -P {system.bench_password} -t 'arcade/machine/#' -v
  tail -f {system.cabinets[MACHINE].edge_log}
Ctrl-C ends everything."""


@contextlib.contextmanager
def _until_told(owner: ConsoleVisit) -> Iterator[threading.Event]:
    """Wait for Ctrl-C or SIGTERM, and show a code whenever somebody presses Enter.

    Yields:
        What is set then. Whatever comes after that is no reason to leave anything behind.
    """
    told = threading.Event()

    def show_codes() -> None:
        for _ in sys.stdin:
            left_s = CODE_LIFE_S - int(time.time()) % CODE_LIFE_S
            print(f"code of {owner.name}: {owner.code()} (good once; another in {left_s} s)", flush=True)

    if sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=show_codes, name="codes", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    yield told


if __name__ == "__main__":
    sys.exit(main())
