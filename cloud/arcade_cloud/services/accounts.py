"""Accounts: people are added, changed, given a password and a second factor. Each change is in the audit log."""

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from arcade_cloud.domain.people import (
    Act,
    Actor,
    Person,
    Role,
    checked_full_name,
    checked_name,
    checked_password,
)
from arcade_cloud.errors import BadRequest, Conflict
from arcade_cloud.ports.passwords import Passwords
from arcade_cloud.ports.people import PeopleStore
from arcade_cloud.services.audit_log import AuditLog

# Two people rarely change a third at the same moment.
CHANGE_RETRIES = 5


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Who may sign in. A change of role, password or second factor, or a block, ends all sessions."""

    store: PeopleStore
    log: AuditLog
    now_ms: Callable[[], int]
    passwords: Callable[[], Passwords]

    def person(self, name: str) -> Person:
        """The person of that name.

        Raises:
            BadRequest: There is none.
        """
        found = self.store.person(checked_name(name))
        if found is None:
            raise BadRequest(f"there is no person {name[:64]}; `arcade-cloud user list` shows all")
        return found

    def add(self, actor: Actor, name: str, role: Role, password: str, *, full_name: str = "") -> Person:
        """Add somebody who may sign in.

        Raises:
            BadRequest: There is one of that name, or a text cannot be used.
            Forbidden: This person may not do it.
        """
        name = checked_name(name)
        with self.log.doing(actor, Act.PEOPLE, _on(name), wish=f"add, {role}") as doing:
            person = Person(
                name=name,
                version=1,
                role=role,
                created_at_ms=self.now_ms(),
                full_name=checked_full_name(full_name),
                password_hash=self.passwords().hashed(checked_password(password, name)),
            )
            try:
                self.store.put_person(person, 0)
            except Conflict:
                raise BadRequest(f"there is a person {name} already: `arcade-cloud user set` changes it") from None
            doing.after = _shown(person)
        return person

    def change(
        self,
        actor: Actor,
        name: str,
        *,
        role: Role | UnsetType = UNSET,
        full_name: str | UnsetType = UNSET,
        disabled: bool | UnsetType = UNSET,
    ) -> tuple[Person, Person]:
        """Change what is named, and nothing else.

        Returns:
            The person before and after.

        Raises:
            BadRequest: There is no such person, or no owner would be left who can sign in.
            Forbidden: This person may not do it.
        """
        given = {"role": role, "full_name": full_name, "disabled": disabled}
        named = {field: value for field, value in given.items() if value is not UNSET}
        if isinstance(full_name, str):
            named["full_name"] = checked_full_name(full_name)
        wish = ", ".join(f"{field.replace('_', ' ')}: {value}" for field, value in named.items())

        def changed(before: Person) -> Person:
            after = replace(before, **named)
            if (before.role, before.disabled) != (after.role, after.disabled):
                return replace(after, epoch=before.epoch + 1)
            return after

        with self.log.doing(actor, Act.PEOPLE, _on(checked_name(name)), wish=wish) as doing:
            before, after = self._change(name, changed)
            doing.before, doing.after = _shown(before), _shown(after)
        return before, after

    def set_password(self, actor: Actor, name: str, password: str) -> Person:
        """Give somebody a new password. Whoever does it for themselves has given the old one before.

        Raises:
            BadRequest: There is no such person, or the password cannot be used.
            Forbidden: This person may not do it.
        """
        own = actor.name == checked_name(name)
        with self.log.doing(actor, Act.OWN_ACCOUNT if own else Act.PEOPLE, _on(name), wish="new password"):
            known = self.person(name)
            hashed = self.passwords().hashed(checked_password(password, known.name))
            _, after = self._change(
                name, lambda before: replace(before, password_hash=hashed, epoch=before.epoch + 1)
            )
        return after

    def set_second_factor(self, actor: Actor, name: str, secret: str, step: int = 0) -> Person:
        """Give somebody a second factor, or take it away.

        Args:
            secret: Of which the person has shown a code; empty takes the second factor away.
            step: The step of that code, which is used then.

        Raises:
            BadRequest: There is no such person.
            Forbidden: This person may not do it.
        """
        own = actor.name == checked_name(name) and bool(secret)
        wish = "second factor" if secret else "no second factor"
        with self.log.doing(actor, Act.OWN_ACCOUNT if own else Act.PEOPLE, _on(name), wish=wish):
            _, after = self._change(
                name,
                lambda before: replace(before, totp_secret=secret, totp_step=step, epoch=before.epoch + 1),
            )
        return after

    def use_step(self, name: str, step: int) -> bool:
        """Use up a code of the second factor. False if it, or a later one, was used already."""
        for _ in range(CHANGE_RETRIES):
            person = self.store.person(name)
            if person is None or step <= person.totp_step:
                return False
            try:
                self.store.put_person(replace(person, version=person.version + 1, totp_step=step), person.version)
            except Conflict:
                continue
            return True
        return False

    def better_hash(self, name: str, password: str, old_hash: str) -> None:
        """Hash a password that was just given anew, as today's parameters have it."""
        person = self.store.person(name)
        if person is not None and person.password_hash == old_hash:
            fresh = replace(person, version=person.version + 1, password_hash=self.passwords().hashed(password))
            try:
                self.store.put_person(fresh, person.version)
            except Conflict:
                return  # the next sign-in does it

    def _change(self, name: str, changed: Callable[[Person], Person]) -> tuple[Person, Person]:
        for attempt in range(CHANGE_RETRIES):
            before = self.person(name)
            after = changed(before)
            if after == before:
                return before, before
            after = replace(after, version=before.version + 1)
            beside = self._owner_who_stays(before) if _is_owner(before) and not _is_owner(after) else None
            try:
                self.store.put_person(after, before.version, beside=beside)
            except Conflict:
                if attempt == CHANGE_RETRIES - 1:
                    raise
            else:
                return before, after
        raise AssertionError("unreachable")

    def _owner_who_stays(self, leaving: Person) -> Person:
        """Another owner. The change is stored only while that one is the same: two owners may end each other.

        Raises:
            BadRequest: There is none.
        """
        for other in self.store.people():
            if other.name != leaving.name and _is_owner(other):
                return other
        raise BadRequest(f"{leaving.name} is the only owner who can sign in: make somebody else an owner first")


def _is_owner(person: Person) -> bool:
    return person.role is Role.OWNER and not person.disabled


def _on(name: str) -> str:
    return f"person {name.strip().lower()}"


def _shown(person: Person) -> str:
    shown = [person.role, "disabled" if person.disabled else "", person.full_name]
    return ", ".join(text for text in shown if text)
