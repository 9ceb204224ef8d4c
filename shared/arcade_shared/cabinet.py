"""What the cloud says of every cabinet, and the agent in it does: each figure stands here once."""

import re
from typing import Final

# No command keeps a coin line busy for longer: the player stands in front of the machine, and a machine that is
# still pulsing is not silent. The agent tells how many credits fit (`maxCredits`), and nothing larger is sold.
MAX_TRAIN_S = 60

# How the reason begins of a train of which the coin meter registered fewer coins than were pulsed, and the reason
# of a machine that is out of sale for it.
NOT_REGISTERED: Final = "coins not registered"
_SHORT = re.compile(rf"{NOT_REGISTERED}: \d{{1,4}} of (\d{{1,4}})", re.ASCII)

# Where the agent's journal is. Another place is another journal, so another installation.
JOURNAL_PATH = "/var/lib/arcade/journal.sqlite"


def short_train(registered: int, pulsed: int) -> str:
    """How the reason of a train begins of which the coin meter registered fewer coins than were pulsed."""
    return f"{NOT_REGISTERED}: {registered} of {pulsed}"


def pulsed_in(reason: str) -> int | None:
    """How many coins were pulsed, in such a reason; None in any other."""
    found = _SHORT.match(reason)
    return None if found is None else int(found[1])
