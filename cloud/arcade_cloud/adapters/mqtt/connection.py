"""What the cloud wants of each of its connections to the broker, whatever they are for."""

import functools
import time

from arcade_shared.mqtt import Cause, Connection

# A link that has gone dead while nobody publishes is noticed within twice this time.
KEEPALIVE_S = 20
# From TCP and TLS standing to the broker's consent, subscriptions included.
OPEN_WITHIN_S = 5.0

cloud_connection = functools.partial(
    Connection,
    greet_within_s=OPEN_WITHIN_S,
    hints={
        Cause.LOGIN: "check MQTT_USERNAME and MQTT_PASSWORD",
        Cause.CERTIFICATE: "see MQTT_CA_FILE",
    },
    # AWS Lambda suspends a process between two requests, and one of the clocks may stand still meanwhile.
    clocks=(time.monotonic, time.time),
)
