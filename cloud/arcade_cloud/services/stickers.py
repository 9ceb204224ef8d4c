"""Stickers of machines: which ones, and where they lead."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.stickers import Sheet, Sticker
from arcade_cloud.errors import BadRequest
from arcade_cloud.ports.printer import Printer


@dataclass(frozen=True, kw_only=True)
class Stickers:
    """Makes stickers that lead to machines' pages.

    Attributes:
        base_url: Of this cloud, as players reach it.
    """

    printer: Printer
    base_url: str

    @property
    def why_not(self) -> str:
        """Why stickers are of no use yet, and what to do; empty if they are."""
        if _is_public(self.base_url):
            return ""
        return (
            f"PUBLIC_BASE_URL is {self.base_url}, which no player's phone can trust or reach: set it to the https "
            "address of this cloud"
        )

    def of(self, machines: Iterable[Machine], *, force: bool = False) -> list[Sticker]:
        """The stickers of machines.

        Args:
            force: Although no player's phone would reach the page.

        Raises:
            BadRequest: No player's phone would, or there is no machine.
        """
        if self.why_not and not force:
            raise BadRequest(f"{self.why_not}, or add --force for a trial")
        base_url = self.base_url.rstrip("/")
        found = [
            Sticker(
                url=f"{base_url}/m/{machine.machine_id}",
                name=machine.name,
                machine_id=machine.machine_id,
                domain=base_url.partition("://")[2],
            )
            for machine in machines
        ]
        if not found:
            raise BadRequest("no machine is registered: arcade-cloud machine add")
        return found

    def svg(self, sticker: Sticker) -> bytes:
        """See `Printer.svg`."""
        return self.printer.svg(sticker)

    def pdf(self, stickers: Sequence[Sticker], sheet: Sheet, per_page: int, font: str | None = None) -> bytes:
        """See `Printer.pdf`."""
        return self.printer.pdf(stickers, sheet, per_page, font)


def _is_public(base_url: str) -> bool:
    """Whether a phone may reach the address from anywhere, and safely."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" and ipaddress.ip_address(host).is_global
    except ValueError:
        return parts.scheme == "https" and "." in host and not host.endswith((".localhost", ".local"))
