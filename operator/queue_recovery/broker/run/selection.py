"""Which messages a recovery takes: by their headers, and never by a body."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from queue_recovery.api.select import PurgeSelect
from queue_recovery.broker.layout.envelope import task_id
from queue_recovery.recovery.ports import SeenJob


@dataclass(frozen=True)
class Jobs:
    """The task ids that a recovery's listed jobs had when they were looked at."""

    ids: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    """Digests of those of jobs that are not enqueued because of their status: their messages are left."""

    @classmethod
    def of(cls, jobs: Iterable[SeenJob], left: Iterable[str] = ()) -> Self:
        """Return the task ids of these jobs; `left` adds digests of others whose messages are left."""
        seen = [(job.task_id, job.recoverable) for job in jobs if job.task_id]
        own = frozenset(digest(name) for name, recoverable in seen if not recoverable)
        return cls(frozenset(name for name, _ in seen), own.union(left))


def digest(name: str) -> str:
    """Return what stands for a task id in a run's record, however long it is."""
    return sha256(name.encode(errors="surrogatepass")).hexdigest()


NO_JOBS: Final = Jobs()


class Selection:
    """A selection of messages; without one, every message is selected but those of jobs that are not enqueued."""

    def __init__(self, select: PurgeSelect | None, jobs: Jobs = NO_JOBS) -> None:
        """Prepare a selection, or one that takes all."""
        self.takes_all = select is None and not jobs.left
        self.job_ids = jobs.ids
        self._selects_all = select is None
        self._left = jobs.left
        self._tasks = _set(select.tasks if select else None)
        self._task_ids = _set(select.task_ids if select else None)
        self._min_retries = select.min_retries if select else None

    def matches(self, envelope: object) -> bool:
        """Tell whether a message is to be taken; one whose headers cannot be read is not, unless all are.

        Protocol 1 keeps a message's task and its retries in the body, so that only its id can be matched.
        """
        if self._left and (name := task_id(envelope)) is not None and digest(name) in self._left:
            return False
        if self._selects_all:
            return True
        match envelope:
            case {"headers": dict(headers)}:
                pass
            case _:
                return False
        return (
            (self._tasks is None or _in(headers.get("task"), self._tasks))
            and (self._task_ids is None or _in(task_id(envelope), self._task_ids))
            and (self._min_retries is None or _at_least(headers.get("retries"), self._min_retries))
        )


def _set(words: list[str] | None) -> frozenset[str] | None:
    return None if words is None else frozenset(words)


def _in(word: object, words: frozenset[str]) -> bool:
    return isinstance(word, str) and word in words


def _at_least(retries: object, minimum: int) -> bool:
    return isinstance(retries, int) and not isinstance(retries, bool) and retries >= minimum
