"""Purging: move the messages into the quarantine, up to one exact boundary for each queue."""

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Messages, Quarantine
from queue_recovery.recovery.drain import drain_held, refuse_survivors, stop_workers
from queue_recovery.recovery.errors import NotYet
from queue_recovery.recovery.ports import Taken
from queue_recovery.recovery.scope import Scope, Update
from queue_recovery.recovery.still_queued import seen_task_ids, with_still_queued


async def purge(scope: Scope) -> None:
    """Take the messages of the queues, all or those selected, and write how many there were."""
    broker = await scope.broker()
    if not scope.takes_messages:
        for run in scope.runs.values():
            await broker.pass_boundary(run)
        await scope.save(
            (ConditionType.PURGED, "True", Reason.NOT_NEEDED, "purge.mode is None: every message stays"),
            (ConditionType.RESTARTED, "True", Reason.NOT_NEEDED, "purge.mode is None: no worker was stopped"),
            (ConditionType.REENQUEUED, "False", Reason.REENQUEUING, "enqueuing the listed jobs"),
            doing=(Reason.REENQUEUING, "enqueuing the listed jobs"),
        )
        return
    refuse_survivors(await broker.consumers(), scope.last_seen, scope.world.now())
    task_ids = await seen_task_ids(scope) if scope.spec.purge.select else {}
    try:
        taken = await broker.take(*scope.runs.values(), sweep=scope.status.sweep, among=task_ids.values())
    except NotYet:
        if scope.still_drained is None and not await drain_held(scope):
            # This sweep goes on to its end, also if it is disturbed: what went back to the lists after its boundary is
            # found by the next one, which the workers' generation then asks for.
            await stop_workers(scope)
        raise
    skipped = with_still_queued(scope.status.skipped, task_ids, taken.kept_ids)
    if not await drain_held(scope):
        await _drain_again(scope, {"sweep": scope.status.sweep + 1, "skipped": skipped})
        return
    messages = count_messages(taken)
    message = f"{messages.quarantined} messages quarantined: {taken.ready} from the lists, {taken.unacked} from unacked"
    if scope.spec.purge.select:
        message += f"; {taken.kept} kept in the queue"
    if taken.oversized:
        message += f"; {taken.oversized} of them are larger than 4 MiB, so their headers were not read"
    if taken.undecodable:
        message += f"; {taken.undecodable} entries of unacked cannot be read, so they stay"
    await scope.save(
        (ConditionType.PURGED, "True", Reason.COMPLETED, message),
        (ConditionType.RESTARTED, "False", Reason.RESTARTING, "bringing the workers back"),
        doing=(Reason.RESTARTING, f"{message}; bringing the workers back"),
        update={
            "messages": messages,
            "quarantine": Quarantine(name=taken.quarantine, messages=messages.quarantined),
            "skipped": skipped,
        },
    )


def count_messages(taken: Taken) -> Messages:
    """Return what became of the queue's messages."""
    quarantined = taken.ready + taken.unacked
    return Messages(
        found=quarantined + taken.kept,
        quarantined=quarantined,
        kept=taken.kept,
        oversized=taken.oversized,
        undecodable=taken.undecodable,
    )


async def _drain_again(scope: Scope, update: Update) -> None:
    message = "workers came up before the queue was taken: stopping them again, for another sweep"
    await scope.save(
        (ConditionType.DRAINED, "False", Reason.WORKER_CHANGED, message),
        doing=(Reason.WORKER_CHANGED, f"{message}. If it is a GitOps tool or an autoscaler, pause it"),
        update=update,
    )
