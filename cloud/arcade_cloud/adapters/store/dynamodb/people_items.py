"""The items of people, sessions and the audit log in the DynamoDB table (pure)."""

from arcade_cloud.adapters.store.dynamodb.items import (
    EXISTS,
    IS_NEW,
    Item,
    Value,
    Write,
    expiry,
    key,
    put,
    rank,
    record_of,
    shard,
    short,
    versioned,
)
from arcade_cloud.domain.audit import AuditEntry, AuditOutcome
from arcade_cloud.domain.people import FORGET_TRIES_MS, Person, Session, Tries


def person_key(name: str) -> Item:
    """People stand together, so that all of them can be read consistently."""
    return {"pk": {"S": shard("people", name)}, "sk": {"S": f"person#{short(name)}"}}


def person_put(person: Person, expected_version: int, by: str) -> Write:
    """A person, if the expected version is stored."""
    body = record_of(person, f"person {person.name}")
    return versioned(person_key(person.name), person.version, body, expected_version, by)


def person_check(person: Person) -> Write:
    """That a person is stored at this very version."""
    return {
        "Key": person_key(person.name),
        "ConditionExpression": "version = :version",
        "ExpressionAttributeValues": {":version": {"N": str(person.version)}},
    }


def session_put(session: Session, by: str, *, is_new: bool) -> Write:
    """A session, if there is none or if there is one. Time to live deletes it once it is over."""
    item: Item = {
        **key("session", session.session_id),
        "body": record_of(session, "a session"),
        "expires_at": expiry(session.ends_at_ms, 0),
        "by": {"S": by},
    }
    return put(item, IS_NEW if is_new else EXISTS)


def tries_put(tries: Tries, expected_version: int, by: str) -> Write:
    """A count of tries, if the expected version is stored. Time to live deletes it once it counts no more."""
    where = {**key("tries", tries.key), "expires_at": expiry(tries.last_ms, FORGET_TRIES_MS)}
    body = record_of(tries, f"the tries of {tries.key}")
    return versioned(where, tries.version, body, expected_version, by)


def audit_by(who: str) -> str:
    """The partition of what somebody did."""
    return f"audit-by#{short(who)}"


def audit_on(subject: str) -> str:
    """The partition of what was done to something."""
    return f"audit-on#{short(subject)}"


def audit_put(entry: AuditEntry, by: str) -> Write:
    """An entry of the audit log, if its id is new. It has no end."""
    at: Value = {"S": rank(entry.at_ms, entry.entry_id)}
    item: Item = {
        **key("audit", entry.entry_id),
        "listed_in": {"S": shard("audit", entry.entry_id)},
        "listed_at": at,
        "waits_in": {"S": audit_by(entry.who)},
        "waits_from": at,
        "of_machine": {"S": audit_on(entry.on)},
        "body": record_of(entry, f"audit entry {entry.entry_id}"),
        "by": {"S": by},
    }
    return put(item, IS_NEW)


def outcome_key(entry_id: str) -> Item:
    """How an act ended stands beside its entry."""
    return key("audit", entry_id, "outcome")


def outcome_put(outcome: AuditOutcome, by: str) -> Write:
    """How an act ended, if that is not written yet."""
    body = record_of(outcome, f"the outcome of {outcome.entry_id}")
    return put({**outcome_key(outcome.entry_id), "body": body, "by": {"S": by}}, IS_NEW)
