"""What the doors are given: the parts of the cloud that they call, and its settings."""

from collections.abc import Callable
from dataclasses import dataclass

from arcade_cloud.config.settings import Settings
from arcade_cloud.ports.payments import Report
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.machine_messages import Hearing
from arcade_cloud.services.sales import Sales


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """All of it is shared by many threads. The store and the clock are those of `fulfilment`.

    `read_event(body, signature)`: what a webhook of Stripe's is about; raises BadWebhook.
    """

    sales: Sales
    hearing: Hearing
    fulfilment: Fulfilment
    settings: Settings
    read_event: Callable[[bytes, str], Report]
