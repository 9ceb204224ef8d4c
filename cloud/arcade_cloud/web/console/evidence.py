"""An order as evidence for the bank that asks: the console's page, and the same as a file for the command line."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from jinja2 import Environment, PackageLoader

from arcade_cloud.domain.books import FEE, PLAY
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.story import MACHINE, REFUNDS, story
from arcade_cloud.ports.store import Store
from arcade_cloud.services.game_overs import after_credits
from arcade_cloud.services.sales import Sales
from arcade_cloud.web.console import words
from arcade_cloud.web.console.words import WORDS
from arcade_cloud.web.player_view import credits_text

STRIPE_PAGES = "https://dashboard.stripe.com/"


def stripe_page(is_live: bool) -> str:
    """Where Stripe shows a payment; its id follows."""
    return f"{STRIPE_PAGES}{'' if is_live else 'test/'}payments/"


def known_of(order: Order, store: Store, sales: Sales, now_ms: int) -> dict[str, Any]:
    """All that is known of an order, as the templates of its evidence name it."""
    history, booked = store.history(order.order_id), store.booked(order.order_id)
    machines = {machine_id: store.machine(machine_id) for machine_id in order.machine_ids}
    places = {machine_id: machine.location for machine_id, machine in machines.items() if machine is not None}
    # Where it stood when it sold, which may be another place than now.
    places |= {line.machine_id: line.location for line in reversed(booked) if line.kind == PLAY}
    return {
        "order": order,
        "names": {machine_id: machine.name for machine_id, machine in machines.items() if machine is not None},
        "places": places,
        "story": list(story(history)),
        "machine_said": list(story(history, MACHINE)),
        "refunds": list(story(history, REFUNDS)),
        "entries": [line for line in booked if line.kind == FEE],
        "after": after_credits(store, order, now_ms),
        "order_page": sales.order_page(order.machine_id, order.order_id),
    }


def as_file(
    known: Mapping[str, Any],
    *,
    site_name: str,
    operator_contact: str,
    is_live: bool,
    now_ms: int,
    zone: tzinfo,
) -> str:
    """The evidence as one HTML file that needs nothing else, in the words of the console's page.

    Args:
        known: From `known_of`.
    """
    files = PackageLoader("arcade_cloud.web")
    templates = Environment(loader=files, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    templates.filters.update(credits=credits_text, coded=words.coded, sentence=words.sentence)
    return templates.get_template("console/evidence_file.html").render(
        exact=lambda at_ms: words.exact(at_ms, zone),
        site_name=site_name,
        operator_contact=operator_contact,
        stripe_page=stripe_page(is_live),
        now_ms=now_ms,
        **WORDS,
        **known,
    )
