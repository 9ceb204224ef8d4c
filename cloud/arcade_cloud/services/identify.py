"""Which machine is this? Its page, and the screen on it, show the same emblem: see `domain/screens`."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from arcade_cloud.domain import screens
from arcade_cloud.domain.screens import Emblem, Shown
from arcade_cloud.errors import Conflict, StoreUnavailable
from arcade_cloud.ports.store import Store


@dataclass(frozen=True, kw_only=True)
class Identify:
    """Gives machines their emblems.

    Attributes:
        choose: Any number from 0 to below the one that it is given.
    """

    store: Store
    now_ms: Callable[[], int]
    choose: Callable[[int], int] = secrets.randbelow

    def begin(self, machine_id: str, may_begin: Callable[[], bool] = lambda: True) -> Shown | None:
        """The emblem for somebody who asks now: the one that stands, or a new one, which the screen shows then.

        This is where a lamp is to be told as well, once a machine can have one.

        Args:
            may_begin: Asked before a new one begins, which costs a write.

        Returns:
            None if the machine has no screen that is on, or no new one may begin.
        """
        for _ in range(2):  # another visitor may be first: then theirs is the one
            now_ms = self.now_ms()
            screen = self.store.screen(machine_id)
            if screen is None or not screens.is_on(screen, now_ms):
                return None
            lasting = screens.lasting(screen, now_ms)
            if lasting is not None:
                return lasting
            if not may_begin():
                return None
            after = screens.begun(screen, now_ms, self.choose)
            with suppress(Conflict):
                self.store.put_screen(after, screen.version)
                return after.shown[-1]
        return None

    def shown(self, machine_id: str) -> tuple[Shown, ...]:
        """What the machine's screen shows now."""
        return screens.standing(self.store.screen(machine_id), self.now_ms())

    def look(self, machine_id: str) -> tuple[Emblem, ...]:
        """What the machine's screen is to show now. That there is a screen is noted."""
        now_ms = self.now_ms()
        screen = self.store.screen(machine_id)
        after = screens.seen(screen, machine_id, now_ms)
        if after is not None:
            with suppress(Conflict, StoreUnavailable):  # it is noted the next time
                self.store.put_screen(after, after.version - 1)
        return tuple(one.emblem for one in screens.standing(screen, now_ms))
