"""A row of the table, and the statistics that all measurements share."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure. `reached` is None where there is no target."""

    what: str
    measured: str
    floor: str = "–"
    ratio: str = "–"
    target: str = "–"
    reached: bool | None = None

    def line(self) -> str:
        """The row in Markdown."""
        verdict = {True: "yes", False: "**no**", None: "–"}[self.reached]
        return f"| {self.what} | {self.measured} | {self.floor} | {self.ratio} | {self.target} | {verdict} |"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
