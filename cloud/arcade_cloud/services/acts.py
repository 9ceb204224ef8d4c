"""What people do, by command line and by console: the one place where an act is allowed and written down.

Each function checks that this person may do it, writes it to the audit log, does it, and writes down how it ended.
What an act does is elsewhere: `Operations`, `Fleet`, `Claims`, `Alerts`, `DailyReconciliation`, `ApiKeys`,
`Endpoints`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import date

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.api_keys import ApiKey, Scope
from arcade_cloud.domain.audit import TEXT_LENGTH
from arcade_cloud.domain.closure import Closure, service_text
from arcade_cloud.domain.fleet import Line
from arcade_cloud.domain.machines import Machine, MachineChange, differences
from arcade_cloud.domain.money import format_amount
from arcade_cloud.domain.offers import offer_text
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.outbox import Endpoint, Posting
from arcade_cloud.domain.people import Act, Actor, Role, check_may
from arcade_cloud.domain.reconciling import DayReport
from arcade_cloud.domain.refunds import RefundWish
from arcade_cloud.domain.screens import SCREEN_LASTS_MS, Emblem
from arcade_cloud.domain.texts import REASON_LENGTH, checked_line
from arcade_cloud.errors import BadRequest, StoreUnavailable
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.api_keys import ApiKeys
from arcade_cloud.services.audit_log import AuditLog, Doing
from arcade_cloud.services.claims import Claims
from arcade_cloud.services.daily_reconciliation import DailyReconciliation
from arcade_cloud.services.endpoints import Endpoints
from arcade_cloud.services.fleet import Fleet
from arcade_cloud.services.identify import Identify
from arcade_cloud.services.operations import TEST, TESTS_A_DAY, Operations, grant_id
from arcade_cloud.services.player_claims import PlayerClaims
from arcade_cloud.services.tabs import Tabs
from arcade_shared.errors import BadMessage
from arcade_shared.times import format_ms

CREDITS = "credits"


@dataclass(frozen=True, kw_only=True)
class Acts:
    """All acts. An `Actor` says who does it.

    Attributes:
        grant_limit: Credits that a manager may give away in 24 hours; None: as many as they like.
        refund_limits: What a manager may give back in 24 hours, by currency, in minor units; a currency that is
            not there has no limit if there is none at all, and none is given back in it if there are others.
    """

    operations: Operations
    fleet: Fleet
    claims: Claims
    tabs: Tabs
    alerts: Alerts
    daily: DailyReconciliation
    keys: ApiKeys
    endpoints: Endpoints
    player_claims: PlayerClaims
    log: AuditLog
    identify: Identify
    grant_limit: int | None = None
    refund_limits: Mapping[str, int] = field(default_factory=dict)

    def doing(self, actor: Actor, act: Act, on: str, wish: str = "") -> AbstractContextManager[Doing]:
        """An act that has no function here, for a `with` statement. See `AuditLog.doing`."""
        return self.log.doing(actor, act, on, wish=wish)

    # --- machines ----------------------------------------------------------------------------------------

    def machine_add(self, actor: Actor, machine_id: str, change: MachineChange) -> Machine:
        """See `Operations.machine_add`. Offers need somebody who may set prices."""
        self._check_offers(actor, change)
        with self.log.doing(actor, Act.MACHINE_ADD, machine_id, wish=_named(change)) as doing:
            machine = self.operations.machine_add(machine_id, change)
            doing.after = _changes(Machine(machine_id=machine_id), machine)
        return machine

    def machine_copy(self, actor: Actor, source_id: str, machine_id: str, change: MachineChange) -> Machine:
        """See `Fleet.copy`. Its prices stand already; others need somebody who may set them."""
        self._check_offers(actor, change)
        wish = f"like {source_id}; {_named(change)}" if change.named else f"like {source_id}"
        with self.log.doing(actor, Act.MACHINE_ADD, machine_id, wish=wish) as doing:
            machine = self.fleet.copy(source_id, machine_id, change)
            doing.after = _changes(Machine(machine_id=machine_id), machine)
        return machine

    def machine_set(self, actor: Actor, machine_id: str, change: MachineChange) -> tuple[Machine, Machine]:
        """See `Operations.machine_set`. Offers need somebody who may set prices."""
        self._check_offers(actor, change)
        act = Act.OFFERS if "offers" in change.named else Act.MACHINE_SET
        with self.log.doing(actor, act, machine_id, wish=_named(change)) as doing:
            before, after = self.operations.machine_set(machine_id, change)
            _tell(doing, before, after)
        return before, after

    def machines_close(
        self,
        actor: Actor,
        machine_ids: Sequence[str],
        *,
        reason: str = "",
        until: str | None = None,
        for_good: bool = False,
    ) -> Iterator[tuple[Machine, Machine]]:
        """See `Fleet.close`: each machine is an act of its own.

        Raises:
            BadRequest: The reason or the time cannot be used. Nothing is changed.
        """
        act = Act.MACHINE_RETIRE if for_good else Act.MACHINE_SERVICE
        check_may(actor, act)
        # It reads the texts at once, and only then the first machine.
        steps = self.fleet.close(machine_ids, reason=reason, until=until, for_good=for_good)
        wish = "retire" if for_good else "out of service"
        wish += f" until {until}" if until else ""
        return self._each(actor, act, machine_ids, f"{wish}: {reason}" if reason else wish, steps)

    def machines_open(self, actor: Actor, machine_ids: Sequence[str]) -> Iterator[tuple[Machine, Machine]]:
        """See `Fleet.open`: each machine is an act of its own. A retired one needs somebody who may retire it."""
        check_may(actor, Act.MACHINE_SERVICE)
        for machine_id in machine_ids:
            closed = self.operations.machine(machine_id).closed(self.log.now_ms())
            act = Act.MACHINE_RETIRE if closed is not None and closed.for_good else Act.MACHINE_SERVICE
            yield from self._each(actor, act, [machine_id], "in service", self.fleet.open([machine_id]))

    def _each(
        self,
        actor: Actor,
        act: Act,
        machine_ids: Sequence[str],
        wish: str,
        steps: Iterator[tuple[Machine, Machine]],
    ) -> Iterator[tuple[Machine, Machine]]:
        for machine_id in machine_ids:
            with self.log.doing(actor, act, machine_id, wish=wish) as doing:
                before, after = next(steps)
                doing.before, doing.after = (self._service(machine.closure) for machine in (before, after))
            yield before, after

    def _service(self, closure: Closure | None) -> str:
        return service_text(closure, self.log.now_ms(), self.fleet.zone)

    def machines_take_in(self, actor: Actor, lines: Sequence[Line]) -> Iterator[tuple[Machine | None, Machine]]:
        """See `Fleet.take_in`: each machine is an act of its own.

        Raises:
            Forbidden: This person may not do all that the table says. Nothing is changed.
        """
        for act in (Act.MACHINE_ADD, Act.MACHINE_SET, Act.MACHINE_RETIRE, Act.OFFERS):
            check_may(actor, act)
        return self._take_in(actor, lines)

    def _take_in(self, actor: Actor, lines: Sequence[Line]) -> Iterator[tuple[Machine | None, Machine]]:
        steps = self.fleet.take_in(lines)
        for line in lines:
            wish = f"line {line.number} of a table; {_named(line.change)}"
            with self.log.doing(actor, self._act_of(line), line.machine_id, wish=wish) as doing:
                before, after = next(steps)
                _tell(doing, before or Machine(machine_id=line.machine_id), after)
            yield before, after

    def _act_of(self, line: Line) -> Act:
        if self.operations.fulfilment.store.machine(line.machine_id) is None:
            return Act.MACHINE_ADD
        return Act.OFFERS if "offers" in line.change.named else Act.MACHINE_SET

    def machine_config(self, actor: Actor, machine_id: str) -> Machine:
        """The machine, whose agent's config somebody is about to see: it has the machine's signing key.

        Raises:
            BadRequest: It only listens, so there is none.
        """
        with self.log.doing(actor, Act.MACHINE_CONFIG, machine_id, wish="show the agent's config"):
            machine = self.operations.machine(machine_id)
            if machine.kind == "subscriber":
                raise BadRequest(f"machine {machine_id} only listens: it has no agent, and so no config")
            return machine

    def _check_offers(self, actor: Actor, change: MachineChange) -> None:
        if "offers" in change.named:
            check_may(actor, Act.OFFERS)

    # --- money and credits -------------------------------------------------------------------------------

    def grant(self, actor: Actor, machine_id: str, credits: int, *, reason: str, token: str) -> Order:
        """See `Operations.grant`. A manager gives away so many in a day."""
        known = self.operations.fulfilment.store.order(grant_id(token))
        with self.log.doing(
            actor,
            Act.GRANT,
            machine_id,
            wish=f"{credits} credits: {reason}",
            amount=max(0, credits) if known is None else 0,
            unit=CREDITS,
            at_most=self._grant_limit(actor),
        ) as doing:
            order = self.operations.grant(machine_id, credits, by=actor.name, reason=reason, token=token)
            doing.after = f"order {order.order_id} is {order.state}"
        return order

    def _grant_limit(self, actor: Actor) -> int | None:
        return self.grant_limit if actor.role is Role.MANAGER else None

    def machine_test(self, actor: Actor, machine_id: str, number: int) -> Order:
        """See `Operations.test_pulse`. It counts towards nobody's limit of credits: the machine has its own."""
        wish = f"{TEST} {number} of {TESTS_A_DAY} a day"
        with self.log.doing(actor, Act.MACHINE_TEST, machine_id, wish=wish) as doing:
            order = self.operations.test_pulse(machine_id, number, by=actor.name)
            doing.after = f"order {order.order_id} is {order.state}"
        return order

    def machine_identify(self, actor: Actor, machine_id: str) -> Emblem:
        """Have a machine's screen show an emblem for a while, so that people see which machine it is.

        Raises:
            UnknownMachine: No such machine is registered.
            BadRequest: It has no screen that is on.
        """
        with self.log.doing(actor, Act.MACHINE_IDENTIFY, machine_id) as doing:
            shown = self.identify.begin(self.operations.machine(machine_id).machine_id)
            if shown is None:
                raise BadRequest(
                    f"no screen has shown {machine_id} in the last {SCREEN_LASTS_MS // 60_000} minutes: open "
                    f"/kiosk/{machine_id} on the machine's own screen"
                )
            doing.after = f"its screen shows a {shown.emblem.words}"
        return shown.emblem

    def refund(
        self, actor: Actor, order_id: str, *, reason: str, keep_minor: int = 0, play: int | None = None
    ) -> Order:
        """See `Operations.refund`. A manager gives back so much in a day."""
        check_may(actor, Act.REFUND)
        found, _ = self.operations.plan_refund(order_id, RefundWish(play=play))
        currency = found.order.currency
        keep_minor = keep_minor if play is None else found.keep_minor
        back_minor = max(0, found.kept_minor - max(0, keep_minor)) if currency else 0
        with self.log.doing(
            actor,
            Act.REFUND,
            order_id,
            wish=f"keep {_money(keep_minor, currency)}{'' if play is None else f', play {play}'}: {reason}",
            before=f"{found.order.state}, {_money(found.kept_minor, currency)} kept",
            amount=back_minor,
            unit=currency,
            at_most=self._refund_limit(actor, currency),
        ) as doing:
            order = self.operations.refund(
                order_id, by=actor.name, reason=reason, keep_minor=keep_minor, play=play
            )
            doing.after = f"{order.state}, at most {_money(min(keep_minor, found.kept_minor), currency)} kept"
        with suppress(StoreUnavailable):  # it is done all the same; a claim then stays on the list
            self.player_claims.refunded(order_id, actor.name)
        return order

    def close_tab(self, actor: Actor, order_id: str) -> Order:
        """Close a tab: what was delivered is charged, and nothing more can be played on it.

        Raises:
            BadRequest: There is no such tab, or it is closed already.
        """
        check_may(actor, Act.TAB_CLOSE)
        before = self.operations.fulfilment.store.order(order_id)
        if before is None or before.tab is None:
            raise BadRequest(f"there is no tab {order_id}")
        if not before.can_be_closed:
            raise BadRequest(f"tab {order_id} is closed already")
        stood = "open" if before.is_open_tab else "not open"
        with self.log.doing(actor, Act.TAB_CLOSE, order_id, before=stood) as doing:
            after = self.tabs.close(order_id, "operator") or before
            doing.after = f"{_money(after.earned_minor, after.currency)} delivered, {after.state}"
        return after

    def close_tabs(self, actor: Actor) -> int:
        """Close every tab, after an older database was put back. Returns how many were or could be open."""
        check_may(actor, Act.TAB_CLOSE)
        with self.log.doing(actor, Act.TAB_CLOSE, "all") as doing:
            closed = self.tabs.close_all("restored")
            doing.after = f"{closed} closed"
        return closed

    def decline(self, actor: Actor, order_id: str, *, reason: str) -> None:
        """Decline a player's claim about an order. The player reads the reason.

        Raises:
            BadRequest: There is none that waits, or the reason is missing or cannot be shown.
        """
        with self.log.doing(actor, Act.PLAYER_CLAIM, order_id, wish=f"decline: {reason}"):
            why = checked_line(reason, "the reason", REASON_LENGTH)
            if not why:
                raise BadRequest("say why: the player reads it")
            self.player_claims.decline(order_id, why, actor.name)

    def _refund_limit(self, actor: Actor, currency: str) -> int | None:
        if actor.role is not Role.MANAGER or not self.refund_limits or not currency:
            return None
        return self.refund_limits.get(currency, 0)

    def give_back(self, actor: Actor, payment_intent: str) -> Order:
        """See `Claims.give_back`. It counts towards what a manager may give back in a day."""
        noted = self.operations.fulfilment.store.unclaimed_payment(payment_intent)
        currency = "" if noted is None else noted.currency
        with self.log.doing(
            actor,
            Act.CLAIM,
            payment_intent,
            wish="give back",
            amount=0 if noted is None else noted.amount_minor,
            unit=currency,
            at_most=self._refund_limit(actor, currency),
        ) as doing:
            order = self.claims.give_back(payment_intent, by=actor.name)
            doing.after = f"order {order.order_id} is {order.state}"
        return order

    def deliver(self, actor: Actor, payment_intent: str, machine_id: str, credits: int) -> Order:
        """See `Claims.deliver`. Credits that the payment does not buy count as free ones."""
        check_may(actor, Act.CLAIM)
        at_most = self._grant_limit(actor)
        with self.log.doing(
            actor,
            Act.CLAIM,
            payment_intent,
            wish=f"deliver {credits} credits on {machine_id}",
            amount=0 if at_most is None else self._unpaid(payment_intent, machine_id, credits),
            unit=CREDITS,
            at_most=at_most,
        ) as doing:
            order = self.claims.deliver(payment_intent, machine_id, credits, by=actor.name)
            doing.after = f"order {order.order_id} is {order.state}"
        return order

    def _unpaid(self, payment_intent: str, machine_id: str, credits: int) -> int:
        """How many of these credits the payment does not buy; none where nothing will be delivered anyway."""
        noted = self.operations.fulfilment.store.unclaimed_payment(payment_intent)
        if noted is None:
            return 0
        with suppress(BadRequest, BadMessage):
            return max(0, credits - (self.claims.machine_credits(noted, machine_id) or 0))
        return 0

    def dismiss(self, actor: Actor, payment_intent: str) -> None:
        """See `Claims.dismiss`."""
        with self.log.doing(actor, Act.CLAIM, payment_intent, wish="leave alone"):
            self.claims.dismiss(payment_intent, by=actor.name)

    # --- alerts ------------------------------------------------------------------------------------------

    def acknowledge(self, actor: Actor, alert_id: str, *, by: str | None = None) -> Alert:
        """See `Alerts.acknowledge`.

        Args:
            by: Who has seen to it, if not the one who says so.
        """
        with self.log.doing(actor, Act.ACKNOWLEDGE, alert_id, wish="" if by is None else f"by {by}") as doing:
            alert = self.alerts.acknowledge(alert_id, actor.name if by is None else by)
            doing.after = f"{alert.kind} of {alert.subject}: acknowledged by {alert.acknowledged_by}"
        return alert

    # --- the books ---------------------------------------------------------------------------------------

    def reconcile(self, actor: Actor, day: date, *, is_enough: Callable[[], bool] | None = None) -> DayReport:
        """See `DailyReconciliation.run`."""
        with self.log.doing(actor, Act.RECONCILE, day.isoformat()) as doing:
            report = self.daily.run(day, is_enough=is_enough)
            is_done = report.phase == "done"
            doing.after = f"{len(report.found) + report.more} differences" if is_done else "begun, not done yet"
        return report

    def accept(
        self, actor: Actor, day: date, *, reason: str, by: str | None = None, version: int | None = None
    ) -> DayReport:
        """See `DailyReconciliation.accept`.

        Args:
            by: Who has seen to the differences, if not the one who says so.
        """
        name = actor.name if by is None else by
        with self.log.doing(actor, Act.ACCEPT, day.isoformat(), wish=f"accept, by {name}: {reason}") as doing:
            report = self.daily.accept(day, name, reason=reason, version=version)
            doing.after = f"{len(report.accepted)} accepted"
        return report

    # --- keys of other software --------------------------------------------------------------------------

    def key_add(
        self, actor: Actor, name: str, scopes: Sequence[Scope], machines: Sequence[str] = (), *, token: str = ""
    ) -> tuple[ApiKey, str]:
        """See `ApiKeys.add`. The log has the key's name, never its text."""
        wish = f"{' '.join(scopes)} for {' '.join(machines) or 'all machines'}"
        with self.log.doing(actor, Act.KEYS, f"key {name}", wish=wish) as doing:
            key, text = self.keys.add(name, scopes, machines, by=actor.name, token=token)
            doing.after = f"key {key.key_id}"
        return key, text

    def key_revoke(self, actor: Actor, key_id: str) -> tuple[ApiKey, ApiKey]:
        """See `ApiKeys.revoke`."""
        with self.log.doing(actor, Act.KEYS, f"key {key_id}", wish="revoke") as doing:
            before, after = self.keys.revoke(key_id, by=actor.name)
            doing.after = f"{after.name}: revoked"
        return before, after

    # --- endpoints of other software ---------------------------------------------------------------------

    def endpoint_add(self, actor: Actor, url: str, events: Sequence[str]) -> Endpoint:
        """See `Endpoints.add`. The log has the endpoint's host: the rest of its address may hold a token."""
        with self.log.doing(actor, Act.WEBHOOKS, "webhook", wish=f"add, for {', '.join(events)}") as doing:
            endpoint = self.endpoints.add(url, events, by=actor.name)
            doing.after = f"{endpoint.endpoint_id} at {endpoint.host}"
        return endpoint

    def endpoint_remove(self, actor: Actor, endpoint_id: str) -> Endpoint:
        """See `Endpoints.remove`."""
        with self.log.doing(actor, Act.WEBHOOKS, f"webhook {endpoint_id}", wish="remove") as doing:
            endpoint = self.endpoints.remove(endpoint_id)
            doing.before = f"{endpoint.host}, for {', '.join(endpoint.events)}"
        return endpoint

    def endpoint_secret(self, actor: Actor, endpoint_id: str) -> str:
        """See `Endpoints.secret`: somebody is about to see it."""
        with self.log.doing(actor, Act.WEBHOOKS, f"webhook {endpoint_id}", wish="show the secret"):
            return self.endpoints.secret(endpoint_id)

    def endpoint_test(self, actor: Actor, endpoint_id: str) -> str | None:
        """See `Endpoints.test`."""
        with self.log.doing(actor, Act.WEBHOOKS, f"webhook {endpoint_id}", wish="test") as doing:
            error = self.endpoints.test(endpoint_id)
            doing.after = error or "it has arrived"
        return error

    def replay(self, actor: Actor, endpoint_id: str, event_id: str) -> Posting:
        """See `Endpoints.replay`."""
        with self.log.doing(actor, Act.WEBHOOKS, f"webhook {endpoint_id}", wish=f"send {event_id} again"):
            return self.endpoints.replay(endpoint_id, event_id)

    def replay_since(
        self,
        actor: Actor,
        endpoint_id: str,
        from_ms: int,
        to_ms: int,
        *,
        only_given_up: bool = False,
        at_most: int | None = None,
    ) -> int:
        """See `Endpoints.replay_since`. Returns how many events are sent again."""
        wish = (
            f"send {'what was given up' if only_given_up else 'all'} of {format_ms(from_ms)} to {format_ms(to_ms)}"
        )
        with self.log.doing(actor, Act.WEBHOOKS, f"webhook {endpoint_id}", wish=f"{wish} again") as doing:
            again = self.endpoints.replay_since(
                endpoint_id, from_ms, to_ms, only_given_up=only_given_up, at_most=at_most
            )
            count = sum(1 for _ in again)
            doing.after = f"{count} events"
        return count


def _named(change: MachineChange) -> str:
    """What a change names, for people."""
    parts = []
    for name, value in change.named.items():
        if name == "offers":
            shown = ", ".join(map(offer_text, value)) or "-"
        elif name == "closure":
            shown = "in service" if value is None else "retired" if value.for_good else "out of service"
        else:
            shown = str(value) or "-"
        parts.append(f"{name.removesuffix('_url')}: {shown}")
    return "; ".join(parts)[:TEXT_LENGTH]


def _changes(before: Machine, after: Machine) -> str:
    return "; ".join(f"{name}: {new}" for name, _, new in differences(before, after))


def _tell(doing: Doing, before: Machine, after: Machine) -> None:
    """Write down what has changed about a machine, and only that."""
    found = differences(before, after)
    doing.before = "; ".join(f"{name}: {old}" for name, old, _ in found)
    doing.after = "; ".join(f"{name}: {new}" for name, _, new in found) or "nothing changed"
    if before.closure != after.closure:
        doing.after += "; in service" if after.closure is None else "; out of service"


def _money(amount_minor: int, currency: str) -> str:
    return format_amount(amount_minor, currency) if currency else "nothing"
