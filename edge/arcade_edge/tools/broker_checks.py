"""The doctor's look at the broker and, through it, at the cloud: network, TLS, login, access list, signing key.

What is published is harmless. A status that says "offline", for that is the truth, carries a nonce: the cloud
answers it, whoever asks, and an answer signed with the machine's own key proves both ways and the key. A note on
the ack topic, without a signature, is dropped by the cloud; it only shows that the broker lets it pass. Nothing is
tried on the gameover topic, where everybody would hear it.
"""

from __future__ import annotations

import json
import queue
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from arcade_edge.agent.inbox import BAD_SIGNATURE, Addressee, ClockAnswer, Ignored, read_message
from arcade_edge.agent.reports import Will
from arcade_edge.bootstrap import new_link, wall_ms
from arcade_edge.config import Settings
from arcade_edge.mqtt.link import GREET_WITHIN_S, Event
from arcade_edge.ports import Arrived, Confirmed, LinkDown, LinkUp, Receipt
from arcade_edge.tools.verdicts import Verdict, bad, doubtful, good
from arcade_shared.broker_address import BrokerAddress, is_loopback
from arcade_shared.messages import WILL_SEQ, Status
from arcade_shared.mqtt import CONNECT_WITHIN_S
from arcade_shared.signing import seal
from arcade_shared.times import format_ms
from arcade_shared.topics import machine_topic

EVENTS_WAITING = 256
CERTIFICATE_ENDS_SOON_DAYS = 14
# Beyond it, TLS certificates and log lines begin to suffer. Credits do not: they go by the cloud's clock.
CLOCK_OFF_MS = 60_000
# What a broker that is connected needs to confirm two small messages, with much room.
CONFIRM_WITHIN_S = 10.0


def examine_connection(broker: BrokerAddress) -> Iterator[Verdict]:
    """Name, network and TLS alone: nothing that a running agent would notice."""
    try:
        with socket.create_connection((broker.host, broker.port), CONNECT_WITHIN_S) as connection:
            yield good("network", f"{broker} can be reached")
            yield _tls(broker, connection)
    except OSError as error:
        yield bad(
            "network", f"{broker} cannot be reached: {error}; check host and port in [broker], and the network"
        )


def _tls(broker: BrokerAddress, connection: socket.socket) -> Verdict:
    if not broker.tls:
        if is_loopback(broker.host):
            return good("TLS", "off, for a broker on this computer")
        return doubtful("TLS", "off: anyone between here and the broker can read the password")
    try:
        context = ssl.create_default_context(cafile=broker.ca_file)
        with context.wrap_socket(connection, server_hostname=broker.host) as secured:
            until_s = ssl.cert_time_to_seconds(str((secured.getpeercert() or {})["notAfter"]))
            version = secured.version()
    except ssl.SSLCertVerificationError as error:
        today = datetime.now(UTC).date()
        return bad(
            "TLS",
            f"the broker's certificate is not accepted: {error.verify_message}; check host and ca_file in "
            f"[broker], and this computer's date ({today}; timedatectl)",
        )
    except OSError as error:
        return bad("TLS", f"no TLS on port {broker.port}: {error}; check port and ca_file in [broker]")
    days = int((until_s - time.time()) // 86_400)
    text = f"{version}; the broker's certificate is valid for {days} more days"
    return (doubtful if days < CERTIFICATE_ENDS_SOON_DAYS else good)("TLS", text)


def examine_cloud(settings: Settings, installation: str, answer_within_s: float) -> Iterator[Verdict]:
    """Log in as the agent does, with its client id, so no agent may run; publish, and wait for the cloud's answer.

    Commands that wait for the agent are left unacknowledged, so that they wait on.
    """
    events: queue.Queue[Event] = queue.Queue(EVENTS_WAITING)

    def post(event: Event) -> bool:
        try:
            events.put_nowait(event)
        except queue.Full:
            return False
        return True

    nonce, boot_id = secrets.token_hex(16), secrets.token_hex(16)
    topic = machine_topic(settings.machine_id, "status")

    def will(connection: int) -> Will:
        return Will(topic, _status(settings, installation, boot_id, connection, WILL_SEQ))

    link = new_link(settings, installation, will, post)
    link.start()
    try:
        up = _first_word(events)
        if not isinstance(up, LinkUp):
            yield bad("broker login", up.reason if up else "the broker does not answer")
            return
        yield good("broker login", f"as {settings.broker.username or 'nobody'}; it may subscribe to its commands")
        note = {"machineId": settings.machine_id, "note": "arcade-edge doctor tries whether it may publish here"}
        tokens = {
            link.publish(topic, _status(settings, installation, boot_id, up.connection, 0, nonce)): "status",
            link.publish(machine_topic(settings.machine_id, "ack"), json.dumps(note).encode()): "ack",
        }
        addressee = Addressee(settings.machine_id, installation, settings.keys)
        found = _collect(events, tokens, addressee, nonce, answer_within_s, link.acknowledge)
        yield _access(settings.machine_id, found)
        yield from _cloud(found, answer_within_s)
    finally:
        link.stop()


def _status(
    settings: Settings, installation: str, boot_id: str, connection: int, seq: int, nonce: str = ""
) -> bytes:
    return seal(
        settings.keys[0],
        machine_topic(settings.machine_id, "status"),
        Status,
        machine_id=settings.machine_id,
        installation=installation,
        state="offline",
        ready=False,
        reason="doctor",
        max_credits=0,
        nonce=nonce,
        boot_id=boot_id,
        agent="arcade-edge doctor",
        connection=connection,
        seq=seq,
        timestamp=format_ms(wall_ms()),
    )


def _first_word(events: queue.Queue[Event]) -> LinkUp | LinkDown | None:
    """Whether the first attempt to connect went well; None if nothing is heard of it."""
    until = time.monotonic() + CONNECT_WITHIN_S + GREET_WITHIN_S + 1.0
    while (left_s := until - time.monotonic()) > 0:
        try:
            event = events.get(timeout=left_s)
        except queue.Empty:
            return None
        if isinstance(event, LinkUp | LinkDown):
            return event
    return None


@dataclass
class _Found:
    """What became of what was published. `lost`: why the connection has ended, if it has."""

    confirmed: dict[str, Confirmed] = field(default_factory=dict)
    answer: ClockAnswer | None = None
    answered_after_s: float = 0.0
    another_key: bool = False
    lost: str | None = None


def _collect(
    events: queue.Queue[Event],
    tokens: Mapping[Hashable | None, str],
    addressee: Addressee,
    nonce: str,
    answer_within_s: float,
    acknowledge: Callable[[Receipt], None],
) -> _Found:
    """Look at what comes until all is known, or time is up. The answer may overtake the confirmations."""
    found = _Found()
    began_s = time.monotonic()
    while found.lost is None and (found.answer is None or len(found.confirmed) < len(tokens)):
        within_s = CONFIRM_WITHIN_S if found.answer else answer_within_s
        try:
            event = events.get(timeout=max(0.0, began_s + within_s - time.monotonic()))
        except queue.Empty:
            break
        match event:
            case LinkDown(_, reason):
                found.lost = reason
            case Confirmed() if event.token in tokens:
                found.confirmed[tokens[event.token]] = event
            case Arrived():
                request = read_message(event.topic, event.payload, event.retained, addressee)
                if isinstance(request, ClockAnswer):
                    acknowledge(event.receipt)
                    if request.nonce == nonce:
                        found.answer, found.answered_after_s = request, time.monotonic() - began_s
                elif isinstance(request, Ignored) and request.why == BAD_SIGNATURE:
                    found.another_key = True
            case _:
                pass
    return found


def _access(machine_id: str, found: _Found) -> Verdict:
    allow = f"allow this user arcade/machine/{machine_id}/# in the broker's access list"
    for kind in ("status", "ack"):
        confirmed = found.confirmed.get(kind)
        if confirmed is not None and not confirmed.ok:
            return bad("access list", f"it may not publish {kind}: {confirmed.reason}; {allow}")
    if found.lost is not None:
        return bad("access list", f"publishing ended the connection: {found.lost}; {allow}")
    if len(found.confirmed) < 2:
        return bad("access list", f"the broker does not confirm what is published; {allow}")
    return good(
        "access list",
        "it may publish status and ack (gameover is not tried: every subscriber would take it for real)",
    )


def _cloud(found: _Found, waited_s: float) -> Iterator[Verdict]:
    if found.answer is not None:
        yield good(
            "signing key", f"it is the cloud's: the cloud has answered after {found.answered_after_s:.2f} s"
        )
        off_ms = wall_ms() - found.answer.cloud_ms
        direction = "ahead of" if off_ms > 0 else "behind"
        text = f"this computer's clock is {abs(off_ms) / 1000:.0f} s {direction} the cloud's"
        if abs(off_ms) <= CLOCK_OFF_MS:
            yield good("clock", text)
        else:
            yield doubtful(
                "clock", f"{text}; credits do not depend on it, but certificates and logs do: see timedatectl"
            )
        return
    status = found.confirmed.get("status")
    if found.another_key:
        yield bad(
            "signing key",
            "the cloud's messages are signed with another key: use the one that `arcade-cloud machine add` prints",
        )
    elif status is not None and status.reached_nobody:
        yield bad("cloud", "nobody listens to this machine's status: the cloud is not connected to this broker")
    else:
        yield bad(
            "cloud",
            f"no answer within {waited_s:g} s. The cloud ignores machines that are not registered (arcade-cloud "
            "machine list) and messages signed with another key (arcade-cloud machine add prints the right one)",
        )
