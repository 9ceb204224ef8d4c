"""The example of the settings says what is true, and says all of it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from arcade_edge.config import Input, load
from arcade_edge.domain.pulses import Profile
from arcade_shared.broker_address import BrokerAddress

EXAMPLE = Path(__file__).parents[2] / "edge" / "deploy" / "edge.toml"
KEY = "0123456789abcdef" * 4


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "signing_key").write_text(KEY)
    (tmp_path / "mqtt_password").write_text("hush")
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    return tmp_path / "edge.toml"


def uncommented() -> str:
    """The example with every shown default taken at its word; of two ways to give a secret, the file."""
    text = re.sub(r"^# ((\[|[a-z_]+ = ).*)$", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    return re.sub(r"^(password|signing_key) = .*$", "", text, flags=re.MULTILINE)


def test_it_can_be_used_as_it_is(here: Path) -> None:
    here.write_text(EXAMPLE.read_text())
    assert load(here, {}).machine_id == "cab-01"


def test_the_defaults_that_it_shows_are_the_defaults(here: Path) -> None:
    here.write_text(EXAMPLE.read_text())
    as_it_is = load(here, {})
    here.write_text(uncommented())
    said = load(here, {})
    assert (said.coin, said.journal_path, said.allow_unsigned) == (
        as_it_is.coin,
        as_it_is.journal_path,
        as_it_is.allow_unsigned,
    )
    assert (said.broker.port, said.broker.tls) == (as_it_is.broker.port, as_it_is.broker.tls)
    assert said.coin.profile == Profile()
    for wired in (said.game_over_gpio, said.ready, said.meter):
        assert wired is not None
        assert wired == Input(wired.pin)


def test_it_names_every_setting_that_there_is() -> None:
    shown = tomllib.loads(uncommented())
    assert set(shown["coin"]) == {"pin", "active", *(field.name for field in fields(Profile))}
    of_broker = {field.name for field in fields(BrokerAddress)} - {"password"}
    assert set(shown["broker"]) == of_broker | {"password_file", "allow_plaintext"}
    assert set(shown["game_over"]["gpio"]) == {field.name for field in fields(Input)}
    assert set(shown) == {"machine_id", "broker", "coin", "game_over", "ready", "meter", "journal", "security"}
    assert set(shown["security"]) == {"signing_key_file", "allow_unsigned"}
