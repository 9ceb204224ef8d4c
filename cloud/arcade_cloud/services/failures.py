"""Whoever fails is left alone for a while, and longer each time. Remembered by this process only."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Failed:
    times: int
    again_ms: int


@dataclass(frozen=True, slots=True)
class Failures(Generic[Name]):
    """Failures in a row, by the name of who or what has failed.

    Attributes:
        first_ms: How long it is left alone after the first; doubled each time.
        most_ms: The longest.
    """

    first_ms: int
    most_ms: int
    _failed: dict[Name, _Failed] = field(default_factory=dict)

    def note(self, name: Name, now_ms: int) -> None:
        """It has failed once more."""
        times = self.times(name) + 1
        wait_ms = min(self.most_ms, self.first_ms << min(times - 1, 20))
        self._failed[name] = _Failed(times, now_ms + wait_ms)

    def times(self, name: Name) -> int:
        """How often it has failed in a row."""
        return self._failed[name].times if name in self._failed else 0

    def may_try(self, name: Name, now_ms: int) -> bool:
        """Whether it was left alone for long enough. A clock that was ahead keeps it from nothing for longer."""
        failed = self._failed.get(name)
        return failed is None or failed.again_ms <= now_ms or failed.again_ms - now_ms > self.most_ms

    def end(self, name: Name) -> bool:
        """It works again. False if it had not failed."""
        return self._failed.pop(name, None) is not None

    def keep_only(self, is_kept: Callable[[Name], bool]) -> None:
        """Forget all others."""
        for name in [name for name in self._failed if not is_kept(name)]:
            del self._failed[name]
