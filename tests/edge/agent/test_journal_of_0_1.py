"""A journal that an agent of version 0.1 left is gone on with: nothing is pulsed twice, every end is told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arcade_edge.agent.journal import SqliteJournal, open_journal
from arcade_edge.domain.meter import Meter
from support.agent_rig import Rig

LEFT = Path(__file__).parents[2] / "fixtures" / "0.1"
SERIAL = "10000000abcdef"
# Where each credit stands in the end: state, delivered, uncertain, reason.
ENDS = {
    "done": ("done", 2, 0, ""),
    "refused, too late": ("refused", 0, 0, "expired"),
    "refused, too many": ("refused", 0, 0, "too many credits"),
    "revoked": ("revoked", 0, 0, "revoked"),
    "accepted": ("done", 0, 0, "restarted"),
    "accepted, revoked": ("done", 0, 0, "revoked"),
}
PULSING = {
    "journal-in-a-pulse": ("done", 2, 1, "restarted"),
    "journal-before-the-meter": ("done", 3, 0, ""),
}
UNTOLD = {"done", "refused, too late", "refused, too many", "revoked", "accepted, revoked"}


class Noted:
    """The journal, with the count of commits that the rig's link asks for."""

    def __init__(self, opened: SqliteJournal) -> None:
        self._opened = opened
        self.commits: list[object] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


@dataclass
class Left:
    """A journal as version 0.1 left it, open in this version."""

    name: str
    path: Path
    opened: SqliteJournal
    now_ms: int
    installation: str
    credits_: dict[str, str]

    @property
    def ends(self) -> dict[str, tuple[str, int, int, str]]:
        return {**ENDS, "pulsing": PULSING[self.name]}

    def agent(self) -> Rig:
        """This version's agent on it, a minute later, not connected yet."""
        meter = Meter() if self.name == "journal-before-the-meter" else None
        rig = Rig(journal=Noted(self.opened), meter=meter)  # type: ignore[arg-type]
        rig.cloud_offset_ms = self.now_ms + 60_000 - rig.boot_ms
        return rig


@pytest.fixture(params=sorted(PULSING))
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Left]:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((LEFT / f"{request.param}.sql").read_text())
    known = json.loads((LEFT / "journals.json").read_text())[request.param]
    with closing(open_journal(path, SERIAL)) as opened:
        yield Left(request.param, path, opened, known["now_ms"], known["installation"], known["credits"])


def _schema(path: Path) -> tuple[int, list[tuple[str, str]]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        return int(connection.execute("PRAGMA user_version").fetchone()[0]), tables


def test_its_schema_is_the_one_of_today_and_its_installation_stays(left: Left, tmp_path: Path) -> None:
    open_journal(tmp_path / "new.db", SERIAL).close()
    assert _schema(left.path) == _schema(tmp_path / "new.db")
    assert left.opened.installation == left.installation
    assert list(tmp_path.glob("*.aside-*")) == []
    unfinished = {credit.credit_id: credit for credit in left.opened.unfinished()}
    assert unfinished.keys() == {left.credits_["pulsing"], left.credits_["accepted"]}
    assert unfinished[left.credits_["pulsing"]].intent == (left.name == "journal-in-a-pulse")
    assert {credit.credit_id for credit in left.opened.untold(100)} == {left.credits_[label] for label in UNTOLD}


def test_every_credit_comes_to_its_right_end_and_is_told_and_nothing_is_pulsed(left: Left) -> None:
    rig = left.agent().connected()
    told = {}
    for label in left.ends:
        final = rig.final(left.credits_[label])
        told[label] = (final.state, final.delivered, final.uncertain, final.reason)
    assert told == left.ends
    assert rig.acks(left.credits_["told"]) == []
    assert rig.line.tokens == []
    assert left.opened.unfinished() == []

    assert {credit.credit_id for credit in left.opened.untold(100)} == {
        left.credits_[label] for label in left.ends
    }
    rig.confirm_all()
    rig.pass_time(1_000)
    assert left.opened.untold(100) == []


def test_a_command_or_a_revoke_that_comes_again_is_answered_from_it(left: Left) -> None:
    rig = left.agent().connected()
    for label in ("told", *left.ends):
        rig.link.published.clear()
        rig.command(3, credit_id=left.credits_[label])
        rig.revoke(left.credits_[label])
        answers = {(ack.state, ack.delivered, ack.uncertain, ack.reason) for ack in rig.acks(left.credits_[label])}
        assert answers == {("done", 1, 0, "") if label == "told" else left.ends[label]}
    assert rig.line.tokens == []


def test_a_new_credit_is_pulsed_beside_them(left: Left) -> None:
    rig = left.agent().connected()
    rig.confirm_all()
    rig.pass_time(60_000)
    credit_id = rig.command(2)
    rig.pulse_all()
    rig.pass_time(1_000)
    assert (rig.final(credit_id).state, rig.final(credit_id).delivered) == ("done", 2)
    assert {token[0] for token in rig.line.tokens} == {credit_id}
