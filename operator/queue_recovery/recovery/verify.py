"""Verifying a restart: it has helped once messages of every queue are consumed again."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from queue_recovery.api.conditions import ConditionStatus, ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.consumption import CONSUMED, Shown, conclude, describe, is_consumed, shown_by_waiting
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import moment
from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.steps import begun_after

_LOOK_SECONDS: Final = 1.0
"""Between two looks at the broker, where nothing announces a delivery; each look is a few commands for each queue."""
_LEAST_SECONDS: Final = 10
"""How long a process looks that enters the step after the deadline, because it takes two looks to see a change."""

_UNKNOWN: Final[ConditionStatus] = "Unknown"


async def verify(recovery: Recovery) -> None:
    """Wait until messages of every queue are consumed, and write to the status what shows it.

    Raises RecoveryError (`NotConsumed`) once `consumptionDeadlineSeconds` are over.
    """
    queues = await _running_queues(recovery)
    begun = begun_after(recovery, ConditionType.CONSUMED)
    if not queues:
        message = "no worker of the queue has replicas, so nothing is consumed"
        asleep = (ConditionType.CONSUMED, _UNKNOWN, Reason.WORKERS_AT_ZERO, message)
        await recovery.save(asleep, begun.condition, progress=begun.progress)
        return
    shown = await _await_consumption(recovery, queues)
    known: ConditionStatus = "Unknown" if None in shown.values() else "True"
    reason = Reason.COMPLETED if known == "True" else Reason.CONSUMPTION_UNKNOWN
    condition = (ConditionType.CONSUMED, known, reason, describe(shown))
    await recovery.save(condition, begun.condition, progress=begun.progress)


async def _running_queues(recovery: Recovery) -> Mapping[str, QueueSpec]:
    """Return the queues that have a worker with replicas."""
    queues = await recovery.queues()
    awake = {worker.ref for worker in await _look(recovery, queues) if worker.replicas > 0}
    return {name: queue for name, queue in queues.items() if not awake.isdisjoint(queue.workers)}


async def _look(recovery: Recovery, queues: Mapping[str, QueueSpec]) -> Sequence[Worker]:
    refs = {ref for queue in queues.values() for ref in queue.workers}
    return await recovery.environment.workers.look(sorted(refs))


async def _await_consumption(recovery: Recovery, queues: Mapping[str, QueueSpec]) -> Mapping[str, Shown]:
    """Return what shows that each queue is consumed; raises RecoveryError (`NotConsumed`)."""
    broker = await recovery.broker()
    seconds = recovery.spec.restart.consumption_deadline_seconds
    # Another process may have begun, and this one was not there to look.
    own = recovery.environment.now() + timedelta(seconds=min(seconds, _LEAST_SECONDS))
    until = max(own, _began(recovery, ConditionType.CONSUMED) + timedelta(seconds=seconds))
    shown: dict[str, Shown] = {}
    first = before = now = await broker.ends(*queues)
    while True:
        for name in queues:
            if is_consumed(first[name], now[name]) or is_consumed(before[name], now[name]):
                shown[name] = CONSUMED
        empty = {name: queue for name, queue in queues.items() if name not in shown and not now[name].waiting}
        waits = await _waited_for(recovery, empty) if empty else {}
        shown |= {name: how for name, how in waits.items() if how}
        missing = [name for name in queues if name not in shown]
        if not missing:
            return shown
        left = (until - recovery.environment.now()).total_seconds()
        if left <= 0:
            break
        await recovery.environment.pause(min(_LOOK_SECONDS, left))
        before, now = now, await broker.ends(*queues)
    since, ended = _began(recovery, ConditionType.PURGED).timestamp(), recovery.environment.now().timestamp()
    stuck = {}
    for name in missing:
        is_visible = waits.get(name) is not None
        shown[name], stuck[name] = conclude(now[name], since, ended, seconds=seconds, is_visible=is_visible)
    _refuse(recovery, queues, {name: why for name, why in stuck.items() if why})
    return shown


async def _waited_for(recovery: Recovery, queues: Mapping[str, QueueSpec]) -> Mapping[str, Shown]:
    """Return, for empty queues, that workers wait for messages; empty: they do not; None: the broker does not show."""
    consumers = await (await recovery.broker()).consumers()
    if consumers is None:
        return dict.fromkeys(queues)
    looked = {worker.ref: worker for worker in await _look(recovery, queues)}
    age = (recovery.environment.now() - _began(recovery, ConditionType.PURGED)).total_seconds()
    return {
        name: shown_by_waiting(consumers, {a for ref in queue.workers for a in looked[ref].connects_from}, age)
        for name, queue in queues.items()
    }


def _began(recovery: Recovery, kind: ConditionType) -> datetime:
    """Return when a condition has changed last: with `Purged` the restart began, with `Consumed` the verification."""
    condition = find(recovery.status.conditions, kind)
    if condition is None:
        raise ValueError("a restart is verified after its steps have begun")
    return moment(condition.last_transition_time)


def _refuse(recovery: Recovery, queues: Mapping[str, QueueSpec], stuck: Mapping[str, str]) -> None:
    if not stuck:
        return
    why = "; ".join(f'queue "{name}": {text}' for name, text in stuck.items())
    refs = sorted({ref for name in stuck for ref in queues[name].workers})
    namespace = recovery.resource.namespace
    logs = " && ".join(f"kubectl logs {ref.resource} --tail=50 -n {namespace}" for ref in refs[:3])
    raise RecoveryError(
        Reason.NOT_CONSUMED,
        f"the workers were restarted, but {why}. See what they do: {logs}. Compare their broker URL and their queues "
        "(-Q) with the target, and see with celery inspect active whether long tasks hold all slots. The workers are "
        "left as they are",
    )
