"""What all pages of the console share: what they read, who looks at them, and how they are rendered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any, Generic, TypeVar

from flask import Response, make_response, render_template, request

from arcade_cloud.domain import books
from arcade_cloud.domain.money import plain_amount
from arcade_cloud.domain.people import Act, may
from arcade_cloud.domain.pricing import Fee
from arcade_cloud.errors import BadRequest
from arcade_cloud.services.alerts import short_id
from arcade_cloud.services.desk import Desk
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.web.console import evidence, words
from arcade_cloud.web.console.guard import Guard

_Row = TypeVar("_Row")

# No arcade has booked anything before.
FIRST_YEAR = 2000
# More than any list has: an address that names a later page gets the last one.
_MOST_PAGES = 1_000_000
# The pages that are always in reach, for whoever may see them.
TABS = (
    ("console.today", "Today", Act.SEE),
    ("console.machines", "Machines", Act.SEE),
    ("console.orders", "Orders", Act.SEE),
    ("console.takings", "Takings", Act.SEE_TAKINGS),
    ("console.books", "Books", Act.SEE_TAKINGS),
    ("console.alerts", "Alerts", Act.SEE),
    ("console.people", "People", Act.PEOPLE),
    ("console.audit", "Audit", Act.SEE_AUDIT),
    ("console.settings", "Settings", Act.SEE_SETTINGS),
)
# What a page says after something was done: an address names one of these, never a text of its own.
DONE = {
    "acknowledged": "Acknowledged.",
    "added": "They may sign in now. Tell them the password in person; they can change it under their name.",
    "closed": "It is out of service. Orders that are under way go on.",
    "opened": "It is in service.",
    "offers": "The offers are changed.",
    "registered": "It is registered. Next: its config, for the Pi, and a sticker for players.",
    "retired": "It is retired. Its orders and its id stay.",
    "set": "It is changed.",
    "tested": "The test pulse is on its way: what became of it stands below.",
    "same": "Nothing was changed: it was so already.",
    "granted": "The free credits are on their way.",
    "decided": "It is decided; here is its order.",
    "declined": "It is declined; the player’s page says why.",
    "dismissed": "It is off the list.",
    "tab-closed": "The tab is closed. What was delivered is charged.",
    "refunded": "The refund is on its way. Stripe does it within moments.",
    "reconciled": "The day is reconciled; here is what was found.",
    "begun": "There is more to read than a page can wait for. Go on with the button of the day.",
    "accepted": "Accepted. Nobody is told of it any more.",
    "revoked": "The key is refused from now on.",
    "removed": "The webhook is forgotten; what waited for it is sent no more.",
    "arrived": "The test event has arrived.",
    "again": "It is sent again within seconds.",
    "none": "There was nothing of that time to send again.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the pages work with."""

    desk: Desk
    fulfilment: Fulfilment
    guard: Guard
    zone: tzinfo
    card_fees: Mapping[str, Fee]
    is_live: bool

    @property
    def now_ms(self) -> int:
        """Now, epoch milliseconds."""
        return self.fulfilment.now_ms()

    @property
    def day(self) -> date:
        """The day that it is at the arcade."""
        return date.fromisoformat(books.day_of(self.now_ms, self.zone))

    @property
    def stripe_page(self) -> str:
        """Where Stripe shows a payment; its id follows."""
        return evidence.stripe_page(self.is_live)

    def render(self, template: str, tab: str, *, problem: str = "", status: int = 200, **values: Any) -> Response:
        """A page.

        Args:
            tab: Which tab it belongs to.
            problem: Why what was asked for was not done.
        """
        now_ms, zone, me = self.now_ms, self.zone, self.guard.actor()
        text = render_template(
            f"console/{template}",
            tab=tab,
            problem=problem,
            done=DONE.get(request.args.get("done", ""), ""),
            tabs=[(endpoint, name) for endpoint, name, act in TABS if may(me.role, act)],
            me=me,
            can=lambda act: may(me.role, Act(act)),
            can_now=lambda act: me.can(Act(act)),
            csrf=self.guard.csrf,
            clock=lambda at_ms: words.clock(at_ms, zone, now_ms),
            exact=lambda at_ms: words.exact(at_ms, zone),
            short_id=short_id,
            now_ms=now_ms,
            day=self.day,
            plain=plain_amount,
            **words.WORDS,
            **values,
        )
        return make_response(text, status)

    def machine_ids(self) -> frozenset[str]:
        """The ids of all machines: an alert's subject may be one."""
        return frozenset(machine.machine_id for machine in self.fulfilment.store.machines())


def text_of(values: Any, name: str, at_most: int = 500) -> str:
    """A field of a form or an address, without the spaces around it."""
    return str(values.get(name) or "").strip()[:at_most]


def whole(text: str, default: int, least: int, most: int) -> int:
    """A whole number in an address; the default if it is none."""
    return min(max(int(text), least), most) if text.isascii() and text.isdecimal() and len(text) <= 15 else default


def a_day(text: str | None, default: date) -> date:
    """A day in an address.

    Raises:
        BadRequest: It is none, or far from any day that there is.
    """
    if not text:
        return default
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{text[:40]!r}: write a day such as 2026-11-22") from None
    if not FIRST_YEAR <= found.year <= default.year + 1:
        raise BadRequest(f"{found} is not a day of this arcade")
    return found


def a_moment_ms(text: str, zone: tzinfo) -> int:
    """A moment of a form, by the arcade's clock, in epoch milliseconds.

    Raises:
        BadRequest: It is none.
    """
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadRequest(f"a time is written 2026-11-26T21:00, not {text[:40]!r}") from None


def check_sure() -> None:
    """Check that somebody has said that they are sure.

    Raises:
        BadRequest: Nobody has.
    """
    if request.form.get("sure") != "yes":
        raise BadRequest("say that you are sure: this cannot be taken back")


@dataclass(frozen=True, slots=True)
class Part(Generic[_Row]):
    """What a page shows of a long list.

    Attributes:
        number: Which page it is, from 1.
        of: How many there are.
        rows: Those of this page.
    """

    number: int
    of: int
    rows: Sequence[_Row]


def page_number() -> int:
    """Which page of a long list the address asks for, from 1."""
    return whole(text_of(request.args, "page"), 1, 1, _MOST_PAGES)


def part_of(rows: Sequence[_Row], at_most: int) -> Part[_Row]:
    """The part of a list that the address asks for, `at_most` rows to a page."""
    pages = max(1, -(-len(rows) // at_most))
    number = min(page_number(), pages)
    return Part(number, pages, rows[(number - 1) * at_most : number * at_most])


def file_of(content: bytes, name: str, mimetype: str) -> Response:
    """A file to be saved, which no cache keeps."""
    answer = make_response(content)
    answer.mimetype = mimetype
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def number_of(text: str) -> int:
    """The number of credits in a form.

    Raises:
        BadRequest: It is no whole number.
    """
    if not (text.isascii() and text.isdecimal()):
        raise BadRequest("“Credits” is a whole number, such as 2")
    return int(text)


def check_reason(text: str) -> None:
    """Check that somebody has said why.

    Raises:
        BadRequest: There is no reason.
    """
    if not text:
        raise BadRequest("say why: the reason is in the order's history")


def plot(values: Iterable[tuple[str, int]], height: float) -> tuple[list[words.Bar], float]:
    """Bars of a plot that is 1,000 wide, and how wide each is. What is below nothing has no height."""
    found = list(values)
    step = 1000 / max(1, len(found))
    most = max([value for _, value in found] + [1])
    bars = [
        words.Bar(round(number * step, 2), round(max(0, value) * height / most, 2), "kept", title)
        for number, (title, value) in enumerate(found)
    ]
    return bars, round(step * 0.8, 2)
