"""The console's page about oneself: the second factor, the password, and the way out."""

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.config.settings import Settings
from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest
from arcade_cloud.services import second_factor as codes
from arcade_cloud.web.console.guard import Guard
from arcade_cloud.web.error_responses import status_of
from arcade_cloud.web.kiosk import qr_code


def add_to(blueprint: Blueprint, guard: Guard, settings: Settings) -> None:
    """Add `/console/account` and the pages below it."""
    door = guard.sign_in

    @blueprint.get("/account")
    @guard.needs(Act.OWN_ACCOUNT)
    def account() -> Response:
        """Who I am here."""
        return _page("account.html", done=request.args.get("done") == "1")

    @blueprint.get("/account/second-factor")
    @guard.needs(Act.OWN_ACCOUNT)
    def second_factor() -> Response:
        """Show the code for an authenticator app."""
        return _second_factor(needed=request.args.get("needed") == "1")

    @blueprint.post("/account/second-factor")
    @guard.needs(Act.OWN_ACCOUNT)
    def second_factor_do() -> AnyResponse:
        """Set it up, once the app has shown a code."""
        try:
            entered = door.confirm_second_factor(
                guard.signed_in(), request.form.get("password", "")[:1000], request.form.get("code", "")[:100]
            )
        except BadRequest as error:
            return _second_factor(problem=str(error), status=status_of(error))
        return guard.enter(redirect(url_for("console.account", done="1"), 303), entered)

    @blueprint.get("/account/password")
    @guard.needs(Act.OWN_ACCOUNT)
    def password() -> Response:
        """Ask for another password."""
        return _page("password.html")

    @blueprint.post("/account/password")
    @guard.needs(Act.OWN_ACCOUNT)
    def password_do() -> AnyResponse:
        """Change it."""
        old, new, again = (request.form.get(name, "")[:1000] for name in ("old", "new", "again"))
        if new != again:
            return _page("password.html", 422, problem="The new passwords differ: type the same one twice.")
        try:
            entered = door.new_password(guard.signed_in(), old, new)
        except BadRequest as error:
            return _page("password.html", status_of(error), problem=str(error))
        return guard.enter(redirect(url_for("console.account", done="1"), 303), entered)

    def _second_factor(status: int = 200, **values: object) -> Response:
        signed_in = guard.signed_in()
        secret = door.new_second_factor(signed_in)
        address = codes.address(secret, signed_in.person.name, settings.site_name)
        spaced = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
        return _page("second_factor.html", status, code=qr_code(address), secret=spaced, **values)

    def _page(template: str, status: int = 200, **values: object) -> Response:
        me = guard.signed_in()
        return make_response(
            render_template(
                f"console/{template}", csrf=guard.csrf, person=me.person, has_code=me.actor.second_factor, **values
            ),
            status,
        )
