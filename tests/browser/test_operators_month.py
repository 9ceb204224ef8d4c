"""Ten tasks of an operator's month, with real processes: each by console, in a browser, and each by command.

How many steps each takes is what `docs/OPERATING.md` says. A step is a link, a button, a field or a list.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyotp
import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.order import Order
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import PRICE_MINOR, Profile, System
from arcade_shared.cabinet import JOURNAL_PATH
from support.chromium import Chromium

DOC = Path(__file__).parents[2] / "docs" / "OPERATING.md"
PASSWORD = "a long walk on the pier"
SHORT = Profile(pulse_ms=15, gap_ms=15, min_pulse_ms=10, min_gap_ms=10, start_after_ms=200, play_s=0.3)
PIER, MALL = "The pier", "The mall"
# Thirty machines in all: these have agents, the rest has only been registered.
WITH_AGENT = ("cab-01", "cab-02", "cab-03")
NUMBER = 30
DAY_S = 86_400


@dataclass
class Person:
    """Somebody at the console, whose steps are counted."""

    browser: Chromium
    url: str
    secret: str = ""
    steps: int = 0

    def follow(self, name: str) -> None:
        self.steps += 1
        self.browser.follow(name)

    def press(self, name: str) -> None:
        self.steps += 1
        self.browser.press(name)

    def write(self, label: str, text: str) -> None:
        self.steps += 1
        self.browser.write(label, text)

    def choose(self, label: str, option: str) -> None:
        self.steps += 1
        self.browser.choose(label, option)

    def begins(self) -> None:
        """At Today, where everybody is who has signed in."""
        self.browser.go(f"{self.url}/console/")
        self.steps = 0

    def reads(self, text: str) -> None:
        """It stands on the page."""
        said = " ".join(self.browser.text().split())
        assert text in said, said


@dataclass
class Month:
    """The arcade, who runs it, and what was bought in it."""

    system: System
    person: Person

    def final(self, order_id: str, **holds: Any) -> Order:
        """The order once it is settled, and has these values in its books."""

        def look() -> Order | None:
            with closing(SqliteStore(self.system.folder / "cloud.sqlite")) as store:
                order = store.order(order_id)
            assert order is not None
            is_so = all(getattr(order.books, name) == value for name, value in holds.items())
            return order if order.state == "settled" and is_so else None

        return wait_for(f"order {order_id} is settled, with {holds}", look, 40)

    def bought(self, machine_id: str, credits: int, method: str = "card") -> Order:
        """A purchase that has gone all the way."""
        return self.final(self.system.buy(machine_id, credits, method))

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command lists."""
        return [json.loads(line) for line in self.system.cli(*arguments, "--json").splitlines()]


@pytest.fixture(scope="module")
def month(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    folder = tmp_path_factory.mktemp("month")
    with System(folder, machine_ids=WITH_AGENT, profile=SHORT) as system:
        system.stripe.set_rules(balance_delay_s=0, available_after_days=0)
        lines = ["id,location,kind"]
        for number in range(1, NUMBER + 1):
            lines.append(f"cab-{number:02},{PIER if number % 2 else MALL},agent")
        (system.folder / "machines.csv").write_text("\n".join(lines) + "\n")
        system.cli("machine", "import", "machines.csv")
        system.cli("user", "add", "ann", "--role", "owner", "--password-stdin", typed=f"{PASSWORD}\n")
        person = Person(browser, system.url)
        signed_in_with_code(person)
        yield Month(system, person)


def signed_in_with_code(person: Person) -> None:
    """Somebody signs in for the first time, and sets up the second factor."""
    browser = person.browser
    browser.become(390, 844, scripts=False)
    browser.go(f"{person.url}/console/sign-in")
    browser.write("Name", "ann")
    browser.write("Password", PASSWORD)
    browser.press("Sign in")
    browser.go(f"{person.url}/console/account/second-factor")
    person.secret = browser.js("document.querySelector('code').textContent").replace(" ", "")
    browser.write("The six digits", pyotp.TOTP(person.secret).now())
    browser.write("Your password", PASSWORD)
    browser.press("Set it up")


def documented(task: str) -> int:
    """How many steps by console the manual names for a task."""
    for line in DOC.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == task:
            steps = re.search(r": (\d+)$", cells[1])
            assert steps, f"{task}: the manual does not say how many steps it takes"
            return int(steps[1])
    raise AssertionError(f"{task}: the manual does not have it")


@pytest.fixture
def task(month: Month) -> Iterator[Callable[[str], tuple[Month, Person]]]:
    """Begins a task at the console; at the end, its steps are the manual's."""
    names = []

    def begins(name: str) -> tuple[Month, Person]:
        names.append(name)
        month.person.begins()
        return month, month.person

    yield begins
    (steps,) = (documented(name) for name in names)
    assert month.person.steps == steps, f"{names[0]}: {month.person.steps} steps, and the manual says {steps}"


def offers_of(month: Month, machine_id: str) -> object:
    (machine,) = [row for row in month.rows("machine", "list") if row["id"] == machine_id]
    return machine["offers"]


def test_a_price_changes_on_thirty_machines(task):
    month, person = task("a price changes on 30 machines")
    person.follow("Machines")
    person.follow("Several at once")
    person.choose("Which", "all machines")
    person.press("Show")
    person.write("Offers", "1=2.00MYR 6=10.00MYR")
    person.press(f"Change the offers of {NUMBER}")
    person.reads(f"Done: {NUMBER}")
    by_console = offers_of(month, "cab-17")

    table = month.system.folder / "fleet.csv"
    month.system.cli("machine", "export", "-o", str(table))
    table.write_text(table.read_text().replace("6=10.00MYR", "6=11.00MYR"))
    month.system.cli("machine", "import", str(table))
    assert by_console != offers_of(month, "cab-17") == offers_of(month, "cab-30")


def test_an_order_is_found_by_its_code_and_two_of_six_credits_go_back(task):
    month, person = task("find the order by its code and refund two of six credits")
    order = month.bought("cab-01", 6)
    person.follow("Orders")
    person.write("Code", order.code.lower())
    person.press("Find")
    person.follow(order.code)
    person.write("Or for so many credits", "2")
    person.write("Reason", "The button sticks")
    person.press("See what it will do")
    person.reads("RM 4.00 of RM 12.00 go back")
    person.press("Give RM 4.00 back")
    month.final(order.order_id, goodwill_minor=2 * PRICE_MINOR)

    other = month.bought("cab-01", 6)
    (found,) = month.rows("order", "find", other.code)
    month.system.cli("order", "refund", found["id"], "--credits", "2", "--reason", "The button sticks", "--yes")
    month.final(other.order_id, goodwill_minor=2 * PRICE_MINOR)
    assert month.system.stripe.money()[-1]["kept"] == 4 * PRICE_MINOR


def test_who_refunded_what_last_week(task):
    month, person = task("who refunded what last week")
    order = month.bought("cab-02", 1)
    month.system.cli("order", "refund", order.order_id, "--reason", "It showed no picture", "--yes")
    person.follow("Audit")
    person.choose("What", "refund")
    person.write("Since", datetime.now(UTC).date().isoformat())
    person.press("Show")
    person.reads(f"command line root refund {order.order_id}")
    person.reads("It showed no picture")

    today = f"{datetime.now(UTC):%Y-%m-%d} 00:00Z"
    newest, *_ = month.rows("audit", "--act", "refund", "--since", today)
    assert (newest["on"], newest["result"]) == (order.order_id, "done")
    assert "It showed no picture" in newest["wish"]


def test_the_arcade_closes_for_the_night(task):
    month, person = task("close for the night")
    person.follow("Machines")
    person.follow("Several at once")
    person.choose("Which", MALL)
    person.press("Show")
    person.write("Reason", "We open at 10")
    person.write("Until", "10:00")
    person.press("Take")
    month.system.wait_ready("cab-02", ready=False)
    month.system.cli("machine", "in-service", "--location", MALL)
    month.system.wait_ready("cab-02")

    month.system.cli("machine", "out-of-service", "--all", "--until", "10:00", "--reason", "We open at 10")
    month.system.wait_ready("cab-01", ready=False)
    month.system.cli("machine", "in-service", "--all")
    month.system.wait_ready("cab-01")


def test_a_pi_is_replaced(task):
    """The old one is off, and its card is gone with all that it knew."""
    month, person = task("replace a Pi")
    cabinet = month.system.cabinets["cab-02"]
    cabinet.agent.stop()
    for part in cabinet.config.parent.glob("journal.sqlite*"):
        part.unlink()
    person.follow("Machines")
    person.follow("cab-02")
    person.press("Show its config")
    config = person.browser.js("document.querySelector('pre').textContent")
    assert config.split() == month.system.cli("machine", "config", "cab-02").split()

    # As the page says: the password, and how this cabinet is wired, are the old one's.
    old = tomllib.loads(cabinet.config.read_text())
    config = config.replace('password = ""', f'password = "{old["broker"]["password"]}"')
    for name in ("pulse_ms", "gap_ms"):
        config = re.sub(rf"^{name} = .*$", f"{name} = {old['coin'][name]}", config, flags=re.MULTILINE)
    journal = re.search(r'^path = "(.*journal.*)"$', cabinet.config.read_text(), re.MULTILINE)
    assert journal
    cabinet.config.write_text(config.replace(JOURNAL_PATH, journal[1]))
    cabinet.agent.start()
    month.system.wait_ready("cab-02")
    assert month.bought("cab-02", 2).delivered == 2


def test_which_machines_earned_nothing_this_week(task):
    month, person = task("which machines earned nothing this week")
    month.bought("cab-03", 1, "fpx")
    today = datetime.now(UTC).date().isoformat()
    person.follow("Takings")
    person.write("From", today)
    person.choose("By", "machine")
    person.press("Show")
    person.reads("cab-03 1 of 1")
    said = person.browser.text()
    _, idle = said.split("In service, and earned nothing")
    assert "cab-17" in idle
    assert "cab-03" not in idle

    rows = {row["machine"] for row in month.rows("takings", "--from", today, "--idle")}
    assert "cab-17" in rows
    assert "cab-03" not in rows


def test_a_month_s_statement_for_a_location(task):
    month, person = task("a month's statement for a location")
    month.bought("cab-02", 2, "fpx")
    person.follow("Takings")
    person.follow("The month's statement")
    person.write("Location", MALL)
    person.write("Share, per cent", "30")
    person.press("Show")
    person.reads(f"Statement for {datetime.now(UTC):%B %Y} {MALL}")
    rows = {row["line"]: row for row in month.rows("statement", "--location", MALL, "--share", "30")}
    person.reads(f"RM {rows['total']['kept']}")
    person.reads(f"Share of the location, 30 % of what was kept RM {rows['percentage']['amount']}")


def test_a_machine_died_at_three_in_the_morning(task):
    month, person = task("a machine died at 3 a.m.")
    month.system.cabinets["cab-03"].agent.kill()
    month.system.wait_ready("cab-03", ready=False)
    person.browser.go(f"{person.url}/console/")
    person.follow("cab-03")
    person.reads("offline")
    (machine,) = month.rows("machine", "show", "cab-03")
    assert "offline" in machine["state"]
    month.system.cabinets["cab-03"].agent.start()
    month.system.wait_ready("cab-03")


def test_a_new_clerk_may_see_and_no_more(task, browser):
    month, person = task("a new clerk who may only see")
    person.follow("People")
    person.write("Name to sign in with", "cleo")
    person.choose("Role", "viewer")
    person.write("Password", "a quiet evening at sea")
    person.press("Add")
    person.reads("cleo")
    month.system.cli("user", "add", "dan", "--role", "viewer", "--password-stdin", typed="the other quiet sea\n")
    assert {row["name"]: row["role"] for row in month.rows("user", "list")} == {
        "ann": "owner",
        "cleo": "viewer",
        "dan": "viewer",
    }


def test_why_a_payout_differs_from_the_takings(task):
    month, person = task("why does Stripe's payout differ from the takings")
    month.bought("cab-01", 3, "fpx")
    (payout,) = month.system.stripe.pay_out()
    month.system.stripe.advance(DAY_S)  # it has arrived: before that, Stripe does not say what it is of
    person.follow("Books")
    person.follow("Payouts")
    person.follow(payout["id"])
    person.reads("In the payout")
    (row,) = month.rows("reconcile", "--payout", payout["id"])
    (taken,) = month.rows("takings", "--by", "month")
    assert (row["charged"], row["refunded"]) == (taken["gross"], taken["goodwill"])
    person.reads(f"RM {row['charged']} RM {row['refunded']} RM 0.00 RM {row['fees']}")
