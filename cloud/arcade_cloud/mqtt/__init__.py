"""The broker: `Publisher` sends to the machines, `Listener` takes in what they say."""

from arcade_cloud.mqtt.feed import FeedState
from arcade_cloud.mqtt.listener import Listener, try_listening
from arcade_cloud.mqtt.publisher import Publisher

__all__ = ["FeedState", "Listener", "Publisher", "try_listening"]
