"""What the pages show of a browser's tab: on a machine's page, and on the tab's own."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.words import Words
from arcade_cloud.errors import BadRequest, NotReady
from arcade_cloud.web import tab_view
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.player_view import View
from arcade_cloud.web.tab_cookie import TabCookie, form_token
from arcade_cloud.web.tab_view import Button, Panel, Play


@dataclass(frozen=True, slots=True, kw_only=True)
class OnMachine:
    """What a machine's page has about tabs.

    Attributes:
        panel: The browser's tab; None if there is none that is still open or under way.
        buttons: What can be played on it here, each with its ticket.
        form_token: What the form needs that ends it.
        opening: The limits of tabs that can be opened here: in minor units, and what the button says.
        last: What became of the browser's last tab, in words; empty: nothing to tell.
    """

    panel: Panel | None = None
    is_open: bool = False
    buttons: tuple[tuple[Button, str], ...] = ()
    form_token: str = ""
    opening: tuple[tuple[int, str], ...] = ()
    last: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPage:
    """What the page of a tab has besides its view.

    Attributes:
        finish: What the button says that ends it.
        form_token: What its form needs; empty: this browser does not have this tab, or it is closed.
        link: Finds the tab in another browser; empty as above.
    """

    plays: tuple[Play, ...]
    finish: str
    unconfirmed: str
    form_token: str = ""
    link: str = ""


class TabPages:
    """Looks up the tab of the browser that asks."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._tabs = dependencies.tabs
        self._store = dependencies.fulfilment.store
        self._now_ms = dependencies.fulfilment.now_ms
        self._zone = dependencies.settings.timezone
        self._site = dependencies.settings.public_base_url
        self._quantities = dependencies.settings.quantities
        self._cookie = TabCookie(dependencies.settings)

    def here(self) -> Order | None:
        """This browser's tab, in whatever state it is; None if it has none."""
        secret = self._cookie.secret()
        return self._tabs.found(secret) if secret else None

    # --- a machine's page --------------------------------------------------------------------------------

    def on_machine(
        self, machine: Machine, offers: Sequence[Offer], presence: Presence | None, words: Words
    ) -> OnMachine:
        """What the page of a machine says about tabs. The hold is read again if that was not done lately."""
        order = self.here()
        if order is None or not _is_shown(order):
            last = "" if order is None or order.state != "settled" else self._view(order, words).title
            return OnMachine(opening=tab_view.opening(self._tabs.limits(machine), words), last=last)
        order = self._tabs.freshen(order)
        panel = self._panel(order, machine, words)
        if not order.is_open_tab:
            return OnMachine(panel=panel)
        buttons = tab_view.buttons(
            order,
            machine,
            offers,
            presence,
            self._now_ms(),
            quantities=self._quantities,
            why_not=panel.why_not,
            zone=self._zone,
            words=words,
        )
        return OnMachine(
            panel=panel,
            is_open=True,
            buttons=tuple(
                (button, self._tabs.ticket(order, machine, button.offer, button.quantity)) for button in buttons
            ),
            form_token=form_token(self._cookie.secret()),
        )

    def on_machine_state(self, machine: Machine, words: Words) -> dict[str, Any]:
        """What keeps that page live; empty if this browser has no tab to show."""
        order = self.here()
        if order is None or not _is_shown(order):
            return {}
        panel = self._panel(order, machine, words)
        return {
            "tab": {
                "open": order.is_open_tab,
                "title": panel.title,
                "whyNot": panel.why_not,
                "finish": panel.finish,
                "unconfirmed": panel.unconfirmed,
                "leftMinor": panel.left_minor,
                "leastMinor": panel.least_minor,
                "plays": [_play_state(play) for play in panel.plays],
            }
        }

    def _panel(self, order: Order, machine: Machine, words: Words) -> Panel:
        return tab_view.panel(
            order, machine, self._tabs.why_not(order), self._names(), zone=self._zone, words=words
        )

    # --- its own page ------------------------------------------------------------------------------------

    def own(self, order: Order, words: Words) -> tuple[Order, View, OwnPage]:
        """A tab as it is now, and its own page. Only a browser that has the tab can do something with it there."""
        order = self._tabs.freshen(order)
        mine = self.here()
        secret = self._cookie.secret() if mine is not None and mine.order_id == order.order_id else ""
        page = OwnPage(
            plays=tab_view.plays(order, self._names(), zone=self._zone, words=words),
            finish=tab_view.finish_text(order, words),
            unconfirmed=tab_view.unconfirmed_text(order, words),
            form_token=form_token(secret) if secret and order.is_open_tab else "",
            link=f"{self._site}/tab#{secret}" if secret and order.is_open_tab else "",
        )
        return order, self._view(order, words), page

    def own_state(self, order: Order, words: Words) -> dict[str, Any]:
        """What keeps that page live."""
        return {
            **asdict(self._view(order, words)),
            "finish": tab_view.finish_text(order, words),
            "unconfirmed": tab_view.unconfirmed_text(order, words),
            "plays": [
                _play_state(play) for play in tab_view.plays(order, self._names(), zone=self._zone, words=words)
            ],
        }

    def _view(self, order: Order, words: Words) -> View:
        return tab_view.tab_view(order, self._tabs.why_not(order), self._now_ms(), words)

    def _names(self) -> Callable[[str], str]:
        """A machine's name, by its id; each is looked up once."""

        @cache
        def name(machine_id: str) -> str:
            found = self._store.machine(machine_id)
            return machine_id if found is None else found.name or machine_id

        return name


def refusal_text(error: BadRequest, words: Words) -> str:
    """Why a tap has played nothing, for the player. Where a moment later is another matter, that is said too."""
    nothing = words.text("Nothing was played.") if isinstance(error, NotReady) else ""
    return words.sentences(str(error), nothing)


def _is_shown(order: Order) -> bool:
    """Whether a machine's page shows the tab: it is open, or not all of it is confirmed."""
    return order.is_open_tab or (order.state in {"funded", "revoking"})


def _play_state(play: Play) -> dict[str, Any]:
    return {
        "time": play.time,
        "machine": play.machine,
        "price": play.price,
        "result": play.result,
        "underWay": play.under_way,
    }
