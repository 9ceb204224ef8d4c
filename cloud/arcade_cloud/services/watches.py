"""What the timer looks at besides the orders: machines, the broker, the clock."""

import logging
from collections.abc import Iterable
from typing import Protocol

from arcade_cloud.errors import StoreError

logger = logging.getLogger(__name__)


class Watch(Protocol):
    """Begins and ends conditions."""

    def run_once(self) -> None:
        """Look, if it is time."""
        ...


def look(watches: Iterable[Watch]) -> None:
    """Let each of them look. A defect in one is logged, and stops neither the others nor the orders.

    Raises:
        StoreError: The store cannot be used.
    """
    for watch in watches:
        try:
            watch.run_once()
        except StoreError:
            raise
        except Exception:  # watching must never keep money from moving
            logger.exception("%s failed", type(watch).__name__)
