"""Recording the intent: the status names the workers and starts the drain before anything is held."""

from collections.abc import Sequence
from contextlib import aclosing

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.approval import is_approved
from queue_recovery.recovery.autoscaling import free_scaled_objects_of, paused_scaled_object
from queue_recovery.recovery.cause import hold_without_cause
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.drain import describe_stopping, worker_status
from queue_recovery.recovery.images import check_images
from queue_recovery.recovery.ledger import begin_entry
from queue_recovery.recovery.locks import check_notes, check_notes_are_whole, check_queue_locks
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.plan import plan
from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.redeliver import plan_redelivery
from queue_recovery.recovery.restore import PUTTING_BACK
from queue_recovery.recovery.settled import check_may_stop
from queue_recovery.recovery.target_snapshot import snapshot_of
from queue_recovery.recovery.transient import is_held
from queue_recovery.recovery.worker_changes import WorkerChanges


async def record_intent(recovery: Recovery) -> None:
    """Record in the status that the drain starts, with the workers' replicas.

    After this write, every ending closes the runs in the broker. So no lock may be acquired before it.

    Raises RecoveryError (`Locked`, `Queued`) while other recoveries are ahead, and for one that is held.
    """
    await hold_without_cause(recovery)
    if await is_held(recovery):
        await plan(recovery)  # the evidence may be another one now
        return
    asked = recovery.resource.desired
    recovery.is_plan_outdated |= recovery.has_waited_for_lock
    recovery.turn.check_queue_position()
    queues = await recovery.queues()
    recovery.join_lock_queues(queues)
    recovery.turn.check_queue_position()
    await check_queue_locks(recovery, queues)
    if recovery.spec.restore_from is not None:
        if not (await is_approved(recovery) and await begin_entry(recovery)):
            return
        await recovery.save(
            (ConditionType.RESTORED, "False", Reason.RESTORING, PUTTING_BACK),
            progress=(Reason.RESTORING, PUTTING_BACK),
            update=await _start(recovery),
            asked=asked,
        )
        return
    if recovery.is_plan_outdated:
        await (plan if recovery.spec.redeliver is None else plan_redelivery)(recovery)
        recovery.is_plan_outdated = False
        return
    if recovery.scales_workers:
        recovery.turn.check_drain_slot()
        await recovery.environment.pause(recovery.turn.stop_delay())
    refs = workers_of(queues.values()) if recovery.changes_workers else []
    scaled_objects = await free_scaled_objects_of(recovery, refs) if recovery.takes_messages else []
    workers = await _first_look(recovery, refs) if refs else []
    await check_notes(recovery, workers)
    check_notes_are_whole(recovery, workers)
    check_may_stop(recovery, workers)
    await check_images(recovery, queues.values())
    if not (await is_approved(recovery) and await begin_entry(recovery)):
        return
    await recovery.save(
        (ConditionType.DRAINED, "False", Reason.DRAINING, "stopping the workers"),
        progress=(Reason.DRAINING, describe_stopping(recovery, workers)),
        update={
            **await _start(recovery),
            "workers": [worker_status(recovery, worker) for worker in workers],
            "scaled_objects": [paused_scaled_object(recovery, one) for one in scaled_objects],
        },
        asked=asked,
    )


async def _start(recovery: Recovery) -> dict[str, object]:
    """Return the fields of the status that say that the recovery starts, and with what."""
    return {
        "drain_start_time": timestamp(recovery.environment.now()),
        "target_snapshot": snapshot_of(await recovery.target()),
    }


async def _first_look(recovery: Recovery, refs: Sequence[WorkerRef]) -> Sequence[Worker]:
    """Return the workers as they are now, and start the watch that the drain uses."""
    async with aclosing(recovery.environment.workers.follow(refs)) as followed:
        workers = await WorkerChanges(recovery, followed).next()
    recovery.looked = True
    return workers
