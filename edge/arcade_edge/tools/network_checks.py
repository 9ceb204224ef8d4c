"""The doctor's look at name, network and TLS: nothing that a running agent would notice.

Which of TLS and plain MQTT a port speaks is found out by speaking both, so that a wrong port and a wrong `tls` are
told from a wrong certificate. No password is sent.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from arcade_edge.tools.verdicts import Verdict, bad, doubtful, good
from arcade_shared.broker_address import TLS_PORT, BrokerAddress, is_loopback
from arcade_shared.mqtt import CONNECT_WITHIN_S

CERTIFICATE_ENDS_SOON_DAYS = 14
# A CONNECT of MQTT 5 without a user (section 3.1), and the first byte of every answer to it.
_GREETING = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00"
_CONNACK = b"\x20"
# OpenSSL's X509_V_ERR_*, as Python tells them in `verify_code`.
_NOT_NOW = frozenset({9, 10})
_NOT_THIS_HOST = frozenset({62, 64})
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})


def examine_connection(broker: BrokerAddress) -> Iterator[Verdict]:
    """Name and network, then TLS."""
    try:
        with _connected(broker) as connection:
            yield good("network", f"{broker} can be reached")
            yield _tls(broker, connection) if broker.tls else _no_tls(broker)
    except OSError as error:
        yield bad("network", f"{broker} cannot be reached: {_why_not(broker, error)}")


def _why_not(broker: BrokerAddress, error: OSError) -> str:
    match error:
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return "no name can be looked up: check this computer's network"
        case socket.gaierror():
            return f"there is no host named {broker.host}: check host in [broker], and this computer's network"
        case ConnectionRefusedError():
            return (
                f"nobody listens on port {broker.port} there: check port in [broker], and whether the broker runs"
            )
        case TimeoutError():
            return "it does not answer: check host and port in [broker], and firewalls on the way"
    return f"{error.strerror or error}: check host and port in [broker], and this computer's network"


def _connected(broker: BrokerAddress) -> socket.socket:
    return socket.create_connection((broker.host, broker.port), CONNECT_WITHIN_S)


def _no_tls(broker: BrokerAddress) -> Verdict:
    if _speaks_tls(broker):
        return bad("TLS", f"off, but port {broker.port} is for TLS: set tls = true in [broker]")
    if is_loopback(broker.host):
        return good("TLS", "off, for a broker on this computer")
    return doubtful("TLS", "off: anyone between here and the broker can read the password")


def _tls(broker: BrokerAddress, connection: socket.socket) -> Verdict:
    try:
        context = ssl.create_default_context(cafile=broker.ca_file)
    except OSError as error:
        return bad("TLS", f"ca_file in [broker], {broker.ca_file}, cannot be used: {_reason(error)}")
    try:
        with context.wrap_socket(connection, server_hostname=broker.host) as secured:
            until_s = ssl.cert_time_to_seconds(str((secured.getpeercert() or {})["notAfter"]))
            version = secured.version()
    except ssl.SSLCertVerificationError as error:
        return bad(
            "TLS", f"the broker's certificate is not accepted: {error.verify_message}; {_remedy(broker, error)}"
        )
    except OSError as error:
        if _speaks_plainly(broker):
            return bad(
                "TLS",
                f"port {broker.port} is for MQTT without TLS: set port in [broker] to the broker's port for TLS, "
                f"usually {TLS_PORT} (tls = false is only for a broker on this computer)",
            )
        return bad("TLS", f"no TLS on port {broker.port}: {_reason(error)}; check host and port in [broker]")
    days = int((until_s - time.time()) // 86_400)
    text = f"{version}; the broker's certificate is valid for {days} more days"
    return (doubtful if days < CERTIFICATE_ENDS_SOON_DAYS else good)("TLS", text)


def _remedy(broker: BrokerAddress, error: ssl.SSLCertVerificationError) -> str:
    today = datetime.now(UTC).date()
    if error.verify_code in _NOT_NOW:
        return f"if this computer's date is wrong ({today}), set it (timedatectl); else the broker needs a new one"
    if error.verify_code in _NOT_THIS_HOST:
        return f"it is for another name than {broker.host}: check host in [broker]"
    if error.verify_code in _UNKNOWN_AUTHORITY and broker.ca_file:
        return f"{broker.ca_file} is not the authority that has signed it: name the one that has in ca_file"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return (
            "this computer does not know who has signed it: get the authority's file (PEM) from whoever runs the "
            "broker, and name it as ca_file in [broker]"
        )
    return f"check host and ca_file in [broker], and this computer's date ({today}; timedatectl)"


def _reason(error: OSError) -> str:
    """What OpenSSL or the system says, without the numbers around it."""
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return (
        str(reason or error).replace("_", " ").lower() if isinstance(error, ssl.SSLError) else str(reason or error)
    )


def _speaks_tls(broker: BrokerAddress) -> bool:
    """Whether a handshake begins there, whatever the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent over it
    try:
        with _connected(broker) as connection, context.wrap_socket(connection, server_hostname=broker.host):
            return True
    except OSError:
        return False


def _speaks_plainly(broker: BrokerAddress) -> bool:
    """Whether MQTT's answer comes, be it a refusal, to a greeting without TLS and without a user."""
    with suppress(OSError), _connected(broker) as connection:
        connection.sendall(_GREETING)
        return connection.recv(1) == _CONNACK
    return False
