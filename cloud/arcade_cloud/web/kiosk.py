"""The screen on a cabinet: a QR code of the machine's page, shown only while the machine can be paid."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, make_response, render_template
from markupsafe import Markup

from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.screens import Emblem
from arcade_cloud.domain.words import Words
from arcade_cloud.web import assets
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.error_responses import wants_json
from arcade_cloud.web.guards import known_machine
from arcade_cloud.web.kiosk_view import KioskView, adding, kiosk_view
from arcade_cloud.web.languages import asked, words, words_of
from arcade_cloud.web.player_view import Choice, emblem_text, machine_view, picture

# Nobody reads more of them on a small screen; the phone shows all.
PRICES = 4
# An order under way is among the newest of its machine: each lasts minutes, and the others wait to be paid.
NEWEST = 5
# The files of the page. When one changes, screens reload.
PARTS = ("kiosk.css", "kiosk.js", "cabinet.svg")


def routes(dependencies: Dependencies) -> Blueprint:
    """`/kiosk/<machine>`."""
    blueprint = Blueprint("kiosk", __name__)
    settings, zone = dependencies.settings, dependencies.settings.timezone
    sales, store, now_ms = dependencies.sales, dependencies.fulfilment.store, dependencies.fulfilment.now_ms

    @blueprint.get("/kiosk/<machine_id>")
    def kiosk(machine_id: str) -> Response:
        """The screen; `?format=json` keeps it live."""
        machine = known_machine(sales, machine_id)
        presence = store.presence(machine.machine_id)
        emblems = dependencies.identify.look(machine.machine_id)
        # What keeps the screen live asks Stripe nothing: not for the one price that a machine without offers has.
        asks_nobody = wants_json() and not machine.offers
        offers = () if asks_nobody else sales.offers_shown(machine)
        has_offer = sales.price_id is not None if asks_nobody else bool(offers)
        view = kiosk_view(
            machine,
            presence,
            now_ms(),
            sells=has_offer and sales.why_closed() is None,
            under_way=adding(machine.machine_id, store.recent_orders(NEWEST, machine_id=machine.machine_id)),
            coins=settings.coins_accepted,
            zone=zone,
            words=words(),
        )
        if wants_json():
            return jsonify(
                machineId=machine.machine_id,
                page=_version(machine, offers, settings.languages),
                language=words().language,
                emblems=[{**one._asdict(), "words": emblem_text(one, words())} for one in emblems],
                **asdict(view),
            )
        choices = machine_view(machine, offers, presence, now_ms(), words=words()).choices
        sold = [choice for choice in choices if choice.quantity == 1]
        return _page(dependencies, machine, view, sold, emblems, _version(machine, offers, settings.languages))

    return blueprint


def _page(
    dependencies: Dependencies,
    machine: Machine,
    view: KioskView,
    choices: list[Choice],
    emblems: Sequence[Emblem],
    version: str,
) -> Response:
    address = dependencies.settings.public_base_url + f"/m/{machine.machine_id}"
    contact = machine.contact or dependencies.settings.operator_contact
    text = render_template(
        "kiosk.html",
        machine=machine,
        name=machine.name or machine.machine_id,
        picture=picture(machine) or assets.asset_url("cabinet.svg"),
        view=view,
        emblems=emblems,
        emblem_text=emblem_text,
        spoken=_spoken(dependencies.settings.languages),
        choices=choices[:PRICES],
        more=len(choices) - PRICES,
        code=qr_code(address),
        host=urlsplit(address).netloc,
        path=urlsplit(address).path,
        contact=contact,
        version=version,
    )
    return make_response(text)


def _spoken(offered: Sequence[str]) -> dict[str, Words]:
    """The languages that the screen shows in turn: the one that its address asks for, or all."""
    first = asked()
    return {one: words_of(one) for one in ((first,) if first is not None else offered)}


def qr_code(text: str) -> Markup:
    """A QR code of `text` as inline SVG, with its quiet zone of four modules and without a fixed size.

    Error correction is level M: a screen does not wear. The level is higher where the symbol has room for it.
    """
    import segno  # takes 20 ms, and only screens need it

    code = segno.make_qr(text, error="m")
    return Markup(code.svg_inline(border=4, omitsize=True, dark="#000", light="#fff"))  # noqa: S704 - segno's own  # nosec B704


def _version(machine: Machine, offers: Sequence[Offer], languages: Sequence[str]) -> str:
    """A version that changes with everything on the page that is not live, such as what is sold at this hour."""
    sold = [offer.offer_id for offer in offers] if machine.offers else []
    parts = [str(machine.version), *sold, *languages, *(assets.version(name) for name in PARTS)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]
