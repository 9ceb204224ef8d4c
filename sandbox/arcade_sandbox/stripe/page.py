"""The hosted payment page of the stand-in for Stripe: plain HTML, plain form posts, for phones."""

from flask import Flask, Response, make_response, redirect, render_template, request

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe.checkout import HOLDABLE, landing_url
from arcade_sandbox.stripe.control import CONTROLS
from arcade_sandbox.stripe.currencies import money_text
from arcade_sandbox.stripe.errors import Json
from arcade_sandbox.stripe.payments import METHOD_TYPES
from arcade_sandbox.stripe.world import StripeWorld

# Method → what its button says, and the line below; `{}` is the total.
_BUTTONS = {
    "card": ("Pay {} by card", ""),
    "link": ("Link", "Saved card"),
    "fpx": ("FPX", "Bank"),
    "grabpay": ("GrabPay", "E-wallet"),
    "card_declined": ("Declined card", "The bank says no"),
    "fpx_later": ("FPX, later", "Bank answers late"),
}
_VERBS = {"book": "Book", "donate": "Donate"}


def add_page(app: Flask, world: StripeWorld) -> None:
    """Serve the hosted page (`/c/pay/…`), payment links (`/b/…`) and a page that says what this is (`/`)."""

    def link(token: str) -> Response:
        try:
            session = world.visit_link(token, request.args.get("client_reference_id"))
        except SandboxMisuse as misuse:
            return _notice("This link does not work", str(misuse), 404)
        return _see_other(session["url"])

    def show(session_id: str) -> Response:
        return _shown(world, session_id)

    def press(session_id: str) -> Response:
        method = request.form.get("method", "")
        with world.world() as (state, _):
            session = state.tables["checkout.session"].get(session_id)
        if session is None or session["status"] != "open":
            return _shown(world, session_id)
        if method == "abandon":
            if session["cancel_url"] is None:
                return _notice("Payment left", "Nothing was paid. You may close this page.", 200)
            return _see_other(session["cancel_url"])
        try:
            paid = world.pay(session_id, method)
        except SandboxMisuse as misuse:
            # Perhaps somebody else was quicker; then the page knows better than this sentence.
            return _shown(world, session_id, str(misuse), 400)
        if paid.declined:
            return _shown(world, session_id, "Your card was declined. Try another way to pay.", 402)
        return _shown(world, session_id)

    def about() -> Response:
        return make_response(render_template("about.html", controls=CONTROLS))

    app.add_url_rule("/", "about", about, methods=["GET"])
    app.add_url_rule("/b/<token>", "link", link, methods=["GET"])
    app.add_url_rule("/c/pay/<session_id>", "show", show, methods=["GET"])
    app.add_url_rule("/c/pay/<session_id>", "press", press, methods=["POST"])


def _shown(world: StripeWorld, session_id: str, problem: str = "", status: int = 200) -> Response:
    """The session's page as it stands now: the form, the way on after paying, or why there is none."""
    with world.world() as (state, _):
        session = state.tables["checkout.session"].get(session_id)
        if session is None:
            return _notice("Nothing to pay here", "This payment page does not exist.", 404)
        if session["status"] == "expired":
            return _notice(
                "This page has expired", "Nothing was paid. Start again where you came from.", 410, session
            )
        if session["status"] == "complete":
            landing = landing_url(session)
            if landing is not None:
                return _see_other(landing)
            return _notice("Thank you", _thanks(session), 200)
        view = _view(session, state.line_items[session_id], state.plans[session_id].held, problem)
    answer = make_response(render_template("checkout.html", **view), status)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _thanks(session: Json) -> str:
    paid = money_text(session["amount_total"], session["currency"])
    return f"Your payment of {paid} was taken in. You may close this page."


def _view(session: Json, lines: list[Json], held: frozenset[str], problem: str) -> Json:
    total = money_text(session["amount_total"], session["currency"])
    offered = [name for name, kind in METHOD_TYPES.items() if kind in session["payment_method_types"]]
    buttons = []
    for name in offered:
        caption, note = _BUTTONS[name]
        verb = _VERBS.get(session["submit_type"] or "", "Pay")
        if name in held and name in HOLDABLE:
            note = "Held now, charged on delivery" if name == "card" else "Held first"
        buttons.append({"method": name, "caption": caption.format(total).replace("Pay", verb, 1), "note": note})
    text = session["custom_text"]["submit"]
    plain = len(lines) == 1 and lines[0]["quantity"] == 1
    return {
        "total": total,
        "title": lines[0]["description"] if plain else f"{sum(line['quantity'] for line in lines)} items",
        "lines": []
        if plain
        else [
            {
                "name": line["description"],
                "quantity": line["quantity"],
                "amount": money_text(line["amount_total"], line["currency"]),
            }
            for line in lines
        ],
        "cancel_url": session["cancel_url"],
        "action": f"/c/pay/{session['id']}",
        "good": [button for button in buttons if button["method"] not in ("card_declined", "fpx_later")],
        "bad": [button for button in buttons if button["method"] in ("card_declined", "fpx_later")],
        "problem": problem,
        "submit_text": text["message"] if text else "",
    }


def _notice(title: str, text: str, status: int, session: Json | None = None) -> Response:
    back = None if session is None else session["cancel_url"]
    answer = make_response(render_template("notice.html", title=title, text=text, back=back), status)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _see_other(address: str) -> Response:
    answer = make_response(redirect(address, 303))
    answer.headers["Cache-Control"] = "no-store"
    return answer
