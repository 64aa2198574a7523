"""The locks of a recovery: keys in the broker for its queues, and notes on its workers."""

from collections.abc import Iterable
from shlex import quote

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.checks import check_queues
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError, locked_by
from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, SCALE_BACK_TO, Holder, Worker
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.takeover import end_gone


async def check_queue_locks(recovery: Recovery, queues: Iterable[str]) -> None:
    """Raise RecoveryError (`Locked`) if others hold these queues; take over from those that are gone or have ended."""
    broker = await recovery.broker()
    if recovery.cluster_uid is None:
        recovery.cluster_uid = await recovery.environment.cluster_uid()
    held: dict[str, str] = {}
    remedies: list[str] = []
    for queue, holder in (await broker.holders(*queues)).items():
        if holder.uid == recovery.resource.uid:
            continue
        is_ours = holder.cluster_uid is not None and holder.cluster_uid == recovery.cluster_uid
        exists = await recovery.exists(holder.name, holder.uid, unfinished=True) if is_ours else None
        if exists is False and await recovery.exists(holder.name, holder.uid) is False:
            await end_gone(recovery, queue, holder)
            continue
        if exists is False:
            # One that has ended has released its lock before. If the lock is still there, the broker has lost that.
            if await _holds(recovery, queue, holder):
                await end_gone(recovery, queue, holder, has_ended=True)
            continue
        where = " in another cluster" if _is_of_another_cluster(recovery, holder) else ""
        held[f'queue "{queue}"'] = f'recovery "{holder.name}"{where}'
        if exists is None:
            remedies.append(f'redis-cli -u "$BROKER_URL" DEL {quote(holder.lock)}')
    if held:
        raise locked_by(held, RecoveryError, remedies)


async def _holds(recovery: Recovery, queue: str, holder: Holder) -> bool:
    """Read again whether a recovery holds the lock of a queue."""
    found = (await (await recovery.broker()).holders(queue)).get(queue)
    return found is not None and found.run == holder.run


async def is_any_held(recovery: Recovery, queues: Iterable[str]) -> bool:
    """Tell whether a recovery holds a lock of these queues, even if it no longer exists."""
    return bool(await (await recovery.broker()).holders(*queues))


async def acquire_locks(recovery: Recovery) -> None:
    """Acquire the locks of all queues and create the runs; idempotent.

    Raises RecoveryError (`Locked`) while another recovery holds one of them.
    """
    await check_queue_locks(recovery, recovery.covered)
    await check_queues(recovery, recovery.covered)  # the check of the plan may be hours old
    await (await recovery.run()).open()


async def check_notes(recovery: Recovery, workers: Iterable[Worker]) -> None:
    """Raise AwaitingChange (`Locked`) while another existing recovery holds one of the workers."""
    for worker in workers:
        note = worker.note
        if note is None or note.uid == recovery.resource.uid:
            continue
        holder = f"{recovery.resource.namespace}/{note.name}"
        # A recovery that has ended has removed its note: this one is from an older manifest of the Deployment.
        exists = await recovery.exists(holder, note.uid, unfinished=True)
        if exists is not False:
            replicas = worker.replicas or note.replicas
            scale_back = f"kubectl scale {worker.ref.resource} --replicas={replicas} -n {recovery.resource.namespace}"
            remedies = [f"{scale_back} && {_remove_note(recovery, worker)}"] if exists is None else []
            raise locked_by({str(worker.ref): f'recovery "{holder}"'}, AwaitingChange, remedies)


def check_notes_are_whole(recovery: Recovery, workers: Iterable[Worker]) -> None:
    """Raise AwaitingChange (`Locked`) when a worker has an incomplete note, without a clear holder."""
    for worker in workers:
        if worker.note_is_damaged:
            raise AwaitingChange(
                Reason.LOCKED,
                f"{worker.ref} may be held: another client has changed its labels {HELD_BY}, "
                f"{HELD_BY_UID} and {SCALE_BACK_TO}. Check that it has the replicas that it needs, then "
                f"remove the labels: {_remove_note(recovery, worker)}",
            )


def _remove_note(recovery: Recovery, worker: Worker) -> str:
    labels = f"{HELD_BY}- {HELD_BY_UID}- {SCALE_BACK_TO}-"
    return f"kubectl label {worker.ref.resource} -n {recovery.resource.namespace} {labels}"


def _is_of_another_cluster(recovery: Recovery, holder: Holder) -> bool:
    if None not in {holder.cluster_uid, recovery.cluster_uid}:
        return holder.cluster_uid != recovery.cluster_uid
    return holder.cluster not in {None, recovery.environment.cluster}
