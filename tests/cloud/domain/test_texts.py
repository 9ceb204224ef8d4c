"""Texts that operators write: one line, not too long, nothing that cannot be seen."""

import pytest

from arcade_cloud.domain.machines import MachineChange, checked
from arcade_cloud.domain.texts import checked_line, is_picture_address
from arcade_cloud.errors import BadRequest


@pytest.mark.parametrize(
    "text", ["Space Duel", "Pac-Man é ü 街机 كابينة", "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}", ""]
)
def test_what_people_write_is_taken_without_the_spaces_around_it(text: str) -> None:
    assert checked_line(f"  {text} ", "the name", 80) == text


@pytest.mark.parametrize(
    "text", ["a\nb", "a\x1b[31mb", "a\udcffb", "a\N{RIGHT-TO-LEFT OVERRIDE}b", "\N{ZERO WIDTH SPACE}"]
)
def test_what_cannot_be_shown_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="the reason must be one line of text") as refused:
        checked_line(text, "the reason", 80)
    assert str(refused.value).isascii()


def test_a_text_is_not_cut_but_refused() -> None:
    assert checked_line("x" * 80, "the name", 80) == "x" * 80
    with pytest.raises(BadRequest, match="has 81 characters: at most 80"):
        checked_line("x" * 81, "the name", 80)


@pytest.mark.parametrize("url", ["https://arcade.example/duel.png", "/static/duel.png"])
def test_a_picture_is_loaded_from_here_or_with_https(url: str) -> None:
    assert is_picture_address(url)
    assert checked(MachineChange(picture_url=f" {url}")).picture_url == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "duel.png",
        "http://arcade.example/duel.png",
        "//other.example/x",
        "/\\other.example/x",
        "https://a b/x",
    ],
)
def test_a_picture_that_no_page_would_show_is_refused(url: str) -> None:
    assert not is_picture_address(url)
    with pytest.raises(BadRequest, match="begins with https://"):
        checked(MachineChange(picture_url=url))


def test_what_is_not_named_stays_unnamed_and_nothing_clears_a_text() -> None:
    assert checked(MachineChange()).named == {}
    assert checked(MachineChange(name=" ", picture_url="")).named == {"name": "", "picture_url": ""}
