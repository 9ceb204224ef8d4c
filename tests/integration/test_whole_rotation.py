"""A signing secret is replaced as docs/SECURITY.md says, with real processes: sales go on all the time."""

import re
import secrets
from contextlib import closing

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_sandbox.processes import wait_for


def _restart_cloud(system, signing_secret):
    system.cloud.stop()
    system.cloud.environment = {**system.cloud.environment, "SIGNING_SECRET": signing_secret}
    system.settings = {**system.settings, "SIGNING_SECRET": signing_secret}  # for the commands
    system.start_cloud()


def _machine(system):
    with closing(SqliteStore(system.folder / "cloud.sqlite")) as store:
        return store.machine("cab-01")


def _sells(whole, credits=2):
    whole.system.wait_ready("cab-01")
    before = len(whole.pulses())
    order = whole.final(whole.system.buy("cab-01", credits))
    assert (order.delivered, len(whole.pulses()) - before) == (credits, credits)


@pytest.fixture
def signs_with_older_key(whole):
    return lambda: "older secret" in whole.system.cli("machine", "list")


def test_a_secret_is_rotated_step_by_step_and_no_machine_loses_what_it_was_given(whole, signs_with_older_key):
    system, old, new = whole.system, whole.system.signing_secret, secrets.token_hex(32)
    contact, cabinet = "+60 3 1234 5678", system.cabinets["cab-01"]
    assert "now:    +60 3 1234 5678" in system.cli("machine", "set", "cab-01", "--contact", contact)
    given = _machine(system)

    _restart_cloud(system, f"{new},{old}")  # step 1
    _sells(whole)
    assert signs_with_older_key()

    printed = system.cli("machine", "config", "cab-01")  # step 2
    (key,) = re.findall(r"signing_key = .*", printed)
    cabinet.agent.stop()
    cabinet.config.write_text(re.sub(r"signing_key = .*", key, cabinet.config.read_text()))
    cabinet.agent.start()
    wait_for("nobody signs with the older key", lambda: not signs_with_older_key())
    _sells(whole)

    _restart_cloud(system, new)  # step 3
    _sells(whole)
    assert _machine(system) == given
