"""The interface to the broker."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from queue_recovery.api.canvas import Canvas
from queue_recovery.api.select import PurgeSelect
from queue_recovery.diagnosis.evidence import MessageFacts
from queue_recovery.diagnosis.stuck_evidence import Sighting, Tail
from queue_recovery.recovery.ports.held import HeldMessage, QueueEnds
from queue_recovery.recovery.ports.queue_run import QueueRun
from queue_recovery.recovery.ports.run import MessageName, QuarantinedHeaders, Restorable, Restore, Run, SeenJob


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The recovery that holds a queue's lock."""

    uid: str
    """UID of the QueueRecovery."""
    name: str
    """Its `namespace/name`; its UID if the record of its run is lost or invalid."""
    run: str
    """UID of its run of that queue."""
    cluster: str | None
    """Name of its Kubernetes cluster, which may not be unique; None if the record is lost."""
    cluster_uid: str | None
    """UID of its cluster; None if it is not known."""
    retention_seconds: int
    """How long its quarantine is retained."""
    lock: str
    """Key of the lock, for its removal by hand."""
    quarantine: str
    """Prefix of all keys of its quarantine."""


@dataclass(frozen=True, kw_only=True)
class BrokerHealth:
    """The result of a successful check of the broker."""

    eviction_policy: str | None
    """`maxmemory-policy`, or None if the server does not report it."""
    uptime_seconds: int | None = field(default=None, compare=False)
    """How long the server has been running, or None if it does not report that."""


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """A connection to the broker that waits for messages of some queue."""

    id: str
    """As `CLIENT KILL ID` takes it."""
    address: str
    """The client's address as the broker reports it, without the port."""
    age_seconds: int
    """Seconds since the connection was made."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """Messages of some queues."""

    ready: int
    """In its lists, over all priorities."""
    unacked: int
    """In `unacked`, held by workers or left behind by them."""
    undecodable: int
    """Entries of `unacked` that cannot be read, and so cannot be attributed to a queue."""
    leave: int = 0
    """Messages that would be left in the queues: not selected, or of a job that is not enqueued."""
    canvas: Canvas | None = None
    """The canvas of messages that would be taken; None if no message would be taken."""
    left_ids: frozenset[str] = frozenset()
    """The jobs' task ids whose messages would be left."""
    are_retried: bool = False
    """Whether one of these messages is a retry; the status of its job may change once no worker is running."""
    taken: Sequence[MessageName] = ()
    """Some of the messages that would be taken."""
    left: Sequence[MessageName] = ()
    """Some of the messages that would be left."""
    facts: Sequence[MessageFacts] = ()
    """Of messages that would be taken and were retried or redelivered, up to `MOST_FACTS`."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """Messages of one queue that workers hold."""

    count: int
    since: datetime | None
    """When the oldest was delivered, by the worker's clock; None: there is none, or it has no time."""
    sightings: Sequence[Sighting] = field(default=(), compare=False, repr=False)
    """What was seen of each of them."""


@dataclass(frozen=True, kw_only=True)
class Unacked:
    """The entries of `unacked`, by queue where it is known."""

    total: int
    """Of all queues of the database."""
    queues: Mapping[str, Held]
    not_counted: int
    """Entries whose queue is not known, because only the oldest are read. Counts may be too low by this number."""
    elsewhere: Sequence[datetime | None] = field(default=(), compare=False, repr=False)
    """When those were delivered that are known to belong to none of the queues."""


@dataclass(frozen=True, kw_only=True)
class Unlisted:
    """Queues of the broker that a target does not list."""

    names: Sequence[str]
    """The first names, sorted."""
    total: int


class Broker(Protocol):
    """One broker database, with the transport options of one target."""

    @property
    def unverified(self) -> str | None:
        """Why the server's identity is not verified, such as `without TLS`; None: it is verified."""
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
        """Return how many messages of each queue workers hold, from the oldest entries of `unacked`.

        The number of commands is bounded, no matter how many entries there are. A key of the wrong type counts as
        empty.
        """
        ...

    async def next_messages(self, queues: Sequence[str]) -> Mapping[str, Mapping[int, Tail]]:
        """Return what is consumed next of each queue, by the priority of its lists, without empty ones.

        The number of commands is bounded. A key of the wrong type counts as empty.
        """
        ...

    async def check_queue(self, queue: str, *, take_unreadable: bool = False) -> None:
        """Check that a queue's keys can be Celery's, and that its messages can be read.

        `take_unreadable`: accept a queue of which no message can be read.

        Raises RecoveryError (`WrongKeyType`, `ForeignQueue`, `BrokerPermissionDenied`).
        """
        ...

    async def unlisted(self, listed: Collection[str]) -> Unlisted:
        """Return the queues of the database that are not among these."""
        ...

    async def count(
        self, *queues: str, select: PurgeSelect | None = None, jobs: Iterable[SeenJob] = (), names: int = 0
    ) -> Count:
        """Count the queues' messages and those that would be left, and name up to `names` of each; reads only.

        Raises RecoveryError (`SharedRoute`) if entries of `unacked` cannot be distinguished from those of a queue that
        is not among `queues`.
        """
        ...

    async def queued_task_ids(self, among: Collection[str], *queues: str) -> frozenset[str]:
        """Return which of these Celery task ids have a message in the queues' lists or in `unacked`."""
        ...

    def held(self, *queues: str) -> AsyncIterator[Sequence[HeldMessage]]:
        """Yield the queues' messages in `unacked`, in portions, those that were delivered last first; reads only.

        Raises RecoveryError (`SharedRoute`).
        """
        ...

    async def ends(self, *queues: str) -> Mapping[str, QueueEnds]:
        """Return what changes of each queue when a message is consumed; the number of commands is bounded."""
        ...

    async def consumers(self) -> Sequence[Consumer] | None:
        """Return the connections that wait for messages of any queue; None if the server lists none, or too many."""
        ...

    async def holders(self, *queues: str) -> Mapping[str, Holder]:
        """Return the recoveries that hold these queues' locks, by queue; queues without a holder are omitted."""
        ...

    def run(self, *runs: Run) -> QueueRun:
        """Return a recovery's run, of one queue or of each queue that it covers; sends no command."""
        ...

    async def restorable(self, queue: str, restore: Restore) -> Restorable:
        """Count the messages in an earlier run's quarantine, and those that would be put back; reads only.

        Raises RecoveryError (`NothingToRestore`, `RecoveryOfAnotherQueue`).
        """
        ...

    async def first_restorable(self, restore: Restore, most: int) -> Sequence[QuarantinedHeaders]:
        """Return the headers of the first messages that would be put back; reads only."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
