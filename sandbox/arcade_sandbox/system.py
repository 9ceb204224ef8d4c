"""The whole system as real processes on loopback: broker, stand-in for Stripe, cloud, simulated cabinets.

The demo and the integration tests use it only from outside: by the public commands, HTTP, MQTT and each cabinet's
edge log. From that log, the board's count can be recomputed whatever was killed.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from arcade_sandbox.broker.launcher import Broker, User
from arcade_sandbox.errors import SystemFailed
from arcade_sandbox.processes import START_WITHIN_S, Process, free_port, wait_for
from arcade_sandbox.stripe.sandbox import StripeSandbox
from arcade_shared.cabinet import JOURNAL_PATH

CURRENCY = "myr"
# Stripe charges at least 2.00 MYR at a time.
PRICE_MINOR = 200
HTTP_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Cabinet:
    """One machine: its agent's process, its config and its board's edge log."""

    machine_id: str
    agent: Process
    config: Path
    edge_log: Path


@dataclass(frozen=True)
class Profile:
    """How the simulated coin line is pulsed, and which pulses the board accepts."""

    pulse_ms: int = 100
    gap_ms: int = 100
    min_pulse_ms: float = 50
    min_gap_ms: float = 50
    start_after_ms: int = 300
    play_s: float = 1.5


@dataclass(frozen=True)
class Setup:
    """What is special about a machine.

    Attributes:
        name: What players see; "Cabinet" and its id, if empty.
        words: Further words of `arcade-cloud machine add`, such as its location and offers.
        edge_config: Further tables of its agent's config.
        agent: Further words of `arcade-edge simulate`.
    """

    name: str = ""
    words: Sequence[str] = ()
    edge_config: str = ""
    agent: Sequence[str] = ()


@dataclass
class System:
    """The whole system, with its files in `folder`.

    Attributes:
        settings: Further variables of the cloud.
        setups: What is special about machines, by their ids.
    """

    folder: Path
    machine_ids: Sequence[str] = ("cab-01",)
    profile: Profile = field(default_factory=Profile)
    settings: Mapping[str, str] = field(default_factory=dict)
    tls: bool = True
    port: int = 0
    stripe_port: int = 0
    edge_config: str = ""  # further lines of every agent's config
    verbose: bool = False  # every process logs everything
    tick_s: float = 0.0  # more than 0: the cloud runs as on AWS, with a schedule every so many seconds
    setups: Mapping[str, Setup] = field(default_factory=dict)
    webhooks_at_once: int = 1  # 1 keeps the order of events; with more, a slow delivery delays no others

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._passwords = {name: secrets.token_hex(12) for name in ("cloud", "bench", *self.machine_ids)}
        users = [User("cloud", self._passwords["cloud"], role="cloud")]
        users += [User("bench", self._passwords["bench"], role="bench")]
        users += [User(machine_id, self._passwords[machine_id], role="machine") for machine_id in self.machine_ids]
        self.broker = Broker(self.folder / "broker", users=users)
        self.stripe = StripeSandbox(
            port=self.stripe_port,
            webhook_urls=[f"{self.url}/webhook"],
            concurrency=self.webhooks_at_once,
            retry_base_s=0.2,
            retry_cap_s=1.0,
        )
        self.price_id = "price_credit"
        self.stripe.create_price(PRICE_MINOR, CURRENCY, "1 credit", self.price_id)
        self.ingest_secret = secrets.token_hex(16)
        self.signing_secret = secrets.token_hex(32)
        self.cabinets: dict[str, Cabinet] = {}

    @property
    def bench_password(self) -> str:
        """The password of the broker's user `bench`, who may do everything."""
        return self._passwords["bench"]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything, and wait until players can pay for every machine."""
        self.broker.start()
        self.stripe.start()
        serve = ["arcade_cloud.entrypoints.cli", *self._more_words, "serve", "--port", str(self.port)]
        if self.tick_s:
            serve = ["arcade_sandbox.aws.serverless", "--port", str(self.port), "--tick-s", str(self.tick_s)]
        self.cloud = Process("cloud", ["-m", *serve], self.folder, self._cloud_environment())
        if self.settings.get("DATABASE_URL", "").startswith("dynamodb:"):
            self.cli("table", "create")
        # Each command takes half a second, nearly all of it in its own process.
        with ThreadPoolExecutor(os.cpu_count()) as at_once:
            for cabinet in at_once.map(self._cabinet, self.machine_ids):
                self.cabinets[cabinet.machine_id] = cabinet
        if "TAB_LIMITS" in self.settings:  # only the newest form of the store's records holds tabs
            self.cli("store", "upgrade", "--yes")
        self.start_cloud()
        for cabinet in self.cabinets.values():
            cabinet.agent.start()
        for machine_id in self.machine_ids:
            self.wait_ready(machine_id)

    def close(self) -> None:
        """End agents and cloud in order: what runs is finished, and every machine says that it is off.

        `stop` ends what is left.
        """
        processes = [*(cabinet.agent for cabinet in self.cabinets.values()), self.cloud]
        for process in processes:
            process.send(signal.SIGTERM)
            process.send(signal.SIGCONT)  # one that is frozen could not end
        for process in processes:
            process.wait_stopped()

    def stop(self) -> None:
        """Stop everything that was started."""
        for process in [*(cabinet.agent for cabinet in self.cabinets.values()), getattr(self, "cloud", None)]:
            if process is not None:
                process.kill()
        self.stripe.stop()
        self.broker.stop()

    def start_cloud(self) -> None:
        """Start the cloud, and wait until it answers."""
        self.cloud.start()

        def up() -> bool:
            if not self.cloud.running:
                raise SystemFailed(f"the cloud has ended\n{self.cloud.tail()}")
            try:
                return requests.get(f"{self.url}/status", timeout=HTTP_TIMEOUT_S).status_code == 200
            except requests.RequestException:
                return False

        wait_for("the cloud answers", up)

    def cli(self, *arguments: str, typed: str = "", good: Sequence[int] = (0,)) -> str:
        """Run `arcade-cloud` and return what it prints.

        Args:
            typed: What it reads.
            good: The exit codes that are no failure.

        Raises:
            SystemFailed: The command failed. The text shows what it printed.
        """
        ran = subprocess.run(  # noqa: S603 - our own command only  # nosec B603
            [sys.executable, "-m", "arcade_cloud.entrypoints.cli", *arguments],
            cwd=self.folder,
            env=self._cloud_environment(),
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if ran.returncode not in good:
            raise SystemFailed(f"arcade-cloud {' '.join(arguments)}: {ran.stderr or ran.stdout}")
        return ran.stdout

    def machine_state(self, machine_id: str) -> dict[str, Any]:
        """What the player's page shows of a machine."""
        answer = requests.get(f"{self.url}/m/{machine_id}?format=json", timeout=HTTP_TIMEOUT_S)
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def wait_ready(self, machine_id: str, ready: bool = True, within_s: float = START_WITHIN_S) -> None:
        """Wait until a player can pay for the machine; or cannot, if not `ready`."""
        agent = self.cabinets[machine_id].agent

        def looked() -> bool:
            if ready and not agent.running:
                raise SystemFailed(f"the agent has ended\n{agent.tail()}")
            try:
                return bool(self.machine_state(machine_id)["ready"]) is ready
            except requests.RequestException:
                return False

        try:
            wait_for(f"machine {machine_id} ready: {ready}", looked, within_s)
        except SystemFailed as error:
            raise SystemFailed(f"{error}\n{agent.tail()}\n{self.cloud.tail()}") from None

    def create_link(self, machine_id: str, quantity: int = 1) -> dict[str, Any]:
        """Begin a checkout through the API, as a kiosk does.

        Returns:
            The API's answer, with `url` and `orderId`.

        Raises:
            SystemFailed: The API refused.
        """
        answer = requests.post(
            f"{self.url}/create-payment-link",
            json={"machine_id": machine_id, "quantity": quantity},
            timeout=HTTP_TIMEOUT_S,
        )
        if answer.status_code != 200:
            raise SystemFailed(f"no checkout: {answer.status_code} {answer.text}")
        link: dict[str, Any] = answer.json()
        return link

    def buy(self, machine_id: str, credits: int, method: str = "card", *, wait: bool = True) -> str:
        """Order and pay.

        Args:
            wait: Whether the payment page waits for the webhook, as Stripe's does.

        Returns:
            The order's id.
        """
        link = self.create_link(machine_id, credits)
        self.stripe.pay(link["url"], method, wait=wait)
        order_id: str = link["orderId"]
        return order_id

    def order_page(self, machine_id: str, order_id: str) -> dict[str, Any]:
        """What the player's page shows of an order."""
        answer = requests.get(f"{self.url}/m/{machine_id}/o/{order_id}?format=json", timeout=HTTP_TIMEOUT_S)
        answer.raise_for_status()
        page: dict[str, Any] = answer.json()
        return page

    @property
    def _more_words(self) -> list[str]:
        return ["--verbose"] if self.verbose else []

    def _cloud_environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "STRIPE_API_KEY": "sk_test_sandbox",
            "STRIPE_API_BASE": self.stripe.base_url,
            "STRIPE_WEBHOOK_SECRET": self.stripe.webhook_secret,
            "STRIPE_PRICE_ID": self.price_id,
            "EMQX_BROKER_URL": "localhost" if self.tls else "127.0.0.1",
            "EMQX_PORT": str(self.broker.tls_port if self.tls else self.broker.port),
            "MQTT_USERNAME": "cloud",
            "MQTT_PASSWORD": self._passwords["cloud"],
            **({"MQTT_CA_FILE": str(self.broker.ca_file)} if self.tls else {"MQTT_TLS": "0"}),
            "PUBLIC_BASE_URL": self.url,
            "SIGNING_SECRET": self.signing_secret,
            "INGEST_SECRET": self.ingest_secret,
            "DATABASE_URL": f"sqlite:///{self.folder / 'cloud.sqlite'}",
            "RATE_LIMIT_PER_MINUTE": "0",
            **self.settings,
        }

    def _cabinet(self, machine_id: str) -> Cabinet:
        """Register the machine, and write its agent's config from what the command prints."""
        setup = self.setups.get(machine_id, Setup())
        name = setup.name or f"Cabinet {machine_id}"
        printed = self.cli("machine", "add", machine_id, "--name", name, *setup.words, "--update")
        folder = self.folder / machine_id
        folder.mkdir(exist_ok=True)
        profile = self.profile
        config = (
            printed.replace('password = ""', f'password = "{self._passwords[machine_id]}"')
            .replace("pulse_ms = 100", f"pulse_ms = {profile.pulse_ms}")
            .replace("gap_ms = 100", f"gap_ms = {profile.gap_ms}")
            .replace(JOURNAL_PATH, str(folder / "journal.sqlite"))
            .replace("[security]\n", "[security]\n" + self.edge_config)
        )
        config += '\n[game_over.gpio]\npin = 27\nactive = "low"\ndebounce_ms = 20\n'
        config += setup.edge_config
        path = folder / "edge.toml"
        path.write_text(config)
        if self.tls:
            shutil.copy(self.broker.ca_file, folder)  # the config names it without a folder
        edge_log = folder / "edges.jsonl"
        agent = Process(
            f"agent-{machine_id}",
            [
                *(
                    "-m",
                    "arcade_edge.cli",
                    *self._more_words,
                    "simulate",
                    "--config",
                    str(path),
                    "--edge-log",
                    str(edge_log),
                ),
                *("--start-after-ms", str(profile.start_after_ms), "--play-s", str(profile.play_s)),
                *("--min-pulse-ms", str(profile.min_pulse_ms), "--min-gap-ms", str(profile.min_gap_ms)),
                *setup.agent,
            ],
            folder,
            {
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                "PYTHONUNBUFFERED": "1",
            },
        )
        return Cabinet(machine_id, agent, path, edge_log)
