"""What one look at a queue and at its workers has seen. Pure.

Names and ids of messages are those that any client of the broker chose: ids are compared by their digests only.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.evidence import ContainerEnd, MessageFacts

_DIGEST_BYTES = 8


def digest(text: bytes) -> bytes:
    """Return what a text is compared by: eight bytes, however long it is."""
    return blake2b(text, digest_size=_DIGEST_BYTES).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """A message of a queue, in `unacked` or at the tail of one of its lists."""

    id: bytes | None
    """Digest of its Celery task id."""
    work: bytes | None = None
    """Digest of its body, which has the arguments: two messages of one job have the same."""
    task: str | None = None
    retries: int = 0
    redelivered: bool = False
    eta: datetime | None = None
    delivered: datetime | None = None
    """When it was delivered, by the worker's clock; None: it waits in a list, or has no time."""
    held: bool = False
    """Whether it is in `unacked`."""
    facts: MessageFacts | None = None
    """Its names and its past, if it was retried or redelivered; not remembered after the look."""
    task_id: str | None = field(default=None, compare=False)
    """Of the oldest in `unacked` whose tasks may be seen to run; not remembered after the look either."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail:
    """The end of a list that is consumed next."""

    next: bytes
    """Digest of the message that is consumed next."""
    messages: Sequence[Sighting] = ()
    """Some of the messages that are consumed next."""
    undecodable: int = 0
    """How many of them Celery cannot decode."""


@dataclass(frozen=True, kw_only=True)
class QueueLook:
    """A queue, as one look has seen it."""

    ready: int
    """Messages in its lists."""
    held: int = 0
    """Messages in `unacked`, as far as they are counted."""
    sightings: Sequence[Sighting] = ()
    """Messages in `unacked`: all that are counted, the oldest first."""
    lists: Mapping[int, Tail] = field(default_factory=dict)
    """Of its lists that are not empty, by priority."""
    total: int = 0
    """Messages in `unacked` of all queues of the database."""
    not_counted: int = 0
    """How many of these are counted for no queue."""
    shared: Sequence[datetime | None] = ()
    """When messages were delivered of other queues that the same workers consume; None: not known."""
    elsewhere: Sequence[datetime | None] = ()
    """The same of queues of which it is not known who consumes them."""

    @property
    def is_complete(self) -> bool:
        """Whether all messages in `unacked` are counted."""
        return self.not_counted == 0

    def still_with(self, held: Collection[Sighting]) -> "QueueLook":
        """Return the look without the messages of `unacked` that are not among these."""
        now = frozenset(held)
        return replace(self, sightings=[one for one in self.sightings if one in now])

    @property
    def sampled(self) -> Collection[Sighting]:
        """All messages that were seen."""
        return [*self.sightings, *(one for tail in self.lists.values() for one in tail.messages)]


_FUTURE: Final = timedelta(minutes=1)
"""By which the start of a process may be ahead of the operator's clock. A clock that is further ahead will be set back,
and what is delivered then looks older than the process that holds it."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """The running processes of a queue's workers."""

    oldest: datetime
    """When the oldest of them was started, by its node's clock."""
    holds_since: datetime
    """The earliest delivery that one of them may hold, by its node's clock."""

    def may_hold(self, delivered: float | None, now: datetime) -> bool:
        """Tell whether one of them may hold a message.

        Args:
            delivered: when the message was delivered, in seconds since the epoch; None: not known.
            now: by the operator's clock.
        """
        return self.oldest > now + _FUTURE or delivered is None or delivered >= self.holds_since.timestamp()


@dataclass(frozen=True, kw_only=True)
class PodLook:
    """A running pod of the workers that was never restarted, and whose name no other pod has had."""

    worker: WorkerRef
    grace_seconds: int
    """Seconds that it may take to end."""


@dataclass(frozen=True, kw_only=True)
class WorkersLook:
    """The workers of a queue, as one look has seen them."""

    running: Running | None
    """None: they have no pod."""
    ready_pods: int = 0
    ready_since: datetime | None = None
    """Since when one of their pods has been ready; None: none is ready, or it is being stopped."""
    may_hold_nothing: bool = False
    """Whether one of them may hold no message while it runs a task."""
    ends: Sequence[ContainerEnd] = ()
    """How their containers have ended."""
    is_held: bool = False
    """Whether a recovery has stopped them."""
    pods: Mapping[str, PodLook] = field(default_factory=dict)
    """Those of their pods whose names stand for one process each, by name."""
