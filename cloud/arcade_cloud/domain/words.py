"""What players read, in their language (pure): texts, sums of money, times.

A text is found in a language's catalogue by its English, so the English is written where it is used, as whole
sentences with named places: `words.text("You paid %(price)s.", price=…)`. Nothing is put together of halves, for
other languages put them in another order.
"""

from datetime import datetime
from typing import Protocol

from arcade_cloud.domain.money import format_amount


class Words(Protocol):
    """One language. `language` is its tag, as HTML writes it."""

    @property
    def language(self) -> str: ...

    def text(self, message: str, /, **values: object) -> str:
        """A text that has `%(name)s` where a value goes."""

    def count(self, one: str, many: str, number: int, /, **values: object) -> str:
        """A text about a number of things, which is its `%(number)s`."""

    def money(self, amount_minor: int, currency: str) -> str:
        """A sum in minor units, as people write it, on one line."""

    def time(self, at: datetime) -> str:
        """A time of day."""

    def day(self, at: datetime, *, year: bool) -> str:
        """A day, with or without its year."""

    def sentences(self, *each: str) -> str:
        """Sentences one after the other; empty ones are left out."""


class English:
    """The language that the program is written in."""

    language = "en"

    def text(self, message: str, /, **values: object) -> str:
        """See `Words`."""
        return message % values

    def count(self, one: str, many: str, number: int, /, **values: object) -> str:
        """See `Words`."""
        return (one if number == 1 else many) % {"number": number, **values}

    def money(self, amount_minor: int, currency: str) -> str:
        """See `Words`."""
        return format_amount(amount_minor, currency).replace(" ", "\u00a0")

    def time(self, at: datetime) -> str:
        """See `Words`."""
        return f"{at:%H:%M}"

    def day(self, at: datetime, *, year: bool) -> str:
        """See `Words`."""
        return f"{at.day} {_MONTHS[at.month - 1]} {at.year}" if year else f"{at.day} {_MONTHS[at.month - 1]}"

    def sentences(self, *each: str) -> str:
        """See `Words`."""
        return " ".join(filter(None, each))


def marked(message: str) -> str:
    """A text that is kept in a constant, and translated where it is used."""
    return message


# `strftime` writes them in the language of the process.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
ENGLISH = English()
