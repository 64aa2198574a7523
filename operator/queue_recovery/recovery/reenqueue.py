"""Reenqueuing: claim each job, then enqueue it with its marker, exactly once even if entered again."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import islice

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, JobTotals
from queue_recovery.recovery.approval import check_still_as_approved
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.found import ENQUEUED_THERE, why_empty
from queue_recovery.recovery.frozen_jobs import freeze, look_up, skipped_as_frozen
from queue_recovery.recovery.images import await_images
from queue_recovery.recovery.jobs import ListedJob, by_queue, check_task, listed, task_id
from queue_recovery.recovery.ledger import mark_executed
from queue_recovery.recovery.ports import Claim, SeenJob, StoredJob, Task
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.skips import changed_since, gone_since, not_approved, refused_since
from queue_recovery.recovery.status import counted_so_far
from queue_recovery.recovery.wording import counted

_BATCH = 500
"""Jobs in one push; the script blocks every other client of the server while it runs."""

_MOST_ARGUMENTS = 2 * 2**20
"""Characters of arguments that are in memory at once."""

_REPORTS = 10
_REPORT_SOON = timedelta(seconds=1)
_REPORT_EVERY = timedelta(seconds=5)
"""Limits on writes of the progress, in total and in time, so that they do not grow with the jobs."""

_BATCHES_PER_SECOND = 4
"""Batches in one second, if the spec sets a rate."""


async def reenqueue(recovery: Recovery) -> None:
    """Enqueue every listed job that may be enqueued, then record the ending `Succeeded`."""
    if not await mark_executed(recovery):
        return
    jobs = listed(recovery.spec)
    stored = {one.id: one.without_arguments() async for one in look_up(recovery, jobs)}
    frozen = await freeze(recovery, jobs, stored)
    # Any client of the broker may have added markers of other jobs.
    done = {job.key for job in jobs} & await (await recovery.run()).pushed()
    skipped = await skipped_as_frozen(recovery, [job for job in jobs if job.key not in done], frozen)
    rate = recovery.spec.reenqueue.rate_per_second
    size = _BATCH if rate == 0 else max(1, min(_BATCH, rate // _BATCHES_PER_SECOND))
    rest = (job for job in jobs if job.key not in done and job.key not in skipped)
    if recovery.is_resumed:
        await _report(recovery, jobs, done, skipped)
    reported, next_report = 0, recovery.environment.now() + _REPORT_SOON
    while batch := list(islice(rest, size)):
        await await_images(recovery)
        skipped |= await _enqueue(recovery, batch, frozen)
        done |= {job.key for job in batch if job.key not in skipped}
        if len(done) + len(skipped) == len(jobs):
            break
        share = (len(done) + len(skipped)) * _REPORTS // len(jobs)
        if share > reported and recovery.environment.now() > next_report:
            reported, next_report = share, recovery.environment.now() + _REPORT_EVERY
            await _report(recovery, jobs, done, skipped)
        if rate:
            await recovery.environment.pause(len(batch) / rate)
    await _report(recovery, jobs, done, skipped, complete=True)


async def _enqueue(
    recovery: Recovery, batch: list[ListedJob], frozen: Mapping[str, SeenJob | None]
) -> dict[str, SkippedJob]:
    """Claim and push one batch; return the jobs that were not enqueued.

    A batch with large arguments is claimed and pushed in parts, to bound the memory.
    """
    uid, approval = recovery.resource.uid, recovery.status.approval
    if approval is not None:
        recovery.forget_target()
    queues = await recovery.queues()
    await check_still_as_approved(recovery, queues)
    listed_by_id = {job.id: job for job in batch if job.id is not None}
    skipped = {job.key: gone_since(job) for job in listed_by_id.values()}
    part: list[tuple[ListedJob, Task]] = []
    size = 0

    async def add(job: ListedJob, document: StoredJob | None) -> None:
        nonlocal part, size
        skipped.pop(job.key, None)
        try:
            task = check_task(job, document, queues[job.queue], uid)
        except RecoveryError as error:
            skipped[job.key] = refused_since(job, error.message)
            return
        if approval is not None and task.task not in approval.tasks:
            skipped[job.key] = not_approved(job, approval.tasks)
            return
        length = len(task.args) + len(task.kwargs)
        if part and size + length > _MOST_ARGUMENTS:
            skipped.update(await _claim_and_push(recovery, part, frozen))
            part, size = [], 0
        part.append((job, task))
        size += length

    for job in batch:
        if job.id is None:
            await add(job, None)
    async for document in look_up(recovery, batch):
        await add(listed_by_id[document.id], document)
    skipped |= await _claim_and_push(recovery, part, frozen)
    return skipped


async def _claim_and_push(
    recovery: Recovery, part: Sequence[tuple[ListedJob, Task]], frozen: Mapping[str, SeenJob | None]
) -> dict[str, SkippedJob]:
    """Claim a part of a batch and push the claimed jobs; return the others."""
    uid = recovery.resource.uid
    skipped: dict[str, SkippedJob] = {}
    tasks = {job.key: task for job, task in part}
    claims = []
    for job, _ in part:
        if job.id is not None and (seen := frozen[job.key]) is not None:
            claims.append(
                Claim(id=job.id, seen_status=seen.status, seen_task_id=seen.task_id, task_id=task_id(uid, job))
            )
    ours = (
        await (await recovery.job_store()).claim(uid, claims, now=recovery.environment.now()) if claims else frozenset()
    )
    for job, _ in part:
        if job.id is not None and job.id not in ours:
            del tasks[job.key]
            skipped[job.key] = changed_since(job)
    ours_by_queue = by_queue(job for job, _ in part if job.key in tasks)
    await (await recovery.run()).push({queue: [tasks[job.key] for job in own] for queue, own in ours_by_queue.items()})
    return skipped


async def _report(
    recovery: Recovery,
    jobs: list[ListedJob],
    done: set[str],
    skipped: Mapping[str, SkippedJob],
    *,
    complete: bool = False,
) -> None:
    totals = JobTotals.counted(len(jobs), enqueued=len(done), skipped=len(skipped))
    rows = [skipped[job.key] for job in jobs if job.key in skipped]
    message = f"{len(done)} of {counted(len(jobs), 'job')} enqueued" if jobs else "no job is listed"
    message += f", {len(skipped)} skipped" if skipped else ""
    if not complete:
        message = f"{'resumed: ' if recovery.is_resumed else ''}{message}"
        await recovery.save(progress=(Reason.REENQUEUING, message), update={"jobs": totals, "skipped": rows})
        return
    await recovery.save(
        (ConditionType.REENQUEUED, "True", Reason.COMPLETED, message),
        progress=(Reason.COMPLETED, message),
        update={
            "jobs": totals,
            "skipped": rows,
            "ending": Ending(
                phase="Succeeded", reason=Reason.COMPLETED, message=_outcome(recovery, message, len(done))
            ),
        },
    )


def _results(recovery: Recovery, jobs: str) -> list[str]:
    """Return the results of a recovery that purges nothing, in the order of its steps."""
    restarted = recovery.restarts_workers and any(worker.replicas > 0 for worker in recovery.status.workers)
    redelivered = find(recovery.status.conditions, ConditionType.REDELIVERED)
    consumed = find(recovery.status.conditions, ConditionType.CONSUMED)
    return [
        *(["workers restarted"] if restarted else []),
        *([redelivered.message] if redelivered is not None else []),
        *([consumed.message] if consumed is not None and consumed.reason != Reason.WORKERS_AT_ZERO else []),
        *([jobs] if recovery.spec.redeliver is None else []),
    ]


def _outcome(recovery: Recovery, message: str, enqueued: int) -> str:
    messages = recovery.status.messages
    restarted = find(recovery.status.conditions, ConditionType.RESTARTED)
    is_asleep = restarted is not None and restarted.reason == Reason.WORKERS_AT_ZERO
    if messages is not None:
        left = f", {messages.left} left in the queue" if recovery.spec.purge.select or messages.left else ""
        message = f"{counted(messages.quarantined, 'message')} quarantined{left}; {message}"
        if messages.found == 0:
            before = counted_so_far(recovery.status)
            message = f"{message}. {why_empty(before)}"
            message += f". {ENQUEUED_THERE}" if enqueued and not before else ""
    elif recovery.spec.redeliver is not None or (recovery.restarts_workers and not is_asleep):
        message = "; ".join(_results(recovery, message))
    if is_asleep:
        message += (
            ". No worker consumes the queue, because its Deployments have 0 replicas. See the condition Restarted"
        )
    return message
