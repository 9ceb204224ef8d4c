"""Tallies: booked step by step they are what all lines of their orders say."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.books import FEE, PLAY, Line
from arcade_cloud.domain.tallies import Counts, Place, Tallies, added, differences, of_day

DAYS = ("2026-11-29", "2026-11-30", "2026-12-01")


def a_line(**fields: Any) -> Line:
    values = {"number": 0, "day": DAYS[0], "at_ms": 5, "machine_id": "cab-01", "currency": "myr"}
    return Line(**{**values, **fields})


@st.composite
def bookings(draw: st.DrawFn) -> list[tuple[Line, ...]]:
    """What some orders book, in any order: plays, fees, refunds, at several machines and on several days."""
    found: list[tuple[Line, ...]] = []
    serials = dict.fromkeys("abc", 0)
    for _ in range(draw(st.integers(1, 12))):
        order_id = draw(st.sampled_from("abc"))
        serials[order_id] += 1
        same = {"order_id": order_id, "serial": serials[order_id], "day": draw(st.sampled_from(DAYS))}
        if draw(st.booleans()):
            what = draw(st.sampled_from(["charge", "dispute"]))
            currency = draw(st.sampled_from(["myr", "usd"]))
            found.append((a_line(**same, kind=FEE, what=what, fee_minor=7, currency=currency),))
            continue
        found.append(
            tuple(
                a_line(
                    **same,
                    number=number,
                    kind=PLAY,
                    machine_id=f"cab-{number}",
                    gross_minor=draw(st.integers(0, 2)) * 100,
                    lost_minor=draw(st.integers(0, 1)) * 100,
                    delivered=draw(st.integers(0, 1)),
                )
                for number in range(draw(st.integers(1, 2)))
            )
        )
    return found


@given(bookings())
def test_what_each_booking_adds_is_what_the_lines_of_each_day_say(every: list[tuple[Line, ...]]) -> None:
    booked: dict[str, list[Line]] = {}
    stored: Tallies = {}
    for lines in every:
        before = booked.setdefault(lines[0].order_id, [])
        for place, counts in added(before, lines).items():
            stored[place] = stored.get(place, Counts()) + counts
        before += lines
    for day in DAYS:
        of_the_day = [line for lines in every for line in lines if line.day == day]
        right = of_day(day, of_the_day, lambda order_id: booked[order_id])
        assert right == {place: counts for place, counts in stored.items() if place.day == day}
    charged = sum(counts.charged for counts in stored.values())
    plays = {order_id: [line for line in of if line.kind == PLAY] for order_id, of in booked.items()}
    assert charged == sum(any(line.gross_minor > line.lost_minor for line in of) for of in plays.values())
    assert all(0 <= counts.fees_open <= counts.charged for counts in stored.values())


def test_an_order_whose_day_says_all_is_not_looked_up() -> None:
    play = a_line(order_id="a", serial=1, gross_minor=100)
    fee = a_line(order_id="a", serial=2, kind=FEE, what="charge", fee_minor=7)

    def no_look_up(order_id: str) -> list[Line]:
        raise AssertionError(order_id)

    (counts,) = of_day(DAYS[0], [fee, play], no_look_up).values()
    assert (counts.charged, counts.fees_open, counts.lines) == (1, 0, 2)


def test_what_is_not_stored_and_what_should_not_be_are_differences() -> None:
    def at(machine_id: str) -> Place:
        return Place(day=DAYS[0], machine_id=machine_id, location="", method="", currency="myr")

    stored = {at("a"): Counts(lines=2), at("b"): Counts(lines=1), at("d"): Counts(lines=4)}
    right = {at("a"): Counts(lines=3), at("c"): Counts(lines=1), at("d"): Counts(lines=4)}
    assert differences(stored, right) == {
        at("a"): Counts(lines=1),
        at("b"): Counts(lines=-1),
        at("c"): Counts(lines=1),
    }
