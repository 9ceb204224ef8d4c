"""The start page, the way on from an address that leads nowhere, and the arcade's own logo and colour."""

from pathlib import Path

import pytest

from arcade_cloud.domain.closure import Closure
from arcade_cloud.web.assets import STATIC
from support.pages import links, words
from support.site import Site, check_error

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
SVG = STATIC / "icon.svg"


def test_a_browser_learns_which_arcade_this_is_and_how_to_play() -> None:
    site = Site()
    site.add_machine("cab-02", name="Space Duel")
    page = site.client.get("/", headers=BROWSER)
    assert page.mimetype == "text/html"
    shown = words(page)
    assert "Test Arcade" in shown
    assert "Scan the code on a machine" in shown
    assert "Space Duel" not in shown, "unless the operator wants it"


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}])
def test_software_is_told_as_ever_that_nothing_is_there(headers: dict[str, str]) -> None:
    check_error(Site().client.get("/", headers=headers), 404, "not_found")


def test_the_machines_are_listed_where_the_operator_wants_it_and_closed_ones_are_not() -> None:
    site = Site(site_machines=True)
    site.add_machine("cab-02", name="Space Duel", location="Hall 2")
    site.add_machine("cab-03", name="Gone", closure=Closure(since_ms=0, for_good=True))
    page = site.client.get("/", headers=BROWSER)
    assert links(page, "Space Duel Hall 2") == ["/m/cab-02"]
    assert links(page, "Street Fighter II") == ["/m/cab-01"]
    assert "Gone" not in words(page)


def test_without_its_database_the_start_page_is_a_page_that_says_so() -> None:
    site = Site(site_machines=True)
    site.store.unavailable = True
    answer = site.client.get("/", headers=BROWSER)
    assert (answer.status_code, answer.mimetype) == (503, "text/html")


@pytest.mark.parametrize("path", ["/m/nothing", "/nothing", "/m/cab-01/o/ord_x"])
def test_an_address_that_leads_nowhere_leads_to_the_start(path: str) -> None:
    page = Site().client.get(path, headers=BROWSER)
    assert page.status_code == 404
    assert links(page, "To the start page") == ["/"]


def test_a_screen_that_nobody_attends_has_no_links() -> None:
    assert links(Site().client.get("/kiosk/nothing", headers=BROWSER), "To the start page") == []


# --- the arcade's own look -------------------------------------------------------------------------------


def test_without_a_theme_nothing_more_is_loaded() -> None:
    client = Site().client
    assert "theme.css" not in client.get("/m/cab-01").text
    for path in ("/static/theme.css", "/static/logo"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/m/cab-01", "/kiosk/cab-01", "/", "/m/nothing"])
def test_the_colour_is_a_style_sheet_that_phones_cache(path: str) -> None:
    client = Site(site_colour="#ffd65a").client
    page = client.get(path, headers=BROWSER)
    (address,) = [part for part in page.text.split('"') if part.startswith("/static/theme.css?v=")]
    style = client.get(address)
    assert (style.status_code, style.mimetype) == (200, "text/css")
    assert "--accent:#ffd65a;--on-accent:#000000" in style.text
    assert "immutable" in style.headers["Cache-Control"]


def test_a_logo_that_is_a_file_is_served_from_here_and_cached() -> None:
    client = Site(site_logo=str(SVG)).client
    page = client.get("/m/cab-01").text
    (address,) = [part for part in page.split('"') if part.startswith("/static/logo?v=")]
    logo = client.get(address)
    assert (logo.data, logo.mimetype) == (SVG.read_bytes(), "image/svg+xml")
    assert "immutable" in logo.headers["Cache-Control"]
    assert "default-src 'none'" in logo.headers["Content-Security-Policy"], "a picture runs nothing"
    assert 'alt="Test Arcade"' in page


def test_a_logo_elsewhere_is_loaded_from_there() -> None:
    page = Site(site_logo="https://pictures.example/logo.png").client.get("/m/cab-01")
    assert '<img src="https://pictures.example/logo.png" alt="Test Arcade">' in page.text
    assert "img-src 'self' https:" in page.headers["Content-Security-Policy"]


def test_a_logo_that_has_gone_leaves_the_name(tmp_path: Path) -> None:
    page = Site(site_logo=str(tmp_path / "gone.png")).client.get("/m/cab-01").text
    assert "/static/logo" not in page
    assert "Test Arcade</a>" in page
