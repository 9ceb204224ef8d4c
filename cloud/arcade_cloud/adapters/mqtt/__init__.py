"""The broker: `Publisher` sends messages to the machines, `Listener` takes in theirs."""

from typing import TYPE_CHECKING

from arcade_cloud.adapters.mqtt.publisher import Publisher

if TYPE_CHECKING:
    from arcade_cloud.adapters.mqtt.feed import FeedState
    from arcade_cloud.adapters.mqtt.listener import Listener, host_id
    from arcade_cloud.adapters.mqtt.listening_check import try_listening

__all__ = ["FeedState", "Listener", "Publisher", "host_id", "try_listening"]


def __getattr__(name: str) -> object:
    """Import the listener only if it is used. AWS Lambda never uses it, and its cold start must be short."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from arcade_cloud.adapters.mqtt import feed, listener, listening_check

    return getattr({"FeedState": feed, "try_listening": listening_check}.get(name, listener), name)
