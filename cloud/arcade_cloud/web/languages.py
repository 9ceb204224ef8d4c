"""The languages of what players read: which one a request asks for, and its catalogue.

A browser says which languages its owner reads. Whoever wants another one takes it from the page's foot
(`?lang=ms`), which a cookie remembers. English needs no catalogue, and nothing of Babel is loaded for it.

`catalogues/` has each language as translators write it (`.po`) and, made of that by `make words`, as it is read
(`.mo`): to parse the former would cost a cold start a tenth of a second.
"""

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from markupsafe import Markup, escape

from arcade_cloud.config.settings import Settings
from arcade_cloud.domain.languages import LANGUAGES, chosen
from arcade_cloud.domain.money import currency_of, plain_amount
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.web.player_view import credits_text

if TYPE_CHECKING:
    from gettext import GNUTranslations

CATALOGUES = Path(__file__).parent / "catalogues"
COOKIE = "lang"
LIFE_S = 365 * 86_400


class Translated:
    """A language with a catalogue."""

    def __init__(self, code: str, catalogue: "GNUTranslations") -> None:
        self._code = code
        self._catalogue = catalogue

    @property
    def language(self) -> str:
        """See `Words`."""
        return LANGUAGES[self._code].tag

    def text(self, message: str, /, **values: object) -> str:
        """See `Words`."""
        return self._catalogue.gettext(message) % values

    def count(self, one: str, many: str, number: int, /, **values: object) -> str:
        """See `Words`."""
        return self._catalogue.ngettext(one, many, number) % {"number": number, **values}

    def money(self, amount_minor: int, currency: str) -> str:
        """See `Words`. The symbol is the one that the arcade's own people write, in every language."""
        from babel.numbers import format_decimal

        plain = plain_amount(amount_minor, currency)
        decimals = len(plain.partition(".")[2])
        pattern = "#,##0." + "0" * decimals if decimals else "#,##0"
        return f"{currency_of(currency).symbol}\u00a0{format_decimal(plain, format=pattern, locale=self._locale)}"

    def time(self, at: datetime) -> str:
        """See `Words`."""
        from babel.dates import format_time

        return format_time(at, "HH:mm", locale=self._locale)

    def day(self, at: datetime, *, year: bool) -> str:
        """See `Words`."""
        from babel.dates import format_skeleton

        return format_skeleton("yMMMMd" if year else "MMMMd", at, locale=self._locale)

    def sentences(self, *each: str) -> str:
        """See `Words`."""
        return LANGUAGES[self._code].between_sentences.join(filter(None, each))

    @property
    def _locale(self) -> str:
        return LANGUAGES[self._code].locale


@lru_cache(maxsize=len(LANGUAGES))
def words_of(code: str) -> Words:
    """The words of a language, by its code in `LANGUAGES`."""
    if code == "en":
        return ENGLISH
    from gettext import GNUTranslations

    with (CATALOGUES / f"{code}.mo").open("rb") as file:
        return Translated(code, GNUTranslations(file))


def code() -> str:
    """The code of the language in which this request is answered."""
    return str(getattr(g, "language", "en"))


def words() -> Words:
    """The words in which this request is answered."""
    return words_of(code())


def asked() -> str | None:
    """The language that the address asks for; None if it asks for none."""
    return getattr(g, "language_asked", None)


def install(app: Flask, settings: Settings) -> None:
    """Choose a language for each request, and make the languages available to templates."""
    offered = settings.languages
    is_https = urlsplit(settings.public_base_url).scheme == "https"

    def choose() -> None:
        in_address = request.args.get("lang")
        g.language_asked = in_address if in_address in offered else None
        read = [tag for tag, quality in request.accept_languages if quality > 0]
        g.language = chosen(offered, [in_address, request.cookies.get(COOKIE), *read])

    def remember(response: Response) -> Response:
        if response.mimetype == "text/html":
            response.headers["Content-Language"] = words().language
            response.vary.update(("Accept-Language", "Cookie"))
            if asked() is not None and not request.path.startswith("/kiosk/"):
                response.set_cookie(
                    COOKIE, code(), max_age=LIFE_S, secure=is_https, httponly=True, samesite="Lax", path="/"
                )
        return response

    app.before_request(choose)
    app.after_request(remember)
    install_words(app)
    app.jinja_env.globals.update(
        languages={one: LANGUAGES[one] for one in offered}, language_code=code, language_asked=asked
    )


def install_words(app: Flask) -> None:
    """Make `text` and `count` available to templates, in English where nothing chooses a language."""
    app.jinja_env.filters["credits"] = lambda number: credits_text(number, words())
    app.jinja_env.globals.update(words=words, text=_text, count=_count)


def _text(message: str, /, **values: object) -> Markup:
    """A text for a page. Catalogues are ours, so they are taken for HTML; values are not."""
    return Markup(words().text(message, **_escaped(values)))  # noqa: S704  # nosec B704


def _count(one: str, many: str, number: int, /, **values: object) -> Markup:
    return Markup(words().count(one, many, number, **_escaped(values)))  # noqa: S704  # nosec B704


def _escaped(values: dict[str, object]) -> dict[str, object]:
    return {name: escape(value) for name, value in values.items()}
