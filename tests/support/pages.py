"""What a person reads on a page, and where its links lead."""

import html
import re

from werkzeug.test import TestResponse

# What somebody writes into a field who hopes that a page takes it for its own.
MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def words(page: TestResponse) -> str:
    """What a person reads on a page."""
    assert page.status_code == 200, page.text
    body = re.sub(r"<(script|style|svg).*?</\1>", " ", page.text, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def links(page: TestResponse, text: str) -> list[str]:
    """Where the links with that text lead."""
    found = re.findall(r'<a[^>]*href="([^"]*)"[^>]*>\s*(.*?)\s*</a>', page.text, flags=re.S)
    return [
        html.unescape(href) for href, shown in found if " ".join(re.sub(r"<[^>]*>", " ", shown).split()) == text
    ]
