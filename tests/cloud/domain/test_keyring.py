"""Keys: one for each machine, and the previous secret stays valid while it is rotated."""

import pytest

from arcade_cloud.domain.keyring import Keyring
from arcade_shared.errors import BadSignature
from arcade_shared.signing import key_fingerprint, machine_key, signature, verify

OLD, NEW = "old-" * 16, "new-" * 16
TOPIC = "arcade/machine/cab-01/ack"


def _signed_with(secret: str) -> dict[str, object]:
    fields: dict[str, object] = {"machineId": "cab-01"}
    return {**fields, "signature": signature(machine_key(secret, "cab-01"), TOPIC, fields)}


def test_both_secrets_are_valid_while_one_is_rotated() -> None:
    keyring = Keyring([NEW, OLD])
    for secret in (NEW, OLD):
        assert verify(keyring.of_machine("cab-01"), TOPIC, _signed_with(secret)) == machine_key(secret, "cab-01")


def test_a_secret_that_was_taken_away_is_valid_no_more() -> None:
    with pytest.raises(BadSignature):
        verify(Keyring([NEW]).of_machine("cab-01"), TOPIC, _signed_with(OLD))


def test_one_machine_s_key_signs_for_no_other() -> None:
    with pytest.raises(BadSignature):
        verify(Keyring([NEW]).of_machine("cab-02"), TOPIC, _signed_with(NEW))


def test_a_machine_is_talked_to_with_the_key_that_it_used_last() -> None:
    keyring = Keyring([NEW, OLD])
    for secret in (NEW, OLD):
        key = machine_key(secret, "cab-01")
        assert keyring.to_sign("cab-01", key_fingerprint(key)) == key


def test_a_machine_that_was_never_heard_is_talked_to_with_the_present_key() -> None:
    assert Keyring([NEW, OLD]).to_sign("cab-01", "") == machine_key(NEW, "cab-01")
    assert Keyring([NEW]).to_sign("cab-01", key_fingerprint(machine_key(OLD, "cab-01"))) == machine_key(
        NEW, "cab-01"
    )


def test_the_echo_s_keys_are_no_machine_s_keys() -> None:
    keyring = Keyring([NEW, OLD])
    assert len(keyring.of_echo) == 2
    assert not set(keyring.of_echo) & set(keyring.of_machine("cab-01"))


def test_the_key_of_client_ids_is_of_the_present_secret_and_nothing_else_s() -> None:
    keyring = Keyring([NEW, OLD])
    assert keyring.of_sessions == Keyring([NEW]).of_sessions != Keyring([OLD]).of_sessions
    assert keyring.of_sessions not in {*keyring.of_echo, *keyring.of_machine("cab-01"), *keyring.of_machine("")}
