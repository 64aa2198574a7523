"""Planning: check the recovery against its target and the world, and count what it would do. Touches nothing."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from queue_recovery.api.base import EVERY_QUEUE
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import MOST_WORKERS, Plan
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.errors import AwaitingChange, Rejected
from queue_recovery.recovery.jobs import ListedJob, check_found, check_size, check_task, listed
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import MOST_CHARACTERS, Broker, Count, StoredJob, Unlisted
from queue_recovery.recovery.scope import Scope


async def plan(scope: Scope) -> None:
    """Write the plan to the status, or raise what is in its way."""
    check_name(scope)
    queues = await scope.queues()
    jobs = listed(scope.spec)
    check_size(scope.spec, jobs)
    workers = worker_names(queues.values()) if scope.takes_messages else []
    await scope.world.check_permissions(await scope.target(), workers)
    broker = await scope.broker()
    await broker.check()
    await check_queues(scope, queues)
    stored = await _checked(scope, jobs, queues)
    if scope.takes_messages:
        for name in await scope.world.workers.paused(workers):
            raise AwaitingChange(
                Reason.WORKER_PAUSED,
                f"Deployment {name} is paused, so it would not start again; "
                f"kubectl rollout resume deployment/{name} -n {scope.resource.namespace}",
            )
    select = scope.spec.purge.select
    nothing = Count(ready=0, unacked=0, undecodable=0)
    count = await broker.count(*queues, select=select) if scope.takes_messages else nothing
    skip = await _count_skips(scope, broker, [*queues], jobs, stored)
    unlisted = Unlisted(names=[], total=0)
    if scope.spec.queue == EVERY_QUEUE:
        unlisted = await broker.unlisted(queues)
    reason, message = _describe(scope, count, len(jobs) - skip, skip, unlisted)
    await scope.save(
        doing=(reason, message),
        update={
            "plan": Plan(
                time=timestamp(scope.world.now()),
                queues=list(queues),
                unlisted=list(unlisted.names),
                unlisted_total=unlisted.total,
                ready=count.ready,
                unacked=count.unacked,
                purge=count.ready + count.unacked - count.keep,
                keep=count.keep,
                enqueue=len(jobs) - skip,
                skip=skip,
                limits=(await scope.target()).limits,
                tails=count.tails,
            ),
        },
    )


def check_name(scope: Scope) -> None:
    """Raise Rejected (`NameTooLong`) when Deployments could not be labelled with the recovery's name.

    A rule in the definition would refuse every update of a recovery that is there already, and so its deletion.
    """
    length = len(scope.resource.name)
    if scope.scales_workers and length > MOST_CHARACTERS:
        raise Rejected(
            Reason.NAME_TOO_LONG,
            f"the name has {length} characters, and the label of a Deployment that is stopped has {MOST_CHARACTERS} at "
            "most; create the recovery with a shorter name",
        )


async def check_queues(scope: Scope, queues: Iterable[str]) -> None:
    """Refuse queues that are not Celery's; see `ports.Broker.check_queue`."""
    broker = await scope.broker()
    for queue in queues:
        await broker.check_queue(queue, take_unreadable=scope.spec.purge.take_unreadable)


def worker_names(queues: Iterable[QueueSpec]) -> list[str]:
    """Return the Deployments that consume any of these queues, in their order; raises Rejected (`TooManyWorkers`)."""
    names = sorted({worker.name for queue in queues for worker in queue.workers})
    if len(names) > MOST_WORKERS:
        raise Rejected(
            Reason.TOO_MANY_WORKERS,
            f"the queues have {len(names)} worker Deployments together, and one recovery stops at most "
            f"{MOST_WORKERS}; recover the queues one by one",
        )
    return names


async def _checked(scope: Scope, jobs: list[ListedJob], queues: Mapping[str, QueueSpec]) -> dict[str, StoredJob]:
    """Return the documents of the jobs, without their arguments, having checked that every job can be enqueued."""
    uid = scope.resource.uid
    listed_by_id = {job.id: job for job in jobs if job.id is not None}
    stored: dict[str, StoredJob] = {}
    refused: dict[str, Rejected] = {}
    async for document in look_up(scope, jobs):
        job = listed_by_id[document.id]
        stored[document.id] = document.without_arguments()
        try:
            check_task(job, document, queues[job.queue], uid)
        except Rejected as error:
            refused[job.key] = error
    check_found(jobs, stored)
    for job in jobs:
        if job.id is None:
            check_task(job, None, queues[job.queue], uid)
        elif job.key in refused:
            raise refused[job.key]
    return stored


async def look_up(scope: Scope, jobs: Sequence[ListedJob]) -> AsyncIterator[StoredJob]:
    """Return the documents of the jobs that are listed by id, one after the other.

    Raises Rejected (`InvalidJobId`) for ids that cannot be ids of the collection.
    """
    wanted = [(job.id, job.spec.id) for job in jobs if job.id is not None and job.spec.id is not None]
    if not wanted:
        return
    store = await scope.job_store()
    misfits = [text for text, typed in wanted if not store.fits(typed)]
    if misfits:
        raise Rejected(
            Reason.INVALID_JOB_ID,
            f"not ids as the target's idType says: {', '.join(misfits[:10])}; an ObjectId is written as 24 lower-case "
            "hexadecimal digits, an Int as a number without quotes, a String as text. Create a recovery with such "
            "ids, or correct idType in the target",
        )
    await store.check()
    async for document in store.look_up([text for text, _ in wanted]):
        yield document


async def _count_skips(
    scope: Scope, broker: Broker, queues: list[str], jobs: list[ListedJob], stored: dict[str, StoredJob]
) -> int:
    target = await scope.target()
    if target.job_store is None:
        return 0
    recoverable = target.job_store.mongodb.statuses.recoverable
    docs = [stored[job.id] for job in jobs if job.id is not None]
    skipped = {doc.id for doc in docs if doc.status not in recoverable}
    select = scope.spec.purge.select
    if select or not scope.takes_messages:
        task_ids = {doc.task_id: doc.id for doc in docs if doc.task_id}
        found = await broker.queued_task_ids(task_ids, *queues, left_by=select)
        skipped |= {task_ids[task_id] for task_id in found}
    return len(skipped)


def _describe(scope: Scope, count: Count, enqueue: int, skip: int, unlisted: Unlisted) -> tuple[Reason, str]:
    jobs = f"{enqueue} jobs to enqueue" + (f", {skip} to skip" if skip else "")
    if unlisted.total:
        more = unlisted.total - len(unlisted.names)
        names = ", ".join(unlisted.names) + (f" and {more} more" if more else "")
        jobs += f"; left alone, because the target does not list them: {names}"
    if not scope.takes_messages:
        return Reason.PLANNED, f"{jobs}; no message is removed and no worker stopped"
    found = f"{count.ready} messages in the lists and {count.unacked} in unacked to quarantine"
    if scope.spec.purge.select:
        found += f", but for {count.keep} that purge.select keeps"
    found += f"; {jobs}"
    if count.ready or count.unacked:
        return Reason.PLANNED, found
    hint = (
        "There is nothing under the queue's keys: if you expected messages, compare globalKeyPrefix, sep and the "
        "database in the URL with the application's settings"
    )
    return Reason.NOTHING_FOUND, f"{found}. {hint}"
