"""What a recovery needs of the broker."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from queue_recovery.api.canvas import Canvas
from queue_recovery.api.select import PurgeSelect
from queue_recovery.recovery.ports.run import (
    MessageName,
    QuarantinedHeaders,
    QueueRun,
    Restorable,
    Restore,
    Run,
    SeenJob,
)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The recovery that holds a queue's lock."""

    uid: str
    """UID of the QueueRecovery."""
    name: str
    """`namespace/name` of it; its UID where the broker has lost the record of its run, or has something else there."""
    run: str
    """UID of its run of that queue."""
    cluster: str | None
    """Identity of its Kubernetes cluster, which others may share; None where the record is lost."""
    cluster_uid: str | None
    """What tells its cluster from all others; None where it is not known."""
    retention_seconds: int
    """How long its quarantine is retained."""
    lock: str
    """Key of the lock, for a person who has to remove it by hand."""
    quarantine: str
    """What all keys of its quarantine begin with."""


@dataclass(frozen=True, kw_only=True)
class BrokerHealth:
    """What a check of the broker found besides that it can be used."""

    eviction_policy: str | None
    """`maxmemory-policy`, or None if the server does not say."""


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """A connection to the broker that waits for messages of some queue."""

    id: str
    """As `CLIENT KILL ID` takes it."""
    address: str
    """Where it comes from, as the broker sees it, without the port."""
    age_seconds: int
    """How long ago it was made."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """Messages of some queues."""

    ready: int
    """In its lists, over all priorities."""
    unacked: int
    """In `unacked`, held by workers or left behind by them."""
    undecodable: int
    """Entries of `unacked` that cannot be read, so cannot be attributed to any queue."""
    leave: int = 0
    """Those of their messages that would be left in the queues: not selected, or of a job that is not enqueued."""
    canvas: Canvas | None = None
    """What hangs on those that would be taken; None when there are none."""
    left_ids: frozenset[str] = frozenset()
    """Those of the jobs' task ids that have a message among those that would be left."""
    are_retried: bool = False
    """Whether one of those messages is a retry: a job that a worker tries again at this moment looks as if it ran."""
    taken: Sequence[MessageName] = ()
    """Some of those that would be taken."""
    left: Sequence[MessageName] = ()
    """Some of those that would be left."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """Messages of one queue that workers hold."""

    count: int
    since: datetime | None
    """When the oldest of them was delivered, by that worker's clock; None: there is none, or it does not say."""


@dataclass(frozen=True, kw_only=True)
class Unacked:
    """The entries of `unacked`, by queue as far as that is known."""

    total: int
    """Of all queues of the database."""
    queues: Mapping[str, Held]
    not_counted: int
    """Entries whose queue is not known: only the oldest are read. The counts may be too low by so many."""


@dataclass(frozen=True, kw_only=True)
class Unlisted:
    """Queues of the broker that a target does not list."""

    names: Sequence[str]
    """The first of them in their order."""
    total: int


class Broker(Protocol):
    """One broker database, with the transport options of one target."""

    @property
    def unverified(self) -> str | None:
        """How the operator speaks to the server if it cannot know that it is the right one, such as `without TLS`."""
        ...

    async def check(self) -> BrokerHealth:
        """Check that the server can be used.

        Raises RecoveryError (`BrokerUnavailable`, `BrokerAuthenticationFailed`, `BrokerReadOnly`,
        `BrokerPermissionDenied`, `BrokerIsCluster`, `InvalidBrokerURL`).
        """
        ...

    async def depths(self, queues: Sequence[str]) -> tuple[Mapping[str, int], int]:
        """Return the depth of each queue over its priority lists, and the total of `unacked`; O(1) commands.

        A key of the wrong type counts as 0.
        """
        ...

    async def unacked(self, queues: Collection[str]) -> Unacked:
        """Return how many messages of each of these queues workers hold, from the oldest entries of `unacked`.

        Costs a bounded number of commands, however many entries there are. A key of the wrong type has none.
        """
        ...

    async def check_queue(self, queue: str, *, take_unreadable: bool = False) -> None:
        """Refuse a queue whose keys cannot be Celery's, or, but for `take_unreadable`, of which nothing can be read.

        Raises RecoveryError (`WrongKeyType`, `ForeignQueue`, `BrokerPermissionDenied`).
        """
        ...

    async def unlisted(self, listed: Collection[str]) -> Unlisted:
        """Return the queues of the database that are not among these."""
        ...

    async def count(
        self, *queues: str, select: PurgeSelect | None = None, jobs: Iterable[SeenJob] = (), names: int = 0
    ) -> Count:
        """Count the queues' messages without changing anything, and those that would be left; tell `names` of each.

        Raises RecoveryError (`SharedRoute`) if entries of `unacked` look the same as copies of a queue that is not one
        of these.
        """
        ...

    async def queued_task_ids(self, among: Collection[str], *queues: str) -> frozenset[str]:
        """Return which of these Celery task ids have a message in the queues' lists or in `unacked`."""
        ...

    async def consumers(self) -> Sequence[Consumer]:
        """Return the connections that wait for messages of any queue; none if the server does not list them."""
        ...

    async def holders(self, *queues: str) -> Mapping[str, Holder]:
        """Return the recoveries that hold these queues' locks, by queue; free queues are omitted."""
        ...

    def run(self, *runs: Run) -> QueueRun:
        """Return a recovery's run in the broker: of one queue, or of each queue that it covers; sends nothing."""
        ...

    async def restorable(self, queue: str, restore: Restore) -> Restorable:
        """Count what is in the quarantine of an earlier run, and what of it would go back; changes nothing.

        Raises RecoveryError (`NothingToRestore`, `RecoveryOfAnotherQueue`).
        """
        ...

    async def first_restorable(self, restore: Restore, most: int) -> Sequence[QuarantinedHeaders]:
        """Describe the first messages that would go back, by their headers; changes nothing."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
