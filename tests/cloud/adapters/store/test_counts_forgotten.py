"""What coin meters counted goes after 90 days, game overs after 8: by `prune` or, in a table, time to live."""

import dataclasses
from contextlib import closing
from pathlib import Path
from typing import Any

from arcade_cloud.adapters.store.dynamodb import items
from arcade_cloud.adapters.store.records import FORGET_AFTER_MS
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.game_overs import KEPT_MS, GameOver
from arcade_cloud.domain.metering import Count
from support.memory_store import MemoryStore
from support.order_records import funded, new_order, step
from support.orders import NOW_MS


def count(number: int, at_ms: int) -> Count:
    return Count(
        machine_id="cab-01",
        at_ms=at_ms,
        order_id=f"o-{number}",
        credit_id=f"credit-{number}",
        pulsed=3,
        registered=2,
    )


def test_what_a_meter_counted_is_forgotten_after_90_days(tmp_path: Path) -> None:
    old, young = count(1, NOW_MS - FORGET_AFTER_MS - 1), count(2, NOW_MS - FORGET_AFTER_MS + 1)
    with closing(SqliteStore(tmp_path / "cloud.sqlite")) as store:
        for number, one in enumerate((old, young), start=1):
            order = new_order(one.order_id)
            store.move(step(order))
            paid = step(funded(order, f"pi_{number}", one.credit_id))
            store.move(dataclasses.replace(paid, counts=(one,)))
        assert store.counts("cab-01", 0, 10) == [young, old]
        assert store.prune(NOW_MS) == 1
        assert store.counts("cab-01", 0, 10) == [young]
    put: Any = items.count_put(old)["Item"]
    assert 0 < int(put["expires_at"]["N"]) * 1000 - (old.at_ms + FORGET_AFTER_MS) <= 2_000


def test_a_game_over_is_forgotten_after_8_days(tmp_path: Path) -> None:
    old, young = (
        GameOver(machine_id="cab-01", at_ms=NOW_MS - KEPT_MS + more_ms, event_id="evt-1", heard_at_ms=NOW_MS)
        for more_ms in (-1, 1)
    )
    for store in (SqliteStore(tmp_path / "cloud.sqlite"), MemoryStore()):
        with closing(store):
            for one in (old, young):
                store.note_game_over(one)
            assert store.prune(NOW_MS) == 1
            assert store.game_overs("cab-01", 0, NOW_MS, 10) == [young]
    put: Any = items.game_over_put(old, "token")["Item"]
    assert 0 < int(put["expires_at"]["N"]) * 1000 - (old.at_ms + KEPT_MS) <= 2_000
