"""The log lines of a change of a recovery's status. Pure."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.controller.recovery_events import events_between


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the log, with the fields that depend on the status."""

    level: int
    phase: str
    reason: str
    text: str


def lines_between(before: QueueRecoveryStatus, after: QueueRecoveryStatus) -> Iterator[Line]:
    """Yield the lines of a change of status.

    Each event is a line. One more says that a recovery which has begun is going to fail or to be cancelled, because its
    workers may take long to come back. Progress, and another message for the same reason, are lines at DEBUG.
    """
    doing = find(after.conditions, ConditionType.READY)
    if doing is None or after.phase is None or doing.reason == Reason.INTERNAL_ERROR:
        return  # an unexpected error has a line with its place already
    phase = after.phase.value
    events = list(events_between(before, after))
    for event in events:
        level = logging.WARNING if event.type == "Warning" else logging.INFO
        text = event.note.removeprefix(f"{phase}: ")  # a field has it
        yield Line(level=level, phase=phase, reason=event.reason, text=text)
    if events:
        return
    gives_up = before.ending is None and after.ending is not None and after.ending.phase != "Succeeded"
    begins_to_end = gives_up and after.drain_start_time is not None
    if begins_to_end or after.message != before.message or after.jobs != before.jobs:
        level = logging.INFO if begins_to_end else logging.DEBUG
        yield Line(level=level, phase=phase, reason=doing.reason, text=after.message)
