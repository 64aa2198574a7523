"""A run: the record of a recovery in the broker, and the interface to change queues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar

from queue_recovery.api.select import PurgeSelect

DEFAULT_RETENTION_SECONDS: Final = 7 * 24 * 3600
"""The default, and the retention of a recovery with 0 seconds that did not succeed."""


MOST_AGAIN_IDS: Final = 5
"""The most task ids that are collected to be named in a message."""


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
    again_ids: Sequence[str] = ()
    """The first task ids of these, at most `MOST_AGAIN_IDS`; each may be named in `restoreFrom.taskIds`."""
    unfit: int = 0
    """How many stay although they are selected, because no new message can be made from them."""
    took_any: bool = True
    """Whether the earlier run took any message; its quarantine may be empty by now."""


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
    lost: int = 0
    """Messages that the broker has lost while they were sorted. The other counts are of those that are there."""
    redelivered: int = 0
    """Messages in `unacked` that were given back to their queues."""

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
            lost=self.lost + other.lost,
            redelivered=self.redelivered + other.redelivered,
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
