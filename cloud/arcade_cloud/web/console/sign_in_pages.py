"""The console's way in: name and password, then the code of a phone; and the way out."""

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest
from arcade_cloud.web.console.guard import Guard
from arcade_cloud.web.error_responses import status_of


def add_to(blueprint: Blueprint, guard: Guard) -> None:
    """Add `/console/sign-in`, `/console/code` and `/console/sign-out`."""
    door = guard.sign_in

    @blueprint.get("/sign-in")
    @guard.is_open
    def sign_in() -> AnyResponse:
        """Ask for name and password."""
        if door.current(guard.token(), ip=_ip()) is not None:
            return redirect(_onward(request.args.get("next")), 303)
        return guard.keep_form(_page("sign_in.html", next=guard.way_back(request.args.get("next"))))

    @blueprint.post("/sign-in")
    @guard.is_open
    def sign_in_do() -> AnyResponse:
        """Look at name and password."""
        name, onward = request.form.get("name", "")[:100], guard.way_back(request.form.get("next"))
        try:
            entered = door.with_password(
                name, request.form.get("password", "")[:1000], ip=_ip(), device=guard.device()
            )
        except BadRequest as error:
            return _refused(error, "sign_in.html", name=name, next=onward)
        if entered.session.waits_for_code:
            return guard.enter(redirect(url_for("console.code", next=onward), 303), entered)
        return guard.enter(redirect(_onward(onward), 303), entered)

    @blueprint.get("/code")
    @guard.is_open
    def code() -> AnyResponse:
        """Ask for the code."""
        onward = guard.way_back(request.args.get("next"))
        if not door.waits_for_code(guard.token()):
            return redirect(url_for("console.sign_in", next=onward), 303)
        return _page("code.html", next=onward)

    @blueprint.post("/code")
    @guard.is_open
    def code_do() -> AnyResponse:
        """Look at the code."""
        onward = guard.way_back(request.form.get("next"))
        if not door.waits_for_code(guard.token()):
            return redirect(url_for("console.sign_in", next=onward), 303)
        try:
            entered = door.with_code(guard.token(), request.form.get("code", "")[:100], ip=_ip())
        except BadRequest as error:
            return _refused(error, "code.html", next=onward)
        return guard.enter(redirect(_onward(onward), 303), entered)

    @blueprint.post("/sign-out")
    @guard.needs(Act.OWN_ACCOUNT)
    def sign_out() -> AnyResponse:
        """End the session."""
        return guard.leave(redirect(url_for("console.sign_in"), 303))

    def _page(template: str, status: int = 200, **values: object) -> Response:
        return make_response(render_template(f"console/{template}", csrf=guard.csrf, **values), status)

    def _refused(error: BadRequest, template: str, **values: object) -> Response:
        response = _page(template, status_of(error), problem=str(error), **values)
        wait_s = getattr(error, "wait_s", None)
        if wait_s is not None:
            response.headers["Retry-After"] = str(wait_s)
        return response

    def _onward(address: str | None) -> str:
        known = guard.way_back(address)
        return url_for("console.today") if known is None else request.script_root + known


def _ip() -> str:
    return request.remote_addr or ""
