"""The settings: built from the environment and `.env.local`, checked as a whole before anything starts.

SettingsError   what is wrong with them, all of it at once
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from arcade_cloud.config import broker_address, dynamodb_address
from arcade_cloud.config.environment import Environment
from arcade_cloud.domain.limits import Limits
from arcade_cloud.errors import ArcadeError
from arcade_shared.broker_address import TLS_PORT, BrokerAddress, is_loopback
from arcade_shared.signing import MIN_SECRET_LENGTH

ENV_FILE = Path(".env.local")  # in the working directory
LOCAL_BASE_URL = "http://localhost:5000"
# EMQX Serverless lets one client publish 10 messages a second. What comes faster waits unread, and may then be
# delivered after we have given it up; so we hold it back ourselves, and know that it was not sent.
EMQX_SERVERLESS_PUBLISHES_PER_S = 10
# Keys of other software that are shorter than this are remarked upon, not refused.
GOOD_KEY_LENGTH = 16

_LISTENER_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PREFIX = re.compile(r"/|(/[A-Za-z0-9_.~-]{1,64}){1,4}/?")
_SQLITE = re.compile(r"sqlite:///.+")
# What Stripe's values begin with. The usual mistake is to paste one into the place of another.
_KINDS = {
    "sk_": "a secret key",
    "rk_": "a restricted key",
    "pk_": "a publishable key",
    "whsec_": "the signing secret of a webhook",
    "price_": "the id of a price",
    "prod_": "the id of a product",
    "plink_": "the id of a payment link",
}
_EXPECTED = {
    "STRIPE_API_KEY": ("sk_", "rk_"),
    "STRIPE_WEBHOOK_SECRET": ("whsec_",),
    "STRIPE_PRICE_ID": ("price_",),
}


class SettingsError(ArcadeError):
    """The settings can't be used. `faults` has one sentence for each fault, naming the variable."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(["The settings can't be used:", *(f"  - {fault}" for fault in faults)]))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked. None is what was not given. `repr` shows no secret.

    `remarks`: odd things about where the values came from, for `warnings`.
    """

    stripe_api_key: str = field(repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(repr=False)
    stripe_price_id: str | None = None
    stripe_api_base: str | None = None
    broker: BrokerAddress
    mqtt_publish_timeout_ms: int = 2500
    mqtt_publishes_per_s: int = 0  # 0: no limit
    mqtt_listener_id: str | None = None
    signing_secrets: tuple[str, ...] = field(repr=False)  # the newest first
    ingest_secret: str | None = field(default=None, repr=False)
    gameover_api_key: str | None = field(default=None, repr=False)
    public_base_url: str = LOCAL_BASE_URL  # without a slash at its end
    site_name: str = "Arcade"
    operator_contact: str = ""
    database_url: str = "sqlite:///arcade.sqlite"
    dynamodb_endpoint: str | None = None
    alert_webhook_url: str | None = field(default=None, repr=False)
    rate_limit_per_minute: int = 60  # 0: no limit
    trusted_proxies: int = 0
    stage_prefix: str = "/prod"  # without a slash at its end; empty: none
    limits: Limits = field(default_factory=Limits)
    remarks: tuple[str, ...] = ()


def load(environ: Mapping[str, str], env_file: Path | None = ENV_FILE) -> Settings:
    """The settings in `environ`, and in `env_file` where `environ` says nothing.

    A file that does not exist is as good as an empty one. Raises SettingsError with every fault there is.
    """
    env = Environment(environ, env_file)
    settings = _read(env, on_lambda=bool(environ.get("AWS_LAMBDA_FUNCTION_NAME")))
    if env.faults:
        raise SettingsError(env.faults)
    return settings


def _read(env: Environment, *, on_lambda: bool) -> Settings:
    """All values. What is wrong with them is noted in `env`, and then they are good for nothing."""
    _check_stripe(env)
    _check_keys(env)
    database_url = _database_url(env, on_lambda=on_lambda)
    listener_id = env.text("MQTT_LISTENER_ID")
    if listener_id is not None and _LISTENER_ID.fullmatch(listener_id) is None:
        env.fault("MQTT_LISTENER_ID", "must be 1 to 64 letters, digits, '-', '_' or '.'")
    if on_lambda and not env.is_given("INGEST_SECRET"):
        env.remarks.append("INGEST_SECRET is not set: on AWS Lambda nothing would ever be heard of a machine.")
    broker, public_base_url = _broker(env), _public_base_url(env)
    paced = EMQX_SERVERLESS_PUBLISHES_PER_S if broker_address.is_emqx_serverless(broker.host) else 0
    return Settings(
        stripe_api_key=env.text("STRIPE_API_KEY") or "",
        stripe_webhook_secrets=env.texts("STRIPE_WEBHOOK_SECRET"),
        stripe_price_id=env.text("STRIPE_PRICE_ID"),
        stripe_api_base=env.url("STRIPE_API_BASE"),
        broker=broker,
        mqtt_publish_timeout_ms=env.number("MQTT_PUBLISH_TIMEOUT_MS", 2500, 100, 30_000),
        mqtt_publishes_per_s=env.number("MQTT_PUBLISHES_PER_S", paced, 0, 100_000),
        mqtt_listener_id=listener_id,
        signing_secrets=env.texts("SIGNING_SECRET"),
        ingest_secret=env.text("INGEST_SECRET"),
        gameover_api_key=env.text("GAMEOVER_API_KEY"),
        public_base_url=public_base_url,
        site_name=env.text("SITE_NAME") or "Arcade",
        operator_contact=env.text("OPERATOR_CONTACT") or "",
        database_url=database_url,
        dynamodb_endpoint=env.url("DYNAMODB_ENDPOINT"),
        alert_webhook_url=env.url("ALERT_WEBHOOK_URL"),
        rate_limit_per_minute=env.number("RATE_LIMIT_PER_MINUTE", 60, 0, 1_000_000),
        trusted_proxies=env.number("TRUSTED_PROXIES", 0, 0, 10),
        stage_prefix=_stage_prefix(env, public_base_url),
        limits=_limits(env),
        remarks=tuple(env.remarks),
    )


def _check_stripe(env: Environment) -> None:
    for name, expected in _EXPECTED.items():
        for value in env.texts(name):
            kind = next((kind for kind in _KINDS if value.startswith(kind)), None)
            if kind in expected:
                continue
            begins = " or ".join(expected)
            if kind is not None:
                env.fault(name, f"holds {_KINDS[kind]} ({kind}…): it must begin with {begins}")
            elif not env.is_given("STRIPE_API_BASE"):
                env.remarks.append(f"{name} does not begin with {begins}, as Stripe's do.")
    if "_live_" in (env.text("STRIPE_API_KEY") or "") and not _stripe_host(env).endswith(".stripe.com"):
        env.fault("STRIPE_API_BASE", "would send a live key of Stripe to somebody else: take one of the two out")


def _check_keys(env: Environment) -> None:
    secrets = env.texts("SIGNING_SECRET")
    if any(len(secret) < MIN_SECRET_LENGTH for secret in secrets):
        each = " each" if len(secrets) > 1 else ""
        env.fault(
            "SIGNING_SECRET", f"must have at least {MIN_SECRET_LENGTH} characters{each}: openssl rand -hex 32"
        )
    if any(len(set(secret)) < 10 for secret in secrets):
        env.remarks.append("SIGNING_SECRET looks typed by hand: whoever guesses it mints credits.")
    for name in ("INGEST_SECRET", "GAMEOVER_API_KEY"):
        key = env.text(name)
        if key is not None and len(key) < GOOD_KEY_LENGTH:
            env.remarks.append(f"{name} has less than {GOOD_KEY_LENGTH} characters and can be guessed by trying.")
        if key is not None and key in secrets:
            env.fault(name, "must not be the SIGNING_SECRET, which never leaves the cloud")


def _public_base_url(env: Environment) -> str:
    url = env.url("PUBLIC_BASE_URL") or LOCAL_BASE_URL
    if "?" in url or "#" in url:
        env.fault("PUBLIC_BASE_URL", "must end with the host or a path: nothing may follow a ? or #")
    return url


def _stage_prefix(env: Environment, public_base_url: str) -> str:
    prefix = env.text("STAGE_PREFIX")
    if prefix is None:
        below = urlsplit(public_base_url).path
        return below if _PREFIX.fullmatch(below) else "/prod"
    if _PREFIX.fullmatch(prefix) is None:
        env.fault("STAGE_PREFIX", "must be a path such as /prod, or / for none")
    return prefix.rstrip("/")


def _database_url(env: Environment, *, on_lambda: bool) -> str:
    url = env.text("DATABASE_URL")
    if url is None:
        if on_lambda:
            env.fault(
                "DATABASE_URL", "is missing: no file outlives an instance on AWS Lambda. Use dynamodb://table"
            )
        return "sqlite:///arcade.sqlite"
    if url.startswith("dynamodb:"):
        try:
            dynamodb_address.parse(url)
        except ValueError as error:
            env.fault("DATABASE_URL", str(error))
    elif _SQLITE.fullmatch(url) is None:
        env.fault("DATABASE_URL", "must be sqlite:///file, sqlite:////absolute/file or dynamodb://table")
    elif on_lambda and url.startswith("sqlite:"):
        env.remarks.append("DATABASE_URL is a file: on AWS Lambda all orders are lost with the instance.")
    return url


def _limits(env: Environment) -> Limits:
    noted = len(env.faults)
    standard = Limits()
    limits = Limits(
        **{f.name: env.number(f.name.upper(), getattr(standard, f.name), 0, 10**8) for f in fields(Limits)}
    )
    if len(env.faults) > noted:
        return limits
    faults = limits.faults()
    if not _stripe_host(env).endswith(".stripe.com") and not limits.faults(longest_train_s=0):
        # Where no real money moves, a silent machine may be tried in less time than the longest train takes.
        env.remarks.extend(f"{fault}. Accepted because STRIPE_API_BASE is a stand-in." for fault in faults)
    else:
        env.faults.extend(f"{fault.rstrip('.')}." for fault in faults)
    return limits


def _stripe_host(env: Environment) -> str:
    try:
        return urlsplit(env.text("STRIPE_API_BASE") or "https://api.stripe.com").hostname or ""
    except ValueError:  # a fault of its own
        return ""


def _broker(env: Environment) -> BrokerAddress:
    """How to reach the broker; with an empty host where that is not to be had."""
    encrypted = env.switch("MQTT_TLS", default=True)
    plaintext_allowed = env.switch("MQTT_ALLOW_PLAINTEXT", default=False)
    given_port = env.number("EMQX_PORT", 0, 1, 65535)
    host, port = "", given_port
    text = env.text("EMQX_BROKER_URL")
    if text is not None:
        try:
            pasted = broker_address.parse(text)
        except ValueError as error:
            env.fault("EMQX_BROKER_URL", str(error))
        else:
            host, port = pasted.host, given_port or pasted.port or 0
            if given_port and pasted.port not in {None, given_port}:
                env.fault(
                    "EMQX_PORT", f"({given_port}) is not the port in EMQX_BROKER_URL ({pasted.port}): keep one"
                )
            if pasted.tls is True and not encrypted:
                env.fault("MQTT_TLS", "is 0, but EMQX_BROKER_URL asks for encryption: change one of them")
            if pasted.tls is False and encrypted and not env.is_given("MQTT_TLS"):
                env.fault("EMQX_BROKER_URL", "asks for plaintext: write mqtts://, or set MQTT_TLS=0 as well")
    alone = (not host and env.is_given("EMQX_BROKER_URL")) or is_loopback(host) or plaintext_allowed
    if not encrypted and not alone:
        env.fault("MQTT_TLS", "is 0, which only a broker on this machine may have (or set MQTT_ALLOW_PLAINTEXT=1)")
    username, password = env.text("MQTT_USERNAME"), env.text("MQTT_PASSWORD")
    if not alone or username or password:
        for name, value in (("MQTT_USERNAME", username), ("MQTT_PASSWORD", password)):
            if value is None and not env.is_given(name):
                env.fault(name, "is missing: the broker's user for the cloud")
    return BrokerAddress(
        host=host,
        port=port or (TLS_PORT if encrypted else broker_address.PLAINTEXT_PORT),
        tls=encrypted,
        ca_file=_ca_file(env),
        username=username,
        password=password,
    )


def _ca_file(env: Environment) -> str | None:
    path = env.text("MQTT_CA_FILE")
    if path is not None:
        try:
            if "-----BEGIN CERTIFICATE-----" not in Path(path).read_text(encoding="utf-8", errors="replace"):
                env.fault("MQTT_CA_FILE", f"({path}) holds no certificate in PEM form")
        except OSError as error:
            env.fault("MQTT_CA_FILE", f"({path}) can't be read: {error.strerror}")
        except ValueError:  # a character that no path can have
            env.fault("MQTT_CA_FILE", f"({path!r}) is no path")
    return path


def warnings(settings: Settings) -> list[str]:
    """What works, and yet is hardly meant for players who pay: one sentence each, for `check`."""
    found = list(settings.remarks)
    site, broker = urlsplit(settings.public_base_url), settings.broker
    if is_loopback(site.hostname or ""):
        found.append(f"PUBLIC_BASE_URL is {settings.public_base_url}: no player's phone can reach it.")
    elif site.scheme == "http":
        found.append("PUBLIC_BASE_URL begins with http: browsers warn players, and Stripe's live mode refuses it.")
    if settings.gameover_api_key is None:
        found.append("GAMEOVER_API_KEY is not set: anybody who finds /gameover can end a game.")
    if settings.stripe_price_id is None:
        found.append("STRIPE_PRICE_ID is not set: only machines with offers of their own sell anything.")
    if settings.stripe_api_base is not None:
        found.append(f"STRIPE_API_BASE is set: payments go to {settings.stripe_api_base}, not to Stripe.")
    if settings.dynamodb_endpoint is not None and settings.database_url.startswith("dynamodb:"):
        found.append(f"DYNAMODB_ENDPOINT is set: orders are kept at {settings.dynamodb_endpoint}, not at AWS.")
    if not settings.operator_contact:
        found.append("OPERATOR_CONTACT is not set: players are not told whom to turn to.")
    if settings.alert_webhook_url is None:
        found.append("ALERT_WEBHOOK_URL is not set: alerts wait in the console and the log until somebody looks.")
    elif settings.alert_webhook_url.startswith("http:") and not is_loopback(
        urlsplit(settings.alert_webhook_url).hostname or ""
    ):
        found.append("ALERT_WEBHOOK_URL begins with http: whoever is on the way reads and drops alerts.")
    if not broker.tls and not is_loopback(broker.host):
        found.append("MQTT_TLS is 0: whoever is on the way to the broker reads its password.")
    if broker.tls and broker.port == broker_address.PLAINTEXT_PORT:
        found.append("EMQX_PORT is 1883, the usual port without encryption, and MQTT_TLS is on.")
    return found
