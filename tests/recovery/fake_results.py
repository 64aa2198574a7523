"""Celery's results in memory, as `recovery.ports.Results`."""

from collections.abc import Mapping, Sequence

from queue_recovery.diagnosis.evidence import TaskResult
from tests.recovery.faults import Faults


class FakeResults(Faults):
    """Results by task id; a test stores them itself."""

    def __init__(self, log: list[str] | None = None) -> None:
        """Begin without results."""
        super().__init__(log)
        self.results: dict[str, TaskResult] = {}
        self.asked: list[Sequence[str]] = []
        """The ids of each call of `read`."""

    async def read(self, task_ids: Sequence[str]) -> Mapping[str, TaskResult]:
        self.asked.append(task_ids)
        self._called("read")
        return {one: self.results[one] for one in task_ids if one in self.results}

    async def aclose(self) -> None:
        self._called("aclose")
