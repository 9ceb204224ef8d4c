"""A walk through the console by its own links: one page of each kind, whoever added it."""

import html
import re
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, RequestRedirect

_LINK = re.compile(r'<a [^>]*href="([^"]+)"')
_FORM = re.compile(r'<form[^>]*method="get" action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
_INPUT = re.compile(r"<input ([^>]*)>")
_NAME, _VALUE = re.compile(r'name="([^"]*)"'), re.compile(r'value="([^"]*)"')
# Those of signing in have nothing to do for whoever is signed in.
NOT_FOR_WHO_IS_IN = frozenset({"console.sign_in", "console.code"})


class Answer(Protocol):
    """What a request for a page has brought."""

    @property
    def text(self) -> str: ...
    @property
    def headers(self) -> Any: ...


def tour(get: Callable[[str], Answer], rules: Map, start: str = "/console/") -> dict[str, str]:
    """Follow links, and forms that change nothing.

    Args:
        get: Opens a path.
        rules: Where the console's pages are.

    Returns:
        The address of one page of each kind, by its view's name; of what is no page, such as a table, too.
    """
    where = rules.bind("console.example")
    found: dict[str, str] = {}
    to_open = deque([start])
    while to_open:
        address = to_open.popleft()
        try:
            kind, _ = where.match(urlsplit(address).path)
        except (RequestRedirect, HTTPException):
            continue
        if kind in found:
            continue
        found[kind] = address
        answer = get(address)
        if answer.headers["Content-Type"].startswith("text/html"):
            to_open.extend(ways_on(answer.text))
    return found


def ways_on(page: str) -> list[str]:
    """Where a page's links and its forms lead, as they are."""
    ways = [html.unescape(link) for link in _LINK.findall(page)]
    for action, inside in _FORM.findall(page):
        inputs = ((_NAME.search(given), _VALUE.search(given)) for given in _INPUT.findall(inside))
        given = {name[1]: html.unescape(value[1]) for name, value in inputs if name and value}
        ways.append(f"{html.unescape(action)}?{urlencode(given)}")
    return [way for way in ways if way.startswith("/console")]


def kinds(rules: Map) -> set[str]:
    """The names of all that can be opened by who has signed in."""
    return {
        rule.endpoint
        for rule in rules.iter_rules()
        if "GET" in (rule.methods or ()) and rule.rule.startswith("/console")
    } - NOT_FOR_WHO_IS_IN
