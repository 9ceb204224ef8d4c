"""`arcade-cloud check`: the settings and every connection tried, each with a verdict."""

from collections.abc import Iterator

from arcade_cloud.adapters.mqtt import try_listening
from arcade_cloud.bootstrap import Cloud
from arcade_cloud.domain.events import Outcome
from arcade_cloud.errors import ArcadeError, PaymentsRefused
from arcade_cloud.services.reconciliation import PAID, RIGHT


def verdicts(cloud: Cloud) -> Iterator[tuple[str, str | None]]:
    """(what was tried, what is wrong with it or None), one after the other."""
    yield "database", _database(cloud)
    yield "machines", None if cloud.store.machines() else "none is registered: arcade-cloud machine add"
    stripe = _stripe(cloud)
    yield "Stripe", stripe
    if stripe is None:
        yield "Stripe, events", _events(cloud)
    yield "broker, sending", _broker(cloud)
    yield "broker, listening", try_listening(cloud.settings.broker)


def _database(cloud: Cloud) -> str | None:
    """Something is really written: a full or read-only disk reads well."""
    try:
        cloud.store.note_seen(f"check:{cloud.fulfilment.now_ms()}", cloud.fulfilment.now_ms())
    except ArcadeError as error:
        return str(error)
    return None


def _stripe(cloud: Cloud) -> str | None:
    price_ids = {
        offer.price_id for machine in cloud.store.machines() for offer in machine.offers if offer.price_id
    }
    if cloud.settings.stripe_price_id is not None:
        price_ids.add(cloud.settings.stripe_price_id)
    try:
        cloud.fulfilment.payments.check()
        for price_id in sorted(price_ids):
            cloud.fulfilment.payments.read_price(price_id)
    except ArcadeError as error:
        return str(error)
    return None


def _events(cloud: Cloud) -> str | None:
    try:
        cloud.fulfilment.payments.read_events(PAID, since_ms=cloud.fulfilment.now_ms())
    except PaymentsRefused as error:
        return f"{error} ({RIGHT}): without it, a payment whose webhook is lost may be kept without a credit"
    except ArcadeError as error:
        return str(error)
    return None


def _broker(cloud: Cloud) -> str | None:
    wrong = cloud.publisher.check()
    if wrong is not None:
        return wrong
    outcome = cloud.fulfilment.send_echo()
    if outcome in {Outcome.CONFIRMED, Outcome.NOBODY}:
        return None
    if outcome is Outcome.REFUSED:
        return "it refuses our messages: allow MQTT_USERNAME to publish to arcade/cloud/echo and arcade/machine/#"
    return "it took a message and never confirmed it"
