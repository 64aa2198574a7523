"""Messages that a worker holds in `unacked` or has left behind there, and what shows that a queue is consumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class HeldMessage:
    """A message of a queue in `unacked`, as it was when it was read; the last five fields are the broker's own."""

    queue: str
    delivered: float | None
    """When it was delivered, in seconds since the epoch, by the clock of the worker's node; None: not known."""
    tag: bytes
    time: bytes
    """`delivered` as the broker has it: an entry with another time was delivered again since."""
    priority: int
    after: bytes
    """What follows the message in its entry."""
    size: int
    """Of the entry, in bytes."""


@dataclass(frozen=True, kw_only=True)
class ListEnd:
    """The end of a queue's list that is consumed next, as read at one moment."""

    length: int
    """Messages in the list, read before its end was."""
    length_after: int
    """The same, read after it."""
    tail: Sequence[bytes] = ()
    """Digests of the last messages, the one that is consumed next first."""


@dataclass(frozen=True, kw_only=True)
class QueueEnds:
    """The part of a queue that changes when a message is consumed."""

    lists: Mapping[str, ListEnd] = field(default_factory=dict, hash=False)
    """Its lists, by key."""
    newest: float | None = None
    """When the newest of its messages in `unacked` was delivered, by the worker's clock; None: none is among the newest
    entries."""

    @property
    def waiting(self) -> int:
        """How many messages wait in its lists."""
        return sum(one.length_after for one in self.lists.values())
