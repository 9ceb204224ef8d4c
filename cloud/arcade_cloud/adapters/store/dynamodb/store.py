"""The store on one DynamoDB table: for AWS Lambda, and for any number of processes on any number of hosts.

Each call of the port is one conditional write or one transaction; nothing scans.

    record     pk                     sk                  stands in index
    order      order#<id>             order               waiting  due#<shard>     (due_at, id) while due
                                                          lists    orders#<shard>  (created_at, id)
                                                          of_machine               (created_at, id)
               order#<id>             machine#<id>        of_machine, for each further machine of its credits
    history    order#<id>             history#<version>   lists    code#<code>      (created_at, id), of version 1
    lines      order#<id>             booking#<serial>    (all that one settlement has booked)
               takings#<shard>#<day>  <order>#<serial>    (the same, for a day)
    tally      tallies#<shard>#<month>  <day>#<machine>#<location>#<method>#<currency>  (what lines add up to)
    receipt    receipts-due#<shard>   <at>#<order>#<serial>  (waits for its number)
               receipts#<prefix>#<thousand>  <number>
               order#<id>             receipt             (the same)
               receipt-series         series#<prefix>     (the last number that was given)
    report     day#<day>              day                 (what reconciling the day has found)
    payment    payment#<intent>       payment             lists    last4#<digits>  (created_at, id)
                                                          waiting  under-way#<shard>  (since, order)
    credit     credit#<id>            credit              waiting  under-way#<shard>  (since, order), if free
    tab        tab#<hash of secret>   tab                 (names its order)
    seen       seen#<event>           seen                waiting  seen#<shard>    (at, id)
    machine    machines#<shard>       machine#<id>
    presence   presence#<machine>     presence            waiting  watch#<shard>    (due_at, id) while due
    screen     screen#<machine>       screen
    uptime     uptime#<machine>       <at>                (what it was from then on)
    counts     counts#<machine>       <at>#<credit>       (what its coin meter counted of a train)
    game over  gameovers#<machine>    <at>#<event>        (that a game has ended)
    alert      alert#<id>             alert               waiting  unsent#<shard>, then lasting#<shard>,
                                                                   unread#<shard> or sent#<shard>     (at, id)
                                                          lists    alerts#<shard>  (at, id)
                                                          of_machine  standing#<shard> or over#<shard>  (at, id)
    lasting    lasting#<kind>:<subject>  lasting          (names the condition that lasts)
    unmatched  orphan#<hash>          orphan              lists    orphans#<shard> (at, hash)
    unclaimed  unclaimed#<intent>     unclaimed           lists    unclaimed#<shard> (at, intent)
    API key    api-keys               api-key#<id>
    person     people#<shard>         person#<name>
    session    session#<hash>         session
    tries      tries#<key>            tries
    audit      audit#<id>             audit               lists    audit#<shard>   (at, id)
                                                          waiting  audit-by#<who>  (at, id)
                                                          of_machine  audit-on#<subject>  (at, id)
               audit#<id>             outcome
    endpoint   endpoints              endpoint#<id>
    posting    posting#<event>        endpoint#<id>       waiting  posting#<shard>#<endpoint>, then
                                                                   posted#<shard>#<endpoint>  (due_at, event)
                                                          lists    postings#<shard>#<endpoint>  (at, event)
    echo       echo                   echo
    reconciled swept                  swept
    rechecked  rechecked              rechecked           (how far the waiting orders have been looked at)
    webhooks   webhooks               webhooks
    form       form                   form                (the form of the orders; missing: the first)

No partition is hot. Each record that is often written has a partition of its own, and each list is spread over
shards by its records' ids and merged when it is read. There are two exceptions, far below the 1,000 writes a
second that an item takes: the echo is written as often as revokes are confirmed, and the last number of a receipt
once for each batch of them.

Indexes hold keys only, and lag behind by some milliseconds. So they only say which records to look at. What a
decision depends on is read consistently from the table itself:
  due_presences, waiting_presences
                   As due_orders: a listed machine is looked at again.
  due_orders       A listed order that has moved since is loaded again and found not to be due. An order that is
                   not listed yet is found by the next pass. Nothing else acts on this list.
  waiting_orders   As due_orders; one that is not listed yet is looked at in the next round.
  orders_under_way
                   Read again from the table, without those that are over. Only people read them.
  unsent_alerts    Read again from the table without those sent meanwhile, so a late index sends no alert twice.
                   A new alert may be missed for one pass.
  due_postings     As due_orders. Each try is a conditional write before anything is sent.
  standing_alerts  Read again from the table without those that are over.
  recent_orders, orders_with_code, orders_with_last4, recent_alerts, unmatched_acks, unclaimed, audit, postings
                   The records are current, but one made this very moment may be missing. Only people read them.
  machines, api_keys, endpoints, people
                   No index: read from the table, so a machine is listed as soon as it is registered.
  lines_of_day     No index either: a query of each of the day's partitions.
  taken, taken_part
                   No index either: a query of each of the partitions of its months, or of the machine's one.
  state_changes, counts, game_overs
                   No index either: a query of the machine's partition.
  receipts         No index either: the queue is read from the table, and so are the numbers.
  prune            Deletes a record only if it is still what the index showed.

Forgetting: seen ids, sent alerts, changes of uptime, counts of meters, game overs, sessions and tries have
`expires_at`; for a condition that lasts, that moment never comes.
DynamoDB's time to live deletes them at no cost, hours or days late. Until then they count as present, which does
no harm: no decision depends on their absence. `prune` deletes old records at once. If it is never called, as on
Lambda, time to live keeps the table from growing.

A role needs GetItem, BatchGetItem, Query, PutItem, UpdateItem and DeleteItem on the table and on
`<table>/index/*`. Transactions need no other permission.
"""

import contextlib
import time
from collections.abc import Callable, Sequence

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.dynamodb import alert_items, items, receipt_items, software_items, takings_items
from arcade_cloud.adapters.store.dynamodb.client import Refused, Table
from arcade_cloud.adapters.store.dynamodb.items import Item, Write
from arcade_cloud.adapters.store.dynamodb.part import new_token
from arcade_cloud.adapters.store.dynamodb.people import DynamoPeople
from arcade_cloud.adapters.store.dynamodb.receipts import DynamoReceipts
from arcade_cloud.adapters.store.dynamodb.software import DynamoSoftware
from arcade_cloud.adapters.store.dynamodb.takings import DynamoTakings
from arcade_cloud.adapters.store.forms import FORMS, Forms
from arcade_cloud.config.dynamodb_address import TableAddress
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.game_overs import GameOver
from arcade_cloud.domain.machines import Hearing, Machine, Presence
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.order import HistoryEntry, Order, UnmatchedAck
from arcade_cloud.domain.outbox import Posting
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.reconciling import DayReport
from arcade_cloud.domain.screens import Screen
from arcade_cloud.domain.uptime import StateChange
from arcade_cloud.domain.webhooks import Webhooks
from arcade_cloud.errors import AlreadySeen, Conflict, InvariantBroken, PaymentTaken
from arcade_cloud.ports.store import Move, Waiting

# How long a form that was read is taken to be current.
FORM_LIFE_S = 60.0
# Records in one transaction of `prune`: DynamoDB's limit.
_PRUNE_BATCH = 100


class DynamoStore(DynamoTakings):
    """`store.port.Store` on DynamoDB. Thread-safe."""

    def __init__(
        self,
        address: TableAddress,
        endpoint: str | None = None,
        *,
        forms: Forms = FORMS,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the client. It connects with the first call.

        Raises:
            StoreUnavailable: boto3 is not installed, or the region or another AWS setting is missing or invalid.
        """
        super().__init__(Table(address, endpoint), self._form_lately)
        self._forms = forms
        self._monotonic_s = monotonic_s
        self._form: tuple[float, int] | None = None
        self.software = DynamoSoftware(self.table, self._form_lately)
        self.people = DynamoPeople(self.table, self._form_lately)
        self.receipts = DynamoReceipts(self.table, self._form_lately)

    def close(self) -> None:
        """Close the connections. Every later call raises StoreUnavailable."""
        self.table.close()

    # orders

    def move(self, move: Move) -> None:
        """See `Store.move`.

        Raises:
            InvariantBroken: The step contradicts itself or what is stored.
        """
        records.check_move(move)
        order = move.order
        record = self._forms.write(order, self._form_lately())
        writes: dict[str, tuple[str, Write]] = {
            "order": ("Put", items.order_put(order, record, move.expected_version)),
        }
        if move.is_told:
            writes["history"] = ("Put", items.history_put(move.history, order))
        if order.payment_intent is not None:
            writes["payment"] = ("Put", items.payment_put(order.payment_intent, order))
        is_first = move.expected_version == 0
        # What the other credits claim was stored while they were under way: a tab has more than fit into one step.
        claiming = [
            credit for credit in order.credits if is_first or credit.resolution is None or order.tab is None
        ]
        for command in (credit.command for credit in claiming):
            if command is not None:
                claim = items.credit_put(command.credit_id, order)
                writes[f"credit {command.credit_id}"] = ("Put", claim)
        for machine_id in dict.fromkeys(credit.machine_id for credit in claiming):
            if machine_id != order.machine_id:
                writes[f"machine {machine_id}"] = ("Put", items.also_at_put(order, machine_id))
        if order.tab is not None and is_first:
            writes["tab"] = ("Put", items.tab_put(order.tab.secret_hash, order))
        if move.seen is not None:
            writes["seen"] = ("Put", items.seen_put(move.seen, move.history.at_ms, new_token()))
        if move.lines:
            for where, put in zip(("booking", "takings"), takings_items.booking_puts(move.lines), strict=True):
                writes[where] = ("Put", put)
        for number, update in enumerate(takings_items.tally_updates(move.tallies)):
            writes[f"tally {number}"] = ("Update", update)
        if move.receipt is not None:
            writes["receipt"] = ("Put", receipt_items.due_put(move.receipt))
        for alert in reversed(move.alerts):  # of two with the same id, the first is kept
            writes[f"alert {alert.alert_id}"] = ("Update", alert_items.alert_update(alert))
        for posting in move.postings:
            where = f"posting {posting.event_id} {posting.endpoint_id}"
            writes[where] = ("Update", software_items.posting_update(posting))
        for count in move.counts:
            writes[f"count {count.credit_id}"] = ("Put", items.count_put(count))
        try:
            self.table.transact(list(writes.values()))
        except Refused as refused:
            raise _why(move, dict(zip(writes, refused.found, strict=True))) from refused

    def forget(self, order: Order) -> None:
        """See `Store.forget`. What does not fit into one transaction goes after it, and nothing leads there.

        Raises:
            InvariantBroken: The order was paid, or another order has its payment intent.
        """
        records.check_forgettable(order)
        self._form_lately()
        found = self.table.query("pk = :pk", {":pk": items.text(items.key("order", order.order_id), "pk")})
        writes: list[tuple[str, Write]] = [("Delete", items.order_delete(order))]
        if order.payment_intent is not None:
            writes.append(("Delete", items.claim_delete("payment", order.payment_intent, order.order_id)))
        if order.tab is not None:
            writes.append(("Delete", items.claim_delete("tab", order.tab.secret_hash, order.order_id)))
        rest: list[tuple[str, Write]] = [
            ("Delete", {"Key": items.key_of(item)}) for item in found if items.text(item, "sk") != "order"
        ]
        first = _PRUNE_BATCH - len(writes)
        try:
            self.table.transact([*writes, *rest[:first]])
        except Refused as refused:
            if refused.found[0] is not None:
                raise Conflict(f"order {order.order_id} has another version than {order.version}") from refused
            raise InvariantBroken(f"{order.payment_intent} belongs to another order") from refused
        for start in range(first, len(rest), _PRUNE_BATCH):
            self.table.transact(rest[start : start + _PRUNE_BATCH])

    def order(self, order_id: str) -> Order | None:
        """See `Store.order`.

        Raises:
            InvariantBroken: The stored record is broken.
        """
        item = self.table.get(items.key("order", order_id))
        return None if item is None else records.order(items.body(item), order_id, self._forms)

    def order_of_payment(self, payment_intent: str) -> str | None:
        """See `Store.order_of_payment`."""
        item = self.table.get(items.key("payment", payment_intent))
        return None if item is None else items.text(item, "order_id")

    def order_of_credit(self, credit_id: str) -> str | None:
        """See `Store.order_of_credit`."""
        item = self.table.get(items.key("credit", credit_id))
        return None if item is None else items.text(item, "order_id")

    def order_of_tab(self, secret_hash: str) -> str | None:
        """See `Store.order_of_tab`."""
        item = self.table.get(items.key("tab", secret_hash))
        return None if item is None else items.text(item, "order_id")

    def due_orders(self, now_ms: int, limit: int) -> list[str]:
        """See `Store.due_orders`; a moment late."""
        return [items.name_of(item) for item in self._waiting("due", now_ms + 1, limit)]

    def postpone(self, order_id: str, until_ms: int) -> None:
        """See `Store.postpone`."""
        self._update_if(items.postponing(order_id, until_ms))

    def waiting_orders(self, after: Waiting, limit: int) -> list[Waiting]:
        """See `Store.waiting_orders`; a moment late."""
        found = self._waiting_after("due", items.rank_of(*after), limit)
        return [Waiting(items.time_of(items.text(item, "waits_from")), items.name_of(item)) for item in found]

    def note_rechecked(self, until: Waiting | None) -> None:
        """See `Store.note_rechecked`."""
        if until is not None:
            self._update_if(items.rechecked_update(*until))
            return
        self._form_lately()
        with contextlib.suppress(Refused):
            self.table.transact([("Delete", items.rechecked_removal())])

    def rechecked_until(self) -> Waiting | None:
        """See `Store.rechecked_until`."""
        item = self.table.get(items.RECHECKED_KEY)
        return (
            None if item is None else Waiting(int(items.text(item, "rechecked_at")), items.text(item, "order_id"))
        )

    def next_due_ms(self) -> int | None:
        """See `Store.next_due_ms`; a moment late."""
        first = self._waiting("due", None, 1)
        return items.time_of(items.text(first[0], "waits_from")) if first else None

    def history(self, order_id: str) -> list[HistoryEntry]:
        """See `Store.history`."""
        where = {":pk": items.text(items.key("order", order_id), "pk"), ":history": items.history_sort()}
        found = self.table.query("pk = :pk AND begins_with(sk, :history)", where)
        return [records.history_entry(items.body(item), order_id) for item in found]

    def orders_under_way(self, before_ms: int, limit: int) -> list[Order]:
        """See `Store.orders_under_way`; a moment late. Each record is current, so what is over is left out."""
        claims = self.table.get_all(map(items.key_of, self._waiting("under-way", before_ms, limit)))
        owners = [items.text(claim, "order_id") for claim in claims]
        found = self.table.get_all(items.key("order", order_id) for order_id in owners)
        orders = [records.order(items.body(item), items.name_of(item), self._forms) for item in found]
        return [order for order in orders if order.under_way_since_ms is not None]

    def recent_orders(
        self, limit: int, *, machine_id: str | None = None, before_ms: int | None = None
    ) -> list[Order]:
        """See `Store.recent_orders`. The newest orders may be missing for a moment; each record is current."""
        found = self._listed("orders", machine_id, before_ms, limit)
        return [records.order(items.body(item), items.name_of(item), self._forms) for item in found]

    def orders_with_code(self, code: str, limit: int) -> list[Order]:
        """See `Store.orders_with_code`. The newest may be missing for a moment; each record is current."""
        entries = self._newest("lists", [items.with_code(code)], limit)
        found = self.table.get_all(items.order_key(entry) for entry in entries)
        return [records.order(items.body(item), items.name_of(item), self._forms) for item in found]

    def orders_with_last4(self, last4: str, limit: int) -> list[Order]:
        """See `Store.orders_with_last4`. The newest may be missing for a moment; each record is current."""
        entries = self._newest("lists", [items.with_last4(last4)], limit)
        owners = [items.text(claim, "order_id") for claim in self.table.get_all(entries)]
        found = self.table.get_all(items.key("order", order_id) for order_id in owners)
        return [records.order(items.body(item), items.name_of(item), self._forms) for item in found]

    # the books

    def day_report(self, day: str) -> DayReport | None:
        """See `Store.day_report`."""
        item = self.table.get(items.key("day", day))
        return None if item is None else records.day_report(items.body(item), day)

    def put_day_report(self, report: DayReport, expected_version: int) -> None:
        """See `Store.put_day_report`."""
        what, token = f"the report of {report.day}", new_token()
        records.check_next(what, report.version, expected_version)
        if not self._is_put(items.day_report_put(report, expected_version, token), token):
            raise Conflict(f"{what} has another version than {expected_version}")

    # events that move no order

    def note_seen(self, event_id: str, at_ms: int) -> bool:
        """See `Store.note_seen`."""
        token = new_token()
        return self._is_put(items.seen_put(event_id, at_ms, token), token)

    def is_seen(self, event_id: str) -> bool:
        """See `Store.is_seen`."""
        return self.table.get(items.key("seen", event_id)) is not None

    # machines

    def machine(self, machine_id: str) -> Machine | None:
        """See `Store.machine`."""
        item = self.table.get(items.machine_key(machine_id))
        return None if item is None else records.machine(items.body(item), machine_id)

    def machines(self) -> list[Machine]:
        """See `Store.machines`."""
        every = self._in_partitions(items.shards("machines"))
        found = [records.machine(items.body(item), items.text(item, "sk")) for item in every]
        return sorted(found, key=lambda machine: machine.machine_id)

    def put_machine(self, machine: Machine, expected_version: int) -> None:
        """See `Store.put_machine`."""
        what, token = f"machine {machine.machine_id}", new_token()
        records.check_next(what, machine.version, expected_version)
        if not self._is_put(items.machine_put(machine, expected_version, token), token):
            raise Conflict(f"{what} has another version than {expected_version}")

    def presence(self, machine_id: str) -> Presence | None:
        """See `Store.presence`."""
        item = self.table.get(items.key("presence", machine_id))
        return None if item is None else records.presence(items.body(item), machine_id)

    def presences(self, machine_ids: Sequence[str]) -> list[Presence]:
        """See `Store.presences`."""
        found = self.table.get_all(items.key("presence", machine_id) for machine_id in dict.fromkeys(machine_ids))
        return [records.presence(items.body(item), items.name_of(item)) for item in found]

    def put_presence(
        self, presence: Presence, expected_version: int, changes: tuple[StateChange, ...] = ()
    ) -> None:
        """See `Store.put_presence`."""
        what, token = f"the presence of {presence.machine_id}", new_token()
        records.check_next(what, presence.version, expected_version)
        records.check_changes(presence, changes)
        put = items.presence_put(presence, expected_version, token)
        conflict = f"{what} has another version than {expected_version}"
        if not changes:
            if not self._is_put(put, token):
                raise Conflict(conflict)
            return
        self._form_lately()
        try:
            self.table.transact([("Put", put), *(("Put", items.state_change_put(change)) for change in changes)])
        except Refused as refused:
            raise Conflict(conflict) from refused

    def screen(self, machine_id: str) -> Screen | None:
        """See `Store.screen`."""
        item = self.table.get(items.key("screen", machine_id))
        return None if item is None else records.screen(items.body(item), machine_id)

    def put_screen(self, screen: Screen, expected_version: int) -> None:
        """See `Store.put_screen`."""
        what, token = f"the screen of {screen.machine_id}", new_token()
        records.check_next(what, screen.version, expected_version)
        if not self._is_put(items.screen_put(screen, expected_version, token), token):
            raise Conflict(f"{what} has another version than {expected_version}")

    def state_changes(self, machine_id: str, since_ms: int, limit: int) -> list[StateChange]:
        """See `Store.state_changes`."""
        where = {":pk": items.text(items.key("uptime", machine_id), "pk"), ":since": items.before(since_ms)}
        found = self.table.query("pk = :pk AND sk >= :since", where, limit=max(0, limit), newest_first=True)
        if len(found) < limit:
            found += self.table.query("pk = :pk AND sk < :since", where, limit=1, newest_first=True)
        return [records.state_change(items.body(item), machine_id) for item in found]

    def counts(self, machine_id: str, since_ms: int, limit: int) -> list[Count]:
        """See `Store.counts`."""
        where = {":pk": items.text(items.key("counts", machine_id), "pk"), ":since": items.before(since_ms)}
        found = self.table.query("pk = :pk AND sk >= :since", where, limit=max(0, limit), newest_first=True)
        return [records.count(items.body(item), machine_id) for item in found]

    def note_game_over(self, game_over: GameOver) -> bool:
        """See `Store.note_game_over`."""
        token = new_token()
        return self._is_put(items.game_over_put(game_over, token), token)

    def game_overs(self, machine_id: str, since_ms: int, until_ms: int, limit: int) -> list[GameOver]:
        """See `Store.game_overs`."""
        where = {
            ":pk": items.text(items.key("gameovers", machine_id), "pk"),
            ":since": items.before(since_ms),
            ":until": items.before(until_ms),
        }
        between = "pk = :pk AND sk BETWEEN :since AND :until"  # no key is a bare bound
        found = self.table.query(between, where, limit=max(0, limit), newest_first=True)
        return [records.game_over(items.body(item), machine_id) for item in found]

    def due_presences(self, now_ms: int, limit: int) -> list[str]:
        """See `Store.due_presences`; a moment late."""
        return [items.name_of(item) for item in self._waiting("watch", now_ms + 1, limit)]

    def waiting_presences(self, later_than_ms: int, limit: int) -> list[str]:
        """See `Store.waiting_presences`; a moment late."""
        found = self._waiting_after("watch", items.before(later_than_ms + 1), limit)
        return [items.name_of(item) for item in found]

    # alerts, and acks that no order knows

    def raise_alert(self, alert: Alert, postings: tuple[Posting, ...] = ()) -> bool:
        """See `Store.raise_alert`."""
        token = new_token()
        if not alert.lasts and not postings:
            return self._is_put(alert_items.alert_put(alert, token), token)
        self._form_lately()
        writes: list[tuple[str, Write]] = [("Put", alert_items.lasting_put(alert))] if alert.lasts else []
        writes.append(("Put", alert_items.alert_put(alert, token)))
        writes += [("Update", software_items.posting_update(posting)) for posting in postings]
        try:
            self.table.transact(writes)
        except Refused:
            return False
        return True

    def alert(self, alert_id: str) -> Alert | None:
        """See `Store.alert`."""
        item = self.table.get(items.key("alert", alert_id))
        return None if item is None else _alert(item)

    def lasting_alert(self, kind: str, subject: str) -> Alert | None:
        """See `Store.lasting_alert`."""
        named = self.table.get(alert_items.lasting_key(kind, subject))
        found = None if named is None else self.alert(items.text(named, "alert_id"))
        return found if found is not None and found.lasts else None

    def change_alert(self, before: Alert, after: Alert, recovery: Alert | None = None) -> None:
        """See `Store.change_alert`."""
        records.check_change(before, after, recovery)
        self._form_lately()
        item = self.table.get(items.key("alert", before.alert_id))
        if item is None or _alert(item) != before:
            raise Conflict(f"alert {before.alert_id} has changed meanwhile")
        writes: list[tuple[str, Write]] = [("Update", alert_items.alert_change(item, after))]
        if before.lasts and not after.lasts:
            writes.append(("Delete", alert_items.lasting_over(before)))
        if recovery is not None:
            writes.append(("Put", alert_items.alert_put(recovery, new_token())))
        try:
            self.table.transact(writes)
        except Refused as refused:
            raise Conflict(f"alert {before.alert_id} has changed meanwhile") from refused

    def standing_alerts(self, limit: int) -> list[Alert]:
        """See `Store.standing_alerts`; a moment late."""
        found = self.table.get_all(self._newest("of_machine", items.shards("standing"), limit))
        return [alert for alert in map(_alert, found) if alert.is_standing]

    def unsent_alerts(self, limit: int) -> list[Alert]:
        """See `Store.unsent_alerts`. An alert that was marked as sent before this call is never among them."""
        found = self.table.get_all(self._waiting("unsent", None, limit))
        return [_alert(item) for item in found if items.text(item, "waits_in").startswith("unsent#")]

    def mark_alert_sent(self, alert_id: str) -> None:
        """See `Store.mark_alert_sent`."""
        self._update_if(alert_items.alert_sent_update(alert_id))

    def recent_alerts(self, limit: int) -> list[Alert]:
        """See `Store.recent_alerts`; a moment late."""
        return [_alert(item) for item in self._listed("alerts", None, None, limit)]

    def note_unmatched_ack(self, ack: UnmatchedAck) -> bool:
        """See `Store.note_unmatched_ack`. Two acks are the same if they report the same, whenever they came."""
        token = new_token()
        return self._is_put(items.unmatched_ack_put(ack, token), token)

    def unmatched_acks(self, limit: int) -> list[UnmatchedAck]:
        """The latest first; a moment late."""
        found = self._listed("orphans", None, None, limit)
        return [records.unmatched_ack(items.body(item), items.name_of(item)) for item in found]

    # payments that nobody can prove to be ours

    def note_unclaimed(self, payment: Unclaimed) -> bool:
        """See `Store.note_unclaimed`."""
        token = new_token()
        return self._is_put(items.unclaimed_put(payment, token), token)

    def unclaimed_payment(self, payment_intent: str) -> Unclaimed | None:
        """See `Store.unclaimed_payment`."""
        item = self.table.get(items.key("unclaimed", payment_intent))
        return None if item is None else records.unclaimed(items.body(item), payment_intent)

    def unclaimed(self, limit: int) -> list[Unclaimed]:
        """See `Store.unclaimed`; a moment late."""
        found = self._listed("unclaimed", None, None, limit)
        return [records.unclaimed(items.body(item), items.name_of(item)) for item in found]

    def forget_unclaimed(self, payment_intent: str) -> None:
        """See `Store.forget_unclaimed`."""
        self._form_lately()
        self.table.write("delete_item", items.unclaimed_delete(payment_intent))

    # what the cloud hears

    def note_echo(self, sent_at_ms: int) -> None:
        """See `Store.note_echo`."""
        if not self._update_if(items.echo_update(sent_at_ms)):
            self._update_if(items.first_echo_update(sent_at_ms))

    def forget_echoes(self, later_than_ms: int) -> None:
        """See `Store.forget_echoes`."""
        self._form_lately()
        with contextlib.suppress(Refused):
            self.table.transact([("Delete", items.echo_removal(later_than_ms))])

    def heard_echo_ms(self) -> int | None:
        """See `Store.heard_echo_ms`."""
        item = self.table.get(items.ECHO_KEY)
        return None if item is None else int(items.text(item, "sent_at"))

    def hearing(self) -> Hearing | None:
        """See `Store.hearing`."""
        item = self.table.get(items.ECHO_KEY)
        if item is None:
            return None
        until_ms = int(items.text(item, "sent_at"))
        return Hearing(int(items.text(item, "hears_since")) if "hears_since" in item else until_ms, until_ms)

    def note_reconciled(self, at_ms: int) -> None:
        """See `Store.note_reconciled`."""
        self._update_if(items.reconciled_update(at_ms))

    def reconciled_ms(self) -> int | None:
        """See `Store.reconciled_ms`."""
        item = self.table.get(items.RECONCILED_KEY)
        return None if item is None else int(items.text(item, "swept_at"))

    def note_webhook_accepted(self, at_ms: int) -> None:
        """See `Store.note_webhook_accepted`."""
        self._update_if(items.webhook_accepted_update(at_ms))

    def note_webhooks_refused(self, count: int, at_ms: int, why: str) -> None:
        """See `Store.note_webhooks_refused`. If DynamoDB's answer is lost, they may be counted twice."""
        self._update_if(items.webhooks_refused_update(count, at_ms, why))

    def webhooks(self) -> Webhooks:
        """See `Store.webhooks`."""
        item = self.table.get(items.WEBHOOKS_KEY)
        return Webhooks() if item is None else items.webhooks(item)

    # housekeeping

    def form(self) -> int:
        """See `Store.form`."""
        item = self.table.get(items.FORM_KEY)
        number = 1 if item is None else int(items.text(item, "form"))
        self._forms.check(number, f"DynamoDB table {self.table.name}")
        self._form = (self._monotonic_s(), number)
        return number

    def _form_lately(self) -> int:
        """The form as of at most `FORM_LIFE_S` ago. It is asked before every write.

        An old answer does no harm: a program that reads the later form also reads the earlier one.

        Raises:
            FormTooNew: The form had to be read again, and this program does not know it.
        """
        known = self._form
        return self.form() if known is None or self._monotonic_s() - known[0] >= FORM_LIFE_S else known[1]

    def upgrade(self) -> int:
        """See `Store.upgrade`."""
        self._update_if(items.form_update(self._forms.newest))
        return self.form()

    def prune(self, now_ms: int) -> int:
        """See `Store.prune`: in transactions of a hundred at most."""
        kept_ms = {
            "seen": records.FORGET_AFTER_MS,
            "sent": records.FORGET_AFTER_MS,
            "unread": records.FORGET_STANDING_AFTER_MS,
        }
        return sum(
            self._forget(shard, now_ms - after_ms)
            for kind, after_ms in kept_ms.items()
            for shard in items.shards(kind)
        )

    def _forget(self, shard: str, before_ms: int) -> int:
        gone = 0
        while True:
            batch = self._waiting_in(shard, before_ms, _PRUNE_BATCH)
            if not batch:
                return gone
            try:
                self.table.transact([("Delete", items.forgetting(item)) for item in batch])
            except Refused as refused:
                # Another worker deleted some of them, or the index is late. The others are deleted now.
                batch = [item for item, found in zip(batch, refused.found, strict=True) if found is None]
                if batch:
                    self.table.transact([("Delete", items.forgetting(item)) for item in batch])
                return gone + len(batch)
            gone += len(batch)

    def _waiting(self, kind: str, before_ms: int | None, limit: int) -> list[Item]:
        """The keys of what waits, the longest waiting first."""
        lists = [self._waiting_in(shard, before_ms, limit) for shard in items.shards(kind)]
        return items.merged(lists, "waits_from", max(0, limit), newest_first=False)

    def _waiting_after(self, kind: str, rank: str, limit: int) -> list[Item]:
        """The keys of what waits for a later moment than that rank's, the first to come first."""
        lists = [
            self.table.query(
                "waits_in = :shard AND waits_from > :after",
                {":shard": shard, ":after": rank},
                limit=max(0, limit),
                index="waiting",
            )
            for shard in items.shards(kind)
        ]
        return items.merged(lists, "waits_from", max(0, limit), newest_first=False)

    def _waiting_in(self, shard: str, before_ms: int | None, limit: int) -> list[Item]:
        where = {":shard": shard, ":before": items.before(before_ms)}
        return self.table.query(
            "waits_in = :shard AND waits_from < :before", where, limit=max(0, limit), index="waiting"
        )

    def _listed(self, kind: str, machine_id: str | None, before_ms: int | None, limit: int) -> list[Item]:
        """What is listed, the newest first."""
        before = items.before(before_ms)
        if machine_id is None:
            return self.table.get_all(self._newest("lists", items.shards(kind), limit, before=before))
        # An order stands there itself, or an item of its partition that names a further machine.
        entries = self._newest("of_machine", [items.of_machine(machine_id)], limit, before=before)
        return self.table.get_all({items.name_of(entry): items.order_key(entry) for entry in entries}.values())

    def _update_if(self, write: Write) -> bool:
        """Update an item. False if its condition does not hold; then it is left as it is."""
        self._form_lately()
        try:
            self.table.write("update_item", write)
        except Refused:
            return False
        return True


def _why(move: Move, found: dict[str, Item | None]) -> Exception:
    """Why a step was refused, in the port's order of precedence."""
    order, version = move.order, move.expected_version
    if found.get("seen") is not None:
        return AlreadySeen(f"event {move.seen} is on record")
    there = found["order"]
    if there is not None:
        if version > 0 and there and items.text(there, "version") == str(version):
            return InvariantBroken(f"order {order.order_id}: an order keeps its machine and its time of birth")
        known = items.text(there, "version") if there else "none"
        return Conflict(f"order {order.order_id} has version {known}, not {version}")
    if (payment := found.get("payment")) is not None:
        return PaymentTaken(f"{order.payment_intent} funds order {items.text(payment, 'order_id')}")
    for credit_id in order.credit_ids:
        if (credit := found.get(f"credit {credit_id}")) is not None:
            owner = items.text(credit, "order_id")
            return InvariantBroken(f"order {order.order_id}: credit {credit_id} belongs to {owner}")
    if order.tab is not None and (tab := found.get("tab")) is not None:
        return InvariantBroken(f"order {order.order_id}: order {items.text(tab, 'order_id')} has its tab's secret")
    if found.get("booking") is not None or found.get("takings") is not None:
        return Conflict(f"order {order.order_id} has booked these lines already")
    return InvariantBroken(f"order {order.order_id}: its history has an entry for version {order.version} already")


def _alert(item: Item) -> Alert:
    return records.alert(items.body(item), items.name_of(item))
