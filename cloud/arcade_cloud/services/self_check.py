"""Trying every part of the cloud, each with a verdict: for `arcade-cloud check` and the console's settings."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from arcade_cloud.domain.clocks import TOLD_OFF_MS, off_text
from arcade_cloud.domain.events import Outcome
from arcade_cloud.domain.machines import stage
from arcade_cloud.domain.offers import mixed_currencies
from arcade_cloud.errors import ArcadeError, NotReady, PaymentsRefused
from arcade_cloud.ports.payments import Balance, Payments
from arcade_cloud.services import daily_reconciliation, reconciliation
from arcade_cloud.services.sales import Sales
from arcade_cloud.services.tabs import Tabs
from arcade_cloud.services.unsellable import too_cheap
from arcade_cloud.services.webhook_watch import DAY_MS, missing, said

_REACH = "see status.stripe.com, and whether this host reaches api.stripe.com"
_KEY = "put a key of the right account into STRIPE_API_KEY"
_BROKER = "see whether the broker runs, and whether EMQX_BROKER_URL, MQTT_USERNAME and MQTT_PASSWORD are its own"
NOT_TRIED = "not tried: what was tried before has taken too long"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of trying one part.

    Attributes:
        wrong: What is wrong with it; None if nothing is.
        todo: What to do, where `wrong` does not say so itself.
    """

    name: str
    wrong: str | None = None
    todo: str = ""


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """Tries everything. Nothing is changed by it.

    Attributes:
        payments: Stripe. For somebody who waits for a page, it does not wait long itself.
        sending: Says what is wrong with the connection to the broker; None if nothing is.
        listening: Says why messages would not come; None if they do.
    """

    sales: Sales
    tabs: Tabs
    payments: Payments
    balance: Balance
    sending: Callable[[], str | None]
    listening: Callable[[], str | None]
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def run(self, is_enough: Callable[[], bool]) -> list[Verdict]:
        """All verdicts, for a page. Only one page at a time is waited for.

        Args:
            is_enough: Asked before each part: whether to leave the rest untried.

        Raises:
            NotReady: Another page is waiting for its verdicts.
        """
        if not self._lock.acquire(blocking=False):
            raise NotReady("everything is being tried at this moment: look again in half a minute")
        try:
            found: list[Verdict] = []
            verdicts = self.verdicts()
            while not is_enough():
                verdict = next(verdicts, None)
                if verdict is None:
                    return found
                found.append(verdict)
            return [*found, Verdict("the rest", NOT_TRIED, "try again, or run arcade-cloud check")]
        finally:
            self._lock.release()

    def verdicts(self) -> Iterator[Verdict]:
        """Try one part after the other."""
        store = self.sales.fulfilment.store
        yield Verdict("database", self._database())
        if self.tabs.choices:
            yield Verdict("tabs", self._tabs())
        machines = store.machines()
        yield Verdict("machines", None if machines else "none is registered: run arcade-cloud machine add")
        stripe = self._stripe()
        yield stripe
        yield from self.clock()
        if stripe.wrong is None:
            yield from self.offers()
            events = self._events()
            yield Verdict("Stripe, events", events)
            if events is None:
                yield self._webhooks()
            yield Verdict("Stripe, balance", self._balance())
        for way, wrong in (("sending", self._sending), ("listening", self.listening)):
            text = wrong()
            yield Verdict(f"broker, {way}", text, "" if text is None else _BROKER)

    @property
    def _now_ms(self) -> int:
        return self.sales.fulfilment.now_ms()

    def _database(self) -> str | None:
        """Write something: a disk that is full or read-only can still be read."""
        store = self.sales.fulfilment.store
        try:
            store.form()  # refused where a newer version has upgraded it
            store.note_seen(f"check:{self._now_ms}", self._now_ms)
        except ArcadeError as error:
            return str(error)
        return None

    def _tabs(self) -> str | None:
        try:
            return self.tabs.why_none()
        except ArcadeError as error:
            return str(error)

    def _stripe(self) -> Verdict:
        try:
            self.payments.check()
        except PaymentsRefused as error:
            return Verdict("Stripe", str(error), _KEY)
        except ArcadeError as error:
            return Verdict("Stripe", str(error), _REACH)
        return Verdict("Stripe")

    def clock(self) -> Iterator[Verdict]:
        """How far this host's clock is off Stripe's, if Stripe has just answered."""
        off_ms = self.payments.clock_off_ms()
        if off_ms is None:
            return
        text = f"{off_text(off_ms)} Stripe's"
        wrong = f"it is {text}: set it right (timedatectl), or payments go back as too late"
        yield Verdict(f"clock ({text})", wrong if abs(off_ms) >= TOLD_OFF_MS else None)

    def offers(self) -> Iterator[Verdict]:
        """Try each offer of each machine, by what Stripe publishes and by the prices that it shows."""
        unsellable, price_id = self.sales.unsellable, self.sales.price_id
        machines = self.sales.fulfilment.store.machines()
        if price_id is not None:
            try:
                self.payments.read_price(price_id)
            except ArcadeError as error:
                users = ", ".join(machine.machine_id for machine in machines if not machine.offers)
                yield Verdict(
                    "STRIPE_PRICE_ID", f"{error} (sold by {users or 'no machine'})", "choose another price"
                )
            else:
                yield Verdict("STRIPE_PRICE_ID")
        now_ms = self._now_ms
        # What is too cheap for a payment of its own is sold on tabs.
        on_tabs = {choice.currency for choice in self.tabs.choices} if self._tabs() is None else set()
        for machine in machines:
            if stage(machine, None, now_ms) == "retired":
                continue
            try:
                faults = unsellable.faults(machine.offers)
            except ArcadeError as error:
                faults = [str(error)]
            if not machine.offers and price_id is None:
                faults.append("it has no offers, and STRIPE_PRICE_ID is not set")
            payable = [offer for offer in machine.offers if offer.currency not in on_tabs]
            remarks = (mixed_currencies(machine.offers), *map(too_cheap, payable))
            faults += [text for text in remarks if text is not None]
            name = f"machine {machine.machine_id}, offers"
            yield Verdict(name, "; ".join(faults), "change its offers") if faults else Verdict(name)

    def _events(self) -> str | None:
        try:
            self.payments.read_events(reconciliation.PAID, since_ms=self._now_ms)
        except PaymentsRefused as error:
            return (
                f"{error} ({reconciliation.PERMISSION}): without it, a payment whose webhook is lost may be kept "
                "without a credit"
            )
        except ArcadeError as error:
            return str(error)
        return None

    def _balance(self) -> str | None:
        now_ms = self._now_ms
        try:
            self.balance.read_entries(since_ms=now_ms)
            self.balance.read_payouts(since_ms=now_ms, until_ms=now_ms + 1000)
        except PaymentsRefused as error:
            permissions = daily_reconciliation.PERMISSIONS
            return f"{error} ({permissions}): without it, takings lack Stripe's fees, and no day is reconciled"
        except ArcadeError as error:
            return str(error)
        return None

    def _webhooks(self) -> Verdict:
        """Whether Stripe's webhooks arrive, by what was noted here and by what Stripe lists."""
        store, now_ms = self.sales.fulfilment.store, self._now_ms
        try:
            noted = store.webhooks()
            listed = self.payments.read_events(reconciliation.PAID, since_ms=now_ms - DAY_MS).reports
            unseen = [report for report in listed if not store.is_seen(report.event_id)]
        except ArcadeError as error:
            return Verdict("Stripe, webhooks", str(error))
        wrong = missing(unseen, noted, now_ms)
        where = f"{self.sales.base_url}/webhook"
        text = f"{wrong}: is {where} an endpoint at Stripe, and STRIPE_WEBHOOK_SECRET its own secret?"
        return Verdict(f"Stripe, webhooks ({said(noted)})", None if wrong is None else text)

    def _sending(self) -> str | None:
        wrong = self.sending()
        if wrong is not None:
            return wrong
        outcome = self.sales.fulfilment.sender.echo()
        if outcome in {Outcome.CONFIRMED, Outcome.NOBODY}:
            return None
        if outcome is Outcome.REFUSED:
            return "it refuses our messages: let MQTT_USERNAME publish to arcade/cloud/echo and arcade/machine/#"
        return "it took a message and never confirmed it"
