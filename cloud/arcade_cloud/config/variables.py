"""Every setting that the cloud takes from its environment, in one table.

`python -m arcade_cloud.config.variables > .env.example` writes the example anew; a test says when it is stale.
"""

import textwrap
from dataclasses import dataclass

from arcade_shared.cabinet import MAX_TRAIN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One setting. `default` None: empty, or as `meaning` says. `required`: nothing starts without it.

    The first name is the one to use; `aliases` are accepted too. A `secret` is never shown. What is `usual`
    is filled in by nearly everybody, and so stands ready in the example.
    """

    name: str
    meaning: str
    default: str | None = None
    required: bool = False
    usual: bool = False
    secret: bool = False
    aliases: tuple[str, ...] = ()


SECTIONS: dict[str, tuple[Variable, ...]] = {
    "Stripe": (
        Variable(
            name="STRIPE_API_KEY",
            meaning="The secret key (Stripe dashboard, Developers, API keys): begins with sk_ or rk_.",
            required=True,
            secret=True,
        ),
        Variable(
            name="STRIPE_WEBHOOK_SECRET",
            meaning="The signing secret of the webhook endpoint: begins with whsec_. Several, separated by "
            "commas, while one is being rolled.",
            required=True,
            secret=True,
        ),
        Variable(
            name="STRIPE_PRICE_ID",
            meaning="The price of one play, sold by machines that have no offers of their own, and by "
            "POST /create-payment-link where it names no price.",
            usual=True,
            aliases=("PRICE_ID",),
        ),
        Variable(
            name="STRIPE_API_BASE",
            meaning="Where Stripe's API is. Only for a stand-in, such as http://localhost:12111.",
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
            meaning="The broker's port; 1883 where MQTT_TLS is 0 and this is not set.",
            default="8883",
            aliases=("MQTT_PORT",),
        ),
        Variable(
            name="MQTT_USERNAME",
            meaning="The cloud's user at the broker. Required unless the broker is on this machine.",
            usual=True,
        ),
        Variable(name="MQTT_PASSWORD", meaning="Its password.", usual=True, secret=True),
        Variable(
            name="MQTT_CA_FILE",
            meaning="The certificate authority of the broker (PEM). Empty: those that the system trusts, which "
            "is right for EMQX Serverless.",
        ),
        Variable(
            name="MQTT_TLS",
            meaning="0 talks to the broker in plaintext: accepted for a broker on this machine only.",
            default="1",
        ),
        Variable(
            name="MQTT_ALLOW_PLAINTEXT",
            meaning="1 accepts MQTT_TLS=0, and a broker without a user, on other machines too. Whoever sees "
            "that network reads the password.",
            default="0",
        ),
        Variable(
            name="MQTT_PUBLISH_TIMEOUT_MS",
            meaning="How long one publish may wait for the broker's confirmation, connecting included.",
            default="2500",
        ),
        Variable(
            name="MQTT_PUBLISHES_PER_S",
            meaning="The most messages to publish in a second; 0 means no limit. Where it is not set: 10 for "
            "EMQX Serverless, which allows a client no more, and no limit elsewhere.",
        ),
        Variable(
            name="MQTT_LISTENER_ID",
            meaning="The name of this process's session at the broker: the same at every start, another for "
            "each process. Not set: the host's name, which will not do where a container gets a new "
            "one at every start.",
        ),
    ),
    "Keys between cloud, machines and other software": (
        Variable(
            name="SIGNING_SECRET",
            meaning="What all keys of machines are derived from, at least 32 characters, such as from "
            "`openssl rand -hex 32`. Several, separated by commas, while it is rotated: the new one stands first.",
            required=True,
            secret=True,
        ),
        Variable(
            name="INGEST_SECRET",
            meaning="What the broker's rule engine sends along to POST /ingest. Not set: that door is closed.",
            secret=True,
        ),
        Variable(
            name="GAMEOVER_API_KEY",
            meaning="What game software sends along to POST /gameover. Not set: anybody may end a game.",
            secret=True,
        ),
    ),
    "This site": (
        Variable(
            name="PUBLIC_BASE_URL",
            meaning="Where players reach this site; it is in every QR code and in the way back from Stripe.",
            default="http://localhost:5000",
            usual=True,
        ),
        Variable(name="SITE_NAME", meaning="What players read on top of every page.", default="Arcade"),
        Variable(
            name="OPERATOR_CONTACT",
            meaning="Whom players turn to when something is wrong: a phone number or an e-mail address.",
            usual=True,
        ),
        Variable(
            name="DATABASE_URL",
            meaning="sqlite:///file for one host (sqlite:////absolute/file), or dynamodb://table?region=… for "
            "AWS, where `arcade-cloud table create` makes the table.",
            default="sqlite:///arcade.sqlite",
        ),
        Variable(
            name="DYNAMODB_ENDPOINT",
            meaning="Where DynamoDB is. Only for a stand-in, such as http://localhost:8000.",
        ),
        Variable(
            name="ALERT_WEBHOOK_URL",
            meaning="Receives one JSON POST for each alert: id, kind, text, subject, at. Not set: alerts go to "
            "the log and to the console only.",
            secret=True,
        ),
        Variable(
            name="RATE_LIMIT_PER_MINUTE",
            meaning="How many payment links and checkouts one address may ask for in a minute; 0 means no limit.",
            default="60",
        ),
        Variable(
            name="TRUSTED_PROXIES",
            meaning="How many reverse proxies stand before `serve` and append to X-Forwarded-For; 0 takes the "
            "address that connects.",
            default="0",
        ),
        Variable(
            name="STAGE_PREFIX",
            meaning="The path that may stand before every other, as API Gateway's stage or base path does; "
            "links keep it. / means none. Where it is not set: the path of PUBLIC_BASE_URL, or else /prod.",
        ),
    ),
    "The limits of an order's life, in seconds": (
        Variable(
            name="DELIVER_WITHIN_S",
            meaning="From the payment to the first pulse; what has not begun by then is given back.",
            default="120",
        ),
        Variable(
            name="SILENCE_LIMIT_S",
            meaning="How long a machine may stay silent about money that was taken, before it is given back.",
            default="900",
        ),
        Variable(
            name="HOLD_SILENCE_LIMIT_S",
            meaning="The same for money that is only held on a card.",
            default="21600",
        ),
        Variable(
            name="LAST_RESORT_S",
            meaning="After this long money is given back whatever is down.",
            default="86400",
        ),
        Variable(
            name="ANSWER_S",
            meaning="How long a machine, or the broker, gets to answer once.",
            default="10",
        ),
        Variable(
            name="CHECKOUT_LIFE_S",
            meaning="How long a player may take to pay; Stripe accepts 1800 to 86400.",
            default="1860",
        ),
    ),
}

VARIABLES: tuple[Variable, ...] = tuple(variable for section in SECTIONS.values() for variable in section)

# What used to be a setting, and why it is none any more. Whoever still sets it is told so.
FORMER = {
    "MAX_TRAIN_S": f"no pulse train is longer than {MAX_TRAIN_S} s, which the agents see to",
}

_HEAD = """\
# Copy to .env.local and fill in what stands without a leading #; the rest has good defaults.
# Variables of the environment win over that file; an empty value counts as missing.
"""


def example() -> str:
    """The text of `.env.example`."""
    blocks = [_HEAD]
    for title, variables in SECTIONS.items():
        blocks.append(f"\n# --- {title} ---\n")
        for variable in variables:
            also = f" Also: {', '.join(variable.aliases)}." if variable.aliases else ""
            needed = " Required." if variable.required else ""
            comment = textwrap.wrap(variable.meaning + needed + also, 96, break_on_hyphens=False)
            line = f"{variable.name}={variable.default or ''}"
            ready = line if variable.required or variable.usual else f"# {line}"
            blocks.append("\n" + "".join(f"# {text}\n" for text in comment) + f"{ready}\n")
    return "".join(blocks)


if __name__ == "__main__":
    print(example(), end="")
