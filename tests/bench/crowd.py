"""Browsers by the hundred, in a process of their own: `python -m bench.crowd PORT PAGES IDLE SECONDS`.

Each page asks for the machine's state every five seconds on a connection that it keeps, as `live.js` does. Each
idle connection has been used once and is kept open; one that the server closes is opened anew. Prints JSON.
"""

import asyncio
import contextlib
import json
import random
import resource
import sys
import time
from dataclasses import dataclass, field

EVERY_S = 5.0
TIMEOUT_S = 30.0
# So many are opened at once, so that the start itself is no storm.
AT_ONCE = 50
STATE = "/m/cab-01?format=json"


@dataclass
class Seen:
    """What the crowd has met."""

    took_s: list[float] = field(default_factory=list)
    unanswered: int = 0
    refused: int = 0
    closed_idle: int = 0


class Browser:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    async def get(self, path: str) -> int:
        """The status. A kept connection that was closed is replaced once, as browsers do."""
        for fresh in (self._writer is None, True):
            try:
                return await asyncio.wait_for(self._try(path, fresh), TIMEOUT_S)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.close()
                if fresh:
                    raise
        raise ConnectionError

    async def _try(self, path: str, fresh: bool) -> int:
        if fresh or self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = next(
            (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:")),
            0,
        )
        await self._reader.readexactly(length)
        return int(head.split(" ", 2)[1])

    async def until_closed(self) -> None:
        """Keep the connection and ask for nothing."""
        if self._reader is not None:
            await self._reader.read(1)

    def close(self) -> None:
        """Drop the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def page(port: int, seen: Seen, gate: asyncio.Semaphore) -> None:
    """A player's open page."""
    browser = Browser(port)
    async with gate:
        await _ask(browser, seen)
    await asyncio.sleep(random.uniform(0, EVERY_S))
    while True:
        began = time.monotonic()
        await _ask(browser, seen)
        await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))


async def _ask(browser: Browser, seen: Seen) -> None:
    began = time.monotonic()
    try:
        status = await browser.get(STATE)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        browser.close()
        seen.unanswered += 1
        seen.took_s.append(time.monotonic() - began)
        return
    seen.took_s.append(time.monotonic() - began)
    seen.refused += status != 200


async def idle(port: int, seen: Seen, gate: asyncio.Semaphore) -> None:
    """A connection that is kept for nothing."""
    browser = Browser(port)
    while True:
        with contextlib.suppress(OSError, TimeoutError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            async with gate:
                await browser.get("/status")
            await browser.until_closed()
            seen.closed_idle += 1
        browser.close()
        await asyncio.sleep(1.0)


async def crowd(port: int, pages: int, idlers: int, seconds: float) -> Seen:
    """All of them, for so long. Says `ready` when they have had the time to come."""
    seen, gate, idle_gate = Seen(), asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)
    tasks = [asyncio.create_task(page(port, seen, gate)) for _ in range(pages)]
    await asyncio.sleep(EVERY_S)
    tasks += [asyncio.create_task(idle(port, seen, idle_gate)) for _ in range(idlers)]
    await asyncio.sleep(EVERY_S)
    seen.took_s.clear()
    seen.unanswered = 0
    print("ready", flush=True)
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seen


def main(port: int, pages: int, idlers: int, seconds: float) -> None:
    """Run, and print what was seen."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seen = asyncio.run(crowd(port, pages, idlers, seconds))
    print(json.dumps(vars(seen)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
