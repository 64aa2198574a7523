"""Taking over what a recovery holds that does not exist any more.

It was removed by force, by somebody who removed its finalizer, or it went with its namespace. The API server of its own
cluster has to prove that it is gone; a server that does not answer, or that does not let the operator look, proves
nothing. A UID is never used again, so the proof stays true.

What it holds in the broker is ended as it would have ended it itself: its run is closed, so that a late process of it
can neither take nor enqueue anything; its jobs are settled; its quarantine is kept for its retention; its lock is
released. Of a Deployment the new recovery replaces its note, and gives the replicas back that it had recorded; one that
stops no workers itself gives them back at once.
"""

from collections.abc import Iterable
from shlex import quote

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.recovery.errors import AwaitingChange, NotYet, locked_by
from queue_recovery.recovery.jobs import job_id
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, SCALE_BACK_TO, Closed, Holder, Run, Worker
from queue_recovery.recovery.recovery import Recovery


async def refuse_locked(recovery: Recovery, queues: Iterable[str]) -> None:
    """Raise NotYet (`Locked`) while other recoveries hold locks of these queues; end those that are gone."""
    broker = await recovery.broker()
    if recovery.cluster_uid is None:
        recovery.cluster_uid = await recovery.environment.cluster_uid()
    held: dict[str, str] = {}
    remedies: list[str] = []
    for queue, holder in (await broker.holders(*queues)).items():
        if holder.uid == recovery.resource.uid:
            continue
        is_ours = holder.cluster_uid is not None and holder.cluster_uid == recovery.cluster_uid
        exists = await recovery.exists(holder.name, holder.uid) if is_ours else None
        if exists is False:
            await _end(recovery, queue, holder)
            continue
        elsewhere = " of another cluster" if _is_of_another_cluster(recovery, holder) else ""
        held[f"queue {queue!r}"] = f"{holder.name}{elsewhere}"
        if exists is None:
            remedies.append(f'redis-cli -u "$BROKER_URL" DEL {quote(holder.lock)}')
    if held:
        raise locked_by(held, NotYet, remedies)


async def refuse_held(recovery: Recovery, workers: Iterable[Worker]) -> None:
    """Raise AwaitingChange (`Locked`) when another recovery holds one of the workers, and is not proven to be gone."""
    for worker in workers:
        note = worker.note
        if note is None or note.uid == recovery.resource.uid:
            continue
        holder = f"{recovery.resource.namespace}/{note.name}"
        # One that has ended has scaled back: its note came with an older manifest of the Deployment.
        exists = await recovery.exists(holder, note.uid, unfinished=True)
        if exists is not False:
            replicas = worker.replicas or note.replicas
            scale_back = (
                f"kubectl scale deployment/{worker.name} --replicas={replicas} -n {recovery.resource.namespace}"
            )
            remedies = [f"{scale_back} && {_remove_note(recovery, worker)}"] if exists is None else []
            raise locked_by({f"Deployment {worker.name}": holder}, AwaitingChange, remedies)


def refuse_damaged(recovery: Recovery, workers: Iterable[Worker]) -> None:
    """Raise AwaitingChange (`Locked`) when one of the workers has labels of a note that says not who holds it."""
    for worker in workers:
        if worker.note_is_damaged:
            raise AwaitingChange(
                Reason.LOCKED,
                f"Deployment {worker.name} may be held: somebody has changed its labels {HELD_BY}, {HELD_BY_UID} and "
                f"{SCALE_BACK_TO}. See that it has the replicas that it needs, then remove them: "
                f"{_remove_note(recovery, worker)}",
            )


def _remove_note(recovery: Recovery, worker: Worker) -> str:
    labels = f"{HELD_BY}- {HELD_BY_UID}- {SCALE_BACK_TO}-"
    return f"kubectl label deployment/{worker.name} -n {recovery.resource.namespace} {labels}"


def as_it_was(recovery: Recovery, worker: Worker) -> WorkerStatus:
    """Return what a worker is brought back to, which its note says if it has one."""
    note = worker.note
    is_own = note is not None and note.uid == recovery.resource.uid
    replicas = worker.replicas
    if note is not None:
        # A number that somebody has set since the other recovery went is kept.
        replicas = note.replicas if is_own else replicas or note.replicas
    return WorkerStatus(
        name=worker.name,
        uid=worker.uid,
        replicas=replicas,
        pods=worker.pods,
        taken_over_from=None if note is None or is_own else note.uid,
    )


def _is_of_another_cluster(recovery: Recovery, holder: Holder) -> bool:
    if None not in {holder.cluster_uid, recovery.cluster_uid}:
        return holder.cluster_uid != recovery.cluster_uid
    return holder.cluster not in {None, recovery.environment.cluster}


async def _end(recovery: Recovery, queue: str, holder: Holder) -> None:
    """End the run of a recovery that is gone; entered again, it does the same to the same effect."""
    run = Run(
        uid=holder.run,
        name=holder.name,
        cluster=recovery.environment.cluster,
        cluster_uid=holder.cluster_uid,
        queue=queue,
        retention_seconds=holder.retention_seconds,
    )
    expires = recovery.environment.now() + run.retention
    await recovery.wait_for(
        Reason.TAKEN_OVER,
        f"recovery {holder.name} ({holder.uid}) holds queue {queue!r} and does not exist any more: ending it; what it "
        f"has taken is kept until {timestamp(expires)} under {holder.quarantine}",
    )
    broker = await recovery.broker()
    closed = await broker.close(run)
    if not recovery.scales_workers:
        await _scale_back(recovery, queue, holder)
    if closed.was_purged:
        await _settle(recovery, holder, closed)
    await broker.release(run, expires=expires, retain=True)


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
        except NotYet as error:
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
