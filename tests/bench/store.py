"""The store: does order number 1,000,000 cost what order number 1,000 costs?"""

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from arcade_cloud.adapters.store.forms import FORMS
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.order import Resolution
from bench.rows import Row
from support.order_records import funded, new_order, next_version, step

SMALL, LARGE = 1_000, 1_000_000
ROUNDS = 400
TIMER_ROUNDS = 100


def _fill(path: Path, orders: int) -> SqliteStore:
    """A database with so many finished orders, as they lie there after years; written in bulk."""
    store = SqliteStore(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    for number in range(orders):
        order = new_order(f"ord_{number:032x}", stage="abandoned", created_at_ms=number, due_at_ms=None)
        move = step(order)
        connection.execute(
            "INSERT INTO orders (order_id, version, machine_id, created_at_ms, record) VALUES (?, 1, ?, ?, ?)",
            (order.order_id, order.machine_id, order.created_at_ms, FORMS.write(order, FORMS.newest)),
        )
        connection.execute(
            "INSERT INTO history (order_id, version, record) VALUES (?, 1, ?)",
            (order.order_id, msgspec.json.encode(move.history)),
        )
        connection.execute(
            "INSERT INTO payments (payment_intent, order_id) VALUES (?, ?)", (f"pi_{number:x}", order.order_id)
        )
    connection.execute("COMMIT")
    connection.close()
    return store


def _round_us(store: SqliteStore, number: int) -> float:
    """One order: made, funded, read; microseconds."""
    began = time.perf_counter_ns()
    order = new_order(f"ord_new{number:029x}")
    store.move(step(order))
    paid = funded(order, f"pi_new{number}")
    store.move(step(paid))
    store.order(paid.order_id)
    took = (time.perf_counter_ns() - began) / 1e3
    done = Resolution(delivered=3, by="ack", at_ms=0)
    store.move(step(next_version(paid, resolution=done, done=True, due_at_ms=None)))
    return took


def store() -> list[Row]:
    """A database of a thousand orders against one of a million, and the timer that finds nothing due."""
    with tempfile.TemporaryDirectory() as name:
        small = _fill(Path(name) / "small.sqlite", SMALL)
        large = _fill(Path(name) / "large.sqlite", LARGE)
        small_us, large_us = [], []
        for number in range(ROUNDS):  # in turn, so that both meet the same weather
            small_us.append(_round_us(small, number))
            large_us.append(_round_us(large, number))
        passes_ms = []
        for _ in range(TIMER_ROUNDS):
            began = time.perf_counter_ns()
            due = large.due_orders(0, 100)
            passes_ms.append((time.perf_counter_ns() - began) / 1e6)
            if due:
                raise RuntimeError("nothing was to be due")
        small.close()
        large.close()
    small_p50, large_p50 = statistics.median(small_us), statistics.median(large_us)
    timer_p50 = statistics.median(passes_ms)
    return [
        Row(
            f"an order in a database of {LARGE:,}, p50",
            f"{large_p50:.0f} µs",
            f"{small_p50:.0f} µs with {SMALL:,} orders",
            f"{large_p50 / small_p50:.2f} ×",
            "≤ 1.2 ×",
            large_p50 / small_p50 <= 1.2,
        ),
        Row(
            f"timer pass with nothing due, {LARGE:,} orders, p50",
            f"{timer_p50:.3f} ms",
            target="≤ 5 ms",
            reached=timer_p50 <= 5,
        ),
    ]
