"""A headless Chromium at phone size, driven over its debugging pipe: no driver and no package needed."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
ANSWER_S = 30.0
# Where Chromium reads commands and writes answers.
READS, WRITES = 3, 4


def find_chromium() -> str | None:
    """The browser of this machine; CHROMIUM names another."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One tab. Every wait is bounded and fails the test."""

    def __init__(self, program: str) -> None:
        self._folder = tempfile.mkdtemp(prefix="arcade-chromium-")
        commands_read, self._commands = os.pipe()
        self._answers, answers_write = os.pipe()

        # A shell puts the pipes where Chromium looks for them: a hook before exec is unsafe among threads.
        script = f'exec "$@" {READS}<&{commands_read} {WRITES}>&{answers_write}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "chromium", program, *FLAGS, f"--user-data-dir={self._folder}", "about:blank"],
            pass_fds=(commands_read, answers_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands_read)
        os.close(answers_write)
        self._unread = b""
        self._serial = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and everything that it started."""
        os.close(self._commands)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        os.close(self._answers)
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- the protocol ------------------------------------------------------------------------------------

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and its result."""
        self._serial += 1
        serial = self._serial
        command = {"id": serial, "method": method, "params": params}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        end = time.monotonic() + ANSWER_S
        while True:
            message = self._read(end)
            if message.get("id") == serial:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    def _read(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "Chromium has ended"
            self._unread += chunk
        text, self._unread = self._unread.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        return message

    # --- what a person does ------------------------------------------------------------------------------

    def become(
        self,
        width: int,
        height: int,
        *,
        dark: bool = False,
        scripts: bool = True,
        mobile: bool = True,
        scale: int = 2,
    ) -> None:
        """A phone (or, not `mobile`, a screen) of that size, in light or dark, with or without JavaScript."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def go(self, url: str) -> None:
        """Open a page, and wait until it has loaded."""
        self.events.clear()
        result = self.call("Page.navigate", url=url)
        assert not result.get("errorText"), f"{url}: {result['errorText']}"
        end = time.monotonic() + ANSWER_S
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read(end))

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, within_s: float = 15.0) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + within_s
        while not self.js(expression):
            assert time.monotonic() < end, f"never true: {expression}; the page says: {self.text()}"
            time.sleep(0.05)

    def tap(self, selector: str) -> None:
        """Tap the first element that a selector finds, as a finger does."""
        box = self.js(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2]; }})(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def text(self) -> str:
        """What a person reads on the page."""
        text: str = self.js("document.body.innerText")
        return text

    def complaints(self) -> list[str]:
        """What the browser had to say about the page since it was opened: errors, refused content, exceptions."""
        self.js("0")  # whatever was said before this has been read then
        found = []
        for event in self.events:
            if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
        return found

    def png(self) -> bytes:
        """What is to be seen."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def picture(self, path: Path) -> None:
        """What is to be seen, into a file."""
        path.write_bytes(self.png())


def eventually(holds: Callable[[], bool], what: str, within_s: float = 15.0) -> None:
    """Wait until `holds()`; fails the test with `what` if it does not come to that."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)
