"""Where the broker is, and as whom to enter it."""

import ipaddress
from dataclasses import dataclass, field

TLS_PORT = 8883


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """How to reach and enter the broker. With `tls`, `ca_file` None means the system's own authorities."""

    host: str
    port: int = TLS_PORT
    tls: bool = True
    ca_file: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host` stays on this computer."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
