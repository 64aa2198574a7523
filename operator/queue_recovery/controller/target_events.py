"""The changes of a target's conditions that are worth an event."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from queue_recovery.api.conditions import Condition, ConditionType, find
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller.event_poster import Event
from queue_recovery.controller.stuck_status import proposals_between, stuck_events_between

_SECONDS_BETWEEN = 10.0
"""Between events of one target: its owner can cause one by each change of the spec."""

Announce = Callable[[str, str, str, Event], None]
"""Takes namespace, name and UID of a target, and an event."""


@dataclass(frozen=True)
class _Announced:
    uid: str
    status: QueueTargetStatus
    at: float


class Announcer:
    """Announces what has changed in each target since its last events.

    Changes within `_SECONDS_BETWEEN` are announced together, after a later check.
    """

    def __init__(self, announce: Announce, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what posts an event, and a clock in seconds."""
        self._announce = announce
        self._clock = clock
        self._announced: dict[tuple[str, str], _Announced] = {}

    def stored(
        self,
        namespace: str,
        name: str,
        uid: str,
        before: QueueTargetStatus,
        after: QueueTargetStatus,
        *,
        needs_approval: bool = False,
    ) -> None:
        """Announce the changes in a status that was written.

        Args:
            namespace: of the target.
            name: of the target.
            uid: of the target.
            before: the status that an earlier process has announced.
            after: the status that was written.
            needs_approval: whether the target requires an approval of each recovery.
        """
        announced = self._announced.get((namespace, name))
        if announced is None or announced.uid != uid:
            announced = _Announced(uid, before, -math.inf)
        now = self._clock()
        events = [
            *target_events_between(announced.status, after),
            *proposals_between(announced.status, after, namespace, needs_approval=needs_approval),
        ]
        if events and now - announced.at < _SECONDS_BETWEEN:
            return
        told = _as_told(announced.status, after)
        self._announced[namespace, name] = _Announced(uid, told, now if events else announced.at)
        for event in events:
            self._announce(namespace, name, uid, event)

    def forget(self, namespace: str, name: str) -> None:
        """Forget a target that is gone."""
        self._announced.pop((namespace, name), None)


def _as_told(before: QueueTargetStatus, after: QueueTargetStatus) -> QueueTargetStatus:
    """Return what users know after a check: of what could not be checked, what they were told before.

    A broker that is away for a moment would otherwise make all of it news again.
    """
    conditions = [
        find(before.conditions, ConditionType(one.type)) or one if one.status == "Unknown" else one
        for one in after.conditions
    ]
    stuck = find(after.conditions, ConditionType.STUCK)
    queues = before.queues if stuck is not None and stuck.status == "Unknown" else after.queues
    return after.model_copy(update={"conditions": conditions, "queues": queues})


def target_events_between(before: QueueTargetStatus, after: QueueTargetStatus) -> Iterator[Event]:
    """Yield one event for each cause that appeared or was fixed between two checks.

    A condition that became False or has another reason is a Warning; one that was False and is True again, and a target
    that became ready, are Normal. What is Unknown was not checked; the condition that is the cause has the event.

    Pure.
    """
    for condition in after.conditions:
        if condition.type == ConditionType.STUCK:
            yield from stuck_events_between(before, after, condition)
            continue
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
