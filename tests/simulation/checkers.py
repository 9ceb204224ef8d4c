"""The promises, recomputed from outside: boards, Stripe's books, the wire, and what the cloud has written down.

Nothing here knows the code under test. Each checker takes the evidence of a run and says what is broken.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from simulation.evidence import Command, Evidence, LineProfile, Play, Pulse, Purchase, Said, Step
from simulation.stripe_account import STEPS

SILENT = ("silence", "last resort", "unconfirmed")
CONFIRMED = ("confirmed", "nobody")
# docs/ORDER_LIFE.md: a process whose clock is a minute off or more ends no wait for a machine.
WAITS_END_WITHIN_MS = 2 * 60_000
FINAL = ("settled", "abandoned")
GAME_OVER_LIFE_MS = 600_000
METER_SETTLES_MS = 300


@dataclass(frozen=True)
class Broken:
    """A promise that did not hold, and which checker says so."""

    promise: str
    checker: str
    text: str


@dataclass
class Case:
    """The evidence, sorted for the checkers, and the named exceptions that they met."""

    evidence: Evidence
    exceptions: Counter[str] = field(default_factory=Counter)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_intent: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_credit: dict[str, dict[str, Any]] = field(default_factory=dict)
    credits: list[dict[str, Any]] = field(default_factory=list)  # each of an order, and each that a tab has drawn
    commands: dict[str, list[Command]] = field(default_factory=lambda: defaultdict(list))
    pulses: dict[str, list[Pulse]] = field(default_factory=lambda: defaultdict(list))
    finals: dict[str, list[Said]] = field(default_factory=lambda: defaultdict(list))
    causes: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    alerts: set[tuple[str, str]] = field(default_factory=set)
    # Orders that moved between a backup and its coming back, and their credits.
    forgotten: set[str] = field(default_factory=set)
    forgotten_credits: set[str] = field(default_factory=set)
    steps_of: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))  # what is still on record
    heard: dict[str, list[Said]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        evidence = self.evidence
        for order in evidence.orders:
            self.orders[order["order_id"]] = order
            if order["payment_intent"] is not None:
                self.by_intent[order["payment_intent"]] = order
        for order in evidence.tabs:
            self.orders[order["order_id"]] = order
            if order["payment_intent"] is not None:
                self.by_intent[order["payment_intent"]] = order
        self.credits = [*evidence.orders, *(play for order in evidence.tabs for play in order["plays"])]
        for credit in self.credits:
            if credit["credit_id"] is not None:
                self.by_credit[credit["credit_id"]] = credit
        for command in evidence.commands:
            self.commands[command.credit_id].append(command)
        for pulse in evidence.pulses:
            self.pulses[pulse.credit_id].append(pulse)
        for said in evidence.told:
            if said.fields.get("final"):
                self.finals[said.fields["creditId"]].append(said)
        for cause in evidence.causes:
            self.causes[cause.what, cause.subject].append(cause.at_ms)
        self.alerts = set(evidence.alerts)
        for said in evidence.heard:
            self.heard[said.fields.get("creditId", "")].append(said)
        remembered = list(evidence.steps)
        for restore in reversed(evidence.restores):
            self.forgotten.update(step.order_id for step in evidence.steps[restore.first : restore.end])
            del remembered[restore.first : restore.end]
        for step in remembered:
            self.steps_of[step.order_id].append(step)
        self.forgotten_credits = {
            step.credit_id for step in evidence.steps if step.credit_id and step.order_id in self.forgotten
        }
        for step in evidence.steps:
            if step.tab is not None and step.order_id in self.forgotten:
                self.forgotten_credits.update(play.credit_id for play in step.tab.plays if play.credit_id)

    def bought(self, line: dict[str, Any]) -> Purchase | None:
        """What a payment is for: what its player chose, or what the operator decided in its place."""
        purchase, decision = self.evidence.purchases.get(line["session"]), self.evidence.decisions.get(line["id"])
        order = self.by_intent.get(line["id"])
        if purchase is None or decision is None or order is None or order["kind"] != "link":
            return purchase
        is_subscriber = decision.machine_id in self.evidence.subscribers
        decided = (decision.machine_id, decision.credits)
        return replace(
            purchase, machine_id=decided[0], credits=decided[1], deliverable=True, subscriber=is_subscriber
        )

    def is_forgotten(self, at_ms: int) -> bool:
        """Whether what was heard then may have been lost with a database that was set back."""
        return any(restore.backup_ms <= at_ms <= restore.at_ms for restore in self.evidence.restores)

    def is_made_anew(self, credit_id: str) -> bool:
        """Whether a payment by a static link was told to an older database: it is for whoever is heard then."""
        order = self.by_credit.get(credit_id)
        return credit_id in self.forgotten_credits and order is not None and order["kind"] == "link"

    def befell(self, what: str, subject: str = "") -> bool:
        """Whether that happened."""
        return (what, subject) in self.causes

    def closed_ms(self, credit: dict[str, Any]) -> int:
        """When it was decided how much of a credit was delivered."""
        if credit["kind"] != "tab":
            return min(self.steps_into(credit["order_id"], "resolved", "settled"), default=self.evidence.ended_ms)
        return min(
            (at_ms for at_ms, play in self._plays(credit) if play.delivered is not None),
            default=self.evidence.ended_ms,
        )

    def revoking_ms(self, credit: dict[str, Any], closed_ms: int) -> int:
        """Since when a credit was asked back."""
        if credit["kind"] != "tab":
            return min(self.steps_into(credit["order_id"], "revoking"), default=closed_ms)
        return min((at_ms for at_ms, play in self._plays(credit) if play.is_revoking), default=closed_ms)

    def _plays(self, credit: dict[str, Any]) -> Iterator[tuple[int, Play]]:
        for step in self.steps_of[credit["order_id"]]:
            for play in () if step.tab is None else step.tab.plays:
                if play.token == credit["token"]:
                    yield step.at_ms, play

    def steps_into(self, order_id: str, *states: str) -> list[int]:
        """When the order was committed in one of the states, as far as the database still knows of it."""
        return [step.at_ms for step in self.steps_of[order_id] if step.state in states]


def whole_credits(pulses: list[Pulse], profile: LineProfile) -> int:
    """How many credits a board has counted: each needs all of its pulses, long enough."""
    counted: Counter[int] = Counter()
    for pulse in pulses:
        if pulse.off_ms is not None and pulse.off_ms - pulse.on_ms >= profile.pulse_ms:
            counted[pulse.index] += 1
    return sum(number >= profile.pulses_per_credit for number in counted.values())


def check_line(case: Case) -> Iterator[Broken]:
    """The coin line is never left active, no pulse is too short, none is too close to the one before."""
    lines: dict[str, list[Pulse]] = defaultdict(list)
    for pulse in case.evidence.pulses:
        lines[pulse.line].append(pulse)
    for line, pulses in lines.items():
        profile = case.evidence.profiles[line]
        before_ms = None
        for pulse in pulses:
            if pulse.off_ms is None:
                yield Broken("4", "line", f"{line} was left active at {pulse.on_ms}")
                continue
            if pulse.off_ms - pulse.on_ms < profile.pulse_ms and not (pulse.cut or pulse.failed):
                yield Broken("4", "line", f"{line}: a pulse of {pulse.off_ms - pulse.on_ms} ms")
            if before_ms is not None and pulse.on_ms - before_ms < profile.gap_ms:
                yield Broken("4", "line", f"{line}: {pulse.on_ms - before_ms} ms after the last pulse: merged")
            before_ms = pulse.off_ms


def check_pulses(case: Case) -> Iterator[Broken]:
    """Every pulse has its command, in life, on the addressed installation, once, and before any last word."""
    for credit_id, pulses in case.pulses.items():
        commands = case.commands.get(credit_id, [])
        first = pulses[0]
        profile = case.evidence.profiles[first.line]
        mine = [
            command
            for command in commands
            if command.installation == first.installation and command.machine_id == first.machine_id
        ]
        if not mine or mine[0].at_ms > first.on_ms:
            yield Broken("2", "pulses", f"{first.line} pulsed {credit_id} without a command of the cloud's")
            continue
        # Another expiry than that of the first command is for `check_paid` to judge.
        late_ms = first.on_ms - max(command.expires_ms for command in mine if command.at_ms <= first.on_ms)
        if late_ms >= max(1, case.evidence.behind_ms(0, first.on_ms)):
            yield Broken("2", "pulses", f"{credit_id} was begun {late_ms} ms after its expiry")
        elif late_ms >= 0:  # the Pi has its time from a process whose clock was slow
            case.exceptions["clocks apart"] += 1
        if len({(pulse.line, pulse.installation) for pulse in pulses}) > 1:
            if case.is_made_anew(credit_id):
                case.exceptions["restored, and two Pis"] += 1
                continue
            yield Broken("3", "pulses", f"{credit_id} was pulsed by two installations")
        made = Counter(pulse.index for pulse in pulses)
        if max(made.values()) > profile.pulses_per_credit:
            yield Broken("3", "pulses", f"{credit_id}: a credit of it was pulsed twice")
        if max(made) >= mine[0].credits:
            yield Broken("2", "pulses", f"{credit_id}: more pulsed than the {mine[0].credits} ordered")
        said = min((said.at_ms for said in case.finals[credit_id] if _by(said, first)), default=None)
        if said is not None and pulses[-1].on_ms > said:
            yield Broken("3", "pulses", f"{credit_id} was pulsed after its final answer")


def check_games(case: Case) -> Iterator[Broken]:
    """The end of a game is told once, unless its agent dies or cannot reach the broker for ten minutes."""
    judged_ms = case.evidence.quiet_from_ms + 120_000
    for machine_id in {game.machine_id for game in case.evidence.games}:
        games = [game for game in case.evidence.games if game.machine_id == machine_id]
        told = [at_ms for at_ms, told_of in case.evidence.game_overs.values() if told_of == machine_id]
        if len(told) > len(games):
            yield Broken("3", "games", f"{machine_id}: {len(told)} games were told of {len(games)}")
        due = [
            game.at_ms
            for game in games
            if judged_ms - GAME_OVER_LIFE_MS < game.at_ms < judged_ms - 60_000
            and (game.lost_ms is None or game.lost_ms > judged_ms)
        ]
        for number, at_ms in enumerate(due):
            if sum(told_ms >= at_ms for told_ms in told) < len(due) - number:
                yield Broken("1", "games", f"{machine_id}: the end of a game at {at_ms} was never told")


def _by(said: Said, pulse: Pulse) -> bool:
    return bool(said.fields["installation"] == pulse.installation)


def check_answers(case: Case) -> Iterator[Broken]:
    """All final answers of an installation about a credit are one and the same."""
    for credit_id, finals in case.finals.items():
        words = defaultdict(set)
        for said in finals:
            fields = said.fields
            words[fields["installation"]].add((fields["state"], fields["delivered"], fields["uncertain"]))
        rolled_back = any(what == "journal rolled back" for what, _ in case.causes)
        if any(len(said) > 1 for said in words.values()) and not rolled_back:
            yield Broken("3", "answers", f"{credit_id}: two different final answers: {dict(words)}")


def check_paid(case: Case) -> Iterator[Broken]:
    """Nothing is commanded but what was paid for, or granted: that machine, that number, once for a payment."""
    granted = {grant.order_id: grant for grant in case.evidence.grants.values()}
    money = {line["id"]: line for line in case.evidence.money}
    for credit_id, commands in case.commands.items():
        order = case.by_credit.get(credit_id)
        if order is None and credit_id in case.forgotten_credits:
            continue
        if order is None:
            yield Broken("2", "paid", f"the credit {credit_id} was published and is on no record")
            continue
        asked = {(command.machine_id, command.credits, command.installation) for command in commands}
        ends_ms = [command.expires_ms for command in commands]
        # A payment that is told anew may be put where a clock of the cloud's was, so its credit ends then.
        apart_ms = 0
        if credit_id in case.forgotten_credits:
            apart_ms = case.evidence.apart_ms(0, commands[-1].at_ms)
        if case.is_made_anew(credit_id):
            asked = {(machine_id, credits, "") for machine_id, credits, _ in asked}
        if len(asked) > 1 or max(ends_ms) - min(ends_ms) > apart_ms:
            yield Broken("2", "paid", f"the credit {credit_id} changed between its publishes: {asked}")
        if order["kind"] == "tab":
            continue  # another checker's
        grant = granted.get(order["order_id"])
        if grant is not None:
            if (grant.machine_id, grant.credits) != (commands[0].machine_id, commands[0].credits):
                yield Broken("2", "paid", f"{credit_id} is not what was granted")
            continue
        line = money.get(order["payment_intent"] or "")
        if line is None or line["paid_ms"] is None or line["there_ms"] > commands[0].at_ms:
            yield Broken("2", "paid", f"{credit_id} was published without a payment ({order['order_id']})")
            continue
        purchase = case.bought(line)
        bought = None if purchase is None else (purchase.machine_id, purchase.credits, purchase.deliverable)
        if bought != (commands[0].machine_id, commands[0].credits, True):
            yield Broken("2", "paid", f"{credit_id} is not what was bought: {bought}")
        since_ms, decision = line["paid_ms"], case.evidence.decisions.get(line["id"])
        if decision is not None:
            since_ms = decision.ended_ms + case.evidence.ahead_ms(decision.begun_ms, decision.ended_ms)
        if commands[0].expires_ms > since_ms + 1000 * (case.evidence.limits.deliver_within_s + 1):
            yield Broken("2", "paid", f"{credit_id} lives longer than it may")


def check_money(case: Case) -> Iterator[Broken]:
    """Paid = pulsed + given back, for each payment, but for the named exceptions."""
    for line in case.evidence.money:
        purchase = case.bought(line)
        if line["paid_ms"] is None or purchase is None or purchase.is_tab:
            continue
        order = case.by_intent.get(line["id"])
        if case.forgotten.intersection((purchase.order_id, f"link_{line['id']}", f"stray_{line['id']}")):
            yield from _forgotten(case, line, purchase)
            continue
        kept = max(0, line["kept"] - line["lost"])
        outside = case.befell("money gone outside", line["id"])
        if order is None and not purchase.deliverable:
            if not outside and kept != line["amount"]:
                yield Broken("1", "money", f"the payment {line['id']} is nobody's, and {kept} are left of it")
            continue
        if order is None:
            if not outside:
                yield Broken("1", "money", f"the payment {line['id']} is on no record; {kept} are kept")
            continue
        name = order["order_id"]
        if order["state"] == "abandoned":
            if not outside:
                yield Broken("1", "money", f"{name} is abandoned, and was paid ({line['status']})")
            continue
        pulsed, delivered = _pulsed(case, order, purchase), order["delivered"] or 0
        yield from _compare(case, order, pulsed, delivered)
        expected = _share(purchase, delivered)
        was_held = line["hold_until_ms"] is not None
        if was_held and line["captured"] > expected and not (outside or line["part_refused"]):
            taken = f"{line['captured']} of {line['amount']} captured for {delivered} delivered"
            yield Broken("1", "money", f"{name}: {taken}, and a part would have done")
        refunds = [r for r in case.evidence.refunds if r.order_id == name]
        certain = [_in_coins(r.keep_minor, purchase.currency) for r in refunds if r.certain]
        maybe = [_in_coins(r.keep_minor, purchase.currency) for r in refunds if not r.certain]
        due = min([expected, *certain])
        allowed = {due, *(min(due, keep) for keep in maybe)}
        if kept in allowed:
            continue
        if kept < max(allowed) and outside and ("loss", name) in case.alerts:
            case.exceptions["money gone outside"] += 1
        elif kept > min(allowed) and line["refunds_failed"] >= 3 and ("owed", name) in case.alerts:
            case.exceptions["owed"] += 1
        elif kept < due and outside and order["state"] == "settled" and not delivered:
            continue
        else:
            yield Broken(
                "1", "money", f"{name}: {kept} kept of {line['amount']}, {delivered} delivered, due {allowed}"
            )


def _share(purchase: Purchase, credits: int) -> int:
    """What that many of the credits cost, in the favour of the player and in coins that exist."""
    return share(purchase.amount_minor, credits, purchase.credits, purchase.currency)


def share(price_minor: int, delivered: int, credits: int, currency: str) -> int:
    """What so many of the credits that cost a price together cost, in coins that exist."""
    return _in_coins(Fraction(price_minor * delivered, credits), currency)


def _in_coins(amount: Fraction | int, currency: str) -> int:
    step = STEPS.get(currency, 1)
    return int(Fraction(amount) / step) * step


def _forgotten(case: Case, line: dict[str, Any], purchase: Purchase) -> Iterator[Broken]:
    """A payment whose order was set back by a restored database: more than what was pulsed is never kept.

    Of an order that is gone altogether nobody can say more than the machine (an orphan) and Stripe.
    """
    order = case.by_intent.get(line["id"])
    yield from _captured(case, line, purchase)
    if order is None:
        case.exceptions["restored, and gone"] += 1
        return
    pulsed = _pulsed(case, {"credit_id": _only_credit(case, order)}, purchase)
    kept = max(0, line["kept"] - line["lost"])
    if kept > _share(purchase, pulsed) and line["refunds_failed"] < 3:
        text = f"{order['order_id']}, restored: {kept} kept of {line['amount']} for {pulsed} pulsed"
        yield Broken("1", "money", text)
    if pulsed > (order["delivered"] or 0) or kept < _share(purchase, pulsed):
        case.exceptions["restored, and set back"] += 1


def _captured(case: Case, line: dict[str, Any], purchase: Purchase) -> Iterator[Broken]:
    """What was captured for what was delivered stays, unless a person or a bank takes it back."""
    if line["capture_mark"] is None or case.befell("money gone outside", line["id"]) or line["lost"]:
        return
    asked = any(refund.order_id == purchase.order_id for refund in case.evidence.refunds)
    decided = line["id"] in case.evidence.decisions
    target = int(line["capture_mark"].partition(".")[0])
    # docs/SECURITY.md: what was captured, then forgotten, and marked with a secret that was taken away since.
    captured_ms = [
        act.at_ms for act in case.evidence.acts if (act.what, act.payment_intent) == ("capture", line["id"])
    ]
    forgotten = any(case.is_forgotten(at_ms) for at_ms in captured_ms)
    rotated = [fault.end_ms for fault in case.evidence.troubles if fault.what == "signing secret rotated"]
    if forgotten and any(end_ms > min(captured_ms) for end_ms in rotated):
        case.exceptions["restored, and its secret gone"] += 1
    elif line["kept"] < target and not (asked or decided):
        yield Broken("1", "money", f"{line['id']}, restored: {line['kept']} of {target} kept that were captured")


def _only_credit(case: Case, order: dict[str, Any]) -> str | None:
    """The credit of an order, also if the order has forgotten it."""
    known = {s.credit_id for s in case.evidence.steps if s.order_id == order["order_id"] and s.credit_id}
    return next(iter(known), None)


def _pulsed(case: Case, order: dict[str, Any], purchase: Purchase) -> int:
    credit_id = order["credit_id"] or ""
    if purchase.subscriber:
        delivered = any(command.outcome == "confirmed" for command in case.commands.get(credit_id, []))
        return purchase.credits if delivered else 0
    pulses = case.pulses.get(credit_id, [])
    return whole_credits(pulses, case.evidence.profiles[pulses[0].line]) if pulses else 0


def _compare(case: Case, order: dict[str, Any], pulsed: int, delivered: int) -> Iterator[Broken]:
    """What was pulsed against what the order was closed with."""
    if pulsed == delivered:
        return
    name, pulses = order["order_id"], case.pulses.get(order["credit_id"] or "", [])
    line = pulses[0].line if pulses else ""
    since_ms = pulses[0].on_ms if pulses else 0
    text = f"{name}: {pulsed} pulsed and {delivered} charged for ({order['resolved_by']})"
    if pulsed < delivered:
        yield Broken("1", "money", text)
    elif order["resolved_by"] in SILENT:
        case.exceptions["silent machine"] += 1
    elif any(at_ms >= since_ms for at_ms in case.causes.get(("journal rolled back", line), ())):
        case.exceptions["forgetful card"] += 1
    elif case.evidence.metered.get(line) and _registered_in_time(case, order) <= delivered:
        case.exceptions["not registered in time"] += 1
    elif (
        pulsed == delivered + 1
        and order["uncertain"] == 1
        and (
            any(at_ms >= since_ms for at_ms in case.causes.get(("agent died", line), ()))
            or case.befell("coin line failed", order["credit_id"])
        )
    ):
        case.exceptions["power cut in a pulse"] += 1
    else:
        yield Broken("1", "money", text)


def _registered_in_time(case: Case, order: dict[str, Any]) -> int:
    """How many coins of the order the machine's meter had counted by the time that counts, or by its death."""
    pulses = case.pulses[order["credit_id"]]
    line = pulses[0].line
    moves = sorted(moved.at_ms for moved in case.evidence.registered if moved.line == line)
    end_ms = _still_ms(pulses, moves)
    told_ms = min((said.at_ms for said in case.finals[order["credit_id"]]), default=case.evidence.ended_ms)
    died_ms = [at_ms for at_ms in case.causes.get(("agent died", line), ()) if pulses[0].on_ms < at_ms <= told_ms]
    if died_ms:  # its journal may only know the meter as it stood when the last whole credit was written down
        end_ms = _last_written_ms(pulses, case.evidence.profiles[line], min(died_ms))
    mine = [moved.at_ms for moved in case.evidence.registered if moved.credit_id == order["credit_id"]]
    return sum(at_ms < end_ms for at_ms in mine)


def _still_ms(pulses: list[Pulse], moves: list[int]) -> int:
    """When the meter has had its time, as docs/WIRING.md says: it is still for so long after the last pulse."""
    still_ms = pulses[-1].off_ms or pulses[-1].on_ms
    for at_ms in moves:
        if at_ms < still_ms + METER_SETTLES_MS:
            still_ms = max(still_ms, at_ms)
    return still_ms + METER_SETTLES_MS


def _last_written_ms(pulses: list[Pulse], profile: LineProfile, died_ms: int) -> int:
    """When the last credit ended that an agent had time to write down before it died; its first edge if none."""
    ends: dict[int, list[int]] = defaultdict(list)
    for pulse in pulses:
        if pulse.off_ms is not None and pulse.off_ms < died_ms:
            ends[pulse.index].append(pulse.off_ms)
    written = [max(off) for off in ends.values() if len(off) >= profile.pulses_per_credit]
    return max(written, default=pulses[0].on_ms)


def check_books(case: Case) -> Iterator[Broken]:
    """What was decided once stays: how many were delivered, which credit, one credit for an order."""
    delivered: dict[str, int] = {}
    credit: dict[str, str] = {}
    granted = {grant.order_id for grant in case.evidence.grants.values()}
    for step in case.evidence.steps:
        if step.order_id in case.forgotten:
            pass
        elif step.delivered is not None:
            if delivered.setdefault(step.order_id, step.delivered) != step.delivered:
                yield Broken("3", "books", f"{step.order_id}: delivered changed after the order was closed")
        elif step.order_id in delivered:
            yield Broken("3", "books", f"{step.order_id}: closed, and open again")
        if step.credit_id is not None and credit.setdefault(step.order_id, step.credit_id) != step.credit_id:
            if step.order_id in case.forgotten and step.order_id in granted:
                case.exceptions["restored, and granted again"] += 1
                continue
            yield Broken("3", "books", f"{step.order_id}: a second credit")


def check_words(case: Case) -> Iterator[Broken]:
    """What closed an order truly happened: the addressed machine's own word, or silence as published."""
    limits = case.evidence.limits
    money = {line["id"]: line for line in case.evidence.money}
    for order in case.credits:
        name, by, credit_id = order["order_id"], order["resolved_by"], order["credit_id"]
        if name in case.forgotten and by != "ack":
            continue
        if by == "ack":
            words = [said.fields for said in case.finals.get(credit_id, [])]
            if not any(
                (word["installation"], word["machineId"], word["delivered"])
                == (order["installation"], order["machine_id"], order["delivered"])
                for word in words
            ):
                yield Broken("2", "words", f"{name} was closed by a word that its machine never said")
        elif by in ("silence", "last resort"):
            closed_ms = case.closed_ms(order)
            revoked_ms = [
                r.at_ms for r in case.evidence.revokes if r.credit_id == credit_id and r.outcome in CONFIRMED
            ]
            revoked_ms = [at_ms for at_ms in revoked_ms if at_ms <= closed_ms]
            since_ms = case.revoking_ms(order, closed_ms)
            # One process may begin what another ends; one that is further off ends nothing.
            apart_ms = case.evidence.apart_ms(since_ms, closed_ms)
            slack_ms = min(apart_ms, WAITS_END_WITHIN_MS)
            if by == "last resort":
                end_ms = _before_the_hold_ends(money, order, since_ms + 1000 * limits.last_resort_s, 3)
                if closed_ms < end_ms - slack_ms:
                    yield Broken("5", "words", f"{name}: the last resort came too early")
                continue
            limit_s = limits.hold_silence_limit_s if order["held"] else limits.silence_limit_s
            end_ms = min(revoked_ms, default=closed_ms) + 1000 * limit_s
            end_ms = _before_the_hold_ends(money, order, end_ms, 2)
            # An echo has the time of whoever sent it: of one that is behind it looks older than it is.
            proven = any(
                at_ms <= closed_ms and sent_ms >= max(end_ms - slack_ms, revoked_ms[-1] - apart_ms)
                for at_ms, sent_ms in case.evidence.echoes
            )
            if closed_ms < end_ms - slack_ms or not proven:
                yield Broken("5", "words", f"{name} was closed for a silence that nobody proved")
            if any(
                said.fields.get("final") and said.at_ms < closed_ms and said.fields == true.fields
                for said in case.heard[credit_id or ""]
                for true in case.finals.get(credit_id, ())
            ):
                yield Broken("5", "words", f"{name} was closed for silence after its machine had been heard")
        elif by == "unsent" and case.commands.get(credit_id or ""):
            yield Broken("1", "words", f"{name} was closed as unsent, and was sent")


def _before_the_hold_ends(
    money: dict[str, dict[str, Any]], order: dict[str, Any], end_ms: int, quarters: int
) -> int:
    """The end of a time limit: sooner where so many quarters of a hold are over before. Link tells no end."""
    line = money.get(order["payment_intent"] or "", {})
    if line.get("method") != "card" or line["hold_until_ms"] is None:
        return end_ms
    return min(end_ms, int(line["paid_ms"] + (line["hold_until_ms"] - line["paid_ms"]) * quarters // 4))


def check_defects(case: Case) -> Iterator[Broken]:
    """Nothing but documented errors comes out of any door."""
    for defect in case.evidence.defects:
        yield Broken("defect", "defects", defect)


def check(evidence: Evidence) -> tuple[list[Broken], Counter[str]]:
    """What is broken, and how often each named exception was met."""
    from simulation.alert_checker import check_alerts
    from simulation.announced_checker import check_announced
    from simulation.bound_checker import check_final
    from simulation.closure_checker import check_closed
    from simulation.ownership_checker import check_ownership
    from simulation.receipts_checker import check_receipts
    from simulation.tab_checkers import (
        check_draws,
        check_tab_money,
        check_tabs_final,
        check_tabs_paid,
        check_tickets,
    )
    from simulation.takings_checker import check_takings
    from simulation.train_checkers import check_counts, check_meters, check_trains

    case = Case(evidence)
    broken: list[Broken] = []
    for checker in (
        check_defects,
        check_line,
        check_pulses,
        check_games,
        check_answers,
        check_paid,
        check_money,
        check_books,
        check_words,
        check_final,
        check_trains,
        check_meters,
        check_counts,
        check_alerts,
        check_ownership,
        check_closed,
        check_takings,
        check_receipts,
        check_announced,
        check_draws,
        check_tickets,
        check_tab_money,
        check_tabs_paid,
        check_tabs_final,
    ):
        broken.extend(checker(case))
    return broken, case.exceptions
