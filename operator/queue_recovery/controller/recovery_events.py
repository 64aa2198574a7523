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
from queue_recovery.recovery.wording import counted

_WARNINGS: Final = frozenset(str(reason) for reason in Reason if reason.outcome.warns)


def events_between(before: QueueRecoveryStatus, after: QueueRecoveryStatus) -> Iterator[Event]:
    """Yield the events of a change of status.

    These are a new phase, a new reason, canvas that is lost, workers at 0, and messages that no job replaces.
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
    restarted = find(after.conditions, ConditionType.RESTARTED)
    if _is_at_zero(restarted) and not _is_at_zero(find(before.conditions, ConditionType.RESTARTED)):
        yield _event(Reason.WORKERS_AT_ZERO, restarted.message)
    if is_terminal(after) and not is_terminal(before) and (note := unreplaced_note(after)):
        yield _event(Reason.NOT_REPLACED, note)


def _is_at_zero(restarted: Condition | None) -> TypeGuard[Condition]:
    return restarted is not None and restarted.reason == Reason.WORKERS_AT_ZERO


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
