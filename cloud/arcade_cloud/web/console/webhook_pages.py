"""The console's webhooks to other software: set up, tried, looked at, and sent past events again."""

from collections.abc import Callable

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.outbox import EVENT_TYPES, KEPT_MS, Endpoint
from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest, NotFound
from arcade_cloud.web.console.room import Room, a_moment_ms, check_sure, text_of, whole
from arcade_cloud.web.error_responses import status_of

POSTINGS_A_PAGE = 50
# Each is a reading and a writing of the store; a page waits for them.
AGAIN_AT_MOST = 500


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/webhooks` and the paths below it."""
    needs, acts = room.guard.needs, room.desk.acts

    @blueprint.get("/webhooks")
    @needs(Act.WEBHOOKS)
    def webhooks() -> Response:
        """All endpoints, and a form for one more."""
        return _webhooks(room)

    @blueprint.post("/webhooks")
    @needs(Act.WEBHOOKS)
    def webhook_add() -> Response:
        """Set one up, and show the secret by which it knows what comes from here."""
        try:
            url, events = text_of(request.form, "url", 1_000), request.form.getlist("event")[:10]
            endpoint = acts.endpoint_add(room.guard.actor(), url, events)
        except BadRequest as error:
            return _webhooks(room, str(error), status_of(error))
        secret = acts.endpoints.secret(endpoint.endpoint_id)
        return room.render("webhook_secret.html", "Settings", endpoint=endpoint, secret=secret, is_new=True)

    @blueprint.get("/webhooks/<endpoint_id>")
    @needs(Act.WEBHOOKS)
    def webhook(endpoint_id: str) -> Response:
        """One endpoint: what it was sent, and whether it has arrived."""
        return _webhook(room, _known(room, endpoint_id))

    @blueprint.post("/webhooks/<endpoint_id>/secret")
    @needs(Act.WEBHOOKS)
    def webhook_secret(endpoint_id: str) -> Response:
        """Show the secret. It is a form, so that nothing asks for it by itself, and it stands in the audit log."""
        endpoint = _known(room, endpoint_id)
        secret = acts.endpoint_secret(room.guard.actor(), endpoint_id)
        return room.render("webhook_secret.html", "Settings", endpoint=endpoint, secret=secret, is_new=False)

    @blueprint.post("/webhooks/<endpoint_id>/test")
    @needs(Act.WEBHOOKS)
    def webhook_test(endpoint_id: str) -> AnyResponse:
        """Post an event that means nothing, now."""
        endpoint = _known(room, endpoint_id)
        error = acts.endpoint_test(room.guard.actor(), endpoint_id)
        if error is not None:
            return _webhook(room, endpoint, f"The test event has not arrived: {error}", 502)
        return redirect(url_for("console.webhook", endpoint_id=endpoint_id, done="arrived"), 303)

    @blueprint.post("/webhooks/<endpoint_id>/replay")
    @needs(Act.WEBHOOKS)
    def webhook_replay(endpoint_id: str) -> AnyResponse:
        """Send one event again."""
        event_id = text_of(request.form, "event", 200)
        return _again(
            room, endpoint_id, lambda: bool(acts.replay(room.guard.actor(), endpoint_id, event_id).event_id)
        )

    @blueprint.post("/webhooks/<endpoint_id>/replay-since")
    @needs(Act.WEBHOOKS)
    def webhook_replay_since(endpoint_id: str) -> AnyResponse:
        """Send what happened between two times again, all of it or what was given up."""

        def replay() -> bool:
            since, until = (text_of(request.form, name, 40) for name in ("since", "until"))
            count = acts.replay_since(
                room.guard.actor(),
                endpoint_id,
                a_moment_ms(since, room.zone),
                a_moment_ms(until, room.zone) if until else room.now_ms + 1,
                only_given_up=request.form.get("which") != "all",
                at_most=AGAIN_AT_MOST,
            )
            return count > 0

        return _again(room, endpoint_id, replay)

    @blueprint.post("/webhooks/<endpoint_id>/remove")
    @needs(Act.WEBHOOKS)
    def webhook_remove(endpoint_id: str) -> AnyResponse:
        """Forget an endpoint."""
        endpoint = _known(room, endpoint_id)
        try:
            check_sure()
            acts.endpoint_remove(room.guard.actor(), endpoint_id)
        except BadRequest as error:
            return _webhook(room, endpoint, str(error), status_of(error))
        return redirect(url_for("console.webhooks", done="removed"), 303)


def _known(room: Room, endpoint_id: str) -> Endpoint:
    found = room.desk.acts.endpoints.store.endpoint(endpoint_id) if len(endpoint_id) <= 255 else None
    if found is None:
        raise NotFound("There is no such webhook.")
    return found


def _again(room: Room, endpoint_id: str, replay: Callable[[], bool]) -> AnyResponse:
    endpoint = _known(room, endpoint_id)
    try:
        done = "again" if replay() else "none"
    except BadRequest as error:
        return _webhook(room, endpoint, str(error), status_of(error))
    return redirect(url_for("console.webhook", endpoint_id=endpoint_id, done=done), 303)


def _webhooks(room: Room, problem: str = "", status: int = 200) -> Response:
    endpoints = room.desk.acts.endpoints
    return room.render(
        "webhooks.html",
        "Settings",
        problem=problem,
        status=status,
        endpoints=[(one, endpoints.is_failing(one.endpoint_id)) for one in endpoints.store.endpoints()],
        event_types=EVENT_TYPES,
        chosen=request.form.getlist("event"),
        url=text_of(request.form, "url", 1_000),
    )


def _webhook(room: Room, endpoint: Endpoint, problem: str = "", status: int = 200) -> Response:
    args, endpoints = request.args, room.desk.acts.endpoints
    before_ms = whole(text_of(args, "before"), 0, 0, 10**15)
    before = (before_ms, text_of(args, "before_id", 200)) if before_ms else None
    only_failed = args.get("failed") == "1"
    postings = endpoints.log(endpoint.endpoint_id, POSTINGS_A_PAGE, before=before, only_failed=only_failed)
    last = postings[-1] if len(postings) == POSTINGS_A_PAGE else None
    return room.render(
        "webhook.html",
        "Settings",
        problem=problem,
        status=status,
        endpoint=endpoint,
        failing=endpoints.is_failing(endpoint.endpoint_id),
        postings=postings,
        only_failed=only_failed,
        older=None if last is None else {"before": last.at_ms, "before_id": last.event_id},
        kept_days=KEPT_MS // 86_400_000,
        form={name: text_of(request.form, name, 40) for name in ("since", "until", "which")},
    )
