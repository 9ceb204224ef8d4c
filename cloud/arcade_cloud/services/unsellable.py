"""What Stripe refuses to sell: told to a person, not offered to players again for a while, refused when entered.

The condition `unsellable` is about one offer of one machine, or about the machine whose price cannot be read.
Where Stripe refuses the amount, it is about that quantity too: two of an offer may be sold where one is too cheap.
It ends when the same is sold, or when the machine's offers are changed.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer, currency_of, format_amount
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.errors import PaymentsError, PaymentsRefused
from arcade_cloud.ports.payments import Payments
from arcade_cloud.services.alerts import SHORT_IDS, Alerts

logger = logging.getLogger(__name__)

# What Stripe has refused is offered to players again after this.
AGAIN_MS = 5 * 60_000
# More than an operator's offers; only wrong prices and amounts are kept.
AT_MOST = 1000
_ABOUT_THE_AMOUNT = frozenset({"amount_too_small", "amount_too_large"})


@dataclass(frozen=True, kw_only=True)
class Unsellable:
    """Begins and ends the condition `unsellable`. What was refused lately is known to this process only."""

    alerts: Alerts
    payments: Payments
    now_ms: Callable[[], int]
    monotonic_ms: Callable[[], int]
    _refused_ms: dict[str, int] = field(default_factory=dict, repr=False)

    def refused(self, machine: Machine, offer: Offer | None, quantity: int, error: PaymentsRefused) -> None:
        """Stripe has refused to sell `quantity` of an offer, or to show the machine's price."""
        subject = _subject(machine, offer, quantity if error.code in _ABOUT_THE_AMOUNT else None)
        if len(self._refused_ms) < AT_MOST or subject in self._refused_ms:
            self._refused_ms[subject] = self.monotonic_ms()
        if machine.closed(self.now_ms()) is not None:
            return  # nobody can buy it anyway
        what = "the price in STRIPE_PRICE_ID"
        if offer is not None:
            price = format_amount(offer.amount_minor * quantity, offer.currency)
            what = f"to sell {offer.credits * quantity} credits for {price} (offer {offer.offer_id})"
        text = (
            f"Players cannot pay for machine {machine.machine_id}: Stripe refuses {what}. {error}. Run "
            "arcade-cloud check, and correct the price, the offer (arcade-cloud machine set) or the key."
        )
        self.alerts.begin("unsellable", subject, text)

    def sold(self, machine: Machine, offer: Offer, quantity: int) -> None:
        """Stripe has opened a checkout."""
        for subject in {_subject(machine, *what) for what in ((None, None), (offer, None), (offer, quantity))}:
            self._refused_ms.pop(subject, None)
            self.alerts.end("unsellable", subject, f"Players can pay for machine {machine.machine_id} again.")

    def why_not(self, machine: Machine, offer: Offer, quantity: int, words: Words = ENGLISH) -> str | None:
        """Why players are not offered this now, in a sentence; None if they are."""
        late_ms = self.monotonic_ms() - AGAIN_MS
        lately = any(
            self._refused_ms.get(_subject(machine, offer, number), late_ms) > late_ms
            for number in (None, quantity)
        )
        if not lately:
            return None
        return words.text("This cannot be paid for at the moment. The operator has been told.")

    def offers_changed(self, machine: Machine) -> None:
        """The machine has other offers now: what was refused is no longer sold."""
        self._end(machine, f"The offers of machine {machine.machine_id} were changed.")

    def closed(self, machine: Machine) -> None:
        """The machine is out of service or retired: nothing is sold there."""
        self._end(machine, f"Machine {machine.machine_id} is out of service.")

    def _end(self, machine: Machine, text: str) -> None:
        for alert in self.alerts.store.standing_alerts(SHORT_IDS):
            if alert.kind == "unsellable" and alert.lasts and alert.subject.split(" ")[0] == machine.machine_id:
                self.alerts.end("unsellable", alert.subject, text)

    def faults(self, offers: Sequence[Offer]) -> list[str]:
        """What Stripe would refuse of these offers, or sell at another price than they say: a sentence each.

        Raises:
            PaymentsUnavailable: Stripe gives no verdict about a price.
        """
        found = []
        for offer in offers:
            fault = self._fault(offer)
            if fault is not None:
                found.append(f"offer {offer.offer_id}: {fault}")
        return found

    def _fault(self, offer: Offer) -> str | None:
        currency = currency_of(offer.currency)
        if not currency.is_known:
            return f"Stripe takes no payments in {offer.currency.upper()}"
        if offer.amount_minor % currency.step_minor:
            step = format_amount(currency.step_minor, offer.currency)
            return f"Stripe moves {offer.currency.upper()} only in steps of {step}"
        if offer.price_id is None:
            return None
        try:
            price = self.payments.read_price(offer.price_id)
        except PaymentsRefused as error:
            return f"Stripe refuses the price {offer.price_id} ({error})"
        if (price.amount_minor, price.currency) != (offer.amount_minor, offer.currency):
            there, here = (format_amount(p.amount_minor, p.currency) for p in (price, offer))
            return f"the price {offer.price_id} is {there} at Stripe, not {here}: payments would be given back"
        return None

    def faults_if_known(self, offers: Sequence[Offer]) -> list[str]:
        """As `faults`, but without what Stripe does not say now."""
        try:
            return self.faults(offers)
        except PaymentsError as error:
            logger.warning("the offers could not be compared with Stripe: %s", error)
            return []


def too_cheap(offer: Offer) -> str | None:
    """Why one of this offer costs too little, where Stripe publishes the least; None if it does not."""
    least_minor = currency_of(offer.currency).least_minor
    if least_minor is None or offer.amount_minor >= least_minor:
        return None
    price, least = (format_amount(amount, offer.currency) for amount in (offer.amount_minor, least_minor))
    return f"offer {offer.offer_id}: {price} is less than {least}, the least that Stripe charges"


def _subject(machine: Machine, offer: Offer | None, quantity: int | None) -> str:
    if offer is None:
        return machine.machine_id
    which = f"{machine.machine_id} {offer.offer_id}"
    return which if quantity is None else f"{which} x{quantity}"
