"""The console's application: its pages, and what applies to each of them (errors, hosts, headers, the guard)."""

from flask import Blueprint, Flask

from arcade_cloud.web import assets, error_responses, headers, hosts, languages
from arcade_cloud.web.console import (
    account_pages,
    audit_pages,
    books_pages,
    claim_pages,
    fleet_pages,
    key_pages,
    machine_pages,
    new_machine_pages,
    order_pages,
    payment_pages,
    people_pages,
    settings_pages,
    sign_in_pages,
    statement_pages,
    sticker_pages,
    takings_pages,
    today_pages,
    webhook_pages,
    words,
)
from arcade_cloud.web.console.guard import Guard
from arcade_cloud.web.console.room import Room
from arcade_cloud.web.console_door import PREFIX
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.guards import MAX_BODY_BYTES, check_same_site


def create_console(dependencies: Dependencies) -> Flask:
    """The application below `/console`. Static files are the other application's."""
    settings = dependencies.settings
    app = Flask("arcade_cloud.web")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.strict_slashes = False
    error_responses.install(app)
    assets.install(app)
    languages.install_words(app)
    app.jinja_env.filters.update(coded=words.coded, sentence=words.sentence)
    app.jinja_env.globals.update(
        site_name=settings.site_name, contact="", contact_link="", operator_contact=settings.operator_contact
    )
    headers.install(app, settings, headers.console_policy())
    hosts.install(app, settings.allowed_hosts)
    app.before_request(check_same_site)
    guard = Guard(dependencies.desk.sign_in, settings)
    guard.install(app)
    blueprint = Blueprint("console", __name__, url_prefix=PREFIX)
    sign_in_pages.add_to(blueprint, guard)
    account_pages.add_to(blueprint, guard, settings)
    room = Room(
        desk=dependencies.desk,
        fulfilment=dependencies.fulfilment,
        guard=guard,
        zone=settings.timezone,
        card_fees=settings.card_fees,
        is_live=settings.stripe_is_live,
    )
    for pages in (
        today_pages,
        machine_pages,
        fleet_pages,
        order_pages,
        takings_pages,
        statement_pages,
        books_pages,
        payment_pages,
        claim_pages,
        people_pages,
        audit_pages,
        key_pages,
        webhook_pages,
    ):
        pages.add_to(blueprint, room)
    new_machine_pages.add_to(blueprint, room, settings)
    sticker_pages.add_to(blueprint, room)
    settings_pages.add_to(blueprint, room, settings)
    app.register_blueprint(blueprint)
    return app
