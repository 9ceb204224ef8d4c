"""The command `arcade-sandbox`: stand-ins for the outside world. Each subcommand has its own `_add_…` below."""

import argparse
import signal
import sys
from collections.abc import Sequence

from arcade_sandbox.errors import PortTaken, SandboxMisuse
from arcade_sandbox.stripe.sandbox import StripeSandbox
from arcade_shared.command_line import PORT, Version, whole_number

DEFAULT_PORT = 12111
_ENDING = (signal.SIGINT, signal.SIGTERM)

_SERVE_HELP = """\
Serves the part of Stripe's API that the cloud uses (/v1/…, any key sk_test_…), the hosted payment page and signed
webhooks, until you interrupt it. No money moves and nothing is kept.

  arcade-sandbox serve --webhook http://127.0.0.1:5000/webhook --secret whsec_test --price price_credit:500:myr
  STRIPE_API_BASE=http://127.0.0.1:12111 STRIPE_API_KEY=sk_test_any STRIPE_WEBHOOK_SECRET=whsec_test …

The webhook's target may start later: deliveries are repeated until it accepts them. http://127.0.0.1:12111/_sandbox
lists what you can make go wrong (duplicates, delays, failed calls, declined and late payments, disputes).
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands. Each sets `run`, a function from its arguments to the exit code."""
    parser = argparse.ArgumentParser(prog="arcade-sandbox", description="Stand-ins for Stripe and the broker.")
    parser.add_argument("--version", action=Version, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="the stand-in for Stripe",
        description=_SERVE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=PORT, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    serve.add_argument("--public-url", metavar="URL", help="how others reach it, if not by host and port")
    serve.add_argument(
        "--webhook", metavar="URL", action="append", default=[], help="where events go; may be given several times"
    )
    serve.add_argument("--secret", metavar="whsec_…", help="signs the webhooks (default: a random one, printed)")
    serve.add_argument(
        "--api-key", metavar="sk_test_…", help="the only key that is accepted (default: any test key)"
    )
    serve.add_argument(
        "--price",
        metavar="ID:AMOUNT:CURRENCY[:NAME]",
        action="append",
        default=[],
        type=_price,
        help="a price that exists from the start, AMOUNT in minor units; may be given several times",
    )
    serve.add_argument(
        "--concurrency",
        type=whole_number(1, 32),
        default=1,
        help="how many webhooks are sent at a time; 1 keeps their order (default: 1)",
    )
    serve.set_defaults(run=_serve)


def _price(text: str) -> tuple[str, int, str, str]:
    price_id, _, rest = text.partition(":")
    amount, _, rest = rest.partition(":")
    currency, _, name = rest.partition(":")
    if not price_id or not amount.isdecimal() or len(currency) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not ID:AMOUNT:CURRENCY, such as price_credit:500:myr")
    return price_id, int(amount), currency.lower(), name or "1 credit"


def _serve(chosen: argparse.Namespace) -> int:
    # Blocked before any thread starts, so that the signals wait for `sigwait` and do not interrupt a thread.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        return _served(chosen)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _served(chosen: argparse.Namespace) -> int:
    try:
        sandbox = StripeSandbox(
            host=chosen.host,
            port=chosen.port,
            public_url=chosen.public_url,
            webhook_urls=chosen.webhook,
            webhook_secret=chosen.secret,
            api_key=chosen.api_key,
            concurrency=chosen.concurrency,
        )
        for price_id, amount, currency, name in chosen.price:
            sandbox.create_price(amount, currency, name, price_id)
    except (PortTaken, SandboxMisuse, OverflowError) as problem:
        sys.stderr.write(f"arcade-sandbox: {problem}\n")
        return 2
    with sandbox:
        sys.stdout.write(_announcement(sandbox, chosen))
        sys.stdout.flush()
        signal.sigwait(_ENDING)
    return 0


def _announcement(sandbox: StripeSandbox, chosen: argparse.Namespace) -> str:
    lines = [f"stand-in for Stripe: {sandbox.base_url}  (STRIPE_API_BASE; controls: {sandbox.base_url}/_sandbox)"]
    lines += [f"events go to {url}" for url in chosen.webhook] or ["events go nowhere: no --webhook was given"]
    if chosen.webhook and chosen.secret is None:
        lines.append(f"signed with {sandbox.webhook_secret}  (STRIPE_WEBHOOK_SECRET)")
    lines += [
        f"price {price_id}: {amount} {currency}, {name}" for price_id, amount, currency, name in chosen.price
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen command. Returns its exit code (2: it could not start)."""
    chosen = build_parser().parse_args(arguments)
    code: int = chosen.run(chosen)
    return code


if __name__ == "__main__":
    sys.exit(main())
