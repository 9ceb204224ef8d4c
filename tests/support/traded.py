"""A site that has traded for two weeks, behind a real server: every page of the console has something to show."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.people import Role
from arcade_cloud.services.overview import SLOW_MS
from support.console import Console
from support.served import serve
from support.site import Site

DAY_MS = 86_400_000
FIVE = Offer(offer_id="c5-800myr", credits=5, amount_minor=800, currency="myr")
LONG_ID = "m" * 64


@dataclass(frozen=True)
class Served:
    """The site, a person who has signed in, where it is, and an order of which a part was given back."""

    site: Site
    console: Console
    url: str
    order_id: str


@contextmanager
def traded() -> Iterator[Served]:
    """Trade for two weeks, and serve."""
    site = Site(public_base_url="http://127.0.0.1:5000")
    names = {"cab-02": "Dance Dance Revolution SuperNOVA", "cab-03": "W" * 80, "cab-04": "Daytona USA"}
    for machine_id, name in names.items():
        site.add_machine(
            machine_id, name=name, location="The shopping mall at the end of the road", offers=(FIVE,)
        )
    site.add_machine(LONG_ID, name="")
    order_id = ""
    site.now_ms -= 14 * DAY_MS
    for day in range(15):
        for machine_id in names:
            site.say_status(machine_id, ready=day % 3 > 0, reason="the coin lock-out is on")
            site.say_status(machine_id)
            order_id = site.cloud.sales.begin_checkout(machine_id, offer_id=FIVE.offer_id, quantity=1).order_id
            site.pay(order_id)
            # The meter of one of them counts a coin that somebody has thrown in.
            registered = 5 - day % 2 + (day == 12) if machine_id == "cab-04" else None
            site.say_ack(order_id, "done", 5 - day % 2, registered=registered)
            site.deliver_events()
        site.now_ms += DAY_MS if day < 14 else 0
    site.cloud.operations.refund(order_id, by="ann", reason="The button sticks", keep_minor=100)
    site.deliver_events()
    test = site.cloud.operations.test_pulse("cab-04", 1, by="ann")
    site.say_ack(test.order_id, "done", 1, registered=1)
    waiting = site.cloud.sales.begin_checkout("cab-04", offer_id=FIVE.offer_id, quantity=1).order_id
    site.pay(waiting)
    site.now_ms += SLOW_MS + 1
    site.add_machine("cab-03", closure=Closure(since_ms=site.now_ms, reason="W" * 120), name="W" * 80)
    site.say_status("cab-04", ready=False, reason="the door is open")
    site.store.raise_alert(alert("meter", "cab-04", "The meter missed coins. " * 20, site.now_ms))
    shop = site.payments.stripe.visit_shop(200, metadata={"order_id": waiting}, held=True)
    site.payments.stripe.pay(shop)
    site.deliver_events()
    console = Console(site, Role.OWNER)
    console.post("/console/machines/cab-04/set", location="Mid Valley", contact="W" * 120)
    console.post("/console/keys", name="The kiosk at the door", scope="takings", machines="cab-02")
    console.post("/console/webhooks", url="https://club.example/arcade", event="play.delivered")
    refund_by_hand(site)
    site.payments.stripe.world.pay_out()
    console.post("/console/books/run", day=site.cloud.takings.today().isoformat())
    console.post("/console/people", name="bob", role="technician", full_name="W" * 80, password="W" * 40)
    port, end = serve(site.app)
    try:
        yield Served(site, console, f"http://127.0.0.1:{port}", order_id)
    finally:
        end()


def refund_by_hand(site: Site) -> None:
    """Somebody gives a player something back at Stripe, so the books differ from it."""
    order_id = site.cloud.sales.begin_checkout("cab-02", offer_id=FIVE.offer_id, quantity=1).order_id
    site.pay(order_id)
    site.say_ack(order_id, "done", 5)
    site.deliver_events()
    payment_intent = site.order(order_id).payment_intent
    assert payment_intent is not None
    site.payments.stripe.refund_by_hand(payment_intent, 100)
    site.deliver_events()
