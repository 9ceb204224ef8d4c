"""The whole system as real processes, one for each module of tests that needs it."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.order import HistoryEntry, Order
from arcade_sandbox.aws.lambda_emulator import find_emulator
from arcade_sandbox.demo import Pulse, pulses
from arcade_sandbox.errors import EmulatorNotInstalled, SystemFailed
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import PRICE_MINOR, Profile, System

FINAL = {"settled", "abandoned"}
# A short pulse keeps ten thousand of them bearable; the board judges by the same figures.
SHORT = Profile(pulse_ms=15, gap_ms=15, min_pulse_ms=10, min_gap_ms=10, start_after_ms=200, play_s=0.3)
# Limits short enough to be waited for; they keep the order that the real ones have.
QUICK = {
    "DELIVER_WITHIN_S": "8",
    "SILENCE_LIMIT_S": "12",
    "HOLD_SILENCE_LIMIT_S": "12",
    "ANSWER_S": "1",
}


@dataclass(frozen=True)
class Whole:
    """A running system, and looks from outside at what it did."""

    system: System

    def order(self, order_id: str) -> Order:
        """The order as it is on disk."""
        store = SqliteStore(self.system.folder / "cloud.sqlite")
        try:
            order = store.order(order_id)
        finally:
            store.close()
        assert order is not None
        return order

    def history(self, order_id: str) -> list[HistoryEntry]:
        """What happened to the order."""
        store = SqliteStore(self.system.folder / "cloud.sqlite")
        try:
            return store.history(order_id)
        finally:
            store.close()

    def final(self, order_id: str, within_s: float = 40.0) -> Order:
        """The order once it is final. A failure shows its history and the logs."""

        def look() -> Order | None:
            order = self.order(order_id)
            return order if order.state in FINAL else None

        try:
            return wait_for(f"order {order_id} is final", look, within_s)
        except SystemFailed as error:
            lines = "\n".join(
                f"{entry.at_ms} {entry.event} {entry.state} {entry.text}" for entry in self.history(order_id)
            )
            raise SystemFailed(f"{error}\n{lines}\n{self.order(order_id)}\n{self.system.cloud.tail()}") from None

    def pulses(self, machine_id: str = "cab-01") -> list[Pulse]:
        """What the coin line did, from its edges alone."""
        return pulses(self.system.cabinets[machine_id].edge_log)

    def kept(self, order: Order) -> int:
        """What the stand-in for Stripe says is kept of the order's payment."""
        (entry,) = [entry for entry in self.system.stripe.money() if entry["id"] == order.payment_intent]
        kept: int = entry["kept"]
        return kept

    def check_money(self, order: Order) -> None:
        """Promise 1: kept is the price of exactly what was reported as pulsed; nothing, where nothing was sent."""
        assert self.kept(order) == order.amount_minor * (order.delivered or 0) // order.ordered
        assert order.amount_minor == PRICE_MINOR * order.ordered


@pytest.fixture(scope="session")
def emulator() -> None:
    """AWS's emulator. Tests are skipped where it is not installed."""
    try:
        find_emulator()
    except EmulatorNotInstalled as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """The system with short pulses and quick limits."""
    with System(tmp_path_factory.mktemp("system"), profile=SHORT, settings=QUICK) as system:
        yield Whole(system)


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Random moments from a seed that a failing test prints; ARCADE_SEED=… repeats it."""
    seed = os.environ.get("ARCADE_SEED") or str(random.SystemRandom().randrange(10**9))
    print(f"to repeat the moments: ARCADE_SEED={seed} pytest {request.node.nodeid}")
    return random.Random(seed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a system of the test's own."""
    return tmp_path / "system"
