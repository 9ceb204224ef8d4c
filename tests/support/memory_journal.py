"""A journal in memory that survives what a process would not: give the same one to the next agent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from arcade_edge.domain.credits import Credit
from arcade_edge.errors import InvariantBroken, JournalFault


class MemoryJournal:
    """Keeps the contract of `arcade_edge.ports.Journal`.

    `faulty` makes every write fail until it is cleared; with `faulty_after` a commit is written, and fails then.
    """

    def __init__(self, installation: str = "ab" * 16) -> None:
        self.faulty = self.faulty_after = False
        self.credits: dict[str, Credit] = {}
        self.outbox: set[str] = set()
        self.counters: Counter[str] = Counter()
        self.commits: list[list[Credit]] = []
        self._installation = installation
        self._forgotten_before_ms = 0
        self._short_trains = 0

    @property
    def installation(self) -> str:
        return self._installation

    @property
    def forgotten_before_ms(self) -> int:
        return self._forgotten_before_ms

    def find(self, credit_id: str) -> Credit | None:
        return self.credits.get(credit_id)

    @property
    def short_trains(self) -> int:
        return self._short_trains

    def commit(
        self, credits_: Sequence[Credit] = (), told: Collection[str] = (), *, short_trains: int | None = None
    ) -> None:
        self.probe()
        for credit in credits_:
            before = self.credits.get(credit.credit_id)
            if before is not None and before.final and before != credit:
                raise InvariantBroken(f"{credit.credit_id} is final in the journal and would change")
        if credits_:
            self.commits.append(list(credits_))
        for credit in credits_:
            self.credits[credit.credit_id] = credit
            if credit.final:
                self.outbox.add(credit.credit_id)
        self.outbox.difference_update(told)
        self._short_trains = self._short_trains if short_trains is None else short_trains
        if self.faulty_after:
            raise JournalFault("disk I/O error")

    def unfinished(self) -> list[Credit]:
        return sorted((c for c in self.credits.values() if not c.final), key=lambda c: c.credit_id)

    def untold(self, limit: int) -> list[Credit]:
        return [self.credits[credit_id] for credit_id in sorted(self.outbox)][:limit]

    def count(self, increments: Mapping[str, int]) -> None:
        self.probe()
        self.counters.update(increments)

    def prune(self, before_ms: int, limit: int) -> int:
        self.probe()
        old = sorted(c.credit_id for c in self.credits.values() if c.final and c.made_ms < before_ms)[:limit]
        if old:
            newest_ms = self.credits[old[-1]].made_ms
            self._forgotten_before_ms = max(self._forgotten_before_ms, newest_ms + 1)
        for credit_id in old:
            del self.credits[credit_id]
            self.outbox.discard(credit_id)
        return len(old)

    def rest(self) -> None:
        self.probe()

    def probe(self) -> None:
        if self.faulty:
            raise JournalFault("database or disk is full")
