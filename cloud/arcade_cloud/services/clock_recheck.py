"""Puts right what a clock that was ahead has written: orders and machines put off, and echoes from the future.

Nobody can tell when that is needed: the process whose clock was ahead may be gone. So the timer looks at all
orders that wait, some at each pass and round and round. A process whose own clock was set back hurries.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from arcade_cloud.domain.clocks import without_future
from arcade_cloud.domain.limits import AHEAD_MS
from arcade_cloud.errors import FormTooNew, StoreUnavailable
from arcade_cloud.ports.store import Waiting
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.machine_watch import MachineWatch

logger = logging.getLogger(__name__)

# So many orders are looked at in a pass, which takes some milliseconds, and so often where there is no hurry.
BATCH = 100
EVERY_MS = 60_000
# So often Stripe is asked for the time, until it answers.
ASK_AGAIN_MS = 10_000
# A round that is under way has passed some orders already. After this one more, all have been looked at.
ROUNDS = 2


@dataclass(kw_only=True)
class ClockRecheck:
    """Looks at the orders that wait. The store knows how far the last pass came, whichever process made it.

    Attributes:
        monotonic_ms: A clock that nobody sets.
    """

    fulfilment: Fulfilment
    watch: MachineWatch
    monotonic_ms: Callable[[], float]
    _ahead_ms: float | None = None  # of the monotonic clock
    _rounds: int = 0  # that are to be made in a hurry
    _next_ms: float = 0.0

    def run_once(self) -> int:
        """Look if it is time. The timer of a process that stays calls it at every pass.

        The first passes hurry too: the clock may have been set right before this process began.

        Returns:
            How many orders had been put off, and were moved.

        Raises:
            StoreUnavailable: The next pass looks again.
        """
        now_ms = self.monotonic_ms()
        before_ms, self._ahead_ms = self._ahead_ms, self.fulfilment.now_ms() - now_ms
        if before_ms is None or self._ahead_ms < before_ms - AHEAD_MS:
            self._rounds, self._next_ms = ROUNDS, now_ms
        if now_ms < self._next_ms:
            return 0
        found = self.look()
        hurries = self._rounds > 0
        knows = self.fulfilment.clock() != "unknown"
        self._next_ms = now_ms + (EVERY_MS if not hurries else 0 if knows else ASK_AGAIN_MS)
        return found

    def look(self, *, until_ms: int | None = None) -> int:
        """Look at the next BATCH orders, wherever the last pass has ended. Only a clock that is right can tell.

        Args:
            until_ms: After this time no further order is looked at.

        Returns:
            How many orders had been put off, and were moved.

        Raises:
            StoreUnavailable: The next pass looks again.
        """
        fulfilment = self.fulfilment
        store, found = fulfilment.store, 0
        fulfilment.learn_time()
        if fulfilment.clock() != "right":
            return 0
        fulfilment.heard_echo_ms()
        self.watch.look_at_put_off()
        before = store.rechecked_until()
        waiting = store.waiting_orders(before or Waiting(fulfilment.now_ms(), ""), BATCH)
        until = waiting[-1] if len(waiting) == BATCH else None
        for number, one in enumerate(waiting):
            if number and until_ms is not None and fulfilment.now_ms() >= until_ms:
                until = waiting[number - 1]
                break
            if self._is_put_off(one.order_id):
                fulfilment.move_due(one.order_id)
                found += 1
        if until != before:
            store.note_rechecked(until)
        self._rounds -= until is None and self._rounds > 0
        if found:
            logger.warning("a clock was ahead: %d orders had been put off, and were moved now", found)
        return found

    def _is_put_off(self, order_id: str) -> bool:
        try:
            order = self.fulfilment.store.order(order_id)
        except FormTooNew:
            return False  # the newer program looks at it
        except StoreUnavailable:
            raise
        except Exception:  # a broken record: it is told when it is due
            logger.exception("order %s cannot be looked at", order_id)
            return False
        if order is None:
            return False
        fulfilment = self.fulfilment
        right = without_future(order, fulfilment.now_ms(), tab_fresh_s=fulfilment.limits.tab_fresh_s)
        return right != order
