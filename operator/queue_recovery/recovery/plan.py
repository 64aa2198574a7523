"""Planning: check the recovery against target and environment, and count. Changes nothing."""

from collections.abc import Mapping, Sequence

from queue_recovery.api.base import EVERY_QUEUE
from queue_recovery.api.examples import MOST_EXAMPLES, Examples, JobExample, MessageExample
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, JobTotals, Plan
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.approval import ask, requires_approval, save_plan
from queue_recovery.recovery.autoscaling import scaled_objects_of
from queue_recovery.recovery.cause import hold_without_cause
from queue_recovery.recovery.checks import check_name, check_queues, workers_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.evidence import diagnose
from queue_recovery.recovery.found import Found, describe
from queue_recovery.recovery.frozen_jobs import look_up
from queue_recovery.recovery.images import check_images
from queue_recovery.recovery.jobs import (
    ListedJob,
    check_found,
    check_size,
    check_task,
    check_task_ids,
    listed,
    task_name,
)
from queue_recovery.recovery.ledger import end_copy
from queue_recovery.recovery.locks import is_any_held
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Count, StoredJob, Unlisted
from queue_recovery.recovery.progress import with_progress
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.replica_owners import replica_owners
from queue_recovery.recovery.settled import check_kinds, outlines_of
from queue_recovery.recovery.skips import seen_as, skipped_jobs
from queue_recovery.recovery.status import Update, counted_so_far
from queue_recovery.recovery.transient import hold_transient


async def plan(recovery: Recovery) -> None:
    """Write the plan to the status, or the ending of a copy; raise the error that prevents the recovery."""
    if await end_copy(recovery):
        return
    check_name(recovery)
    queues = await recovery.queues()
    jobs = listed(recovery.spec)
    check_size(recovery.spec, jobs)
    workers = workers_of(queues.values()) if recovery.changes_workers else []
    check_kinds(recovery, workers)
    await recovery.environment.check_permissions(await recovery.target(), workers)
    await check_images(recovery, queues.values())
    broker = await recovery.broker()
    await broker.check()
    await check_queues(recovery, queues)
    stored = await _checked(recovery, jobs, queues)
    outlines = await outlines_of(recovery, workers) if recovery.changes_workers else []
    scaled_objects = await scaled_objects_of(recovery, workers) if recovery.takes_messages else []
    was_held = await is_any_held(recovery, queues)
    examples = MOST_EXAMPLES if recovery.spec.suspend or await requires_approval(recovery) else 0
    found = await with_progress(recovery, _find(recovery, [*queues], jobs, stored, examples), _counting)
    if found.is_nothing and not recovery.spec.suspend and not recovery.restarts_workers:
        # A message that a worker returned between the reads of the lists and of `unacked` was in neither.
        found = await with_progress(recovery, _find(recovery, [*queues], jobs, stored, examples), _counting)
    made = Plan(
        time=timestamp(recovery.environment.now()),
        queues=list(queues),
        unlisted=list(found.unlisted.names),
        unlisted_total=found.unlisted.total,
        ready=found.count.ready,
        unacked=found.count.unacked,
        purge=found.purge,
        leave=found.count.leave,
        enqueue=found.enqueue,
        skip=len(found.skipped),
        scaled_objects=[one.name for one in scaled_objects],
        replica_owners=replica_owners(outlines) if recovery.scales_workers else [],
        limits=(await recovery.target()).limits,
        canvas=found.count.canvas if found.has_canvas else None,
        diagnosis=await diagnose(recovery, found.failed, stored, found.count.facts),
        examples=_examples(found) if examples else None,
    )
    # Another recovery that holds a lock may return messages to the queue.
    ends = (
        found.is_nothing
        and not recovery.restarts_workers
        and not recovery.spec.suspend
        and not was_held
        and not await is_any_held(recovery, queues)
    )
    rows, are_retried = list(found.skipped.values()), found.count.are_retried
    reason, message = describe(
        recovery.spec,
        made,
        rows,
        workers=workers,
        counted_before=counted_so_far(recovery.status),
        is_over=ends,
        are_retried=are_retried,
    )
    if ends:
        counted = counted_so_far(recovery.status)
        await recovery.save(
            progress=(reason, message), update={"plan": made, "counted": counted, **_ended(found, message)}
        )
        return
    await hold_without_cause(recovery, made)
    await hold_transient(recovery, made)
    tasks = [task_name(job, stored.get(job.id or ""), queues[job.queue]) for job in jobs]
    asked = await ask(recovery, queues, made, tasks={name for name in tasks if name is not None})
    update: Update = {"plan": made, "counted": counted_so_far(recovery.status)}
    await save_plan(recovery, asked, (reason, message), update)


async def _checked(recovery: Recovery, jobs: list[ListedJob], queues: Mapping[str, QueueSpec]) -> dict[str, StoredJob]:
    """Check that every job can be enqueued, and return the jobs' documents without arguments."""
    uid = recovery.resource.uid
    listed_by_id = {job.id: job for job in jobs if job.id is not None}
    stored: dict[str, StoredJob] = {}
    refused: dict[str, RecoveryError] = {}
    async for document in look_up(recovery, jobs):
        job = listed_by_id[document.id]
        stored[document.id] = document.without_arguments()
        try:
            check_task(job, document, queues[job.queue], uid)
        except RecoveryError as error:
            refused[job.key] = error
    if recovery.status.plan is None:  # a document that is gone since the first plan is skipped
        check_found(jobs, stored)
    check_task_ids(jobs, stored)
    for job in jobs:
        if job.id is None:
            check_task(job, None, queues[job.queue], uid)
        elif job.key in refused:
            raise refused[job.key]
    return stored


async def _counting() -> tuple[str, str]:
    return Reason.COUNTING, "counting the messages of the queue"


async def _find(
    recovery: Recovery, queues: list[str], jobs: Sequence[ListedJob], stored: Mapping[str, StoredJob], examples: int
) -> Found:
    """Count the messages, and find the jobs that would be skipped."""
    broker = await recovery.broker()
    recoverable = await recovery.recoverable()
    seen = {job.key: seen_as(stored.get(job.id), recoverable) for job in jobs if job.id is not None}
    known = [one for one in seen.values() if one is not None]
    if recovery.takes_messages:
        count = await broker.count(*queues, select=recovery.spec.purge.select, jobs=known, names=examples)
        left_ids = count.left_ids
    else:
        count = Count(ready=0, unacked=0, undecodable=0)
        left_ids = await broker.queued_task_ids([one.task_id for one in known if one.task_id], *queues)
    unlisted = Unlisted(names=[], total=0)
    if recovery.spec.queue == EVERY_QUEUE:
        unlisted = await broker.unlisted(queues)
    return Found(
        count=count, unlisted=unlisted, jobs=jobs, seen=seen, skipped=skipped_jobs(jobs, seen, left_ids, recoverable)
    )


def _ended(found: Found, message: str) -> Update:
    """Return the status update of a recovery that has nothing to do."""
    return {
        "ending": Ending(phase="Succeeded", reason=Reason.NOTHING_TO_DO, message=message),
        "jobs": JobTotals.counted(len(found.jobs), skipped=len(found.skipped)),
        "skipped": list(found.skipped.values()),
    }


def _examples(found: Found) -> Examples:
    """Return the examples that a dry run, or a user who is to approve, is shown."""
    enqueue = [
        JobExample(id=job.label, task_id=seen.task_id if (seen := found.seen.get(job.key)) else None)
        for job in found.jobs
        if job.key not in found.skipped
    ]
    return Examples(
        purge=[MessageExample(task_id=one.task_id, task=one.task) for one in found.count.taken],
        leave=[MessageExample(task_id=one.task_id, task=one.task) for one in found.count.left],
        enqueue=enqueue[:MOST_EXAMPLES],
        skip=list(found.skipped.values())[:MOST_EXAMPLES],
    )
