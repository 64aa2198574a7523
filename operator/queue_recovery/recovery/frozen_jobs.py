"""The state of the listed jobs after the workers stopped: stored in the broker, read by later steps."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ids import describe_misfits
from queue_recovery.recovery.jobs import ListedJob, by_queue, check_task_ids, listed
from queue_recovery.recovery.ports import JobStore, SeenJob, StoredJob
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.skips import seen_as, skipped_jobs


async def freeze_all(recovery: Recovery) -> Mapping[str, SeenJob | None]:
    """Store the current state of every job that is listed by id; return, by key, the state that was stored first.

    Raises RecoveryError (`TaskIdNotText`) for a task id that the plan has not seen; nothing is taken yet.
    """
    jobs = [job for job in listed(recovery.spec) if job.id is not None]
    if not jobs:
        return {}
    stored = {one.id: one.without_arguments() async for one in look_up(recovery, jobs)}
    check_task_ids(jobs, stored)
    return await freeze(recovery, jobs, stored)


async def freeze(
    recovery: Recovery, jobs: Iterable[ListedJob], stored: Mapping[str, StoredJob]
) -> Mapping[str, SeenJob | None]:
    """Store the state of each job that has an id; return, by key, the state that was stored first."""
    recoverable = await recovery.recoverable()
    seen = {
        queue: {job.key: seen_as(stored.get(job.id), recoverable) for job in own if job.id is not None}
        for queue, own in by_queue(jobs).items()
    }
    return await (await recovery.run()).freeze(seen)


async def skipped_as_frozen(
    recovery: Recovery, jobs: Iterable[ListedJob], frozen: Mapping[str, SeenJob | None]
) -> dict[str, SkippedJob]:
    """Return the jobs that must not be enqueued because of their frozen state, by key."""
    task_ids = [seen.task_id for seen in frozen.values() if seen is not None and seen.task_id]
    queued: frozenset[str] = frozenset()
    if not recovery.takes_messages and task_ids:
        queued = await (await recovery.broker()).queued_task_ids(task_ids, *recovery.covered)
    return skipped_jobs(jobs, frozen, queued, await recovery.recoverable(), recovery.status.skipped)


async def look_up(recovery: Recovery, jobs: Sequence[ListedJob]) -> AsyncIterator[StoredJob]:
    """Return the documents of the jobs that are listed by id, one after the other.

    Raises RecoveryError (`InvalidJobId`) as `store_of` does.
    """
    ids = [job.id for job in jobs if job.id is not None]
    if not ids:
        return
    store = await store_of(recovery, jobs)
    await store.check()
    async for document in store.look_up(ids):
        yield document


async def store_of(recovery: Recovery, jobs: Iterable[ListedJob]) -> JobStore:
    """Return the job store for these jobs; `idType` of the target may have changed since they were looked up.

    Raises RecoveryError (`InvalidJobId`) for ids that do not have the form of the target's `idType`.
    """
    store = await recovery.job_store()
    misfits = [job.spec.id for job in jobs if job.spec.id is not None and not store.fits(job.spec.id)]
    job_store = (await recovery.target()).job_store
    if misfits and job_store is not None:
        raise RecoveryError(Reason.INVALID_JOB_ID, describe_misfits(misfits, job_store.mongodb.id_type))
    return store
