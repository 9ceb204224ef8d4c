"""API keys: made and revoked by the operator, and looked up when other software calls."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from arcade_cloud.domain.api_keys import (
    ID_BYTES,
    SCOPES,
    SECRET_BYTES,
    ApiKey,
    Scope,
    hash_of,
    is_valid,
    parts_of,
    revoked,
    text_of,
    used,
)
from arcade_cloud.domain.texts import NAME_LENGTH, checked_line
from arcade_cloud.errors import BadRequest, Conflict, InvariantBroken, Unauthorized
from arcade_cloud.ports.software import SoftwareStore
from arcade_cloud.services.operations import Operations

# Two people rarely revoke one key while it is used for the first time in an hour.
CONFLICT_RETRIES = 20
WRONG_KEY = "This API key is wrong, or was revoked."


@dataclass(frozen=True, kw_only=True)
class ApiKeys:
    """The keys of other software."""

    store: SoftwareStore
    operations: Operations
    now_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def add(
        self, name: str, scopes: Sequence[Scope], machines: Sequence[str] = (), *, by: str, token: str = ""
    ) -> tuple[ApiKey, str]:
        """Make a key.

        Args:
            machines: The machines that it is for; none: for all.
            token: A form's own, so that it makes one key however often it is sent. Empty: each call makes one.

        Returns:
            The key as it is stored, and its text, which nobody can find out later.

        Raises:
            BadRequest: The name is empty or cannot be shown, there is no scope, or the token has made a key.
            UnknownMachine: No such machine is registered.
            BadTopic: It is not a machine id at all.
        """
        called = checked_line(name, "the name", NAME_LENGTH)
        if not called:
            raise BadRequest("a key needs a name that says what has it")
        if not scopes:
            raise BadRequest(f"a key needs a scope: {', '.join(SCOPES)}")
        for machine_id in machines:
            self.operations.machine(machine_id)
        for _ in range(CONFLICT_RETRIES):
            id_bytes = hashlib.sha256(token.encode()).digest()[:ID_BYTES] if token else self.random_bytes(ID_BYTES)
            key_id, secret = id_bytes.hex(), self.random_bytes(SECRET_BYTES).hex()
            key = ApiKey(
                key_id=key_id,
                version=1,
                name=called,
                scopes=tuple(scope for scope in SCOPES if scope in scopes),
                hashed=hash_of(secret),
                created_at_ms=self.now_ms(),
                created_by=by,
                machines=tuple(dict.fromkeys(machines)),
            )
            with suppress(Conflict):  # 48 random bits are taken: draw others
                self.store.put_api_key(key, 0)
                return key, text_of(key_id, secret)
            if token:
                raise BadRequest(
                    f"this form was sent before and has made key {key_id}, which was shown then: revoke it if "
                    "nobody has copied it, and make another"
                )
        raise InvariantBroken(f"{CONFLICT_RETRIES} random ids of keys in a row are taken")

    def revoke(self, key_id: str, *, by: str) -> tuple[ApiKey, ApiKey]:
        """Revoke a key. From now on it is refused; revoking it again changes nothing.

        Returns:
            The key before and after.

        Raises:
            BadRequest: There is no such key.
        """
        for _ in range(CONFLICT_RETRIES):
            before = self.store.api_key(key_id)
            if before is None:
                raise BadRequest(f"there is no key {key_id}: `arcade-cloud key list` shows all that are")
            after = revoked(before, by, self.now_ms())
            try:
                if after != before:
                    self.store.put_api_key(after, before.version)
            except Conflict:  # it was used at this very moment
                continue
            return before, after
        raise InvariantBroken(f"key {key_id}: {CONFLICT_RETRIES} conflicts in a row")

    def authenticate(self, text: str) -> ApiKey:
        """The key with that text. Its use is written down, but not each time.

        Raises:
            Unauthorized: There is no such key, or it was revoked.
            StoreUnavailable: Nobody knows.
        """
        parts = parts_of(text)
        key = None if parts is None else self.store.api_key(parts[0])
        if parts is None or key is None or not is_valid(key, parts[1]):
            raise Unauthorized(WRONG_KEY)
        noted = used(key, self.now_ms())
        if noted is not None:
            with suppress(Conflict):  # it was noted by somebody else, or revoked just now
                self.store.put_api_key(noted, key.version)
        return key
