"""What version 0.1 left behind: its database, and Stripe and the machines as they were at that moment.

The files are in `tests/fixtures/0.1`; README.md there says how they were made.
"""

import heapq
import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from arcade_cloud.adapters.store.dynamodb.client import Refused, Table
from arcade_cloud.adapters.store.dynamodb.items import Item
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.order import Order
from arcade_cloud.ports.store import Store
from simulation.account_payments import AccountPayments
from simulation.stripe_account import StripeAccount, _Dispute, _Intent, _Refund, _Session
from support.mortal_cloud import CreditThere, MortalCloud

# So long the upgrade has taken: what was on its way may still be delivered.
AWAY_MS = 60_000
LEFT = Path(__file__).parents[1] / "fixtures" / "0.1"


def write_file(path: Path) -> None:
    """Make the database file as it was."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"BEGIN; {(LEFT / 'store.sql').read_text()} COMMIT;")


def write_table(table: Table) -> None:
    """Put the items as they were into an empty table."""
    for line in (LEFT / "table.jsonl").read_text().splitlines():
        match json.loads(line):
            case {"put": item}:
                table.request("put_item", Item=_typed(item))
            case {"update": update}:
                typed = {name: _typed(update[name]) for name in ("Key", "ExpressionAttributeValues")}
                with suppress(Refused):  # as the store does: nothing where the condition does not hold
                    table.write("update_item", {**update, **typed})
            case other:
                raise ValueError(other)


def _typed(item: Item) -> Item:
    """The item with its records as bytes, which JSON has none of."""
    return {name: {"B": str(value["B"]).encode()} if "B" in value else dict(value) for name, value in item.items()}


class TakenOver(MortalCloud):
    """The world in which version 0.1 stopped, with this version's cloud on what it left in the store."""

    def __init__(self, store: Store, limits: Limits | None = None) -> None:
        super().__init__(limits=limits, payments=AccountPayments)
        left: dict[str, Any] = json.loads((LEFT / "world.json").read_text())
        self.labels: dict[str, str] = left["labels"]
        self.now_ms = left["now_ms"] + AWAY_MS
        self.store: Any = store
        self.machine.journal = {credit_id: CreditThere(**there) for credit_id, there in left["machine"].items()}
        assert isinstance(self.payments, AccountPayments)
        self.account = self.payments.stripe
        _fill(self.account, left["stripe"])
        self.start()

    def labelled(self, label: str) -> Order:
        """The order of that name, as it is on record."""
        return self.order(self.labels[label])

    def payment_intent_of(self, label: str) -> str:
        """What pays the order of that name."""
        return str(self.labelled(label).payment_intent)


def _fill(account: StripeAccount, left: dict[str, Any]) -> None:
    account._counts = left["counts"]
    for price_id, amount_minor in left["prices"].items():
        account.add_price(price_id, amount_minor)
    for fields in left["sessions"]:
        # Version 0.1 set the same metadata on the payment intent of a checkout of its own, and no mark.
        session = _Session(**fields, intent_metadata=fields["metadata"] if fields["manual"] else {})
        account._sessions[session.session_id] = session
        heapq.heappush(account._lapses, (session.expires_at_s * 1000, session.session_id))
    for fields in left["intents"]:
        refunds = [_Refund(**refund) for refund in fields["refunds"]]
        disputes = {name: _Dispute(fields["received"], status) for name, status in fields["disputes"].items()}
        intent = _Intent(**{**fields, "refunds": refunds, "disputes": disputes})
        if intent.status == "processing":  # a pending charge has its date already
            intent.charged_s = intent.created_s
        account._intents[intent.intent_id] = intent
        if intent.hold_until_ms is not None:
            heapq.heappush(account._lapses, (intent.hold_until_ms, intent.intent_id))
