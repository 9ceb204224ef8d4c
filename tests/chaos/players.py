"""Players who buy without end, an operator, and other shops: threads that notice no fault.

Some players have a tab. The operator refunds and grants.

What they asked for, and what came of it as far as they could see, is written down in `Deeds`.
"""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import requests
import stripe

from arcade_sandbox.errors import SandboxMisuse, SystemFailed
from arcade_sandbox.system import PRICE_MINOR
from chaos.plant import Plant
from chaos.shops import EVERY_S, SHOPS, Ledger, Page, Shop
from chaos.visits import Visit, visit

# A phone waits longer; but a frozen cloud is to be left for the other one.
TIMEOUT_S = 3.0
METHODS = {"card": 10, "link": 2, "fpx": 6, "grabpay": 2, "fpx_later": 2, "card_declined": 2, "": 1}
# Long trains keep the machines busy, so that what strikes at random strikes in one of them.
QUANTITIES = {1: 4, 2: 4, 3: 4, 5: 4, 10: 4, 20: 3, 40: 1}
THINK_S = (0.1, 1.0)
# One player in so many has a tab.
TABS_ONE_IN = 2
BANK_S = (0.3, 3.0)
BANK_REFUSES_ONE_IN = 4
# So many players come back from the payment to the page of the order. Where another's webhook is lost, only the
# timer asks Stripe.
RETURN, RETURN_OF = 2, 3
RELOADS, RELOAD_S = 8, 1.0
OPERATOR_EVERY_S = (1.5, 4.0)
REFUNDED_OF_LATEST = 8


@dataclass
class Deeds:
    """What was done, by all threads. `refunds`: what is to be kept, and whether the command reported success.

    Attributes:
        pages: The players' payment pages, in the order in which they were opened.
        shops: What the other shops on the account did.
    """

    bought: dict[str, int] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    shops: Ledger = field(default_factory=Ledger)
    paid: list[str] = field(default_factory=list)  # order ids, in the order of their payments
    grants: set[str] = field(default_factory=set)  # the reasons given, one of its own for each
    refunds: dict[str, tuple[int, bool]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, outcome: str) -> None:
        """Count something that happened."""
        with self.lock:
            self.outcomes[outcome] += 1


class Crowd:
    """The threads. They end some seconds after `stop`."""

    def __init__(self, plant: Plant, seed: int, players: int, *, all_return: bool) -> None:
        self.deeds = Deeds()
        self._all_return = all_return
        self._plant = plant
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._repeat,
                args=(
                    self._visit if number % TABS_ONE_IN == 0 else self._buy,
                    random.Random(f"{seed} player {number}"),
                    THINK_S,
                ),
                daemon=True,
            )
            for number in range(players)
        ]
        operator = random.Random(f"{seed} operator")
        self._threads.append(
            threading.Thread(target=self._repeat, args=(self._operate, operator, OPERATOR_EVERY_S), daemon=True)
        )
        for number in range(1, SHOPS + 1):
            shop = Shop(str(number), plant, self.deeds.shops, self._pages)
            work = (shop.sell, random.Random(f"{seed} shop {number}"), EVERY_S)
            self._threads.append(threading.Thread(target=self._repeat, args=work, daemon=True))

    def start(self) -> None:
        """Let them in."""
        for thread in self._threads:
            thread.start()

    def stop(self, within_s: float) -> bool:
        """Begin nothing new, and wait for all to leave. Returns whether they left in time."""
        self._stop.set()
        end = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _repeat(
        self, work: Callable[[random.Random], None], dice: random.Random, pause_s: tuple[float, float]
    ) -> None:
        while not self._stop.wait(dice.uniform(*pause_s)):
            try:
                work(dice)
            except (requests.RequestException, stripe.StripeError, SystemFailed) as error:
                self.deeds.note(type(error).__name__)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported, and the others go on
                with self.deeds.lock:
                    self.deeds.defects.append(f"{work.__name__}: {type(error).__name__}: {error}")

    def _pages(self) -> list[Page]:
        with self.deeds.lock:
            return list(self.deeds.pages)

    # --- a player ----------------------------------------------------------------------------------------

    def _buy(self, dice: random.Random) -> None:
        machine_id = dice.choice(sorted(self._plant.agents))
        url = dice.choice(sorted(self._plant.urls.values()))
        (quantity,) = dice.choices(list(QUANTITIES), list(QUANTITIES.values()))
        (method,) = dice.choices(list(METHODS), list(METHODS.values()))
        answer = requests.post(
            f"{url}/create-payment-link",
            json={"machine_id": machine_id, "quantity": quantity},
            timeout=TIMEOUT_S,
        )
        if answer.status_code != 200:
            self.deeds.note(f"no checkout: {answer.status_code}")
            if answer.status_code == 500:
                with self.deeds.lock:
                    self.deeds.defects.append(f"a 500 for a checkout: {answer.text[:200]}")
            return
        order_id, page = answer.json()["orderId"], answer.json()["url"]
        opened = Page(order_id, self._plant.system.stripe.session_id_of(page), quantity * PRICE_MINOR)
        with self.deeds.lock:
            self.deeds.bought[order_id] = quantity
            self.deeds.pages.append(opened)
        if not method:
            self.deeds.note("left the payment page")
            return
        self._pay(order_id, page, method, dice)
        if self._all_return or dice.randrange(RETURN_OF) < RETURN:
            self._come_back(f"/m/{machine_id}/o/{order_id}", dice)

    def _come_back(self, path: str, dice: random.Random) -> None:
        """Open the order's page, as the browser does when the checkout is done; reload where no cloud answers."""
        for _ in range(RELOADS):
            url = dice.choice(sorted(self._plant.urls.values()))
            with contextlib.suppress(requests.RequestException):
                answer = requests.get(f"{url}{path}", timeout=TIMEOUT_S)
                if answer.ok:
                    return
            time.sleep(RELOAD_S)
        self.deeds.note("gave up the order's page")

    def _pay(self, order_id: str, page: str, method: str, dice: random.Random) -> None:
        sandbox = self._plant.system.stripe
        try:
            paid = sandbox.pay(page, method, wait=False)
        except SandboxMisuse:
            self.deeds.note("the payment page was closed")
            return
        if paid.declined:
            self.deeds.note("declined")
            return
        with self.deeds.lock:
            self.deeds.paid.append(order_id)
        if method == "fpx_later":
            time.sleep(dice.uniform(*BANK_S))
            sandbox.settle_async(paid.payment_intent, succeed=dice.randrange(BANK_REFUSES_ONE_IN) > 0)

    def _visit(self, dice: random.Random) -> None:
        urls, machine_ids = sorted(self._plant.urls.values()), sorted(self._plant.agents)
        made = visit(self._plant.system.stripe, urls, machine_ids, dice, self.deeds.note)
        if made is not None:
            with self.deeds.lock:
                self.deeds.visits.append(made)

    # --- the operator ------------------------------------------------------------------------------------

    def _operate(self, dice: random.Random) -> None:
        if dice.randrange(3) == 0:
            self._grant(dice)
        else:
            self._refund(dice)

    def _grant(self, dice: random.Random) -> None:
        machine_id = dice.choice(sorted(self._plant.agents))
        with self.deeds.lock:
            reason = f"chaos grant {len(self.deeds.grants) + 1}"
            self.deeds.grants.add(reason)
        self._plant.system.cli("grant", machine_id, str(dice.randint(1, 3)), "--reason", reason, "--token", reason)
        self.deeds.note("granted")

    def _refund(self, dice: random.Random) -> None:
        with self.deeds.lock:
            candidates = [
                order for order in self.deeds.paid[-REFUNDED_OF_LATEST:] if order not in self.deeds.refunds
            ]
            if not candidates:
                return
            order_id = dice.choice(candidates)
            keep = dice.choice((0, 0, PRICE_MINOR))
            self.deeds.refunds[order_id] = (keep, False)
        try:
            self._plant.system.cli(
                "order", "refund", order_id, "--keep", f"{keep // 100}.{keep % 100:02d}", "--yes"
            )
        except SystemFailed:
            self.deeds.note("refund without effect, or unknown")
            return
        self.deeds.note("refunded")
        with self.deeds.lock:
            self.deeds.refunds[order_id] = (keep, True)
