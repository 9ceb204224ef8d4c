"""The published times, by the figures of docs/ORDER_LIFE.md, in evidence made by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from simulation.bound_checker import ENDS, SLACK_S, Bounds, check_final, ends_of
from simulation.checkers import Case
from simulation.coverage import Coverage
from simulation.evidence import Evidence, Said, Step, Trouble
from simulation.test_simulation_checkers import CREDIT, ack, good

S = 1_000
TIMER_MS = 1 * S
SLACK_MS = SLACK_S * S
END_MS = 10**9


def closed_at(at_ms: int, *, by: str = "silence", held: bool = False) -> Evidence:
    """Paid at 0 and charged or held, the machine never said anything, closed then and settled at once."""
    evidence = good()
    evidence.told, evidence.heard, evidence.pulses = [], [], []
    evidence.orders[0].update(resolved_by=by, delivered=0, held=held)
    evidence.money[0].update(kept=0, hold_until_ms=7 * 86_400 * S if held else None, method="card")
    evidence.steps = [
        Step(5, "o-1", "funded", None, "", CREDIT),
        Step(at_ms, "o-1", "resolved", 0, by, CREDIT),
        Step(at_ms + 10, "o-1", "settled", 0, by, CREDIT),
    ]
    return evidence


def late(evidence: Evidence) -> list[str]:
    """What came too late."""
    return [broken.text for broken in check_final(Case(evidence))]


def trouble(begin_s: int, end_s: int, what: str) -> Callable[[Evidence], None]:
    return lambda evidence: evidence.troubles.append(Trouble(begin_s * S, end_s * S, what))


DEAF = trouble(0, END_MS, "acks lost for good")
# As the document's table has them, with the default limits.
TIMES: dict[str, tuple[int, bool, list[Callable[[Evidence], None]]]] = {
    "silent, charged": (1_150, False, []),
    "silent, held": (21_850, True, []),
    "nothing is heard, charged": (86_580, False, [DEAF]),
    "nothing is heard, held": (86_580, True, [DEAF]),
    # It begins to hear after an hour; the first revoke that the broker takes comes a minute later at most.
    "nothing was heard for an hour": (
        3_600 + 60 + 900 + 2 * 60 + 10,
        False,
        [trouble(0, 3_600, "acks held up")],
    ),
    # What hears for less than the limit proves nothing.
    "heard for ten minutes at a time": (
        7_200 + 60 + 900 + 2 * 60 + 10,
        False,
        [trouble(0, 3_600, "acks held up"), trouble(4_200, 7_200, "acks lost on their way")],
    ),
    "the cloud was down when the last resort came": (
        90_000 + 60,
        False,
        [DEAF, trouble(80_000, 90_000, "cloud down")],
    ),
    "a message is lost now and then, after it was closed": (1_150, False, [trouble(2_000, 9_000, "broker down")]),
}


@pytest.mark.parametrize("name", TIMES)
def test_an_order_is_closed_in_the_published_time(name: str) -> None:
    published_s, held, troubles = TIMES[name]
    in_time = closed_at(published_s * S, held=held)
    too_late = closed_at(published_s * S + 4 * TIMER_MS + SLACK_MS + 1, held=held)
    for evidence in (in_time, too_late):
        for begin in troubles:
            begin(evidence)
    assert late(in_time) == []
    assert [text for text in late(too_late) if "closed" in text]


def test_a_short_hold_is_not_waited_for_as_long() -> None:
    """Half of its life where silence is proven, three quarters in any case."""
    for bound_s, troubles in ((4_000 + 2 * 60 + 10, []), (6_000 + 60, [DEAF])):
        for at_ms, expected in ((bound_s * S, 0), (bound_s * S + 4 * TIMER_MS + SLACK_MS + 1, 1)):
            evidence = closed_at(at_ms, held=True)
            evidence.money[0]["hold_until_ms"] = 8_000 * S
            for begin in troubles:
                begin(evidence)
            assert len(late(evidence)) == expected


def test_a_final_word_that_was_heard_closes_its_order_at_once() -> None:
    evidence = good()
    evidence.heard = [ack(2, at_ms=940)]
    assert late(evidence) == ["o-1 was closed, its machine's word known, 0 s after it had to be"]
    evidence.heard = [ack(2, at_ms=940, installation="b" * 32)]
    assert late(evidence) == []


def _moved(*steps: tuple[int, str], **order: Any) -> Evidence:
    evidence = closed_at(1_000)
    evidence.steps = [Step(at_s * S, "o-1", state, None, "", None) for at_s, state in steps]
    evidence.orders[0].update(credit_id=None, resolved_by="", delivered=None, **order)
    return evidence


def test_a_payment_that_no_webhook_tells_of_is_known_within_an_hour() -> None:
    assert late(_moved((3_600, "returning"), (3_601, "settled"))) == []
    assert late(_moved((3_700, "returning"), (3_701, "settled"))) == [
        "o-1 was known to be paid 68 s after it had to be"
    ]


def test_a_payment_by_a_static_link_is_found_within_a_quarter_of_an_hour() -> None:
    for found_s, expected in ((900, 0), (1_000, 1)):
        evidence = _moved((found_s, "returning"), (found_s + 1, "settled"), kind="link")
        purchase = evidence.purchases["cs"]
        evidence.purchases["cs"] = type(purchase)("cs", None, purchase.machine_id, 2, 400)
        assert len(late(evidence)) == expected


def test_money_is_where_it_belongs_soon_after_stripe_can_be_reached() -> None:
    evidence = _moved((10, "returning"), (100, "settled"))
    assert late(evidence) == ["o-1 was settled 58 s after it had to be"]
    trouble(5, 50, "Stripe down")(evidence)
    assert late(evidence) == []


@pytest.mark.parametrize(("decided_s", "look_s"), [(9_000, 3_600), (4 * 86_400, 6 * 3_600)])
def test_money_that_a_bank_sends_after_all_goes_back_at_the_next_look(decided_s: int, look_s: int) -> None:
    for late_s, expected in ((look_s, 0), (look_s + 200, 1)):
        evidence = _moved((10, "returning"), (decided_s + late_s, "settled"), kind="stray")
        evidence.money[0]["there_ms"] = decided_s * S
        assert len([text for text in late(evidence) if "settled" in text]) == expected


def test_an_order_that_nobody_pays_is_given_up_within_an_hour_of_its_pages_end() -> None:
    for at_s, expected in ((1_860 + 3_600, 0), (1_860 + 3_700, 1)):
        evidence = _moved((at_s, "abandoned"), state="abandoned")
        evidence.money[0]["paid_ms"] = None
        assert len(late(evidence)) == expected


def test_a_fault_lasts_as_long_as_it_lasts() -> None:
    case = Case(closed_at(1_000))
    case.evidence.troubles = [Trouble(10, 20, "cloud down"), Trouble(15, 40, "store down")]
    bounds = Bounds(case)
    assert bounds.last_resort(-120 * S + 12, None) == 40 + (86_400 + 60) * S + 3 * TIMER_MS + SLACK_MS


def test_how_orders_end_is_counted_and_none_may_be_missing() -> None:
    """The way in which every order ended by the last resort, because no echo was ever read, went unseen once."""
    counted = ends_of(Case(closed_at(1_000, held=True))) + ends_of(Case(closed_at(1_000, by="last resort")))
    assert counted == {"silence, held": 1, "last resort, charged": 1}
    coverage = Coverage()
    coverage.ends.update(counted)
    missing = [what for what in coverage.missing() if what.startswith("end of an order")]
    assert len(missing) == len(ENDS) - 2
    assert "end of an order: silence, charged" in missing


def test_the_words_of_others_close_nothing() -> None:
    evidence = closed_at(1_150 * S)
    evidence.heard = [Said(5, "arcade/machine/cab-2/ack", {**ack(2).fields, "machineId": "cab-2"})]
    assert late(evidence) == []
