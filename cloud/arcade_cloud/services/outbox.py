"""What other software is told: made with the step that it tells of, for the endpoints that there are then."""

from collections.abc import Callable
from dataclasses import dataclass

from arcade_cloud.domain import outbox
from arcade_cloud.domain.alerts import Alert, alert
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.outbox import Endpoint, Event, Posting
from arcade_cloud.errors import InvariantBroken
from arcade_cloud.ports.software import SoftwareStore
from arcade_cloud.ports.store import Store


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """Makes postings, and stores none: whoever stores the step stores them with it.

    Attributes:
        software: Where the endpoints are; None: nothing is told to anybody.
        site: Who tells it, by the address of the site.
    """

    store: Store
    software: SoftwareStore | None
    site: str
    now_ms: Callable[[], int]

    def of_step(self, before: Order, after: Order, at_ms: int) -> tuple[Posting, ...]:
        """What a step of an order tells."""
        return self._to_all(outbox.of_step(before, after, at_ms))

    def of_silence(self, begun: Alert, machine_id: str, name: str, last_heard_ms: int) -> tuple[Posting, ...]:
        """What the begin of a machine's silence tells."""
        event = outbox.machine_offline(begun.alert_id, machine_id, name, last_heard_ms, begun.at_ms)
        return self._to_all([event])

    def _to_all(self, events: list[Event]) -> tuple[Posting, ...]:
        return outbox.postings(events, self._endpoints(), self.site) if events else ()

    def _endpoints(self) -> list[Endpoint]:
        """A broken record keeps no order from moving."""
        if self.software is None:
            return []
        try:
            return self.software.endpoints()
        except InvariantBroken as error:
            text = f"Other software is told nothing: {error}. Remove that endpoint and add it again."
            self.store.raise_alert(alert("stuck", "webhooks", text, self.now_ms()))
            return []
