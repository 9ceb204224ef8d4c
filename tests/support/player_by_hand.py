"""A player without a browser: presses the buttons of the pages that the cloud and the sandbox show."""

import re
from urllib.parse import urljoin

import requests


def press(player: requests.Session, page: requests.Response) -> requests.Response:
    """Press the first button of the page's first form that has one; the page that comes then."""
    (form, *_) = re.findall(r"<form[^>]*>.*?</form>", page.text, re.DOTALL)
    (action, *_) = re.findall(r'action="([^"]*)"', form) or [page.url]
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form))
    button = re.search(r'<button[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form)
    if button is not None:
        fields[button[1]] = button[2]
    answer = player.post(urljoin(page.url, action), data=fields, timeout=20)
    assert answer.ok, f"{answer.url} {answer.status_code} {answer.text[:500]}"
    return answer
