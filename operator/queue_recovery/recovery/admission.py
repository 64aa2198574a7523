"""Admission: which recoveries may continue when many are ready at once.

Recoveries of the same queue run one after the other, the oldest first; each waits for the one ahead of it without a
request to the broker. A limited number of recoveries may prepare at the same time, and a limited number may have their
workers stopped at the same time. Without these limits, many recoveries would stop their workers first and then compete
for the processor, so all workers would be at 0 for longer. Namespaces take turns and none exceeds its share, so many
recoveries in one namespace do not delay another.

This orders the recoveries of one process. The locks in the broker and the notes on Deployments decide which recovery
holds a queue or a Deployment.
"""

from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from queue_recovery.recovery.pace import Pace

_SHARES = 4
"""One namespace gets at most the limit divided by this number."""

_PREPARING = 8
"""How many recoveries prepare at once; more would slow down those whose workers are stopped."""

_STOPS_PER_SECOND = 1.0
_STOPS_AT_ONCE = 2
"""How many recoveries of one namespace start to stop their workers. Kubernetes' controller manager scales them with
20 requests a second for the whole cluster, and one recovery needs about 10 requests."""

Granted = Callable[[], None]
"""Called when a request that had to wait is granted."""

Lock = tuple[str, str, str]
"""Namespace, target and queue."""


class Slots:
    """A limited number of slots; namespaces take turns, and within one the first request is served first."""

    def __init__(self, limit: int) -> None:
        """Set how many slots may be taken at once."""
        self._limit = limit
        self._share = max(1, limit // _SHARES)
        self._waiting: OrderedDict[str, deque[Slot]] = OrderedDict()
        """Waiting requests by namespace, in the order in which the namespaces are served."""
        self._taken: dict[str, int] = {}
        """Number of taken slots by namespace; a namespace without slots is absent."""

    def request(self, namespace: str) -> "Slot":
        """Return a slot that is taken now, or a request that is queued."""
        slot = Slot(self, namespace)
        self._waiting.setdefault(namespace, deque()).append(slot)
        self._fill()
        return slot

    def take(self, namespace: str) -> "Slot":
        """Return a slot that is taken now, even beyond the limit, for a caller that cannot wait."""
        slot = Slot(self, namespace)
        self._grant(slot)
        return slot

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._waiting.values()))

    def ahead(self, slot: "Slot") -> int:
        """Return how many waiting requests are served before this one."""
        names = list(self._waiting)
        own = self._waiting[slot.namespace].index(slot)
        rank = names.index(slot.namespace)
        return sum(min(len(queue), own + (names.index(name) < rank)) for name, queue in self._waiting.items())

    def release(self, slot: "Slot") -> None:
        """Release a taken slot, or drop a waiting request."""
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
    """A taken slot, or a request for one."""

    slots: Slots
    namespace: str
    is_taken: bool = False
    granted: Granted | None = None

    @property
    def ahead(self) -> int:
        """Return how many waiting requests are served before this one."""
        return self.slots.ahead(self)

    def release(self) -> None:
        """Release the slot, or drop the request."""
        self.slots.release(self)


@dataclass(eq=False, order=False, slots=True)
class LockRequest:
    """A recovery's request for the locks of its queues."""

    created: datetime
    name: str
    """`namespace/name`."""
    locks: frozenset[Lock]
    granted: Granted | None = None
    """Called when the request is first in the queue of each of its locks."""

    def __lt__(self, other: "LockRequest") -> bool:
        return (self.created, self.name) < (other.created, other.name)


class LockQueues:
    """One queue for each lock. A request that is first in all of its queues stays first until it leaves."""

    def __init__(self) -> None:
        """Start with empty queues."""
        self._first: dict[Lock, LockRequest] = {}
        self._waiting: dict[tuple[str, str], list[LockRequest]] = {}
        """Waiting requests by namespace and target, the oldest first."""

    @property
    def waiting(self) -> int:
        """How many requests are not first in all of their queues."""
        return sum(map(len, self._waiting.values()))

    def join(self, request: LockRequest) -> None:
        """Add a request to the queues of its locks, which all belong to one target."""
        if self.ahead_of(request) is None:
            self._put_first(request)
        else:
            insort(self._waiting.setdefault(_target_of(request), []), request)

    def ahead_of(self, request: LockRequest) -> tuple[Lock, LockRequest] | None:
        """Return the lock and the request that is ahead of this one; None: it is first in all of its queues."""
        for lock in sorted(request.locks):
            first = self._first.get(lock)
            if first is not None and first is not request:
                return lock, first
        return None

    def leave(self, request: LockRequest) -> None:
        """Remove a request from all queues, and grant the requests that are first after that."""
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
    """The slots and lock queues that all recoveries of a process share."""

    def __init__(self, draining: int) -> None:
        """Set how many recoveries may have their workers stopped at once."""
        self.lock_queues = LockQueues()
        self.preparing = Slots(_PREPARING)
        self.draining = Slots(draining)
        self._paces: dict[str, Pace] = {}
        """By namespace."""

    @property
    def waiting(self) -> int:
        """How many prepared recoveries wait for a lock or for a drain slot."""
        return self.lock_queues.waiting + self.draining.waiting

    def stop_delay(self, namespace: str) -> float:
        """Reserve the namespace's next time to stop workers, and return the seconds until then."""
        self._paces = {name: pace for name, pace in self._paces.items() if not pace.is_at_rest}
        return self._paces.setdefault(namespace, Pace(_STOPS_PER_SECOND, at_once=_STOPS_AT_ONCE)).delay()
