"""One look at a target: what `kubectl get queuetargets` shows."""

from collections.abc import Awaitable, Mapping

from queue_recovery.api.conditions import Condition, ConditionStatus, ConditionType, set_condition
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueDepth, QueueTargetSpec, QueueTargetStatus
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.world import World

_WARNINGS = {ConditionType.EVICTION_SAFE, ConditionType.TRANSPORT_VERIFIED}
"""What does not keep a target from being ready."""

Finding = tuple[ConditionStatus, str, str]
"""Status, reason and message of a condition."""


async def survey(spec: QueueTargetSpec, old: QueueTargetStatus, world: World, *, generation: int) -> QueueTargetStatus:
    """Look at everything that a recovery of this target would need; raises nothing that a server causes.

    Costs the broker a fixed number of O(1) commands, however much is in its queues.
    """
    now = timestamp(world.now())
    transports: dict[str, str | None] = {}
    broker, depths, unacked, eviction = await _broker(spec, world, transports)
    findings: dict[ConditionType, Finding] = {
        ConditionType.BROKER_REACHABLE: broker,
        ConditionType.JOB_STORE_REACHABLE: await _job_store(spec, world, transports),
        ConditionType.WORKERS_FOUND: await _judge(_look(spec, world), Reason.WORKERS_FOUND, "all Deployments exist"),
        ConditionType.PERMITTED: await _judge(
            world.check_permissions(spec, _workers(spec)), Reason.PERMITTED, "the operator may act in this namespace"
        ),
        ConditionType.EVICTION_SAFE: eviction,
    }
    findings[ConditionType.TRANSPORT_VERIFIED] = _transport(spec, transports)
    bad = [f for kind, f in findings.items() if f[0] == "False" and kind not in _WARNINGS]
    findings[ConditionType.READY] = bad[0] if bad else ("True", Reason.USABLE, "queues of this target can be recovered")
    conditions: list[Condition] = []
    for kind, (status, reason, message) in findings.items():
        new = Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            observed_generation=generation,
            last_transition_time=now,
        )
        known = [c for c in old.conditions if c.type == kind]
        conditions += set_condition(known, new)
    return QueueTargetStatus(
        observed_generation=generation,
        checked_time=now,
        depth=" ".join(f"{q.name}={q.ready}" for q in depths)[:4096],
        queues=depths,
        unacked=unacked,
        conditions=conditions,
    )


async def _broker(
    spec: QueueTargetSpec, world: World, transports: dict[str, str | None]
) -> tuple[Finding, list[QueueDepth], int | None, Finding]:
    unknown: Finding = ("Unknown", Reason.EVICTION_UNKNOWN, "the broker does not tell its maxmemory-policy")
    try:
        broker = await world.broker(spec)
        transports["the broker"] = broker.unverified
        try:
            health = await broker.check()
            depths, unacked = await broker.depths([q.name for q in spec.queues])
        finally:
            await broker.aclose()
    except RecoveryError as error:
        return ("False", error.reason, error.message), [], None, unknown
    eviction = unknown
    if health.eviction_policy == "noeviction":
        eviction = ("True", Reason.NO_EVICTION, "the broker never evicts keys")
    elif health.eviction_policy is not None:
        message = (
            f"maxmemory-policy is {health.eviction_policy}: under memory pressure the broker may drop queues, unacked "
            "messages and quarantines; set it to noeviction"
        )
        eviction = ("False", Reason.EVICTION_POSSIBLE, message)
    queues = [QueueDepth(name=name, ready=depth) for name, depth in depths.items()]
    return ("True", Reason.REACHABLE, "the broker answers"), queues, unacked, eviction


async def _job_store(spec: QueueTargetSpec, world: World, transports: dict[str, str | None]) -> Finding:
    if spec.job_store is None:
        return "Unknown", Reason.NOT_CONFIGURED, "no jobStore: recoveries of this target write their jobs out"

    async def check() -> None:
        store = await world.job_store(spec)
        transports["the job store"] = store.unverified
        try:
            await store.check()
        finally:
            await store.aclose()

    return await _judge(check(), Reason.REACHABLE, "the job store answers")


def _transport(spec: QueueTargetSpec, transports: Mapping[str, str | None]) -> Finding:
    """Judge by how the operator speaks to those of the two servers whose URLs it could read."""
    off = [f"to {server} {how}" for server, how in transports.items() if how is not None]
    if off:
        message = (
            f"the operator speaks {' and '.join(off)}: a host on the way can read and change what is sent. Use "
            "rediss:// for the broker and tls=true for the job store, and name the authority by caSecretRef"
        )
        return "False", Reason.NOT_VERIFIED, message
    if len(transports) < (1 if spec.job_store is None else 2):
        return "Unknown", Reason.VERIFICATION_UNKNOWN, "a URL cannot be used yet: see the other conditions"
    return "True", Reason.VERIFIED, "certificates and hosts are checked"


async def _look(spec: QueueTargetSpec, world: World) -> None:
    await world.workers.paused(_workers(spec))


def _workers(spec: QueueTargetSpec) -> list[str]:
    return sorted({worker.name for queue in spec.queues for worker in queue.workers})


async def _judge(check: Awaitable[None], reason: Reason, message: str) -> Finding:
    try:
        await check
    except RecoveryError as error:
        return "False", error.reason, error.message
    return "True", reason, message
