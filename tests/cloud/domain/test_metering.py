"""What coin meters counted beside what was pulsed: which reports are booked, and how days are added up."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from arcade_cloud.domain.events import Acked, Due, Event
from arcade_cloud.domain.metering import Count, by_day, counts
from arcade_cloud.domain.order import Order, Resolution
from arcade_shared.cabinet import pulsed_in, short_train
from arcade_shared.messages import Ack
from support.order_records import funded, new_order, next_version

AT_MS = 1_790_000_000_000
CREDIT = "0199ac00-0000-7000-8000-000000000001"
SENT = funded(new_order("o-1"), "pi_1", CREDIT)


def resolved(by: str = "ack", delivered: int = 3) -> Order:
    return next_version(SENT, resolution=Resolution(delivered=delivered, by=by, at_ms=AT_MS), due_at_ms=None)  # type: ignore[arg-type]


def said(delivered: int = 3, registered: int | None = 3, **fields: object) -> Event:
    values = {
        "machine_id": "cab-01",
        "credit_id": CREDIT,
        "installation": "a" * 32,
        "state": "done",
        "final": True,
        "credits": 3,
        "uncertain": 0,
        "reason": "",
        "timestamp": "2026-09-21T12:00:00.000Z",
        "signature": "0" * 64,
    }
    return Acked(Ack(delivered=delivered, registered=registered, **{**values, **fields}))  # type: ignore[arg-type]


def figures(found: tuple[Count, ...]) -> list[tuple[int, int]]:
    return [(count.pulsed, count.registered) for count in found]


def test_the_final_report_that_resolves_a_credit_is_booked() -> None:
    (count,) = counts(SENT, resolved(), said(), AT_MS)
    assert count == Count(
        machine_id="cab-01", at_ms=AT_MS, order_id="o-1", credit_id=CREDIT, pulsed=3, registered=3
    )
    assert figures(counts(SENT, resolved(), said(registered=1, reason=short_train(1, 3)), AT_MS)) == [(3, 1)]
    assert figures(counts(SENT, resolved(), said(registered=5), AT_MS)) == [(3, 5)]


def test_where_only_what_is_registered_counts_the_reason_tells_what_was_pulsed() -> None:
    reason = f"{short_train(1, 3)}; machine not ready"
    assert figures(counts(SENT, resolved(delivered=1), said(1, 1, reason=reason), AT_MS)) == [(3, 1)]
    assert figures(counts(SENT, resolved(delivered=0), said(0, 0, reason=short_train(0, 2)), AT_MS)) == [(2, 0)]
    for nonsense in (short_train(1, 9), short_train(1, 0), "coins not registered: x of y", "coins not registered"):
        assert figures(counts(SENT, resolved(delivered=1), said(1, 1, reason=nonsense), AT_MS)) == [(1, 1)]


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (SENT, resolved(), said(registered=None)),
        (SENT, resolved(delivered=0), said(0, 0, state="refused")),
        (SENT, SENT, said(state="pulsing", final=False)),
        (SENT, SENT, said()),
        (resolved(), resolved(), said()),
        (resolved("silence"), resolved("silence"), said()),
        (SENT, resolved("silence"), Due()),
        (SENT, resolved(), said(credit_id="0199ac00-0000-7000-8000-000000000002")),
    ],
    ids=["no meter", "no train", "not final", "not believed", "again", "late, nothing new", "silence", "another"],
)
def test_nothing_else_is(before: Order, after: Order, event: Event) -> None:
    assert counts(before, after, event, AT_MS) == ()


def test_the_first_report_after_the_end_is_booked_once() -> None:
    closed = resolved("silence", delivered=1)
    late = next_version(closed, late_report=3)
    assert figures(counts(closed, late, said(), AT_MS)) == [(3, 3)]
    assert counts(late, late, said(), AT_MS) == ()


def test_a_pi_that_has_forgotten_what_it_said_and_says_otherwise_is_not_booked_again() -> None:
    closed = resolved()
    late = next_version(closed, late_report=2)
    assert counts(closed, late, said(2, 2, reason="restarted"), AT_MS) == ()


def test_what_the_agent_writes_is_what_the_cloud_reads() -> None:
    assert pulsed_in(short_train(2, 5)) == 5
    assert pulsed_in(f"{short_train(0, 1000)}; too long") == 1000
    assert pulsed_in("") is None
    assert pulsed_in("machine not ready; coins not registered: 1 of 2") is None


def test_days_begin_at_the_arcades_midnight_and_differences_do_not_cancel_out() -> None:
    zone = ZoneInfo("Asia/Kuala_Lumpur")

    def count(number: int, hour: int, pulsed: int, registered: int) -> Count:
        at_ms = 1_789_948_800_000 + hour * 3_600_000  # 2026-09-21T00:00Z
        return Count(
            machine_id="cab-01",
            at_ms=at_ms,
            order_id=f"o-{number}",
            credit_id=str(number),
            pulsed=pulsed,
            registered=registered,
        )

    found = by_day([count(1, 15, 5, 5), count(2, 16, 3, 2), count(3, 17, 1, 2), count(4, 18, 4, 4)], zone)
    assert [(one.day, one.trains, one.pulsed, one.registered, one.difference) for one in found] == [
        (date(2026, 9, 22), 3, 8, 8, 0),
        (date(2026, 9, 21), 1, 5, 5, 0),
    ]
    assert [one.order_id for one in found[0].differing] == ["o-3", "o-2"]
    assert by_day([], zone) == ()
