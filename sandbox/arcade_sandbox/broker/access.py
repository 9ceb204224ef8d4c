"""Users and access lists for the sandbox's broker, as Mosquitto's dynamic-security plugin reads them."""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from arcade_shared.topics import ECHO, Kind, every_machine, machine_topic

Role = Literal["cloud", "machine", "listener", "bench", "none"]

_FROM_CLOUD: tuple[Kind, ...] = ("coinpulse", "revoke", "clock", "gameover")
_TO_CLOUD: tuple[Kind, ...] = ("ack", "status", "gameover")
_FROM_MACHINE: tuple[Kind, ...] = ("ack", "status", "gameover")
_TO_MACHINE: tuple[Kind, ...] = ("coinpulse", "revoke", "clock")
_PUBLIC: tuple[Kind, ...] = ("coinpulse", "gameover")

_PASSWORD_ITERATIONS = 101  # the plugin's own number; these passwords only protect a loopback port


@dataclass(frozen=True)
class User:
    """Somebody who may log in.

    Attributes:
        role: `cloud` sends commands to all machines and receives their messages. `machine`, whose name is the
            machine id, has its own topics only. `listener` reads the public topics. `bench` may do everything,
            like someone in full control of the broker. `none` may only log in.
    """

    name: str
    password: str = field(repr=False)
    role: Role


def _access(user: User) -> tuple[list[str], list[str]]:
    """The topics to which the user may publish and subscribe.

    Raises:
        BadTopic: The user is a machine, but its name is not a machine id.
    """
    match user.role:
        case "cloud":
            return [*map(every_machine, _FROM_CLOUD), ECHO], [*map(every_machine, _TO_CLOUD), ECHO]
        case "machine":
            return (
                [machine_topic(user.name, kind) for kind in _FROM_MACHINE],
                [machine_topic(user.name, kind) for kind in _TO_MACHINE],
            )
        case "listener":
            return [], [*map(every_machine, _PUBLIC)]
        case "bench":
            return ["#"], ["#"]
        case "none":
            return [], []


def _allow(kind: str, topics: Sequence[str]) -> list[dict[str, object]]:
    return [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for topic in topics]


def dynamic_security(users: Sequence[User]) -> dict[str, object]:
    """The plugin's settings. Every user has its own role, and only what the role allows is allowed."""
    clients, roles = [], []
    for user in users:
        salt = secrets.token_bytes(12)
        hashed = hashlib.pbkdf2_hmac("sha512", user.password.encode(), salt, _PASSWORD_ITERATIONS)
        role_name = f"{user.role}:{user.name}"
        publish, subscribe = _access(user)
        allowed = [
            *_allow("publishClientSend", publish),
            *_allow("publishClientReceive", subscribe),
            *_allow("subscribePattern", subscribe),
        ]
        clients.append(
            {
                "username": user.name,
                "password": base64.b64encode(hashed).decode(),
                "salt": base64.b64encode(salt).decode(),
                "iterations": _PASSWORD_ITERATIONS,
                "roles": [{"rolename": role_name, "priority": 0}],
            }
        )
        roles.append({"rolename": role_name, "acls": allowed})
    by_default = dict.fromkeys(("publishClientSend", "publishClientReceive", "subscribe"), False)
    return {
        "defaultACLAccess": {**by_default, "unsubscribe": True},
        "clients": clients,
        "groups": [],
        "roles": roles,
    }
