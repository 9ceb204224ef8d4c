"""The settings: built from the environment and `.env.local`, and checked as a whole before anything starts.

SettingsError   everything that is wrong with them, at once
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, tzinfo
from pathlib import Path
from urllib.parse import urlsplit

from arcade_cloud.config import broker_address, dynamodb_address
from arcade_cloud.config.environment import Environment
from arcade_cloud.config.host_names import host_name
from arcade_cloud.config.private_files import why_not_private
from arcade_cloud.config.variables import default_of
from arcade_cloud.domain.colours import parse_colour
from arcade_cloud.domain.languages import LANGUAGES
from arcade_cloud.domain.limits import MAX_QUANTITY, Limits
from arcade_cloud.domain.money import currency_of, format_amount, parse_amount
from arcade_cloud.domain.pricing import STANDARD_FEES, Fee, parse_fee
from arcade_cloud.domain.quiet_hours import QuietHours, parse_quiet_hours
from arcade_cloud.domain.receipts import Issuing, checked_prefix, parse_rate
from arcade_cloud.domain.tab import TabLimit
from arcade_cloud.errors import ArcadeError, BadRequest
from arcade_shared.broker_address import TLS_PORT, BrokerAddress, is_loopback
from arcade_shared.signing import MIN_SECRET_LENGTH

ENV_FILE = Path(".env.local")  # in the working directory
# Two statuses may be late or lost, and a Pi takes a minute to start. A stand-in for Stripe may try less.
LEAST_MACHINE_SILENT_S = 120
# Shorter keys of other software are remarked on, not refused.
GOOD_KEY_LENGTH = 16
# More than anybody wants to choose from.
TAB_LIMITS_AT_MOST = 6
# A receipt's head is for a name, an address and numbers.
MOST_ISSUER_LINES = 8

# How pictures are sent to browsers, by the end of the file's name.
LOGO_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
LOGO_AT_MOST = 50 * 1024
MOST_BUTTONS = 8

_QUANTITY = re.compile(r"[0-9]{1,3}", re.ASCII)
_LISTENER_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PREFIX = re.compile(r"/|(/[A-Za-z0-9_.~-]{1,64}){1,4}/?")
_SQLITE = re.compile(r"sqlite:///.+")
# What Stripe's values begin with. The usual mistake is to paste one in place of another.
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
    """The settings cannot be used. `faults` has one sentence for each fault, naming the variable."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(["The settings cannot be used:", *(f"  - {fault}" for fault in faults)]))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked. None is what was not given. `repr` shows no secret.

    The defaults are in `variables`; here are none.

    Attributes:
        given: What was given, by variable, to be shown: of a secret only that there is one. It changes nothing.
        remarks: Anything odd about where the values came from, for `warnings`.
        misspelt: Names that are set and mean nothing.
    """

    stripe_api_key: str = field(repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(repr=False)
    stripe_price_id: str | None
    stripe_api_base: str | None
    card_fees: Mapping[str, Fee]  # by currency, lower case
    broker: BrokerAddress
    mqtt_publish_timeout_ms: int
    mqtt_publishes_per_s: int  # 0: no limit
    mqtt_listener_id: str | None
    signing_secrets: tuple[str, ...] = field(repr=False)  # the newest first
    ingest_secret: str | None = field(repr=False)
    gameover_api_key: str | None = field(repr=False)
    public_base_url: str  # without a slash at its end
    allowed_hosts: frozenset[str]  # names, in lower case, of PUBLIC_BASE_URL and ALLOWED_HOSTS
    site_name: str
    languages: tuple[str, ...]  # codes, the one for everybody else first
    site_logo: str  # an https address, or a file; empty: none
    site_colour: str  # as #rrggbb; empty: the program's own
    site_machines: bool
    quantities: tuple[int, ...]
    coins_accepted: bool
    operator_contact: str
    timezone: tzinfo
    database_url: str
    dynamodb_endpoint: str | None
    alert_webhook_url: str | None = field(repr=False)
    alert_urls: tuple[str, ...] = field(repr=False)  # as apprise writes them
    quiet_hours: QuietHours | None
    machine_silent_s: int  # 0: silent machines raise no alert
    rate_limit_per_minute: int  # 0: no limit
    tab_limits: tuple[TabLimit, ...]  # the least first; none: there are no tabs
    issuing: Issuing
    receipt_issuer: tuple[str, ...]  # lines; empty: the site's name
    statement_suffix: bool  # whether a card's statement shows the order's code
    manager_grant_limit: int  # credits in 24 hours
    manager_refund_limits: Mapping[str, int]  # in 24 hours, by currency, in minor units; empty: no limit
    claim_limits: Mapping[str, int]  # of a claim that is granted at once, likewise; empty: none is
    trusted_proxies: int
    stage_prefix: str  # without a slash at its end; empty: none
    limits: Limits
    given: Mapping[str, str] = field(compare=False)
    remarks: tuple[str, ...]
    misspelt: tuple[str, ...]

    @property
    def stripe_is_live(self) -> bool:
        """Whether the key moves real money."""
        return _is_live(self.stripe_api_key)


def load(environ: Mapping[str, str], env_file: Path | None = ENV_FILE) -> Settings:
    """Read the settings from `environ`, and from `env_file` what `environ` does not set.

    A file that does not exist counts as an empty one.

    Raises:
        SettingsError: with every fault there is.
    """
    env = Environment(environ, env_file)
    if env.has_no_source:  # else each variable would say the same
        raise SettingsError(env.faults)
    settings = _read(env, on_lambda=bool(environ.get("AWS_LAMBDA_FUNCTION_NAME")))
    if env.faults:
        raise SettingsError(env.faults)
    return settings


def _read(env: Environment, *, on_lambda: bool) -> Settings:
    """Read all values. If `env` has noted a fault, they are not to be used."""
    _check_stripe(env)
    _check_keys(env)
    database_url = _database_url(env, on_lambda=on_lambda)
    listener_id = env.text("MQTT_LISTENER_ID")
    if listener_id is not None and _LISTENER_ID.fullmatch(listener_id) is None:
        env.fault("MQTT_LISTENER_ID", "must be 1 to 64 letters, digits, '-', '_' or '.'")
    if on_lambda and not env.is_given("INGEST_SECRET"):
        env.remarks.append("INGEST_SECRET is not set: on AWS Lambda no message of a machine would ever arrive.")
    broker, public_base_url, zone = _broker(env), _public_base_url(env), _timezone(env)
    return Settings(
        stripe_api_key=env.text("STRIPE_API_KEY") or "",
        stripe_webhook_secrets=env.texts("STRIPE_WEBHOOK_SECRET"),
        stripe_price_id=env.text("STRIPE_PRICE_ID"),
        stripe_api_base=env.url("STRIPE_API_BASE"),
        card_fees=_card_fees(env),
        broker=broker,
        mqtt_publish_timeout_ms=env.number("MQTT_PUBLISH_TIMEOUT_MS", 100, 30_000),
        mqtt_publishes_per_s=_publishes_per_s(env, broker),
        mqtt_listener_id=listener_id,
        signing_secrets=env.texts("SIGNING_SECRET"),
        ingest_secret=env.text("INGEST_SECRET"),
        gameover_api_key=env.text("GAMEOVER_API_KEY"),
        public_base_url=public_base_url,
        allowed_hosts=_allowed_hosts(env, public_base_url),
        site_name=env.text("SITE_NAME") or default_of("SITE_NAME", str),
        languages=_languages(env),
        site_logo=_site_logo(env),
        site_colour=_site_colour(env),
        site_machines=env.switch("SITE_MACHINES"),
        quantities=_quantities(env),
        coins_accepted=env.switch("COINS_ACCEPTED"),
        operator_contact=env.text("OPERATOR_CONTACT") or "",
        timezone=zone,
        database_url=database_url,
        dynamodb_endpoint=env.url("DYNAMODB_ENDPOINT"),
        alert_webhook_url=env.url("ALERT_WEBHOOK_URL"),
        alert_urls=_alert_urls(env),
        quiet_hours=_quiet_hours(env, zone),
        machine_silent_s=_machine_silent_s(env),
        rate_limit_per_minute=env.number("RATE_LIMIT_PER_MINUTE", 0, 1_000_000),
        tab_limits=_tab_limits(env),
        issuing=_issuing(env),
        receipt_issuer=_receipt_issuer(env),
        statement_suffix=env.switch("STATEMENT_SUFFIX"),
        manager_grant_limit=env.number("MANAGER_GRANT_LIMIT", 0, 1_000_000),
        manager_refund_limits=_amounts("MANAGER_REFUND_LIMIT", env),
        claim_limits=_amounts("CLAIM_LIMIT", env),
        trusted_proxies=env.number("TRUSTED_PROXIES", 0, 10),
        stage_prefix=_stage_prefix(env, public_base_url),
        limits=_limits(env),
        given=env.given(),
        remarks=tuple(env.remarks),
        misspelt=tuple(env.misspelt),
    )


def _card_fees(env: Environment) -> dict[str, Fee]:
    fees = dict(STANDARD_FEES)
    for text in env.texts("CARD_FEES"):
        try:
            currency, fee = parse_fee(text)
        except BadRequest as error:
            env.fault("CARD_FEES", str(error))
        else:
            fees[currency] = fee
    return fees


def _tab_limits(env: Environment) -> tuple[TabLimit, ...]:
    """What a tab may hold, the least first."""
    found: list[TabLimit] = []
    for text in env.texts("TAB_LIMITS"):
        code = text[-3:].lower()
        currency = currency_of(code)
        if not (code.isascii() and code.isalpha() and currency.is_known):
            env.fault("TAB_LIMITS", f"{text[:40]!r} names no currency that Stripe takes: write 20.00MYR")
            continue
        try:
            amount = parse_amount(text, code, bare_whole=True)
        except BadRequest as error:
            env.fault("TAB_LIMITS", str(error))
            continue
        least = max(1, currency.least_minor or 0)
        if amount < least:
            env.fault(
                "TAB_LIMITS", f"{text[:40]!r} is less than {format_amount(least, code)}: Stripe holds no less"
            )
        found.append(TabLimit(amount, code))
    if len({limit.currency for limit in found}) > 1:
        env.fault("TAB_LIMITS", "must be in one currency: a tab is one hold for all machines")
    if len(found) > TAB_LIMITS_AT_MOST:
        env.fault("TAB_LIMITS", f"must hold at most {TAB_LIMITS_AT_MOST} amounts: players choose one of them")
    return tuple(sorted(set(found)))


def _issuing(env: Environment) -> Issuing:
    prefix, tax_bp = "", 0
    try:
        prefix = checked_prefix(env.text("RECEIPT_PREFIX") or "")
    except BadRequest as error:
        env.fault("RECEIPT_PREFIX", str(error))
    try:
        tax_bp = parse_rate(env.text("TAX_RATE") or "0")
    except BadRequest as error:
        env.fault("TAX_RATE", str(error))
    return Issuing(prefix=prefix, tax_bp=tax_bp)


def _receipt_issuer(env: Environment) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in (env.text("RECEIPT_ISSUER") or "").split("|") if line.strip())
    if len(lines) > MOST_ISSUER_LINES or any(len(line) > 120 for line in lines):
        env.fault("RECEIPT_ISSUER", f"must be at most {MOST_ISSUER_LINES} lines of 120 letters, separated by |")
    return lines


def _amounts(name: str, env: Environment) -> dict[str, int]:
    """Amounts by currency, in minor units."""
    limits: dict[str, int] = {}
    for text in env.texts(name):
        currency = text[-3:].lower()
        if not (currency.isascii() and currency.isalpha()):
            env.fault(name, f"{text[:40]!r} names no currency: write 200.00MYR")
            continue
        try:
            limits[currency] = parse_amount(text, currency, bare_whole=True)
        except BadRequest as error:
            env.fault(name, str(error))
    return limits


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
                env.remarks.append(f"{name} does not begin with {begins}, as values from Stripe do.")
    if _is_live(env.text("STRIPE_API_KEY") or "") and not _stripe_host(env).endswith(".stripe.com"):
        env.fault("STRIPE_API_BASE", "would send a live key of Stripe to somebody else: remove one of the two")


def _is_live(api_key: str) -> bool:
    return api_key.startswith(("sk_live_", "rk_live_"))


def _check_keys(env: Environment) -> None:
    secrets = env.texts("SIGNING_SECRET")
    if any(len(secret) < MIN_SECRET_LENGTH for secret in secrets):
        each = " each" if len(secrets) > 1 else ""
        env.fault(
            "SIGNING_SECRET", f"must have at least {MIN_SECRET_LENGTH} characters{each}: openssl rand -hex 32"
        )
    if any(len(set(secret)) < 10 for secret in secrets):
        env.remarks.append("SIGNING_SECRET looks typed by hand: anyone who guesses it can mint credits.")
    for name in ("INGEST_SECRET", "GAMEOVER_API_KEY"):
        key = env.text(name)
        if key is not None and len(key) < GOOD_KEY_LENGTH:
            env.remarks.append(f"{name} has fewer than {GOOD_KEY_LENGTH} characters: it can be guessed.")
        if key is not None and key in secrets:
            env.fault(name, "must not be the SIGNING_SECRET, which never leaves the cloud")


def _public_base_url(env: Environment) -> str:
    url = env.url("PUBLIC_BASE_URL") or default_of("PUBLIC_BASE_URL", str)
    if "?" in url or "#" in url:
        env.fault("PUBLIC_BASE_URL", "must end with the host or a path: it cannot contain ? or #")
    allowed = env.switch("PUBLIC_ALLOW_HTTP")
    site = urlsplit(url)
    if site.scheme == "http" and not is_loopback(site.hostname or "") and not allowed:
        env.fault("PUBLIC_BASE_URL", "begins with http: write https (or, for a trial, set PUBLIC_ALLOW_HTTP=1)")
    return url


def _site_logo(env: Environment) -> str:
    logo = env.text("SITE_LOGO") or ""
    if not logo or logo.startswith("https://"):
        if any(char.isspace() for char in logo):
            env.fault("SITE_LOGO", "must be an address without spaces")
        return logo
    path = Path(logo)
    if "://" in logo:
        env.fault("SITE_LOGO", "must begin with https://, or be a file on this machine")
    elif path.suffix.lower() not in LOGO_TYPES:
        env.fault("SITE_LOGO", f"must be a picture that browsers show: a file with {', '.join(LOGO_TYPES)}")
    elif not path.is_file():
        env.fault("SITE_LOGO", f"is not a file that can be read: {logo[:100]!r}")
    elif path.stat().st_size > LOGO_AT_MOST:
        env.fault("SITE_LOGO", f"is larger than {LOGO_AT_MOST // 1024} kB: phones load it with every first page")
    return logo


def _languages(env: Environment) -> tuple[str, ...]:
    codes = tuple(dict.fromkeys(env.texts("LANGUAGES") or default_of("LANGUAGES", str).split(",")))
    for code in codes:
        if code not in LANGUAGES:
            env.fault("LANGUAGES", f"must be some of {', '.join(LANGUAGES)}, not {code[:20]!r}")
    return codes


def _site_colour(env: Environment) -> str:
    text = env.text("SITE_COLOUR")
    if text is None:
        return ""
    colour = parse_colour(text)
    if colour is None:
        env.fault("SITE_COLOUR", f"must be a colour such as #c2185b, not {text[:40]!r}")
    return colour or ""


def _quantities(env: Environment) -> tuple[int, ...]:
    texts = env.texts("QUANTITIES") or (default_of("QUANTITIES", str),)
    found = sorted({int(text) for text in texts if _QUANTITY.fullmatch(text)})
    if len(found) != len(texts) or not found or not 1 <= found[0] <= found[-1] <= MAX_QUANTITY:
        env.fault("QUANTITIES", f"must be different whole numbers from 1 to {MAX_QUANTITY}, such as 1,2,3,5,10")
        return (1,)
    if len(found) > MOST_BUTTONS:
        env.fault("QUANTITIES", f"must be at most {MOST_BUTTONS} numbers: each is a button")
    return tuple(found)


def _allowed_hosts(env: Environment, public_base_url: str) -> frozenset[str]:
    allowed = {host_name(urlsplit(public_base_url).hostname or "") or ""}
    for text in env.texts("ALLOWED_HOSTS"):
        name = host_name(text)
        if name is None:
            env.fault("ALLOWED_HOSTS", f"must hold host names such as play.example, not {text[:60]!r}")
        else:
            allowed.add(name)
    return frozenset(allowed - {""})


def _stage_prefix(env: Environment, public_base_url: str) -> str:
    prefix = env.text("STAGE_PREFIX")
    if prefix is None:
        path = urlsplit(public_base_url).path
        return path if _PREFIX.fullmatch(path) else "/prod"
    if _PREFIX.fullmatch(prefix) is None:
        env.fault("STAGE_PREFIX", "must be a path such as /prod, or / for none")
    return prefix.rstrip("/")


def _database_url(env: Environment, *, on_lambda: bool) -> str:
    url = env.text("DATABASE_URL")
    if url is None:
        if on_lambda:
            env.fault(
                "DATABASE_URL", "is missing: on AWS Lambda no file outlives its instance. Use dynamodb://table"
            )
        url = default_of("DATABASE_URL", str)
    if url.startswith("dynamodb:"):
        try:
            dynamodb_address.parse(url)
        except ValueError as error:
            env.fault("DATABASE_URL", str(error))
    elif _SQLITE.fullmatch(url) is None:
        env.fault("DATABASE_URL", "must be sqlite:///file, sqlite:////absolute/file or dynamodb://table")
    elif on_lambda and url.startswith("sqlite:"):
        env.remarks.append("DATABASE_URL is a file: on AWS Lambda all orders are lost with the instance.")
    else:
        _check_database_file(env, url)
    return url


def _check_database_file(env: Environment, url: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        readable_by_all = why_not_private(file)
        if readable_by_all is not None:
            env.remarks.append(f"{readable_by_all}. It holds every order.")


def _limits(env: Environment) -> Limits:
    noted = len(env.faults)
    limits = Limits(**{f.name: env.number(f.name.upper(), 0, 10**8) for f in fields(Limits)})
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
    """Read how to reach the broker; the host is empty if none can be used."""
    encrypted = env.switch("MQTT_TLS")
    plaintext_allowed = env.switch("MQTT_ALLOW_PLAINTEXT")
    given_port = env.number_if_given("EMQX_PORT", 1, 65535)
    host, port = "", given_port
    text = env.text("EMQX_BROKER_URL")
    if text is not None:
        try:
            pasted = broker_address.parse(text)
        except ValueError as error:
            env.fault("EMQX_BROKER_URL", str(error))
        else:
            host, port = pasted.host, given_port or pasted.port
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
        env.fault("MQTT_TLS", "is 0, which is only for a broker on this machine (or set MQTT_ALLOW_PLAINTEXT=1)")
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


def _alert_urls(env: Environment) -> tuple[str, ...]:
    """The addresses, between which there is white space or a comma. One may hold commas itself."""
    urls = tuple(filter(None, re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", env.text("ALERT_URLS") or "")))
    for url in urls:
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", url) is None:
            # Not the address itself: it may hold a password.
            env.fault(
                "ALERT_URLS", "must be addresses such as mailto://user:password@example.com or tgram://token/chat"
            )
            return ()
    return urls


def _machine_silent_s(env: Environment) -> int:
    seconds = env.number("MACHINE_SILENT_S", 0, 10**8)
    if 0 < seconds < LEAST_MACHINE_SILENT_S and _stripe_host(env).endswith(".stripe.com"):
        env.fault(
            "MACHINE_SILENT_S",
            f"must be 0 or at least {LEAST_MACHINE_SILENT_S}: a machine speaks every 30 s, and may be late",
        )
    return seconds


def _timezone(env: Environment) -> tzinfo:
    name = env.text("TIMEZONE") or default_of("TIMEZONE", str)
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # here: a cold start without a zone does not wait for it

    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        env.fault("TIMEZONE", f"must be a time zone such as Asia/Kuala_Lumpur or Europe/Berlin, not {name[:40]!r}")
        return UTC


def _quiet_hours(env: Environment, zone: tzinfo) -> QuietHours | None:
    text = env.text("ALERT_QUIET_HOURS")
    if text is None:
        return None
    try:
        return parse_quiet_hours(text, zone)
    except ValueError:
        env.fault("ALERT_QUIET_HOURS", f"must be two times of day such as 22:00-08:00, not {text[:40]!r}")
        return None


def _publishes_per_s(env: Environment, broker: BrokerAddress) -> int:
    given = env.number_if_given("MQTT_PUBLISHES_PER_S", 0, 100_000)
    if given is not None:
        return given
    if broker_address.is_emqx_serverless(broker.host):
        return broker_address.EMQX_SERVERLESS_PUBLISHES_PER_S
    return 0


def _ca_file(env: Environment) -> str | None:
    path = env.text("MQTT_CA_FILE")
    if path is not None:
        try:
            if "-----BEGIN CERTIFICATE-----" not in Path(path).read_text(encoding="utf-8", errors="replace"):
                env.fault("MQTT_CA_FILE", f"({path}) contains no certificate in PEM form")
        except OSError as error:
            env.fault("MQTT_CA_FILE", f"({path}) cannot be read: {error.strerror}")
        except ValueError:  # a character that no path can have
            env.fault("MQTT_CA_FILE", f"({path!r}) is not a path")
    return path


def warnings(settings: Settings) -> list[str]:
    """Say what works but is hardly meant for paying players: one sentence each, for `check` and the log."""
    found = [*settings.misspelt, *settings.remarks]
    site, broker = urlsplit(settings.public_base_url), settings.broker
    if is_loopback(site.hostname or ""):
        found.append(f"PUBLIC_BASE_URL is {settings.public_base_url}: no player's phone can reach it.")
    elif site.scheme == "http":
        found.append("PUBLIC_BASE_URL begins with http: browsers warn players, and Stripe's live mode refuses it.")
    if settings.gameover_api_key is None:
        found.append("GAMEOVER_API_KEY is not set: anyone who finds /gameover can end a game.")
    if settings.stripe_price_id is None:
        found.append("STRIPE_PRICE_ID is not set: only machines with their own offers can sell anything.")
    if settings.stripe_api_base is not None:
        found.append(f"STRIPE_API_BASE is set: payments go to {settings.stripe_api_base}, not to Stripe.")
    if settings.dynamodb_endpoint is not None and settings.database_url.startswith("dynamodb:"):
        found.append(f"DYNAMODB_ENDPOINT is set: orders are kept at {settings.dynamodb_endpoint}, not at AWS.")
    if not settings.operator_contact:
        found.append("OPERATOR_CONTACT is not set: players are not told whom to turn to.")
    webhook = settings.alert_webhook_url
    if webhook is None and not settings.alert_urls:
        found.append("Neither ALERT_URLS nor ALERT_WEBHOOK_URL is set: alerts go to the log only.")
    if webhook is not None and webhook.startswith("http:") and not is_loopback(urlsplit(webhook).hostname or ""):
        found.append("ALERT_WEBHOOK_URL begins with http: anyone on the way can read and drop alerts.")
    if not broker.tls and not is_loopback(broker.host):
        found.append("MQTT_TLS is 0: anyone on the way to the broker can read its password.")
    if broker.tls and broker.port == broker_address.PLAINTEXT_PORT:
        found.append("EMQX_PORT is 1883, the usual port for plaintext, but MQTT_TLS is on.")
    return found
