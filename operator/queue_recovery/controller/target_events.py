"""Which changes of a target's conditions are worth an event, and when they are told."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from queue_recovery.api.conditions import Condition, ConditionType, find
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller.event_poster import Event

_SECONDS_BETWEEN = 10.0
"""Between two times at which changes of one target are told: its owner can cause one by each change of its spec."""

Announce = Callable[[str, str, str, Event], None]
"""Takes namespace, name and UID of a target, and an event."""


@dataclass(frozen=True)
class _Told:
    uid: str
    status: QueueTargetStatus
    at: float


class Announcer:
    """Tells what has changed in each target since it was last told of.

    Changes that come sooner after others than `_SECONDS_BETWEEN` are told together, with a later look.
    """

    def __init__(self, announce: Announce, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what posts an event, and a clock that tells seconds."""
        self._announce = announce
        self._clock = clock
        self._told: dict[tuple[str, str], _Told] = {}

    def stored(self, namespace: str, name: str, uid: str, before: QueueTargetStatus, after: QueueTargetStatus) -> None:
        """Tell of the changes in a status that has just been written; `before` is what another process has told."""
        told = self._told.get((namespace, name))
        if told is None or told.uid != uid:
            told = _Told(uid, before, -math.inf)
        now = self._clock()
        events = list(target_events_between(told.status, after))
        if events and now - told.at < _SECONDS_BETWEEN:
            return
        self._told[namespace, name] = _Told(uid, after, now if events else told.at)
        for event in events:
            self._announce(namespace, name, uid, event)

    def forget(self, namespace: str, name: str) -> None:
        """Forget a target that is gone."""
        self._told.pop((namespace, name), None)


def target_events_between(before: QueueTargetStatus, after: QueueTargetStatus) -> Iterator[Event]:
    """Yield one event for each cause that came or went between two looks.

    A condition that became False or has another reason is a Warning; one that was False and is True again, and a target
    that became ready, are Normal. What is Unknown was not looked at, so the condition that is in the way tells of it.

    Pure.
    """
    for condition in after.conditions:
        old = find(before.conditions, ConditionType(condition.type))
        if condition.type == ConditionType.READY:
            worth = condition.status == "True" and (old is None or old.status != "True")
        elif condition.status == "True":
            worth = old is not None and old.status == "False"
        else:
            worth = condition.status == "False" and (old is None or _verdict(old) != _verdict(condition))
        if worth:
            yield Event(
                type="Warning" if condition.status == "False" else "Normal",
                reason=condition.reason,
                note=f"{condition.type}: {condition.message}",
            )


def _verdict(condition: Condition) -> tuple[str, str]:
    return condition.status, condition.reason
