"""A recovery's phase and summary conditions, as kstatus reads them, derived from its steps. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from queue_recovery.api.conditions import Condition, ConditionStatus, ConditionType, find, is_true, set_condition
from queue_recovery.api.recovery_status import Phase, QueueRecoveryStatus

_STEPS = (
    (ConditionType.RESTORED, Phase.RESTORING),
    (ConditionType.REENQUEUED, Phase.REENQUEUING),
    (ConditionType.CONSUMED, Phase.VERIFYING),
    (ConditionType.REDELIVERED, Phase.REDELIVERING),
    (ConditionType.RESTARTED, Phase.RESTARTING),
    (ConditionType.PURGED, Phase.PURGING),
    (ConditionType.DRAINED, Phase.DRAINING),
)

_NOT_COMPLETED = "not completed: the recovery has ended"

TERMINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})
"""The phases in which a recovery has ended."""


def timestamp(moment: datetime) -> str:
    """Format a time as Kubernetes does: RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Parse a time that `timestamp` formatted."""
    return datetime.fromisoformat(text)


def phase_of(status: QueueRecoveryStatus) -> Phase:
    """Return the phase: the terminal one, or that of the last step that has started."""
    succeeded = find(status.conditions, ConditionType.SUCCEEDED)
    if status.ending is not None and succeeded is not None and succeeded.status != "Unknown":
        return Phase(status.ending.phase)
    for kind, phase in _STEPS:
        if find(status.conditions, kind) is not None:
            return phase
    if status.plan is None:
        return Phase.PENDING
    suspended = is_true(status.conditions, ConditionType.SUSPENDED)
    return Phase.AWAITING_APPROVAL if awaits_approval(status) and not suspended else Phase.PLANNING


def awaits_approval(status: QueueRecoveryStatus) -> bool:
    """Tell whether an approval of the plan is awaited, before anything is touched."""
    approved = find(status.conditions, ConditionType.APPROVED)
    return approved is not None and approved.status == "False" and status.drain_start_time is None


def is_terminal(status: QueueRecoveryStatus) -> bool:
    """Tell whether the recovery has ended and its final status is written."""
    return phase_of(status) in TERMINAL


def set_step(
    status: QueueRecoveryStatus,
    kind: ConditionType,
    value: ConditionStatus,
    reason: str,
    message: str,
    *,
    now: datetime,
    generation: int,
) -> QueueRecoveryStatus:
    """Return the status with one condition set."""
    condition = Condition(
        type=kind,
        status=value,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=timestamp(now),
    )
    return status.model_copy(update={"conditions": set_condition(status.conditions, condition)})


def end_suspension(status: QueueRecoveryStatus, reason: str, *, now: datetime, generation: int) -> QueueRecoveryStatus:
    """Return the status with the condition Suspended False, if it is True."""
    if not is_true(status.conditions, ConditionType.SUSPENDED):
        return status
    return set_step(status, ConditionType.SUSPENDED, "False", reason, "", now=now, generation=generation)


def set_running(
    status: QueueRecoveryStatus, reason: str, message: str, *, now: datetime, generation: int
) -> QueueRecoveryStatus:
    """Return the status of a running recovery, which kstatus reads as InProgress."""
    values = _Summary(
        succeeded="Unknown", ready="False", reconciling="True", stalled="False", message_on=ConditionType.RECONCILING
    )
    return _summarise(status, values, reason, message, now=now, generation=generation)


def set_ended(status: QueueRecoveryStatus, *, now: datetime, generation: int) -> QueueRecoveryStatus:
    """Return the final status of a recovery with an ending.

    A cancelled one is Ready, because it has reached the state that its spec asks for. A failed one is Stalled,
    because kstatus reads only that as failed.
    """
    ending = status.ending
    if ending is None:
        raise ValueError("a recovery ends with an ending")
    ended = ending.model_copy(update={"message": ""})  # the final status has the message now
    status = status.model_copy(update={"completion_time": timestamp(now), "ending": ended})
    for kind in (ConditionType.APPROVED, *(kind for kind, _ in _STEPS)):
        if (step := find(status.conditions, kind)) is not None and step.status == "False":
            # What it says is under way has ended too.
            status = set_step(status, kind, "False", ending.reason, _NOT_COMPLETED, now=now, generation=generation)
    status = end_suspension(status, ending.reason, now=now, generation=generation)
    status = set_step(status, ConditionType.FINISHED, "True", ending.reason, "", now=now, generation=generation)
    values = _ENDED[ending.phase]
    return _summarise(status, values, ending.reason, ending.message, now=now, generation=generation)


def acknowledge(status: QueueRecoveryStatus, generation: int) -> QueueRecoveryStatus:
    """Return the final status with the generation of a newer spec.

    Otherwise kstatus would report a finished recovery whose `suspend` or `cancel` was set as InProgress indefinitely.
    """
    conditions = [c.model_copy(update={"observed_generation": generation}) for c in status.conditions]
    return status.model_copy(update={"observed_generation": generation, "conditions": conditions})


@dataclass(frozen=True, kw_only=True)
class _Summary:
    succeeded: ConditionStatus
    ready: ConditionStatus
    reconciling: ConditionStatus
    stalled: ConditionStatus
    message_on: ConditionType
    """The one condition with the message: that from which kstatus reads it."""


_ENDED: dict[str, _Summary] = {
    "Succeeded": _Summary(
        succeeded="True", ready="True", reconciling="False", stalled="False", message_on=ConditionType.SUCCEEDED
    ),
    "Cancelled": _Summary(
        succeeded="False", ready="True", reconciling="False", stalled="False", message_on=ConditionType.SUCCEEDED
    ),
    "Failed": _Summary(
        succeeded="False", ready="False", reconciling="False", stalled="True", message_on=ConditionType.STALLED
    ),
}


def _summarise(
    status: QueueRecoveryStatus, values: _Summary, reason: str, message: str, *, now: datetime, generation: int
) -> QueueRecoveryStatus:
    for kind, value in (
        (ConditionType.SUCCEEDED, values.succeeded),
        (ConditionType.READY, values.ready),
        (ConditionType.RECONCILING, values.reconciling),
        (ConditionType.STALLED, values.stalled),
    ):
        text = message if kind is values.message_on else ""
        status = set_step(status, kind, value, reason, text, now=now, generation=generation)
    return status.model_copy(
        update={"phase": phase_of(status), "message": message, "observed_generation": generation},
    )
