"""Holding: the message of a suspended recovery, with its plan or progress and the locks it holds."""

from collections.abc import Sequence
from contextlib import suppress

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import JobTotals, Plan
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.cause import why_held
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.found import describe
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.preparing import is_preparing
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.status import counted_so_far
from queue_recovery.recovery.stranded import describe_redelivery
from queue_recovery.recovery.transient import is_held
from queue_recovery.recovery.wording import counted, quoted

_GO_ON = "To continue, set spec.suspend to false; to end the recovery, set spec.cancel to true"

_HELD_NEXT = (
    "Once spec.suspend is false, the recovery is held while the errors are transient, unless policy.diagnosis of the "
    "target is Ignore; to end the recovery, set spec.cancel to true"
)


async def hold(recovery: Recovery) -> None:
    """Write to the status that the recovery is suspended."""
    if is_preparing(recovery):
        await recovery.wait_for(Reason.SUSPENDED, f"suspended: {await _plan(recovery)}. {await _go_on(recovery)}")
        return
    jobs = recovery.status.jobs
    with suppress(RecoveryError):  # an unavailable broker does not delay the message
        enqueued = len(await (await recovery.run()).pushed())
        jobs = JobTotals.counted(jobs.total, enqueued=enqueued, skipped=len(recovery.status.skipped))
    left = jobs.total - jobs.enqueued - jobs.skipped
    queues = quoted(recovery.covered)
    fails = f", and the recovery fails at {timestamp(recovery.deadline)}" if recovery.deadline else ""
    message = (
        f"suspended: {jobs.enqueued} of {counted(jobs.total, 'job')} enqueued, {left} to go; the workers are running. "
        f"Until it is resumed, the lock of {queues} is held{fails}. {_GO_ON}"
    )
    await recovery.save(progress=(Reason.SUSPENDED, message), update={"jobs": jobs})


async def _go_on(recovery: Recovery) -> str:
    with suppress(RecoveryError):  # a target that cannot be read does not delay the message
        return await why_held(recovery) or (_HELD_NEXT if await is_held(recovery) else _GO_ON)
    return _GO_ON


async def _plan(recovery: Recovery) -> str:
    plan, workers = recovery.status.plan, list[WorkerRef]()
    if plan is None:
        return "nothing is planned yet"
    if recovery.restarts_workers:
        with suppress(RecoveryError):  # a target that cannot be read does not delay the message
            workers = workers_of((await recovery.queues()).values())
    return describe_plan(recovery.spec, plan, workers, counted_before=counted_so_far(recovery.status))


def describe_plan(spec: QueueRecoverySpec, plan: Plan, workers: Sequence[WorkerRef], *, counted_before: int) -> str:
    """Describe a plan that is in the status; `workers` and `counted_before`: as in `found.describe`."""
    if spec.restore_from is not None:
        listed = len(plan.quarantined or ())
        first = f"the first {listed} of them " if listed < plan.restore else ""
        said = f"would put back {plan.restore} of {counted(plan.ready, 'message')}"
        return f"{said}, {first}listed in status.plan.quarantined" if listed else said
    if spec.redeliver is not None:
        return describe_redelivery(spec, plan, workers)
    skipped = plan.examples.skip if plan.examples else []
    return describe(spec, plan, skipped, workers=workers, counted_before=counted_before)[1]
