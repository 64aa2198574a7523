"""One check of a target: all that `kubectl get queuetargets` shows."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus
from queue_recovery.controller.evidence_check import check_evidence
from queue_recovery.controller.queue_depths import NOTHING_UNACKED, QueueDepths, queue_depths
from queue_recovery.controller.run_time_status import run_time_verdict
from queue_recovery.controller.started_tasks import started_tasks
from queue_recovery.controller.stuck_status import eta_verdict, longest_etas, stuck_verdict, with_stuck
from queue_recovery.controller.stuck_watch import Findings, StuckQueues, StuckWatch, looks_at
from queue_recovery.controller.target_conditions import (
    NO_BROKER,
    Verdict,
    conditions_of,
    eviction_verdict,
    transport_verdict,
    with_ready,
)
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.origins import with_origin
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.environment import Environment

Propose = Callable[[StuckWatch, Findings], Awaitable[None]]
"""Proposes recoveries for what a watch has found, and has it tell of them. Raises nothing."""


async def check_target(
    spec: QueueTargetSpec,
    old: QueueTargetStatus,
    environment: Environment,
    *,
    generation: int,
    watch: StuckWatch | None = None,
    propose: Propose | None = None,
) -> QueueTargetStatus:
    """Check everything that a recovery of this target would need.

    Errors of servers are conditions, and not raised. What it costs the broker is bounded, however many messages are in
    its queues and in `unacked`.

    Args:
        spec: of the target.
        old: its status so far.
        environment: its namespace.
        generation: of the spec.
        watch: the earlier looks at its queues; None: there are none.
        propose: proposes recoveries for what the watch has found; None: nothing is proposed.
    """
    now = timestamp(environment.now())
    transports: dict[str, str | None] = {}
    watch = watch or StuckWatch()
    watch.begin(spec, old.queues)
    evidence = find(old.conditions, ConditionType.EVIDENCE_READABLE)
    are_readable = evidence is not None and evidence.reason in {Reason.EVIDENCE_READABLE, Reason.INVALID_RULE}
    reads_results = spec.diagnosis.results is not None and are_readable
    broker = await _check_broker(spec, environment, transports, watch, propose, reads_results=reads_results)
    workers = sorted({worker for queue in spec.queues for worker in queue.workers})
    verdicts: dict[ConditionType, Verdict] = {
        **broker.verdicts,
        ConditionType.JOB_STORE_REACHABLE: await _check_job_store(spec, environment, transports),
        ConditionType.WORKERS_FOUND: await _verdict_of(
            environment.workers.outline(workers), Reason.WORKERS_FOUND, "all workers exist"
        ),
        ConditionType.PERMITTED: await _verdict_of(
            environment.check_permissions(spec, workers),
            Reason.PERMITTED,
            "the operator has its permissions in this namespace",
        ),
    }
    reachable = broker.verdicts[ConditionType.BROKER_REACHABLE][0] == "True"
    readable = await check_evidence(spec, environment, is_broker_usable=reachable)
    if readable is not None:
        verdicts[ConditionType.EVIDENCE_READABLE] = readable
    verdicts[ConditionType.TRANSPORT_VERIFIED] = transport_verdict(transports, servers=2 if spec.job_store else 1)
    return QueueTargetStatus(
        observed_generation=generation,
        checked_time=now,
        depth=broker.depths.line,
        queues=[with_stuck(queue, broker.stuck) for queue in broker.depths.queues],
        unacked=broker.depths.unacked,
        unacked_not_counted=broker.depths.unacked_not_counted,
        oldest_unacked_time=broker.depths.oldest_unacked_time,
        ledger=old.ledger,
        conditions=conditions_of(with_ready(verdicts), old, generation=generation, now=now),
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the check of a broker has found."""

    verdicts: Mapping[ConditionType, Verdict]
    depths: QueueDepths = field(default_factory=QueueDepths)
    stuck: StuckQueues = field(default_factory=dict)


async def _check_broker(
    spec: QueueTargetSpec,
    environment: Environment,
    transports: dict[str, str | None],
    watch: StuckWatch,
    propose: Propose | None,
    *,
    reads_results: bool,
) -> _Found:
    queues = [queue.name for queue in spec.queues]
    try:
        broker = await environment.broker(spec)
        transports["the broker"] = broker.unverified
        try:
            health = await broker.check()
            ready, held = await broker.depths(queues)
            unacked = await broker.unacked(queues) if held else NOTHING_UNACKED
            now = environment.now()
            looks = await looks_at(spec, broker, ready, unacked)
            uptime = health.uptime_seconds
            started = await started_tasks(spec, environment, looks, uptime_seconds=uptime) if reads_results else None
            found = await watch.look(spec, looks, broker, environment.workers, at=now, started=started)
        finally:
            await broker.aclose()
    except RecoveryError as error:
        refused: Verdict = ("False", error.reason, with_origin(error, spec).message)
        unknown = dict.fromkeys((ConditionType.EVICTION_SAFE, ConditionType.STUCK), NO_BROKER)
        return _Found(verdicts={ConditionType.BROKER_REACHABLE: refused, **unknown})
    if propose is not None:
        await propose(watch, found)
    verdicts: dict[ConditionType, Verdict] = {
        ConditionType.BROKER_REACHABLE: ("True", Reason.REACHABLE, "the broker answers"),
        ConditionType.EVICTION_SAFE: eviction_verdict(health.eviction_policy),
        ConditionType.STUCK: stuck_verdict(watch.stuck),
    }
    timeout = spec.broker.transport_options.visibility_timeout_seconds
    if timeout is not None:
        verdicts[ConditionType.ETAS_VISIBLE] = eta_verdict(longest_etas(looks), timeout)
    if spec.diagnosis.results is not None:
        verdicts[ConditionType.RUN_TIMES_ALLOWED] = run_time_verdict(watch.run_times, timeout)
    return _Found(verdicts=verdicts, depths=queue_depths(ready, unacked, now=now), stuck=watch.stuck)


async def _check_job_store(
    spec: QueueTargetSpec, environment: Environment, transports: dict[str, str | None]
) -> Verdict:
    if spec.job_store is None:
        message = "the target has no jobStore, so its recoveries list the task and the arguments of each job"
        return "Unknown", Reason.NOT_CONFIGURED, message

    async def check() -> None:
        store = await environment.job_store(spec)
        transports["the job store"] = store.unverified
        try:
            await store.check()
        finally:
            await store.aclose()

    return await _verdict_of(check(), Reason.REACHABLE, "the job store answers", spec)


async def _verdict_of(
    check: Awaitable[object], reason: Reason, message: str, target: QueueTargetSpec | None = None
) -> Verdict:
    """Return what a check has found.

    Args:
        check: raises RecoveryError when it fails.
        reason: of the condition where the check succeeds.
        message: the same.
        target: the target whose server is checked, to name the Secret of its URL.
    """
    try:
        await check
    except RecoveryError as error:
        return "False", error.reason, with_origin(error, target).message
    return "True", reason, message
