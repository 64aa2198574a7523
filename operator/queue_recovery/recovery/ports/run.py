"""A run: a recovery as the broker knows it, and what it moves, enqueues and leaves behind."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from queue_recovery.api.select import PurgeSelect

DEFAULT_RETENTION_SECONDS: Final = 7 * 24 * 3600
"""Also for messages that were to be dropped at success, when the recovery has ended otherwise."""


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Which messages of an earlier run's quarantine go back into the queue, and as what."""

    uid: str
    """UID of the earlier recovery."""
    task_ids: frozenset[str] | None
    """None: all, but for those whose job the earlier recovery has enqueued again."""
    as_new: bool
    """As new messages, with new ids and no retries; otherwise byte for byte."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The identity of a recovery of one queue, as the broker has it."""

    uid: str
    """UID of the QueueRecovery; with `/` and the queue behind it when the recovery has a run for each of its queues."""
    name: str
    """`namespace/name` of the QueueRecovery, for people who read the broker's keys."""
    cluster: str
    """Identity of the Kubernetes cluster: retention of another one leaves the run alone. Clusters may share it."""
    queue: str
    select: PurgeSelect | None = None
    """Which messages are taken; None: all."""
    take_unreadable: bool = False
    """Whether the queue is taken although nothing shows that its messages are Celery's: none of them can be read."""
    restore: Restore | None = None
    """Which messages are put back, in a recovery that takes none."""
    cluster_uid: str | None = None
    """What tells the cluster from all others, where it is known: only there the run can be taken over."""
    retention_seconds: int = DEFAULT_RETENTION_SECONDS
    """How long its quarantine is retained once it has ended; 0: not at all if it has succeeded."""

    @property
    def retention(self) -> timedelta:
        """How long a quarantine is retained that is not dropped."""
        return timedelta(seconds=self.retention_seconds or DEFAULT_RETENTION_SECONDS)


@dataclass(frozen=True, kw_only=True)
class SeenJob:
    """What a job's document looked like when nothing ran. `None`: the field is absent or not mapped."""

    status: str | None
    task_id: str | None
    recoverable: bool = True
    """Whether its status was one of those that may be enqueued; the message of one that may not is left."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What has been moved into the quarantine so far."""

    quarantine: str
    """What all keys of the recovery's quarantine begin with, over all its queues."""
    ready: int
    unacked: int
    undecodable: int
    """Entries of `unacked` that cannot be read; they stay."""
    left: int = 0
    """Messages left in the queue, in its lists and in `unacked`: not selected, or of a job that is not enqueued."""
    oversized: int = 0
    """Messages found that are too large to be read: entries of `unacked`, and with a selection any that it left."""
    left_ids: frozenset[str] = frozenset()
    """Those of the listed jobs' task ids that have a message among those that were left."""
    seen: Mapping[str, SeenJob | None] = field(default_factory=dict, hash=False)
    """What each frozen job looked like when nothing ran, by its key."""

    def __add__(self, other: "Taken") -> "Taken":
        """Return the totals of two runs of one recovery; entries that cannot be read are of neither, so the same."""
        return Taken(
            quarantine=self.quarantine,
            ready=self.ready + other.ready,
            unacked=self.unacked + other.unacked,
            undecodable=max(self.undecodable, other.undecodable),
            left=self.left + other.left,
            oversized=self.oversized + other.oversized,
            left_ids=self.left_ids | other.left_ids,
            seen={**self.seen, **other.seen},
        )


@dataclass(frozen=True, kw_only=True)
class MessageName:
    """How a message is shown to people; any client of the broker may have chosen the names, of any length."""

    task_id: str | None
    task: str | None
    """None: the message does not say it where it is read."""


@dataclass(frozen=True, kw_only=True)
class Unreplaced:
    """Quarantined messages that no enqueued job replaces."""

    count: int
    is_exact: bool
    """Otherwise there are at least that many."""
    first: tuple[MessageName, ...]
    """Some of them."""


@dataclass(frozen=True, kw_only=True)
class Restorable:
    """What is in the quarantine of an earlier run."""

    found: int
    restore: int
    """How many of them would go back into the queue."""
    again: int = 0
    """How many stay because the earlier recovery has enqueued their jobs again, and no task ids are named."""
    unfit: int = 0
    """How many stay although they are meant, because they cannot be made new."""


@dataclass(frozen=True, kw_only=True)
class QuarantinedHeaders:
    """What the headers of a quarantined message say, text of any length from any client; None: they do not say it."""

    task_id: str | None
    task: str | None
    retries: int | None
    job: str | None
    """Key (`Task.key`) of the job in the earlier run that had this task id."""
    size: int
    """Bytes of the message."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What became of the quarantine of an earlier run."""

    restored: int
    """Messages that are back in the queue."""
    left: int
    """Messages that stay in the quarantine."""

    def __add__(self, other: "Restored") -> "Restored":
        """Return the totals of two runs of one recovery."""
        return Restored(restored=self.restored + other.restored, left=self.left + other.left)


@dataclass(frozen=True, kw_only=True)
class Closed:
    """What a closed run says for good."""

    purged: frozenset[str] = frozenset()
    """Queues whose boundary was passed, so that claims of their jobs may exist."""
    unpurged: frozenset[str] = frozenset()
    """The run's other queues: nothing of theirs was taken or enqueued."""
    taken: Taken | None = None
    """What was moved into the quarantine; None if no boundary was passed."""
    pushed: frozenset[str] = frozenset()
    """Keys (`Task.key`) of the jobs that were enqueued; frozen."""
    seen: frozenset[str] = frozenset()
    """Keys of the jobs with an id whose documents were looked at when nothing ran: no other can have been claimed."""
    restored: Restored | None = None
    """What was put back of an earlier run's quarantine, by a run that does so."""

    @property
    def was_purged(self) -> bool:
        """Whether a boundary was passed."""
        return bool(self.purged)

    def __add__(self, other: "Closed") -> "Closed":
        """Return what two runs of one recovery say."""
        return Closed(
            purged=self.purged | other.purged,
            unpurged=self.unpurged | other.unpurged,
            taken=_total(self.taken, other.taken),
            pushed=self.pushed | other.pushed,
            seen=self.seen | other.seen,
            restored=_total(self.restored, other.restored),
        )


T = TypeVar("T", Taken, Restored)


def _total(one: T | None, other: T | None) -> T | None:
    if one is None or other is None:
        return one or other
    return one + other


@dataclass(frozen=True, kw_only=True)
class Task:
    """One job, ready to be enqueued."""

    key: str
    """Names the job within its recovery (`recovery.jobs.ListedJob`); the marker in the broker is named by it."""
    task_id: str
    task: str
    args: str
    """JSON array as text."""
    kwargs: str
    """JSON object as text."""


class QueueRun(Protocol):
    """A recovery's run in the broker, of one queue or of several: the only way to change queues."""

    async def open(self) -> None:
        """Acquire the queues' locks and create the runs in state `preparing`, all or none; may be repeated.

        Raises RecoveryError (`Locked` while another recovery holds one of the locks, `AlreadyClosed`).
        """
        ...

    async def freeze(self, seen: Mapping[str, Mapping[str, SeenJob | None]]) -> Mapping[str, SeenJob | None]:
        """Store what each job, by queue and key, looked like when nothing ran; return by key what was stored first.

        None: there was no document of it.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`).
        """
        ...

    async def take(self, attempt: int = 1, frozen: Collection[str] = ()) -> Taken:
        """Move every message of the queues into the quarantine: batches of `unacked`, then each queue's boundary.

        Entries of `unacked` that are to be left are never moved, and such messages of the lists are back, in their
        order and before all newer ones, when this returns: what a selection does not match, and the messages of jobs
        that were frozen as not recoverable. Which of the frozen jobs' task ids are theirs is recorded.

        `frozen`: keys of all jobs that were frozen. Nothing more is taken once what one of them looked like is lost.

        Continues where an earlier call stopped, and returns the totals of all calls. May only be called while no
        consumer of the queues lives. If that turns out not to have held, the queues are drained again and taken with
        the next number as `attempt`: each number passes one boundary, however often it is asked for.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`, `WrongKeyType`, `ForeignQueue`, `SharedRoute`, and
        `UnknownConsumer` while entries of the queues keep coming into `unacked`).
        """
        ...

    async def moved(self) -> int:
        """Return how many messages `take` has dealt with so far: those that are quarantined or left for good.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`).
        """
        ...

    async def pass_boundary(self) -> None:
        """Mark the run as purged without taking anything (`purge.mode: None`)."""
        ...

    async def pushed(self) -> frozenset[str]:
        """Return the keys of the jobs that were enqueued.

        Raises RecoveryError (`BrokerLostData`) if the run's record has vanished, (`AlreadyClosed`) if it is closed.
        """
        ...

    async def push(self, tasks: Mapping[str, Sequence[Task]]) -> None:
        """Enqueue each task, by queue, whose key has no marker yet, marker and message in one step.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`) if the run may not push any more.
        """
        ...

    async def restore(self) -> Restored:
        """Return messages of the earlier run's quarantine to the tail of their lists, in their order.

        The run is open. Messages become visible all at once, so consumers may live. Continues where an earlier call
        stopped, and returns the totals of all calls.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`, `WrongKeyType`).
        """
        ...

    async def refuse(self) -> None:
        """Refuse any process that still takes messages for this run, in one round trip a queue; `close` must follow."""
        ...

    async def close(self) -> Closed:
        """Freeze the markers: from here on nothing can be taken or pushed; writes a record if there is none.

        A queue that had not passed its boundary gets its `unacked` entries back where they were. One that had passed
        it gets back what its selection leaves, if that was not done: it becomes visible in one step, so that its order
        holds even if workers live by then. A run that restores makes visible what it has sorted so far, and leaves
        the rest in the quarantine.
        """
        ...

    async def unreplaced(self) -> Unreplaced:
        """Count the messages in the quarantines that none of the jobs replaces which the run has enqueued."""
        ...

    async def release(self, *, expires: datetime, retain: bool) -> None:
        """Release the queues' locks that are this run's, and say when the retention of the quarantines is over.

        With `retain` False the quarantines are unlinked at once.
        """
        ...
