"""A run: the record of a recovery in the broker, and the interface to change queues."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from queue_recovery.api.select import PurgeSelect

DEFAULT_RETENTION_SECONDS: Final = 7 * 24 * 3600
"""The default, and the retention of a recovery with 0 seconds that did not succeed."""


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Which messages of an earlier run's quarantine are put back, and in which form."""

    uid: str
    """UID of the earlier recovery."""
    task_ids: frozenset[str] | None
    """None: all except those whose job the earlier recovery has enqueued again."""
    as_new: bool
    """As new messages, with new ids and no retries; otherwise byte for byte."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The identity of a recovery of one queue in the broker."""

    uid: str
    """UID of the QueueRecovery, followed by `/` and the queue if the recovery covers every queue."""
    name: str
    """`namespace/name` of the QueueRecovery, for users who read the broker's keys."""
    cluster: str
    """Name of the Kubernetes cluster, which may not be unique; retention skips runs of other clusters."""
    queue: str
    select: PurgeSelect | None = None
    """Which messages are taken; None: all."""
    take_unreadable: bool = False
    """Whether to take a queue of which no message can be read, so that it may not be Celery's."""
    restore: Restore | None = None
    """Which messages are put back; None: the recovery is no restore."""
    cluster_uid: str | None = None
    """UID of the cluster, if known; only recoveries of this cluster can take the run over."""
    retention_seconds: int = DEFAULT_RETENTION_SECONDS
    """How long the quarantine is retained after the ending; 0: removed if the recovery succeeds."""

    @property
    def retention(self) -> timedelta:
        """The retention of a quarantine that is not removed at once."""
        return timedelta(seconds=self.retention_seconds or DEFAULT_RETENTION_SECONDS)


@dataclass(frozen=True, kw_only=True)
class SeenJob:
    """The frozen state of a job's document. `None`: the field is absent or not mapped."""

    status: str | None
    task_id: str | None
    recoverable: bool = True
    """Whether the status may be enqueued; if not, the job's message is left in the queue."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """The messages that were moved into the quarantine so far."""

    quarantine: str
    """Prefix of all keys of the recovery's quarantine, over all its queues."""
    ready: int
    unacked: int
    undecodable: int
    """Entries of `unacked` that cannot be read; they stay."""
    left: int = 0
    """Messages left in the queue, in its lists and in `unacked`: not selected, or of a job that is not enqueued."""
    oversized: int = 0
    """Messages too large to read: entries of `unacked`, and with a selection, messages that it left."""
    left_ids: frozenset[str] = frozenset()
    """The listed jobs' task ids whose messages were left."""
    seen: Mapping[str, SeenJob | None] = field(default_factory=dict, hash=False)
    """The frozen state of each job, by its key."""

    def __add__(self, other: "Taken") -> "Taken":
        """Return the totals of two runs of one recovery; unreadable entries belong to no queue, so count once."""
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
    """The names in a message's headers; any client may have written them, of any length."""

    task_id: str | None
    task: str | None
    """None: the headers do not name the task."""


@dataclass(frozen=True, kw_only=True)
class Unreplaced:
    """Quarantined messages that no enqueued job replaces."""

    count: int
    is_exact: bool
    """Whether the count is exact; otherwise it is a lower bound."""
    first: tuple[MessageName, ...]
    """Some of the messages."""


@dataclass(frozen=True, kw_only=True)
class Restorable:
    """Counts of the messages in the quarantine of an earlier run."""

    found: int
    restore: int
    """How many would be put back into the queue."""
    again: int = 0
    """How many stay because their jobs were enqueued again, if no task ids are named."""
    unfit: int = 0
    """How many stay although they are selected, because no new message can be made from them."""


@dataclass(frozen=True, kw_only=True)
class QuarantinedHeaders:
    """Headers of a quarantined message, written by any client, of any length; None: absent."""

    task_id: str | None
    task: str | None
    retries: int | None
    job: str | None
    """Key (`Task.key`) of the job in the earlier run that had this task id."""
    size: int
    """Bytes of the message."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The result of a restore for the quarantine of an earlier run."""

    restored: int
    """Messages that were put back into the queue."""
    left: int
    """Messages that stay in the quarantine."""

    def __add__(self, other: "Restored") -> "Restored":
        """Return the totals of two runs of one recovery."""
        return Restored(restored=self.restored + other.restored, left=self.left + other.left)


@dataclass(frozen=True, kw_only=True)
class Closed:
    """The final record of a closed run."""

    purged: frozenset[str] = frozenset()
    """Queues whose boundary was passed, so that claims of their jobs may exist."""
    unpurged: frozenset[str] = frozenset()
    """The run's other queues, of which nothing was taken or enqueued."""
    taken: Taken | None = None
    """The messages moved into the quarantine; None if no boundary was passed."""
    pushed: frozenset[str] = frozenset()
    """Keys (`Task.key`) of the jobs that were enqueued."""
    seen: frozenset[str] = frozenset()
    """Keys of the frozen jobs; no other job can have been claimed."""
    restored: Restored | None = None
    """The result of a restore; None for other runs."""

    @property
    def was_purged(self) -> bool:
        """Whether a boundary was passed."""
        return bool(self.purged)

    def __add__(self, other: "Closed") -> "Closed":
        """Return the combined record of two runs of one recovery."""
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
    """Key of the job (`recovery.jobs.ListedJob`), which is also in the name of its marker in the broker."""
    task_id: str
    task: str
    args: str
    """JSON array as text."""
    kwargs: str
    """JSON object as text."""


class QueueRun(Protocol):
    """A recovery's run in the broker, of one or several queues; the only interface that changes queues."""

    async def open(self) -> None:
        """Acquire the queues' locks and create the runs in state `preparing`, all or none; idempotent.

        Raises RecoveryError (`Locked` while another recovery holds one of the locks, `AlreadyClosed`).
        """
        ...

    async def freeze(self, seen: Mapping[str, Mapping[str, SeenJob | None]]) -> Mapping[str, SeenJob | None]:
        """Store the state of each job, by queue and key; return, by key, the state that was stored first.

        None: the job has no document.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`).
        """
        ...

    async def take(self, attempt: int = 1, frozen: Collection[str] = ()) -> Taken:
        """Move every message of the queues into the quarantine: batches of `unacked`, then each queue's boundary.

        Messages that the selection does not match, and those of jobs that were frozen as not recoverable, are left.
        Such entries of `unacked` are never moved; such messages of the lists are in the queue again, in their order
        and before all newer ones, when this returns. The frozen jobs' task ids among them are recorded.

        Continues where an earlier call stopped, and returns the totals of all calls. Must be called only while the
        queues have no consumer. If a consumer was running, drain the queues again and call this with the next number:
        each number passes one boundary, no matter how often it is used.

        Args:
            attempt: number of the purge attempt, from 1.
            frozen: keys of all frozen jobs. Nothing more is taken once the frozen state of one of them is lost.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`, `WrongKeyType`, `ForeignQueue`, `SharedRoute`, and
        `UnknownConsumer` while entries of the queues keep coming into `unacked`).
        """
        ...

    async def moved(self) -> int:
        """Return how many messages `take` has quarantined or left so far.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`).
        """
        ...

    async def pass_boundary(self) -> None:
        """Mark the run as purged without taking anything (`purge.mode: None`)."""
        ...

    async def pushed(self) -> frozenset[str]:
        """Return the keys of the jobs that were enqueued.

        Raises RecoveryError (`BrokerLostData`) if the run's record is lost, (`AlreadyClosed`) if it is closed.
        """
        ...

    async def push(self, tasks: Mapping[str, Sequence[Task]]) -> None:
        """Enqueue each task, by queue, whose key has no marker yet; marker and message are one step.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`).
        """
        ...

    async def restore(self) -> Restored:
        """Put messages of the earlier run's quarantine back to the tail of their lists, in their order.

        The run has to be open. All messages become visible in one step, so consumers may run. Continues where an
        earlier call stopped, and returns the totals of all calls.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`, `WrongKeyType`).
        """
        ...

    async def refuse(self) -> None:
        """Refuse processes that still take messages for this run; one round trip per queue, then `close`."""
        ...

    async def close(self) -> Closed:
        """Close the run, so that nothing can be taken or pushed any more; creates a closed record if none exists.

        The entries of `unacked` return to their place if the queue has not passed its boundary. If it has, messages
        that are to be left return to the queue in one step, so that their order is kept even if workers are running. A
        run that restores makes visible what it has sorted, and leaves the rest in the quarantine.
        """
        ...

    async def unreplaced(self) -> Unreplaced:
        """Count the quarantined messages that no job enqueued by this run replaces."""
        ...

    async def release(self, *, expires: datetime, retain: bool) -> None:
        """Release this run's locks, and store when the retention of the quarantines ends.

        If `retain` is False, the quarantines are deleted at once.
        """
        ...
