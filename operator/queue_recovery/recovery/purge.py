"""Purging: move the messages into the quarantine, up to one exact boundary for each queue."""

from functools import partial

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import PurgeStatus, Quarantine
from queue_recovery.recovery.drain import drain_held, refuse_survivors, stop_workers
from queue_recovery.recovery.errors import NotYet
from queue_recovery.recovery.figures import count_messages
from queue_recovery.recovery.jobs import listed
from queue_recovery.recovery.ports import Broker
from queue_recovery.recovery.scope import Scope, Update
from queue_recovery.recovery.skips import skipped_jobs
from queue_recovery.recovery.telling import telling
from queue_recovery.recovery.wording import counted


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
    jobs = [job for job in listed(scope.spec) if job.id is not None]  # those that the drain has frozen
    refuse_survivors(await broker.consumers(), scope.last_seen, scope.world.now())
    try:
        taken = await telling(
            scope,
            broker.take(*scope.runs.values(), attempt=scope.status.purge.attempt, frozen=[job.key for job in jobs]),
            partial(_progress, scope, broker),
        )
    except NotYet:
        if scope.still_drained is None and not await drain_held(scope):
            # A disturbed attempt is finished all the same: the next one, which the workers' generation asks for, takes
            # what went back to the lists after the boundary.
            await stop_workers(scope)
        raise
    if not await drain_held(scope):
        await _drain_again(scope, {"purge": PurgeStatus(attempt=scope.status.purge.attempt + 1)})
        return
    messages = count_messages(taken)
    count = counted(messages.quarantined, "message")
    message = f"{count} quarantined: {taken.ready} from the lists, {taken.unacked} from unacked"
    if scope.spec.purge.select or taken.left:
        message += f"; {taken.left} left in the queue"
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
            "skipped": list(skipped_jobs(jobs, taken.seen, taken.left_ids, await scope.recoverable()).values()),
        },
    )


async def _progress(scope: Scope, broker: Broker) -> tuple[str, str]:
    """Say how many messages have been dealt with; more may have come since they were counted."""
    moved = await broker.moved(*scope.runs.values())
    planned = scope.status.plan.ready + scope.status.plan.unacked if scope.status.plan else 0
    of = f" of {max(moved, planned)}" if planned else ""
    return Reason.PURGING, f"moving the messages into the quarantine: {moved}{of}"


async def _drain_again(scope: Scope, update: Update) -> None:
    message = "workers came up before the queue was taken: stopping them again, for another purge attempt"
    await scope.save(
        (ConditionType.DRAINED, "False", Reason.WORKER_CHANGED, message),
        doing=(Reason.WORKER_CHANGED, f"{message}. If it is a GitOps tool or an autoscaler, pause it"),
        update=update,
    )
