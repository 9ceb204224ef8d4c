"""The demo's arcade as its operator sees it: twelve machines, what needs a person, and takings that were paid."""

import csv
import html
import io
import re
from collections.abc import Iterator

import pytest

from arcade_sandbox.arcade import AWAY, CLOSED, MACHINES, NEVER_PLAYED, WORN_METER, Arcade
from arcade_sandbox.console_visit import ConsoleVisit, add_owner, add_person
from arcade_sandbox.processes import wait_for
from support.arcade import SILENT_S, hears_long_enough, quick_arcade

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def arcade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arcade]:
    with quick_arcade(tmp_path_factory.mktemp("arcade")) as arcade:
        yield arcade


@pytest.fixture(scope="module")
def owner(arcade: Arcade) -> ConsoleVisit:
    """Somebody who has signed in at the console with password and code."""
    visit = add_owner(arcade.system, "ann")
    visit.sign_in()
    return visit


def words(text: str) -> str:
    """What a page says."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_every_machine_is_on_today_and_on_the_machines_page(owner: ConsoleVisit) -> None:
    for path in ("/console/", "/console/machines"):
        page = owner.get(path).text
        assert [machine_id for machine_id in MACHINES if f'/console/machines/{machine_id}"' not in page] == [], (
            path
        )
        assert [setup.name for setup in MACHINES.values() if setup.name not in words(page)] == [], path


def test_takings_are_what_the_players_paid(arcade: Arcade, owner: ConsoleVisit) -> None:
    paid: dict[str, int] = {}
    for purchase in (*arcade.purchases, *arcade.crowd.paid):
        paid[purchase.machine_id] = paid.get(purchase.machine_id, 0) + purchase.amount_minor
    shown = csv.DictReader(io.StringIO(owner.get("/console/takings.csv?by=machine").text))
    gross = {row["machine"]: round(float(row["gross"]) * 100) for row in shown}
    assert gross == paid
    assert NEVER_PLAYED not in gross
    given_back = 450  # one of two credits for 9.00
    kept = f"RM {(sum(paid.values()) - given_back) / 100:.2f}"
    assert kept in words(owner.get("/console/").text)
    assert kept in words(owner.get("/console/takings").text)


def test_what_needs_a_person_is_on_top(arcade: Arcade, owner: ConsoleVisit) -> None:
    alerts = words(owner.get("/console/alerts").text)
    assert f"Machine {WORN_METER} is out of sale: its coin meter missed coins" in alerts
    assert f"The coin meter of machine {WORN_METER} counted fewer coins than were pulsed" in alerts
    assert "The player disputes the payment" in alerts
    assert "A payment of RM 2.00 may be meant for this arcade" in alerts
    today = words(owner.get("/console/").text)
    assert "1 payment waits for a decision" in today
    assert "The left drum is being mended" in words(owner.get(f"/console/machines/{CLOSED}").text)
    assert "hoops-O1" in words(owner.get("/console/payments").text)


def test_a_machine_that_lost_its_network_needs_a_person(arcade: Arcade, owner: ConsoleVisit) -> None:
    def alerted() -> bool:
        hears_long_enough(arcade)
        return f"{AWAY}" in words(owner.get("/console/alerts").text)

    wait_for("an alert about the machine that is away", alerted, 3 * SILENT_S)
    assert not arcade.system.machine_state(AWAY)["ready"]


def test_books_name_what_differs_from_stripe(arcade: Arcade, owner: ConsoleVisit) -> None:
    arcade.compare_books()
    books = words(owner.get("/console/books").text)
    paid = sum(purchase.amount_minor for purchase in (*arcade.purchases, *arcade.crowd.paid))
    by_sticker = 200
    assert f"Charged at Stripe RM {(paid + by_sticker) / 100:.2f} Given back RM 4.50 Disputed RM 10.00" in books
    for cause in ("a payment that waits for a decision", "disputed", "the coin meter counted fewer coins"):
        assert cause in books.casefold()


def test_who_may_only_see_gets_in_without_a_code(arcade: Arcade) -> None:
    viewer = add_person(arcade.system, "mei", "viewer")
    viewer.sign_in()
    assert viewer.get("/console/takings").ok


def test_it_ends_in_order_and_leaves_nothing_behind(arcade: Arcade) -> None:
    agents = [cabinet.agent for cabinet in arcade.system.cabinets.values()]
    arcade.close()
    assert [agent.child.returncode for agent in agents if agent.child is not None] == [0] * len(agents)
    assert not arcade.system.cloud.running
