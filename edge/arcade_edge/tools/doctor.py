"""`arcade-edge doctor`: tries everything that the agent needs, before anybody pays; one verdict for each.

It opens what the agent opens, as the agent's user and in the same way, so no agent may run meanwhile. Beside a
running one it tries only what that does not notice, and says so. It talks to the configured broker alone.
"""

from __future__ import annotations

import os
import shutil
import stat
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from arcade_edge.agent.journal import SqliteJournal, open_journal
from arcade_edge.bootstrap import forgetful_file_system, serial_number
from arcade_edge.config import Settings, credential_files, load, remarks
from arcade_edge.errors import BadSettings, JournalCorrupt, JournalFault, JournalForeign, JournalInUse
from arcade_edge.tools.account import become_owner_of
from arcade_edge.tools.broker_checks import examine_broker
from arcade_edge.tools.network_checks import examine_connection
from arcade_edge.tools.pin_checks import examine_wires
from arcade_edge.tools.verdicts import Verdict, bad, doubtful, good

WRITES_TRIED = 5
# The first edge waits for one such write, each further credit for two; players notice half a second.
SLOW_WRITE_MS = 100
# The journal has a bound of some ten megabytes; the rest of the system wants to write as well.
LITTLE_SPACE_BYTES = 64 << 20


def run_doctor(
    path: Path,
    *,
    say: Callable[[str], object],
    answer_within_s: float,
    environ: Mapping[str, str] = os.environ,
    pin_factory: Any = None,
    serial: str | None = None,
) -> bool:
    """Say every verdict as soon as there is one; whether none of them was FAIL."""
    fails = warns = 0
    for verdict in examine(path, answer_within_s, environ=environ, pin_factory=pin_factory, serial=serial):
        say(str(verdict))
        fails += verdict.level == "FAIL"
        warns += verdict.level == "warn"
    say(f"{fails} failed, {warns} to look at" if fails or warns else "all is well")
    return not fails


def examine(
    path: Path, answer_within_s: float, *, environ: Mapping[str, str], pin_factory: Any, serial: str | None
) -> Iterator[Verdict]:
    """The verdicts, in the order in which a technician would mend things. As root it becomes the agent's user."""
    try:
        settings = load(path, environ)
    except BadSettings as error:
        for fault in error.faults:
            yield bad("settings", f"{path}: {fault}")
        return
    yield from _settings(path, settings)
    yield from _credentials(environ)
    by_systemd = credential_files(environ)  # those are read for the agent, by root
    user = become_owner_of(settings.journal_path.parent)
    if user is not None:
        needed = [*settings.secret_files, *([Path(settings.broker.ca_file)] if settings.broker.ca_file else [])]
        for file in needed:
            if file not in by_systemd and not os.access(file, os.R_OK):
                yield bad("settings", f"the agent's user {user} cannot read {file}: chown {user} {file}")
    with ExitStack() as ending:
        try:
            journal, verdict = _journal(settings, serial)
        except JournalInUse:
            yield doubtful(
                "agent",
                "it is running, so only what it does not notice is tried: network and broker; for journal, pins "
                "and signing key: systemctl stop arcade-edge",
            )
            yield from _broker(settings, None, answer_within_s)
            return
        yield good("agent", f"it is stopped; what follows is tried as {user}" if user else "it is stopped")
        yield verdict
        if journal is not None:
            ending.callback(journal.close)  # held to the end, so that no agent starts in between
            yield from _writes(journal, settings.journal_path)
        yield from examine_wires(settings, pin_factory)
        yield from _broker(settings, journal.installation if journal else None, answer_within_s)


def _broker(settings: Settings, installation: str | None, answer_within_s: float) -> Iterator[Verdict]:
    connection = list(examine_connection(settings.broker))
    yield from connection
    if all(verdict.level != "FAIL" for verdict in connection):
        yield from examine_broker(settings, installation, answer_within_s)


def _settings(path: Path, settings: Settings) -> Iterator[Verdict]:
    yield good("settings", f"{path}: machine {settings.machine_id}")
    for remark in remarks(settings):
        yield doubtful("settings", remark)


def _credentials(environ: Mapping[str, str]) -> Iterator[Verdict]:
    """Where secrets come from that are not in the settings' own file."""
    found = credential_files(environ)
    if not found:
        yield good("credentials", "none from systemd; secrets are in the settings, or in files that they name")
        return
    yield good("credentials", ", ".join(map(str, found)))


def _journal(settings: Settings, serial: str | None) -> tuple[SqliteJournal | None, Verdict]:
    """The journal, opened as the agent does; made if there is none. None where opening it would put it aside.

    Raises:
        JournalInUse: An agent runs.
    """
    path = settings.journal_path
    anew = (
        "at its next start the agent keeps it beside a new one, a new installation begins, and what was under way "
        "is given back: start the agent once (systemctl start arcade-edge), then try again"
    )
    try:
        journal = open_journal(path, serial or serial_number(), replaces=False)
    except JournalInUse:
        raise
    except JournalForeign as fault:
        return None, bad("journal", f"{fault}: {anew}")
    except JournalCorrupt as fault:
        return None, bad("journal", f"it is damaged ({fault}): {anew}. If that comes again, change the card")
    except JournalFault as fault:
        return None, bad("journal", str(fault))
    if (kind := forgetful_file_system(path.absolute())) is not None:
        return journal, doubtful("journal", f"{path} is on {kind}, which a power cut empties: move it to the card")
    if path.parent.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return journal, doubtful(
            "journal", f"others may write in {path.parent}, and so replace the journal: chmod 700 {path.parent}"
        )
    return journal, good("journal", f"{path}, installation {journal.installation}")


def _writes(journal: SqliteJournal, path: Path) -> Iterator[Verdict]:
    took_ms = []
    try:
        for _ in range(WRITES_TRIED):
            before_ns = time.monotonic_ns()
            journal.probe()
            took_ms.append((time.monotonic_ns() - before_ns) / 1e6)
    except JournalFault as fault:
        yield bad("journal", str(fault))
        return
    usual_ms = statistics.median(took_ms)
    text = f"a durable write takes {usual_ms:.1f} ms, the slowest of {WRITES_TRIED} {max(took_ms):.1f} ms"
    slow = usual_ms > SLOW_WRITE_MS
    yield (
        doubtful("journal", f"{text}: a slow or dying card delays every credit") if slow else good("journal", text)
    )
    free = shutil.disk_usage(path.parent).free
    if free < LITTLE_SPACE_BYTES:
        yield doubtful("journal", f"only {free >> 20} MiB are left on the disk of {path}")
