"""The operator takes machines out of service in the middle of everything, and puts them back."""

from simulation.evidence import Closed, Evidence
from simulation.faults import MINUTE
from simulation.scheduler import Scheduler
from simulation.sim_cloud import Cloud


class Closures:
    """What is certain about machines that are out of service is evidence; an answer that never came is not."""

    def __init__(self, scheduler: Scheduler, evidence: Evidence, cloud: Cloud) -> None:
        self._scheduler, self._evidence, self._cloud = scheduler, evidence, cloud
        self._standing: dict[str, Closed] = {}
        self._asked: set[str] = set()

    def close(self, machine_id: str, until_ms: int | None) -> None:
        """Take a machine out of service; `until_ms` in whole minutes, as operators write it."""
        self._end(machine_id)
        self._asked.add(machine_id)
        until = None
        if until_ms is not None:
            until_ms = until_ms // MINUTE * MINUTE + MINUTE
            until = _written(until_ms)
        done = self._cloud.ask(
            "close", lambda worker: list(worker.fleet.close([machine_id], reason="Away", until=until))
        )
        now_ms = self._scheduler.now_ms
        self._scheduler.note("closed", machine_id, until_ms, done is not None)
        if done is not None and (until_ms is None or until_ms > now_ms):
            closed = self._standing[machine_id] = Closed(machine_id, now_ms, until_ms)
            self._evidence.closed.append(closed)

    def open(self, machine_id: str) -> None:
        """Put it into service again."""
        self._end(machine_id)
        done = self._cloud.ask("open", lambda worker: list(worker.fleet.open([machine_id])))
        self._scheduler.note("opened", machine_id, done is not None)

    def open_all(self) -> None:
        """Everything is in service, whatever was asked for before."""
        for machine_id in sorted(self._asked):
            self.open(machine_id)

    def _end(self, machine_id: str) -> None:
        closed, now_ms = self._standing.pop(machine_id, None), self._scheduler.now_ms
        if closed is not None and (closed.until_ms is None or closed.until_ms > now_ms):
            closed.until_ms = now_ms


def _written(at_ms: int) -> str:
    from arcade_shared.times import format_ms

    return format_ms(at_ms)[:16] + "Z"
