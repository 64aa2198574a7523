"""Admission: which recoveries may go on, when many want to at once.

Recoveries of the same queue go one after the other, the oldest first; each waits for the one before it without asking
the broker. Of all others, a limited number may prepare at once, and a limited number may have their workers stopped at
once: a crowd that all stop their workers first and then compete for the processor keeps everybody's workers away for
longer than one after the other. Namespaces take turns, and no namespace has more than its share, so a crowd in one of
them delays no other.

This orders the recoveries of one process. The locks in the broker and the notes on Deployments decide who holds what.
"""

from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from queue_recovery.recovery.pace import Pace

_SHARES = 4
"""A namespace gets at most the limit's part by this number."""

_PREPARING = 8
"""How many recoveries prepare at once; more of them would keep the processor from those whose workers are stopped."""

_STOPS_PER_SECOND = 1.0
_STOPS_AT_ONCE = 2
"""How many recoveries of one namespace begin to stop their workers. Kubernetes' controller manager scales them with
twenty requests a second for the whole cluster, of which one recovery takes about ten."""

Granted = Callable[[], None]
"""Called when something is granted that was not at once."""

Lock = tuple[str, str, str]
"""Namespace, target and queue."""


class Slots:
    """A limited number of slots that namespaces take in turn; within a namespace, first come, first served."""

    def __init__(self, limit: int) -> None:
        """Take how many may be taken at once."""
        self._limit = limit
        self._share = max(1, limit // _SHARES)
        self._waiting: OrderedDict[str, deque[Slot]] = OrderedDict()
        """By namespace; the one whose turn is next comes first."""
        self._taken: dict[str, int] = {}
        """How many each namespace has; none without any."""

    def request(self, namespace: str) -> "Slot":
        """Return a slot that is taken, or waits to be."""
        slot = Slot(self, namespace)
        self._waiting.setdefault(namespace, deque()).append(slot)
        self._fill()
        return slot

    def take(self, namespace: str) -> "Slot":
        """Return a slot that is taken now, even beyond the limit: its owner cannot wait."""
        slot = Slot(self, namespace)
        self._grant(slot)
        return slot

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def ahead(self, slot: "Slot") -> int:
        """Return how many that wait are to be served before this one."""
        names = list(self._waiting)
        own = self._waiting[slot.namespace].index(slot)
        rank = names.index(slot.namespace)
        return sum(min(len(queue), own + (names.index(name) < rank)) for name, queue in self._waiting.items())

    def release(self, slot: "Slot") -> None:
        """Take a slot back, whether it was taken or waits."""
        if slot.is_taken:
            slot.is_taken = False
            self._taken[slot.namespace] -= 1
            if not self._taken[slot.namespace]:
                del self._taken[slot.namespace]
        elif slot in self._waiting.get(slot.namespace, ()):
            self._waiting[slot.namespace].remove(slot)
            self._drop_empty(slot.namespace)
        self._fill()

    def _fill(self) -> None:
        while sum(self._taken.values()) < self._limit:
            name = next((name for name in self._waiting if self._taken.get(name, 0) < self._share), None)
            if name is None:
                return
            slot = self._waiting[name].popleft()
            self._waiting.move_to_end(name)
            self._drop_empty(name)
            self._grant(slot)

    def _grant(self, slot: "Slot") -> None:
        self._taken[slot.namespace] = self._taken.get(slot.namespace, 0) + 1
        slot.is_taken = True
        if slot.granted is not None:
            slot.granted()

    def _drop_empty(self, namespace: str) -> None:
        if not self._waiting[namespace]:
            del self._waiting[namespace]


@dataclass(eq=False, slots=True)
class Slot:
    """One of the slots, or a request for one."""

    slots: Slots
    namespace: str
    is_taken: bool = False
    granted: Granted | None = None

    @property
    def ahead(self) -> int:
        """Return how many that wait are to be served before this one."""
        return self.slots.ahead(self)

    def release(self) -> None:
        """Return it, or no longer wait for it."""
        self.slots.release(self)


@dataclass(eq=False, order=False, slots=True)
class LockRequest:
    """A recovery's request in the lines for its locks."""

    created: datetime
    name: str
    """`namespace/name`."""
    locks: frozenset[Lock]
    granted: Granted | None = None
    """Called when it is first in all of its lines."""

    def __lt__(self, other: "LockRequest") -> bool:
        return (self.created, self.name) < (other.created, other.name)


class LockQueues:
    """One line for each lock. Who is first in all of its lines stays so until it leaves."""

    def __init__(self) -> None:
        """Begin without any."""
        self._first: dict[Lock, LockRequest] = {}
        self._waiting: dict[tuple[str, str], list[LockRequest]] = {}
        """By namespace and target, the oldest first."""

    @property
    def waiting(self) -> int:
        """How many are not first."""
        return sum(map(len, self._waiting.values()))

    def join(self, request: LockRequest) -> None:
        """Join the lines of its locks, which are all of one target."""
        if self.ahead_of(request) is None:
            self._put_first(request)
        else:
            insort(self._waiting.setdefault(_target_of(request), []), request)

    def ahead_of(self, request: LockRequest) -> tuple[Lock, LockRequest] | None:
        """Return who is first in one of its lines, if that is another one; None: it is first in all of them."""
        for lock in sorted(request.locks):
            first = self._first.get(lock)
            if first is not None and first is not request:
                return lock, first
        return None

    def leave(self, request: LockRequest) -> None:
        """Leave all lines; those that are first then are woken."""
        waiting = self._waiting.get(_target_of(request), [])
        if request in waiting:
            waiting.remove(request)
        free = {lock for lock in request.locks if self._first.get(lock) is request}
        for lock in free:
            del self._first[lock]
        for other in list(waiting):
            if not free:
                break
            if free & other.locks and self.ahead_of(other) is None:
                waiting.remove(other)
                self._put_first(other)
                free -= other.locks
        if not waiting:
            self._waiting.pop(_target_of(request), None)

    def _put_first(self, request: LockRequest) -> None:
        self._first |= dict.fromkeys(request.locks, request)
        if request.granted is not None:
            request.granted()


def _target_of(request: LockRequest) -> tuple[str, str]:
    return next(((namespace, target) for namespace, target, _ in request.locks), ("", ""))


class Admission:
    """What all recoveries of a process share."""

    def __init__(self, draining: int) -> None:
        """Take how many recoveries may have their workers stopped at once."""
        self.lock_queues = LockQueues()
        self.preparing = Slots(_PREPARING)
        self.draining = Slots(draining)
        self._paces: dict[str, Pace] = {}
        """By namespace."""

    @property
    def waiting(self) -> int:
        """How many recoveries that are prepared wait for their turn."""
        return self.lock_queues.waiting + self.draining.waiting

    def stop_delay(self, namespace: str) -> float:
        """Take a namespace's next moment to stop the workers of a recovery, and return the seconds until then."""
        self._paces = {name: pace for name, pace in self._paces.items() if not pace.is_at_rest}
        return self._paces.setdefault(namespace, Pace(_STOPS_PER_SECOND, at_once=_STOPS_AT_ONCE)).delay()
