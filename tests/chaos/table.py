"""What a person sees of a run: one line while it goes on, and the account at its end."""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from chaos.run import Outcome

# On a terminal the line is renewed; elsewhere a new one is written, rarely.
_TERMINAL_EVERY_S, _FILE_EVERY_S = 1.0, 10.0
_MAX_SHOWN = 40


class Progress:
    """A line that says how things stand. Looking costs time, so it is asked only when a line is due."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tty = stream.isatty()
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tty:
            self._stream.write("\n")

    def show(self, say: Callable[[], str]) -> None:
        """Show what `say` returns, if a line is due."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_TERMINAL_EVERY_S if self._tty else _FILE_EVERY_S)
        self._stream.write(f"\r\033[K{say()}" if self._tty else f"{say()}\n")
        self._stream.flush()


def table(outcome: "Outcome", took_s: float) -> str:
    """The account of a run, as Markdown, and every broken promise."""
    account = outcome.account
    after = sorted(outcome.final_after_s)
    median = after[len(after) // 2] if after else 0.0
    rows = [
        ("orders", account.orders),
        ("… paid", account.orders_paid),
        ("tabs", account.tabs),
        ("… paid", account.tabs_paid),
        ("… plays on them", account.plays),
        ("credits paid", account.credits_paid),
        ("credits granted", account.credits_granted),
        ("pulses counted by the boards", account.pulses),
        ("… reported by the machines", account.reported),
        ("… uncertain (power cut in a pulse), given back", account.uncertain),
        ("credits given back, undelivered", account.given_back),
        ("credits given back, delivered (operator, silence)", account.goodwill),
        ("machine silent (`unconfirmed`)", account.silent),
        ("… of these reported later (`discrepancy`)", account.discrepancies),
        ("payments to other shops on the account", account.foreign),
        ("… of these shown to a person (`unclaimed`)", account.foreign_told),
        ("**lost**", account.broken("lost")),
        ("**doubled**", account.broken("doubled")),
        ("other broken promises", sum(v.kind not in {"lost", "doubled"} for v in account.violations)),
        ("from paid to final: median, worst", f"{median:.1f} s, {after[-1] if after else 0:.1f} s"),
        ("all final after the last fault", f"{outcome.peace_s:.1f} s"),
        ("processes that ended by themselves", len(outcome.ended_by_themselves)),
        ("the whole run", f"{took_s:.0f} s"),
    ]
    lines = ["", "| what | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    lines += ["", "| fault | times |", "| --- | --- |"]
    lines += [f"| {name} | {times} |" for name, times in sorted(outcome.struck.items())]
    if outcome.outcomes:
        lines += ["", "Seen by players, the operator and other shops: " + _counted(outcome.outcomes.items())]
    broken = [f"{violation.kind}: {violation.text}" for violation in account.violations]
    troubles = [*broken, *outcome.wrong, *outcome.ended_by_themselves]
    lines += ["", *(f"! {trouble}" for trouble in troubles[:_MAX_SHOWN])] if troubles else []
    if len(troubles) > _MAX_SHOWN:
        lines.append(f"! … and {len(troubles) - _MAX_SHOWN} more")
    return "\n".join(lines)


def _counted(items: Iterable[tuple[str, int]]) -> str:
    pairs = sorted(items)
    return ", ".join(f"{name} {times}×" for name, times in pairs)
