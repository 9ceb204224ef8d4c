"""What systemd is told: ready, stopping, status, and the watchdog fed only while every part lives."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_STATUS_CHARS = 200


@dataclass(frozen=True, slots=True)
class Beat:
    """A part's last sign of life, in s of the monotonic clock, and how long it may stay silent."""

    last_s: float
    max_silence_s: float


def silent_parts(beats: Mapping[str, Beat], now_s: float) -> tuple[str, ...]:
    """The parts that have been silent for too long, by name."""
    return tuple(name for name, beat in beats.items() if now_s - beat.last_s > beat.max_silence_s)


class Notifier:
    """systemd's notification socket (sd_notify(3)); does nothing where there is none.

    A datagram that cannot be sent is dropped: systemd's own timeouts answer for a socket that is gone.

    Args:
        address: The value of `NOTIFY_SOCKET`: a path, or an abstract name that begins with `@`.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address or None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """The socket that systemd has named for this process."""
        return cls(environ.get("NOTIFY_SOCKET"))

    def ready(self) -> bool:
        """The agent has started."""
        return self._send("READY=1")

    def stopping(self) -> bool:
        """The agent has begun to stop."""
        return self._send("STOPPING=1")

    def feed(self) -> bool:
        """Keep the watchdog from biting. For `Watchdog` only."""
        return self._send("WATCHDOG=1")

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send("STATUS=" + " ".join(text.split())[:MAX_STATUS_CHARS])

    def _send(self, message: str) -> bool:
        """Send one datagram; returns whether systemd has got it."""
        if self._address is None:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(message.encode(), address)
        except OSError:
            return False
        return True


def watchdog_interval_s(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """How often to feed, in s: half of `WATCHDOG_USEC`; None where no watchdog waits for this process."""
    for_pid = environ.get("WATCHDOG_PID", "")
    if for_pid.isdecimal() and int(for_pid) != (os.getpid() if pid is None else pid):
        return None
    limit_us = environ.get("WATCHDOG_USEC", "")
    return int(limit_us) / 2 / 1_000_000 if limit_us.isdecimal() and int(limit_us) > 0 else None


class Watchdog:
    """Feeds systemd's watchdog while every watched part lives, and never otherwise.

    It has no thread: a thread of its own would go on feeding for a loop that hangs. The loop calls
    `tick` at each turn, and at least each `interval_s`.

    Args:
        beats: Reads every part's last sign of life.
        interval_s: How often to feed (`watchdog_interval_s`); None for never.
    """

    def __init__(
        self,
        notifier: Notifier,
        beats: Callable[[], Mapping[str, Beat]],
        interval_s: float | None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval_s = interval_s
        self._notifier = notifier
        self._beats = beats
        self._clock_s = clock_s
        self._fed_s: float | None = None
        self._silent: tuple[str, ...] = ()

    def tick(self) -> tuple[str, ...]:
        """Feed if it is time and all live; returns the parts that are silent, if any.

        `systemctl status` names them from the moment they fall silent.
        """
        now_s = self._clock_s()
        silent = silent_parts(self._beats(), now_s)
        if silent != self._silent:
            self._silent = silent
            self._notifier.status(f"no sign of life from: {', '.join(silent)}" if silent else "all parts live")
        due = self._fed_s is None or self.interval_s is None or now_s - self._fed_s >= self.interval_s
        if not silent and self.interval_s is not None and due:
            self._notifier.feed()
            self._fed_s = now_s
        return silent
