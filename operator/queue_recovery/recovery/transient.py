"""Hold a recovery whose evidence says that the errors are transient: what it would purge has only to be retried."""

from queue_recovery.api.diagnosis import Diagnosis
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Plan
from queue_recovery.diagnosis.sentences import sentence
from queue_recovery.recovery.errors import AwaitingChange
from queue_recovery.recovery.evidence import has_lost_errors
from queue_recovery.recovery.preparing import deadline_note
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.status import counted_so_far


async def hold_transient(recovery: Recovery, plan: Plan) -> None:
    """Write the plan of a recovery that is held, and raise AwaitingChange (`TransientErrors`); otherwise do nothing.

    It holds no lock and no turn. Evidence is read again at each resync only, because a plan reads all of `unacked`. The
    starting deadline goes on: what has waited long does not start by itself hours later.
    """
    if recovery.spec.suspend:
        return
    plan = _with_lost_evidence(plan, recovery.status.plan)
    if not await _is_held(recovery, plan):
        return
    recovery.turn.leave()
    message = _message(recovery, plan)
    noted = f"{deadline_note(recovery)}{message}"  # as the message of the error will be
    await recovery.save(
        progress=(Reason.TRANSIENT_ERRORS, noted), update={"plan": plan, "counted": counted_so_far(recovery.status)}
    )
    raise AwaitingChange(Reason.TRANSIENT_ERRORS, message)


async def is_held(recovery: Recovery) -> bool:
    """Tell whether the plan in the status is of a recovery that is held."""
    return recovery.status.plan is not None and await _is_held(recovery, recovery.status.plan)


async def _is_held(recovery: Recovery, plan: Plan) -> bool:
    """Tell whether the recovery would purge messages although the errors of at least half of the jobs are transient."""
    if not plan.purge or not is_retry_enough(plan.diagnosis):
        return False
    return (await recovery.target()).policy.diagnosis == "Hold"


def is_retry_enough(found: Diagnosis | None) -> bool:
    """Tell whether the errors are transient, as far as those of at least half of the jobs and messages say."""
    return found is not None and found.verdict == "Transient" and 2 * found.known >= found.of


def _with_lost_evidence(plan: Plan, before: Plan | None) -> Plan:
    """Return a plan with the diagnosis of the one before, if a source of that cannot be read now.

    The outage that makes jobs fail may be that source's too, and errors that cannot be read are still transient.
    """
    found, known = plan.diagnosis, None if before is None else before.diagnosis
    if found is None or known is None or not has_lost_errors(found, known):
        return plan
    return plan.model_copy(update={"diagnosis": known.model_copy(update={"missing": found.missing})})


def _message(recovery: Recovery, plan: Plan) -> str:
    target, namespace = recovery.spec.target_ref.name, recovery.resource.namespace
    why = sentence(plan.diagnosis) if plan.diagnosis is not None else ""
    why = f"{why[:1].lower()}{why[1:]}"
    patch = '{"spec":{"policy":{"diagnosis":"Ignore"}}}'
    return (
        f"{why}. Nothing is purged meanwhile. Wait for what the jobs depend on, or correct it, and let Celery retry; "
        "enqueue jobs that have failed for good with a recovery whose purge.mode is None. To purge all the same, set "
        "policy.diagnosis to Ignore, which counts for all queues of the target, and set it back to Hold afterwards: "
        f"kubectl patch qt/{target} -n {namespace} --type=merge -p '{patch}'"
    )
