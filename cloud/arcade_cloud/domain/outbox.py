"""What other software is told, and the life of each message to it (pure).

An event becomes one posting for each endpoint that wants it, stored in the transaction that makes the event. A
posting waits until its time, is tried, and is over once it has arrived or is given up. An event has one id for all
endpoints and all tries, made of what has happened alone, so whoever gets it twice can tell.
"""

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from arcade_cloud.domain import books
from arcade_cloud.domain.money import plain_amount
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.domain.texts import ADDRESS_LENGTH
from arcade_cloud.errors import BadRequest
from arcade_shared.times import format_ms

EventType = Literal["play.delivered", "order.refunded", "machine.offline"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
# What `webhook test` sends; nobody can ask for it.
TEST = "test"
# Each of them is one more record for each event, in the transaction that makes it.
ENDPOINTS_AT_MOST = 5
# Postings of one step of an order, of a hundred records that a transaction of DynamoDB takes.
POSTINGS_AT_MOST = 25
# How long after a failed try the next one follows; the last number counts for all later ones.
AGAIN_S = (10, 30, 120, 600, 1_800, 3_600)
# A posting that fails so long after its first try is given up.
GIVE_UP_MS = 24 * 3_600_000
# Postings are kept for so long after their event, to be sent again.
KEPT_MS = 30 * 86_400_000
ERROR_LENGTH = 200
# Narrower than the standard: whatever reads it later, reads the same host.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?"
    r"([/?][!-\"$-~]*)?",
    re.ASCII,
)


class Endpoint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where other software takes events in.

    Its secret is derived from the signing secret and its id (`Keyring.of_endpoint`), so none is stored.

    Attributes:
        events: The types that it wants. A later version may know others.
    """

    endpoint_id: str
    url: str
    events: tuple[str, ...]
    created_at_ms: int
    created_by: str = ""

    @property
    def host(self) -> str:
        """Its host, for people: the rest of its address may hold a token."""
        found = _URL.fullmatch(self.url)
        return "?" if found is None else found["host"]


class Posting(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event on its way to one endpoint.

    Attributes:
        type: An `EventType`, or one of a later version.
        at_ms: When it happened.
        body: The JSON that is sent, the same at every try.
        since_ms: When it was first tried; until then, when it was stored or sent again by the operator.
        due_at_ms: When it is to be tried; None once it is over.
        tries: How often it was tried since `since_ms`.
        error: Why the last try failed.
    """

    event_id: str
    endpoint_id: str
    type: str
    at_ms: int
    body: str
    since_ms: int
    due_at_ms: int | None
    tries: int = 0
    delivered_at_ms: int | None = None
    given_up_at_ms: int | None = None
    error: str = ""

    @property
    def state(self) -> str:
        """What became of it so far."""
        if self.delivered_at_ms is not None:
            return "arrived"
        return "waits" if self.given_up_at_ms is None else "given up"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that other software may want to know."""

    event_id: str
    type: str
    at_ms: int
    data: dict[str, object]


# --- what happens ----------------------------------------------------------------------------------------


def of_step(before: Order, after: Order, at_ms: int) -> list[Event]:
    """What a step of an order tells."""
    found = [
        _play(after, number, credit, at_ms)
        for number, (was, credit) in enumerate(zip(before.credits, after.credits, strict=False))
        if was.resolution is None and credit.resolution is not None and credit.resolution.delivered > 0
    ]
    refunded = given_back_minor(after) if books.settles(before, after) else 0
    if refunded > 0:
        found.append(_refund(after, refunded, at_ms))
    return found


def given_back_minor(order: Order) -> int:
    """What the player has back of what was held or taken, by what Stripe showed: released, or refunded.

    Of a tab, what was refunded, and what was delivered and is let go: the rest of its hold was never to be paid.
    """
    payment = order.payment
    if payment is None or payment.shown is None:
        return 0
    shown = payment.shown
    if order.tab is not None:
        return shown.refunded_minor + max(0, order.earned_minor - shown.received_minor - order.books.lost_minor)
    return max(0, shown.amount_minor - shown.received_minor + shown.refunded_minor)


def machine_offline(alert_id: str, machine_id: str, name: str, last_heard_ms: int, at_ms: int) -> Event:
    """A machine has fallen silent. The condition that this begins gives the event its id."""
    data: dict[str, object] = {"machineId": machine_id, "name": name, "lastHeardAt": format_ms(last_heard_ms)}
    return Event(_id("machine.offline", alert_id), "machine.offline", at_ms, data)


def _play(order: Order, number: int, credit: Credit, at_ms: int) -> Event:
    delivered = 0 if credit.resolution is None else credit.resolution.delivered
    is_free = order.payment is None
    data: dict[str, object] = {
        "orderId": order.order_id,
        "code": order.code,
        "machineId": credit.machine_id,
        "creditId": None if credit.command is None else credit.command.credit_id,
        "credits": credit.count,
        "delivered": delivered,
        "currency": None if is_free else order.currency.upper(),
        "amount": None if is_free else plain_amount(credit.earned_minor(order.currency), order.currency),
    }
    return Event(_id("play.delivered", order.order_id, str(number)), "play.delivered", at_ms, data)


def _refund(order: Order, refunded_minor: int, at_ms: int) -> Event:
    shown = None if order.payment is None else order.payment.shown
    paid_minor = order.amount_minor if shown is None else shown.amount_minor
    if order.tab is not None:
        paid_minor = max(order.earned_minor, 0 if shown is None else shown.received_minor)

    def amount(minor: int) -> str:
        return plain_amount(minor, order.currency)

    data: dict[str, object] = {
        "orderId": order.order_id,
        "code": order.code,
        "machineId": order.machine_id,
        "currency": order.currency.upper(),
        "paid": amount(paid_minor),
        "refunded": amount(refunded_minor),
        "kept": amount(max(0, paid_minor - refunded_minor)),
    }
    # If the order is settled again with the same sum given back, that is no news.
    return Event(_id("order.refunded", order.order_id, str(refunded_minor)), "order.refunded", at_ms, data)


def _id(*what: str) -> str:
    return "evt_" + hashlib.sha256("\n".join(what).encode()).hexdigest()[:32]


def postings(events: Iterable[Event], endpoints: Sequence[Endpoint], site: str) -> tuple[Posting, ...]:
    """What is sent to whom, at most POSTINGS_AT_MOST."""
    found = [
        new_posting(event, endpoint.endpoint_id, site)
        for event in events
        for endpoint in endpoints
        if event.type in endpoint.events
    ]
    return tuple(found[:POSTINGS_AT_MOST])


def new_posting(event: Event, endpoint_id: str, site: str) -> Posting:
    """An event for one endpoint, to be sent at once."""
    body = {
        "id": event.event_id,
        "type": event.type,
        "created": format_ms(event.at_ms),
        "site": site,
        "data": event.data,
    }
    return Posting(
        event_id=event.event_id,
        endpoint_id=endpoint_id,
        type=event.type,
        at_ms=event.at_ms,
        body=json.dumps(body, separators=(",", ":"), ensure_ascii=False),
        since_ms=event.at_ms,
        due_at_ms=event.at_ms,
    )


# --- the life of a posting -------------------------------------------------------------------------------


def trying(posting: Posting, now_ms: int) -> Posting:
    """The posting just before it is tried. If this process dies, or nobody answers, it is due again later."""
    wait_s = AGAIN_S[min(posting.tries, len(AGAIN_S) - 1)]
    since_ms = posting.since_ms if posting.tries else now_ms  # a cloud that was down counts for nothing
    return msgspec.structs.replace(
        posting, tries=posting.tries + 1, since_ms=since_ms, due_at_ms=now_ms + 1000 * wait_s
    )


def arrived(posting: Posting, now_ms: int) -> Posting:
    """The posting once the endpoint has taken it."""
    return msgspec.structs.replace(posting, due_at_ms=None, delivered_at_ms=now_ms, given_up_at_ms=None, error="")


def failed(posting: Posting, error: str) -> Posting:
    """The posting after a try in vain."""
    return msgspec.structs.replace(posting, error=error[:ERROR_LENGTH])


def is_hopeless(posting: Posting, now_ms: int) -> bool:
    """Whether one more failure is the last."""
    return now_ms - posting.since_ms >= GIVE_UP_MS


def given_up(posting: Posting, now_ms: int) -> Posting:
    """The posting once it is not tried any more."""
    return msgspec.structs.replace(posting, due_at_ms=None, given_up_at_ms=now_ms)


def again(posting: Posting, now_ms: int) -> Posting:
    """The posting once the operator has it sent again, whether or not it has arrived before."""
    return msgspec.structs.replace(
        posting, due_at_ms=now_ms, since_ms=now_ms, tries=0, delivered_at_ms=None, given_up_at_ms=None, error=""
    )


def signature(secrets: Sequence[str], body: bytes, at_s: int) -> str:
    """The header that proves who sent this, as Stripe writes its own.

    Args:
        secrets: The endpoint's; several while the signing secret is rotated: any of them is enough.
        at_s: Now, epoch seconds. It is signed too, so an old message can be told.
    """
    macs = (hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join((f"t={at_s}", *(f"v1={mac}" for mac in macs)))


# --- addresses -------------------------------------------------------------------------------------------

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Where clouds have their metadata, but for 169.254.169.254 and others that are link-local: EC2 and Google by IPv6,
# Alibaba, Azure (its WireServer), Oracle's older one.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    )
)
# Who resolves what ends so takes it for an IPv4 address: 2852039166, 0xa9.1 (WHATWG's "ends in a number").
_NUMBER_AT_END = re.compile(r"(.*\.)?([0-9]+|0[xX][0-9A-Fa-f]*)\.?", re.ASCII)
_OF_NOBODY = (ipaddress.ip_network("0.0.0.0/8"), ipaddress.ip_network("240.0.0.0/4"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def checked_url(text: str) -> str:
    """The address of an endpoint.

    Raises:
        BadRequest: It is none, or nothing may be sent there.
    """
    url = text.strip()
    if len(url) > ADDRESS_LENGTH:
        raise BadRequest(f"the address has {len(url)} characters: at most {ADDRESS_LENGTH} are taken")
    found = _URL.fullmatch(url)
    if found is None or not 0 < int(found["port"] or 443) <= 65535:
        # The address stays out of the text, which the audit log keeps: it may hold a password.
        raise BadRequest(
            "this cannot be the address: write https://host/path, in ASCII, without user, password or #"
        )
    host = found["host"].strip("[]")
    try:
        address: _Address | None = ipaddress.ip_address(host)
    except ValueError:
        address = None
        if found["host"].startswith("[") or _NUMBER_AT_END.fullmatch(host):
            raise BadRequest(
                "an IP address is written with four decimal numbers, or as IPv6 in brackets"
            ) from None
    is_here = host.rstrip(".").lower() == "localhost" or (address is not None and address.is_loopback)
    if found["scheme"] == "http" and not is_here:
        raise BadRequest("the address must begin with https://; http:// is for this computer alone")
    if address is not None and (why := why_refused(address)) is not None:
        raise BadRequest(f"nothing is sent to {host}: {why}")
    return url


def why_refused(address: _Address) -> str | None:
    """Why nothing is sent to an IP address; None if it may be.

    Networks at the arcade may be private ones, and the operator chooses the address. But a cloud's metadata
    service gives its credentials to whoever asks from the host.
    """
    for one in (address, *_within(address)):
        if one.is_link_local:
            return "it is link-local, where clouds have their metadata"
        if one in _METADATA:
            return "a cloud has its metadata there"
        if one.is_multicast or one.is_unspecified or any(one in network for network in _OF_NOBODY):
            return "it is no host's"
    return None


def _within(address: _Address) -> Iterator[_Address]:
    """The IPv4 address that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address in _NAT64 or (int(address) >> 32 == 0 and not address.is_loopback):
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
