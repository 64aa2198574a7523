"""What a recovery needs of the job store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class StoredJob:
    """A job's document, as far as a recovery reads it. `None`: the field is absent or not mapped."""

    id: str
    """The id as text, as the recovery has it."""
    status: str | None
    task_id: str | None
    task: str | None
    args: str | None
    """JSON array as text."""
    kwargs: str | None
    """JSON object as text."""

    def without_arguments(self) -> "StoredJob":
        """Return what may be kept of many jobs at once."""
        return replace(self, args=None, kwargs=None)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A request to take up one job."""

    id: str
    seen_status: str | None
    seen_task_id: str | None
    task_id: str
    """The new task id, to be written to the document."""


class JobStore(Protocol):
    """One collection of jobs. Ids are texts that fit the collection's `idType`."""

    @property
    def unverified(self) -> str | None:
        """How the operator speaks to the server if it cannot know that it is the right one, such as `without TLS`."""
        ...

    async def check(self) -> None:
        """Find out whether the store answers.

        Raises RecoveryError (`JobStoreUnavailable`, `JobStoreAuthenticationFailed`).
        """
        ...

    def fits(self, job_id: str | int) -> bool:
        """Tell whether the id has the form of the collection's `idType`."""
        ...

    def look_up(self, ids: Sequence[str]) -> AsyncIterator[StoredJob]:
        """Return the documents that exist, one after the other: all of them together may be too large to be kept.

        Raises RecoveryError (`InvalidArguments`) at the end, naming the jobs whose mapped task, args or kwargs are too
        large, or hold what JSON cannot.
        """
        ...

    async def claim(self, run_uid: str, claims: Sequence[Claim], *, now: datetime) -> frozenset[str]:
        """Claim each job that still looks as it was seen; return the ids that are ours, by this call or an earlier one.

        A job whose stamp of this run says `released` is not ours any more.
        """
        ...

    async def fence(self, run_uid: str, task_ids: Mapping[str, str], *, now: datetime) -> frozenset[str]:
        """Stamp those of these jobs as released that were never claimed, and return them.

        The others were claimed, or it is not known. `task_ids` says which task id a claim would have given each.
        """
        ...

    async def settle(self, run_uid: str, unpushed: Sequence[str], *, now: datetime) -> None:
        """Stamp each of these jobs as released, and give a claimed one its former status and task id back."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
