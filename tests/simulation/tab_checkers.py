"""The promises for tabs, recomputed: one hold, many credits, one capture of exactly what was pulsed.

What docs/ORDER_LIFE.md says about tabs is written out here once more; nothing here knows the code under test.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from simulation.bound_checker import Bounds
from simulation.checkers import FINAL, Broken, Case, _captured, _compare, _in_coins, _pulsed, share
from simulation.evidence import Play, Purchase, Step, TabStep
from simulation.stripe_account import LEAST

# A draw is on record so soon after it was decided, whoever works in between.
COMMITTED_MS = 60_000
# What was under way to a machine when a hold was found gone, and who waits inside a call with it.
SENT_WITHIN_MS = 60_000
# docs/ORDER_LIFE.md: a page's ticket is good for so long.
TICKET_LIFE_MS = 600_000


def _tab_steps(case: Case, order_id: str) -> list[tuple[Step, TabStep]]:
    """The steps of a tab that the database still knows of."""
    return [(step, step.tab) for step in case.steps_of[order_id] if step.tab is not None]


def _earned(play: Play, currency: str) -> int:
    return share(play.price_minor, play.delivered or 0, play.credits, currency)


def check_draws(case: Case) -> Iterator[Broken]:
    """What is drawn fits the hold, which was read standing lately; and nothing is drawn once the tab is closed."""
    limits = {p.order_id: p for p in case.evidence.purchases.values() if p.is_tab}
    lines = {line["session"]: line for line in case.evidence.money}
    for order_id, purchase in limits.items():
        steps = _tab_steps(case, order_id or "")
        line = lines.get(purchase.session_id, {})
        known: dict[str, Play] = {}
        closed = ""
        for step, tab in steps:
            for number, play in enumerate(tab.plays):
                if play.token in known:
                    continue
                known[play.token] = play
                yield from _draw(case, purchase, line, step, tab.plays[:number], play)
                if closed:
                    yield _broken("2", order_id, f"drawn at {step.at_ms}, and it was closed ({closed})")
            if closed and not tab.closed_by:
                yield _broken("3", order_id, "closed, and open again")
            closed = closed or tab.closed_by
            drawn = sum(
                play.price_minor if play.delivered is None else _earned(play, purchase.currency)
                for play in tab.plays
            )
            if drawn > purchase.amount_minor:
                yield _broken("2", order_id, f"{drawn} drawn on {purchase.amount_minor} at {step.at_ms}")
        yield from _finished(case, order_id or "", steps)


def _draw(
    case: Case, purchase: Purchase, line: dict[str, Any], step: Step, before: Sequence[Play], play: Play
) -> Iterator[Broken]:
    """One draw, as it was committed."""
    evidence, order_id = case.evidence, purchase.order_id
    fresh_ms = 1000 * evidence.limits.tab_fresh_s
    slack_ms = evidence.apart_ms(step.at_ms - fresh_ms - COMMITTED_MS, step.at_ms)
    if not step.at_ms - COMMITTED_MS - slack_ms <= play.drawn_ms <= step.at_ms + slack_ms:
        yield _broken("2", order_id, f"a draw of {step.at_ms} is said to be of {play.drawn_ms}")
    since_ms = play.drawn_ms - fresh_ms - slack_ms
    mine = [r for r in evidence.readings if r.payment_intent == line.get("id") and r.at_ms <= step.at_ms]
    if not any(reading.stood and reading.at_ms > since_ms for reading in mine):
        yield _broken("2", order_id, f"drawn at {step.at_ms}, and its hold was not read standing lately")
    committed = play.price_minor + sum(
        other.price_minor if other.delivered is None else _earned(other, purchase.currency) for other in before
    )
    if committed < LEAST.get(purchase.currency, 0):
        yield _broken("1", order_id, f"{committed} drawn at first, of which Stripe captures nothing")
    if any(other.machine_id == play.machine_id and other.delivered is None for other in before):
        yield _broken("2", order_id, f"drawn at {play.machine_id}, which still owed an answer")
    if line.get("paid_ms") is not None:
        end_ms = line["paid_ms"] + 1000 * evidence.limits.tab_life_s
        if play.drawn_ms > end_ms + slack_ms:
            yield _broken("5", order_id, f"drawn {(play.drawn_ms - end_ms) // 1000} s after the end of its life")
        hold_ms = (line["hold_until_ms"] or line["paid_ms"]) - line["paid_ms"]
        rest_ms = 1000 * (evidence.limits.deliver_within_s + evidence.limits.hold_silence_limit_s)
        end_ms = line["paid_ms"] + min(
            hold_ms // 2 - rest_ms, hold_ms * 3 // 4 - 1000 * evidence.limits.last_resort_s
        )
        if play.drawn_ms > end_ms + slack_ms:
            yield _broken("5", order_id, "drawn too late to be delivered, and waited for, before its hold ends")


def _finished(case: Case, order_id: str, steps: list[tuple[Step, TabStep]]) -> Iterator[Broken]:
    """Whoever was told that a tab is finished finds nothing drawn on it later."""
    if order_id in case.forgotten:
        return
    finished_ms = min((f.at_ms for f in case.evidence.finished if f.order_id == order_id), default=None)
    if finished_ms is None:
        return
    before: set[str] = set()
    for step, tab in steps:
        tokens = {play.token for play in tab.plays}
        if step.at_ms > finished_ms and tokens - before:
            yield _broken("2", order_id, f"finished at {finished_ms}, and drawn on at {step.at_ms}")
        before |= tokens


def check_tickets(case: Case) -> Iterator[Broken]:
    """A ticket draws one credit, however often it is tapped: what it showed, at that machine, for that price."""
    evidence = case.evidence
    tokens: dict[int, set[str]] = defaultdict(set)
    tickets: dict[str, set[int]] = defaultdict(set)
    tapped: dict[str, dict[tuple[Any, ...], set[int]]] = defaultdict(lambda: defaultdict(set))
    first_ms: dict[tuple[Any, ...], int] = {}
    for tap in evidence.taps:
        what = (tap.machine_id, tap.credits, tap.price_minor)
        tapped[tap.order_id][what].add(tap.ticket)
        first_ms.setdefault((tap.order_id, *what), tap.at_ms)
        if tap.token is not None:
            tokens[tap.ticket].add(tap.token)
            tickets[tap.token].add(tap.ticket)
    for ticket, drawn in tokens.items():
        if len(drawn) > 1:
            yield Broken("3", "tickets", f"ticket {ticket} has drawn {len(drawn)} credits")
    for token, by in tickets.items():
        if len(by) > 1:
            yield Broken("3", "tickets", f"tickets {sorted(by)} have drawn the same credit {token}")
    yield from _ages(case)
    on_record = {play["token"] for order in evidence.tabs for play in order["plays"]}
    for tap in evidence.taps:
        if tap.token is not None and tap.token not in on_record and tap.order_id not in case.forgotten:
            yield Broken("1", "tickets", f"ticket {tap.ticket} is said to have drawn, and is on no record")
    for order in evidence.tabs:
        name = order["order_id"]
        found = Counter((play["machine_id"], play["credits"], play["price_minor"]) for play in order["plays"])
        if len({play["token"] for play in order["plays"]}) < len(order["plays"]):
            yield Broken("3", "tickets", f"{name}: one ticket has drawn twice")
        for what, number in found.items():
            if number > len(tapped[name][what]):
                yield Broken(
                    "3", "tickets", f"{name}: {number} times {what} drawn, {len(tapped[name][what])} tapped"
                )
        if not evidence.restores:
            yield from _prices(case, name)


def _ages(case: Case) -> Iterator[Broken]:
    """A ticket is good for ten minutes: what it draws, it draws by then."""
    drawn_ms = {play["token"]: play["drawn_ms"] for order in case.evidence.tabs for play in order["plays"]}
    for tap in case.evidence.taps:
        at_ms = drawn_ms.get(tap.token)
        if at_ms is None or tap.shown_ms == 0:
            continue
        slack_ms = case.evidence.apart_ms(tap.shown_ms, tap.at_ms)
        if at_ms - tap.shown_ms >= TICKET_LIFE_MS + slack_ms:
            yield Broken(
                "2", "tickets", f"ticket {tap.ticket} has drawn {at_ms - tap.shown_ms} ms after it was shown"
            )


def _prices(case: Case, order_id: str) -> Iterator[Broken]:
    """The cheap game costs what it cost when it was drawn."""
    evidence, known = case.evidence, set[str]()
    for step, tab in _tab_steps(case, order_id):
        for play in tab.plays:
            if play.token in known or play.price_minor // play.credits not in {
                price for _, _, price in evidence.prices
            }:
                known.add(play.token)
                continue
            known.add(play.token)
            prices = [
                (at_ms, price) for at_ms, machine_id, price in evidence.prices if machine_id == play.machine_id
            ]
            now = [price for at_ms, price in prices if at_ms <= step.at_ms - COMMITTED_MS][-1:]
            now += [price for at_ms, price in prices if step.at_ms - COMMITTED_MS < at_ms <= step.at_ms]
            if play.price_minor not in [price * play.credits for price in now]:
                yield Broken("2", "tickets", f"{order_id}: {play.price_minor} drawn, and it cost {now}")


def check_tab_money(case: Case) -> Iterator[Broken]:
    """Paid = pulsed + given back, over all plays of a tab; one capture, once every play is resolved."""
    acts = Counter((act.what, act.payment_intent) for act in case.evidence.acts)
    orders = {order["order_id"]: order for order in case.evidence.tabs}
    for line in case.evidence.money:
        purchase = case.evidence.purchases.get(line["session"])
        if purchase is None or not purchase.is_tab or line["paid_ms"] is None:
            continue
        if acts["capture", line["id"]] > 1:
            yield _broken("1", purchase.order_id, f"captured {acts['capture', line['id']]} times")
        order = orders.get(purchase.order_id or "")
        if purchase.order_id in case.forgotten:
            yield from _forgotten(case, line, purchase)
        elif order is None or order["payment_intent"] != line["id"]:
            if not case.befell("money gone outside", line["id"]):
                yield _broken("1", purchase.order_id, f"the payment {line['id']} is on no record")
        else:
            yield from _captured_once(case, line, purchase)
            yield from _kept(case, line, purchase, order)


def _kept(case: Case, line: dict[str, Any], purchase: Purchase, order: dict[str, Any]) -> Iterator[Broken]:
    name, currency, expected = order["order_id"], purchase.currency, 0
    outside = case.befell("money gone outside", line["id"])
    if order["state"] == "abandoned":
        if not outside:
            yield _broken("1", name, f"abandoned, and was paid ({line['status']})")
        return
    for play in order["plays"]:
        delivered = play["delivered"] or 0
        yield from _compare(case, play, _pulsed(case, play, _sold(case, play)), delivered)
        expected += share(play["price_minor"], delivered, play["credits"], currency)
    if line["captured"] > expected and not outside:
        yield _broken("1", name, f"{line['captured']} captured, and {expected} were played for")
    allowed = _allowed(case, order, expected, currency)
    due = min(allowed)
    if not outside:
        # What was captured before somebody asked for more was enough then. Less than Stripe captures is let go.
        allowed = {0 if line["captured"] == 0 and keep < LEAST.get(currency, 0) else keep for keep in allowed}
    kept = max(0, line["kept"] - line["lost"])
    if kept in allowed:
        return
    if kept < max(allowed) and ("loss", name) in case.alerts and (outside or line["part_refused"]):
        case.exceptions["money gone outside" if outside else "no part of a hold"] += 1
    elif kept > min(allowed) and line["refunds_failed"] >= 3 and ("owed", name) in case.alerts:
        case.exceptions["owed"] += 1
    elif kept < due and outside and order["state"] == "settled" and not expected:
        return
    else:
        text = f"{kept} kept of a hold of {line['amount']}, {expected} were played for, due {sorted(allowed)}"
        yield _broken("1", name, text)


def _allowed(case: Case, order: dict[str, Any], expected: int, currency: str) -> set[int]:
    """What may be kept, by what the operator has given back of all of it and of single plays, in either order."""
    refunds = [refund for refund in case.evidence.refunds if refund.order_id == order["order_id"]]
    keeps = {expected}
    for refund in refunds:
        if refund.play is None:
            keep = _in_coins(refund.keep_minor, currency)
            less = {min(keep, known) for known in keeps}
            keeps = less if refund.certain else keeps | less
    backs = {0}
    plays: dict[int, bool] = {}
    for refund in refunds:
        if refund.play is not None:
            plays[refund.play] = plays.get(refund.play, False) or refund.certain
    for number, certain in plays.items():
        if number > len(order["plays"]):
            continue
        play = order["plays"][number - 1]
        back = share(play["price_minor"], play["delivered"] or 0, play["credits"], currency)
        more = {known + back for known in backs}
        backs = more if certain else backs | more
    before = {min(keep, max(0, expected - back)) for keep in keeps for back in backs}
    return before | {max(0, keep - back) for keep in keeps for back in backs}


def _sold(case: Case, play: dict[str, Any]) -> Purchase:
    """A play as if it had been bought."""
    return Purchase(
        "",
        play["order_id"],
        play["machine_id"],
        play["credits"],
        play["price_minor"],
        subscriber=play["machine_id"] in case.evidence.subscribers,
    )


def _captured_once(case: Case, line: dict[str, Any], purchase: Purchase) -> Iterator[Broken]:
    """Nothing is captured or let go before the tab is closed and its last play is resolved; nothing sent later."""
    steps = _tab_steps(case, purchase.order_id or "")
    for act in case.evidence.acts:
        if act.payment_intent != line["id"] or act.what == "refund":
            continue
        before = [tab for step, tab in steps if step.at_ms <= act.at_ms][-1:]
        if any(tab.plays and not tab.closed_by for tab in before):
            yield _broken("1", purchase.order_id, f"{act.what} at {act.at_ms}, and it was open")
        if any(play.delivered is None for tab in before for play in tab.plays):
            yield _broken("1", purchase.order_id, f"{act.what} at {act.at_ms}, and a play was under way")
    yield from _asked_back(case, purchase, steps)
    gone_ms = None
    for step, tab in steps:
        if step.state not in ("funded", "revoking"):
            continue
        if not tab.stands:
            gone_ms = gone_ms or step.at_ms
            if not tab.closed_by:
                yield _broken("2", purchase.order_id, f"its hold was gone at {step.at_ms}, and it stayed open")
            if any(play.delivered is None and not play.is_revoking for play in tab.plays):
                yield _broken("2", purchase.order_id, f"its hold was gone at {step.at_ms}, and nothing revoked")
    if gone_ms is None:
        return
    for credit_id in {play.credit_id for _, tab in steps for play in tab.plays}:
        if any(command.at_ms > gone_ms + SENT_WITHIN_MS for command in case.commands.get(credit_id or "", ())):
            yield _broken("2", purchase.order_id, f"{credit_id} was sent when its hold was gone")


def _asked_back(case: Case, purchase: Purchase, steps: list[tuple[Step, TabStep]]) -> Iterator[Broken]:
    """What an operator gives back of an open tab closes it, and asks for all that is under way."""
    for refund in case.evidence.refunds:
        is_this = refund.order_id == purchase.order_id and refund.play is None
        if not (is_this and refund.certain):
            continue
        before = [(step, tab) for step, tab in steps if step.at_ms <= max(refund.at_ms, refund.done_ms)][-1:]
        for step, tab in before:
            if step.state not in ("funded", "revoking"):
                continue
            if not tab.closed_by:
                yield _broken("2", purchase.order_id, f"refunded at {refund.at_ms}, and still open")
            if any(play.delivered is None and not play.is_revoking for play in tab.plays):
                yield _broken("2", purchase.order_id, f"refunded at {refund.at_ms}, and nothing revoked")


def _forgotten(case: Case, line: dict[str, Any], purchase: Purchase) -> Iterator[Broken]:
    """A tab that a restored database has set back: never more is kept than what was pulsed."""
    yield from _captured(case, line, purchase)
    plays: dict[str, Play] = {}
    for step in case.evidence.steps:
        if step.order_id == purchase.order_id and step.tab is not None:
            plays.update({play.credit_id: play for play in step.tab.plays if play.credit_id})
    due = 0
    for credit_id, play in plays.items():
        record = {"credit_id": credit_id, "order_id": purchase.order_id, "machine_id": play.machine_id}
        pulsed = _pulsed(case, record, _sold(case, {**record, "credits": play.credits, "price_minor": 0}))
        due += share(play.price_minor, pulsed, play.credits, purchase.currency)
    kept = max(0, line["kept"] - line["lost"])
    if kept > due and line["refunds_failed"] < 3 and not case.befell("money gone outside", line["id"]):
        yield _broken("1", purchase.order_id, f"restored: {kept} kept of {line['amount']}, {due} were played for")
    if kept < due:
        case.exceptions["restored, and set back"] += 1


def check_tabs_paid(case: Case) -> Iterator[Broken]:
    """Each play that is sent is one of a paid tab's, and lives no longer than a purchase."""
    money = {line["id"]: line for line in case.evidence.money}
    limits = case.evidence.limits
    for order in case.evidence.tabs:
        for play in order["plays"]:
            commands = case.commands.get(play["credit_id"] or "", [])
            if not commands:
                continue
            asked = {(c.machine_id, c.credits, c.installation, c.expires_ms) for c in commands}
            if len(asked) > 1:
                yield _broken("2", order["order_id"], f"{play['credit_id']} changed between its publishes")
            if {(c.machine_id, c.credits) for c in commands} != {(play["machine_id"], play["credits"])}:
                yield _broken("2", order["order_id"], f"{play['credit_id']} is not what was drawn")
            line = money.get(order["payment_intent"] or "", {})
            if line.get("there_ms") is None or line["there_ms"] > commands[0].at_ms:
                yield _broken("2", order["order_id"], f"{play['credit_id']} was sent without a hold")
            if commands[0].expires_ms > play["drawn_ms"] + 1000 * (limits.deliver_within_s + 1):
                yield _broken("2", order["order_id"], f"{play['credit_id']} lives longer than it may")


def check_tabs_final(case: Case) -> Iterator[Broken]:
    """A tab is closed, its plays resolved and its money moved in the published time; a restored one is closed."""
    bounds = Bounds(case)
    money = {line["id"]: line for line in case.evidence.money}
    for order in case.evidence.tabs:
        name = order["order_id"]
        if order["state"] not in FINAL:
            yield _broken("5", name, f"{order['state']} days after the last fault")
            continue
        line = money.get(order["payment_intent"] or "", {})
        steps = _tab_steps(case, name)
        for restore in case.evidence.restores:
            before = [(step, tab) for step, tab in steps if step.at_ms <= restore.backup_ms][-1:]
            known = [step for step, tab in before if not tab.closed_by]
            if not known or known[0].state not in ("open", "funded", "revoking"):
                continue
            after = [tab for step, tab in steps if step.at_ms >= restore.at_ms]
            plays = max(len(tab.plays) for _, tab in before)
            drawn = any(len(tab.plays) > plays and not tab.closed_by for tab in after)
            if drawn or (known[0].state != "open" and not any(tab.closed_by for tab in after)):
                yield _broken("2", name, "open in an older database that was put back")
        if name in case.forgotten or line.get("paid_ms") is None or order["state"] == "abandoned":
            continue
        for what, at_ms, by_ms in _times(case, bounds, order, line, steps):
            if at_ms > by_ms:
                yield _broken("5", name, f"{what} {(at_ms - by_ms) // 1000} s after it had to be")


def _times(
    case: Case, bounds: Bounds, order: dict[str, Any], line: dict[str, Any], steps: list[tuple[Step, TabStep]]
) -> Iterator[tuple[str, int, int]]:
    """(what, when it happened, by when it had to happen)."""
    limits, ended_ms = case.evidence.limits, case.evidence.ended_ms
    known_ms = min((s.at_ms for s, _ in steps if s.state not in ("open", "abandoned")), default=ended_ms)
    yield "known to be held", known_ms, bounds.known(line["there_ms"])
    opened = any(step.state == "funded" for step, _ in steps)
    closed_ms = min((step.at_ms for step, tab in steps if tab.closed_by), default=ended_ms)
    if opened:
        last_ms = max([line["paid_ms"], *(play["drawn_ms"] for play in order["plays"])])
        life_ms = line["paid_ms"] + 1000 * limits.tab_life_s
        yield "closed", closed_ms, bounds.closed(max(known_ms, min(life_ms, last_ms + 1000 * limits.tab_idle_s)))
    resolved_ms = closed_ms if opened else known_ms
    for play in order["plays"]:
        done_ms = case.closed_ms(play)
        resolved_ms = max(resolved_ms, done_ms)
        if play["machine_id"] in case.evidence.subscribers:
            by_ms = bounds.subscriber(play["drawn_ms"])
        else:
            by_ms = min(
                bounds.silence(play["drawn_ms"], line["hold_until_ms"], held=True),
                bounds.last_resort(play["drawn_ms"], line["hold_until_ms"]),
            )
        yield f"{play['credit_id']} resolved", done_ms, by_ms
    settled_ms = min(case.steps_into(order["order_id"], "settled"), default=ended_ms)
    moves_again = line["refunds_failed"] or case.befell("disputed", line["id"])
    if not (moves_again or line["part_refused"]):
        yield "settled", settled_ms, bounds.settled(resolved_ms)


def check_tab_takings(case: Case, order: dict[str, Any], lines: list[dict[str, Any]]) -> Iterator[Broken]:
    """Each play is booked at the machine where it was played, once, and what is kept is what is at Stripe."""
    name = order["order_id"]
    if order["state"] != "settled":
        return
    payment = next((line for line in case.evidence.money if line["id"] == order["payment_intent"]), None)
    purchase = None if payment is None else case.evidence.purchases.get(payment["session"])
    if payment is None or purchase is None or not case.steps_into(name, "settled"):
        if lines:
            yield Broken("1", "takings", f"{name}: booked without a payment")
        return
    due: Counter[tuple[str, str]] = Counter()
    found: Counter[tuple[str, str]] = Counter()
    for play in order["plays"]:
        where, delivered = play["machine_id"], play["delivered"] or 0
        due[where, "ordered"] += play["credits"]
        due[where, "delivered"] += delivered
        due[where, "gross_minor"] += share(play["price_minor"], delivered, play["credits"], purchase.currency)
    for line in lines:
        for what in ("ordered", "delivered", "gross_minor"):
            found[line["machine_id"], what] += line[what]
        if (line["method"], line["currency"]) != (payment["method"], purchase.currency):
            yield Broken("1", "takings", f"{name}: booked as paid by other means")
    if +due != +found:
        yield Broken("1", "takings", f"{name}: {dict(found)} booked, {dict(due)} were played")
    if len({(line["serial"], line["number"]) for line in lines}) != len(lines):
        yield Broken("1", "takings", f"{name}: booked twice")
    kept = sum(line["gross_minor"] - line["goodwill_minor"] - line["lost_minor"] for line in lines)
    at_stripe = max(0, payment["kept"] - payment["lost"])
    if kept > at_stripe or (kept < at_stripe and name not in case.forgotten and ("owed", name) not in case.alerts):
        yield Broken("1", "takings", f"{name}: {kept} booked as kept, {at_stripe} are")


def _broken(promise: str, order_id: str | None, text: str) -> Broken:
    return Broken(promise, "tabs", f"{order_id}: {text}")
