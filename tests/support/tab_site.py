"""A site with tabs, and a player on one: for tests of pages, of the console and of the books."""

from typing import Any

from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.domain.tab import TabLimit
from arcade_shared.messages import FINAL_ACK_STATES, Ack
from arcade_shared.topics import machine_topic
from support.site import Site

TWO = Offer(offer_id="two", credits=1, amount_minor=200, currency="myr")
LIMIT = TabLimit(2000, "myr")


class TabSite(Site):
    """`cab-01` and `cab-02` sell a play for RM 2.00, also on a tab of RM 20.00."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"tab_limits": (LIMIT,), **settings})
        for machine_id in ("cab-01", "cab-02"):
            self.add_machine(
                machine_id, name=f"Game {machine_id}", offers=(TWO,), location=f"Hall {machine_id[-1]}"
            )
            self.say_status(machine_id)
        self.secret = ""

    @property
    def tab(self) -> Order:
        """The player's tab, as it is on record."""
        found = self.cloud.tabs.found(self.secret)
        assert found is not None
        return found

    def open_tab(self) -> Order:
        """Have a player open a tab at cab-01."""
        order, self.secret = self.cloud.tabs.begin("cab-01", LIMIT.amount_minor)
        self.pay(order.order_id)
        assert self.tab.is_open_tab
        return self.tab

    def tap(self, machine_id: str = "cab-01") -> Credit:
        """Have the player tap at a machine's page."""
        self.say_status(machine_id)
        machine = self.store.machine(machine_id)
        assert machine is not None
        ticket = self.cloud.tabs.ticket(self.cloud.tabs.freshen(self.tab), machine, machine.offers[0])
        return self.cloud.tabs.draw(self.secret, ticket)[1]

    def say_ack_of(self, credit: Credit, delivered: int | None = None, state: Any = "done") -> None:
        """Have the credit's machine report."""
        command = credit.command
        assert command is not None
        payload = self._sealed(
            credit.machine_id,
            "ack",
            Ack,
            credit_id=command.credit_id,
            installation=command.installation,
            state=state,
            final=state in FINAL_ACK_STATES,
            credits=credit.count,
            delivered=credit.count if delivered is None else delivered,
            uncertain=0,
            reason="",
        )
        self.dependencies.messages.take_in(machine_topic(credit.machine_id, "ack"), payload)

    def play(self, machine_id: str = "cab-01") -> Credit:
        """A tap, and the machine pulses."""
        credit = self.tap(machine_id)
        self.say_ack_of(credit)
        return credit

    def finish(self) -> Order:
        """The player has finished; the money moves."""
        self.cloud.tabs.finish(self.secret)
        self.deliver_events()
        return self.tab
