"""README's "Run it for real", word for word, in an empty folder and a virtual environment of its own.

Only the ports differ, since others may use those.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from arcade_sandbox.processes import dies_with_parent, free_port, wait_for
from support.player_by_hand import press

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
# What a new user types in each of the two blocks.
SET_UP, PROGRAMS = re.findall(
    r"^```shell\n(.*?)^```$",
    (ROOT / "README.md").read_text().split("## Run it for real")[1],
    re.MULTILINE | re.DOTALL,
)[:2]
BROKER, CLOUD, STRIPE = "8883", "5000", "12111"
TERMINALS = ("mosquitto", "arcade-sandbox", "arcade-cloud", "arcade-edge")


class Newcomer:
    """Somebody with a copy of the project, at a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {port: str(free_port()) for port in (BROKER, CLOUD, STRIPE)}
        kept = ("PATH", "HOME", "LANG", "TMPDIR", *(name for name in os.environ if name.startswith("PIP_")))
        self._environment = {name: os.environ[name] for name in kept if name in os.environ}
        self._environment["PATH"] += ":/usr/sbin"
        self._environment["ARCADE_BROKER_PORT"] = self._ports[BROKER]
        self._terminals: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """Where the cloud is."""
        return f"http://localhost:{self._ports[CLOUD]}"

    def types(self, text: str) -> str:
        """Type these lines into one shell; what they print."""
        done = subprocess.run(
            ["bash", "-ec", self._with_own_ports(text)],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def opens_a_terminal_for(self, line: str) -> None:
        """Start one program in a terminal of its own."""
        with (self.folder / f"{len(self._terminals)}.log").open("ab") as log:
            command = f". venv/bin/activate\nexec {self._with_own_ports(line)}"
            self._terminals.append(
                subprocess.Popen(
                    ["bash", "-ec", command],
                    cwd=self.folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    preexec_fn=dies_with_parent(),
                )
            )

    def closes_all_terminals(self) -> None:
        """Stop what was started, the last one first."""
        for terminal in reversed(self._terminals):
            terminal.terminate()
            terminal.wait(20)

    def _with_own_ports(self, text: str) -> str:
        for port, own in self._ports.items():
            text = re.sub(rf"\b{port}\b", own, text)
        if "serve" in text and "sandbox" not in text:
            text = text.replace("arcade-cloud serve", f"arcade-cloud serve --port {self._ports[CLOUD]}")
        return text

    def said(self) -> str:
        """All that the terminals show."""
        return "\n".join(log.read_text(errors="replace") for log in sorted(self.folder.glob("?.log")))


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("newcomer") / "arcade-stem"
    left_out = shutil.ignore_patterns(
        ".git", ".venv", ".setup", ".*_cache", "__pycache__", "dist", "tests", ".env*"
    )
    shutil.copytree(ROOT, folder, ignore=left_out)
    somebody = Newcomer(folder)
    try:
        yield somebody
    finally:
        somebody.closes_all_terminals()


def test_the_lines_of_readme_lead_to_a_paid_credit(newcomer: Newcomer) -> None:
    newcomer.types(SET_UP)
    secrets = [*newcomer.folder.glob(".env.local"), *newcomer.folder.glob("edge.toml")]
    assert [path.stat().st_mode & 0o077 for path in secrets] == [0, 0]
    programs = [line for line in PROGRAMS.splitlines() if line]
    assert tuple(line.split()[0] for line in programs) == TERMINALS
    for line in programs:
        newcomer.opens_a_terminal_for(line)

    def is_ready() -> bool:
        return " ready" in newcomer.types(". venv/bin/activate\narcade-cloud machine list")

    wait_for("the machine", is_ready, 60)
    checked = newcomer.types(". venv/bin/activate\narcade-cloud check")
    assert "FAIL" not in checked, checked

    player = requests.Session()
    page = player.get(f"{newcomer.url}/m/cab-01", timeout=10)
    assert "Space Duel" in page.text
    to_pay = press(player, page)
    paid = press(player, to_pay)
    order_page = paid.url

    def is_delivered() -> bool:
        return "1 credit added" in player.get(order_page, timeout=10).text

    wait_for("the credit", is_delivered, 30)

    def is_settled() -> bool:
        return "settled" in newcomer.types(". venv/bin/activate\narcade-cloud order list")

    wait_for("the money", is_settled, 30)
    assert "1 of 1 delivered" in newcomer.said()
