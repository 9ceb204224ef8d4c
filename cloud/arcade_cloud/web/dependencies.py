"""What the routes depend on: the services that they call, and the settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arcade_cloud.config.settings import Settings
from arcade_cloud.ports.payments import Report
from arcade_cloud.ports.people import PeopleStore
from arcade_cloud.services.api_keys import ApiKeys
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.identify import Identify
from arcade_cloud.services.machine_messages import MachineMessages
from arcade_cloud.services.operations import Operations
from arcade_cloud.services.payment_intake import PaymentIntake
from arcade_cloud.services.receipts import Receipts
from arcade_cloud.services.sales import Sales
from arcade_cloud.services.tabs import Tabs
from arcade_cloud.services.takings import Takings
from arcade_cloud.services.webhook_watch import WebhookWatch

if TYPE_CHECKING:
    from arcade_cloud.services.desk import Desk
    from arcade_cloud.services.player_claims import PlayerClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Shared by many threads. The store and the clock are those of `fulfilment`.

    Attributes:
        open_desk: What people use, which is imported and made when the console is opened.
        open_claims: What takes in that credits did not arrive, made when the first order is looked at.
        read_event: Takes a webhook's body and signature, and returns what it reports. It raises BadWebhook if the
            webhook cannot be verified or read.
    """

    sales: Sales
    tabs: Tabs
    intake: PaymentIntake
    operations: Operations
    identify: Identify
    messages: MachineMessages
    webhooks: WebhookWatch
    keys: ApiKeys
    takings: Takings
    receipts: Receipts
    fulfilment: Fulfilment
    settings: Settings
    people: PeopleStore
    open_desk: "Callable[[], Desk]"
    open_claims: "Callable[[], PlayerClaims]"
    read_event: Callable[[bytes, str], Report]

    @property
    def player_claims(self) -> "PlayerClaims":
        """What takes in that credits did not arrive."""
        return self.open_claims()

    @property
    def desk(self) -> "Desk":
        """What people use."""
        return self.open_desk()
