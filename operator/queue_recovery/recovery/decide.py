"""The next action of a recovery. Pure: depends on the spec, the status and the time alone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final

from queue_recovery.api.conditions import ConditionType, find, is_true
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Ending, QueueRecoveryStatus
from queue_recovery.api.target import Limits
from queue_recovery.recovery.phase import awaits_approval, is_terminal, moment

UNLESS_RESOLVED: Final = " unless this is resolved: "
"""Separates the deadline from the reason for waiting in a message."""


class Action(Enum):
    """One step of a recovery. Each starts by reading the current state, so each may be entered again."""

    PLAN = auto()
    PLAN_RESTORE = auto()
    PLAN_REDELIVERY = auto()
    HOLD = auto()
    AWAIT_APPROVAL = auto()
    RESUME = auto()
    RECORD_INTENT = auto()
    DRAIN = auto()
    PURGE = auto()
    RESTART = auto()
    REDELIVER = auto()
    VERIFY = auto()
    REENQUEUE = auto()
    RESTORE = auto()
    END = auto()
    NOTHING = auto()


_STEPS = {
    ConditionType.DRAINED: Action.DRAIN,
    ConditionType.PURGED: Action.PURGE,
    ConditionType.RESTARTED: Action.RESTART,
    ConditionType.REDELIVERED: Action.REDELIVER,
    ConditionType.CONSUMED: Action.VERIFY,
    ConditionType.REENQUEUED: Action.REENQUEUE,
}
"""The steps in their order; not every recovery has all of them."""


def _steps_of(spec: QueueRecoverySpec) -> list[ConditionType]:
    """Return the steps of a recovery in their order."""
    left_out = {
        ConditionType.REDELIVERED: spec.redeliver is None,
        ConditionType.CONSUMED: not spec.restart.annotate or spec.purge.mode != "None",
    }
    return [kind for kind in _STEPS if not left_out.get(kind)]


def next_after(spec: QueueRecoverySpec, kind: ConditionType) -> ConditionType:
    """Return the step that follows another one."""
    steps = _steps_of(spec)
    return steps[steps.index(kind) + 1]


def decide(spec: QueueRecoverySpec, status: QueueRecoveryStatus) -> Action:
    """Return the next action of a recovery; an ending that is decided is in its status.

    `suspend` takes effect after the plan and between jobs, never while workers are at 0. A recovery that is resumed
    before its drain has its starting deadline from then on, whether it had a plan or not.
    """
    if is_terminal(status):
        return Action.NOTHING
    if status.ending is not None:
        return Action.END
    if status.drain_start_time is None:
        return _first_step(spec, status)
    return Action.RESTORE if spec.restore_from is not None else _next_step(spec, status)


def _first_step(spec: QueueRecoverySpec, status: QueueRecoveryStatus) -> Action:
    if _is_suspended(status) and not spec.suspend:
        return Action.RESUME
    if status.plan is None:
        return _plan_of(spec)
    if spec.suspend:
        return Action.HOLD
    return Action.AWAIT_APPROVAL if awaits_approval(status) else Action.RECORD_INTENT


def _plan_of(spec: QueueRecoverySpec) -> Action:
    if spec.restore_from is not None:
        return Action.PLAN_RESTORE
    return Action.PLAN if spec.redeliver is None else Action.PLAN_REDELIVERY


def _next_step(spec: QueueRecoverySpec, status: QueueRecoveryStatus) -> Action:
    action = next((_STEPS[kind] for kind in _steps_of(spec) if not _is_done(status, kind)), Action.END)
    return Action.HOLD if spec.suspend and action is Action.REENQUEUE else action


def _is_done(status: QueueRecoveryStatus, kind: ConditionType) -> bool:
    """Tell whether a step is done; that it cannot be determined whether messages are consumed is a result, too."""
    found = find(status.conditions, kind)
    return found is not None and (found.status == "True" or (kind, found.status) == (ConditionType.CONSUMED, "Unknown"))


def forced_ending(
    spec: QueueRecoverySpec, status: QueueRecoveryStatus, *, created: datetime, deleting: bool, now: datetime
) -> Ending | None:
    """Return the ending if the recovery has to end now, in any step; None: it does not."""
    if is_terminal(status) or status.ending is not None:
        return None
    if deleting:
        return Ending(phase="Cancelled", reason=Reason.DELETED, message="the recovery was deleted while it was running")
    if spec.cancel:
        return Ending(phase="Cancelled", reason=Reason.CANCEL_REQUESTED, message="cancelled by spec.cancel")
    until = deadline(spec, status, created=created)
    return None if until is None or now < until else _too_late(spec, status, now)


def _too_late(spec: QueueRecoverySpec, status: QueueRecoveryStatus, now: datetime) -> Ending:
    """Return the ending of a recovery whose deadline has passed."""
    last = find(status.conditions, ConditionType.RECONCILING)
    waited_for = ""
    if last is not None and last.reason != Reason.SUSPENDED:
        waited_for = f" It last reported: {last.message.rpartition(UNLESS_RESOLVED)[2]}"
    if status.drain_start_time is not None:
        held = ", for part of which it was suspended" if _was_held(status) else ""
        within = f"within {_seconds(spec, status).active} s of the start of the drain"
        message = f"did not finish {within}{held}.{waited_for}"
        return Ending(phase="Failed", reason=Reason.ACTIVE_DEADLINE_EXCEEDED, message=message)
    not_after = _not_after(spec)
    if not_after is not None and now >= not_after:
        message = (
            f"did not start before spec.notAfter ({spec.not_after}); nothing was touched.{waited_for} To run it all "
            "the same, create a recovery with another name and a later notAfter"
        )
        return Ending(phase="Failed", reason=Reason.NOT_AFTER_PASSED, message=message)
    message = f"did not start within {_seconds(spec, status).starting} s; nothing was touched.{waited_for}"
    return Ending(phase="Failed", reason=Reason.STARTING_DEADLINE_EXCEEDED, message=message)


def deadline(spec: QueueRecoverySpec, status: QueueRecoveryStatus, *, created: datetime) -> datetime | None:
    """Return the deadline, before the drain or from it on; None: suspended, not resumed yet, or not approved yet."""
    seconds = _seconds(spec, status)
    if status.drain_start_time is not None:
        return moment(status.drain_start_time) + timedelta(seconds=seconds.active)
    not_after = _not_after(spec)
    if spec.suspend or _is_suspended(status) or awaits_approval(status):
        return not_after
    began = created if status.resume_time is None else moment(status.resume_time)
    until = began + timedelta(seconds=seconds.starting)
    return until if not_after is None else min(until, not_after)


def _not_after(spec: QueueRecoverySpec) -> datetime | None:
    """Return `notAfter`; the API server also accepts a time without a zone, which is in UTC."""
    if spec.not_after is None:
        return None
    parsed = moment(spec.not_after.upper())
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


@dataclass(frozen=True)
class _Seconds:
    starting: int
    active: int


def _seconds(spec: QueueRecoverySpec, status: QueueRecoveryStatus) -> _Seconds:
    """Return the deadlines: those of the spec, or the target's limits where they are shorter."""
    limits = Limits() if status.plan is None else status.plan.limits
    starting, active = spec.starting_deadline_seconds, spec.active_deadline_seconds
    return _Seconds(
        starting=min(starting, limits.starting_deadline_seconds or starting),
        active=min(active, limits.active_deadline_seconds or active),
    )


def _is_suspended(status: QueueRecoveryStatus) -> bool:
    """Tell whether the status says that the recovery is suspended, whether it has a plan or not."""
    return is_true(status.conditions, ConditionType.SUSPENDED)


def _was_held(status: QueueRecoveryStatus) -> bool:
    last = find(status.conditions, ConditionType.RECONCILING)
    return last is not None and last.reason == Reason.SUSPENDED
