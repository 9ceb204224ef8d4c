"""What operators write for people to read: names, contacts, reasons (pure)."""

from arcade_cloud.errors import BadRequest

NAME_LENGTH = 80
LOCATION_LENGTH = 80
CONTACT_LENGTH = 120
ADDRESS_LENGTH = 500
REASON_LENGTH = 300
TOKEN_LENGTH = 300
# They join or part letters, in emoji and in several scripts, and show nothing themselves.
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def checked_line(text: str, what: str, at_most: int) -> str:
    """One line of text, without the spaces around it.

    Args:
        what: What it is, for the message: "the name".

    Raises:
        BadRequest: It is too long, or has characters that cannot be shown, such as a line's end or what turns the
            direction of writing.
    """
    line = text.strip()
    hidden = next((char for char in line if not (char.isprintable() or char in _JOINERS)), None)
    if hidden is not None:
        raise BadRequest(f"{what} must be one line of text: it cannot contain {hidden!a}")
    if len(line) > at_most:
        raise BadRequest(f"{what} has {len(line)} characters: at most {at_most} are shown")
    return line


def is_picture_address(url: str) -> bool:
    """Whether a player's page may load a picture from there: from a site with HTTPS, or from this one."""
    is_here = url.startswith("/") and not url.startswith("//")
    # Browsers take a backslash for a slash.
    return (is_here or url.startswith("https://")) and not any(char.isspace() or char == "\\" for char in url)
