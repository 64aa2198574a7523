"""The changes of a recovery's status that are worth an event. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeGuard

from queue_recovery.api.canvas import Canvas
from queue_recovery.api.conditions import Condition, ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Plan, QueueRecoveryStatus
from queue_recovery.controller.event_poster import Event
from queue_recovery.recovery.figures import unreplaced_note
from queue_recovery.recovery.phase import is_terminal
from queue_recovery.recovery.replica_owners import owners_note
from queue_recovery.recovery.wording import counted

_WARNINGS: Final = frozenset(str(reason) for reason in Reason if reason.outcome.warns)

_STEP_WARNINGS: Final = (
    (ConditionType.RESTARTED, Reason.WORKERS_AT_ZERO),
    (ConditionType.REDELIVERED, Reason.MAY_BE_HELD),
    (ConditionType.CONSUMED, Reason.CONSUMPTION_UNKNOWN),
)
"""The results of steps that are worth a warning."""


def events_between(before: QueueRecoveryStatus, after: QueueRecoveryStatus) -> Iterator[Event]:
    """Yield the events of a change of status.

    These are a new phase, a new reason, canvas that is lost, replicas that a tool applies, a step's result that is
    worth a warning, and messages that no job replaces.
    """
    doing = find(after.conditions, ConditionType.READY)
    if doing is None or after.phase is None:
        return
    if after.ending is not None and doing.reason == after.ending.reason and not is_terminal(after):
        return  # the terminal status has the event
    was = find(before.conditions, ConditionType.READY)
    if after.phase != before.phase:
        yield _event(doing.reason, f"{after.phase.value}: {after.message}")
    elif was is None or doing.reason != was.reason:
        yield _event(doing.reason, after.message)
    if after.plan is not None and after.plan != before.plan and (note := _canvas_lost(after.plan)):
        yield _event(Reason.BREAKS_CANVAS, note)
    if after.plan is not None and after.plan != before.plan and after.plan.replica_owners:
        yield _event(Reason.REPLICAS_APPLIED, owners_note(after.plan.replica_owners))
    for kind, reason in _STEP_WARNINGS:
        step = find(after.conditions, kind)
        if _has(step, reason) and not _has(find(before.conditions, kind), reason):
            yield _event(reason, step.message)
    if is_terminal(after) and not is_terminal(before) and (note := unreplaced_note(after)):
        yield _event(Reason.NOT_REPLACED, note)


def _has(step: Condition | None, reason: Reason) -> TypeGuard[Condition]:
    return step is not None and step.reason == reason


def _event(reason: str, note: str) -> Event:
    return Event(type="Warning" if reason in _WARNINGS else "Normal", reason=reason, note=note)


def _canvas_lost(plan: Plan) -> str | None:
    """Describe what will not run once the plan's messages are taken; None: nothing."""
    canvas = plan.canvas
    if canvas is None:
        return None
    lost = [f"{count} {one if count == 1 else many}" for count, one, many in _effects(canvas) if count]
    if not lost:
        return None
    aside = []
    if canvas.looked_at < plan.purge:
        aside.append(f"{canvas.looked_at} examined")
    if canvas.unreadable:
        aside.append(f"{canvas.unreadable} with an unreadable body")
    examined = f" ({', '.join(aside)})" if aside else ""
    return (
        f"of {counted(plan.purge, 'message')} to be taken{examined}: {'; '.join(lost)}. The quarantined messages still "
        "carry all of it, but the new tasks do not: start what follows them yourself"
    )


def _effects(canvas: Canvas) -> Sequence[tuple[int, str, str]]:
    """Return how many messages are affected, and the effect on one and on many."""
    return (
        (
            canvas.chords,
            "is a member of a chord, whose body will never run",
            "are members of chords, whose bodies will never run",
        ),
        (
            canvas.groups,
            "is a member of a group, whose result stays incomplete",
            "are members of groups, whose results stay incomplete",
        ),
        (
            canvas.chains,
            "carries the rest of a chain, which will not run",
            "carry the rest of a chain, which will not run",
        ),
        (
            canvas.callbacks,
            "carries callbacks or errbacks, which will not run",
            "carry callbacks or errbacks, which will not run",
        ),
    )
