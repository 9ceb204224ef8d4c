"""What a deliberate bug is: `mutations.py` plants it, and `tab_bugs.py` has those of tabs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """In the function `where` (module:name), `old` becomes `new`."""

    where: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    """A bug. It is found within `within` seeds from `near` on; `near` is where a test begins to look.

    `weather`: the faults whose meeting it wants, if that is rare: the hunt draws these alone, at their worst.
    `tabs`: it is looked for where some play on tabs. All others are looked for where nobody does.
    `elsewhere`: the unit test that finds it where the promises hold all the same: other rules make good for it.
    """

    name: str
    edits: tuple[Edit, ...]
    near: int = 1
    within: int = 150
    elsewhere: str = ""
    weather: tuple[str, ...] = ()
    tabs: bool = False


def bug(
    name: str,
    *edits: tuple[str, str, str],
    near: int = 1,
    within: int = 150,
    elsewhere: str = "",
    weather: tuple[str, ...] = (),
    tabs: bool = False,
) -> Mutation:
    """A bug of these edits."""
    return Mutation(name, tuple(Edit(*edit) for edit in edits), near, within, elsewhere, weather, tabs)
