"""Whether this cloud would hear its machines.

A broker's word is no proof: Mosquitto with an access list in a file grants every subscription, and then hands on
nothing. So notes without a signature are published, which every cloud refuses, in the name of a machine that does
not exist; those that the broker takes must come. What this user may not publish itself stays unproven.
"""

import json
import queue
import secrets
import threading
import time

from arcade_cloud.adapters.mqtt.connection import KEEPALIVE_S, OPEN_WITHIN_S, cloud_connection
from arcade_cloud.adapters.mqtt.listener import ACK_TOPICS, STATUS_TOPICS
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.mqtt import Puback, Received
from arcade_shared.topics import ECHO, every_machine, machine_topic

# What a broker that is connected needs to hand on three small messages, with much room.
COME_WITHIN_S = 5.0
# Nobody else is to find them later.
EXPIRY_S = 10


def try_listening(address: BrokerAddress) -> str | None:
    """Connect and subscribe once, in a separate session, and see whether messages come.

    Returns:
        What is wrong, in a sentence, or None.
    """
    happened: queue.SimpleQueue[Received | tuple[int, Puback]] = queue.SimpleQueue()
    connection = cloud_connection(
        address,
        f"arcade-cloud-check-{secrets.token_hex(6)}",
        topics=(*ACK_TOPICS, *STATUS_TOPICS),
        keepalive_s=KEEPALIVE_S,
        on_message=happened.put,
        on_puback=lambda number, puback: happened.put((number, puback)),
    )
    threading.Thread(target=connection.run, name="check", daemon=True).start()
    try:
        if not connection.wait_until_settled(3 * OPEN_WITHIN_S):
            return connection.end or "the broker does not answer"
        if connection.refusal:
            return connection.refusal
        stranger = f"check-{secrets.token_hex(8)}"
        # Not on gameover: other software might take it for real.
        waiting = {
            ECHO: ECHO,
            machine_topic(stranger, "ack"): every_machine("ack"),
            machine_topic(stranger, "status"): every_machine("status"),
        }
        mark = secrets.token_hex(16)
        note = json.dumps({"note": f"arcade-cloud check tries what this user hears ({mark})"}).encode()
        sent = {connection.publish(topic, note, expiry_s=EXPIRY_S): topic for topic in waiting}
        until_s = time.monotonic() + COME_WITHIN_S
        while waiting and (left_s := until_s - time.monotonic()) > 0 and not connection.is_over:
            try:
                event = happened.get(timeout=min(left_s, 0.5))
            except queue.Empty:
                continue
            if isinstance(event, Received):
                connection.acknowledge(event.number, event.qos)
                if mark.encode() in event.payload:
                    waiting.pop(event.topic, None)
            elif event[1].is_refusal:
                waiting.pop(sent.get(event[0], ""), None)
        if connection.is_over:
            return connection.end
        if waiting:
            unheard = ", ".join(waiting.values())
            return f"the broker grants the subscriptions, but nothing comes: let MQTT_USERNAME read {unheard}"
        return None
    finally:
        connection.close()
