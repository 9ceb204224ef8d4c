"""Trial messages: they show whether a topic may be written and read, and mean nothing to anybody.

They have no signature, so agent and cloud drop them. To software that believes a coinpulse without one, it is one
of no credits, for a machine that does not exist. None is published on gameover, where everybody would hear it.
"""

import json
from typing import Final

from arcade_shared.topics import Kind

# What `arcade-edge doctor` calls itself in the status with which it asks the cloud for its time. The cloud answers
# it with trial messages as well, on the topics that a machine's user may not write to itself.
DOCTOR: Final = "arcade-edge doctor"
# No machine's id: it is in the payload in place of one.
NOBODY: Final = "arcade-edge-doctor"
# Longer than any broker needs to hand a message on; and no longer, for nobody is to find it later.
EXPIRY_S: Final = 10


def trial(kind: Kind, mark: str, timestamp: str) -> bytes:
    """The payload of one, with a mark by which it is known again."""
    fields: dict[str, object] = {"machineId": NOBODY, "timestamp": timestamp, "note": f"a trial message, {mark}"}
    if kind == "coinpulse":
        fields["credits"] = 0
    return json.dumps(fields).encode()
