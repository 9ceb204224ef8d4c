"""What the doors are given: the parts of the cloud that they call, and its settings."""

from dataclasses import dataclass

from arcade_cloud.fulfilment import Fulfilment
from arcade_cloud.hearing import Hearing
from arcade_cloud.sales import Sales
from arcade_cloud.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """All of it is shared by many threads. The store and the clock are those of `fulfilment`."""

    sales: Sales
    hearing: Hearing
    fulfilment: Fulfilment
    settings: Settings
