"""What operators do with several machines at once: close and open them, copy one, write them all down in a table.

Each machine is one step. Whatever stops in between, doing the same again does the rest.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

import msgspec

from arcade_cloud.domain.closure import Closure, checked_reason, parse_until
from arcade_cloud.domain.fleet import Fault, Line, at_location, same_offers_kept
from arcade_cloud.domain.machines import Machine, MachineChange, changed
from arcade_cloud.domain.money import Offer
from arcade_cloud.errors import BadRequest
from arcade_cloud.services.machine_watch import MachineWatch
from arcade_cloud.services.operations import Operations


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The machines of an operator.

    Attributes:
        zone: In which operators write times.
    """

    operations: Operations
    watch: MachineWatch
    zone: tzinfo = UTC

    def chosen(
        self, machine_ids: Sequence[str], *, location: str | None = None, every: bool = False
    ) -> list[Machine]:
        """The machines that are meant. Retired ones are meant only if they are named.

        Raises:
            UnknownMachine: One of them is not registered.
            BadTopic: One of them is no machine id at all.
            BadRequest: No machine is meant.
        """
        if machine_ids:
            return [self.operations.machine(machine_id) for machine_id in dict.fromkeys(machine_ids)]
        if location is None and not every:
            raise BadRequest("name the machines, their location, or all")
        now_ms = self.operations.fulfilment.now_ms()
        machines = self.operations.fulfilment.store.machines()
        if location is not None:
            machines = at_location(machines, location)
        found = [machine for machine in machines if not _is_retired(machine, now_ms)]
        if not found:
            raise BadRequest("all of these machines are retired: name those that you mean" if machines else _NONE)
        return found

    # --- in and out of service ---------------------------------------------------------------------------

    def close(
        self, machine_ids: Iterable[str], *, reason: str = "", until: str | None = None, for_good: bool = False
    ) -> Iterator[tuple[Machine, Machine]]:
        """Take machines out of service, or retire them. Orders that are under way go on.

        Args:
            reason: What players read.
            until: When they are in service again by themselves, as `parse_until` reads it.

        Yields:
            Each machine before and after.

        Raises:
            BadRequest: The reason or the time cannot be used. Nothing is changed.
        """
        now_ms = self.operations.fulfilment.now_ms()
        reason = checked_reason(reason)
        until_ms = None if until is None else parse_until(until, now_ms, self.zone)
        return self._close(
            machine_ids, Closure(since_ms=now_ms, reason=reason, until_ms=until_ms, for_good=for_good)
        )

    def _close(self, machine_ids: Iterable[str], closure: Closure) -> Iterator[tuple[Machine, Machine]]:
        for machine_id in machine_ids:
            standing = self.operations.machine(machine_id).closed(closure.since_ms)
            since_ms = closure.since_ms if standing is None else standing.since_ms
            change = MachineChange(closure=msgspec.structs.replace(closure, since_ms=since_ms))
            before, after = self.operations.machine_set(machine_id, change)
            # First the record, then what follows: if this process dies in between, the same call does the rest.
            self.watch.closed(machine_id)
            self.operations.sales.unsellable.closed(after)
            yield before, after

    def open(self, machine_ids: Iterable[str]) -> Iterator[tuple[Machine, Machine]]:
        """Put machines into service again.

        Yields:
            Each machine before and after.
        """
        for machine_id in machine_ids:
            before, after = self.operations.machine_set(machine_id, MachineChange(closure=None))
            self.watch.opened(machine_id)
            yield before, after

    # --- one like another --------------------------------------------------------------------------------

    def copy(self, source_id: str, machine_id: str, change: MachineChange) -> Machine:
        """Register a machine like another: its kind, offers, contact, picture and location, unless named.

        Raises:
            UnknownMachine: The machine to copy is not registered.
            BadRequest: As `Operations.machine_add`.
            BadTopic: It is not a machine id at all.
        """
        source = self.operations.machine(source_id)
        like = MachineChange(
            kind=source.kind,
            offers=source.offers,
            contact=source.contact,
            picture_url=source.picture_url,
            location=source.location,
        )
        return self.operations.machine_add(machine_id, msgspec.structs.replace(like, **change.named))

    # --- the table ---------------------------------------------------------------------------------------

    def plan(self, lines: Sequence[Line]) -> tuple[list[tuple[Machine | None, Machine]], list[Fault]]:
        """What a table would do: each machine before (None: it is new) and after, and what is wrong with it."""
        now_ms = self.operations.fulfilment.now_ms()
        known = {machine.machine_id: machine for machine in self.operations.fulfilment.store.machines()}
        planned, faults = [], []
        tried: dict[tuple[Offer, ...], list[str]] = {(): []}
        for line in lines:
            before, why_not = known.get(line.machine_id), self.operations.why_not_new(line.machine_id, known)
            if why_not is not None:
                faults.append(Fault(line.number, "id", why_not))
                continue
            old = Machine(machine_id=line.machine_id, created_at_ms=now_ms) if before is None else before
            after = changed(old, same_offers_kept(old, line.change))
            if after.offers != old.offers:
                if after.offers not in tried:
                    tried[after.offers] = self.operations.faults_of(after.offers)
                refused = [*tried[after.offers], *self.operations.beyond_train(after)]
                faults += [Fault(line.number, "offers", text) for text in refused]
            planned.append((before, after))
        return planned, faults

    def take_in(self, lines: Sequence[Line]) -> Iterator[tuple[Machine | None, Machine]]:
        """Do what a table without faults says.

        Yields:
            Each machine before (None: it is new) and after.
        """
        for line in lines:
            known = self.operations.fulfilment.store.machine(line.machine_id)
            if known is None:
                yield None, self.operations.machine_add(line.machine_id, line.change)
            else:
                yield self.operations.machine_set(line.machine_id, same_offers_kept(known, line.change))


_NONE = "no machine is registered: arcade-cloud machine add"


def _is_retired(machine: Machine, now_ms: int) -> bool:
    closed = machine.closed(now_ms)
    return closed is not None and closed.for_good
