"""The command `arcade-sandbox serve`, as a process."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import requests
import stripe

from support.stripe_side import WebhookInbox, checkout_params, stripe_client

COMMAND = [sys.executable, "-m", "arcade_sandbox.cli"]


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[str, str]]:
    """A running `serve` on a free port: its base address, and what it has announced."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        announced = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", announced)
        assert found is not None, announced
        more = 2 + sum(argument == "--price" for argument in arguments) - ("--secret" in arguments)
        announced += "".join(process.stdout.readline() for _ in range(more))
        yield found[0], announced
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert errors == ""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)


def test_serve_sells_a_seeded_price_and_signs_its_webhooks() -> None:
    with (
        WebhookInbox() as inbox,
        serving("--webhook", inbox.url, "--secret", "whsec_cli", "--price", "price_play:500:myr:One play") as (
            base_url,
            announced,
        ),
    ):
        assert inbox.url in announced
        assert "whsec_cli" not in announced
        client = stripe_client(base_url)
        assert client.v1.prices.retrieve("price_play").unit_amount == 500
        lines = [{"price": "price_play", "quantity": 1}]
        session = client.v1.checkout.sessions.create(checkout_params(line_items=lines))
        assert session.url is not None
        assert requests.post(session.url, data={"method": "card"}, allow_redirects=False, timeout=20).is_redirect
        got = inbox.wait_for("checkout.session.completed")[0]
        assert stripe.WebhookSignature.verify_header(got.body, got.signature, "whsec_cli", 300)


def test_a_secret_that_nobody_chose_is_told() -> None:
    with WebhookInbox() as inbox, serving("--webhook", inbox.url) as (_, announced):
        assert re.search(r"whsec_[0-9a-f]{48}", announced)


def test_a_taken_port_is_named_and_ends_it_with_2() -> None:
    with WebhookInbox() as inbox:
        refused = run("serve", "--port", str(inbox.port))
    assert refused.returncode == 2
    assert f"port {inbox.port} " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_wrong_arguments_end_it_with_2_and_a_reason() -> None:
    for arguments, words in (
        (["serve", "--port", "70000"], "port"),
        (["serve", "--port", "0", "--webhook", "127.0.0.1:5000"], "http://"),
        (["serve", "--port", "0", "--price", "play"], "ID:AMOUNT:CURRENCY"),
        (["serve", "--port", "0", "--price", "p:5:xyz"], "xyz"),
        (["serve", "--port", "0", "--price", "p:5:myr", "--price", "p:5:myr"], "already"),
        (["serve", "--port", "0", "--concurrency", "0"], "1 to 32"),
        (["serve", "--port", "-1"], "0 to 65535"),
        (["serve", "--port", "65536"], "0 to 65535"),
        ([], "COMMAND"),
    ):
        refused = run(*arguments)
        assert refused.returncode == 2, arguments
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr


def test_help_shows_how_to_point_the_cloud_at_it() -> None:
    shown = run("serve", "--help")
    assert shown.returncode == 0
    assert "STRIPE_API_BASE" in shown.stdout


def test_it_says_its_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"arcade-sandbox {version('arcade-sandbox')}\n")
