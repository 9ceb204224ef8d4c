"""The port to what is stored about people: who they are, who is signed in, wrong tries, and the audit log.

Every store has one (`people`), and all pass one contract suite. Any call may raise StoreUnavailable.
"""

from typing import Protocol

from arcade_cloud.domain.audit import Audited, AuditEntry, AuditOutcome, Mark
from arcade_cloud.domain.people import Person, Session, Tries


class PeopleStore(Protocol):
    """People, sessions and the audit log."""

    def person(self, name: str) -> Person | None: ...

    def people(self) -> list[Person]:
        """All of them, by name. They are few."""
        ...

    def put_person(self, person: Person, expected_version: int, *, beside: Person | None = None) -> None:
        """Store a person whose `version` is `expected_version` + 1; 0 if there must be none of that name.

        Args:
            beside: Somebody else, who must be stored at this version in the same moment.

        Raises:
            Conflict: One of the stored versions is not the expected one. Nothing is stored.
        """
        ...

    def session(self, session_id: str) -> Session | None:
        """A session that was not ended. Whether it still counts is for `is_live` to say."""
        ...

    def put_session(self, session: Session) -> None:
        """Store a new session."""
        ...

    def change_session(self, session: Session) -> bool:
        """Store a session anew. False, and nothing is stored, if it was ended meanwhile."""
        ...

    def end_session(self, session_id: str) -> None:
        """Forget a session, if there is one."""
        ...

    def tries(self, key: str) -> Tries:
        """The tries that are counted under a key; none so far have version 0."""
        ...

    def put_tries(self, tries: Tries, expected_version: int) -> None:
        """Store a count, as `put_person` does.

        Raises:
            Conflict: The stored version is not the expected one.
        """
        ...

    def append_audit(self, entry: AuditEntry) -> None:
        """Add an entry to the log. Nothing in it is ever changed or deleted.

        Raises:
            InvariantBroken: There is an entry with this id.
        """
        ...

    def append_outcome(self, outcome: AuditOutcome) -> bool:
        """Add how an act ended. False, and the first one stays, if that is written already."""
        ...

    def audit(
        self, limit: int, *, before: Mark | None = None, who: str | None = None, on: str | None = None
    ) -> list[Audited]:
        """The newest entries, newest first.

        Args:
            before: Only entries older than that: the last of the page before.
            who: Only what this person did.
            on: Only what was done to this. Not together with `who`.
        """
        ...
