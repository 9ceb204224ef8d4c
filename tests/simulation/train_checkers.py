"""What happens within a pulse train, recomputed: is the machine ready, the cloud heard, the coin registered."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from simulation.checkers import Broken, Case, whole_credits
from simulation.evidence import Pulse, Span

# Published: docs/ORDER_LIFE.md.
REPORTED_EVERY_MS, UNCONFIRMED_MS = 150, 2_000
LONGEST_MS = 60_000
SHORT_TRAINS = 3
NOT_REGISTERED = "coins not registered"


def _within(span: Span, at_ms: int) -> bool:
    return span.from_ms < at_ms and (span.until_ms is None or at_ms < span.until_ms)


def check_trains(case: Case) -> Iterator[Broken]:
    """Nothing is pulsed into a machine that is not ready, little without the cloud, no train is too long."""
    evidence = case.evidence
    lines: dict[str, list[Pulse]] = defaultdict(list)
    for pulse in evidence.pulses:
        lines[pulse.line].append(pulse)
    for span in evidence.not_ready:
        for pulse in lines[span.line]:
            if _within(span, pulse.on_ms):
                yield Broken(
                    "1", "trains", f"{span.line} was pulsed {pulse.on_ms - span.from_ms} ms after it was not ready"
                )
    for span in evidence.unplugged:
        profile = evidence.profiles[span.line]
        credit_ms = profile.pulses_per_credit * (profile.pulse_ms + profile.gap_ms)
        most = (REPORTED_EVERY_MS + UNCONFIRMED_MS) // credit_ms + 3
        begun = {(p.credit_id, p.index) for p in lines[span.line] if _within(span, p.on_ms)}
        if len(begun) > most:
            text = f"{span.line} pulsed {len(begun)} credits without its network, {most} at most are published"
            yield Broken("1", "trains", text)
    if not evidence.faults.get("card stalls"):
        for credit_id, pulses in case.pulses.items():
            took_ms = pulses[-1].on_ms - pulses[0].on_ms
            if took_ms > LONGEST_MS:
                yield Broken("5", "trains", f"the train of {credit_id} took {took_ms} ms")


def check_meters(case: Case) -> Iterator[Broken]:
    """Where the meter counts no more is kept than it registered; what it missed is said, and ends the sale."""
    evidence = case.evidence
    registered: dict[str, int] = defaultdict(int)
    for moved in evidence.registered:
        registered[moved.credit_id] += 1
    for order in case.credits:
        pulses = case.pulses.get(order["credit_id"] or "", [])
        if pulses and evidence.metered.get(pulses[0].line):
            kept, counted = order["delivered"] or 0, registered[order["credit_id"]]
            if kept > counted:
                yield Broken("1", "meters", f"{order['order_id']}: {kept} charged for, {counted} registered")
    short: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for credit_id, finals in case.finals.items():
        pulses = case.pulses.get(credit_id, [])
        if not finals:
            continue
        word = min(finals, key=lambda said: said.at_ms)
        fields = word.fields
        if not pulses or pulses[0].line not in evidence.metered or fields.get("registered") is None:
            continue
        pulsed = whole_credits(pulses, evidence.profiles[pulses[0].line])
        if fields["uncertain"] or fields["reason"].endswith("restarted"):
            if pulsed and fields["registered"] >= pulsed:
                short[pulses[0].line].append((pulses[-1].on_ms, False))  # what registers ends the row
            continue
        missed = fields["registered"] < pulsed
        if missed != fields["reason"].startswith(NOT_REGISTERED):
            yield Broken("5", "meters", f"{credit_id}: {pulsed} pulsed, and the machine says {fields}")
        short[pulses[0].line].append((pulses[-1].on_ms, missed))
    for line, trains in short.items():
        if any(case.befell(what, line) for what in ("journal rolled back", "journal lost")):
            continue  # its card may have forgotten how many there were
        yield from _sold_all_the_same(case, line, sorted(trains))


def check_counts(case: Case) -> Iterator[Broken]:
    """What a meter counted is on record once for each train that the cloud was told of, beside what was pulsed."""
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for count in case.evidence.counts:
        told[count["credit_id"]].append(count)
    for order in case.credits:
        found = told.pop(order["credit_id"] or "", [])
        words = [said.fields for said in case.finals.get(order["credit_id"] or "", [])]
        counted = [word for word in words if word.get("registered") is not None]
        if len(found) > 1:
            yield Broken("5", "counts", f"{order['order_id']}: its train is on record {len(found)} times")
        trained = [
            word
            for word in counted
            if word["registered"] + word["delivered"] or _pulsed(case, order["credit_id"], words)
        ]
        if order["resolved_by"] == "ack" and trained and not found and len(counted) == len(words):
            yield Broken("5", "counts", f"{order['order_id']}: what its meter counted is not on record")
        for count in found:
            yield from _counted(case, count, counted)
    for credit_id in told:
        yield Broken("5", "counts", f"{credit_id}: counted, and of no order")


def _counted(case: Case, count: dict[str, Any], words: list[dict[str, Any]]) -> Iterator[Broken]:
    if count["registered"] not in [word["registered"] for word in words]:
        yield Broken("5", "counts", f"{count}, and the machine says {words}")
    pulsed = _pulsed(case, count["credit_id"], words)
    if pulsed is not None and count["pulsed"] != pulsed:
        yield Broken("5", "counts", f"{count}, and {pulsed} were pulsed")


def _pulsed(case: Case, credit_id: str, words: list[dict[str, Any]]) -> int | None:
    """How many credits were pulsed; None if power went meanwhile: it may be one more than the machine knows."""
    if any(word["uncertain"] or word["reason"].endswith("restarted") for word in words):
        return None
    pulses = case.pulses.get(credit_id, [])
    return whole_credits(pulses, case.evidence.profiles[pulses[0].line]) if pulses else 0


def _sold_all_the_same(case: Case, line: str, trains: list[tuple[int, bool]]) -> Iterator[Broken]:
    mended_ms = [span.from_ms for span in case.evidence.mended if span.line == line]
    row: list[int] = []
    for at_ms, missed in trains:
        row = [*row, at_ms] if missed else []
        if len(row) < SHORT_TRAINS:
            continue
        again_ms = min((ms for ms in mended_ms if ms >= row[-SHORT_TRAINS]), default=case.evidence.ended_ms)
        if any(p.line == line and at_ms < p.on_ms < again_ms for p in case.evidence.pulses):
            yield Broken("1", "meters", f"{line} was pulsed after {SHORT_TRAINS} trains that its meter had missed")
            return
