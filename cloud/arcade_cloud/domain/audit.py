"""The audit log: who did what, to what, when, and how it ended (pure).

An act is written down before it is done, and how it ended afterwards, each once and for good. So an act without an
end was cut short: whoever reads the log sees that, and looks at what it was about.
"""

from typing import Literal, NamedTuple

from msgspec import Struct

from arcade_cloud.domain.people import Act
from arcade_cloud.domain.player_claims import Claimed

Result = Literal["done", "refused", "unknown"]
# A manager's limits are of this span.
LIMIT_SPAN_MS = 24 * 3_600_000
# What is written of a text: a sentence or two.
TEXT_LENGTH = 2_000


class AuditEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One act, as it was meant, written before it was done.

    Attributes:
        entry_id: A UUIDv7, so that entries sort by their time.
        who: A person's name, or `command line` and a user of the computer.
        on: What it is about: a machine, an order, an alert, a person.
        wish: What was asked for.
        before: How it was then.
        amount: What counts towards a limit, in `unit`.
        unit: A currency's minor unit such as `myr`, or `credits`; empty where nothing is counted.
        claimed: What a player claims; None if the act is a person's. Its outcome is the answer.
    """

    entry_id: str
    at_ms: int
    who: str
    act: Act
    on: str
    wish: str = ""
    before: str = ""
    ip: str = ""
    amount: int = 0
    unit: str = ""
    claimed: Claimed | None = None


class AuditOutcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an act ended.

    Attributes:
        result: `refused`: nothing was done. `unknown`: it may or may not have been done.
        before: How it was right before the act, where that was found out only then.
        after: How it is now, or why not.
    """

    entry_id: str
    at_ms: int
    result: Result
    before: str = ""
    after: str = ""


class Mark(NamedTuple):
    """A place in the log: what is older than that comes after it."""

    at_ms: int
    entry_id: str


class Audited(NamedTuple):
    """One line of the log. Without an outcome, the act was cut short, or is being done this moment."""

    entry: AuditEntry
    outcome: AuditOutcome | None

    @property
    def mark(self) -> Mark:
        """Where the next page begins, if this is the last line of one."""
        return Mark(self.entry.at_ms, self.entry.entry_id)

    @property
    def end(self) -> str:
        """How it ended, in a word or two."""
        if self.outcome is not None:
            return self.outcome.result
        return "waits" if self.entry.claimed is not None else "cut short?"

    @property
    def before(self) -> str:
        """How it was before."""
        return self.entry.before if self.outcome is None or not self.outcome.before else self.outcome.before


def used(lines: list[Audited], unit: str, since_ms: int) -> int:
    """How much somebody has used of a limit since then: what was not refused counts, cut short or not."""
    return sum(
        line.entry.amount
        for line in lines
        if line.entry.unit == unit
        and line.entry.at_ms >= since_ms
        and (line.outcome is None or line.outcome.result != "refused")
    )
