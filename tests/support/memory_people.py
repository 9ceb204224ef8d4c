"""What there is about people, in memory: the same promises as the adapters, but for durability."""

import threading

from arcade_cloud.adapters.store import records
from arcade_cloud.domain.audit import Audited, AuditEntry, AuditOutcome, Mark
from arcade_cloud.domain.people import Person, Session, Tries
from arcade_cloud.errors import Conflict, InvariantBroken, StoreUnavailable


class MemoryPeople:
    """`ports.people.PeopleStore` in memory. `unavailable = True` makes every call raise StoreUnavailable."""

    def __init__(self) -> None:
        self.unavailable = False
        self._lock = threading.RLock()
        self._people: dict[str, Person] = {}
        self._sessions: dict[str, Session] = {}
        self._tries: dict[str, Tries] = {}
        self._audit: dict[str, AuditEntry] = {}
        self._outcomes: dict[str, AuditOutcome] = {}

    def _check_up(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the store was switched off")

    def person(self, name: str) -> Person | None:
        self._check_up()
        return self._people.get(name)

    def people(self) -> list[Person]:
        self._check_up()
        return [self._people[name] for name in sorted(self._people)]

    def put_person(self, person: Person, expected_version: int, *, beside: Person | None = None) -> None:
        records.check_next(f"person {person.name}", person.version, expected_version)
        with self._lock:
            self._check_up()
            self._check_version(person.name, expected_version)
            if beside is not None:
                self._check_version(beside.name, beside.version)
            self._people[person.name] = person

    def _check_version(self, name: str, expected_version: int) -> None:
        known = self._people.get(name)
        if (0 if known is None else known.version) != expected_version:
            raise Conflict(f"person {name} has another version than {expected_version}")

    def session(self, session_id: str) -> Session | None:
        self._check_up()
        return self._sessions.get(session_id)

    def put_session(self, session: Session) -> None:
        with self._lock:
            self._check_up()
            if session.session_id in self._sessions:
                raise InvariantBroken("there is a session with this id")
            self._sessions[session.session_id] = session

    def change_session(self, session: Session) -> bool:
        with self._lock:
            self._check_up()
            if session.session_id not in self._sessions:
                return False
            self._sessions[session.session_id] = session
            return True

    def end_session(self, session_id: str) -> None:
        self._check_up()
        self._sessions.pop(session_id, None)

    def tries(self, key: str) -> Tries:
        self._check_up()
        return self._tries.get(key, Tries(key=key))

    def put_tries(self, tries: Tries, expected_version: int) -> None:
        records.check_next(f"the tries of {tries.key}", tries.version, expected_version)
        with self._lock:
            if self.tries(tries.key).version != expected_version:
                raise Conflict(f"the tries of {tries.key} have another version than {expected_version}")
            self._tries[tries.key] = tries

    def append_audit(self, entry: AuditEntry) -> None:
        with self._lock:
            self._check_up()
            if entry.entry_id in self._audit:
                raise InvariantBroken(f"audit entry {entry.entry_id} is written already")
            self._audit[entry.entry_id] = entry

    def append_outcome(self, outcome: AuditOutcome) -> bool:
        with self._lock:
            self._check_up()
            return self._outcomes.setdefault(outcome.entry_id, outcome) is outcome

    def audit(
        self, limit: int, *, before: Mark | None = None, who: str | None = None, on: str | None = None
    ) -> list[Audited]:
        with self._lock:
            self._check_up()
            lines = [Audited(entry, self._outcomes.get(entry.entry_id)) for entry in self._audit.values()]
        found = [
            line
            for line in sorted(lines, key=lambda line: line.mark, reverse=True)
            if (before is None or line.mark < before)
            and (who is None or line.entry.who == who)
            and (on is None or line.entry.on == on)
        ]
        return found[: max(0, limit)]
