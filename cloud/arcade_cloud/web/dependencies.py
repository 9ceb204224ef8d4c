"""What the routes depend on: the services that they call, and the settings."""

from collections.abc import Callable
from dataclasses import dataclass

from arcade_cloud.config.settings import Settings
from arcade_cloud.ports.payments import Report
from arcade_cloud.services.api_keys import ApiKeys
from arcade_cloud.services.desk import Desk
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.machine_messages import MachineMessages
from arcade_cloud.services.operations import Operations
from arcade_cloud.services.payment_intake import PaymentIntake
from arcade_cloud.services.sales import Sales
from arcade_cloud.services.takings import Takings
from arcade_cloud.services.webhook_watch import WebhookWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Shared by many threads. The store and the clock are those of `fulfilment`.

    Attributes:
        read_event: Takes a webhook's body and signature, and returns what it reports. It raises BadWebhook if the
            webhook cannot be verified or read.
    """

    sales: Sales
    intake: PaymentIntake
    operations: Operations
    messages: MachineMessages
    webhooks: WebhookWatch
    keys: ApiKeys
    takings: Takings
    fulfilment: Fulfilment
    settings: Settings
    desk: Desk
    read_event: Callable[[bytes, str], Report]
