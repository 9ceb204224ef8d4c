"""The broker: `Publisher` sends to the machines, `Listener` takes in what they say."""

from typing import TYPE_CHECKING

from arcade_cloud.adapters.mqtt.publisher import Publisher

if TYPE_CHECKING:
    from arcade_cloud.adapters.mqtt.feed import FeedState
    from arcade_cloud.adapters.mqtt.listener import Listener, try_listening

__all__ = ["FeedState", "Listener", "Publisher", "try_listening"]


def __getattr__(name: str) -> object:
    """What listens is imported when it is asked for: never on AWS Lambda, whose cold start must be short."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from arcade_cloud.adapters.mqtt import feed, listener

    return getattr(feed if name == "FeedState" else listener, name)
