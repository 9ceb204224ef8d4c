"""Every setting that the cloud takes from its environment, in one table: the one place for its default.

`python -m arcade_cloud.config.variables > .env.example` regenerates the example; a test says when it is stale.
"""

import textwrap
from dataclasses import dataclass
from typing import TypeVar

from arcade_cloud.config.broker_address import EMQX_SERVERLESS_PUBLISHES_PER_S, PLAINTEXT_PORT
from arcade_cloud.domain.limits import Limits
from arcade_shared.broker_address import TLS_PORT
from arcade_shared.cabinet import MAX_TRAIN_S

_Kind = TypeVar("_Kind", str, int, bool)
_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One setting.

    Attributes:
        default: Counts where nothing is set. None: nothing does, or what `meaning` says.
        required: Nothing starts without it.
        usual: Nearly everybody fills it in, so the example has it without a leading `#`.
        secret: Is never shown.
        aliases: Other names that are accepted too; `name` is the one to use.
    """

    name: str
    meaning: str
    default: str | int | bool | None = None
    required: bool = False
    usual: bool = False
    secret: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def default_text(self) -> str:
        """The default as one writes it into the environment; empty where there is none."""
        if self.default is None:
            return ""
        return str(int(self.default) if isinstance(self.default, bool) else self.default)


SECTIONS: dict[str, tuple[Variable, ...]] = {
    "Stripe": (
        Variable(
            name="STRIPE_API_KEY",
            meaning="The secret key from the Stripe dashboard (Developers, API keys): it begins with sk_ or rk_.",
            required=True,
            secret=True,
        ),
        Variable(
            name="STRIPE_WEBHOOK_SECRET",
            meaning="The signing secret of the webhook endpoint: it begins with whsec_. Several, separated by "
            "commas, while you roll it.",
            required=True,
            secret=True,
        ),
        Variable(
            name="STRIPE_PRICE_ID",
            meaning="The price of one play, sold by machines without offers of their own, and by "
            "POST /create-payment-link when it names no price.",
            usual=True,
            aliases=("PRICE_ID",),
        ),
        Variable(
            name="CARD_FEES",
            meaning="What Stripe keeps of a card payment, such as 3%+1.00MYR, to say what a price costs; several "
            "currencies separated by commas. Not set: the standard fees in docs/PRICING.md. The books always have "
            "what Stripe did keep.",
        ),
        Variable(
            name="STRIPE_API_BASE",
            meaning="Where Stripe's API is: only for a stand-in, such as http://localhost:12111.",
        ),
    ),
    "The broker": (
        Variable(
            name="EMQX_BROKER_URL",
            meaning="The broker's host name, as the EMQX console shows it (mqtts://host:8883 will do too).",
            required=True,
            aliases=("MQTT_BROKER",),
        ),
        Variable(
            name="EMQX_PORT",
            meaning=f"The broker's port; {PLAINTEXT_PORT} if MQTT_TLS is 0 and this is not set.",
            default=TLS_PORT,
            aliases=("MQTT_PORT",),
        ),
        Variable(
            name="MQTT_USERNAME",
            meaning="The cloud's user at the broker. Required unless the broker is on this machine.",
            usual=True,
        ),
        Variable(name="MQTT_PASSWORD", meaning="That user's password.", usual=True, secret=True),
        Variable(
            name="MQTT_CA_FILE",
            meaning="The certificate authority of the broker (PEM). Not set: those that the system trusts, which "
            "is right for EMQX Serverless.",
        ),
        Variable(
            name="MQTT_TLS",
            meaning="0 means plaintext, which is accepted only for a broker on this machine.",
            default=True,
        ),
        Variable(
            name="MQTT_ALLOW_PLAINTEXT",
            meaning="1 accepts MQTT_TLS=0, and a broker without a user, on other machines too. Anyone who can "
            "see that network can read the password.",
            default=False,
        ),
        Variable(
            name="MQTT_PUBLISH_TIMEOUT_MS",
            meaning="How many milliseconds one publish may wait for the broker's confirmation, connecting "
            "included.",
            default=2500,
        ),
        Variable(
            name="MQTT_PUBLISHES_PER_S",
            meaning="The most messages to publish in a second; 0 means no limit. Not set: "
            f"{EMQX_SERVERLESS_PUBLISHES_PER_S} for EMQX Serverless, which allows a client no more, and no limit "
            "elsewhere.",
        ),
        Variable(
            name="MQTT_LISTENER_ID",
            meaning="The name of this process's session at the broker: the same at every start, and different "
            "for each process. Not set: the host's name, which is wrong where a container gets a new one at every "
            "start.",
        ),
    ),
    "Keys between cloud, machines and other software": (
        Variable(
            name="SIGNING_SECRET",
            meaning="What every machine's key is derived from: at least 32 characters, such as from "
            "`openssl rand -hex 32`. Several, separated by commas, while you rotate it: the new one first.",
            required=True,
            secret=True,
        ),
        Variable(
            name="INGEST_SECRET",
            meaning="What the broker's rule engine sends with POST /ingest. Not set: that route is closed.",
            secret=True,
        ),
        Variable(
            name="GAMEOVER_API_KEY",
            meaning="What game software sends with POST /gameover. Not set: anyone may end a game.",
            secret=True,
        ),
    ),
    "This site": (
        Variable(
            name="PUBLIC_BASE_URL",
            meaning="Where players reach this site: every QR code and the way back from Stripe lead there.",
            default="http://localhost:5000",
            usual=True,
        ),
        Variable(
            name="PUBLIC_ALLOW_HTTP",
            meaning="1 accepts a PUBLIC_BASE_URL that begins with http on other machines too. Anyone on the way "
            "can then change what players see and where they pay.",
            default=False,
        ),
        Variable(
            name="ALLOWED_HOSTS",
            meaning="Further host names under which players may open this site's pages, separated by commas. The "
            "host of PUBLIC_BASE_URL, localhost and plain IP addresses are always allowed.",
        ),
        Variable(
            name="SITE_NAME",
            meaning="The arcade's name: what players read at the top of every page.",
            default="Arcade",
            usual=True,
        ),
        Variable(
            name="LANGUAGES",
            meaning="In which languages players can read the pages, of en (English), ms (Bahasa Melayu) and zh "
            "(Chinese); the first is for those who read none of them. A screen shows one after the other.",
            default="en,ms,zh",
        ),
        Variable(
            name="SITE_LOGO",
            meaning="A picture in its place: an address that begins with https://, or a file (.svg, .png, .jpg or "
            ".webp) on this machine, which is served from here.",
        ),
        Variable(
            name="SITE_COLOUR",
            meaning="The arcade's colour, such as #c2185b, for the buttons of its pages. What is written on it "
            "or in it stays readable.",
            aliases=("SITE_COLOR",),
        ),
        Variable(
            name="SITE_MACHINES",
            meaning="1 lists the machines on the start page. 0: it tells players to scan the code on a machine.",
            default=False,
        ),
        Variable(
            name="QUANTITIES",
            meaning="How many of it a machine with a single offer sells at once, such as 1,2,3,5,10: each is a "
            "button, at so many times the price.",
            default="1",
        ),
        Variable(
            name="COINS_ACCEPTED",
            meaning="1: the machines take coins too, so a screen whose machine cannot be paid by phone says so.",
            default=False,
        ),
        Variable(
            name="OPERATOR_CONTACT",
            meaning="Whom players turn to when something is wrong: a phone number or an e-mail address.",
            usual=True,
        ),
        Variable(
            name="TIMEZONE",
            meaning="The arcade's time zone by its IANA name, such as Asia/Kuala_Lumpur: for times that players "
            "read, for those that operators enter, and for the days of the takings.",
            default="UTC",
        ),
        Variable(
            name="DATABASE_URL",
            meaning="sqlite:///file for one host (sqlite:////absolute/file), or dynamodb://table?region=… for "
            "AWS, where `arcade-cloud table create` creates the table.",
            default="sqlite:///arcade.sqlite",
        ),
        Variable(
            name="DYNAMODB_ENDPOINT",
            meaning="Where DynamoDB is: only for a stand-in, such as http://localhost:8000.",
        ),
        Variable(
            name="ALERT_WEBHOOK_URL",
            meaning="Receives one JSON POST for each alert, and for the end of what lasted: id, kind, text, "
            "subject, at, state.",
            secret=True,
        ),
        Variable(
            name="ALERT_URLS",
            meaning="Tells people of alerts: mailto://, tgram://, slack:// and other addresses as apprise writes "
            "them (github.com/caronc/apprise), separated by spaces. If neither this nor ALERT_WEBHOOK_URL is set, "
            "alerts go to the log only. `arcade-cloud alert test` tries it.",
            secret=True,
        ),
        Variable(
            name="ALERT_QUIET_HOURS",
            meaning="When ALERT_URLS tells people only what cannot wait, in TIMEZONE, such as 22:00-08:00. The "
            "rest comes afterwards. Not set: never.",
        ),
        Variable(
            name="MACHINE_SILENT_S",
            meaning="After so many seconds without a word from a machine an alert is raised, and again when it is "
            "heard; 0 raises none. The cloud first takes 5 minutes to prove that it hears at all.",
            default=600,
        ),
        Variable(
            name="RATE_LIMIT_PER_MINUTE",
            meaning="How many orders everybody behind one address may begin in a minute, paid or not; 0 means no "
            "limit. One visitor may begin a tenth of that, software half of it.",
            default=120,
        ),
        Variable(
            name="TRUSTED_PROXIES",
            meaning="How many reverse proxies stand in front of `serve` and append to X-Forwarded-For; 0 uses "
            "the address that connects.",
            default=0,
        ),
        Variable(
            name="STAGE_PREFIX",
            meaning="A path that may precede every other, such as API Gateway's stage or base path; links keep "
            "it. / means none. Not set: the path of PUBLIC_BASE_URL, or /prod if it has none.",
        ),
    ),
    "The limits of an order's life, in seconds": (
        Variable(
            name="DELIVER_WITHIN_S",
            meaning="From the payment to the first pulse: what has not begun by then is given back.",
            default=_LIMITS.deliver_within_s,
        ),
        Variable(
            name="SILENCE_LIMIT_S",
            meaning="How long a machine may stay silent before money that was taken is given back.",
            default=_LIMITS.silence_limit_s,
        ),
        Variable(
            name="HOLD_SILENCE_LIMIT_S",
            meaning="The same for money that is only held on a card.",
            default=_LIMITS.hold_silence_limit_s,
        ),
        Variable(
            name="LAST_RESORT_S",
            meaning="After this long, money is given back whatever is down.",
            default=_LIMITS.last_resort_s,
        ),
        Variable(
            name="ANSWER_S",
            meaning="How long a machine or the broker gets for one answer.",
            default=_LIMITS.answer_s,
        ),
        Variable(
            name="CHECKOUT_LIFE_S",
            meaning="How long a player may take to pay; Stripe accepts 1800 to 86400.",
            default=_LIMITS.checkout_life_s,
        ),
    ),
    "Tabs: one hold for a visit": (
        Variable(
            name="TAB_LIMITS",
            meaning="What players may choose to have held for a visit, such as 20.00MYR,50.00MYR, all in one "
            "currency: they play on any machine with one tap, and pay only for what they played, in one payment. "
            "Not set: there are no tabs.",
        ),
        Variable(
            name="TAB_IDLE_S",
            meaning="A tab is finished when nobody has played on it for so many seconds.",
            default=_LIMITS.tab_idle_s,
        ),
        Variable(
            name="TAB_LIFE_S",
            meaning="So many seconds after its payment a tab is finished in any case; earlier where the hold on "
            "the card is a short one.",
            default=_LIMITS.tab_life_s,
        ),
        Variable(
            name="TAB_FRESH_S",
            meaning="A tab is played on only while Stripe has shown its hold standing so many seconds ago at "
            "most.",
            default=_LIMITS.tab_fresh_s,
        ),
    ),
    "Receipts": (
        Variable(
            name="RECEIPT_ISSUER",
            meaning="Who issues receipts, a line each for name, address and tax number, separated by |. Not set: "
            "SITE_NAME alone.",
        ),
        Variable(
            name="RECEIPT_PREFIX",
            meaning="What the numbers of receipts begin with, such as A-. Each prefix has numbers of its own from "
            "1 on: take a new one after a database was put back from a backup.",
        ),
        Variable(
            name="TAX_RATE",
            meaning="The tax that prices include, in per cent, such as 8: receipts show it. Not set: no tax line.",
        ),
        Variable(
            name="STATEMENT_SUFFIX",
            meaning="0 leaves the order's code off what players find on their card's statement.",
            default=True,
        ),
    ),
    "People": (
        Variable(
            name="MANAGER_GRANT_LIMIT",
            meaning="How many free credits a manager may give in 24 hours; an owner may give any number.",
            default=50,
        ),
        Variable(
            name="MANAGER_REFUND_LIMIT",
            meaning="How much a manager may give back in 24 hours, such as 200.00MYR; one amount for each "
            "currency, separated by commas. Without it there is no limit.",
        ),
        Variable(
            name="CLAIM_LIMIT",
            meaning="Up to how much is given back at once to a player who says that credits did not arrive, such "
            "as 5.00MYR; one amount for each currency, separated by commas. In a day at most ten times as much. "
            "Without it a person decides about each claim.",
        ),
    ),
}

VARIABLES: tuple[Variable, ...] = tuple(variable for section in SECTIONS.values() for variable in section)
_DEFAULTS = {variable.name: variable.default for variable in VARIABLES}

# What used to be a setting, and why it is none any more. Whoever still sets it is told so.
FORMER = {
    "MAX_TRAIN_S": f"no pulse train is longer than {MAX_TRAIN_S} s, which the agents see to",
}

_HEAD = """\
# Copy to .env.local and fill in every line without a leading #; the rest have good defaults.
# Environment variables win over that file, and an empty value counts as missing.
"""


def default_of(name: str, kind: type[_Kind]) -> _Kind:
    """Look up the default of a setting that has one, and of this kind."""
    default = _DEFAULTS[name]
    if not isinstance(default, kind):
        raise TypeError(f"the default of {name} is {default!r}, not of type {kind.__name__}")
    return default


def example() -> str:
    """Write the text of `.env.example`."""
    blocks = [_HEAD]
    for title, variables in SECTIONS.items():
        blocks.append(f"\n# --- {title} ---\n")
        for variable in variables:
            also = f" Also: {', '.join(variable.aliases)}." if variable.aliases else ""
            needed = " Required." if variable.required else ""
            comment = textwrap.wrap(variable.meaning + needed + also, 96, break_on_hyphens=False)
            line = f"{variable.name}={variable.default_text}"
            ready = line if variable.required or variable.usual else f"# {line}"
            blocks.append("\n" + "".join(f"# {text}\n" for text in comment) + f"{ready}\n")
    return "".join(blocks)


if __name__ == "__main__":
    print(example(), end="")
