"""The errors of the agent and its tools.

EdgeError
├── BadSettings         nothing may start with these settings: one sentence for each key that is wrong
├── BadProfile          no coin line may be driven with this profile: one sentence for each key that is wrong
├── JournalFault        the journal cannot be written or read now
│   ├── JournalCorrupt  its file is damaged; the next start puts it aside
│   ├── JournalForeign  it belongs to another computer; the next start puts it aside
│   ├── JournalInUse    another process has it
│   └── JournalTooNew   a newer version of this program has written it
├── GpioUnavailable     no pins on this machine, or not this pin
├── CoinLineError       the claimed coin line does not obey
│   └── CoinLineBusy    a credit was handed over before the last one had been taken up
├── NotPossible         what a technician has asked for cannot be done here
├── PartDied            a thread has ended that never should
└── InvariantBroken     a credit in a state that no rule leads to: a defect
"""

from __future__ import annotations


class EdgeError(Exception):
    """Base of all errors raised here. Its text is all that a person needs, unless it is an InvariantBroken."""


class BadSettings(EdgeError):
    """Settings that nothing may start with; `faults` has one sentence for each, beginning with its key."""

    def __init__(self, where: str, faults: list[str]) -> None:
        super().__init__("\n".join([f"{where}:", *(f"  {fault}" for fault in faults)]))
        self.faults = tuple(faults)


class BadProfile(EdgeError):
    """A profile that no coin line may be driven with; `faults` has one sentence for each fault."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class JournalFault(EdgeError):
    """The journal cannot be written (or read) now: nothing may be pulsed. It may come back."""


class JournalCorrupt(JournalFault):
    """The journal's file is damaged: only a restart, which puts it aside, helps."""


class JournalForeign(JournalFault):
    """The journal belongs to another computer, as on a copied card: only a restart, which puts it aside, helps."""


class JournalInUse(JournalFault):
    """Another process has this journal: two agents must never drive one coin line."""


class JournalTooNew(JournalFault):
    """The journal was written by a newer version; putting it aside would lose what it knows."""


class GpioUnavailable(EdgeError):
    """A pin, or all of them, cannot be had. The text says which and what to do."""


class CoinLineError(EdgeError):
    """The line did not do what it was told."""


class CoinLineBusy(CoinLineError):
    """One credit at a time: the one before has not even begun."""


class NotPossible(EdgeError):
    """It cannot be done here; the text says what to do."""


class PartDied(EdgeError):
    """A thread has ended that never should; only a fresh process can help."""


class InvariantBroken(EdgeError):
    """A credit in a state that no rule leads to: a defect, or a journal written by something else."""
