"""People, sessions and the audit log in the DynamoDB table. `dynamodb/store.py` shows where they stand.

DynamoDB's time to live deletes sessions and tries that are over; until then `is_live` and `wait_ms` say that they
count no more. Entries of the log have no end, and every write of one is refused if it is there already.
"""

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.dynamodb import items, people_items
from arcade_cloud.adapters.store.dynamodb.client import Refused
from arcade_cloud.adapters.store.dynamodb.items import Item
from arcade_cloud.adapters.store.dynamodb.part import DynamoPart, new_token
from arcade_cloud.domain.audit import Audited, AuditEntry, AuditOutcome, Mark
from arcade_cloud.domain.people import Person, Session, Tries
from arcade_cloud.errors import Conflict, InvariantBroken


class DynamoPeople(DynamoPart):
    """`ports.people.PeopleStore` on DynamoDB."""

    def person(self, name: str) -> Person | None:
        """See `PeopleStore.person`."""
        item = self.table.get(people_items.person_key(name))
        return None if item is None else records.person(items.body(item), name)

    def people(self) -> list[Person]:
        """See `PeopleStore.people`."""
        found = [
            records.person(items.body(item), items.text(item, "sk"))
            for item in self._in_partitions(items.shards("people"))
        ]
        return sorted(found, key=lambda person: person.name)

    def put_person(self, person: Person, expected_version: int, *, beside: Person | None = None) -> None:
        """See `PeopleStore.put_person`."""
        records.check_next(f"person {person.name}", person.version, expected_version)
        token = new_token()
        put = people_items.person_put(person, expected_version, token)
        if beside is not None:
            self._check_form()
            try:
                self.table.transact([("Put", put), ("ConditionCheck", people_items.person_check(beside))])
            except Refused as refused:
                raise Conflict(f"person {person.name} or {beside.name} has another version") from refused
        elif not self._is_put(put, token):
            raise Conflict(f"person {person.name} has another version than {expected_version}")

    def session(self, session_id: str) -> Session | None:
        """See `PeopleStore.session`."""
        item = self.table.get(items.key("session", session_id))
        return None if item is None else records.session(items.body(item))

    def put_session(self, session: Session) -> None:
        """See `PeopleStore.put_session`."""
        token = new_token()
        if not self._is_put(people_items.session_put(session, token, is_new=True), token):
            raise InvariantBroken("there is a session with this id")

    def change_session(self, session: Session) -> bool:
        """See `PeopleStore.change_session`."""
        token = new_token()
        return self._is_put(people_items.session_put(session, token, is_new=False), token)

    def end_session(self, session_id: str) -> None:
        """See `PeopleStore.end_session`."""
        self._check_form()
        self.table.write("delete_item", {"Key": items.key("session", session_id)})

    def tries(self, key: str) -> Tries:
        """See `PeopleStore.tries`."""
        item = self.table.get(items.key("tries", key))
        return Tries(key=key) if item is None else records.tries(items.body(item))

    def put_tries(self, tries: Tries, expected_version: int) -> None:
        """See `PeopleStore.put_tries`."""
        records.check_next(f"the tries of {tries.key}", tries.version, expected_version)
        token = new_token()
        if not self._is_put(people_items.tries_put(tries, expected_version, token), token):
            raise Conflict(f"the tries of {tries.key} have another version than {expected_version}")

    def append_audit(self, entry: AuditEntry) -> None:
        """See `PeopleStore.append_audit`."""
        token = new_token()
        if not self._is_put(people_items.audit_put(entry, token), token):
            raise InvariantBroken(f"audit entry {entry.entry_id} is written already")

    def append_outcome(self, outcome: AuditOutcome) -> bool:
        """See `PeopleStore.append_outcome`."""
        token = new_token()
        return self._is_put(people_items.outcome_put(outcome, token), token)

    def audit(
        self, limit: int, *, before: Mark | None = None, who: str | None = None, on: str | None = None
    ) -> list[Audited]:
        """See `PeopleStore.audit`. An entry of this very moment may be missing."""
        if who is not None:
            index, where = "waiting", [people_items.audit_by(who)]
        elif on is not None:
            index, where = "of_machine", [people_items.audit_on(on)]
        else:
            index, where = "lists", items.shards("audit")
        bound = None if before is None else items.rank_of(*before)
        entries = self.table.get_all(self._newest(index, where, limit, before=bound))
        outcomes = self.table.get_all(people_items.outcome_key(items.name_of(item)) for item in entries)
        ended = {items.name_of(item): item for item in outcomes}
        return [_audited(item, ended.get(items.name_of(item))) for item in entries]


def _audited(item: Item, outcome: Item | None) -> Audited:
    entry_id = items.name_of(item)
    return Audited(
        records.audit_entry(items.body(item), entry_id),
        None if outcome is None else records.audit_outcome(items.body(outcome), entry_id),
    )
