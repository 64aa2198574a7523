"""Hold a proposed recovery whose cause is over: it would harm a queue that is healthy by now."""

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Plan
from queue_recovery.api.stuck import PROPOSED_FOR
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.diagnosis.proposal import proposal_name
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.preparing import deadline_note
from queue_recovery.recovery.recovery import Recovery


def is_reported(status: QueueTargetStatus, name: str, *, target: str, queue: str, cause: str) -> bool | None:
    """Tell whether a target's status reports the cause for which a recovery was proposed; None: it does not tell.

    A later incident of the same cause has another proposal. Right after its creation, a proposal is not in the status
    yet; its name tells of which incident it is.

    Args:
        status: of the target.
        name: of the recovery.
        target: name of the target.
        queue: that the recovery is for.
        cause: for which the recovery was proposed.
    """
    stuck = find(status.conditions, ConditionType.STUCK)
    if stuck is None or stuck.status == "Unknown":
        return None
    return any(
        one.reason == cause and name == (one.proposal or proposal_name(target, queue, cause, one.since))
        for of_queue in status.queues
        if of_queue.name == queue
        for one in of_queue.stuck
    )


async def hold_without_cause(recovery: Recovery, plan: Plan | None = None) -> None:
    """Raise RecoveryError (`CauseOver`, `CauseUnknown`) unless the cause of a proposed recovery is still reported.

    Without its label it runs all the same. The check is made until the intent is recorded, and never after: what the
    recovery does then ends the cause, and nothing is reported of a queue that a recovery holds. It holds no lock and
    no turn meanwhile. The starting deadline goes on, as for every recovery that is held.

    Args:
        recovery: the recovery; one that is suspended, or that was not proposed, is not held.
        plan: what to write to its status with the reason; None: that has a plan.
    """
    if not recovery.resource.desired.proposed_for or recovery.spec.suspend:
        return
    report = await recovery.environment.target_report(recovery.spec.target_ref.name)
    found = _is_reported(recovery, report.status) if report.is_current else None
    if found:
        return
    recovery.turn.leave()
    error: RecoveryError = AwaitingChange(Reason.CAUSE_OVER, _over(recovery))
    if found is None:
        error = RecoveryError(Reason.CAUSE_UNKNOWN, _unknown(recovery))
    if plan is not None:
        noted = f"{deadline_note(recovery)}{error.message}"  # as the message of the error will be
        await recovery.save(progress=(error.reason, noted), update={"plan": plan})
    raise error


async def why_held(recovery: Recovery) -> str | None:
    """Return why a suspended recovery would be held, and what to do, as a sentence; None: it would not be."""
    if not recovery.resource.desired.proposed_for:
        return None
    report = await recovery.environment.target_report(recovery.spec.target_ref.name)
    if _is_reported(recovery, report.status) is not False:
        return None
    message = _over(recovery)
    return f"{message[:1].upper()}{message[1:]}"


def _is_reported(recovery: Recovery, status: QueueTargetStatus) -> bool | None:
    spec, cause = recovery.spec, recovery.resource.desired.proposed_for
    return is_reported(status, recovery.resource.name, target=spec.target_ref.name, queue=spec.queue, cause=cause)


def _over(recovery: Recovery) -> str:
    spec, resource = recovery.spec, recovery.resource
    return (
        f'the cause for which this recovery was proposed is over: target "{spec.target_ref.name}" no longer reports '
        f'{resource.desired.proposed_for} for queue "{spec.queue}". Delete it: kubectl delete qr/{resource.name} '
        f"-n {resource.namespace}. To run it all the same, remove its label: {_unlabel(recovery)}"
    )


def _unknown(recovery: Recovery) -> str:
    spec, cause = recovery.spec, recovery.resource.desired.proposed_for
    return (
        f'the status of target "{spec.target_ref.name}" does not tell whether queue "{spec.queue}" is still stuck for '
        f"the cause for which this recovery was proposed ({cause}): the broker was away at the last check, or the "
        "operator has just started, or the target was just edited. Wait for the next checks. To start it without them, "
        f"remove its label: {_unlabel(recovery)}"
    )


def _unlabel(recovery: Recovery) -> str:
    return f"kubectl label qr/{recovery.resource.name} -n {recovery.resource.namespace} {PROPOSED_FOR}-"
