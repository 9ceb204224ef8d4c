"""Tabs: opened at a machine, played on with one tap, found again, finished."""

import re

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.order import Order
from arcade_cloud.errors import (
    BadRequest,
    InvariantBroken,
    NotReady,
    PageOutdated,
    StoreUnavailable,
    TabClosed,
    TryLater,
    UnknownMachine,
)
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.error_responses import status_of
from arcade_cloud.web.languages import words
from arcade_cloud.web.player import Pages, uncharged
from arcade_cloud.web.tab_cookie import TabCookie, check_form
from arcade_cloud.web.tab_pages import TabPages, refusal_text
from arcade_cloud.web.visitors import Visitors

_AMOUNT = re.compile(r"[0-9]{1,12}")
# A checkout that was begun so lately is gone on with, if the same is asked for again: a form that is sent twice.
_SAME_CHECKOUT_MS = 20 * 60_000


def routes(dependencies: Dependencies, visitors: Visitors) -> Blueprint:
    """`/m/<machine>/tab`, `/m/<machine>/play`, `/tab` and the paths below it."""
    blueprint = Blueprint("tab", __name__)
    pages, tab_pages = Pages(dependencies), TabPages(dependencies)
    tabs, cookie = dependencies.tabs, TabCookie(dependencies.settings)

    @blueprint.post("/m/<machine_id>/tab")
    def begin(machine_id: str) -> AnyResponse:
        """Send the player to Stripe, where the limit is held; or say why no tab can be opened now."""
        visitors.check_order(request)
        machine, limit = pages.known(machine_id), _amount(request.form.get("limit", ""))
        mine = tab_pages.here()
        if mine is not None and mine.is_open_tab:
            return redirect(url_for("player.machine", machine_id=machine.machine_id), 303)
        if mine is not None and _goes_on(mine, machine.machine_id, limit, dependencies.fulfilment.now_ms()):
            return redirect(mine.checkout_url or "", 303)
        try:
            order, secret = tabs.begin(machine.machine_id, limit, words=words())
        except NotReady as error:
            return pages.machine(machine, uncharged(str(error)), status_of(error))
        except UnknownMachine:
            raise
        except BadRequest as error:
            return pages.machine(
                machine, uncharged(words().text("This tab cannot be opened here.")), status_of(error)
            )
        if order.checkout_url is None:
            raise InvariantBroken(f"tab {order.order_id}: begun without a checkout")
        response = redirect(order.checkout_url, 303)
        cookie.keep(response, secret)
        return response

    @blueprint.post("/m/<machine_id>/play")
    def play(machine_id: str) -> AnyResponse:
        """Draw what a ticket is for, once however often it comes; or say why not."""
        visitors.check_order(request)
        machine, ticket = pages.known(machine_id), request.form.get("ticket", "")
        try:
            _, credit = tabs.draw(cookie.secret(), ticket, words=words())
        except (StoreUnavailable, TryLater) as error:  # the same ticket tells what became of it
            return pages.play_again(machine, ticket, status_of(error))
        except UnknownMachine:
            raise
        except BadRequest as error:
            notice = refusal_text(error, words())
            return pages.machine(machine, notice, status_of(error))
        return redirect(url_for("player.machine", machine_id=credit.machine_id), 303)

    @blueprint.get("/m/<machine_id>/tab")
    @blueprint.get("/m/<machine_id>/play")
    def again(machine_id: str) -> AnyResponse:
        """Back to the machine: a browser that goes back or reloads requests this address without the form."""
        return redirect(url_for("player.machine", machine_id=pages.known(machine_id).machine_id), 303)

    @blueprint.get("/tab")
    def tab() -> Response:
        """This browser's tab: its plays, what is left, its end. A link from another browser leads here."""
        mine = tab_pages.here()
        return pages.no_tab() if mine is None else pages.tab(mine)

    @blueprint.post("/tab/join")
    def join() -> AnyResponse:
        """Have this browser keep a tab that another one has opened, by its secret."""
        visitors.check_order(request)
        secret, mine = request.form.get("secret", ""), tab_pages.here()
        found = tabs.found(secret)
        if found is None:
            return pages.no_tab(409, words().text("This link leads to no tab any more."))
        if mine is not None and mine.is_open_tab and mine.order_id != found.order_id:
            notice = words().text(
                "This phone has an open tab of its own. Finish it first, then open the link again."
            )
            return pages.tab(mine, notice=notice, status=409)
        response = redirect(url_for("tab.tab"), 303)
        cookie.keep(response, secret)
        return response

    @blueprint.post("/tab/finish")
    def finish() -> AnyResponse:
        """Finish the tab: nothing more is played on it, and what was played is charged. For good."""
        secret = cookie.secret()
        try:
            check_form(secret, request.form.get("token", ""))
            tabs.finish(secret, words=words())
        except (PageOutdated, TabClosed) as error:
            mine = tab_pages.here()
            notice = refusal_text(error, words())
            if mine is None:
                return pages.no_tab(status_of(error), notice)
            return pages.tab(mine, notice=notice, status=status_of(error))
        return redirect(url_for("tab.tab"), 303)

    @blueprint.get("/tab/join")
    @blueprint.get("/tab/finish")
    def back() -> AnyResponse:
        """To the tab: a browser that goes back or reloads requests this address without the form."""
        return redirect(url_for("tab.tab"), 303)

    return blueprint


def _amount(text: str) -> int:
    """The limit in the form; 0, which no tab has, if it is none."""
    return int(text) if _AMOUNT.fullmatch(text) else 0


def _goes_on(order: Order, machine_id: str, limit_minor: int, now_ms: int) -> bool:
    """Whether this is the checkout that is asked for again."""
    is_same = order.machine_id == machine_id and order.amount_minor == limit_minor
    is_young = 0 <= now_ms - order.created_at_ms < _SAME_CHECKOUT_MS
    return (
        order.state == "open"
        and order.can_be_closed
        and is_same
        and is_young
        and bool(order.checkout_url)
        and not order.payment_intent
    )
