"""A run: one recovery of one queue as the broker knows it, and what it moves, enqueues and leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

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
    """How long its quarantine is left once it has ended; 0: not at all if it has succeeded."""

    @property
    def retention(self) -> timedelta:
        """How long a quarantine is left that is not dropped."""
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
    """Those of the listed jobs' task ids that have a message among the left ones."""
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
    """How people are told of a message; anybody who can write to the broker may have chosen it, of any length."""

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
    """What the headers of a quarantined message say: text of any length, by anybody; None: they do not say it."""

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


@dataclass(frozen=True, kw_only=True)
class Closed:
    """What a closed run says for good."""

    was_purged: bool
    """Whether the boundary had been passed, so that claims may exist."""
    taken: Taken | None
    """What had been moved into the quarantine when it was; None otherwise."""
    pushed: frozenset[str]
    """Keys (`Task.key`) of the jobs that were enqueued; frozen."""
    seen: frozenset[str] = frozenset()
    """Keys of the jobs with an id whose documents were looked at when nothing ran: no other can have been claimed."""
    restored: Restored | None = None
    """What had been put back of an earlier run's quarantine, by a run that does so."""


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
