"""What a line of a trace is about, in the numbers of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.abstraction import OWN, THEIRS, WRITES
from tests.chaos.points import Crossing

_QUEUE: Final = "work"
"""The queue that is compared."""
_LIST: Final = frozenset({"", "0"})
"""The list that is compared, by its priority: the first one, which producers push to."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Reads the lines of one case."""

    recoveries: Mapping[str, int]
    """The numbers of the recoveries, by their UIDs."""
    jobs: Mapping[str, int]
    """The numbers of the jobs, by their ids and keys."""

    def recovery(self, runs: Sequence[str]) -> int | None:
        """Return the recovery that owns one of these runs of the compared queue."""
        found = (self.recoveries.get(run.removesuffix(f"/{_QUEUE}")) for run in runs)
        return next((one for one in found if one is not None), None)

    def is_compared(self, line: Crossing) -> bool:
        """Tell whether a line is about what the model has of this case."""
        if line.by and line.by not in self.recoveries:
            return False  # of a copy, which has no effects but its status
        if line.name.startswith("mongo ") and not self.numbers(line):
            return False
        return (not line.about.runs or self.recovery(line.about.runs) is not None) and line.about.part in _LIST

    def places(self, line: Crossing, recovery: int) -> frozenset[str]:
        """Return the actions that a line may be, done by a process of this recovery."""
        if line.name.startswith("k8s status "):
            return WRITES
        owner = self.recovery(line.about.runs)
        if line.name.startswith("k8s "):
            return OWN[line.name] | THEIRS.get(line.name, frozenset())
        return (OWN if owner in {None, recovery} else THEIRS).get(line.name, frozenset())

    def numbers(self, line: Crossing) -> list[int]:
        """Return the jobs of a line."""
        return [self.jobs[job] for job in line.about.jobs if job in self.jobs]
