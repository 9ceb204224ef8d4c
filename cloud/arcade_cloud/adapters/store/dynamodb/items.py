"""The items of the DynamoDB table: their keys, their places in the indexes, and the writes that put them (pure).

`dynamodb/store.py` shows the whole design as a table. Every item has the key attributes `pk` and `sk`. An item
that stands in an index names its partition there and its rank within it:

    waits_in, waits_from     index `waiting`: what waits for its moment, or for being forgotten
    listed_in, listed_at     index `lists`: what people look at, newest first
    of_machine, listed_at    index `of_machine`: the orders of one machine, the alerts that stand, or are over, and
                             what was done to one thing

A rank is a time of sixteen digits and the record's id, so ranks sort as (time, id) do.
"""

import hashlib
import zlib
from collections.abc import Iterable

from msgspec import Struct

from arcade_cloud.adapters.store import records
from arcade_cloud.domain.game_overs import KEPT_MS, GameOver
from arcade_cloud.domain.machines import HEARS_FOR_MS, Machine, Presence
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.order import HistoryEntry, Order, UnmatchedAck
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.reconciling import DayReport
from arcade_cloud.domain.screens import Screen
from arcade_cloud.domain.uptime import StateChange
from arcade_cloud.domain.webhooks import Webhooks
from arcade_cloud.errors import InvariantBroken

Value = dict[str, str | bytes]  # one attribute as DynamoDB writes it: {"S": …}, {"N": "1"}, {"B": …}
Item = dict[str, Value]
Write = dict[str, object]  # the arguments of one Put, Update or Delete

# The number of partitions that each list is spread over. A partition of an index takes 1,000 writes a second, and
# one step of an order costs it two. Alerts and unmatched acks (first called orphans) are rare, and each pass of
# the timer asks for them. A number may be raised, since readers ask all partitions; if it is lowered, records
# vanish. Machines, people and tallies are looked up by their shard, so these numbers must never change. Each
# day has partitions of its own for its lines, each month for its tallies, and each endpoint for its
# postings.
SHARDS = {
    "due": 8,
    "under-way": 4,
    "orders": 8,
    "seen": 8,
    "unsent": 2,
    "sent": 2,
    "unread": 2,
    "lasting": 2,
    "watch": 4,
    "alerts": 2,
    "standing": 2,
    "over": 2,
    "orphans": 2,
    "unclaimed": 2,
    "machines": 8,
    "takings": 8,
    "tallies": 8,
    "receipts-due": 4,
    "people": 1,
    "audit": 4,
    "posting": 4,
    "posted": 4,
    "postings": 4,
}
# DynamoDB takes 400 KB, including the attributes' names and the keys.
MAX_RECORD_BYTES = 380_000
# Sort keys may have 1,024 bytes. A longer id (only nonsense from outside is so long) is replaced by its hash.
_MAX_ID_BYTES = 512
_DIGITS = 16
_LATEST_MS = 10**_DIGITS - 1

IS_NEW = "attribute_not_exists(pk)"
EXISTS = "attribute_exists(pk)"
ECHO_KEY: Item = {"pk": {"S": "echo"}, "sk": {"S": "echo"}}
RECONCILED_KEY: Item = {"pk": {"S": "swept"}, "sk": {"S": "swept"}}
RECHECKED_KEY: Item = {"pk": {"S": "rechecked"}, "sk": {"S": "rechecked"}}
WEBHOOKS_KEY: Item = {"pk": {"S": "webhooks"}, "sk": {"S": "webhooks"}}
FORM_KEY: Item = {"pk": {"S": "form"}, "sk": {"S": "form"}}


def shards(kind: str) -> list[str]:
    """All partitions over which records of that kind are spread."""
    return [f"{kind}#{number}" for number in range(SHARDS[kind])]


def key(kind: str, name: str, sort: str | None = None) -> Item:
    """The key of a record. With `sort`, the record is one of several in the partition."""
    return {"pk": {"S": f"{kind}#{short(name)}"}, "sk": {"S": kind if sort is None else sort}}


def history_sort(version: int | None = None) -> str:
    """The sort key of one version's entry in the history, or what all of them begin with."""
    return "history#" if version is None else f"history#{version:010}"


def machine_key(machine_id: str) -> Item:
    """Machines stand together in a few partitions, so that all of them can be read consistently."""
    return {"pk": {"S": shard("machines", machine_id)}, "sk": {"S": f"machine#{short(machine_id)}"}}


def of_machine(machine_id: str) -> str:
    """The partition of a machine's orders. An unregistered machine has one too."""
    return f"machine#{short(machine_id)}"


def with_code(code: str) -> str:
    """The partition of the orders with a code."""
    return f"code#{code}"


def with_last4(last4: str) -> str:
    """The partition of the orders that were paid with what ends in these digits."""
    return f"last4#{last4}"


def before(at_ms: int | None) -> str:
    """A bound that only ranks of earlier times sort before. With None, all ranks do."""
    return ":" if at_ms is None else _stamp(max(0, min(at_ms, _LATEST_MS)))


def rank_of(at_ms: int, name: str) -> str:
    """A bound that ranks of later times sort after, and of the same time those of later ids."""
    return f"{_stamp(max(0, min(at_ms, _LATEST_MS)))}#{short(name)}"


def time_of(rank: str) -> int:
    """The time in a rank."""
    return int(rank[:_DIGITS])


def order_put(order: Order, record: bytes, expected_version: int) -> Write:
    """Store the order as `record` if the expected version is stored, with the same machine and creation time."""
    if len(order.order_id.encode()) > _MAX_ID_BYTES:
        raise InvariantBroken(f"order {order.order_id[:80]}: its id is too long for a key")
    listed_at, machine = rank(order.created_at_ms, order.order_id), of_machine(order.machine_id)
    item: Item = {
        **key("order", order.order_id),
        "version": {"N": str(order.version)},
        "of_machine": {"S": machine},
        "listed_in": {"S": shard("orders", order.order_id)},
        "listed_at": {"S": listed_at},
        "body": bounded(record, f"order {order.order_id}"),
    }
    if order.due_at_ms is not None:
        item["waits_in"] = {"S": shard("due", order.order_id)}
        item["waits_from"] = {"S": rank(order.due_at_ms, order.order_id)}
    if expected_version == 0:
        return put(item, IS_NEW)
    values: Item = {
        ":version": {"N": str(expected_version)},
        ":machine": {"S": machine},
        ":listed_at": {"S": listed_at},
    }
    condition = "version = :version AND of_machine = :machine AND listed_at = :listed_at"
    return put(item, condition, values)


def also_at_put(order: Order, machine_id: str) -> Write:
    """List the order at a further machine of its credits. The first machine's list has the order itself."""
    return {
        "Item": {
            **key("order", order.order_id, of_machine(machine_id)),
            "of_machine": {"S": of_machine(machine_id)},
            "listed_at": {"S": rank(order.created_at_ms, order.order_id)},
        }
    }


def order_key(item: Item) -> Item:
    """The key of the order that an item of its partition belongs to, with its rank in the list."""
    return {**item, "sk": {"S": "order"}}


def postponing(order_id: str, until_ms: int) -> Write:
    """Change only the order's place in the queue, and only if it is due before `until_ms`."""
    return {
        "Key": key("order", order_id),
        "UpdateExpression": "SET waits_from = :until",
        "ConditionExpression": "waits_from < :until",
        "ExpressionAttributeValues": {":until": {"S": rank(until_ms, order_id)}},
    }


def order_delete(order: Order) -> Write:
    """Delete the order, if its version is stored."""
    return {
        "Key": key("order", order.order_id),
        "ConditionExpression": "version = :version",
        "ExpressionAttributeValues": {":version": {"N": str(order.version)}},
    }


def claim_delete(kind: str, name: str, order_id: str) -> Write:
    """Delete the order's claim to a payment or credit, if it has one."""
    return {
        "Key": key(kind, name),
        "ConditionExpression": f"{IS_NEW} OR order_id = :order_id",
        "ExpressionAttributeValues": {":order_id": {"S": order_id}},
    }


def history_put(entry: HistoryEntry, order: Order) -> Write:
    """A line of the order's history. It is never overwritten. The first one lists the order under its code."""
    item: Item = {
        **key("order", entry.order_id, history_sort(entry.version)),
        "body": record_of(entry, f"the history of order {entry.order_id}"),
    }
    if entry.version == 1:
        item["listed_in"] = {"S": with_code(order.code)}
        item["listed_at"] = {"S": rank(order.created_at_ms, order.order_id)}
    return put(item, IS_NEW)


def credit_put(credit_id: str, order: Order) -> Write:
    """Make the order the owner of a credit, unless another order is. The first one of a free order lists it."""
    lists = order.payment_intent is None and credit_id == order.credit_ids[0]
    return _claim_put("credit", credit_id, order, _under_way(order) if lists else {})


def tab_put(secret_hash: str, order: Order) -> Write:
    """Make the order the owner of a tab's secret, unless another order is."""
    return _claim_put("tab", secret_hash, order, {})


def payment_put(payment_intent: str, order: Order) -> Write:
    """Make the order the owner of a payment, unless another order is. It lists the order.

    Each step writes it anew, so it stands under the last four digits and in what is under way as the order does.
    """
    item = _under_way(order)
    if order.last4 is not None:
        item["listed_in"] = {"S": with_last4(order.last4)}
        item["listed_at"] = {"S": rank(order.created_at_ms, order.order_id)}
    return _claim_put("payment", payment_intent, order, item)


def _under_way(order: Order) -> Item:
    """Where what lists the order stands while something of it is under way."""
    since_ms = order.under_way_since_ms
    if since_ms is None:
        return {}
    return {
        "waits_in": {"S": shard("under-way", order.order_id)},
        "waits_from": {"S": rank_of(since_ms, order.order_id)},
    }


def _claim_put(kind: str, name: str, order: Order, listed: Item) -> Write:
    return put(
        {**key(kind, name), "order_id": {"S": order.order_id}, **listed},
        f"{IS_NEW} OR order_id = :order_id",
        {":order_id": {"S": order.order_id}},
    )


def seen_put(event_id: str, at_ms: int, by: str) -> Write:
    """An event's id, if it is new. Time to live deletes it later."""
    return put(
        {
            **key("seen", event_id),
            "waits_in": {"S": shard("seen", event_id)},
            "waits_from": {"S": rank(at_ms, event_id)},
            "expires_at": expiry(at_ms),
            "by": {"S": by},
        },
        IS_NEW,
    )


def machine_put(machine: Machine, expected_version: int, by: str) -> Write:
    """A machine, if the expected version is stored."""
    body = record_of(machine, f"machine {machine.machine_id}")
    return versioned(machine_key(machine.machine_id), machine.version, body, expected_version, by)


def day_report_put(report: DayReport, expected_version: int, by: str) -> Write:
    """What reconciling a day has found, if the expected version is stored."""
    body = record_of(report, f"the report of {report.day}")
    return versioned(key("day", report.day), report.version, body, expected_version, by)


def presence_put(presence: Presence, expected_version: int, by: str) -> Write:
    """A presence, if the expected version is stored."""
    where = key("presence", presence.machine_id)
    if presence.due_at_ms is not None:
        where["waits_in"] = {"S": shard("watch", presence.machine_id)}
        where["waits_from"] = {"S": rank(presence.due_at_ms, presence.machine_id)}
    body = record_of(presence, f"the presence of {presence.machine_id}")
    return versioned(where, presence.version, body, expected_version, by)


def screen_put(screen: Screen, expected_version: int, by: str) -> Write:
    """What a machine's screen shows, if the expected version is stored."""
    body = record_of(screen, f"the screen of {screen.machine_id}")
    return versioned(key("screen", screen.machine_id), screen.version, body, expected_version, by)


def state_change_put(change: StateChange) -> Write:
    """What a machine was from then on. Time to live deletes it later."""
    return {
        "Item": {
            **key("uptime", change.machine_id, before(change.at_ms)),
            "body": record_of(change, f"a change of machine {change.machine_id}"),
            "expires_at": expiry(change.at_ms),
        }
    }


def count_put(count: Count) -> Write:
    """What a coin meter counted of a train. Time to live deletes it later."""
    return {
        "Item": {
            **key("counts", count.machine_id, f"{before(count.at_ms)}#{count.credit_id}"),
            "body": record_of(count, f"a count of machine {count.machine_id}"),
            "expires_at": expiry(count.at_ms),
        }
    }


def game_over_put(game_over: GameOver, by: str) -> Write:
    """A game over, unless it is on record already. Time to live deletes it later."""
    return put(
        {
            **key("gameovers", game_over.machine_id, rank(game_over.at_ms, game_over.event_id)),
            "body": record_of(game_over, f"a game over of machine {game_over.machine_id}"),
            "expires_at": expiry(game_over.at_ms, KEPT_MS),
            "by": {"S": by},
        },
        IS_NEW,
    )


def unmatched_ack_put(ack: UnmatchedAck, by: str) -> Write:
    """An ack for an unknown credit, unless the same report is on record already, whenever it came."""
    same = (ack.machine_id, ack.credit_id, ack.installation, ack.state)
    name = hashlib.sha256(repr((*same, ack.delivered, ack.uncertain)).encode()).hexdigest()
    return put(
        {
            **key("orphan", name),
            "listed_in": {"S": shard("orphans", name)},
            "listed_at": {"S": rank(ack.at_ms, name)},
            "body": record_of(ack, f"the ack for the unknown credit {ack.credit_id}"),
            "by": {"S": by},
        },
        IS_NEW,
    )


def unclaimed_put(payment: Unclaimed, by: str) -> Write:
    """A payment that a person must decide about, unless it is on record already."""
    name = payment.payment_intent
    return put(
        {
            **key("unclaimed", name),
            "listed_in": {"S": shard("unclaimed", name)},
            "listed_at": {"S": rank(payment.at_ms, name)},
            "body": record_of(payment, f"the unclaimed payment {name}"),
            "by": {"S": by},
        },
        IS_NEW,
    )


def unclaimed_delete(payment_intent: str) -> Write:
    """Take a payment off the list."""
    return {"Key": key("unclaimed", payment_intent)}


def echo_update(sent_at_ms: int) -> Write:
    """The echo, if it is later than the latest and proves hearing together with it."""
    return {
        "Key": ECHO_KEY,
        "UpdateExpression": "SET sent_at = :sent_at",
        "ConditionExpression": "sent_at < :sent_at AND sent_at >= :near AND attribute_exists(hears_since)",
        "ExpressionAttributeValues": {
            ":sent_at": {"N": str(sent_at_ms)},
            ":near": {"N": str(sent_at_ms - HEARS_FOR_MS)},
        },
    }


def first_echo_update(sent_at_ms: int) -> Write:
    """The echo, if it is later than the latest: hearing is proven from here on."""
    return {
        "Key": ECHO_KEY,
        "UpdateExpression": "SET sent_at = :sent_at, hears_since = :sent_at",
        "ConditionExpression": "attribute_not_exists(sent_at) OR sent_at < :sent_at",
        "ExpressionAttributeValues": {":sent_at": {"N": str(sent_at_ms)}},
    }


def echo_removal(later_than_ms: int) -> Write:
    """No echo, if the latest is later than that."""
    return {
        "Key": ECHO_KEY,
        "ConditionExpression": "sent_at > :later_than",
        "ExpressionAttributeValues": {":later_than": {"N": str(later_than_ms)}},
    }


def reconciled_update(at_ms: int) -> Write:
    """The time up to which Stripe's events are reconciled."""
    return {
        "Key": RECONCILED_KEY,
        "UpdateExpression": "SET swept_at = :swept_at",
        "ConditionExpression": "attribute_not_exists(swept_at) OR swept_at <> :swept_at",
        "ExpressionAttributeValues": {":swept_at": {"N": str(at_ms)}},
    }


def rechecked_update(at_ms: int, order_id: str) -> Write:
    """How far the waiting orders have been looked at."""
    return {
        "Key": RECHECKED_KEY,
        "UpdateExpression": "SET rechecked_at = :at, order_id = :order_id",
        "ExpressionAttributeValues": {":at": {"N": str(at_ms)}, ":order_id": {"S": order_id}},
    }


def rechecked_removal() -> Write:
    """They have been looked at to the end."""
    return {"Key": RECHECKED_KEY, "ConditionExpression": EXISTS}


def webhook_accepted_update(at_ms: int) -> Write:
    """That a webhook was accepted, if none was later: those that were refused before count no more."""
    return {
        "Key": WEBHOOKS_KEY,
        "UpdateExpression": "SET accepted_at = :at REMOVE refused, refused_since, refused_at, refused_why",
        "ConditionExpression": "attribute_not_exists(accepted_at) OR accepted_at < :at",
        "ExpressionAttributeValues": {":at": {"N": str(at_ms)}},
    }


def webhooks_refused_update(count: int, at_ms: int, why: str) -> Write:
    """That so many were refused, if none was accepted later."""
    return {
        "Key": WEBHOOKS_KEY,
        "UpdateExpression": "SET refused_since = if_not_exists(refused_since, :at), refused_at = :at, "
        "refused_why = :why ADD refused :count",
        "ConditionExpression": "attribute_not_exists(accepted_at) OR accepted_at <= :at",
        "ExpressionAttributeValues": {":at": {"N": str(at_ms)}, ":why": {"S": why}, ":count": {"N": str(count)}},
    }


def webhooks(item: Item) -> Webhooks:
    """What the item says."""

    def moment(name: str) -> int | None:
        return int(text(item, name)) if name in item else None

    return Webhooks(
        accepted_at_ms=moment("accepted_at"),
        refused=moment("refused") or 0,
        refused_since_ms=moment("refused_since"),
        refused_at_ms=moment("refused_at"),
        why=text(item, "refused_why") if "refused_why" in item else "",
    )


def form_update(number: int) -> Write:
    """The form in which orders are written from now on, if it is later than the present one."""
    return {
        "Key": FORM_KEY,
        "UpdateExpression": "SET form = :form",
        "ConditionExpression": "attribute_not_exists(form) OR form < :form",
        "ExpressionAttributeValues": {":form": {"N": str(number)}},
    }


def forgetting(item: Item) -> Write:
    """Delete what the index showed, unless it has changed since."""
    return {
        "Key": key_of(item),
        "ConditionExpression": "waits_in = :waits_in AND waits_from = :waits_from",
        "ExpressionAttributeValues": {":waits_in": item["waits_in"], ":waits_from": item["waits_from"]},
    }


def key_of(item: Item) -> Item:
    """The key alone."""
    return {"pk": item["pk"], "sk": item["sk"]}


def name_of(item: Item) -> str:
    """The id of the record, as it is in the partition key."""
    return text(item, "pk").partition("#")[2]


def text(item: Item, name: str) -> str:
    """An attribute, text or number, as text.

    Raises:
        InvariantBroken: The item has no such attribute.
    """
    found = next((value for kind, value in item.get(name, {}).items() if kind in {"S", "N"}), None)
    if not isinstance(found, str):
        raise InvariantBroken(f"item {item.get('pk')} has no {name}: it was not written by this program")
    return found


def body(item: Item) -> bytes:
    """The record's JSON.

    Raises:
        InvariantBroken: The item has none.
    """
    found = item.get("body", {}).get("B")
    if not isinstance(found, bytes):
        raise InvariantBroken(f"item {item.get('pk')} has no record: it was not written by this program")
    return found


def merged(lists: Iterable[list[Item]], rank: str, limit: int, *, newest_first: bool) -> list[Item]:
    """The first `limit` items from several partitions' answers, each item once."""
    every = sorted(
        (item for items in lists for item in items), key=lambda item: text(item, rank), reverse=newest_first
    )
    return list({(text(item, "pk"), text(item, "sk")): item for item in every}.values())[:limit]


def versioned(where: Item, version: int, record: Value, expected_version: int, by: str) -> Write:
    item: Item = {**where, "version": {"N": str(version)}, "body": record, "by": {"S": by}}
    if expected_version == 0:
        return put(item, IS_NEW)
    return put(item, "version = :version", {":version": {"N": str(expected_version)}})


def put(item: Item, condition: str, values: Item | None = None) -> Write:
    write: Write = {"Item": item, "ConditionExpression": condition}
    if values is not None:
        write["ExpressionAttributeValues"] = values
    return write


def record_of(record: Struct, what: str) -> Value:
    return bounded(records.encode(record), what)


def bounded(record: bytes, what: str) -> Value:
    if len(record) > MAX_RECORD_BYTES:
        raise InvariantBroken(f"{what}: {len(record)} bytes, and DynamoDB stores at most {MAX_RECORD_BYTES}")
    return {"B": record}


def expiry(at_ms: int, after_ms: int = records.FORGET_AFTER_MS) -> Value:
    """Epoch seconds, the unit of DynamoDB's time to live."""
    return {"N": str((at_ms + after_ms) // 1000 + 1)}


def rank(at_ms: int, name: str) -> str:
    if not 0 <= at_ms <= _LATEST_MS:
        raise InvariantBroken(f"{name[:80]}: {at_ms} is no time in milliseconds")
    return f"{_stamp(at_ms)}#{short(name)}"


def shard(kind: str, name: str) -> str:
    partitions = shards(kind)
    return partitions[zlib.crc32(name.encode()) % len(partitions)]


def _stamp(at_ms: int) -> str:
    return f"{at_ms:0{_DIGITS}}"


def short(name: str) -> str:
    encoded = name.encode()
    return name if len(encoded) <= _MAX_ID_BYTES else f"sha256#{hashlib.sha256(encoded).hexdigest()}"
