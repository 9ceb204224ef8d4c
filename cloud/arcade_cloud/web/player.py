"""The player's pages: a machine with its offers, the way to the checkout, and an order's live page."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial

from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.events import PlayerReturned
from arcade_cloud.domain.limits import MAX_QUANTITY
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.receipts import statement_suffix
from arcade_cloud.domain.screens import Shown
from arcade_cloud.errors import BadRequest, InvariantBroken, NotFound, NotReady, StoreUnavailable
from arcade_cloud.web.claim_view import claim_view, claimable_at_most
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.error_responses import status_of, wants_json
from arcade_cloud.web.guards import known_machine
from arcade_cloud.web.languages import asked, words
from arcade_cloud.web.player_view import contact_link, emblem_text, machine_view, order_view, picture
from arcade_cloud.web.receipt_view import receipt_view
from arcade_cloud.web.tab_pages import TabPages
from arcade_cloud.web.visitors import Visitors

_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_QUANTITY = re.compile(r"[0-9]{1,4}")


def routes(dependencies: Dependencies, visitors: Visitors) -> Blueprint:
    """`/m/<machine>` and the paths below it."""
    blueprint = Blueprint("player", __name__)
    pages = Pages(dependencies)

    @blueprint.get("/m/<machine_id>")
    def machine(machine_id: str) -> Response:
        """What the machine sells, and whether it is ready; `?format=json` keeps the page live."""
        known = pages.known(machine_id)
        if wants_json():
            return pages.machine_state(known)
        page = pages.machine(known, emblem=pages.emblem(known, lambda: visitors.may_begin_emblem(request)))
        visitors.welcome(request, page)
        return page

    @blueprint.post("/m/<machine_id>/checkout")
    def checkout(machine_id: str) -> AnyResponse:
        """Send the player to Stripe, or say why nobody can pay now."""
        visitors.check_order(request)
        return pages.checkout(pages.known(machine_id), request.form.get("offer_id"), request.form.get("quantity"))

    @blueprint.get("/m/<machine_id>/checkout")
    def checkout_again(machine_id: str) -> AnyResponse:
        """Back to the machine: a browser that restores a tab requests this address without the form."""
        known = pages.known(machine_id)
        return redirect(url_for("player.machine", machine_id=known.machine_id, lang=asked()), 303)

    @blueprint.get("/m/<machine_id>/o/<order_id>")
    def order(machine_id: str, order_id: str) -> Response:
        """The state of an order; `?format=json` keeps the page live."""
        if wants_json():
            return pages.order_state(pages.order_at(machine_id, order_id))
        known = pages.known(machine_id)
        return pages.order(known, pages.order_at(known.machine_id, order_id))

    @blueprint.get("/m/<machine_id>/o/<order_id>/receipt")
    def receipt(machine_id: str, order_id: str) -> Response:
        """The receipt of an order, to print."""
        return pages.receipt(pages.known(machine_id), order_id)

    @blueprint.post("/m/<machine_id>/o/<order_id>/claim")
    def claim(machine_id: str, order_id: str) -> AnyResponse:
        """Take in that credits did not arrive. Sent twice, it counts once."""
        visitors.check_order(request)
        known = pages.known(machine_id)
        credits, play = (_number(request.form.get(name, "")) for name in ("credits", "play"))
        return pages.claim(known, order_id, credits, play, visitors.phone_of(request))

    @blueprint.get("/m/<machine_id>/o/<order_id>/claim")
    def claim_again(machine_id: str, order_id: str) -> AnyResponse:
        """Back to the order: a browser that restores a tab requests this address without the form."""
        known = pages.known(machine_id)
        return redirect(url_for("player.order", machine_id=known.machine_id, order_id=order_id), 303)

    return blueprint


class Pages:
    """Builds the pages from the records."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._identify = dependencies.identify
        self._sales = dependencies.sales
        self._fulfilment = dependencies.fulfilment
        self._dependencies = dependencies
        self._settings = dependencies.settings
        self._receipts = dependencies.receipts
        self._tabs = TabPages(dependencies)

    def known(self, machine_id: str) -> Machine:
        """The machine in a page's address.

        Raises:
            UnknownMachine: The id is not that of a registered machine.
        """
        return known_machine(self._sales, machine_id)

    # --- the machine -------------------------------------------------------------------------------------

    def emblem(self, machine: Machine, may_begin: Callable[[], bool]) -> Shown | None:
        """What the machine's own screen shows too, if it has one: see `Identify.begin`."""
        with suppress(StoreUnavailable):  # a page does without
            return self._identify.begin(machine.machine_id, may_begin)
        return None

    def machine(
        self, machine: Machine, notice: str = "", status: int = 200, emblem: Shown | None = None
    ) -> Response:
        """The page of a machine.

        Args:
            notice: Why the last attempt failed.
            emblem: What its screen shows too.
        """
        offers, presence = self._sales.offers_shown(machine), self._presence(machine)
        view = machine_view(
            machine,
            offers,
            presence,
            self._now_ms(),
            zone=self._settings.timezone,
            quantities=self._settings.quantities,
            sold_next_ms=self._sales.sold_next_ms(machine),
            words=words(),
            why_not_sold=partial(self._sales.why_not_sold, machine, words=words()),
        )
        page = self._render(
            "machine.html",
            machine,
            view=view,
            tab=self._tabs.on_machine(machine, offers, presence, words()),
            notice=notice,
            emblem=emblem,
            emblem_ms=0 if emblem is None else max(0, emblem.until_ms - self._now_ms()),
            emblem_words="" if emblem is None else emblem_text(emblem.emblem, words()),
        )
        return make_response(page, status)

    def machine_state(self, machine: Machine) -> Response:
        """Whether the machine is ready, and how the browser's tab stands.

        Prices stay as the page shows them until an order fixes them.
        """
        view = machine_view(
            machine, (), self._presence(machine), self._now_ms(), zone=self._settings.timezone, words=words()
        )
        return jsonify(
            machineId=machine.machine_id,
            ready=view.ready,
            word=view.word,
            maxCredits=view.max_credits,
            **self._tabs.on_machine_state(machine, words()),
        )

    def checkout(self, machine: Machine, offer_id: str | None, quantity: str | None) -> AnyResponse:
        """Create an order and redirect to its checkout. If that fails, show the machine's page with the reason."""
        try:
            order = self._sales.begin_checkout(
                machine.machine_id, offer_id=offer_id or None, quantity=_quantity(quantity), words=words()
            )
        except NotReady as error:
            return self.machine(machine, uncharged(str(error)), status_of(error))
        except BadRequest as error:
            gone = words().text("This is no longer sold here.")
            return self.machine(machine, uncharged(gone), status_of(error))
        if order.checkout_url is None:
            raise InvariantBroken(f"order {order.order_id}: begun without a checkout")
        return redirect(order.checkout_url, 303)

    # --- the order ---------------------------------------------------------------------------------------

    def order_at(self, machine_id: str, order_id: str) -> Order:
        """The order in a page's address.

        Raises:
            NotFound: There is none, or it has nothing to do with this machine.
        """
        found = self._fulfilment.store.order(order_id) if _ORDER_ID.fullmatch(order_id) else None
        if found is None or machine_id not in found.machine_ids:
            raise NotFound(words().text("This order does not exist."))
        return found

    def order(self, machine: Machine, order: Order, *, notice: str = "", status: int = 200) -> Response:
        """The page of an order. If no webhook has reported a payment yet, Stripe is asked soon.

        Args:
            notice: Why the last attempt failed.
        """
        if order.state == "open":
            with suppress(StoreUnavailable):  # the timer asks anyway, only later
                self._fulfilment.move(order.order_id, PlayerReturned())
        return self._order_page(machine, order, notice, status)

    def claim(self, machine: Machine, order_id: str, credits: int, play: int, phone: str) -> AnyResponse:
        """Take in that so many credits did not arrive, and go back to the order's page."""
        order = self.order_at(machine.machine_id, order_id)
        try:
            self._dependencies.player_claims.claim(order_id, credits, phone, play=play, words=words())
        except BadRequest as error:
            return self._order_page(machine, order, str(error), status_of(error))
        return redirect(url_for("player.order", machine_id=machine.machine_id, order_id=order_id), 303)

    def _order_page(self, machine: Machine, order: Order, problem: str = "", status: int = 200) -> Response:
        """The page. `problem` says why what was asked for was not done."""
        now_ms = self._now_ms()
        claim = self._dependencies.player_claims.of(order) if order.state in {"settled", "resolved"} else None
        if order.tab is not None:
            order, view, own = self._tabs.own(order, words())
            said = claim_view(order, claim, now_ms, words(), own.plays)
            page = self._render("tab.html", machine, order=order, view=view, own=own, claim=said, problem=problem)
            return make_response(page, status)
        page = self._render(
            "order.html",
            machine,
            order=order,
            view=order_view(order, now_ms, words()),
            claim=claim_view(order, claim, now_ms, words()),
            problem=problem,
        )
        return make_response(page, status)

    def order_state(self, order: Order) -> Response:
        """The page's values. Reads little more than the order, because phones ask for this once a second."""
        now_ms = self._now_ms()
        if order.tab is not None:
            state = self._tabs.own_state(order, words())
        else:
            state = asdict(order_view(order, now_ms, words()))
        return jsonify(code=order.code, **state, claimable=claimable_at_most(order, now_ms))

    def receipt(self, machine: Machine, order_id: str) -> Response:
        """The receipt of an order. What has settled just now may have no number yet."""
        order = self.order_at(machine.machine_id, order_id)
        slip = self._receipts.of_order(order_id)
        store = self._fulfilment.store
        machines = [store.machine(machine_id) for machine_id in order.machine_ids]
        names = {known.machine_id: known.name for known in machines if known is not None}
        view = receipt_view(order, slip, names, self._settings.timezone, words())
        page = self._render(
            "receipt.html",
            machine,
            order=order,
            view=view,
            gets_number=slip.receipt is None and self._receipts.gets_number(slip),
            issuer=self._settings.receipt_issuer or (self._settings.site_name,),
            on_statement=statement_suffix(order.code) if self._settings.statement_suffix else "",
        )
        return make_response(page)

    # --- the tab -----------------------------------------------------------------------------------------

    def tab(self, order: Order, *, notice: str = "", status: int = 200) -> Response:
        """A tab's own page, below the address that is the same for every tab."""
        machine = self._fulfilment.store.machine(order.machine_id) or Machine(machine_id=order.machine_id)
        return self.order(machine, order, notice=notice, status=status)

    def no_tab(self, status: int = 200, notice: str = "") -> Response:
        """The page for a browser without a tab."""
        return make_response(render_template("no_tab.html", notice=notice), status)

    def play_again(self, machine: Machine, ticket: str, status: int) -> Response:
        """Nobody knows whether a tap has got through. The same tap tells, for it plays once."""
        return make_response(self._render("play_again.html", machine, ticket=ticket), status)

    # --- both --------------------------------------------------------------------------------------------

    def _presence(self, machine: Machine) -> Presence | None:
        return self._fulfilment.store.presence(machine.machine_id)

    def _now_ms(self) -> int:
        return self._fulfilment.now_ms()

    def _render(self, template: str, machine: Machine, **values: object) -> str:
        contact = machine.contact or self._settings.operator_contact
        return render_template(
            template,
            machine=machine,
            name=machine.name or machine.machine_id,
            picture=picture(machine),
            contact=contact,
            contact_link=contact_link(contact),
            **values,
        )


def _number(text: str) -> int:
    """The number of credits in the form; 0 if it is none, which is refused with the right ones."""
    return int(text) if _QUANTITY.fullmatch(text.strip()) else 0


def uncharged(why: str) -> str:
    """Why nothing was sold, with the sentence that players want to read then."""
    return words().sentences(why, words().text("Nothing was charged."))


def _quantity(text: str | None) -> int:
    """The quantity in the form.

    Raises:
        BadRequest: It is not a whole number from 1 to `MAX_QUANTITY`.
    """
    if not text:
        return 1
    if _QUANTITY.fullmatch(text) is None or not 1 <= int(text) <= MAX_QUANTITY:
        raise BadRequest(f"quantity must be a whole number from 1 to {MAX_QUANTITY}")
    return int(text)
