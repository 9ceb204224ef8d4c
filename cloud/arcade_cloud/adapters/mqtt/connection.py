"""What all of the cloud's connections to the broker have in common."""

import functools
import time

from arcade_shared.mqtt import Cause, Connection

# A dead connection is noticed within twice this time, even if nobody publishes.
KEEPALIVE_S = 20
# From the TCP and TLS connection to the broker's acceptance, subscriptions included.
OPEN_WITHIN_S = 5.0

cloud_connection = functools.partial(
    Connection,
    greet_within_s=OPEN_WITHIN_S,
    hints={
        Cause.LOGIN: "check MQTT_USERNAME and MQTT_PASSWORD",
        Cause.CERTIFICATE: "see MQTT_CA_FILE",
    },
    # AWS Lambda suspends a process between two requests. Meanwhile one of the clocks may stand still.
    clocks=(time.monotonic, time.time),
)
