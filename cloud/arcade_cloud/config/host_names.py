"""Host names as a browser sends them (pure)."""

import ipaddress
import re

# Letters, digits and hyphens, as DNS has them; underscores, because container networks use them.
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_MAX_NAME = 253
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[^\[\]:/?#@]+)(:(?P<port>[0-9]{1,5})?)?")


def host_name(text: str) -> str | None:
    """The name in a Host header (`name`, `name:port`, `[ipv6]:port`), in lower case; None if it is none.

    A name that is not written in ASCII is returned as browsers send it.
    """
    found = _HOST.fullmatch(text)
    if found is None or int(found["port"] or 0) > 65535:
        return None
    host = found["host"]
    if host.startswith("["):
        return host[1:-1].lower() if is_ip_address(host[1:-1]) else None
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return None
    name = name.lower()
    return name.rstrip(".") if len(name) <= _MAX_NAME and _NAME.fullmatch(name) else None


def is_ip_address(name: str) -> bool:
    """Whether a host is a plain IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
