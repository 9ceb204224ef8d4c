"""The port to all that a database keeps."""

from typing import Protocol

from arcade_cloud.ports.people import PeopleStore
from arcade_cloud.ports.software import SoftwareStore
from arcade_cloud.ports.store import Store


class WholeStore(Store, Protocol):
    """The state of the cloud, what is stored for other software, and what there is about people."""

    @property
    def software(self) -> SoftwareStore: ...

    @property
    def people(self) -> PeopleStore: ...
