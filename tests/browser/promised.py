"""What can become of a purchase or a tab, made to happen: each leads to the page on which the player reads it."""

import re
from collections.abc import Callable

from arcade_cloud.domain.events import Due
from arcade_cloud.domain.people import Actor, Role
from support.orders import only_payment
from support.site import Site

OWNER = Actor(name="ann", role=Role.OWNER, second_factor=True)
HOUR_MS = 3_600_000


def _order(site: Site, method: str | None = "card", delivered: int | None = 6) -> str:
    """An order of three times two credits. `delivered`: what the machine reports; None: nothing yet."""
    site.say_status("cab-01")
    order_id = site.begin(3)
    if method is not None:
        site.pay(order_id, method)
    if delivered is not None:
        site.say_ack(order_id, delivered=delivered)
    site.deliver_events()
    return order_id


def _page(order_id: str) -> str:
    return f"/m/cab-01/o/{order_id}"


def delivered(site: Site) -> str:
    """Paid for, and all credits were added."""
    return _page(_order(site))


def offline(site: Site) -> str:
    """The machine has lost its network, so nobody can pay."""
    site.say_status("cab-02", state="offline", ready=False)
    return "/m/cab-02"


def partial(site: Site) -> str:
    """Two of six credits were added, out of a hold."""
    return _page(_order(site, delivered=2))


def declined(site: Site) -> str:
    """The bank has declined the card."""
    return _page(_order(site, "card_declined", None))


def abandoned(site: Site) -> str:
    """The player has left the payment page, and it has expired."""
    order_id = _order(site, None, None)
    payment = only_payment(site.order(order_id))
    assert payment.checkout is not None
    site.payments.stripe.world.expire(payment.checkout.session_id)
    site.deliver_events()
    return _page(order_id)


def confirming(site: Site) -> str:
    """The bank confirms the payment later."""
    return _page(_order(site, "fpx_later", None))


def _banks_word(site: Site, *, succeed: bool) -> str:
    before = {money["id"] for money in site.payments.stripe.money()}
    order_id = _order(site, "fpx_later", None)
    (intent,) = {money["id"] for money in site.payments.stripe.money()} - before
    site.payments.stripe.settle_async(intent, succeed=succeed)
    site.deliver_events()
    return order_id


def confirmed(site: Site) -> str:
    """The bank has confirmed it, and the credits were added."""
    order_id = _banks_word(site, succeed=True)
    site.say_ack(order_id, delivered=6)
    site.deliver_events()
    return _page(order_id)


def not_confirmed(site: Site) -> str:
    """The bank has not confirmed it."""
    return _page(_banks_word(site, succeed=False))


def refunded(site: Site) -> str:
    """The operator has given all of it back."""
    order_id = _order(site)
    site.desk.acts.refund(OWNER, order_id, reason="the game froze", keep_minor=0)
    site.deliver_events()
    return _page(order_id)


def disputed(site: Site) -> str:
    """The cardholder has asked the bank for the money."""
    order_id = _order(site)
    site.payments.stripe.open_dispute(site.order(order_id).payment_intent or "")
    site.deliver_events()
    return _page(order_id)


def claimed(site: Site) -> str:
    """The player has said that one credit did not arrive, and the operator is to decide."""
    order_id = _order(site)
    site.player_claims.claim(order_id, 1, "phone")
    return _page(order_id)


# --- on a tab --------------------------------------------------------------------------------------------


def _tab(site: Site, *delivered: int, finish: bool = True) -> str:
    """A tab with plays of two credits each, of which so many were delivered."""
    site.say_status("cab-01")
    order, secret = site.cloud.tabs.begin("cab-01", 2000)
    site.pay(order.order_id)
    for count in delivered:
        site.say_status("cab-01")
        machine = site.store.machine("cab-01")
        assert machine is not None
        (offer, *_) = machine.offers
        tab = site.order(order.order_id)
        site.cloud.tabs.draw(secret, site.cloud.tabs.ticket(site.cloud.tabs.freshen(tab), machine, offer))
        site.say_last_ack(order.order_id, delivered=count)
    if finish:
        site.cloud.tabs.finish(secret)
    site.deliver_events()
    return order.order_id


def tab_open(site: Site) -> str:
    """Two plays, of which one was not delivered; the tab is open."""
    return _page(_tab(site, 2, 0, finish=False))


def tab_finished(site: Site) -> str:
    """Finished by the player after two plays."""
    return _page(_tab(site, 2, 2))


def tab_timed_out(site: Site) -> str:
    """Nobody played on it for an hour."""
    order_id = _tab(site, 2, finish=False)
    site.now_ms += HOUR_MS + 1_000
    site.cloud.fulfilment.move(order_id, Due())
    site.deliver_events()
    return _page(order_id)


def tab_hold_gone(site: Site) -> str:
    """Its hold was cancelled at Stripe before anything was played."""
    order_id = _tab(site, finish=False)
    site.payments.stripe.world.cancel(site.order(order_id).payment_intent or "")
    site.deliver_events()
    return _page(order_id)


def tab_refunded(site: Site) -> str:
    """The operator has given one of two plays back."""
    order_id = _tab(site, 2, 2)
    site.desk.acts.refund(OWNER, order_id, reason="the game froze", play=1)
    site.deliver_events()
    return _page(order_id)


def tab_disputed(site: Site) -> str:
    """The cardholder has asked the bank for what was captured."""
    order_id = _tab(site, 2)
    site.payments.stripe.open_dispute(site.order(order_id).payment_intent or "")
    site.deliver_events()
    return _page(order_id)


def tab_claimed(site: Site) -> str:
    """The player has said that a credit of the first play did not arrive."""
    order_id = _tab(site, 2, 2)
    site.player_claims.claim(order_id, 1, "phone", play=1)
    return _page(order_id)


WHAT: dict[str, Callable[[Site], str]] = {
    name: made
    for name, made in globals().items()
    if callable(made) and re.fullmatch("[a-z][a-z_]+", name) and getattr(made, "__module__", "") == __name__
}
