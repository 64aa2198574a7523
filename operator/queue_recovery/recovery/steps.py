"""Which steps follow a recovery's restart, as its spec asks for them, and how the status says that one begins."""

from dataclasses import dataclass
from datetime import timedelta

from queue_recovery.api.conditions import ConditionStatus, ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.decide import UNLESS_RESOLVED, next_after
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.recovery import Recovery


@dataclass(frozen=True)
class Begun:
    """The status of a recovery at the start of a step."""

    condition: tuple[ConditionType, ConditionStatus, str, str]
    progress: tuple[str, str]


def begun_after(recovery: Recovery, kind: ConditionType) -> Begun:
    """Return how the status says that the step begins which follows this one."""
    match next_after(recovery.spec, kind):
        case ConditionType.REDELIVERED as following:
            return _begun(following, Reason.REDELIVERING, "giving back the messages whose consumer is gone")
        case ConditionType.CONSUMED as following:
            return _verifying(recovery, following)
        case following:
            if not recovery.spec.jobs:
                return _begun(following, Reason.REENQUEUING, "no job is listed")
            return Begun(
                (following, "False", Reason.REENQUEUING, "not every listed job is enqueued"),
                (Reason.REENQUEUING, "enqueuing the listed jobs"),
            )


def _verifying(recovery: Recovery, kind: ConditionType) -> Begun:
    message = "waiting until the restarted workers consume messages"
    until = recovery.environment.now() + timedelta(seconds=recovery.spec.restart.consumption_deadline_seconds)
    until = min(until, recovery.deadline or until)
    return Begun(
        (kind, "False", Reason.VERIFYING, message),
        (Reason.VERIFYING, f"fails at {timestamp(until)}{UNLESS_RESOLVED}{message}"),
    )


def _begun(kind: ConditionType, reason: Reason, message: str) -> Begun:
    return Begun((kind, "False", reason, message), (reason, message))
