"""The interface to Celery's results."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from queue_recovery.diagnosis.evidence import TaskResult


class Results(Protocol):
    """The results of one application, which are only read."""

    async def read(self, task_ids: Sequence[str]) -> Mapping[str, TaskResult]:
        """Return the results that exist and can be read, by task id.

        Raises RecoveryError as `ports.Broker.check` does.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
