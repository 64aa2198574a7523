"""Select the messages that a recovery takes by their headers, never by a body."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from queue_recovery.api.select import PurgeSelect
from queue_recovery.broker.layout.headers import task_id
from queue_recovery.recovery.ports import SeenJob


@dataclass(frozen=True)
class Jobs:
    """The task ids that a recovery's listed jobs had when they were looked up."""

    ids: frozenset[str] = frozenset()
    leave: frozenset[str] = frozenset()
    """Digests of the task ids of jobs that are not enqueued because of their status: their messages are left."""

    @classmethod
    def of(cls, jobs: Iterable[SeenJob], leave: Iterable[str] = ()) -> Self:
        """Return the task ids of these jobs; `leave` adds digests of others whose messages are left."""
        seen = [(job.task_id, job.recoverable) for job in jobs if job.task_id]
        own = frozenset(digest(name) for name, recoverable in seen if not recoverable)
        return cls(frozenset(name for name, _ in seen), own.union(leave))


def digest(name: str) -> str:
    """Return the digest that a run's record has for a task id of any length."""
    return sha256(name.encode(errors="surrogatepass")).hexdigest()


NO_JOBS: Final = Jobs()


class Selection:
    """A selection of messages; without one, all are selected except those of jobs that are not enqueued."""

    def __init__(self, select: PurgeSelect | None, jobs: Jobs = NO_JOBS) -> None:
        """Prepare the selection of a spec, or with None one of all messages."""
        self.takes_all = select is None and not jobs.leave
        self.job_ids = jobs.ids
        self._selects_all = select is None
        self._leave = jobs.leave
        self._tasks = _set(select.tasks if select else None)
        self._task_ids = _set(select.task_ids if select else None)
        self._min_retries = select.min_retries if select else None

    def matches(self, envelope: object) -> bool:
        """Tell whether a message is taken; one whose headers cannot be read is not, unless all are.

        With protocol 1, a message's task and its retries are in the body, so only its id can be matched.
        """
        if self._leave and (name := task_id(envelope)) is not None and digest(name) in self._leave:
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
