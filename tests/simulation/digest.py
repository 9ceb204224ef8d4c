"""What a run did to the world, as one short text: equal before and after a change that changes no behaviour.

It is made of pulses, commands, revokes, acks, echoes, money and the times of all of them. Names are left out: ids
count by the order in which they first appear, and states, events and kinds of alerts not at all. So the code may
be renamed and its records rebuilt, and the digest stays.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from simulation.evidence import Evidence, Said

_ACK_FIELDS = ("final", "credits", "delivered", "uncertain")
_MONEY_FIELDS = ("amount", "paid_ms", "kept", "refunds_failed", "hold_until_ms")


def digest(evidence: Evidence) -> str:
    """Sixteen hex digits."""
    numbers: dict[str, int] = {}

    def number(name: str | None) -> int | None:
        return None if name is None else numbers.setdefault(name, len(numbers))

    def said(words: Iterable[Said]) -> list[tuple[Any, ...]]:
        return [
            (s.at_ms, number(s.fields.get("creditId")), *(s.fields.get(name) for name in _ACK_FIELDS))
            for s in words
        ]

    seen = (
        [
            (number(p.line), number(p.credit_id), p.index, p.on_ms, p.off_ms, p.cut, p.failed)
            for p in evidence.pulses
        ],
        [
            (c.at_ms, number(c.machine_id), number(c.credit_id), c.credits, number(c.installation), c.expires_ms)
            for c in evidence.commands
        ],
        [(r.at_ms, number(r.credit_id)) for r in evidence.revokes],
        said(evidence.heard),
        said(evidence.told),
        evidence.echoes,
        [
            (number(line["id"]), *(line.get(name) for name in _MONEY_FIELDS))
            for line in sorted(evidence.money, key=lambda line: str(line["id"]))
        ],
        [(step.at_ms, number(step.order_id), step.delivered, number(step.credit_id)) for step in evidence.steps],
        (len(evidence.alerts), len(evidence.posted), len(evidence.orders), evidence.ended_ms),
    )
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
