"""A busy evening: 500 open pages, 1,000 idle connections, 10 purchases a second, and Stripe hangs in the middle.

The cloud, the broker, the cabinets and the crowd are processes of their own. The stand-in for Stripe runs in this
one, with whoever pays. Everything is started and ended here; all of it takes two minutes.
"""

import http.client
import itertools
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from arcade_edge.simulator.cabinet import read_edge_log
from arcade_sandbox.system import Profile, System
from bench.cloud import Stripe
from bench.rows import Row, percentile

PAGES, IDLE = 500, 1_000
CABINETS = 4
PURCHASES_PER_S = 10
LOAD_S, HANGS_AFTER_S, HANGS_S = 60.0, 25.0, 10.0
CEILING_S, CEILING_PAYERS = 10.0, 8
# Links that are there before Stripe hangs, so that players go on paying meanwhile.
STOCK = 150
TIMEOUT_S = 30.0
LATENCY_S = 12.0  # longer than any client waits for one answer
PROFILE = Profile(pulse_ms=10, gap_ms=10, min_pulse_ms=5, min_gap_ms=5, start_after_ms=10, play_s=0.01)


@dataclass
class Waits:
    """How long one kind of request took, and what came of it: `refused` of those that Stripe could answer."""

    took_s: list[float] = field(default_factory=list)
    hanging_s: list[float] = field(default_factory=list)
    refused: int = 0
    told_later: int = 0


@dataclass
class Evening:
    """What is measured."""

    system: System
    hangs: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    links: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    waits: dict[str, Waits] = field(default_factory=lambda: {name: Waits() for name in ("tap", "page", "ingest")})
    webhooks_ns: dict[str, list[int]] = field(default_factory=dict)
    failed_webhooks: list[str] = field(default_factory=list)

    def timed(self, name: str, ask: Callable[[], requests.Response]) -> requests.Response | None:
        """Ask, and note how long it took. None where nothing came in time."""
        waits, began, hung = self.waits[name], time.monotonic(), self.hangs.is_set()
        answer: requests.Response | None = None
        with suppress(requests.RequestException):
            answer = ask()
        took_s, hung = time.monotonic() - began, hung or self.hangs.is_set()
        (waits.hanging_s if hung else waits.took_s).append(took_s)
        if answer is None or answer.status_code >= 400:
            if hung and name == "tap":
                waits.told_later += 1
            else:
                waits.refused += 1
            return None
        return answer

    def tap(self, machine_id: str) -> None:
        """A player goes to pay."""
        body = {"machine_id": machine_id}
        url = f"{self.system.url}/create-payment-link"
        answer = self.timed("tap", lambda: requests.post(url, json=body, timeout=TIMEOUT_S))
        if answer is not None:
            self.links.put({**answer.json(), "machine_id": machine_id})

    def pay(self, stripe: Stripe, link: dict[str, Any]) -> None:
        """The player pays, and Stripe's webhook comes."""
        self.system.stripe.pay(link["url"], "card", wait=False)
        event = next(
            event
            for event in reversed(self.system.stripe.events("payment_intent.amount_capturable_updated"))
            if event["data"]["object"]["metadata"]["order_id"] == link["orderId"]
        )
        body, headers = stripe.signed(event)
        sent_ns = time.monotonic_ns()
        try:
            stripe.post(body, headers)
        except (OSError, RuntimeError, http.client.HTTPException) as error:  # counted; the evening goes on
            self.failed_webhooks.append(str(error))
            return
        self.webhooks_ns.setdefault(link["machine_id"], []).append(sent_ns)

    def new_page(self) -> None:
        """Somebody scans the code."""
        self.timed("page", lambda: requests.get(f"{self.system.url}/m/cab-01", timeout=TIMEOUT_S))

    def ingest(self) -> None:
        """The broker's rule engine hands in a message."""
        payload = {"machineId": "cab-01", "status": "game_over", "timestamp": "now"}
        message = {"topic": "arcade/machine/cab-01/gameover", "payload": payload}
        headers = {"X-Ingest-Secret": self.system.ingest_secret}
        url = f"{self.system.url}/ingest"
        self.timed("ingest", lambda: requests.post(url, json=message, headers=headers, timeout=TIMEOUT_S))


def busy() -> list[Row]:
    """One evening, then as many purchases as the host can take."""
    with tempfile.TemporaryDirectory() as name:
        machine_ids = [f"cab-{number:02}" for number in range(1, CABINETS + 1)]
        with System(Path(name), machine_ids, PROFILE, tls=False) as system:
            system.stripe.pause_webhooks()
            evening = Evening(system)
            machines = itertools.cycle(machine_ids)
            for _ in range(STOCK):
                evening.tap(next(machines))
            evening.waits["tap"] = Waits()
            with _crowd(urlsplit(system.url).port or 0, LOAD_S) as crowd:
                _load(evening, machines)
            time.sleep(2.0)  # the last pulses
            seen = json.loads(crowd[-1]) if crowd else {}
            to_edge_ms = _to_edge_ms(evening)
            rows = _rows(evening, seen, to_edge_ms)
            return [*rows, _ceiling(evening, machines)]


@contextmanager
def _crowd(port: int, seconds: float) -> Iterator[list[str]]:
    """The crowd; its lines are complete at the end."""
    command = [sys.executable, "-m", "bench.crowd", str(port), str(PAGES), str(IDLE), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    lines: list[str] = []
    try:
        assert child.stdout is not None
        lines.append(child.stdout.readline())
        yield lines
        lines += child.stdout.read().splitlines()
        child.wait(TIMEOUT_S)
    finally:
        child.kill()
        child.wait()


def _load(evening: Evening, machines: Iterator[str]) -> None:
    """Taps, payments, new pages and messages, each at its own pace and whatever becomes of the others."""
    netloc, secret = urlsplit(evening.system.url).netloc, evening.system.stripe.webhook_secret

    def payers() -> Callable[[], None]:
        mine = threading.local()

        def pay() -> None:
            if not hasattr(mine, "stripe"):
                mine.stripe = Stripe(netloc, secret)
            try:
                link = evening.links.get_nowait()
            except queue.Empty:
                return
            evening.pay(mine.stripe, link)

        return pay

    threads = [
        *_paced(evening, PURCHASES_PER_S, 40, lambda: evening.tap(next(machines))),
        *_paced(evening, PURCHASES_PER_S, CABINETS, payers()),
        *_paced(evening, 4, 40, evening.new_page),
        *_paced(evening, 4, 40, evening.ingest),
    ]
    began = time.monotonic()
    time.sleep(HANGS_AFTER_S)
    evening.hangs.set()
    evening.system.stripe.faults.set_latency(LATENCY_S)
    time.sleep(HANGS_S)
    evening.system.stripe.faults.set_latency(0)
    time.sleep(LATENCY_S)  # what hangs already, goes on to
    evening.hangs.clear()
    time.sleep(max(0.0, LOAD_S - (time.monotonic() - began)))
    evening.over.set()
    for thread in threads:
        thread.join(2 * TIMEOUT_S)


def _paced(evening: Evening, per_s: float, at_once: int, act: Callable[[], None]) -> list[threading.Thread]:
    """Threads that together act so often; one that waits for an answer holds up no other."""
    turns = itertools.count()
    lock, began = threading.Lock(), time.monotonic()

    def work() -> None:
        while not evening.over.is_set():
            with lock:
                turn = next(turns)
            if evening.over.wait(max(0.0, began + turn / per_s - time.monotonic())):
                return
            act()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    return threads


def _to_edge_ms(evening: Evening) -> list[float]:
    """From each webhook to its first edge. A cabinet pulses in the order in which payments come."""
    took = []
    for machine_id, sent_ns in evening.webhooks_ns.items():
        edges = read_edge_log(evening.system.cabinets[machine_id].edge_log)
        first_ns = [
            edge.at_ns
            for last, edge in zip([None, *edges], edges, strict=False)
            if edge.active and not (last and last.active)
        ]
        took += [(edge - sent) / 1e6 for sent, edge in zip(sorted(sent_ns), first_ns, strict=False)]
    return took


def _rows(evening: Evening, seen: dict[str, Any], to_edge_ms: list[float]) -> list[Row]:
    taps, pages, ingest = (evening.waits[name] for name in ("tap", "page", "ingest"))
    paid = sum(map(len, evening.webhooks_ns.values()))
    polls_s = seen.get("took_s") or [float("nan")]
    refused = taps.refused + pages.refused + ingest.refused + len(evening.failed_webhooks)
    crowd = f"{PAGES} pages, {IDLE} idle connections"
    return [
        Row(
            f"busy ({crowd}): paid purchases a second, {PURCHASES_PER_S} asked for",
            f"{paid / LOAD_S:.1f}",
            target=f"≥ {0.95 * PURCHASES_PER_S:g}",
            reached=paid / LOAD_S >= 0.95 * PURCHASES_PER_S,
        ),
        Row("busy: webhook → first edge, p50 (p99)", _p50_p99(to_edge_ms)),
        Row(
            "busy: refused or unanswered, but for taps while Stripe hangs",
            f"{refused} and {seen.get('unanswered', 0)} of {len(polls_s)} polls",
            target="0",
            reached=refused == 0 and seen.get("unanswered") == 0,
        ),
        Row("busy: a page, p99 (longest)", _p99_longest(pages.took_s + pages.hanging_s)),
        Row("busy: a poll, p99 (longest)", _p99_longest(polls_s)),
        Row("busy: /ingest, p99 (longest)", _p99_longest(ingest.took_s + ingest.hanging_s)),
        Row(
            "Stripe hangs for 10 s: a page, /ingest, longest",
            f"{max(pages.hanging_s, default=0):.2f} s, {max(ingest.hanging_s, default=0):.2f} s",
        ),
        Row(
            "Stripe hangs for 10 s: taps told to try again, longest wait",
            f"{taps.told_later} of {len(taps.hanging_s)}, {max(taps.hanging_s, default=0):.1f} s",
        ),
    ]


def _p50_p99(values_ms: list[float]) -> str:
    if not values_ms:
        return "none"
    return f"{statistics.median(values_ms):.0f} ms ({percentile(values_ms, 0.99):.0f} ms)"


def _p99_longest(values_s: list[float]) -> str:
    if not values_s:
        return "none"
    return f"{1000 * percentile(values_s, 0.99):.0f} ms ({1000 * max(values_s):.0f} ms)"


def _ceiling(evening: Evening, machines: Iterator[str]) -> Row:
    """Purchases a second with nobody else there, and whose processor time ends it."""
    system = evening.system
    netloc, secret = urlsplit(system.url).netloc, system.stripe.webhook_secret
    for paid in evening.webhooks_ns.values():
        paid.clear()
    over = time.monotonic() + CEILING_S
    lock = threading.Lock()

    def buy() -> None:
        stripe = Stripe(netloc, secret)
        while time.monotonic() < over:
            with lock:
                machine_id = next(machines)
            evening.tap(machine_id)
            with suppress(queue.Empty):
                evening.pay(stripe, evening.links.get_nowait())

    who = {
        "cloud": system.cloud.child.pid if system.cloud.child else 0,
        "broker": system.broker.pid,
        "stand-in for Stripe and players": os.getpid(),
    }
    before, began = {name: _cpu_s(pid) for name, pid in who.items()}, time.monotonic()
    threads = [threading.Thread(target=buy) for _ in range(CEILING_PAYERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - began
    shares = {name: (_cpu_s(pid) - before[name]) / took_s for name, pid in who.items()}
    paid_per_s = sum(map(len, evening.webhooks_ns.values())) / took_s
    busiest = max(shares, key=lambda name: shares[name])
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    return Row(
        "most purchases a second, nobody else there", f"{paid_per_s:.0f}; busiest: {busiest} (of a core: {told})"
    )


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
