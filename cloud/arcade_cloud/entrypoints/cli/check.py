"""`arcade-cloud check`: try the settings and every connection, each with a verdict."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.database import is_missing, place_of
from arcade_cloud.errors import ArcadeError, PaymentsRefused

if TYPE_CHECKING:
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.config.settings import Settings


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `check`."""
    check = commands.add_parser("check", help="try the settings and every connection, each with a verdict")
    check.set_defaults(run=_check)


def _check(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.config.settings import warnings

    print("ok    settings")
    for warning in warnings(settings):
        print(f"warn  {warning}")
    failed = False
    with _on_some_database(settings) as settings, build(settings) as cloud:
        for name, verdict in verdicts(cloud):
            failed = failed or verdict is not None
            print(f"ok    {name}" if verdict is None else f"FAIL  {name}: {verdict}")
    return 1 if failed else 0


@contextmanager
def _on_some_database(settings: "Settings") -> Iterator["Settings"]:
    """The settings, with a database for the moment where theirs is not there yet: a look makes nothing."""
    if not is_missing(settings):
        print(f"ok    the database: {place_of(settings)}")
        yield settings
        return
    print(f"warn  there is no database {place_of(settings)} yet; `arcade-cloud serve` or `machine add` makes it")
    with TemporaryDirectory() as folder:
        yield replace(settings, database_url=f"sqlite:///{folder}/none.sqlite")


def verdicts(cloud: "Cloud") -> Iterator[tuple[str, str | None]]:
    """Try one part after the other: its name, and what is wrong with it or None."""
    from arcade_cloud.adapters.mqtt import try_listening

    yield "database", _database(cloud)
    yield "machines", None if cloud.store.machines() else "none is registered: run arcade-cloud machine add"
    stripe = _stripe(cloud)
    yield "Stripe", stripe
    yield from _clock(cloud)
    if stripe is None:
        yield from _offers(cloud)
        events = _events(cloud)
        yield "Stripe, events", events
        if events is None:
            yield _webhooks(cloud)
        yield "Stripe, balance", _balance(cloud)
    yield "broker, sending", _broker(cloud)
    yield "broker, listening", try_listening(cloud.settings.broker)


def _database(cloud: "Cloud") -> str | None:
    """Write something: a disk that is full or read-only can still be read."""
    try:
        cloud.store.form()  # refused where a newer version has upgraded it
        cloud.store.note_seen(f"check:{cloud.services.fulfilment.now_ms()}", cloud.services.fulfilment.now_ms())
    except ArcadeError as error:
        return str(error)
    return None


def _stripe(cloud: "Cloud") -> str | None:
    try:
        cloud.services.fulfilment.payments.check()
    except ArcadeError as error:
        return str(error)
    return None


def _clock(cloud: "Cloud") -> Iterator[tuple[str, str | None]]:
    """How far this host's clock is off Stripe's, if Stripe has just answered."""
    from arcade_cloud.domain.clocks import TOLD_OFF_MS, off_text

    off_ms = cloud.services.fulfilment.payments.clock_off_ms()
    if off_ms is None:
        return
    text = f"{off_text(off_ms)} Stripe's"
    wrong = f"it is {text}: set it right (timedatectl), or payments go back as too late"
    yield f"clock ({text})", wrong if abs(off_ms) >= TOLD_OFF_MS else None


def _offers(cloud: "Cloud") -> Iterator[tuple[str, str | None]]:
    """Try each offer of each machine, by what Stripe publishes and by the prices that it shows."""
    from arcade_cloud.domain.machines import stage
    from arcade_cloud.domain.offers import mixed_currencies
    from arcade_cloud.services.unsellable import too_cheap

    unsellable, payments = cloud.services.sales.unsellable, cloud.services.fulfilment.payments
    machines = cloud.store.machines()
    price_id = cloud.settings.stripe_price_id
    if price_id is not None:
        try:
            payments.read_price(price_id)
        except ArcadeError as error:
            users = ", ".join(machine.machine_id for machine in machines if not machine.offers)
            yield "STRIPE_PRICE_ID", f"{error} (sold by {users or 'no machine'})"
        else:
            yield "STRIPE_PRICE_ID", None
    now_ms = cloud.services.fulfilment.now_ms()
    for machine in machines:
        if stage(machine, None, now_ms) == "retired":
            continue
        try:
            faults = unsellable.faults(machine.offers)
        except ArcadeError as error:
            faults = [str(error)]
        if not machine.offers and price_id is None:
            faults.append("it has no offers, and STRIPE_PRICE_ID is not set")
        remarks = (mixed_currencies(machine.offers), *map(too_cheap, machine.offers))
        faults += [text for text in remarks if text is not None]
        yield f"machine {machine.machine_id}, offers", "; ".join(faults) or None


def _events(cloud: "Cloud") -> str | None:
    from arcade_cloud.services.reconciliation import PAID, PERMISSION

    try:
        cloud.services.fulfilment.payments.read_events(PAID, since_ms=cloud.services.fulfilment.now_ms())
    except PaymentsRefused as error:
        return f"{error} ({PERMISSION}): without it, a payment whose webhook is lost may be kept without a credit"
    except ArcadeError as error:
        return str(error)
    return None


def _balance(cloud: "Cloud") -> str | None:
    from arcade_cloud.services.daily_reconciliation import PERMISSIONS

    now_ms, balance = cloud.services.fulfilment.now_ms(), cloud.daily.balance
    try:
        balance.read_entries(since_ms=now_ms)
        balance.read_payouts(since_ms=now_ms, until_ms=now_ms + 1000)
    except PaymentsRefused as error:
        return f"{error} ({PERMISSIONS}): without it, takings lack Stripe's fees, and no day is reconciled"
    except ArcadeError as error:
        return str(error)
    return None


def _webhooks(cloud: "Cloud") -> tuple[str, str | None]:
    """Whether Stripe's webhooks arrive, by what was noted here and by what Stripe lists."""
    from arcade_cloud.services.reconciliation import PAID
    from arcade_cloud.services.webhook_watch import DAY_MS, missing, said

    now_ms, payments = cloud.services.fulfilment.now_ms(), cloud.services.fulfilment.payments
    try:
        noted = cloud.store.webhooks()
        listed = payments.read_events(PAID, since_ms=now_ms - DAY_MS).reports
        unseen = [report for report in listed if not cloud.store.is_seen(report.event_id)]
    except ArcadeError as error:
        return "Stripe, webhooks", str(error)
    wrong = missing(unseen, noted, now_ms)
    where = f"{cloud.settings.public_base_url}/webhook"
    text = f"{wrong}: is {where} an endpoint at Stripe, and STRIPE_WEBHOOK_SECRET its own secret?"
    return f"Stripe, webhooks ({said(noted)})", None if wrong is None else text


def _broker(cloud: "Cloud") -> str | None:
    from arcade_cloud.domain.events import Outcome

    wrong = cloud.publisher.check()
    if wrong is not None:
        return wrong
    outcome = cloud.services.sender.echo()
    if outcome in {Outcome.CONFIRMED, Outcome.NOBODY}:
        return None
    if outcome is Outcome.REFUSED:
        return "it refuses our messages: let MQTT_USERNAME publish to arcade/cloud/echo and arcade/machine/#"
    return "it took a message and never confirmed it"
