"""Each part of `make bench` gives whole rows, in a few rounds; no figure is judged here."""

import pytest

from bench import agent, busy, cloud, console, pulses, store
from bench.__main__ import PARTS, main
from bench.rows import Row

FEW = (
    (agent, {"ROUNDS": 3, "IDLE_S": 1}),
    (cloud, {"ROUNDS": 2, "WEBHOOKS": 40, "CONNECTIONS": 3, "COLD_RUNS": 1}),
    (busy, {"PAGES": 5, "IDLE": 5, "CABINETS": 1, "STOCK": 5, "LOAD_S": 8.0, "CEILING_S": 1.0}),
    (busy, {"HANGS_AFTER_S": 2.0, "HANGS_S": 1.0, "LATENCY_S": 2.0}),
    (pulses, {"PULSES": 20, "SIMULATED": 200}),
    (console, {"MACHINES": 30, "ORDERS": 300, "ROUNDS": 1, "TARGET_MS": 60_000}),
    (store, {"SMALL": 20, "LARGE": 200, "ROUNDS": 3, "TIMER_ROUNDS": 3}),
)


@pytest.mark.heavy
@pytest.mark.parametrize("part", PARTS)
def test_a_part_gives_rows_of_the_table(
    part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module, sizes in FEW:
        for name, size in sizes.items():
            monkeypatch.setattr(module, name, size)
    assert main([part]) == 0
    head, rule, *rows = capsys.readouterr().out.splitlines()
    assert rows
    assert {line.count("|") for line in (head, rule, *rows)} == {7}


def test_a_figure_beyond_its_bound_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [Row("a page", "201 ms", target="≤ 200 ms", reached=False, is_bound=True)]
    monkeypatch.setitem(PARTS, "console", lambda: rows)
    monkeypatch.setitem(PARTS, "page", lambda: [Row("a hope", "9", target="≤ 8", reached=False)])
    assert main(["console"]) == 1
    assert "beyond its bound: a page: 201 ms, not ≤ 200 ms" in capsys.readouterr().err
    assert main(["page"]) == 0


def test_an_unknown_part_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed"]) == 2
    assert "no such part: speed; there are latency, webhook" in capsys.readouterr().err
