"""A fresh stand-in for Stripe, and the real library that talks to it."""

from collections.abc import Iterator

import pytest
import stripe

from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import stripe_client


@pytest.fixture
def sandbox() -> Iterator[StripeSandbox]:
    with StripeSandbox(retry_base_s=0.05, retry_cap_s=0.2) as running:
        yield running


@pytest.fixture
def client(sandbox: StripeSandbox) -> stripe.StripeClient:
    return stripe_client(sandbox.base_url)
