"""The items of the takings in the DynamoDB table: lines for their order and for their day, and tallies (pure)."""

from collections.abc import Iterable, Iterator

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.dynamodb.items import (
    IS_NEW,
    Item,
    Write,
    bounded,
    key,
    put,
    shard,
    shards,
    short,
    text,
)
from arcade_cloud.domain.books import Line
from arcade_cloud.domain.tallies import Counts, Place, Tallies

# The numbers of a tally, in the order of `Counts.numbers`. Many plainer names are reserved words.
_NUMBERS = (
    "n_ordered",
    "n_delivered",
    "n_gross",
    "n_goodwill",
    "n_lost",
    "n_fee",
    "n_lines",
    "n_charged",
    "n_open",
)


def booking_sort(serial: int | None = None) -> str:
    """The sort key of the lines with one serial in their order's partition, or what all of them begin with."""
    return "booking#" if serial is None else f"booking#{serial:010}"


def takings_shards(day: str) -> list[str]:
    """All partitions over which the lines of a day are spread."""
    return [f"{shard}#{day}" for shard in shards("takings")]


def booking_puts(lines: tuple[Line, ...]) -> tuple[Write, Write]:
    """Lines that are booked together: once for their order, and once for their day. They are never overwritten."""
    first = lines[0]
    content: Item = {
        "order_id": {"S": first.order_id},
        "body": bounded(records.booking(lines), f"the lines of order {first.order_id}"),
    }
    day = f"{shard('takings', first.order_id)}#{first.day}"
    return (
        put({**key("order", first.order_id, booking_sort(first.serial)), **content}, IS_NEW),
        put({"pk": {"S": day}, "sk": {"S": f"{short(first.order_id)}#{first.serial:010}"}, **content}, IS_NEW),
    )


def tally_shards(month: str, machine_ids: Iterable[str] | None = None) -> list[str]:
    """All partitions over which the tallies of a month are spread, or those that have these machines'."""
    every = shards("tallies") if machine_ids is None else sorted({shard("tallies", one) for one in machine_ids})
    return [f"{one}#{month}" for one in every]


def tally_updates(tallies: Tallies) -> Iterator[Write]:
    """Add to the tallies. Each machine has its own of each day, so none is written by many at once."""
    for place, counts in tallies.items():
        values: Item = {
            f":{name}": {"N": str(number)} for name, number in zip(_NUMBERS, counts.numbers, strict=True) if number
        }
        expression = "ADD " + ", ".join(f"{name[1:]} {name}" for name in values)
        if counts.played_ms:
            values[":n_played"] = {"N": str(counts.played_ms)}
            expression = f"SET n_played = :n_played {expression}"
        yield {
            "Key": {
                "pk": {"S": tally_shards(place.day[:7], [place.machine_id])[0]},
                "sk": {"S": "#".join((place.day, place.machine_id, place.location, place.method, place.currency))},
            },
            "UpdateExpression": expression,
            "ExpressionAttributeValues": values,
        }


def tally(item: Item) -> tuple[Place, Counts]:
    """What an item says. Only a location may have a `#`."""
    day, machine_id, rest = text(item, "sk").split("#", 2)
    location, method, currency = rest.rsplit("#", 2)
    numbers = (int(text(item, name)) if name in item else 0 for name in _NUMBERS)
    played_ms = int(text(item, "n_played")) if "n_played" in item else 0
    place = Place(day=day, machine_id=machine_id, location=location, method=method, currency=currency)
    return place, Counts.of(numbers, played_ms)
