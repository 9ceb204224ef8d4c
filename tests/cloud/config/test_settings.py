"""Settings: every fault at once and by name, which source wins, and no secret ever shown."""

import logging
import re
from contextlib import suppress
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.config.settings import Settings, SettingsError, load, warnings
from arcade_cloud.config.variables import VARIABLES, default_of, example
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.quiet_hours import QuietHours
from arcade_cloud.domain.tab import TabLimit

ROOT = Path(__file__).parents[3]

SECRETS = {
    "STRIPE_API_KEY": "sk_test_51TheKeyOfStripe",
    "STRIPE_WEBHOOK_SECRET": "whsec_theWebhookSecret",
    "MQTT_PASSWORD": "the password of the broker",
    "SIGNING_SECRET": "0123456789abcdef0123456789abcdef",
    "INGEST_SECRET": "the rule engine's own key",
    "GAMEOVER_API_KEY": "the game software's own key",
    "ALERT_WEBHOOK_URL": "https://alerts.example/T000/theTokenOfAlerts",
}
GOOD = {
    **SECRETS,
    "STRIPE_PRICE_ID": "price_1Play",
    "EMQX_BROKER_URL": "abc123.ala.eu-central-1.emqxsl.com",
    "MQTT_USERNAME": "cloud",
    "PUBLIC_BASE_URL": "https://play.example/",
    "OPERATOR_CONTACT": "+60 3 1234 5678",
}


def load_with(**changes: str) -> Settings:
    return load({**GOOD, **changes}, None)


def faults_with(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ, None)
    assert all(fault in str(caught.value) for fault in caught.value.faults)
    return caught.value.faults


def the_fault(**changes: str) -> str:
    """The only fault that these changes make."""
    (fault,) = faults_with({**GOOD, **changes})
    return fault


def test_the_time_zone_is_utc_unless_it_is_named() -> None:
    moment = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
    assert moment.astimezone(load_with().timezone).hour == 12
    assert moment.astimezone(load_with(TIMEZONE="Asia/Kuala_Lumpur").timezone).hour == 20


@pytest.mark.parametrize("name", ["Kuala Lumpur", "../../etc/passwd", "/etc/passwd", "Asia", "UTC+8", "é"])
def test_a_time_zone_that_nobody_knows_is_a_fault(name: str) -> None:
    assert "must be a time zone such as Asia/Kuala_Lumpur" in the_fault(TIMEZONE=name)


def test_quiet_hours_are_those_of_the_arcades_clock() -> None:
    assert load_with().quiet_hours is None
    settings = load_with(TIMEZONE="Asia/Kuala_Lumpur", ALERT_QUIET_HOURS="22:00-08:00")
    assert settings.quiet_hours == QuietHours(22 * 60, 8 * 60, settings.timezone)
    assert "must be two times of day such as 22:00-08:00" in the_fault(ALERT_QUIET_HOURS="at night")


def test_good_settings_are_read_and_have_nothing_to_warn_of() -> None:
    settings = load_with()
    assert settings.stripe_webhook_secrets == ("whsec_theWebhookSecret",)
    assert (settings.broker.host, settings.broker.port, settings.broker.tls) == (
        GOOD["EMQX_BROKER_URL"],
        8883,
        True,
    )
    assert settings.broker.password == GOOD["MQTT_PASSWORD"]
    assert settings.public_base_url == "https://play.example"
    assert warnings(settings) == []


def test_everything_that_is_missing_is_said_at_once_each_by_its_name() -> None:
    faults = faults_with({})
    for name in (
        "STRIPE_API_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "EMQX_BROKER_URL",
        "MQTT_USERNAME",
        "MQTT_PASSWORD",
        "SIGNING_SECRET",
    ):
        assert [fault for fault in faults if fault.startswith(f"{name} is missing")], name
    assert len(faults) == 6


def test_faults_of_all_kinds_are_gathered_in_one_message() -> None:
    faults = faults_with(
        {
            **GOOD,
            "STRIPE_API_KEY": "pk_test_1",
            "EMQX_PORT": "eight",
            "MQTT_CA_FILE": "/nowhere/ca.pem",
            "SIGNING_SECRET": "short",
            "PUBLIC_BASE_URL": "play.example",
            "DATABASE_URL": "postgres://db",
            "SILENCE_LIMIT_S": "100",
            "RATE_LIMIT_PER_MINUTE": "-1",
        }
    )
    named = {fault.split()[0] for fault in faults}
    assert named == {
        "STRIPE_API_KEY",
        "EMQX_PORT",
        "MQTT_CA_FILE",
        "SIGNING_SECRET",
        "PUBLIC_BASE_URL",
        "DATABASE_URL",
        "SILENCE_LIMIT_S",
        "RATE_LIMIT_PER_MINUTE",
    }


@pytest.mark.parametrize("name", [variable.name for variable in VARIABLES if variable.required])
@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_value_counts_as_missing(name: str, empty: str) -> None:
    assert f"{name} is missing" in "\n".join(faults_with({**GOOD, name: empty}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("STRIPE_API_KEY", "your_stripe_api_key"),
        ("STRIPE_WEBHOOK_SECRET", "your_stripe_webhook_secret"),
        ("STRIPE_PRICE_ID", "your_stripe_price_id"),
        ("MQTT_USERNAME", "your_mqtt_username"),
        ("MQTT_PASSWORD", "your_mqtt_password"),
        ("EMQX_BROKER_URL", "your-emqx-broker-url"),
        ("STRIPE_API_KEY", "sk_test_..."),
        ("STRIPE_WEBHOOK_SECRET", "whsec_…"),
        ("STRIPE_API_KEY", "sk_test_xxxxxxxx"),
        ("SIGNING_SECRET", "<put 32 characters here, or more of them>"),
        ("MQTT_PASSWORD", "changeme"),
    ],
)
def test_the_text_of_an_example_is_no_value(name: str, text: str) -> None:
    assert the_fault(**{name: text}).startswith(f"{name} still holds the text of an example")


@pytest.mark.parametrize(
    ("name", "alias", "value"),
    [
        ("STRIPE_PRICE_ID", "PRICE_ID", "price_2"),
        ("EMQX_BROKER_URL", "MQTT_BROKER", "broker.example"),
        ("EMQX_PORT", "MQTT_PORT", "1888"),
    ],
)
def test_other_names_are_accepted_and_must_agree(name: str, alias: str, value: str) -> None:
    without = {key: text for key, text in GOOD.items() if key != name}
    settings = load({**without, alias: value}, None)
    assert value in {settings.stripe_price_id, settings.broker.host, str(settings.broker.port)}
    assert load({**without, alias: value, name: value}, None) == settings
    (fault,) = faults_with({**without, alias: value, name: value + "9"})
    assert name in fault
    assert alias in fault


def test_the_environment_wins_over_the_file_by_whatever_name(tmp_path: Path) -> None:
    env_file = tmp_path / ".env.local"
    env_file.write_text(
        "EMQX_BROKER_URL=file.example\nSITE_NAME='The ${HOME} arcade' # a remark\nMQTT_USERNAME=\n"
    )
    only_environment = {key: text for key, text in GOOD.items() if key != "EMQX_BROKER_URL"}
    from_file = load(only_environment, env_file)
    assert (from_file.broker.host, from_file.site_name) == ("file.example", "The ${HOME} arcade")
    assert load({**only_environment, "MQTT_BROKER": "env.example"}, env_file).broker.host == "env.example"
    assert load({**only_environment, "EMQX_BROKER_URL": ""}, env_file).broker.host == "file.example"


def test_a_file_that_is_missing_is_fine_and_one_that_is_unreadable_is_a_fault(tmp_path: Path) -> None:
    assert load(GOOD, tmp_path / ".env.local") == load(GOOD, None)
    (tmp_path / "latin").write_bytes(b"SITE_NAME=caf\xe9\n")
    for bad in (tmp_path, tmp_path / "latin"):
        with pytest.raises(SettingsError, match="cannot be read"):
            load(GOOD, bad)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("SIGNING_SECRETS=x", "did you mean SIGNING_SECRET?"),
        ("STRIPE_API_KEI=", "did you mean STRIPE_API_KEY?"),
        ("site_name=x", "did you mean SITE_NAME?"),
        ("MQTT_BROKR=x", "did you mean MQTT_BROKER?"),
        ("AWS_REGION=ap-southeast-1", "AWS_REGION, which means nothing here."),
        ("COLOUR=red", "COLOUR, which means nothing here."),
    ],
)
def test_every_name_in_the_file_that_means_nothing_is_told(tmp_path: Path, line: str, words: str) -> None:
    env_file = tmp_path / ".env.local"
    env_file.write_text(line + "\n")
    env_file.chmod(0o600)
    (warning,) = warnings(load(GOOD, env_file))
    assert str(env_file) in warning
    assert words in warning


@pytest.mark.parametrize(
    ("name", "meant"),
    [("STRIPE_PRICEID", "STRIPE_PRICE_ID"), ("SITENAME", "SITE_NAME"), ("PUBLIC_BASE_URI", "PUBLIC_")],
)
def test_of_the_environment_only_what_is_nearly_a_setting_is_told(name: str, meant: str) -> None:
    """It holds much that is for others."""
    others = dict.fromkeys(("PATH", "HOME", "PORT", "EMQX_PORT_8883_TCP", "AWS_SITE_NAME", "LANG"), "x")
    assert warnings(load({**GOOD, **others}, None)) == []
    (warning,) = warnings(load({**GOOD, **others, name: "x"}, None))
    assert f"the environment sets {name}" in warning
    assert f"did you mean {meant}" in warning


def test_what_is_missing_because_it_is_misspelt_says_so(tmp_path: Path) -> None:
    env_file = tmp_path / ".env.local"
    env_file.write_text("MQTT_BROKR=host.example\n")
    some = {name: text for name, text in GOOD.items() if name not in ("STRIPE_API_KEY", "EMQX_BROKER_URL")}
    with pytest.raises(SettingsError) as raised:
        load({**some, "STRIPE_API_KEI": "sk_test_x"}, env_file)
    key, broker = raised.value.faults
    assert key.startswith("STRIPE_API_KEY is missing: the environment sets STRIPE_API_KEI instead. ")
    assert broker.startswith(f"EMQX_BROKER_URL is missing: {env_file} sets MQTT_BROKR instead. ")


def test_a_file_that_is_missing_is_the_one_fault_where_nothing_else_is_set(tmp_path: Path) -> None:
    env_file = tmp_path / ".env.local"
    with pytest.raises(SettingsError) as raised:
        load({"PATH": "/bin"}, env_file)
    (fault,) = raised.value.faults
    assert fault.startswith(f"{env_file} is not there (in {Path.cwd()})")
    assert ".env.example" in fault
    for environ, file in (({"SITE_NAME": "x"}, env_file), ({}, None)):
        with pytest.raises(SettingsError, match="STRIPE_API_KEY is missing"):
            load(environ, file)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_from_windows_notepad_is_read(tmp_path: Path, encoding: str) -> None:
    env_file = tmp_path / ".env.local"
    env_file.write_bytes("SITE_NAME=Space\r\nMQTT_USERNAME=cloud\r\n".encode(encoding))
    assert load(GOOD, env_file).site_name == "Space"


def test_secrets_are_in_no_text_that_could_be_logged(tmp_path: Path) -> None:
    settings = load_with()
    shown = f"{settings!r} {settings} {settings.broker!r} {warnings(settings)}"
    assert not [secret for secret in SECRETS.values() if secret in shown]
    broken = {name: f"pk_{value}" if name.startswith("STRIPE") else value for name, value in SECRETS.items()}
    message = "\n".join(faults_with({**broken, "EMQX_BROKER_URL": "mqtts://cloud:hunter22@broker.example"}))
    assert not [secret for secret in [*SECRETS.values(), "hunter22"] if secret in message]


@pytest.mark.parametrize(
    ("pasted", "host", "port"),
    [
        ("broker.example", "broker.example", 8883),
        ("  broker.example  ", "broker.example", 8883),
        ("broker.example:18883", "broker.example", 18883),
        ("mqtts://broker.example", "broker.example", 8883),
        ("mqtts://broker.example:8884/", "broker.example", 8884),
        ("ssl://broker.example:8883", "broker.example", 8883),
        ("tls://Broker.Example", "broker.example", 8883),
        ("mqtt://broker.example", "broker.example", 8883),
        ("mqtt://broker.example:8883", "broker.example", 8883),
        ("tcp://broker.example:8883", "broker.example", 8883),
        ("https://broker.example:8443/api/v5", "broker.example", 8883),
        ("wss://broker.example:8084/mqtt", "broker.example", 8883),
        ("broker.example/", "broker.example", 8883),
        ("192.0.2.7:8883", "192.0.2.7", 8883),
        ("[2001:db8::7]:8884", "2001:db8::7", 8884),
        ("2001:db8::7", "2001:db8::7", 8883),
        ("mosquitto_1", "mosquitto_1", 8883),
    ],
)
def test_the_broker_is_understood_as_people_paste_it(pasted: str, host: str, port: int) -> None:
    broker = load_with(EMQX_BROKER_URL=pasted).broker
    assert (broker.host, broker.port, broker.tls) == (host, port, True)


@pytest.mark.parametrize(
    "pasted",
    [
        "cloud:secret@broker.example",
        "amqp://broker.example",
        "broker.example:0",
        "broker.example:99999",
        "broker.example:http",
        "mqtts://",
        "two words",
        "broker..example",
        "-broker",
        "[::1",
        "2001:db8::7::8",
        "broker.example:8883:8884",
    ],
)
def test_what_is_no_broker_is_a_fault_that_says_what_to_write(pasted: str) -> None:
    assert the_fault(EMQX_BROKER_URL=pasted).startswith("EMQX_BROKER_URL ")


@given(pasted=st.text(max_size=60))
def test_no_text_for_a_broker_raises_anything_but_a_settings_error(pasted: str) -> None:
    with suppress(SettingsError):
        assert load_with(EMQX_BROKER_URL=pasted).broker.host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "[::1]:1883", "localhost."])
def test_plaintext_without_a_user_is_for_a_broker_on_this_machine(host: str) -> None:
    broker = load_with(EMQX_BROKER_URL=host, MQTT_TLS="0", MQTT_USERNAME="", MQTT_PASSWORD="").broker
    assert (broker.port, broker.tls, broker.username) == (1883, False, None)


@pytest.mark.parametrize("host", ["broker.example", "192.168.1.5", "localhost.example", "0.0.0.0", "128.0.0.1"])
def test_plaintext_elsewhere_must_be_allowed(host: str) -> None:
    assert the_fault(EMQX_BROKER_URL=host, MQTT_TLS="0").startswith("MQTT_TLS is 0")
    settings = load_with(EMQX_BROKER_URL=host, MQTT_TLS="0", MQTT_ALLOW_PLAINTEXT="1")
    assert settings.broker.tls is False
    assert "MQTT_TLS is 0" in " ".join(warnings(settings))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"EMQX_BROKER_URL": "broker.example:8884", "EMQX_PORT": "8883"}, "EMQX_PORT"),
        ({"EMQX_BROKER_URL": "mqtts://localhost", "MQTT_TLS": "0"}, "MQTT_TLS"),
        ({"EMQX_BROKER_URL": "mqtt://localhost:1883"}, "EMQX_BROKER_URL"),
        ({"MQTT_USERNAME": ""}, "MQTT_USERNAME"),
        ({"MQTT_PASSWORD": ""}, "MQTT_PASSWORD"),
        ({"EMQX_BROKER_URL": "localhost", "MQTT_USERNAME": ""}, "MQTT_USERNAME"),
        ({"MQTT_TLS": "maybe"}, "MQTT_TLS"),
        ({"MQTT_PUBLISH_TIMEOUT_MS": "50"}, "MQTT_PUBLISH_TIMEOUT_MS"),
        ({"MQTT_LISTENER_ID": "with a blank"}, "MQTT_LISTENER_ID"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_good, sk_test_1"}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_PRICE_ID": "prod_1"}, "STRIPE_PRICE_ID"),
        ({"STRIPE_API_KEY": "sk_live_1", "STRIPE_API_BASE": "http://localhost:12111"}, "STRIPE_API_BASE"),
        ({"SIGNING_SECRET": "0123456789abcdef0123456789abcdef,short"}, "SIGNING_SECRET"),
        ({"INGEST_SECRET": SECRETS["SIGNING_SECRET"]}, "INGEST_SECRET"),
        ({"PUBLIC_BASE_URL": "https://play.example/?a=b"}, "PUBLIC_BASE_URL"),
        ({"PUBLIC_BASE_URL": "http://play.example"}, "PUBLIC_BASE_URL"),
        ({"PUBLIC_BASE_URL": "http://192.168.1.20:5000"}, "PUBLIC_BASE_URL"),
        ({"ALLOWED_HOSTS": "shop.example, https://other.example"}, "ALLOWED_HOSTS"),
        ({"ALERT_WEBHOOK_URL": "mailto:me@example"}, "ALERT_WEBHOOK_URL"),
        ({"DATABASE_URL": "sqlite://arcade.sqlite"}, "DATABASE_URL"),
        ({"DATABASE_URL": "dynamodb://ab"}, "DATABASE_URL"),
        ({"DATABASE_URL": "dynamodb://arcade?zone=1"}, "DATABASE_URL"),
        ({"DATABASE_URL": "dynamodb://arcade", "DYNAMODB_ENDPOINT": "localhost:8000"}, "DYNAMODB_ENDPOINT"),
        ({"AWS_LAMBDA_FUNCTION_NAME": "arcade"}, "DATABASE_URL"),
        ({"CHECKOUT_LIFE_S": "60"}, "CHECKOUT_LIFE_S"),
        ({"DELIVER_WITHIN_S": "900"}, "SILENCE_LIMIT_S"),
    ],
)
def test_what_contradicts_or_is_out_of_bounds_is_a_fault(changes: dict[str, str], name: str) -> None:
    assert the_fault(**changes).startswith(name)


def test_a_certificate_authority_must_be_one(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("-----BEGIN CERTIFICATE-----\n")
    assert load_with(MQTT_CA_FILE=str(ca_file)).broker.ca_file == str(ca_file)
    ca_file.write_bytes(b"\x30\x82binary")
    assert "contains no certificate in PEM form" in the_fault(MQTT_CA_FILE=str(ca_file))
    assert "is not a path" in the_fault(MQTT_CA_FILE="ca\0.pem")


def test_several_secrets_stand_side_by_side_while_one_is_rolled() -> None:
    new = "f" * 20 + "0123456789abcdef"
    settings = load_with(
        STRIPE_WEBHOOK_SECRET="whsec_new , whsec_old", SIGNING_SECRET=f"{new},{SECRETS['SIGNING_SECRET']}"
    )
    assert settings.stripe_webhook_secrets == ("whsec_new", "whsec_old")
    assert settings.signing_secrets == (new, SECRETS["SIGNING_SECRET"])


def test_limits_are_settings_by_their_own_names() -> None:
    changed = {f.name: getattr(Limits(), f.name) + 1 for f in fields(Limits)}
    assert load_with(**{name.upper(): str(value) for name, value in changed.items()}).limits == Limits(**changed)


def test_silence_is_counted_after_the_longest_train_wherever_money_is_real() -> None:
    short = {"DELIVER_WITHIN_S": "8", "SILENCE_LIMIT_S": "12", "HOLD_SILENCE_LIMIT_S": "12"}
    assert [fault.split()[0] for fault in faults_with({**GOOD, **short})] == [
        "SILENCE_LIMIT_S",
        "HOLD_SILENCE_LIMIT_S",
    ]
    genuine = {**short, "STRIPE_API_BASE": "https://api.stripe.com"}
    assert len(faults_with({**GOOD, **genuine})) == 2


def test_with_a_stand_in_for_stripe_a_silent_machine_can_be_tried_in_seconds() -> None:
    stand_in = {
        "STRIPE_API_BASE": "http://localhost:12111",
        "DELIVER_WITHIN_S": "8",
        "HOLD_SILENCE_LIMIT_S": "900",
    }
    settings = load_with(**stand_in, SILENCE_LIMIT_S="12")
    assert settings.limits.silence_limit_s == 12
    assert "SILENCE_LIMIT_S (12) must exceed 68" in " ".join(warnings(settings))
    assert the_fault(**stand_in, SILENCE_LIMIT_S="8").startswith("SILENCE_LIMIT_S (8) must exceed 68")


def test_an_address_of_stripe_that_is_none_is_one_fault() -> None:
    assert the_fault(STRIPE_API_BASE="http://[").startswith("STRIPE_API_BASE")


@pytest.mark.parametrize("in_file", [False, True])
def test_what_is_no_setting_any_more_is_remarked_upon_and_does_no_harm(tmp_path: Path, in_file: bool) -> None:
    file = tmp_path / ".env.local"
    file.write_text("MAX_TRAIN_S=2\n" if in_file else "")
    file.chmod(0o600)
    settings = load(GOOD if in_file else {**GOOD, "MAX_TRAIN_S": "2"}, file)
    assert settings.limits == Limits()
    assert settings.remarks == (
        "MAX_TRAIN_S is no longer a setting: no pulse train is longer than 60 s, which the agents see to.",
    )


def test_publishing_is_paced_for_emqx_serverless_unless_it_is_set() -> None:
    assert load_with().mqtt_publishes_per_s == 10
    assert load_with(MQTT_PUBLISHES_PER_S="0").mqtt_publishes_per_s == 0
    assert load_with(EMQX_BROKER_URL="broker.example").mqtt_publishes_per_s == 0


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"PUBLIC_BASE_URL": ""}, "PUBLIC_BASE_URL is http://localhost:5000"),
        ({"PUBLIC_BASE_URL": "http://play.example", "PUBLIC_ALLOW_HTTP": "1"}, "PUBLIC_BASE_URL begins with http"),
        ({"GAMEOVER_API_KEY": ""}, "GAMEOVER_API_KEY is not set"),
        ({"GAMEOVER_API_KEY": "short"}, "GAMEOVER_API_KEY has fewer than"),
        ({"STRIPE_PRICE_ID": ""}, "STRIPE_PRICE_ID is not set"),
        ({"STRIPE_API_BASE": "http://localhost:12111"}, "STRIPE_API_BASE is set"),
        ({"STRIPE_API_KEY": "key"}, "STRIPE_API_KEY does not begin with"),
        (
            {"DATABASE_URL": "dynamodb://arcade?region=eu-west-1", "DYNAMODB_ENDPOINT": "http://localhost:8000"},
            "DYNAMODB_ENDPOINT is set",
        ),
        ({"OPERATOR_CONTACT": ""}, "OPERATOR_CONTACT is not set"),
        ({"ALERT_WEBHOOK_URL": ""}, "Neither ALERT_URLS nor ALERT_WEBHOOK_URL is set"),
        ({"ALERT_WEBHOOK_URL": "http://alerts.example"}, "ALERT_WEBHOOK_URL begins with http"),
        ({"SIGNING_SECRET": "a" * 32}, "SIGNING_SECRET looks typed by hand"),
        ({"EMQX_PORT": "1883"}, "EMQX_PORT is 1883"),
        (
            {"AWS_LAMBDA_FUNCTION_NAME": "arcade", "DATABASE_URL": "sqlite:////tmp/arcade.sqlite"},
            "DATABASE_URL is a file",
        ),
        (
            {"AWS_LAMBDA_FUNCTION_NAME": "arcade", "DATABASE_URL": "dynamodb://arcade", "INGEST_SECRET": ""},
            "INGEST_SECRET is not set",
        ),
    ],
)
def test_what_works_but_is_not_for_players_who_pay_is_warned_of(changes: dict[str, str], word: str) -> None:
    found = warnings(load_with(**changes))
    assert [warning for warning in found if warning.startswith(word)], found


def test_the_example_file_is_the_one_that_the_table_makes() -> None:
    """`python -m arcade_cloud.config.variables > .env.example` writes it anew."""
    assert (ROOT / ".env.example").read_text() == example()


def test_the_example_file_unchanged_is_refused_with_every_required_name() -> None:
    with pytest.raises(SettingsError) as caught:
        load({}, ROOT / ".env.example")
    for variable in VARIABLES:
        assert (f"{variable.name} is missing" in str(caught.value)) == (
            variable.required or variable.name in {"MQTT_USERNAME", "MQTT_PASSWORD"}
        )


def test_the_defaults_in_the_table_are_the_ones_that_count() -> None:
    stated = {variable.name: variable.default_text for variable in VARIABLES if variable.default is not None}
    needed = {name: value for name, value in GOOD.items() if name not in stated}
    assert load({**needed, **stated}, None) == load(needed, None)


def test_a_default_is_stated_in_the_table_and_nowhere_else() -> None:
    assert [f.name for f in fields(Settings) if (f.default, f.default_factory) != (MISSING, MISSING)] == []
    settings, limits = load_with(), Limits()
    for name in ("MQTT_PUBLISH_TIMEOUT_MS", "RATE_LIMIT_PER_MINUTE", "TRUSTED_PROXIES"):
        assert getattr(settings, name.lower()) == default_of(name, int)
    for name in ("SITE_NAME", "DATABASE_URL"):
        assert getattr(settings, name.lower()) == default_of(name, str)
    for f in fields(Limits):
        assert getattr(limits, f.name) == default_of(f.name.upper(), int) == getattr(settings.limits, f.name)


def test_a_default_of_another_type_is_a_defect() -> None:
    with pytest.raises(TypeError, match="SITE_NAME"):
        default_of("SITE_NAME", int)
    with pytest.raises(TypeError, match="STAGE_PREFIX"):
        default_of("STAGE_PREFIX", str)


def test_every_variable_that_is_read_is_in_the_table_and_the_other_way_round() -> None:
    source = "".join(
        (ROOT / "cloud/arcade_cloud/config" / name).read_text() for name in ("settings.py", "environment.py")
    )
    limits = {f.name.upper() for f in fields(Limits)}
    for variable in VARIABLES:
        assert variable.name in limits or f'("{variable.name}"' in source, f"{variable.name} is never read"
    read = set(re.findall(r'\("([A-Z][A-Z0-9_]+)"', source))
    assert read - {"AWS_LAMBDA_FUNCTION_NAME"} <= {variable.name for variable in VARIABLES}  # that one is AWS's


def test_loading_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        load_with()
    records: list[Any] = caplog.records
    assert records == []


def test_a_site_is_allowed_under_the_names_that_are_set() -> None:
    assert load_with().allowed_hosts == {"play.example"}
    settings = load_with(
        PUBLIC_BASE_URL="https://Play.example:8443/arcade", ALLOWED_HOSTS="Shop.example, [::1]:5000"
    )
    assert settings.allowed_hosts == {"play.example", "shop.example", "::1"}


def test_limits_of_tabs_are_amounts_of_one_currency_the_least_first() -> None:
    assert load_with().tab_limits == ()
    assert load_with(TAB_LIMITS="50.00MYR, 20MYR,20.00MYR").tab_limits == (
        TabLimit(2000, "myr"),
        TabLimit(5000, "myr"),
    )
    assert load_with(TAB_LIMITS="2000JPY").tab_limits == (TabLimit(2000, "jpy"),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("20.00", "names no currency"),
        ("20.00XYZ", "names no currency"),
        ("twentyMYR", "not an amount"),
        ("-5.00MYR", "not an amount"),
        ("1.00MYR", "less than RM 2.00"),
        ("0JPY", "less than"),
        ("20.00MYR,20.00SGD", "one currency"),
        ("3MYR,4MYR,5MYR,6MYR,7MYR,8MYR,9MYR", "at most 6"),
    ],
)
def test_other_limits_of_tabs_are_refused(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=f"TAB_LIMITS.*{why}"):
        load_with(TAB_LIMITS=text)


# --- how the pages look ----------------------------------------------------------------------------------


def test_the_arcades_look_is_as_plain_as_can_be_where_nothing_is_set() -> None:
    plain = load_with()
    assert (plain.site_logo, plain.site_colour, plain.site_machines) == ("", "", False)
    assert (plain.quantities, plain.coins_accepted) == ((1,), False)


def test_a_colour_quantities_and_a_logo_are_read(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text("<svg/>")
    own = load_with(SITE_COLOUR="#C21", QUANTITIES="3, 1,10", SITE_LOGO=str(logo), COINS_ACCEPTED="1")
    assert (own.site_colour, own.quantities, own.coins_accepted) == ("#cc2211", (1, 3, 10), True)
    assert own.site_logo == str(logo)
    assert load_with(SITE_COLOR="#c2185b").site_colour == "#c2185b"
    assert load_with(SITE_LOGO="https://a.example/logo.png").site_logo == "https://a.example/logo.png"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("SITE_COLOUR", "red", "must be a colour such as #c2185b"),
        ("SITE_LOGO", "http://a.example/logo.png", "must begin with https://"),
        ("SITE_LOGO", "https://a.example/a logo.png", "without spaces"),
        ("SITE_LOGO", "/nowhere/logo.png", "is not a file that can be read"),
        ("SITE_LOGO", "/etc/passwd", "a file with .svg, .png"),
        ("QUANTITIES", "0", "whole numbers from 1 to 100"),
        ("QUANTITIES", "1,1", "different"),
        ("QUANTITIES", "1,two", "whole numbers"),
        ("QUANTITIES", "1,2,3,4,5,6,7,8,9", "at most 8 numbers"),
        ("COINS_ACCEPTED", "perhaps", "must be 1 or 0"),
    ],
)
def test_a_look_that_cannot_be_shown_is_a_fault(name: str, value: str, why: str) -> None:
    fault = the_fault(**{name: value})
    assert fault.startswith(name)
    assert why in fault


def test_a_logo_that_phones_would_load_for_long_is_a_fault(tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(b"x" * 51_201)
    fault = the_fault(SITE_LOGO=str(logo))
    assert "is larger than 50 kB" in fault


def test_the_languages_are_codes_and_each_counts_once() -> None:
    assert load_with().languages == ("en", "ms", "zh")
    assert load_with(LANGUAGES="ms, en,ms").languages == ("ms", "en")
    assert "must be some of en, ms, zh, not 'de'" in the_fault(LANGUAGES="en,de")
