"""How many messages a target's queues have, as its status shows it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from queue_recovery.api.target import QueueDepth
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Held, Unacked

NOTHING_UNACKED: Final = Unacked(total=0, queues={}, not_counted=0)

_LONGEST_LINE: Final = 4096
"""Characters of `status.depth`."""


@dataclass(frozen=True, kw_only=True)
class QueueDepths:
    """The fields of a target's status that count messages."""

    line: str = ""
    queues: Sequence[QueueDepth] = ()
    unacked: int | None = None
    unacked_not_counted: int | None = None
    oldest_unacked_time: str | None = None


def queue_depths(ready: Mapping[str, int], unacked: Unacked, *, now: datetime) -> QueueDepths:
    """Combine what was counted.

    A delivery time in the future counts as now: the clock of the worker is ahead of the operator's.
    """
    nothing = Held(count=0, since=None)
    held = {queue: unacked.queues.get(queue, nothing) for queue in ready}
    since = {queue: min(found.since, now) for queue, found in held.items() if found.since is not None}
    times = {queue: timestamp(moment) for queue, moment in since.items()}
    queues = [
        QueueDepth(name=queue, ready=count, unacked=held[queue].count, oldest_unacked_time=times.get(queue))
        for queue, count in ready.items()
    ]
    return QueueDepths(
        line=depth_line(queues, not_counted=unacked.not_counted),
        queues=queues,
        unacked=unacked.total,
        unacked_not_counted=unacked.not_counted or None,
        oldest_unacked_time=min(times.values(), default=None),
    )


def depth_line(queues: Sequence[QueueDepth], *, not_counted: int) -> str:
    """Return the queues' depths in one line, such as `tts=0+3 mail=12`, cut to fit."""
    line = " ".join(f"{q.name}={q.ready}+{q.unacked}" if q.unacked else f"{q.name}={q.ready}" for q in queues)
    more = f" ({not_counted} more unacked, not counted)" if not_counted else ""
    return line[: _LONGEST_LINE - len(more)] + more
