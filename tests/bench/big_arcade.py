"""An arcade of 10,000 machines with 1,000,000 orders in a SQLite file, generated for the bench of the console.

A few purchases go the whole way through the real rules, and their records are copied with other ids, times,
machines and places. So each record is one that the program wrote; nothing is known about its fields here.
"""

import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.forms import FORMS
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain import books
from arcade_cloud.domain.alerts import alert, condition
from arcade_cloud.domain.audit import AuditEntry
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import code_of
from arcade_cloud.domain.people import Act
from arcade_cloud.domain.reconciling import DayReport
from arcade_cloud.domain.uptime import StateChange
from arcade_cloud.services import fees
from support.orders import only_payment
from support.site import PRICE_ID, START_MS, Site

DAY_MS = 86_400_000
DAYS = 90
PLACES = 250
CHANGES_OF_A_MACHINE = 20
ALERTS, AUDITED = 150, 50_000
MACHINE, PLACE = "cab-01", "Hall of the template"
# Of a hundred orders: how it was paid (None: granted; empty: not at all), its credits, and how many came.
KINDS = (
    ("card", 1, 1, 50),
    ("card", 5, 5, 17),
    ("fpx", 3, 3, 17),
    ("card", 5, 3, 6),
    (None, 2, 2, 2),
    ("", 1, 0, 8),
)
_TIME = re.compile(rb"\b17[89]\d{10}\b")


@dataclass(frozen=True)
class Template:
    """One life of an order, as the program has stored it; ids, times and places are left open."""

    order: bytes
    history: tuple[bytes, ...]
    bookings: tuple[tuple[int, int, bytes], ...]  # serial, milliseconds after the beginning, record
    offsets: tuple[int, ...]  # of the times in it
    due_after_ms: int | None
    is_paid: bool
    has_credit: bool


def templates() -> list[Template]:
    """One for each kind, from purchases that went the whole way."""
    return [_template(*kind[:3]) for kind in KINDS]


def _template(method: str | None, count: int, delivered: int) -> Template:
    site = Site()
    site.add_machine(
        MACHINE,
        location=PLACE,
        offers=(Offer(offer_id="one", credits=1, amount_minor=100, currency="myr", price_id=PRICE_ID),),
    )
    began_ms = site.now_ms
    if method is None:
        order_id = site.cloud.operations.grant(
            MACHINE, count, reason="a broken joystick", by="ann", token="t"
        ).order_id
    else:
        order_id = site.begin(count)
    if method:
        site.now_ms += 20_000
        site.pay(order_id, method)
    if method == "":
        site.now_ms = (only_payment(site.order(order_id)).checkout.expires_at_ms or 0) + 60_000  # type: ignore[union-attr]
        site.cloud.fulfilment.run_once()
    else:
        site.now_ms += 2_000
        site.say_ack(order_id, "done", delivered)
        site.deliver_events()
    site.now_ms += 300_000
    for entry in reversed(site.payments.read_entries(since_ms=0).entries):
        fees.book(site.cloud.fulfilment, entry)
    order = site.order(order_id)
    if order.state not in {"settled", "abandoned"}:
        raise RuntimeError(f"a template is {order.state}")
    booked: dict[int, list[books.Line]] = {}
    for line in site.store.booked(order_id):
        booked.setdefault(line.serial, []).append(line)
    raw = FORMS.write(order, FORMS.newest)
    history = [records.encode(entry) for entry in site.store.history(order_id)]
    bookings = [records.booking(tuple(lines)) for lines in booked.values()]
    names = {
        order_id: b"%(order)s",
        MACHINE: b"%(machine)s",
        PLACE: b"%(place)s",
        books.day_of(began_ms, site.cloud.fulfilment.zone): b"%(day)s",
        **({str(order.payment_intent): b"%(intent)s"} if order.payment_intent else {}),
        **dict.fromkeys(order.credit_ids, b"%(credit)s"),
    }
    offsets: set[int] = set()

    def opened(record: bytes) -> bytes:
        record = record.replace(b"%", b"%%")
        for name, left_open in names.items():
            record = record.replace(name.encode(), left_open)

        def at(found: "re.Match[bytes]") -> bytes:
            offset = int(found[0]) - began_ms
            offsets.add(offset)
            return b"%%(t%d)s" % offset

        return _TIME.sub(at, record)

    return Template(
        order=opened(raw),
        history=tuple(map(opened, history)),
        bookings=tuple(
            (serial, lines[0].at_ms - began_ms, opened(record))
            for (serial, lines), record in zip(booked.items(), bookings, strict=True)
        ),
        offsets=tuple(sorted(offsets)),
        due_after_ms=None if order.due_at_ms is None else order.due_at_ms - began_ms,
        is_paid=order.payment_intent is not None,
        has_credit=bool(order.credit_ids),
    )


def name_of(machine: int) -> str:
    """A machine's id."""
    return f"cab-{machine:05}"


def place_of(machine: int) -> str:
    """Where it stands: some places are large, most are small."""
    return f"Hall {int(PLACES * (machine * 7919 % 9973 / 9973) ** 2):03}"


def make(path: Path, orders: int, machines: int, now_ms: int = START_MS + DAYS * DAY_MS) -> None:
    """Make the file; its last order is made just before `now_ms`."""
    chance = random.Random(1)
    with closing(SqliteStore(path)) as store:
        _machines(store, path, machines, now_ms, chance)
        _papers(store, now_ms, machines, chance)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("synchronous = OFF", "cache_size = -1000000"):
            connection.execute(f"PRAGMA {pragma}")
        # As a file from before there were any: opening it makes them of the lines.
        connection.execute("DROP TABLE tallies")
        connection.execute("DROP TABLE lines_at")
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for number, made in enumerate(_orders(orders, machines, now_ms, chance), 1):
            for table, row in made:
                rows.setdefault(table, []).append(row)
            if number % 20_000 == 0 or number == orders:
                connection.execute("BEGIN")
                for table, several in rows.items():
                    connection.executemany(_INSERT[table], several)
                connection.execute("COMMIT")
                rows.clear()
    SqliteStore(path).close()


_INSERT = {
    "orders": "INSERT INTO orders (order_id, code, version, machine_id, created_at_ms, due_at_ms, record) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)",
    "history": "INSERT INTO history (order_id, version, record) VALUES (?, ?, ?)",
    "payments": "INSERT INTO payments (payment_intent, order_id) VALUES (?, ?)",
    "credits": "INSERT INTO credits (credit_id, order_id) VALUES (?, ?)",
    "takings": "INSERT INTO takings (order_id, serial, day, record) VALUES (?, ?, ?, ?)",
}


def _orders(
    number: int, machines: int, now_ms: int, chance: random.Random
) -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
    every = templates()
    weights = [kind[3] for kind in KINDS]
    first_ms = now_ms - DAYS * DAY_MS
    days = [books.day_of(first_ms + day * DAY_MS, SITE_ZONE) for day in range(DAYS + 2)]
    begin_ms = first_ms - first_ms % DAY_MS
    for serial, template in enumerate(chance.choices(every, weights, k=number)):
        at_ms = first_ms + int((now_ms - 400_000 - first_ms) * serial / number)
        machine = chance.randrange(machines)
        order_id = f"ord_{at_ms:012x}7{serial:019x}"
        values = {b"t%d" % offset: b"%d" % (at_ms + offset) for offset in template.offsets}
        values[b"order"], values[b"machine"] = order_id.encode(), name_of(machine).encode()
        values[b"place"], values[b"day"] = place_of(machine).encode(), days[(at_ms - begin_ms) // DAY_MS].encode()
        intent, credit_id = f"pi_{serial:024x}", f"{at_ms:012x}-{serial:020x}"
        values[b"intent"], values[b"credit"] = intent.encode(), credit_id.encode()
        due_at_ms = None if template.due_after_ms is None else at_ms + template.due_after_ms
        made: list[tuple[str, tuple[Any, ...]]] = [
            (
                "orders",
                (
                    order_id,
                    code_of(order_id),
                    len(template.history),
                    name_of(machine),
                    at_ms,
                    due_at_ms,
                    template.order % values,
                ),
            )
        ]
        made += [
            ("history", (order_id, version, entry % values)) for version, entry in enumerate(template.history, 1)
        ]
        day = days[(at_ms - begin_ms) // DAY_MS]
        made += [("takings", (order_id, n, day, record % values)) for n, _, record in template.bookings]
        if template.is_paid:
            made.append(("payments", (intent, order_id)))
        if template.has_credit:
            made.append(("credits", (credit_id, order_id)))
        yield made


SITE_ZONE = Site().cloud.fulfilment.zone


def _machines(store: SqliteStore, path: Path, machines: int, now_ms: int, chance: random.Random) -> None:
    """Machines, what their agents said last, and what they were in the last days."""
    site = Site()
    offers = tuple(
        Offer(offer_id=f"c{n}-{amount}myr", credits=n, amount_minor=amount, currency="myr")
        for n, amount in ((1, 100), (5, 400), (12, 1000))
    )
    site.say_status(MACHINE)
    said = site.store.presence(MACHINE)
    assert said is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for number in range(machines):
            name = name_of(number)
            machine = Machine(
                machine_id=name,
                version=1,
                name=f"Machine number {number}",
                location=place_of(number),
                offers=offers,
                created_at_ms=now_ms - DAYS * DAY_MS,
            )
            connection.execute("INSERT INTO machines VALUES (?, 1, ?)", (name, records.encode(machine)))
            fate = chance.random()
            if fate < 0.01:
                continue  # it was never heard
            stated_ms = now_ms - (chance.randrange(50_000) if fate < 0.97 else 3_600_000)
            presence = msgspec.structs.replace(
                said,
                machine_id=name,
                ready=fate < 0.94,
                reason="" if fate < 0.94 else "the door is open",
                stated_at_ms=stated_ms,
                heard_at_ms=stated_ms,
                alive_at_ms=stated_ms,
                due_at_ms=stated_ms + 600_000,
            )
            connection.execute(
                "INSERT INTO presences (machine_id, version, due_at_ms, record) VALUES (?, 1, ?, ?)",
                (name, presence.due_at_ms, records.encode(presence)),
            )
            for change in range(CHANGES_OF_A_MACHINE):
                at_ms = now_ms - (change + 1) * DAY_MS // 3 - number
                found = StateChange(
                    machine_id=name, at_ms=at_ms, state="not ready" if change % 2 else "ready", reason=""
                )
                connection.execute(
                    "INSERT INTO state_changes VALUES (?, ?, ?)", (name, at_ms, records.encode(found))
                )
        connection.execute("COMMIT")


def _papers(store: SqliteStore, now_ms: int, machines: int, chance: random.Random) -> None:
    """Alerts, the audit log, and the days' reports."""
    for number in range(ALERTS):
        subject = name_of(chance.randrange(machines))
        store.raise_alert(
            condition("machine_silent", f"{subject}", f"{subject} is silent.", now_ms - number * 60_000)
        )
        store.raise_alert(alert("meter", subject, f"{subject}: the meter counted less.", now_ms - number * 60_000))
    for number in range(DAYS):
        day = books.day_of(now_ms - number * DAY_MS, SITE_ZONE)
        store.put_day_report(DayReport(day=day, version=1, began_ms=now_ms), 0)
    with store._file.writing() as connection:
        for number in range(AUDITED):
            entry = AuditEntry(
                entry_id=f"{now_ms - number * 60_000:014}{number:08}",
                at_ms=now_ms - number * 60_000,
                who=f"user {number % 7}",
                act=Act.MACHINE_SET,
                on=name_of(chance.randrange(machines)),
            )
            connection.execute(
                "INSERT INTO audit (entry_id, at_ms, who, subject, record) VALUES (?, ?, ?, ?, ?)",
                (entry.entry_id, entry.at_ms, entry.who, entry.on, records.encode(entry)),
            )
