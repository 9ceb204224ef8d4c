"""Players with phones: they open a machine's page, choose an offer or a tab, and pay on Stripe's stand-in's page.

They know nothing but what pages and redirects show.
"""

import random
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urljoin

import requests

TIMEOUT_S = 30.0
# How players pay, and how often: of a hundred.
METHODS = {"card": 70, "grabpay": 10, "fpx": 10, "link": 4, "card_declined": 3, "abandon": 3}
_OFFER = re.compile(r'name="offer_id" value="([^"]*)"')
_TOTAL = re.compile(r"Pay RM([0-9]+)\.([0-9]{2}) by card")
_ORDER = re.compile(r"/m/[\w-]+/o/([\w-]+)")
# So many of a hundred open a tab, and play at so many machines at most.
ON_A_TAB, MACHINES_ON_A_TAB = 15, 3
_LIMIT = re.compile(r'name="limit" value="(\d+)"')
_BUTTON = re.compile(r'name="ticket" value="([^"]+)">\s*<button class="choice"[^>]*data-price="(\d+)">')
_FINISH = re.compile(r'/tab/finish">\s*<input type="hidden" name="token" value="([^"]+)"')
# How long a player waits for a button that works.
LOOKS, LOOK_S = 20, 0.5


@dataclass(frozen=True)
class Purchase:
    """An order that a player has paid, or one play on a tab.

    Attributes:
        machine_id: Where it was played.
        amount_minor: What the payment page asked for, or what the play's button said.
        opened_at: Of a play on a tab: the machine at which the tab was opened.
    """

    machine_id: str
    order_id: str
    amount_minor: int
    opened_at: str = ""


def buy(url: str, machine_id: str, *, choice: int = 0, method: str = "card") -> Purchase | None:
    """Go to a machine and pay.

    Args:
        url: The site.
        choice: Which of the offers that are shown; more than there are begins anew.
        method: The button to press on the payment page.

    Returns:
        What was paid; None if the machine could not be paid, the bank declined, or the player left.
    """
    with requests.Session() as phone:
        page = phone.get(f"{url}/m/{machine_id}", timeout=TIMEOUT_S)
        offers = _OFFER.findall(page.text)
        if not page.ok or not offers:
            return None
        begun = phone.post(
            f"{url}/m/{machine_id}/checkout",
            data={"offer_id": offers[choice % len(offers)], "quantity": "1"},
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
        if begun.status_code != 303:
            return None
        checkout = begun.headers["Location"]
        total = _TOTAL.search(phone.get(checkout, timeout=TIMEOUT_S).text)
        paid = phone.post(checkout, data={"method": method}, timeout=TIMEOUT_S, allow_redirects=False)
        if total is None or paid.status_code != 303 or method == "abandon":
            return None
        landing = urljoin(checkout, paid.headers["Location"])
        order = _ORDER.search(landing)
        phone.get(landing, timeout=TIMEOUT_S)
    return None if order is None else Purchase(machine_id, order[1], int(total[1]) * 100 + int(total[2]))


def play_on_tab(url: str, machine_ids: Sequence[str], *, finish: bool = True) -> list[Purchase]:
    """Open a tab at the first of the machines, and play once at each of them.

    Args:
        url: The site.
        finish: Whether to finish the tab then, or leave it open.

    Returns:
        What was played. Empty if no tab could be opened.
    """
    first = machine_ids[0]
    with requests.Session() as phone:
        limit = _LIMIT.search(phone.get(f"{url}/m/{first}", timeout=TIMEOUT_S).text)
        if limit is None:
            return []
        checkout = _sent_to(phone, f"{url}/m/{first}/tab", limit=limit[1])
        landing = "" if checkout is None else _sent_to(phone, checkout, method="card") or ""
        order = _ORDER.search(landing)
        if order is None:
            return []
        phone.get(landing, timeout=TIMEOUT_S)
        played = []
        for machine_id in machine_ids:
            button = _button(phone, f"{url}/m/{machine_id}")
            if button is not None and _sent_to(phone, f"{url}/m/{machine_id}/play", ticket=button[1]) is not None:
                played.append(Purchase(machine_id, order[1], int(button[2]), opened_at=first))
        token = _FINISH.search(phone.get(f"{url}/tab", timeout=TIMEOUT_S).text) if finish else None
        if token is not None:
            _sent_to(phone, f"{url}/tab/finish", token=token[1])
    return played


def _button(phone: requests.Session, page: str) -> re.Match[str] | None:
    """The first button of a machine's page that works: its ticket and its price. None if none does for long."""
    for _ in range(LOOKS):
        found = _BUTTON.search(phone.get(page, timeout=TIMEOUT_S).text)
        if found is not None:
            return found
        time.sleep(LOOK_S)
    return None


def _sent_to(phone: requests.Session, address: str, **form: str) -> str | None:
    """Send a form; where that leads, or None if it leads nowhere."""
    answer = phone.post(address, data=form, timeout=TIMEOUT_S, allow_redirects=False)
    return urljoin(address, answer.headers["Location"]) if answer.status_code == 303 else None


@dataclass
class Crowd:
    """Players who come one after the other, in a thread of their own, until it is stopped.

    Attributes:
        machine_ids: Where they play. One that is named twice is played twice as often.
        every_s: How long it takes on average until the next one comes.
        seed: Draws who comes when, plays where, and pays how.
        paid: What they have paid so far.
    """

    url: str
    machine_ids: Sequence[str]
    every_s: float = 1.0
    seed: int = 1
    paid: list[Purchase] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._come, name="players", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT_S)

    def _come(self) -> None:
        dice = random.Random(self.seed)  # noqa: S311 - not a secret  # nosec B311
        while not self._stop.wait(dice.expovariate(1 / self.every_s)):
            machine_id, choice = dice.choice(self.machine_ids), dice.randrange(3)
            (method,) = dice.choices([*METHODS], [*METHODS.values()])
            others = dice.sample(self.machine_ids, MACHINES_ON_A_TAB - 1)
            try:
                if dice.randrange(100) < ON_A_TAB:
                    self.paid += play_on_tab(self.url, [*dict.fromkeys((machine_id, *others))])
                    continue
                purchase = buy(self.url, machine_id, choice=choice, method=method)
            except requests.RequestException:
                continue  # a phone that is not served goes away
            if purchase is not None:
                self.paid.append(purchase)
