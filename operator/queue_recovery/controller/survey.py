"""One look at a target: what `kubectl get queuetargets` shows."""

from collections.abc import Awaitable

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus
from queue_recovery.controller.backlog import NOTHING_HELD, Backlog, backlog_of
from queue_recovery.controller.findings import BROKER_AWAY, Finding, by_one_cause, conditions_of, eviction, transport
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.origins import with_origin
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.environment import Environment


async def survey(
    spec: QueueTargetSpec, old: QueueTargetStatus, environment: Environment, *, generation: int
) -> QueueTargetStatus:
    """Look at everything that a recovery of this target would need; raises nothing that a server causes.

    What it costs the broker is bounded, however much is in its queues and in `unacked`.
    """
    now = timestamp(environment.now())
    transports: dict[str, str | None] = {}
    broker, backlog, safe = await _broker(spec, environment, transports)
    found: dict[ConditionType, Finding] = {
        ConditionType.BROKER_REACHABLE: broker,
        ConditionType.JOB_STORE_REACHABLE: await _job_store(spec, environment, transports),
        ConditionType.WORKERS_FOUND: await _judge(
            _look(spec, environment), Reason.WORKERS_FOUND, "all Deployments exist"
        ),
        ConditionType.PERMITTED: await _judge(
            environment.check_permissions(spec, _workers(spec)),
            Reason.PERMITTED,
            "the operator may act in this namespace",
        ),
        ConditionType.EVICTION_SAFE: safe,
    }
    found[ConditionType.TRANSPORT_VERIFIED] = transport(transports, servers=1 if spec.job_store is None else 2)
    return QueueTargetStatus(
        observed_generation=generation,
        checked_time=now,
        depth=backlog.line,
        queues=list(backlog.queues),
        unacked=backlog.unacked,
        unacked_not_counted=backlog.unacked_not_counted,
        oldest_unacked_time=backlog.oldest_unacked_time,
        conditions=conditions_of(by_one_cause(found), old, generation=generation, now=now),
    )


async def _broker(
    spec: QueueTargetSpec, environment: Environment, transports: dict[str, str | None]
) -> tuple[Finding, Backlog, Finding]:
    queues = [queue.name for queue in spec.queues]
    try:
        broker = await environment.broker(spec)
        transports["the broker"] = broker.unverified
        try:
            health = await broker.check()
            ready, held = await broker.depths(queues)
            unacked = await broker.unacked(queues) if held else NOTHING_HELD
        finally:
            await broker.aclose()
    except RecoveryError as error:
        return ("False", error.reason, with_origin(error, spec).message), Backlog(), BROKER_AWAY
    reachable: Finding = ("True", Reason.REACHABLE, "the broker answers")
    return reachable, backlog_of(ready, unacked, now=environment.now()), eviction(health.eviction_policy)


async def _job_store(spec: QueueTargetSpec, environment: Environment, transports: dict[str, str | None]) -> Finding:
    if spec.job_store is None:
        return "Unknown", Reason.NOT_CONFIGURED, "no jobStore: recoveries of this target write their jobs out"

    async def check() -> None:
        store = await environment.job_store(spec)
        transports["the job store"] = store.unverified
        try:
            await store.check()
        finally:
            await store.aclose()

    return await _judge(check(), Reason.REACHABLE, "the job store answers", spec)


async def _look(spec: QueueTargetSpec, environment: Environment) -> None:
    await environment.workers.paused(_workers(spec))


def _workers(spec: QueueTargetSpec) -> list[str]:
    return sorted({worker.name for queue in spec.queues for worker in queue.workers})


async def _judge(
    check: Awaitable[None], reason: Reason, message: str, target: QueueTargetSpec | None = None
) -> Finding:
    """Return what a check has found; `target` is the one whose server was asked."""
    try:
        await check
    except RecoveryError as error:
        return "False", error.reason, with_origin(error, target).message
    return "True", reason, message
