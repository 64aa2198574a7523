"""Taking over the locks, runs and Deployments of a recovery that no longer exists.

Its finalizer was removed by force, or its namespace was deleted. The API server of its own cluster has to prove that it
is gone; an answer that is missing or forbidden proves nothing. A UID is never used again, so the proof remains valid.
The run of one that has ended is closed and released too: it released its lock before that, so a failover has brought
the lock back.

The steps are those of every ending: close the run, so that a late process can neither take nor enqueue anything;
settle the jobs; retain the quarantine for its retention; release the lock. On a Deployment, the new recovery replaces
the note, and scales back to the recorded replicas when it finishes. A recovery that stops no workers scales back at
once.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.figures import lost_messages
from queue_recovery.recovery.jobs import job_id
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Closed, Holder, Run, Worker
from queue_recovery.recovery.recovery import Recovery

_LOG = logging.getLogger(__name__)


async def end_gone(recovery: Recovery, queue: str, holder: Holder, *, has_ended: bool = False) -> None:
    """Finish the run of a recovery that no longer exists, or has ended and lost its release; idempotent."""
    identity = Run(
        uid=holder.run,
        name=holder.name,
        cluster=recovery.environment.cluster,
        cluster_uid=holder.cluster_uid,
        queue=queue,
        retention_seconds=holder.retention_seconds,
    )
    expires = recovery.environment.now() + identity.retention
    why = "has ended, so the broker has lost that (a failover)" if has_ended else "no longer exists"
    await recovery.wait_for(
        Reason.TAKEN_OVER,
        f'recovery "{holder.name}" ({holder.uid}) holds queue "{queue}" but {why}. Finishing its run; what '
        f"it quarantined is retained until {timestamp(expires)} under {holder.quarantine}",
    )
    run = (await recovery.broker()).run(identity)
    closed = await run.close()
    if closed.lost:
        _LOG.warning(
            "%s",
            lost_messages(closed.lost, f'recovery "{holder.name}"'),
            extra={
                "namespace": recovery.resource.namespace,
                "recovery": recovery.resource.name,
                "reason": Reason.BROKER_LOST_DATA,
            },
        )
    if not has_ended:  # otherwise it has done both, and a job whose marker the broker has lost may have been run
        if not recovery.scales_workers:
            await _scale_back(recovery, queue, holder)
        if closed.was_purged:
            await _settle(recovery, holder, closed)
    await run.release(expires=expires, retain=True)


async def _scale_back(recovery: Recovery, queue: str, holder: Holder) -> None:
    """Scale the queue's Deployments back that the holder has stopped; they are in its own namespace.

    The name in the note is compared too, because any client of the broker can write the holder's record.
    """
    namespace, _, holder_name = holder.name.partition("/")
    if namespace != recovery.resource.namespace:
        return
    listed = next((one.workers for one in (await recovery.target()).queues if one.name == queue), [])
    async for worker in _existing(recovery, listed):
        if worker.note is None or worker.note.name == holder_name:
            # Even without the note, so that a late write of the holder, which would scale to 0, fails.
            await recovery.environment.workers.scale_back(worker.ref, worker.uid, holder.uid)
    await _unpause(recovery, listed, holder_name, lambda uid: uid == holder.uid)


async def scale_back_earlier(recovery: Recovery, refs: Sequence[WorkerRef]) -> None:
    """Scale back those Deployments that an earlier recovery of the same name has stopped; idempotent."""
    async for worker in _existing(recovery, refs):
        note = worker.note
        if note is not None and note.name == recovery.resource.name and note.uid != recovery.resource.uid:
            await recovery.environment.workers.scale_back(worker.ref, worker.uid, note.uid)
    await _unpause(recovery, refs, recovery.resource.name, lambda uid: uid != recovery.resource.uid)


async def _unpause(
    recovery: Recovery, refs: Sequence[WorkerRef], holder: str, is_theirs: Callable[[str], bool]
) -> None:
    """Unpause the ScaledObjects of these Deployments that a recovery of this name has paused, if it is that one."""
    autoscalers = recovery.environment.autoscalers
    for one in (await autoscalers.look(refs)).scaled_objects:
        by = one.paused_by
        if by is not None and by.name == holder and is_theirs(by.uid):
            await autoscalers.unpause(one.name, one.uid, by.uid)


async def _existing(recovery: Recovery, refs: Sequence[WorkerRef]) -> AsyncIterator[Worker]:
    """Yield those of these workers that exist."""
    for ref in refs:
        try:
            (worker,) = await recovery.environment.workers.look([ref])
        except RecoveryError as error:
            if error.reason == Reason.WORKER_NOT_FOUND:
                continue
            raise
        yield worker


async def _settle(recovery: Recovery, holder: Holder, closed: Closed) -> None:
    """Release the jobs that the holder has claimed but not enqueued, if it is of this namespace."""
    target = await recovery.target()
    if holder.name.partition("/")[0] != recovery.resource.namespace or target.job_store is None:
        return
    store = await recovery.job_store()
    ids = [job_id(key) for key in sorted(closed.seen - closed.pushed)]
    await store.settle(
        holder.uid, [str(one) for one in ids if one is not None and store.fits(one)], now=recovery.environment.now()
    )
