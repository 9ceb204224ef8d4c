"""The serial port: how it is opened, by the agent and by `doctor` alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class SerialPort:
    """A port and its frame; one stop bit.

    `path`: `/dev/serial/by-id/…` stays the same when the adapter is plugged in elsewhere.
    """

    path: str
    baud: int = 9600
    parity: Literal["none", "even", "odd"] = "none"
    bytesize: int = 8

    def open(self, timeout_s: float | None = None) -> Any:
        """Open it for this process alone: two readers would each get a part of every line.

        Args:
            timeout_s: How long a reading may take; None: until there is something.

        Raises:
            serial.SerialException: It is not there, somebody else has it, or it cannot be set so.
        """
        import serial

        parity = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}[self.parity]
        return serial.Serial(
            self.path,
            self.baud,
            bytesize=self.bytesize,
            parity=parity,
            timeout=timeout_s,
            exclusive=True,
        )
