"""The game overs that came after an order's credits: what speaks for or against that they arrived."""

from collections.abc import Iterator

from arcade_cloud.domain.game_overs import KEPT_MS, After, GameOver, next_credits_ms
from arcade_cloud.domain.limits import SKEW_MS
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.player_claims import WITHIN_MS
from arcade_cloud.ports.store import Store

# More than a machine is played in a long visit.
AT_MOST = 500


def since_credits(store: Store, order: Order, until_ms: int) -> tuple[list[GameOver], bool]:
    """The game overs at an order's machines from its credits on, and whether these machines send any.

    Raises:
        StoreUnavailable: The store is down.
    """
    first: dict[str, int] = {}
    for credit in order.credits:
        if credit.drawn_at_ms is not None:
            first[credit.machine_id] = min(credit.drawn_at_ms, first.get(credit.machine_id, credit.drawn_at_ms))
    found = [
        one
        for machine_id, from_ms in first.items()
        for one in store.game_overs(machine_id, from_ms, until_ms, AT_MOST)
    ]
    return found, bool(found) or any(_sends_any(store, machine_id, until_ms) for machine_id in first)


def after_credits(store: Store, order: Order, now_ms: int) -> tuple[After, ...]:
    """The game overs after each play of an order, until the next credits at its machine, for some hours.

    None of an order from before the days for which they are kept.

    Raises:
        StoreUnavailable: The store is down.
    """
    plays: dict[str, list[tuple[int, int]]] = {}
    for number, credit in enumerate(order.credits, 1):
        if credit.drawn_at_ms is not None and credit.drawn_at_ms >= now_ms - KEPT_MS:
            plays.setdefault(credit.machine_id, []).append((number, credit.drawn_at_ms))
    found = [
        one for machine_id, drawn in plays.items() for one in _at_machine(store, order, machine_id, drawn, now_ms)
    ]
    return tuple(sorted(found, key=lambda one: one.number))


def _at_machine(
    store: Store, order: Order, machine_id: str, drawn: list[tuple[int, int]], now_ms: int
) -> Iterator[After]:
    """Of the plays at one machine: their numbers, and when their credits were drawn."""
    times = [at_ms for _, at_ms in drawn]
    until_ms = max(times) + WITHIN_MS
    orders = (order, *store.recent_orders(AT_MOST, machine_id=machine_id, before_ms=until_ms))
    every = store.game_overs(machine_id, min(times), until_ms, AT_MOST)[::-1]
    sends_any = bool(every) or _sends_any(store, machine_id, now_ms)
    for number, from_ms in drawn:
        end_ms, next_ms = from_ms + WITHIN_MS, next_credits_ms(machine_id, from_ms, orders)
        end_ms = end_ms if next_ms is None else min(end_ms, next_ms)
        yield After(
            number=number,
            machine_id=machine_id,
            from_ms=from_ms,
            until_ms=end_ms,
            game_overs=tuple(one for one in every if from_ms <= one.at_ms < end_ms),
            sends_any=sends_any,
        )


def last_one(store: Store, machine_id: str, now_ms: int) -> GameOver | None:
    """A machine's last game over; None if none is kept.

    Raises:
        StoreUnavailable: The store is down.
    """
    return next(iter(store.game_overs(machine_id, 0, now_ms + SKEW_MS, 1)), None)


def _sends_any(store: Store, machine_id: str, now_ms: int) -> bool:
    return last_one(store, machine_id, now_ms) is not None
