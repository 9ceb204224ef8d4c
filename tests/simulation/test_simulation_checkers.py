"""Each checker sees what it is there for, in evidence made by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from simulation.checkers import check
from simulation.evidence import (
    Act,
    Cause,
    Closed,
    Command,
    Condition,
    Evidence,
    Game,
    Limits,
    LineProfile,
    Pulse,
    Purchase,
    Refund,
    Registered,
    Restore,
    Said,
    Span,
    Stated,
    Step,
    Trouble,
    WrongClock,
)

CREDIT, HERE = "c-1", "a" * 32
LIMITS = Limits(120, 900, 21_600, 86_400, 10, 1)


def ack(delivered: int, *, at_ms: int = 900, **fields: Any) -> Said:
    words = {
        "machineId": "cab-1",
        "creditId": CREDIT,
        "installation": HERE,
        "state": "done",
        "final": True,
        "credits": 2,
        "delivered": delivered,
        "uncertain": 0,
        "reason": "",
    }
    return Said(at_ms, "arcade/machine/cab-1/ack", {**words, **fields})


def good() -> Evidence:
    """Two credits were bought for 400, pulsed, and paid."""
    evidence = Evidence(
        1, LIMITS, profiles={"cab-1": LineProfile(100, 100, 1)}, quiet_from_ms=1_000, ended_ms=10**9
    )
    evidence.purchases["cs"] = Purchase("cs", "o-1", "cab-1", 2, 400)
    evidence.money = [
        {
            "id": "pi",
            "session": "cs",
            "amount": 400,
            "status": "succeeded",
            "method": "card",
            "paid_ms": 0,
            "there_ms": 0,
            "hold_until_ms": 10**9,
            "captured": 400,
            "part_refused": False,
            "capture_mark": "400.ours",
            "kept": 400,
            "lost": 0,
            "dispute": "none",
            "refunds_failed": 0,
        }
    ]
    evidence.commands = [Command(10, "cab-1", CREDIT, 2, HERE, 120_000, "confirmed")]
    evidence.pulses = [
        Pulse("cab-1", "cab-1", HERE, CREDIT, 0, 100, 200),
        Pulse("cab-1", "cab-1", HERE, CREDIT, 1, 300, 400),
    ]
    evidence.told = [ack(2)]
    evidence.heard = [ack(2, at_ms=950)]
    evidence.steps = [
        Step(5, "o-1", "funded", None, "", CREDIT),
        Step(950, "o-1", "resolved", 2, "ack", CREDIT),
        Step(960, "o-1", "settled", 2, "ack", CREDIT, 960),
    ]
    evidence.takings = [
        {
            "order_id": "o-1",
            "number": 0,
            "serial": 1,
            "day": "1970-01-01",
            "at_ms": 960,
            "machine_id": "cab-1",
            "location": "",
            "method": "card",
            "currency": "myr",
            "ordered": 2,
            "delivered": 2,
            "gross_minor": 400,
            "goodwill_minor": 0,
            "lost_minor": 0,
            "fee_minor": 0,
        }
    ]
    evidence.receipts = [{"prefix": "", "number": 1, "order_id": "o-1"}]
    evidence.issued = [("", 1, "o-1")]
    play = {"orderId": "o-1", "machineId": "cab-1", "credits": 2, "delivered": 2}
    evidence.announced = [{"type": "play.delivered", "data": play}]
    evidence.orders = [
        {
            "order_id": "o-1",
            "kind": "checkout",
            "state": "settled",
            "payment_intent": "pi",
            "credit_id": CREDIT,
            "installation": HERE,
            "machine_id": "cab-1",
            "credits": 2,
            "delivered": 2,
            "uncertain": 0,
            "resolved_by": "ack",
            "paid_at_ms": 0,
            "created_at_ms": 0,
            "held": False,
        }
    ]
    return evidence


def test_a_good_life_breaks_nothing() -> None:
    broken, exceptions = check(good())
    assert not broken
    assert not exceptions


def _play(evidence: Evidence) -> dict[str, Any]:
    data: dict[str, Any] = evidence.announced[0]["data"]
    return data


def _pulse_again(evidence: Evidence) -> None:
    evidence.pulses.append(Pulse("cab-1", "cab-1", HERE, CREDIT, 1, 500, 600))


def _elsewhere(evidence: Evidence) -> None:
    evidence.pulses[1].installation = "b" * 32


def _early_silence(evidence: Evidence) -> None:
    evidence.orders[0]["resolved_by"] = "silence"
    evidence.alerts = [("unconfirmed", "o-1")]


def _set_back(evidence: Evidence) -> None:
    evidence.restores.append(Restore(900, 955, 1, 2))


def test_what_a_database_that_was_set_back_can_not_know_is_a_named_exception() -> None:
    evidence = good()
    _set_back(evidence)
    evidence.orders[0].update(state="settled", delivered=None, credit_id=None, resolved_by="")
    evidence.money[0].update(kept=0, capture_mark=None)
    evidence.takings.clear()
    evidence.receipts = []
    broken, exceptions = check(evidence)
    assert not broken
    assert exceptions == {"restored, and set back": 1}


def _readdressed_after_set_back(evidence: Evidence) -> None:
    _set_back(evidence)
    evidence.steps[1] = Step(940, "o-1", "funded", None, "", CREDIT)
    evidence.commands.append(Command(20, "cab-1", CREDIT, 2, "b" * 32, 120_000, "confirmed"))


def test_only_a_payment_by_a_static_link_may_meet_another_pi_after_a_database_was_set_back() -> None:
    evidence = good()
    _readdressed_after_set_back(evidence)
    evidence.orders[0]["kind"] = "link"
    evidence.pulses.append(Pulse("cab-1-spare", "cab-1", "b" * 32, CREDIT, 0, 960, 1060))
    evidence.profiles["cab-1-spare"] = evidence.profiles["cab-1"]
    broken, exceptions = check(evidence)
    assert not broken
    assert exceptions["restored, and two Pis"] == 1


def test_what_a_database_has_forgotten_begins_no_time_limit() -> None:
    evidence = good()
    _set_back(evidence)
    anew_ms = 8 * 10**7  # by the last resort
    evidence.steps[2:] = [
        Step(anew_ms + n, "o-1", ("resolved", "settled")[n], 2, "ack", CREDIT, anew_ms) for n in (0, 1)
    ]
    evidence.takings[0].update(at_ms=anew_ms, day="1970-01-01")
    assert not check(evidence)[0]


def _kept_after_set_back(evidence: Evidence) -> None:
    _set_back(evidence)
    evidence.pulses.pop()


def _second_after_set_back(evidence: Evidence) -> None:
    _set_back(evidence)
    evidence.steps.append(Step(970, "o-1", "funded", None, "", "c-2"))


def _late_by_more_than_clocks(evidence: Evidence) -> None:
    evidence.skew_ms = 5
    evidence.commands[0] = Command(10, "cab-1", CREDIT, 2, HERE, 90, "confirmed")


def _late_by_more_than_clocks_ahead(evidence: Evidence) -> None:
    """A clock that is ahead makes a Pi refuse sooner, and never later."""
    _late_by_more_than_clocks(evidence)
    evidence.wrong_clocks.append(WrongClock(0, 3_600_000, 1_000))


def _untold_game(evidence: Evidence) -> None:
    evidence.quiet_from_ms = 60_000
    evidence.games.append(Game("cab-1", "cab-1", 0))


def _game_told_twice(evidence: Evidence) -> None:
    _untold_game(evidence)
    evidence.game_overs.update(a=(1, "cab-1"), b=(2, "cab-1"))


def _accused(evidence: Evidence, *, heard_ms: int, off_ms: int = 0, wrong_ms: int = 0) -> None:
    """Called silent after an hour, by a cloud that hears itself; a clock was wrong around `wrong_ms`."""
    hour_ms = 3_600_000
    evidence.limits = replace(LIMITS, machine_silent_s=600)
    evidence.echoes = [(at_ms, at_ms) for at_ms in range(0, hour_ms + 1, 60_000)]
    evidence.stated.append(Stated(heard_ms, "cab-1", heard_ms))
    evidence.conditions.append(Condition("machine_silent", "cab-1", hour_ms, 2 * hour_ms))
    if off_ms:
        evidence.wrong_clocks.append(WrongClock(wrong_ms, off_ms, wrong_ms + 60_000))


def test_a_machine_that_was_heard_before_its_time_is_called_silent() -> None:
    evidence = good()
    _accused(evidence, heard_ms=2_000_000)
    assert not check(evidence)[0]


def test_what_comes_after_the_accusation_was_not_heard_before() -> None:
    evidence = good()
    _accused(evidence, heard_ms=3_660_000)
    evidence.stated[0] = Stated(3_660_000, "cab-1", 3_595_000)
    assert not check(evidence)[0]


def test_a_clock_that_was_an_hour_ahead_then_excuses_an_accusation() -> None:
    evidence = good()
    _accused(evidence, heard_ms=3_500_000, off_ms=3_600_000, wrong_ms=3_550_000)
    assert not check(evidence)[0]


def _cut(registered_ms: int, *, delivered: int) -> Callable[[Evidence], None]:
    """The power fails after the second credit, in a cabinet whose meter counts."""

    def change(evidence: Evidence) -> None:
        evidence.metered["cab-1"] = True
        evidence.registered.append(Registered(registered_ms, "cab-1", CREDIT))
        evidence.causes.append(Cause(400, "agent died", "cab-1"))
        evidence.told = [ack(delivered, reason="restarted", uncertain=1, registered=delivered)]
        evidence.orders[0].update(delivered=delivered, uncertain=1)
        evidence.takings[0].update(delivered=delivered)
        evidence.money[0].update(kept=200 * delivered, captured=200 * delivered, capture_mark=None)

    return change


def test_what_the_meter_said_too_late_to_be_written_down_is_a_named_exception() -> None:
    evidence = good()
    _cut(250, delivered=0)(evidence)
    broken, exceptions = check(evidence)
    assert not [b for b in broken if b.checker == "money"]
    assert exceptions == {"not registered in time": 1}


def _last_resort(off_ms: int, wrong_ms: int) -> Callable[[Evidence], None]:
    """Closed an hour after the machine was asked; a clock was wrong around `wrong_ms`."""

    def change(evidence: Evidence) -> None:
        evidence.wrong_clocks.append(WrongClock(wrong_ms, off_ms, wrong_ms + 60_000))
        evidence.orders[0].update(resolved_by="last resort")
        evidence.alerts = [("unconfirmed", "o-1")]
        asked, closed_ms = Step(125_000, "o-1", "revoking", None, "", CREDIT), 3_725_000
        evidence.steps[1:] = [
            asked,
            *(Step(closed_ms, "o-1", state, 2, "last resort", CREDIT) for state in ("resolved", "settled")),
        ]

    return change


@pytest.mark.parametrize("off_ms", [-86_400_000, 86_400_000])
def test_a_clock_that_was_a_day_off_then_excuses_no_early_last_resort(off_ms: int) -> None:
    """Such a process ends no wait for a machine."""
    evidence = good()
    _last_resort(off_ms, 3_700_000)(evidence)
    assert "words" in {b.checker for b in check(evidence)[0]}


def _taken_back(*, captured_ms: int) -> Callable[[Evidence], None]:
    """The money went back after a database was set back and the secret of its mark was taken away."""

    def change(evidence: Evidence) -> None:
        _given_back_after_set_back(evidence)
        evidence.acts.append(Act(captured_ms, "capture", "pi"))
        evidence.troubles.append(Trouble(910, 980, "signing secret rotated"))

    return change


def test_a_capture_that_was_forgotten_with_its_secret_is_a_named_exception() -> None:
    evidence = good()
    _taken_back(captured_ms=920)(evidence)
    broken, exceptions = check(evidence)
    assert "money" not in {b.checker for b in broken}
    assert exceptions["restored, and its secret gone"] == 1


def _set(**changes: Any) -> Callable[[Evidence], None]:
    return lambda evidence: evidence.orders[0].update(changes)


def _money(**changes: Any) -> Callable[[Evidence], None]:
    return lambda evidence: evidence.money[0].update(changes)


def _pulse(number: int, **changes: Any) -> Callable[[Evidence], None]:
    def change(evidence: Evidence) -> None:
        for name, value in changes.items():
            setattr(evidence.pulses[number], name, value)

    return change


def _given_back_after_set_back(evidence: Evidence) -> None:
    _kept_after_set_back(evidence)
    _money(kept=0)(evidence)


def _captured_all(evidence: Evidence) -> None:
    _set(delivered=1)(evidence)
    _money(kept=200)(evidence)
    evidence.pulses.pop()


def _foreign(evidence: Evidence) -> None:
    """Another shop's payment, and the cloud gives it back."""
    evidence.money.append({**evidence.money[0], "id": "pi-lamp", "session": "cs-lamp", "kept": 0})
    evidence.foreign["cs-lamp"] = "theirs: nothing"
    evidence.acts.append(Act(900, "refund", "pi-lamp"))


def _misspelt(evidence: Evidence, **fields: Any) -> None:
    """A static link without a machine, which nobody touches."""
    link = {"id": "pi-2", "session": "cs-2", "amount": 400, "kept": 400, "held": 0}
    evidence.money.append({**evidence.money[0], **link, **fields})
    evidence.purchases["cs-2"] = Purchase("cs-2", None, "CAB-1", 2, 400, deliverable=False)


def _returned_by_itself(evidence: Evidence) -> None:
    _misspelt(evidence, kept=0)
    evidence.acts.append(Act(900, "refund", "pi-2"))


def _unplugged(evidence: Evidence) -> None:
    """14 credits after the cable was pulled: 12 are published for a credit of 200 ms, and one is under way."""
    evidence.unplugged.append(Span("cab-1", 50))
    evidence.pulses += [
        Pulse("cab-1", "cab-1", HERE, CREDIT, n, 100 + 200 * n, 200 + 200 * n) for n in range(2, 14)
    ]


def _out_of_sale(evidence: Evidence) -> None:
    """Three trains of which nothing was registered, and another."""
    evidence.metered["cab-1"] = False
    for number in range(4):
        credit_id, at_ms = f"c-{number + 5}", 2_000 + 1_000 * number
        evidence.pulses.append(Pulse("cab-1", "cab-1", HERE, credit_id, 0, at_ms, at_ms + 100))
        words = {"creditId": credit_id, "registered": 0, "reason": "coins not registered: 0 of 1"}
        evidence.told.append(ack(1, at_ms=at_ms + 500, **words))


def _metered(counts: bool, **words: Any) -> Callable[[Evidence], None]:
    def change(evidence: Evidence) -> None:
        evidence.metered["cab-1"] = counts
        evidence.told = [ack(2, **words)]

    return change


def test_a_refund_that_failed_days_later_may_have_hidden_the_money_from_whoever_looked() -> None:
    evidence = good()
    _misspelt(evidence, refunds_failed=1)
    assert ("alerts", "no alert unclaimed about pi-2") not in {
        (one.checker, one.text) for one in check(evidence)[0]
    }
    evidence.money[-1]["refunds_failed"] = 0
    assert ("alerts", "no alert unclaimed about pi-2") in {(one.checker, one.text) for one in check(evidence)[0]}


def test_a_machine_that_a_technician_has_mended_is_sold_again() -> None:
    evidence = good()
    _out_of_sale(evidence)
    assert "meters" in {broken.checker for broken in check(evidence)[0]}
    evidence.mended.append(Span("cab-1", 4_800))
    assert "meters" not in {broken.checker for broken in check(evidence)[0]}


def _closed(spoil: Callable[[Evidence], object]) -> Callable[[Evidence], object]:
    """The machine is out of service meanwhile."""

    def change(evidence: Evidence) -> None:
        evidence.closed.append(Closed("cab-1", 0, 10**8))
        spoil(evidence)

    return change


def _link_while_closed(evidence: Evidence) -> None:
    _set(kind="link")(evidence)
    _money(paid_ms=100_000, there_ms=100_000)(evidence)
    evidence.commands[0] = Command(100_010, "cab-1", CREDIT, 2, HERE, 120_000, "confirmed")


WAYS: dict[str, tuple[str, Callable[[Evidence], object]]] = {
    "pulsed more than charged for": ("money", lambda e: e.pulses.pop()),
    "kept more than due": ("money", _set(delivered=1)),
    "a dispute that took what was earned, without a loss": ("money", _money(lost=100)),
    "all of a hold captured and the rest given back": ("money", _captured_all),
    "given back more than due": ("money", _money(kept=300)),
    "a refund that was promised": ("money", lambda e: e.refunds.append(Refund(970, "o-1", 0, True))),
    "kept more than was pulsed, after a database was set back": ("money", _kept_after_set_back),
    "what was captured given back, after a database was set back": ("money", _given_back_after_set_back),
    "a second credit, after a database was set back": ("books", _second_after_set_back),
    "addressed anew, after a database was set back": ("paid", _readdressed_after_set_back),
    "begun later than the clocks differ": ("pulses", _late_by_more_than_clocks),
    "paid, and on no record": ("money", lambda e: e.orders[0].update(payment_intent=None)),
    "paid, and abandoned": ("money", _set(state="abandoned")),
    "uncertain without a power cut": (
        "money",
        lambda e: (e.orders[0].update(delivered=1, uncertain=1), _money(kept=200)(e))[0],
    ),
    "money of another shop": ("ownership", _foreign),
    "a link without a machine that goes back by itself": ("ownership", _returned_by_itself),
    "a link without a machine of which a part is gone": ("money", lambda e: _misspelt(e, kept=300)),
    "a link without a machine that nobody is told of": ("alerts", _misspelt),
    "commanded before the money was there": ("paid", _money(there_ms=11)),
    "never paid": ("paid", _money(paid_ms=None)),
    "another number than was bought": (
        "paid",
        lambda e: e.purchases.update(cs=Purchase("cs", "o-1", "cab-1", 1, 400)),
    ),
    "a life too long": (
        "paid",
        lambda e: e.commands.append(Command(20, "cab-1", CREDIT, 2, HERE, 200_000, "confirmed")),
    ),
    "a credit of nobody's": ("paid", _set(credit_id=None)),
    "pulsed twice": ("pulses", _pulse_again),
    "pulsed by two": ("pulses", _elsewhere),
    "pulsed without a command": ("pulses", lambda e: e.commands.clear()),
    "begun after its expiry": (
        "pulses",
        lambda e: e.commands.__setitem__(0, Command(10, "cab-1", CREDIT, 2, HERE, 90, "confirmed")),
    ),
    "more than ordered": (
        "pulses",
        lambda e: e.commands.__setitem__(0, Command(10, "cab-1", CREDIT, 1, HERE, 120_000, "confirmed")),
    ),
    "pulsed after the last word": ("pulses", lambda e: e.told.append(ack(2, at_ms=250))),
    "two last words": ("answers", lambda e: e.told.append(ack(1))),
    "the line left active": ("line", _pulse(1, off_ms=None)),
    "a short pulse": ("line", _pulse(1, off_ms=350)),
    "merged pulses": ("line", _pulse(1, on_ms=201, off_ms=400)),
    "pulsed while the machine was not ready": ("trains", lambda e: e.not_ready.append(Span("cab-1", 250))),
    "pulsed on without its network": ("trains", _unplugged),
    "a train too long": ("trains", _pulse(1, on_ms=70_000, off_ms=70_100)),
    "kept more than was registered": ("meters", _metered(True, registered=2, reason="")),
    "missed coins, and not said": ("meters", _metered(False, registered=1, reason="")),
    "said to have missed coins, and not so": (
        "meters",
        _metered(False, registered=2, reason="coins not registered: 1 of 2"),
    ),
    "sold on after three trains without a coin": ("meters", _out_of_sale),
    "closed twice": ("books", lambda e: e.steps.append(Step(970, "o-1", "settled", 1, "ack", CREDIT))),
    "a second credit": ("books", lambda e: e.steps.append(Step(970, "o-1", "settled", 2, "ack", "c-2"))),
    "a word that nobody said": ("words", lambda e: e.told.clear()),
    "silence too early": ("words", _early_silence),
    "not booked": ("takings", lambda e: e.takings.clear()),
    "booked twice": ("takings", lambda e: e.takings.append(e.takings[0])),
    "booked on another day": ("takings", lambda e: e.takings[0].update(day="1970-01-02")),
    "booked when nothing settled it": ("takings", lambda e: e.takings[0].update(at_ms=950)),
    "booked as given back, and kept": ("takings", lambda e: e.takings[0].update(goodwill_minor=100)),
    "booked at another machine": ("takings", lambda e: e.takings[0].update(machine_id="cab-2")),
    "booked, and in no tally": ("takings", lambda e: setattr(e, "tallies", [])),
    "booked as paid by other means": ("takings", lambda e: e.takings[0].update(method="fpx")),
    "sold, and without a receipt": ("receipts", lambda e: setattr(e, "receipts", [])),
    "numbered from two on": ("receipts", lambda e: (e.receipts or [])[0].update(number=2)),
    "two receipts for one order": ("receipts", lambda e: (e.receipts or []).append(_receipt(number=2))),
    "a receipt for nothing": ("receipts", lambda e: (e.receipts or []).append(_receipt(number=2, order_id="o-2"))),
    "a receipt that never gets its number": ("receipts", lambda e: setattr(e, "receipts_waiting", 1)),
    "a number that two have read": ("receipts", lambda e: e.issued.append(("", 1, "o-2"))),
    "two numbers that one has read": ("receipts", lambda e: e.issued.append(("A-", 1, "o-1"))),
    "a delivery that software is not told of": ("announced", lambda e: e.announced.clear()),
    "a delivery that software is told of twice": ("announced", lambda e: e.announced.append(e.announced[0])),
    "software is told of more than was delivered": ("announced", lambda e: _play(e).update(delivered=3)),
    "software is told of another machine": ("announced", lambda e: _play(e).update(machineId="cab-2")),
    "software is told of a refund that was none": (
        "announced",
        lambda e: e.announced.append(
            {"type": "order.refunded", "data": {"orderId": "o-1", "refunded": "1.00", "currency": "MYR"}}
        ),
    ),
    "software is told of an order that is none": ("announced", lambda e: _play(e).update(orderId="o-2")),
    "never final": ("final", _set(state="revoking")),
    "closed too late": (
        "final",
        lambda e: e.steps.__setitem__(slice(1, 3), [Step(10**8, "o-1", "settled", 2, "ack", CREDIT)]),
    ),
    "an alert without a cause": ("alerts", lambda e: e.alerts.append(("loss", "o-1"))),
    "no alert of a failed refund": ("alerts", _money(refunds_failed=1)),
    "a game over that nobody told": ("games", _untold_game),
    "a game over that was told twice": (
        "games",
        _game_told_twice,
    ),
    "begun at a machine out of service": ("closed", _closed(_set(created_at_ms=200_000))),
    "paid once every page had expired": ("closed", _closed(_money(paid_ms=3_600_000, there_ms=3_600_000))),
    "delivered by a machine out of service for a static link": ("closed", _closed(_link_while_closed)),
    "called silent while out of service": (
        "closed",
        _closed(lambda e: e.conditions.append(Condition("machine_silent", "cab-1", 200_000, 300_000))),
    ),
    "called silent before, and still": (
        "closed",
        _closed(lambda e: e.conditions.append(Condition("machine_silent", "cab-1", 0, None))),
    ),
    "called silent, and heard": ("alerts", lambda e: _accused(e, heard_ms=3_500_000)),
    "called silent, and heard, with a clock that was wrong long before": (
        "alerts",
        lambda e: _accused(e, heard_ms=3_500_000, off_ms=3_600_000, wrong_ms=100_000),
    ),
    "begun after its expiry, with a clock that was ahead": (
        "pulses",
        _late_by_more_than_clocks_ahead,
    ),
    "the last resort too early": ("words", _last_resort(86_400_000, 10 * 86_400_000)),
    "registered in time, and given back": ("money", _cut(150, delivered=0)),
    "a capture given back that no database had forgotten": ("money", _taken_back(captured_ms=880)),
    "a defect": ("defects", lambda e: e.defects.append("Traceback")),
}


def _receipt(**fields: Any) -> dict[str, Any]:
    return {"prefix": "", "number": 1, "order_id": "o-1", **fields}


@pytest.mark.parametrize("way", WAYS)
def test_a_checker_sees_what_it_is_there_for(way: str) -> None:
    checker, spoil = WAYS[way]
    evidence = good()
    spoil(evidence)
    broken, _ = check(evidence)
    assert checker in {b.checker for b in broken}, broken
