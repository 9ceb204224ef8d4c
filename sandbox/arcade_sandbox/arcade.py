"""An arcade that lives: twelve cabinets in three places, players, and what goes wrong in an arcade.

Whatever happens here happens as in life: players pay by the pages, the operator acts by command, a bank by
Stripe, and what breaks is the network or a wire.
"""

import itertools
import json
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import requests

from arcade_sandbox.errors import SystemFailed
from arcade_sandbox.players import TIMEOUT_S, Crowd, Purchase, buy, play_on_tab
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import Profile, Setup, System

FINAL_WITHIN_S = 60.0
# After so many coins the worn meter counts no more.
METER_COINS = 2
# The agent takes its machine out of sale at the third train in a row.
TRAINS_TO_NOTICE = 4
_METER = '\n[meter]\npin = 24\nactive = "low"\ndebounce_ms = 5\nsettle_ms = 300\n'


def _setup(name: str, location: str, *offers: str, meter: bool = False, agent: Sequence[str] = ()) -> Setup:
    words = ["--location", location]
    for offer in offers:
        words += ["--offer", offer]
    return Setup(name, words, _METER if meter else "", agent)


MACHINES: dict[str, Setup] = {
    "cab-01": _setup("Space Duel", "Main Hall", "1=2.00MYR", "3=5.00MYR", "6=10.00MYR"),
    "cab-02": _setup("Space Duel 2", "Main Hall", "1=2.00MYR", "3=5.00MYR", "6=10.00MYR", meter=True),
    "race-01": _setup("Coast Racer, red car", "Main Hall", "1=4.00MYR", "3=10.00MYR"),
    "race-02": _setup("Coast Racer, blue car", "Main Hall", "1=4.00MYR", "3=10.00MYR"),
    "dance-01": _setup("Dance Stage", "Main Hall", "1=5.00MYR", "2=9.00MYR", meter=True),
    "hoops-01": _setup("Hoop Fever", "Food Court", "1=3.00MYR", "4=10.00MYR"),
    "claw-01": _setup("Claw: plush animals", "Food Court", "1=2.00MYR", "5=8.00MYR"),
    "claw-02": _setup(
        "Claw: key rings",
        "Food Court",
        "1=2.00MYR",
        "5=8.00MYR",
        meter=True,
        agent=("--meter-cut-after", str(METER_COINS)),
    ),
    "hockey-01": _setup("Air hockey", "Food Court", "1=5.00MYR", "3=12.00MYR"),
    "pin-01": _setup("Silver River pinball", "Upstairs", "1=3.00MYR", "4=10.00MYR"),
    "drum-01": _setup("Drum Master", "Upstairs", "1=4.00MYR", "3=10.00MYR"),
    "photo-01": _setup("Photo booth", "Upstairs", "1=12.00MYR"),
}
WORN_METER = "claw-02"
AWAY = "pin-01"
CLOSED = "drum-01"
NEVER_PLAYED = "photo-01"
# What is played on one tab, and where another is left open.
VISITED, OPEN_TAB = ("cab-01", "race-02", "hoops-01"), "cab-02"
# The same machine twice: it is played twice as often.
PLAYED = [
    "cab-01",
    "cab-01",
    "cab-02",
    "race-01",
    "race-02",
    "dance-01",
    "dance-01",
    "hoops-01",
    "claw-01",
    "hockey-01",
]

SETTINGS = {
    "SITE_NAME": "Silver Arcade",
    "OPERATOR_CONTACT": "+60 3 1234 5678",
    "TIMEZONE": "Asia/Kuala_Lumpur",
    "MACHINE_SILENT_S": "60",
    "MANAGER_REFUND_LIMIT": "200.00MYR",
    "TAB_LIMITS": "20.00MYR,50.00MYR",
}


@dataclass
class Arcade:
    """The arcade, whose files are in `folder`. Its `system` must have been entered before anything happens.

    Attributes:
        crowd: Players who come while it is entered.
        every_s: How long it takes on average until the next player comes.
        settings: Further variables of the cloud.
        purchases: What players have paid before the crowd came.
    """

    folder: Path
    profile: Profile = field(default_factory=Profile)
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    every_s: float = 1.0
    purchases: list[Purchase] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.system = System(
            self.folder,
            [*MACHINES],
            self.profile,
            {**SETTINGS, **self.settings},
            port=self.port,
            setups=MACHINES,
            webhooks_at_once=4,
        )
        # Fees are told at once, so that books of an arcade that is minutes old have some.
        self.system.stripe.set_rules(balance_delay_s=0)
        self.crowd = Crowd(self.system.url, PLAYED, self.every_s)

    # --- what happens ------------------------------------------------------------------------------------

    def first_players(self) -> None:
        """One player at each machine that is played at all; everything is delivered and settled."""
        before = len(self.purchases)
        with ThreadPoolExecutor(4) as at_once:
            machine_ids = dict.fromkeys([*PLAYED, WORN_METER, AWAY, CLOSED])
            list(
                at_once.map(
                    self._begin, machine_ids, itertools.count(), itertools.cycle(("card", "fpx", "grabpay"))
                )
            )
        self.wait_settled(self.purchases[before:])

    def troubles(self) -> None:
        """Visits on tabs, and what a person must look at, one after the other. It takes some seconds."""
        self.visits_on_tabs()
        self.a_refund()
        self.a_dispute()
        self.a_closed_machine()
        self.a_worn_meter()
        self.a_misprinted_sticker()
        self.a_lost_network()

    def visits_on_tabs(self) -> None:
        """Somebody has played at three machines on one tab; somebody else's is still open."""
        for machine_id in (*VISITED, OPEN_TAB):
            self.system.wait_ready(machine_id)
        played = play_on_tab(self.system.url, VISITED)
        if len(played) != len(VISITED):
            raise SystemFailed(f"a player could not play on a tab\n{self.system.cloud.tail()}")
        self.purchases += played
        self.wait_settled(played)
        play_on_tab(self.system.url, [OPEN_TAB], finish=False)

    def a_refund(self) -> None:
        """A player complains at the dance stage, and the operator gives the price of one credit back."""
        order_id = self._buy("dance-01", choice=1).order_id
        self.system.cli(
            *("order", "refund", order_id, "--credits", "1", "--reason", "The left pad sticks", "--yes")
        )

    def a_dispute(self) -> None:
        """A cardholder tells the bank that it was somebody else."""
        order = self._buy("race-01", choice=1)
        self.system.stripe.open_dispute(self._payment_intent(order))

    def a_closed_machine(self) -> None:
        """A technician takes the drums out of service."""
        self.system.cli("machine", "out-of-service", CLOSED, "--reason", "The left drum is being mended")

    def a_worn_meter(self) -> None:
        """The meter of one machine counts less than was pulsed, until the agent takes the machine out of sale."""
        for _ in range(TRAINS_TO_NOTICE):
            if not self.system.machine_state(WORN_METER)["ready"]:
                return
            purchase = buy(self.system.url, WORN_METER, choice=1)
            if purchase is not None:
                self.purchases.append(purchase)
                self.wait_settled([purchase])

    def a_misprinted_sticker(self) -> None:
        """Somebody pays by a static link that names a machine which does not exist."""
        stripe = self.system.stripe
        link = requests.post(
            f"{stripe.base_url}/v1/payment_links",
            auth=("sk_test_sandbox", ""),
            data={
                "line_items[0][price]": self.system.price_id,
                "line_items[0][quantity]": "1",
                "metadata[machine_id]": "hoops-O1",
            },
            timeout=TIMEOUT_S,
        )
        link.raise_for_status()
        with requests.Session() as phone:
            page = phone.get(link.json()["url"], timeout=TIMEOUT_S)
            phone.post(page.url, data={"method": "card"}, timeout=TIMEOUT_S, allow_redirects=False)

    def a_lost_network(self) -> None:
        """One machine is heard no more: to all others, a process that stands still has lost its cable."""
        self.system.cabinets[AWAY].agent.send(signal.SIGSTOP)

    def compare_books(self) -> None:
        """Reconcile the day so far with Stripe, as the cloud does by itself after each day."""
        today = datetime.now(ZoneInfo(SETTINGS["TIMEZONE"])).date()
        # 1: there are differences, as there should be.
        self.system.cli("reconcile", "--day", today.isoformat(), good=(0, 1))

    def close(self) -> None:
        """End it in order. Leaving the system ends what is left."""
        self.system.close()

    # --- from outside ------------------------------------------------------------------------------------

    def wait_settled(self, purchases: Sequence[Purchase], within_s: float = FINAL_WITHIN_S) -> None:
        """Wait until all of them are final.

        Raises:
            SystemFailed: They are not in time.
        """
        for purchase in purchases:
            wait_for(f"order {purchase.order_id} is final", self._is_final(purchase), within_s)

    def _is_final(self, purchase: Purchase) -> Callable[[], bool]:
        at = purchase.opened_at or purchase.machine_id
        return lambda: bool(self.system.order_page(at, purchase.order_id)["final"])

    def _buy(self, machine_id: str, choice: int) -> Purchase:
        """Somebody buys, and everything is delivered and settled."""
        purchase = self._begin(machine_id, choice)
        self.wait_settled([purchase])
        return purchase

    def _begin(self, machine_id: str, choice: int, method: str = "card") -> Purchase:
        self.system.wait_ready(machine_id)
        purchase = buy(self.system.url, machine_id, choice=choice, method=method)
        if purchase is None:
            raise SystemFailed(f"a player could not buy at {machine_id}\n{self.system.cloud.tail()}")
        self.purchases.append(purchase)
        return purchase

    def _payment_intent(self, purchase: Purchase) -> str:
        shown = json.loads(self.system.cli("order", "show", purchase.order_id, "--json"))
        return str(shown["paymentIntent"])
