"""The broker's address, read from whatever people paste (pure)."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from arcade_shared.broker_address import TLS_PORT

PLAINTEXT_PORT = 1883
# EMQX Serverless lets one client publish 10 messages a second. Anything faster waits unread, and may be delivered
# after we have given up on it. So we hold it back ourselves, and know that it was not sent.
EMQX_SERVERLESS_PUBLISHES_PER_S = 10

_ENCRYPTED = frozenset({"mqtts", "ssl", "tls", "mqtt+ssl", "mqtt+tls"})
_PLAINTEXT = frozenset({"mqtt", "tcp"})
# Addresses of the same host for another protocol: the host is right, the port is not.
_OTHER_PROTOCOLS = frozenset({"http", "https", "ws", "wss"})
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?\.?")
_EXAMPLES = "such as abc123.ala.eu-central-1.emqxsl.com, broker.example:8883 or mqtts://broker.example:8883"


@dataclass(frozen=True, slots=True)
class Pasted:
    """What an address says. `port` and `tls` are None if it does not say."""

    host: str
    port: int | None
    tls: bool | None


def parse(text: str) -> Pasted:
    """Find host, port and encryption in `text`.

    Accepted: `host`, `host:port`, `[ipv6]:port`, with or without a scheme (mqtts, ssl, tls, mqtt, tcp). Only the
    host is taken from an address for another protocol (https, wss), which consoles show too.

    Raises:
        ValueError: with what to write instead.
    """
    parts = _split(text.strip())
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password: they go into MQTT_USERNAME and MQTT_PASSWORD")
    host = parts.hostname or ""
    if not _is_host(host):
        raise ValueError(f"is not the address of a broker: write a host name, {_EXAMPLES}")
    if parts.scheme in _OTHER_PROTOCOLS:
        return Pasted(host, None, None)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is not None and not 1 <= port <= 65535:
        raise ValueError("has a port that is not a number between 1 and 65535")
    if parts.scheme in _ENCRYPTED:
        return Pasted(host, port, True)
    if parts.scheme in _PLAINTEXT and port not in {None, TLS_PORT}:
        return Pasted(host, port, False)
    return Pasted(host, port, None)


def _split(text: str) -> SplitResult:
    """Split `text` as a URL; without a scheme it is a host."""
    if text.count(":") > 1 and "://" not in text and not text.startswith("["):
        text = f"[{text}]"  # an IPv6 address as people write it
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
    except ValueError:
        raise ValueError(f"is not the address of a broker: write a host name, {_EXAMPLES}") from None
    if parts.scheme not in {"", *_ENCRYPTED, *_PLAINTEXT, *_OTHER_PROTOCOLS}:
        raise ValueError(f"has the scheme {parts.scheme}://, which is not one of MQTT's: write mqtts://")
    return parts


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return _HOST.fullmatch(host) is not None and ".." not in host


def is_emqx_serverless(host: str) -> bool:
    """Whether `host` is a deployment of EMQX Serverless, by the names that EMQX gives them."""
    return host.lower().rstrip(".").endswith((".emqxsl.com", ".emqxsl.cn"))
