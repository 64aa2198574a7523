"""The interface to the job store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from queue_recovery.diagnosis.failure import Failure


@dataclass(frozen=True, kw_only=True)
class StoredJob:
    """The mapped fields of a job's document. `None`: the field is absent or not mapped."""

    id: str
    """The id as text, in the form of the recovery's spec."""
    status: str | None
    task_id: str | None
    task: str | None
    args: str | None
    """JSON array as text."""
    kwargs: str | None
    """JSON object as text."""
    task_id_type: str | None = None
    """The type of what is in the place of the task id and is no text; None: it is text, absent or not mapped."""

    def without_arguments(self) -> "StoredJob":
        """Return a copy without arguments, which is small enough to hold many of."""
        return replace(self, args=None, kwargs=None)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A request to claim one job."""

    id: str
    seen_status: str | None
    seen_task_id: str | None
    task_id: str
    """The new task id, to be written to the document."""


class JobStore(Protocol):
    """One collection of jobs. Ids are texts that fit the collection's `idType`."""

    @property
    def unverified(self) -> str | None:
        """Why the server's identity is not verified, such as `without TLS`; None: it is verified."""
        ...

    async def check(self) -> None:
        """Check that the store can be used.

        Raises RecoveryError (`JobStoreUnavailable`, `JobStoreAuthenticationFailed`).
        """
        ...

    def fits(self, job_id: str | int) -> bool:
        """Tell whether the id has the form of the collection's `idType`."""
        ...

    def look_up(self, ids: Sequence[str]) -> AsyncIterator[StoredJob]:
        """Yield the documents that exist one by one, because all together may not fit into memory.

        Raises RecoveryError (`InvalidArguments`) at the end, naming the jobs whose mapped task, args or kwargs are too
        large or cannot be written as JSON.
        """
        ...

    def errors(self, ids: Sequence[str]) -> AsyncIterator[tuple[str, Failure]]:
        """Yield the failures that documents hold, by job id; without those that are too large to be read."""
        ...

    async def claim(self, run_uid: str, claims: Sequence[Claim], *, now: datetime) -> frozenset[str]:
        """Claim each job whose document is unchanged; return the ids claimed by this or an earlier call.

        A job that this run has stamped as released is not claimed any more.
        """
        ...

    async def fence(self, run_uid: str, task_ids: Mapping[str, str], *, now: datetime) -> frozenset[str]:
        """Stamp the jobs that were never claimed as released, and return their ids.

        The others were claimed, or may have been. `task_ids`: the task id that a claim writes, by job id.
        """
        ...

    async def settle(self, run_uid: str, unpushed: Sequence[str], *, now: datetime) -> None:
        """Stamp each job as released, and write a claimed job's former status and task id again."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
