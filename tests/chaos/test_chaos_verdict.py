"""The account finds each kind of broken promise in evidence made by hand, and none where nothing is wrong."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.findings import read_line, words_in
from chaos.verdict import Evidence, Foreign, Line, Paid, Pulse, Sold, Tab, Word, check
from chaos.visits import Visit

CREDIT, OTHER = "018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000002"


def pulses(*began_ms: float, width_ms: float = 15) -> list[Pulse]:
    return [Pulse(moment, moment + width_ms) for moment in began_ms]


def sold(**changes: object) -> Sold:
    order = Sold(
        order_id="ord_1",
        machine_id="cab-01",
        kind="checkout",
        credits=3,
        amount_minor=600,
        state="settled",
        credit_id=CREDIT,
        credit_made_ms=1_000,
        delivered=3,
        resolved_by="ack",
        kept_minor=600,
        booked_minor=600,
        booked_credits=3,
    )
    booked = {"booked_credits": changes["delivered"] or 0} if "delivered" in changes else {}
    return replace(order, **{**booked, **changes})  # type: ignore[arg-type]


def test_an_order_that_is_not_booked_as_it_was_settled_is_found() -> None:
    for wrong in ({"booked_minor": 500}, {"booked_credits": 2}):
        assert found(replace(WELL, orders=[sold(**wrong)])) == {"not booked"}
    unpaid = sold(state="abandoned", delivered=None, booked_credits=0)
    assert "not booked" in found(replace(WELL, orders=[unpaid]))


def word(**changes: object) -> Word:
    said = Word(CREDIT, "cab-01", final=True, delivered=3, uncertain=0, told_ms=2_000)
    return replace(said, **changes)  # type: ignore[arg-type]


# Three credits bought, paid, pulsed, reported and kept.
WELL = Evidence(
    lines=[Line("cab-01", pulses(1_100, 1_130, 1_160))],
    words=[word(), word(told_ms=None)],
    commands={CREDIT: 3},
    orders=[sold()],
    payments=[Paid("ord_1", 600, had_money=True, kept_minor=600)],
    bought={"ord_1": 3},
    granted=frozenset(),
)
GRANT = sold(order_id="grant_1", kind="grant", amount_minor=0)


def found(seen: Evidence) -> set[str]:
    return {violation.kind for violation in check(seen).violations}


def kept(minor: int, held_minor: int = 0) -> list[Paid]:
    return [Paid("ord_1", 600, had_money=True, kept_minor=minor, held_minor=held_minor)]


def line(*began_ms: float, width_ms: float = 15) -> list[Line]:
    return [Line("cab-01", pulses(*began_ms, width_ms=width_ms))]


def test_where_all_is_well_nothing_is_found() -> None:
    account = check(WELL)
    assert account.violations == ()
    figures = (account.orders_paid, account.credits_paid, account.pulses, account.reported, account.given_back)
    assert figures == (1, 3, 3, 3, 0)


UNTOLD = replace(WELL, words=[])
SILENT = sold(delivered=0, resolved_by="silence", alerts=frozenset({"unconfirmed"}))


@pytest.mark.parametrize(
    "seen",
    [
        # Two of three, and the price of two kept.
        replace(
            WELL,
            lines=line(1_100, 1_130),
            words=[word(delivered=2)],
            orders=[sold(delivered=2)],
            payments=kept(400),
        ),
        # A power cut in the third pulse: whether the board counted it or not.
        *(
            replace(
                WELL,
                lines=line(*moments),
                words=[word(delivered=2, uncertain=1)],
                orders=[sold(delivered=2)],
                payments=kept(400),
            )
            for moments in ((1_100, 1_130), (1_100, 1_130, 1_160))
        ),
        # Refunded by the operator, who said so; or whose command broke off, with either outcome.
        replace(WELL, payments=kept(0), refunds={"ord_1": (0, True)}),
        replace(WELL, payments=kept(0), refunds={"ord_1": (0, False)}),
        replace(WELL, payments=kept(600), refunds={"ord_1": (0, False)}),
        # A silent machine that had pulsed: the player gains, and it is on record.
        replace(WELL, orders=[SILENT], payments=kept(0)),
        replace(WELL, orders=[SILENT], payments=kept(0), words=[]),
        # Nothing was ever sent, because the payment became known too late.
        replace(
            WELL,
            lines=line(),
            words=[],
            commands={},
            orders=[sold(credit_id=None, credit_made_ms=None, delivered=None)],
            payments=kept(0),
        ),
        # A grant that was asked for.
        replace(WELL, orders=[GRANT], payments=[], bought={}, granted=frozenset({"grant_1"})),
        # A page that nobody was ever sent to.
        replace(WELL, orders=[*WELL.orders, sold(order_id="ord_2", state="open", credit_id=None, delivered=None)]),
        # A long pulse, because the agent was frozen in it.
        replace(
            WELL,
            lines=[Line("cab-01", [*pulses(1_100, 1_130), Pulse(1_160, 9_000)], away=[(1_170, 8_990)])],
            words=[word(told_ms=9_100)],
        ),
    ],
)
def test_what_may_be_is_not_held_against_the_system(seen: Evidence) -> None:
    assert check(seen).violations == ()


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        # Credits: pulsed too often, not at all, for nobody, at the wrong time.
        (replace(WELL, lines=line(1_100, 1_130, 1_160, 1_190)), "doubled"),
        (replace(WELL, lines=line(1_100, 1_130, 1_160, 50_000)), "doubled"),
        (replace(WELL, lines=line(1_100, 1_130)), "lost"),
        (replace(WELL, lines=line(200, 1_130, 1_160)), "lost"),
        (replace(WELL, lines=line()), "lost"),
        (replace(WELL, commands={CREDIT: 3, OTHER: 1}), "unpaid"),
        (replace(WELL, words=[word(), word(credit_id=OTHER)]), "unpaid"),
        (replace(WELL, payments=[]), "unpaid"),
        (replace(WELL, payments=[replace(kept(0)[0], had_money=False)]), "unpaid"),
        (replace(WELL, orders=[GRANT], payments=[], bought={}), "unpaid"),
        (replace(WELL, commands={CREDIT: 5}), "doubled"),
        (replace(WELL, commands={CREDIT: 2}), "lost"),
        # Money: kept too much or too little, held, paid for no order, sold less than was bought.
        (replace(WELL, words=[word(delivered=2)], lines=line(1_100, 1_130)), "lost"),
        (replace(WELL, refunds={"ord_1": (0, True)}), "lost"),
        (replace(UNTOLD, lines=line(), orders=[SILENT]), "lost"),
        (replace(WELL, payments=kept(400)), "given away"),
        (replace(WELL, payments=kept(0, held_minor=600)), "not final"),
        (replace(WELL, payments=[*kept(600), Paid("ord_2", 200, had_money=True, kept_minor=200)]), "lost"),
        (replace(WELL, bought={"ord_1": 3, "ord_2": 1}), "lost"),
        (replace(WELL, bought={"ord_1": 4}), "lost"),
        # Another shop's payment that an order takes for its own.
        (
            replace(
                WELL,
                orders=[sold(payment_intent="pi_1")],
                foreign=[Foreign("pi_1", "theirs: nothing", is_news=True)],
            ),
            "not ours, and an order",
        ),
        # What was said.
        (replace(WELL, words=[word(), word(delivered=2)]), "final word changed"),
        (replace(WELL, words=[word(), word(uncertain=1, delivered=2, told_ms=None)]), "final word changed"),
        (replace(WELL, orders=[sold(delivered=2)]), "contradiction"),
        (replace(WELL, alerts=[("settle_slow", "…"), ("stuck", "…")]), "unexpected alert"),
        # Orders that never end.
        (replace(WELL, orders=[sold(state="revoking", delivered=None)]), "not final"),
        (replace(WELL, orders=[sold(state="open", delivered=None)]), "not final"),
        # The line.
        (replace(WELL, lines=line(1_100, 1_130, 1_160, width_ms=9)), "pulse too short"),
        (replace(WELL, lines=line(1_100, 1_120, 1_160)), "pulses merged"),
        (replace(WELL, lines=[replace(WELL.lines[0], left_active=True)]), "line left active"),
        (
            replace(WELL, lines=[Line("cab-01", [*pulses(1_100, 1_130), Pulse(1_160, 9_000)])]),
            "line left active",
        ),
    ],
)
def test_each_broken_promise_is_found(seen: Evidence, kind: str) -> None:
    assert kind in found(seen)


def test_lost_and_doubled_are_counted_in_credits() -> None:
    assert check(replace(WELL, lines=line(1_100, 1_130, 1_160, 1_190, 1_220))).broken("doubled") == 2
    nothing_pulsed = replace(WELL, words=[word(delivered=0)], lines=line(), orders=[sold(delivered=0)])
    assert check(nothing_pulsed).broken("lost") == 3


def test_a_pulse_that_is_missing_for_one_credit_is_not_made_up_by_another() -> None:
    """Six pulses for six credits: but four of them came before the second command."""
    second = sold(order_id="ord_2", credit_id=OTHER, credit_made_ms=20_000)
    seen = replace(
        WELL,
        lines=line(1_100, 1_130, 1_160, 1_190, 20_100, 20_130),
        words=[word(), word(credit_id=OTHER, told_ms=21_000)],
        commands={CREDIT: 3, OTHER: 3},
        orders=[sold(), second],
        payments=[*kept(600), Paid("ord_2", 600, had_money=True, kept_minor=600)],
        bought={"ord_1": 3, "ord_2": 3},
    )
    assert found(seen) == {"doubled", "lost"}


def test_credits_that_wait_behind_each_other_share_their_time() -> None:
    """The second credit's command came while the first was pulsed; an uncertain pulse lies between them."""
    second = sold(order_id="ord_2", credit_id=OTHER, credit_made_ms=1_050)
    seen = replace(
        WELL,
        lines=line(1_100, 1_130, 1_160, 1_900, 1_930, 1_960),
        words=[word(delivered=2, uncertain=1, told_ms=1_800), word(credit_id=OTHER, told_ms=2_000)],
        commands={CREDIT: 3, OTHER: 3},
        orders=[sold(delivered=2), second],
        payments=[*kept(400), Paid("ord_2", 600, had_money=True, kept_minor=600)],
        bought={"ord_1": 3, "ord_2": 3},
    )
    assert found(seen) == set()


def edge_log(folder: Path, *edges: tuple[int, bool]) -> Path:
    path = folder / "edges.jsonl"
    lines = [
        f'{{"t_ns": {at_ms * 1_000_000}, "wall_ms": 0, "active": {str(active).lower()}}}\n'
        for at_ms, active in edges
    ]
    path.write_text("".join(lines) + '{"t_ns": 1, "wall_ms": 0, "event": "coin", "coins": 1}\n')
    return path


@pytest.mark.parametrize(
    ("edges", "widths", "left_active"),
    [
        (((0, False), (100, True), (115, False)), [15], False),
        (((0, False), (100, True)), [], True),
        # Killed in a pulse; the next start of the board ends it.
        (((0, False), (100, True), (900, False), (1000, True), (1015, False)), [800, 15], False),
    ],
)
def test_pulses_are_read_from_bare_edges(
    tmp_path: Path, edges: Sequence[tuple[int, bool]], widths: list[float], left_active: bool
) -> None:
    seen = read_line("cab-01", edge_log(tmp_path, *edges), [])
    assert [round(pulse.ended_ms - pulse.began_ms, 3) for pulse in seen.pulses] == widths
    assert seen.left_active is left_active


def test_a_journal_is_read_as_the_command_prints_it() -> None:
    shown = f"""installation  0123  (computer simulated)
not confirmed 0 of the final acks
counted       bad signature: 1
2026-01-02 03:04:05Z {CREDIT} done     2/3, 1 uncertain, restarted
2026-01-02 03:04:05Z {OTHER} pulsing  0/1 (ack not confirmed)
"""
    assert words_in(shown, "cab-01") == [
        word(delivered=2, uncertain=1, told_ms=None),
        word(credit_id=OTHER, final=False, delivered=0, told_ms=None),
    ]


# --- tabs --------------------------------------------------------------------------------------------------


def play(credit_id: str = CREDIT, **changes: object) -> Sold:
    made = sold(order_id="tab_1", kind="play", credits=1, amount_minor=200, credit_id=credit_id, delivered=1)
    return replace(made, **changes)  # type: ignore[arg-type]


def tab(*plays: Sold, **changes: object) -> Tab:
    made = Tab(
        "tab_1", "cs_1", 4_000, "settled", plays, kept_minor=400, booked_minor=400, booked_credits=2, delivered=2
    )
    return replace(made, **changes)  # type: ignore[arg-type]


# Two plays on one tab, tapped, pulsed and captured in one sum.
ON_A_TAB = Evidence(
    lines=[Line("cab-01", pulses(1_100, 1_200))],
    words=[word(delivered=1), word(credit_id=OTHER, delivered=1)],
    commands={CREDIT: 1, OTHER: 1},
    orders=[],
    tabs=[tab(play(), play(OTHER))],
    visits={"cs_1": Visit("cs_1", tapped=2, played=2, finished=True)},
    payments=[Paid("tab_1", 4_000, had_money=True, kept_minor=400)],
    bought={},
    granted=frozenset(),
)


def of_tab(**changes: object) -> Evidence:
    return replace(ON_A_TAB, tabs=[tab(play(), play(OTHER), **changes)])


def keeping(kept_minor: int, held_minor: int = 0) -> Evidence:
    paid = Paid("tab_1", 4_000, had_money=True, held_minor=held_minor, kept_minor=kept_minor)
    return replace(ON_A_TAB, payments=[paid])


def visited(tapped: int, played: int) -> Evidence:
    return replace(ON_A_TAB, visits={"cs_1": Visit("cs_1", tapped, played)})


def test_a_tab_that_is_right_is_found_right() -> None:
    account = check(ON_A_TAB)
    assert account.violations == ()
    assert (account.tabs, account.tabs_paid, account.plays) == (1, 1, 2)
    told = frozenset({"unconfirmed"})
    silent = [tab(play(), play(OTHER, resolved_by="silence"), alerts=told)]
    assert found(replace(keeping(200), tabs=silent)) == set()
    assert found(replace(keeping(0), tabs=silent)) == {"given away"}


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (keeping(600), "lost"),
        (keeping(200), "given away"),
        (keeping(400, held_minor=3_600), "not final"),
        (replace(ON_A_TAB, payments=[]), "unpaid"),
        (replace(ON_A_TAB, payments=[replace(ON_A_TAB.payments[0], refunded_minor=3_600)]), "captured too much"),
        (of_tab(state="funded"), "not final"),
        (of_tab(booked_minor=200), "not booked"),
        (of_tab(limit_minor=300), "doubled"),
        (visited(1, 1), "doubled"),
        (visited(3, 3), "lost"),
        (replace(ON_A_TAB, tabs=[tab(play(), play())]), "doubled"),
        (replace(ON_A_TAB, visits={"cs_1": ON_A_TAB.visits["cs_1"], "cs_2": Visit("cs_2")}), "lost"),
        (replace(ON_A_TAB, lines=[Line("cab-01", pulses(1_100))]), "lost"),
        (replace(ON_A_TAB, lines=[Line("cab-01", pulses(1_100, 1_200, 1_300))]), "doubled"),
        (replace(ON_A_TAB, commands={CREDIT: 2, OTHER: 1}), "doubled"),
    ],
)
def test_a_broken_promise_of_a_tab_is_found(seen: Evidence, kind: str) -> None:
    assert kind in found(seen)
