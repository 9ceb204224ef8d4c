"""The one place where the cloud's objects are made and wired."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from arcade_cloud.adapters.store import open_store
from arcade_cloud.config.settings import Settings
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.ports.store import Store
from arcade_cloud.services.fulfilment import Fulfilment, at_once
from arcade_cloud.services.machine_messages import Hearing
from arcade_cloud.services.reconciliation import Sweep
from arcade_cloud.services.sales import Sales

if TYPE_CHECKING:
    from arcade_cloud.adapters.mqtt import Listener, Publisher
    from arcade_cloud.adapters.stripe.gateway import StripeGateway
    from arcade_cloud.web.dependencies import Dependencies


def wall_clock_ms() -> int:
    """Tell the time, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """All parts, connected: `with build(settings) as cloud`. Broker and Stripe are reached when they are needed.

    `opened` closes the publisher, then the store.
    """

    settings: Settings
    store: Store
    publisher: "Publisher"
    fulfilment: Fulfilment
    sales: Sales
    sweep: Sweep
    hearing: Hearing
    opened: ExitStack

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def web_dependencies(self) -> "Dependencies":
        """What the web application needs."""
        from arcade_cloud.adapters.stripe.events import reader
        from arcade_cloud.web.dependencies import Dependencies

        return Dependencies(
            sales=self.sales,
            hearing=self.hearing,
            fulfilment=self.fulfilment,
            settings=self.settings,
            read_event=reader(self.settings.stripe_webhook_secrets, self.fulfilment.now_ms),
        )

    def listener(self) -> "Listener":
        """A listener, not yet started, that hands this cloud what the machines send."""
        from arcade_cloud.adapters.mqtt import Listener

        return Listener(self.settings.broker, self.hearing.hear, listener_id=self.settings.mqtt_listener_id)

    def close(self) -> None:
        """Close what `build` opened. Closing twice does no harm."""
        self.opened.close()


def build(
    settings: Settings,
    *,
    later: Callable[[Callable[[], None]], None] = at_once,
    now_ms: Callable[[], int] = wall_clock_ms,
    time_left_s: Callable[[], float] | None = None,
) -> Cloud:
    """Make the cloud for `settings`. If that fails, nothing stays open.

    Args:
        later: Runs work that waits for Stripe.
        now_ms: The wall clock, epoch milliseconds.
        time_left_s: For a process that may be stopped at any moment: how long it can still wait for Stripe.

    Raises:
        StoreUnavailable: The store cannot be opened.
    """
    from arcade_cloud.adapters.alert_sinks import alert_sink
    from arcade_cloud.adapters.mqtt import Publisher

    with ExitStack() as opened:
        store = open_store(settings.database_url, dynamodb_endpoint=settings.dynamodb_endpoint)
        opened.callback(store.close)
        publisher = Publisher(
            settings.broker,
            timeout_ms=settings.mqtt_publish_timeout_ms,
            publishes_per_s=settings.mqtt_publishes_per_s,
        )
        opened.callback(publisher.close)
        fulfilment = Fulfilment(
            store=store,
            payments=_payments(settings, time_left_s),
            broker=publisher,
            alerts=alert_sink(settings.alert_webhook_url),
            keyring=Keyring(settings.signing_secrets),
            limits=settings.limits,
            now_ms=now_ms,
            later=later,
        )
        sales = Sales(fulfilment=fulfilment, base_url=settings.public_base_url, price_id=settings.stripe_price_id)
        return Cloud(
            settings=settings,
            store=store,
            publisher=publisher,
            fulfilment=fulfilment,
            sales=sales,
            sweep=Sweep(sales=sales),
            hearing=Hearing(fulfilment),
            opened=opened.pop_all(),
        )


def _payments(settings: Settings, time_left_s: Callable[[], float] | None) -> "StripeGateway":
    from arcade_cloud.adapters.stripe.gateway import ANSWER_IN_A_HURRY_S, RETRIES_IN_A_HURRY, StripeGateway

    api_key, api_base = settings.stripe_api_key, settings.stripe_api_base
    if time_left_s is None:
        return StripeGateway(api_key, api_base=api_base)
    return StripeGateway(
        api_key,
        api_base=api_base,
        retries=RETRIES_IN_A_HURRY,
        answer_s=ANSWER_IN_A_HURRY_S,
        time_left_s=time_left_s,
    )
