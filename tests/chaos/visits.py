"""Players with a tab: one hold, taps at several machines, by a browser without scripts that sends a tap again."""

import contextlib
import random
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import requests

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe.world import StripeWorld

TIMEOUT_S = 3.0
# Five plays of the cheapest kind.
LIMIT_MINOR = 1_000
PLAYS = (0, 1, 2, 3, 4, 6, 8)
THINK_S = (0.1, 0.8)
TRIES, TRY_AGAIN_S = 6, 1.0
# Of ten visits so many end with a tap on Finish; the others are closed when nobody has played for a while.
FINISH, FINISH_OF = 6, 10
TWICE_ONE_IN = 3
_TICKET = re.compile(r'name="ticket" value="([^"]+)">\s*<button class="choice"[^>]*data-price="\d+">')
_TOKEN = re.compile(r'name="token" value="([^"]+)"')


@dataclass
class Visit:
    """What a player with a tab did.

    Attributes:
        session: The checkout at Stripe.
        tapped: How many different buttons were tapped, whatever the answer was.
        played: How many of them the cloud said had played.
        finished: Whether the cloud took "Finish".
    """

    session: str
    tapped: int = 0
    played: int = 0
    finished: bool = False


@dataclass
class Browser:
    """One phone, before two clouds, of which one may be away."""

    urls: Sequence[str]
    dice: random.Random
    jar: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, **form: str) -> requests.Response | None:
        """Ask one of the clouds; None if it does not answer."""
        with contextlib.suppress(requests.RequestException):
            url = self.dice.choice(self.urls)
            return self.jar.request(method, url + path, data=form, timeout=TIMEOUT_S, allow_redirects=False)
        return None

    def another(self) -> "Browser":
        """A second tab of the browser, with the same cookies."""
        other = Browser(self.urls, random.Random(self.dice.random()))
        other.jar.cookies.update(self.jar.cookies)
        return other

    def until(self, method: str, path: str, **form: str) -> requests.Response | None:
        """Ask again and again until a cloud says what is the matter; None if none does for long."""
        for _ in range(TRIES):
            answer = self.ask(method, path, **form)
            if answer is not None and answer.status_code < 500:
                return answer
            time.sleep(TRY_AGAIN_S)
        return None


def visit(
    stripe: StripeWorld,
    urls: Sequence[str],
    machine_ids: Sequence[str],
    dice: random.Random,
    note: Callable[[str], None],
) -> Visit | None:
    """Open a tab, play on it, and finish or walk away. None: nobody was sent to a payment page.

    Args:
        note: Counts what happened.
    """
    phone = Browser(urls, dice)
    begun = phone.ask("POST", f"/m/{dice.choice(machine_ids)}/tab", limit=str(LIMIT_MINOR))
    if begun is None or begun.status_code != 303:
        note("no tab" if begun is None else f"no tab: {begun.status_code}")
        return None
    page = begun.headers["Location"]
    made = Visit(stripe.session_id_of(page))
    try:
        paid = stripe.pay(page, dice.choice(("card", "card", "card", "card", "card_declined")), wait=False)
    except SandboxMisuse:
        note("the payment page was closed")
        return made
    if paid.declined:
        note("declined")
        return made
    for _ in range(dice.choice(PLAYS)):
        time.sleep(dice.uniform(*THINK_S))
        _play(phone, dice.choice(machine_ids), made)
    if dice.randrange(FINISH_OF) < FINISH:
        _finish(phone, made)
    note("tab finished" if made.finished else "tab left open")
    return made


def _play(phone: Browser, machine_id: str, made: Visit) -> None:
    """Look at a machine's page until there is a button, and tap it: perhaps twice, and until that is answered."""
    for _ in range(TRIES):
        page = phone.ask("GET", f"/m/{machine_id}")
        found = None if page is None or not page.ok else _TICKET.search(page.text)
        if found is not None:
            break
        time.sleep(TRY_AGAIN_S)
    else:
        return
    made.tapped += 1
    browsers = [phone, phone.another()] if phone.dice.randrange(TWICE_ONE_IN) == 0 else [phone]
    with ThreadPoolExecutor(len(browsers)) as at_once:
        taps = [at_once.submit(one.until, "POST", f"/m/{machine_id}/play", ticket=found[1]) for one in browsers]
        answers = [tap.result() for tap in taps]
    made.played += any(answer is not None and answer.status_code == 303 for answer in answers)


def _finish(phone: Browser, made: Visit) -> None:
    page = phone.until("GET", "/tab")
    token = None if page is None else _TOKEN.search(page.text)
    if token is not None:
        answer = phone.until("POST", "/tab/finish", token=token[1])
        made.finished = answer is not None and answer.status_code == 303
