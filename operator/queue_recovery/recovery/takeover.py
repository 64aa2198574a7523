"""Taking over what a recovery holds that does not exist any more.

It was removed by force, by somebody who removed its finalizer, or it went with its namespace. The API server of its own
cluster has to prove that it is gone; a server that does not answer, or that does not let the operator look, proves
nothing. A UID is never used again, so the proof stays true.

What it holds in the broker is ended as it would have ended it itself: its run is closed, so that a late process of it
can neither take nor enqueue anything; its jobs are settled; its quarantine is kept for its retention; its lock is
released. Of a Deployment the new recovery replaces its note, and gives the replicas back that it had recorded; one that
stops no workers itself gives them back at once.
"""

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.jobs import job_id
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Closed, Holder, Run
from queue_recovery.recovery.recovery import Recovery


async def end_gone(recovery: Recovery, queue: str, holder: Holder) -> None:
    """End the run of a recovery that is gone; entered again, it does the same to the same effect."""
    identity = Run(
        uid=holder.run,
        name=holder.name,
        cluster=recovery.environment.cluster,
        cluster_uid=holder.cluster_uid,
        queue=queue,
        retention_seconds=holder.retention_seconds,
    )
    expires = recovery.environment.now() + identity.retention
    await recovery.wait_for(
        Reason.TAKEN_OVER,
        f'recovery "{holder.name}" ({holder.uid}) holds queue "{queue}" but no longer exists. Finishing its run; what '
        f"it quarantined is retained until {timestamp(expires)} under {holder.quarantine}",
    )
    run = (await recovery.broker()).run(identity)
    closed = await run.close()
    if not recovery.scales_workers:
        await _scale_back(recovery, queue, holder)
    if closed.was_purged:
        await _settle(recovery, holder, closed)
    await run.release(expires=expires, retain=True)


async def _scale_back(recovery: Recovery, queue: str, holder: Holder) -> None:
    """Give the queue's Deployments the replicas back that it has taken; only those of its own namespace have its note.

    The name in the note is compared too: the broker's word for it is anybody's who can write there.
    """
    namespace, _, holder_name = holder.name.partition("/")
    if namespace != recovery.resource.namespace:
        return
    workers = recovery.environment.workers
    listed = next((one.workers for one in (await recovery.target()).queues if one.name == queue), [])
    for name in [worker.name for worker in listed]:
        try:
            (worker,) = await workers.look([name])
        except RecoveryError as error:
            if error.reason == Reason.WORKER_NOT_FOUND:
                continue
            raise
        if worker.note is None or worker.note.name == holder_name:
            # Also without the note: a write of a late process of it, which would scale to 0, fails then.
            await workers.scale_back(name, worker.uid, holder.uid)


async def _settle(recovery: Recovery, holder: Holder, closed: Closed) -> None:
    """Give the jobs back that it has claimed and not enqueued; only those of its own namespace can be reached."""
    target = await recovery.target()
    if holder.name.partition("/")[0] != recovery.resource.namespace or target.job_store is None:
        return
    store = await recovery.job_store()
    ids = [job_id(key) for key in sorted(closed.seen - closed.pushed)]
    await store.settle(
        holder.uid, [str(one) for one in ids if one is not None and store.fits(one)], now=recovery.environment.now()
    )
