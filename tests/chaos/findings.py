"""Gathers what was seen outside, once everything has stopped: edge logs, journals, Stripe's books, messages."""

import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.books import Sums, total
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.order import Tab as OpenedTab
from arcade_edge.simulator.cabinet import read_edge_log
from arcade_sandbox.errors import SystemFailed
from arcade_sandbox.stripe.world import StripeWorld
from arcade_sandbox.system import Cabinet
from chaos.plant import PROFILE, Plant
from chaos.players import Deeds
from chaos.shops import KEYS, Ledger
from chaos.verdict import FINAL, Evidence, Foreign, Line, Paid, Pulse, Sold, Tab, Word
from chaos.witness import Witness
from support.orders import only_delivery, resolved_by

# More than any run makes.
_ALL = 1_000_000
# By whoever runs this.
_GRANTED_BY = re.compile("granted by command line [^:]+: ")
# `arcade-edge journal`: time, credit, state, delivered/credits, then what is uncertain.
_CREDIT = re.compile(r"^\S+ \S+Z ([0-9a-f-]{36}) (\w+) +(\d+)/(\d+)(, \d uncertain)?", re.MULTILINE)
_PAID_EVENTS = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
_MOVED_EVENTS = ("payment_intent.canceled", "charge.captured", "refund.created")
# A hold that was let go shows as canceled; a payment that failed, or was never decided, had no money.
_HAS_MONEY = frozenset({"requires_capture", "succeeded"})
_HAD_MONEY = _HAS_MONEY | {"canceled"}
_FINAL_STATES = frozenset({"done", "refused", "revoked"})


def open_store(plant: Plant) -> SqliteStore:
    """The clouds' store, to look at."""
    return SqliteStore(plant.system.folder / "cloud.sqlite")


def orders(store: SqliteStore) -> list[Order]:
    """All orders."""
    return store.recent_orders(_ALL)


def gather(
    plant: Plant, witness: Witness, deeds: Deeds, away: Mapping[str, list[tuple[float, float]]]
) -> Evidence:
    """Everything, to be judged. The agents must have stopped."""
    store = open_store(plant)
    try:
        found = orders(store)
        booked = {order.order_id: total(store.booked(order.order_id)) for order in found}
        raised = store.recent_alerts(_ALL)
        alerts: dict[str, set[str]] = {}
        for alert in raised:
            alerts.setdefault(alert.subject, set()).add(alert.kind)
        reasons = {
            order.order_id: _GRANTED_BY.sub("", store.history(order.order_id)[0].text, count=1)
            for order in found
            if order.kind == "grant"
        }
    finally:
        store.close()
    cabinets = plant.system.cabinets.values()
    return Evidence(
        lines=[_line(cabinet, away.get(cabinet.machine_id, [])) for cabinet in cabinets],
        words=[*witness.words(), *(word for cabinet in cabinets for word in journal(cabinet))],
        commands=witness.commands(),
        orders=[
            _sold(order, alerts.get(order.order_id, set()), booked[order.order_id])
            for order in found
            if order.tab is None
        ],
        tabs=[
            _tab(order, alerts.get(order.order_id, set()), booked[order.order_id])
            for order in found
            if order.tab is not None
        ],
        visits={visit.session: visit for visit in deeds.visits},
        payments=own_payments(plant.system.stripe, deeds.shops),
        bought=dict(deeds.bought),
        granted=frozenset(order_id for order_id, reason in reasons.items() if reason in deeds.grants),
        refunds=dict(deeds.refunds),
        alerts=[(alert.kind, f"{alert.subject}: {alert.text}") for alert in raised],
        foreign=foreign_payments(plant.system.stripe, deeds.shops),
        unclaimed=frozenset(alert.subject for alert in raised if alert.kind == "unclaimed"),
        min_pulse_ms=PROFILE.min_pulse_ms,
        min_gap_ms=PROFILE.min_gap_ms,
    )


def own_payments(stripe: StripeWorld, ledger: Ledger) -> list[Paid]:
    """The payments that are not the shops', by the order that they name. Theirs may name the same one."""
    return [_paid(entry) for entry in stripe.money() if entry["session"] not in ledger.sold]


def foreign_payments(stripe: StripeWorld, ledger: Ledger) -> list[Foreign]:
    """The payments to other shops, by Stripe's books and its list of events, which says whose call made each."""
    dropped = set(stripe.delivery.report()["dropped"])
    # Of a slow bank's payment the last one tells that there is money.
    told = {event["data"]["object"]["id"]: event["id"] not in dropped for event in stripe.events(*_PAID_EVENTS)}
    moved: dict[str, list[str]] = defaultdict(list)
    for event in stripe.events(*_MOVED_EVENTS):
        if not str(event["request"]["idempotency_key"]).startswith(KEYS):
            moved[_payment_of(event)].append(event["type"])
    return [
        Foreign(
            payment_intent=entry["id"],
            looks=ledger.sold[entry["session"]],
            is_news=(
                entry["status"] in _HAS_MONEY
                and entry["id"] not in ledger.moved
                and told.get(entry["session"], False)
            ),
            moved=tuple(moved[entry["id"]]),
            left_minor=entry["held"] + entry["kept"],
        )
        for entry in stripe.money()
        if entry["session"] in ledger.sold
    ]


def _payment_of(event: Mapping[str, Any]) -> str:
    subject = event["data"]["object"]
    return str(subject["id"] if subject["object"] == "payment_intent" else subject["payment_intent"])


def final_after_s(plant: Plant) -> list[float]:
    """How long it took from each payment, or the end of a tab, until its order was final for the first time."""
    store = open_store(plant)
    found = []
    try:
        for order in orders(store):
            paid_ms = _paid_ms(order) if order.tab is None else _closed_ms(order.tab)
            if paid_ms is None:
                continue
            later = (e.at_ms for e in store.history(order.order_id) if e.state in FINAL and e.at_ms >= paid_ms)
            final_ms = next(later, None)
            if final_ms is not None:
                found.append((final_ms - paid_ms) / 1000)
    finally:
        store.close()
    return found


def journal(cabinet: Cabinet) -> list[Word]:
    """The final words that stand in an agent's journal, by the command that shows it. Raises SystemFailed."""
    command = ["-m", "arcade_edge.cli", "journal", "--config", str(cabinet.config), "--limit", str(_ALL)]
    shown = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if shown.returncode != 0:
        raise SystemFailed(f"{cabinet.machine_id}: the journal cannot be read: {shown.stderr}")
    return words_in(shown.stdout, cabinet.machine_id)


def words_in(shown: str, machine_id: str) -> list[Word]:
    """The final words in what `arcade-edge journal` prints."""
    return [
        Word(
            credit_id=credit_id,
            machine_id=machine_id,
            final=state in _FINAL_STATES,
            delivered=int(delivered),
            uncertain=int(bool(uncertain)),
        )
        for credit_id, state, delivered, _, uncertain in _CREDIT.findall(shown)
    ]


def _line(cabinet: Cabinet, away: list[tuple[float, float]]) -> Line:
    return read_line(cabinet.machine_id, cabinet.edge_log, away)


def read_line(machine_id: str, edge_log: Path, away: list[tuple[float, float]]) -> Line:
    """What one board saw, from the bare edges in its log."""
    to_wall_ms = time.time() * 1000 - time.monotonic_ns() / 1e6
    found: list[Pulse] = []
    began_ns: int | None = None
    for edge in read_edge_log(edge_log):
        if edge.active and began_ns is None:
            began_ns = edge.at_ns
        elif not edge.active and began_ns is not None:
            found.append(Pulse(began_ns / 1e6 + to_wall_ms, edge.at_ns / 1e6 + to_wall_ms))
            began_ns = None
    return Line(machine_id, found, began_ns is not None, away)


def _paid_ms(order: Order) -> int | None:
    """When its money arrived, or it was granted."""
    if order.payment is None:
        return only_delivery(order).drawn_at_ms
    return None if order.payment.arrival is None else order.payment.arrival.paid_at_ms


def _closed_ms(tab: OpenedTab) -> int | None:
    return None if tab.closing is None else tab.closing.at_ms


def _sold(order: Order, alerts: set[str], booked: Sums) -> Sold:
    return Sold(
        order_id=order.order_id,
        machine_id=order.machine_id,
        kind=order.kind,
        credits=order.ordered,
        amount_minor=order.amount_minor,
        state=order.state,
        credit_id=next(iter(order.credit_ids), None),
        credit_made_ms=_paid_ms(order) if order.credit_ids else None,
        delivered=order.delivered,
        resolved_by=resolved_by(order),
        alerts=frozenset(alerts),
        kept_minor=order.books.target_minor,
        booked_minor=booked.kept_minor,
        booked_credits=booked.delivered,
        payment_intent=order.payment_intent,
    )


def _tab(order: Order, alerts: set[str], booked: Sums) -> Tab:
    page = None if order.payment is None else order.payment.checkout
    return Tab(
        order_id=order.order_id,
        session=None if page is None else page.session_id,
        limit_minor=order.amount_minor,
        state=order.state,
        plays=[
            Sold(
                order_id=order.order_id,
                machine_id=credit.machine_id,
                kind="play",
                credits=credit.count,
                amount_minor=credit.price_minor,
                state=order.state,
                credit_id=None if credit.command is None else credit.command.credit_id,
                credit_made_ms=credit.drawn_at_ms,
                delivered=None if credit.resolution is None else credit.resolution.delivered,
                resolved_by="" if credit.resolution is None else credit.resolution.by,
            )
            for credit in order.credits
        ],
        alerts=frozenset(alerts),
        kept_minor=order.books.target_minor,
        booked_minor=booked.kept_minor,
        booked_credits=booked.delivered,
        delivered=order.delivered,
    )


def _paid(entry: Mapping[str, object]) -> Paid:
    metadata = entry["metadata"]
    return Paid(
        order_id=str(metadata.get("order_id", entry["id"])) if isinstance(metadata, dict) else str(entry["id"]),
        amount_minor=_whole(entry["amount"]),
        had_money=entry["status"] in _HAD_MONEY,
        held_minor=_whole(entry["held"]),
        kept_minor=_whole(entry["kept"]),
        refunded_minor=_whole(entry["refunded"]),
    )


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"no amount of money: {value!r}")
    return value
