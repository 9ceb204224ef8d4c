"""The languages that players can read (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One of them.

    Attributes:
        name: What its readers call it.
        tag: How HTML names it.
        locale: How the CLDR names it, for dates and numbers.
        between_sentences: What stands there.
    """

    name: str
    tag: str
    locale: str
    between_sentences: str = " "


# By the code that settings, addresses and cookies have.
LANGUAGES = {
    "en": Language(name="English", tag="en", locale="en"),
    "ms": Language(name="Bahasa Melayu", tag="ms", locale="ms_MY"),
    "zh": Language(name="中文", tag="zh-Hans", locale="zh_Hans", between_sentences=""),
}


def chosen(offered: Sequence[str], wishes: Sequence[str | None]) -> str:
    """The language to answer in: the first wish that is offered, else the first that is.

    Args:
        offered: Codes.
        wishes: Codes, or tags such as `zh-CN`, the dearest first.
    """
    codes = (wish.partition("-")[0].lower() for wish in wishes if wish is not None)
    return next((code for code in codes if code in offered), offered[0])
