"""What shows that a queue is consumed, from what was read of the broker. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from queue_recovery.recovery.ports import Consumer, ListEnd, QueueEnds
from queue_recovery.recovery.wording import counted, quoted

Shown = str | None
"""What shows that a queue is consumed, as text; None: it is not possible to determine."""

CONSUMED: Final = "messages are consumed"

_AHEAD: Final = 5.0
"""Seconds by which a worker's clock may be ahead of the operator's."""
_AGE_TOLERANCE: Final = 2.0
"""Seconds, because the broker rounds the age of a connection."""


def is_consumed(before: QueueEnds, now: QueueEnds) -> bool:
    """Tell whether a message was consumed between two moments.

    No clock is compared with another: there is a newer delivery than the newest one before, or a list has lost a
    message.
    """
    if now.newest is not None and (before.newest is None or now.newest > before.newest):
        return True
    return any(_has_lost(one, now.lists[key]) for key, one in before.lists.items())


def _has_lost(before: ListEnd, now: ListEnd) -> bool:
    """Tell whether a list has lost a message.

    It may have got longer at its head (producers) and at its tail (a restore sweep, a worker that stops). If nothing
    was consumed, the message that was next is behind at most as many others as the list has got longer by.
    """
    if now.length_after < before.length:
        return True
    if not before.tail or before.tail[0] in now.tail:
        return False
    return now.length_after < before.length + len(now.tail)


def shown_by_waiting(consumers: Sequence[Consumer], addresses: Collection[str], age: float) -> Shown:
    """Return that workers wait for messages of an empty queue; empty: none does; None: it is not possible to tell.

    Args:
        consumers: the connections that wait for messages of any queue.
        addresses: from which the queue's workers connect.
        age: seconds since the restart began; an older connection says nothing.
    """
    recent = [one for one in consumers if one.age_seconds <= age + _AGE_TOLERANCE]
    own = sum(one.address in addresses for one in recent)
    if own:
        return f"the queue is empty, and {counted(own, 'connection')} of its workers {_wait(own)} for messages"
    # One from an unknown address may be a worker's, behind a proxy.
    return None if recent else ""


def conclude(queue: QueueEnds, since: float, now: float, *, seconds: int, is_visible: bool) -> tuple[Shown, str]:
    """Return what shows that a queue is consumed in which nothing has moved, or why it is not consumed.

    Args:
        queue: what was read of it last.
        since: when the restart began, in seconds since the epoch.
        now: by the same clock; a delivery after it is one of a worker whose clock says nothing.
        seconds: how long nothing has moved.
        is_visible: whether the broker shows who waits for messages.
    """
    if queue.newest is not None and since <= queue.newest <= now + _AHEAD:
        return (
            f"no message was taken in the last {seconds} s, but workers hold messages that were delivered after the "
            "restart began, so their slots are in use"
        ), ""
    if queue.waiting:
        wait = _wait(queue.waiting)
        return None, f"{counted(queue.waiting, 'message')} {wait}, and none was consumed within {seconds} s"
    if is_visible:
        return None, f"it is empty, and no connection of its workers waited for messages within {seconds} s"
    return None, ""


def describe(shown: Mapping[str, Shown]) -> str:
    """Join what shows that queues are consumed, those that are alike together."""
    alike: dict[str, list[str]] = {}
    for name, how in shown.items():
        alike.setdefault(how or _UNKNOWN, []).append(name)
    return "; ".join(f"{quoted(names)}: {how}" for how, names in alike.items())


_UNKNOWN: Final = (
    "the queue is empty, and the broker does not show whether its workers wait for messages. Enqueue one and see "
    "whether it runs"
)


def _wait(count: int) -> str:
    return "waits" if count == 1 else "wait"
