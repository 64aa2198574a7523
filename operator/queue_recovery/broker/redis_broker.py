"""A broker database on Redis or Valkey, as the steps of a recovery use it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Self

from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.connection.connecting import connect
from queue_recovery.broker.connection.health import check_permissions, check_server, consumers
from queue_recovery.broker.connection.tls import unverified
from queue_recovery.broker.connection.url import parse_url
from queue_recovery.broker.inspection import counting
from queue_recovery.broker.inspection.attribution import attribute
from queue_recovery.broker.inspection.ends import ends
from queue_recovery.broker.inspection.foreign import check_keys
from queue_recovery.broker.inspection.held import held
from queue_recovery.broker.inspection.next_messages import next_messages
from queue_recovery.broker.inspection.unlisted import unlisted
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.broker.quarantine import restorable, retention
from queue_recovery.broker.quarantine.listing import first_restorable
from queue_recovery.broker.queue_run import RedisQueueRun
from queue_recovery.broker.run import locks
from queue_recovery.broker.run.publisher import Publisher
from queue_recovery.broker.run.selection import Jobs, Selection
from queue_recovery.diagnosis.stuck_evidence import Tail
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.recovery.ports import (
    BrokerHealth,
    Consumer,
    Count,
    HeldMessage,
    Holder,
    QuarantinedHeaders,
    QueueEnds,
    Restorable,
    Restore,
    Run,
    SeenJob,
    Unacked,
    Unlisted,
)


class RedisBroker:
    """Implements `recovery.ports.Broker`."""

    def __init__(
        self,
        database: Database,
        *,
        unverified: str | None = None,
        release: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Store the database, and what is not verified of the connection to its server.

        `aclose` calls `release` instead of closing the connections, if others use them too.
        """
        self.database = database
        self.unverified = unverified
        self._publisher = Publisher()
        self._release = release or database.client.aclose

    @property
    def is_sound(self) -> bool:
        """False once a command has failed, so that the connections are not used again."""
        return self.database.client.is_sound

    def for_one_user(self, release: Callable[[], Awaitable[None]]) -> Self:
        """Return the broker over the same connections, for one user; its `aclose` calls `release`."""
        return type(self)(self.database, unverified=self.unverified, release=release)

    @classmethod
    def connect(
        cls,
        url: str,
        options: TransportOptions,
        *,
        certificates: Certificates | None = None,
        sentinel_password: str | None = None,
        destinations: Destinations = ANYWHERE,
    ) -> Self:
        """Return the broker at a URL; connects with the first command.

        Args:
            url: of the server, or of its Sentinels.
            options: the application's transport options.
            certificates: for TLS; None: only the URL says whether and how TLS is used.
            sentinel_password: what the Sentinels ask for, if they do.
            destinations: the addresses to which it connects.

        Raises:
            RecoveryError: `InvalidBrokerURL`, `InvalidCertificate`, `PrimaryNotFound`.
        """
        address = parse_url(url)
        redis = connect(address, options, certificates, sentinel_password, destinations)
        database = Database(Client(redis, address.database), Layout(options))
        transport = unverified(
            address,
            encrypted=address.tls or certificates is not None,
            encrypted_sentinels=options.sentinel_kwargs.ssl,
        )
        return cls(database, unverified=transport)

    async def check(self) -> BrokerHealth:
        """See `ports.Broker`. Tries permissions on the operator's own keys and `unacked`."""
        health = await check_server(self.database.client)
        layout = self.database.layout
        await check_permissions(self.database.client, self.database.own.probe, [layout.unacked, layout.unacked_index])
        return health

    async def depths(self, queues: Sequence[str]) -> tuple[Mapping[str, int], int]:
        """See `ports.Broker`."""
        return await counting.depths(self.database, queues)

    async def unacked(self, queues: Collection[str]) -> Unacked:
        """See `ports.Broker`."""
        return await attribute(self.database, queues)

    async def next_messages(self, queues: Sequence[str]) -> Mapping[str, Mapping[int, Tail]]:
        """See `ports.Broker`."""
        return await next_messages(self.database, queues)

    async def check_queue(self, queue: str, *, take_unreadable: bool = False) -> None:
        """See `ports.Broker`. Tries the ACL's key patterns on the queue's lists."""
        lists = list(self.database.layout.possible_lists(queue).values())
        await check_permissions(self.database.client, self.database.own.probe, lists)
        await check_keys(self.database, queue, take_unreadable=take_unreadable)

    async def unlisted(self, listed: Collection[str]) -> Unlisted:
        """See `ports.Broker`."""
        return await unlisted(self.database, listed)

    async def count(
        self, *queues: str, select: PurgeSelect | None = None, jobs: Iterable[SeenJob] = (), names: int = 0
    ) -> Count:
        """See `ports.Broker`."""
        return await counting.count(self.database, queues, Selection(select, Jobs.of(jobs)), names)

    async def queued_task_ids(self, among: Collection[str], *queues: str) -> frozenset[str]:
        """See `ports.Broker`."""
        return await counting.queued_task_ids(self.database, queues, among)

    def held(self, *queues: str) -> AsyncIterator[Sequence[HeldMessage]]:
        """See `ports.Broker`."""
        return held(self.database, queues)

    async def ends(self, *queues: str) -> Mapping[str, QueueEnds]:
        """See `ports.Broker`."""
        return await ends(self.database, queues)

    async def consumers(self) -> Sequence[Consumer] | None:
        """See `ports.Broker`."""
        listed = await self.database.client.clients()
        return await consumers(listed, self.database.client.database) if listed else None

    async def holders(self, *queues: str) -> Mapping[str, Holder]:
        """See `ports.Broker`."""
        return await locks.holders(self.database, queues)

    def run(self, *runs: Run) -> RedisQueueRun:
        """See `ports.Broker`."""
        return RedisQueueRun(self.database, runs, self._publisher)

    async def restorable(self, queue: str, restore: Restore) -> Restorable:
        """See `ports.Broker`."""
        return await restorable.restorable(self.database, queue, restore)

    async def first_restorable(self, restore: Restore, most: int) -> Sequence[QuarantinedHeaders]:
        """See `ports.Broker`."""
        return await first_restorable(self.database, restore, most)

    async def expire_quarantines(
        self, cluster: str, is_live: Callable[[str, str], Awaitable[bool]], now: datetime
    ) -> int:
        """See `retention.expire_quarantines`."""
        return await retention.expire_quarantines(self.database, cluster, is_live, now)

    async def aclose(self) -> None:
        """See `ports.Broker`."""
        await self._release()
