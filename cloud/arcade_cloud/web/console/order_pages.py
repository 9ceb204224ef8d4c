"""The console's orders: finding one, its story, and giving money back."""

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.money import plain_amount
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.people import Act
from arcade_cloud.domain.refunds import RefundWish, plan
from arcade_cloud.domain.story import story
from arcade_cloud.domain.texts import REASON_LENGTH, checked_line
from arcade_cloud.errors import BadRequest, NotFound
from arcade_cloud.services.finding import Found
from arcade_cloud.services.game_overs import after_credits
from arcade_cloud.web.console.evidence import known_of
from arcade_cloud.web.console.room import Room, a_moment_ms, check_reason, number_of, text_of, whole
from arcade_cloud.web.error_responses import status_of

ORDERS_A_PAGE = 50
# Who says "about nine" means half an hour before or after.
ABOUT_MS = 30 * 60_000
# Of those made in that time; what is more is said. The command line looks at more.
LOOKED_AT = 2_000
DAY_MS = 86_400_000


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/orders` and the paths below it."""
    needs = room.guard.needs
    acts, store = room.desk.acts, room.fulfilment.store

    @blueprint.get("/orders")
    @needs(Act.SEE)
    def orders() -> Response:
        """Find an order, or look at the newest."""
        asked = {name: text_of(request.args, name, 255) for name in ("q", "machine", "at", "amount")}
        try:
            found, heading = _find(room, asked)
        except BadRequest as error:
            return room.render(
                "orders.html", "Orders", problem=str(error), status=status_of(error), asked=asked, orders=()
            )
        if found is not None:
            return room.render(
                "orders.html", "Orders", asked=asked, orders=found.orders, tried=found.tried, heading=heading
            )
        before_ms = whole(text_of(request.args, "before"), 0, 0, 10**15) or None
        machine_id = asked["machine"] or None
        page = store.recent_orders(ORDERS_A_PAGE, machine_id=machine_id, before_ms=before_ms)
        older_ms = page[-1].created_at_ms if len(page) == ORDERS_A_PAGE else None
        return room.render("orders.html", "Orders", asked=asked, orders=page, older_ms=older_ms)

    @blueprint.get("/orders/<order_id>")
    @needs(Act.SEE)
    def order(order_id: str) -> Response:
        """One order: what happened, what the machine said, what Stripe shows."""
        return _order(room, _known(room, order_id))

    @blueprint.get("/orders/<order_id>/evidence")
    @needs(Act.SEE)
    def evidence(order_id: str) -> Response:
        """All that is known of an order on one page, to print and to send to the bank that asks."""
        return _evidence(room, _known(room, order_id))

    @blueprint.get("/orders/<order_id>/refund")
    @needs(Act.REFUND)
    def refund(order_id: str) -> Response:
        """What a refund would do."""
        known = _known(room, order_id)
        try:
            wish, reason = _wish(known), _reason(text_of(request.args, "reason"))
            planned, warnings = acts.operations.plan_refund(known.order_id, wish)
        except BadRequest as error:
            return _order(room, known, str(error), status_of(error))
        return room.render("refund.html", "Orders", order=known, plan=planned, warnings=warnings, reason=reason)

    @blueprint.post("/orders/<order_id>/refund")
    @needs(Act.REFUND)
    def refund_do(order_id: str) -> AnyResponse:
        """Give money back: all but what the page before has shown as kept. Sent twice, it is done once."""
        known = _known(room, order_id)
        try:
            reason = _reason(text_of(request.form, "reason"))
            planned, _ = acts.operations.plan_refund(known.order_id, _shown(known))
            acts.refund(
                room.guard.actor(),
                known.order_id,
                reason=reason,
                keep_minor=planned.keep_minor,
                play=planned.play,
            )
        except BadRequest as error:
            return _order(room, known, str(error), status_of(error))
        return redirect(url_for("console.order", order_id=known.order_id, done="refunded"), 303)

    @blueprint.post("/orders/<order_id>/close")
    @needs(Act.TAB_CLOSE)
    def close_tab(order_id: str) -> AnyResponse:
        """Close an open tab. What was delivered is charged."""
        known = _known(room, order_id)
        try:
            acts.close_tab(room.guard.actor(), known.order_id)
        except BadRequest as error:
            return _order(room, known, str(error), status_of(error))
        return redirect(url_for("console.order", order_id=known.order_id, done="tab-closed"), 303)


def _known(room: Room, order_id: str) -> Order:
    found = room.fulfilment.store.order(order_id) if 0 < len(order_id) <= 255 else None
    if found is None:
        raise NotFound("There is no such order.")
    return found


def _find(room: Room, asked: dict[str, str]) -> tuple[Found | None, str]:
    """What was asked for, and what was looked through; None: the newest orders."""
    finding = room.desk.finding
    if asked["q"]:
        return finding.by_text(asked["q"]), ""
    if not asked["at"] and not asked["amount"]:
        return None, ""
    until_ms = room.now_ms
    from_ms = until_ms - DAY_MS
    if asked["at"]:
        about_ms = a_moment_ms(asked["at"], room.zone)
        from_ms, until_ms = about_ms - ABOUT_MS, about_ms + ABOUT_MS
    found = finding.made_between(
        from_ms,
        until_ms,
        machine_id=asked["machine"] or None,
        amount=asked["amount"] or None,
        at_most=LOOKED_AT,
    )
    heading = "Made in the last 24 hours" if not asked["at"] else "Made half an hour before or after"
    return found, f"{heading}: {len(found.orders)}."


def _wish(order: Order) -> RefundWish:
    amount, credits = text_of(request.args, "amount", 20), text_of(request.args, "credits", 3)
    play = text_of(request.args, "play", 3)
    if order.payment is None:
        return RefundWish()
    if play:
        return RefundWish(play=number_of(play))
    return RefundWish(amount=amount or None, credits=number_of(credits) if credits else None)


def _shown(order: Order) -> RefundWish:
    """The wish that the page before has shown: how much is kept, or which play goes back."""
    play = text_of(request.form, "play", 3)
    if play:
        return RefundWish(play=number_of(play))
    keep_minor = whole(text_of(request.form, "keep"), -1, 0, 10**12)
    if keep_minor < 0:
        raise BadRequest("look first at what the refund will do")
    return RefundWish() if order.payment is None else RefundWish(keep=plain_amount(keep_minor, order.currency))


def _reason(text: str) -> str:
    check_reason(text)
    return checked_line(text, "the reason", REASON_LENGTH)


def _order(room: Room, order: Order, problem: str = "", status: int = 200) -> Response:
    store = room.fulfilment.store
    return room.render(
        "order.html",
        "Orders",
        problem=problem,
        status=status,
        order=order,
        story=list(story(store.history(order.order_id))),
        booked=store.booked(order.order_id),
        refundable=_is_refundable(order),
        after={one.number: one for one in after_credits(store, order, room.now_ms)},
        receipt=store.receipts.receipts_of([order.order_id]).get(order.order_id),
        receipt_page=room.desk.acts.operations.sales.receipt_page(order.machine_id, order.order_id),
        stripe_page=room.stripe_page,
    )


def _evidence(room: Room, order: Order) -> Response:
    known = known_of(order, room.fulfilment.store, room.desk.acts.operations.sales, room.now_ms)
    return room.render("evidence.html", "Orders", stripe_page=room.stripe_page, **known)


def _is_refundable(order: Order) -> bool:
    try:
        plan(order, RefundWish())
    except BadRequest:
        return False
    return True
