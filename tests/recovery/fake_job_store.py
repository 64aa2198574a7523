"""Jobs in memory, as `recovery.ports.JobStore`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from queue_recovery.api.servers import IdType
from queue_recovery.diagnosis.failure import Failure, failure_in
from queue_recovery.jobs.documents import fits, typed
from queue_recovery.recovery.ports import Claim, StoredJob
from tests.recovery.faults import Faults


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """The stamp of a recovery on a job."""

    former: StoredJob | None
    """The job before it was claimed; None: it was never claimed."""
    claimed: StoredJob | None
    released: bool = False


class FakeJobStore(Faults):
    """Jobs by their ids; a claimed job is `pending`."""

    unverified = None

    def __init__(self, log: list[str] | None = None) -> None:
        """Begin without jobs."""
        super().__init__(log)
        self.id_type: IdType = "String"
        self.jobs: dict[str, StoredJob] = {}
        self.stored_errors: dict[str, object] = {}
        """What documents hold in the field of their error, by the job's id."""
        self.stamps: dict[tuple[str, str], Stamp] = {}
        """By the recovery's UID and the job's id."""

    def add(
        self, job_id: str, status: str | None = "failed", *, task_id: str | None = None, task: str | None = None
    ) -> StoredJob:
        """Add or replace a job; without a task id it is `old-` and the job's id."""
        job = StoredJob(id=job_id, status=status, task_id=task_id or f"old-{job_id}", task=task, args=None, kwargs=None)
        self.jobs[job_id] = job
        return job

    def store_task_id_as(self, kind: str, job_id: str) -> None:
        """Store a job's task id as another type than text."""
        self.jobs[job_id] = replace(self.jobs[job_id], task_id=f"<{kind}>", task_id_type=kind)

    def change(self, job_id: str, status: str) -> None:
        """Change a job's status, as the application does."""
        self.jobs[job_id] = replace(self.jobs[job_id], status=status)

    @property
    def statuses(self) -> dict[str, str | None]:
        """The statuses of all jobs, by id."""
        return {job.id: job.status for job in self.jobs.values()}

    async def check(self) -> None:
        self._called("check")

    def fits(self, job_id: str | int) -> bool:
        return fits(job_id, self.id_type)

    async def look_up(self, ids: Sequence[str]) -> AsyncIterator[StoredJob]:
        self._called("look_up")
        for job_id in ids:
            if job_id in self.jobs:
                yield self.jobs[job_id]

    async def errors(self, ids: Sequence[str]) -> AsyncIterator[tuple[str, Failure]]:
        self._called("errors")
        for job_id in ids:
            failure = failure_in(self.stored_errors.get(job_id))
            if failure is not None:
                yield job_id, failure

    async def claim(self, run_uid: str, claims: Sequence[Claim], *, now: datetime) -> frozenset[str]:
        del now
        self._called("claim")
        for claim in claims:
            job = self.jobs.get(claim.id)
            if job is None or (run_uid, claim.id) in self.stamps:
                continue
            if (job.status, job.task_id) == (claim.seen_status, claim.seen_task_id):
                claimed = replace(job, status="pending", task_id=claim.task_id)
                self.jobs[claim.id] = claimed
                self.stamps[run_uid, claim.id] = Stamp(former=job, claimed=claimed)
        return frozenset(claim.id for claim in claims if self._is_claimed(run_uid, claim.id))

    async def fence(self, run_uid: str, task_ids: Mapping[str, str], *, now: datetime) -> frozenset[str]:
        del now
        self._called("fence")
        for job_id in task_ids:
            typed(job_id, self.id_type)
        for job_id in task_ids:
            if job_id in self.jobs:
                self.stamps.setdefault((run_uid, job_id), Stamp(former=None, claimed=None, released=True))
        never = [job_id for job_id in task_ids if self._is_never_claimed(run_uid, job_id)]
        return frozenset(never)

    async def settle(self, run_uid: str, unpushed: Sequence[str], *, now: datetime) -> None:
        await self.fence(run_uid, dict.fromkeys(unpushed, ""), now=now)
        self._called("settle")
        for job_id in unpushed:
            stamp = self.stamps.get((run_uid, job_id))
            if stamp is None or stamp.former is None or stamp.released:
                continue
            self.stamps[run_uid, job_id] = replace(stamp, released=True)
            if self.jobs[job_id] == stamp.claimed:
                self.jobs[job_id] = stamp.former

    async def aclose(self) -> None:
        self._called("aclose")

    def _is_claimed(self, run_uid: str, job_id: str) -> bool:
        stamp = self.stamps.get((run_uid, job_id))
        return stamp is not None and not stamp.released

    def _is_never_claimed(self, run_uid: str, job_id: str) -> bool:
        stamp = self.stamps.get((run_uid, job_id))
        return stamp is not None and stamp.former is None
