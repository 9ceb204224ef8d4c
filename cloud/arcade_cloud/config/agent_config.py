"""The agent's config for one machine, as `machine add` prints it."""

import json
from pathlib import Path

from arcade_cloud.config.settings import Settings
from arcade_shared.cabinet import JOURNAL_PATH
from arcade_shared.signing import machine_key


def agent_config(settings: Settings, machine_id: str) -> str:
    """Write TOML for /etc/arcade/edge.toml, with the machine's own signing key and this cloud's broker.

    The machine's password is set at the broker, so it is left to fill in.
    """
    broker = settings.broker
    lines = [
        f"machine_id = {_text(machine_id)}",
        "",
        "[broker]",
        f"host = {_text(broker.host)}",
        f"port = {broker.port}",
        f"tls = {'true' if broker.tls else 'false'}",
        *([f"ca_file = {_text(Path(broker.ca_file).name)}  # copy it beside this file"] if broker.ca_file else []),
        f"username = {_text(machine_id)}",
        'password = ""  # the one that the broker has for this user',
        "",
        "[coin]",
        "pin = 17",
        'active = "low"',
        "pulse_ms = 100",
        "gap_ms = 100",
        "pulses_per_credit = 1",
        "max_credits = 50",
        "",
        "[journal]",
        f"path = {_text(JOURNAL_PATH)}",
        "",
        "[security]",
        f"signing_key = {_text(machine_key(settings.signing_secrets[0], machine_id).hex())}",
    ]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    return json.dumps(value)  # a basic string of TOML is written as JSON writes it
