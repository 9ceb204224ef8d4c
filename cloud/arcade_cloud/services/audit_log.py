"""The audit log: what is about to be done is written down first, and how it ended afterwards."""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from arcade_cloud.domain.audit import (
    LIMIT_SPAN_MS,
    TEXT_LENGTH,
    Audited,
    AuditEntry,
    AuditOutcome,
    Mark,
    Result,
    used,
)
from arcade_cloud.domain.money import format_amount
from arcade_cloud.domain.people import Act, Actor, check_may
from arcade_cloud.errors import ArcadeError, BadRequest, PaymentsRefused
from arcade_cloud.ports.people import PeopleStore
from arcade_shared.errors import BadMessage
from arcade_shared.ids import uuid7

logger = logging.getLogger(__name__)

# Entries that are read at once to add up what somebody did in a day, or to pick some out.
PAGE = 500
# Of these, for a page of the log.
PAGES_LOOKED_AT = 10
_REFUSALS = (BadRequest, BadMessage, PaymentsRefused)


class Page(NamedTuple):
    """Lines of the log, and where the next page begins; None: there is none."""

    lines: list[Audited]
    older: Mark | None


@dataclass(slots=True)
class Doing:
    """An act that is being done. What is set here is written down with how it ends."""

    before: str = ""
    after: str = ""


@dataclass(frozen=True, kw_only=True)
class AuditLog:
    """Writes and reads the log."""

    store: PeopleStore
    now_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes)

    @contextmanager
    def doing(
        self,
        actor: Actor,
        act: Act,
        on: str,
        *,
        wish: str = "",
        before: str = "",
        amount: int = 0,
        unit: str = "",
        at_most: int | None = None,
    ) -> Iterator[Doing]:
        """Check that somebody may do this, write it down, let it be done, and write down how it ended.

        If the process dies inside, the entry stays without an end, for people to see. A refusal is written down as
        one; after any other error nobody knows, and that is written down.

        Args:
            amount: Counts towards a limit, in `unit`.
            at_most: How much of it this person may do in a day; None: no limit.

        Raises:
            Forbidden: This person may not do it. Nothing is done.
            BadRequest: It is more than this person's limit. Nothing is done.
            StoreUnavailable: It could not be written down. Nothing is done.
        """
        check_may(actor, act)
        at_ms = self.now_ms()
        entry = AuditEntry(
            entry_id=uuid7(at_ms, self.random_bytes),
            at_ms=at_ms,
            who=actor.name,
            act=act,
            on=_short(on),
            wish=_short(wish),
            before=_short(before),
            ip=actor.ip,
            amount=amount,
            unit=unit,
        )
        self.store.append_audit(entry)
        doing = Doing()
        try:
            if at_most is not None:
                self._check_limit(entry, at_most)
            yield doing
        except _REFUSALS as refusal:
            self._end(entry, "refused", doing.before, str(refusal))
            raise
        except ArcadeError as error:
            self._end(entry, "unknown", doing.before, f"it may or may not have been done: {error}")
            raise
        self._end(entry, "done", doing.before, doing.after)

    def _check_limit(self, entry: AuditEntry, at_most: int) -> None:
        """What is written down counts, so two at once may both be refused, and never both pass.

        On DynamoDB the list of a person's acts lags by some milliseconds: that much may slip through.
        """
        since_ms = entry.at_ms - LIMIT_SPAN_MS
        others = [line for line in self._since(entry.who, since_ms) if line.entry.entry_id != entry.entry_id]
        before = used(others, entry.unit, since_ms)
        if before + entry.amount > at_most:
            raise BadRequest(
                f"this is more than a manager may give in a day: the limit is {_amount(at_most, entry.unit)}, and "
                f"{_amount(before, entry.unit)} of it are used; an owner can do it"
            )

    def _since(self, who: str, since_ms: int) -> list[Audited]:
        """All that somebody did since then."""
        found: list[Audited] = []
        while True:
            page = self.store.audit(PAGE, who=who, before=found[-1].mark if found else None)
            found += page
            if len(page) < PAGE or page[-1].entry.at_ms < since_ms:
                return found

    def _end(self, entry: AuditEntry, result: Result, before: str, after: str) -> None:
        outcome = AuditOutcome(
            entry_id=entry.entry_id,
            at_ms=self.now_ms(),
            result=result,
            before=_short(before),
            after=_short(after),
        )
        try:
            self.store.append_outcome(outcome)
        except ArcadeError as error:
            # It is done all the same, and must not look as if it were not. The log shows that its end is missing.
            logger.warning("how %s of %s ended could not be written down: %s", entry.act, entry.on, error)

    def read(
        self,
        limit: int,
        *,
        before: Mark | None = None,
        who: str | None = None,
        on: str | None = None,
        act: str | None = None,
        since_ms: int | None = None,
    ) -> list[Audited]:
        """The lines of `page`."""
        return self.page(limit, before=before, who=who, on=on, act=act, since_ms=since_ms).lines

    def page(
        self,
        limit: int,
        *,
        before: Mark | None = None,
        who: str | None = None,
        on: str | None = None,
        act: str | None = None,
        since_ms: int | None = None,
    ) -> Page:
        """A page of the log, newest first.

        The store knows one of `who` and `on`; the rest is picked out here, from so many lines at most that a page
        of what is rare may be short, or empty, and still have an older one.
        """
        picks = act is not None or (who is not None and on is not None)
        at_once = PAGE if picks else limit
        found: list[Audited] = []
        for _ in range(PAGES_LOOKED_AT):
            lines = self.store.audit(at_once, before=before, who=None if on is not None else who, on=on)
            for line in lines:
                before = line.mark
                if since_ms is not None and line.entry.at_ms < since_ms:
                    return Page(found, None)
                if who in {None, line.entry.who} and act in {None, line.entry.act}:
                    found.append(line)
                if len(found) == limit:
                    return Page(found, before)
            if len(lines) < at_once:
                return Page(found, None)
        return Page(found, before)


def _short(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"


def _amount(amount: int, unit: str) -> str:
    return f"{amount} credits" if unit == "credits" else format_amount(amount, unit)
