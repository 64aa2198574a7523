"""A broker database on Redis or Valkey, as the steps of a recovery use it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Self, TypeVar

from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker.connection.client import Client, Word
from queue_recovery.broker.connection.connecting import connect
from queue_recovery.broker.connection.health import check_permissions, check_server, consumers
from queue_recovery.broker.connection.tls import unverified
from queue_recovery.broker.connection.url import parse_url
from queue_recovery.broker.inspection import counting
from queue_recovery.broker.inspection.attribution import attribute
from queue_recovery.broker.inspection.foreign import check_keys
from queue_recovery.broker.inspection.unlisted import unlisted
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.broker.layout.own_keys import JOB_FIELD, SEEN_FIELD, OwnKeys
from queue_recovery.broker.quarantine import restorable, restoring, retention
from queue_recovery.broker.quarantine.listing import first_restorable
from queue_recovery.broker.quarantine.unreplaced import unreplaced
from queue_recovery.broker.run import closing, taking
from queue_recovery.broker.run.locks import holders, holders_of
from queue_recovery.broker.run.publisher import Publisher
from queue_recovery.broker.run.record import read_open_record, read_record, read_seen, write_seen
from queue_recovery.broker.run.script import forged, run_script
from queue_recovery.broker.run.selection import Jobs, Selection
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.recovery.errors import locked_by
from queue_recovery.recovery.ports import (
    BrokerHealth,
    Closed,
    Consumer,
    Count,
    Holder,
    QuarantinedHeaders,
    Restorable,
    Restore,
    Restored,
    Run,
    SeenJob,
    Taken,
    Task,
    Unacked,
    Unlisted,
    Unreplaced,
)

T = TypeVar("T")

_MOST_PUSHED = 2**20
"""Bytes of messages that one script enqueues at most, unless one alone is larger."""

_BATCH = 500
"""Jobs or notes that one script writes at most."""


class RedisBroker:
    """Implements `recovery.ports.Broker`."""

    def __init__(
        self,
        client: Client,
        options: TransportOptions,
        *,
        unverified: str | None = None,
        release: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Take a client, the transport options of the application, and what is not verified in the transport.

        `release` is called at the end instead of closing the client, if others use it too.
        """
        self.unverified = unverified
        self._client = client
        self._options = options
        self._layout = Layout(options)
        self._release = release or client.aclose

    @property
    def is_sound(self) -> bool:
        """Whether the server has answered as it should so far."""
        return self._client.is_sound

    def for_one_user(self, release: Callable[[], Awaitable[None]]) -> Self:
        """Return the broker over the same connections, for one user; its `aclose` calls `release`."""
        return type(self)(self._client, self._options, unverified=self.unverified, release=release)

    @cached_property
    def _publisher(self) -> Publisher:
        return Publisher()

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
            certificates: for TLS; None: nothing but what the URL says.
            sentinel_password: what the Sentinels ask for, if they do.
            destinations: the addresses to which it connects.

        Raises:
            NotYet: `InvalidBrokerURL`, `InvalidCertificate`.
            Unavailable: `PrimaryNotFound`.
        """
        address = parse_url(url)
        client = Client(
            connect(address, options, certificates, sentinel_password, destinations),
            address.database,
            OwnKeys(options.global_key_prefix),
        )
        transport = unverified(
            address,
            encrypted=address.tls or certificates is not None,
            encrypted_sentinels=options.sentinel_kwargs.ssl,
        )
        return cls(client, options, unverified=transport)

    async def check(self) -> BrokerHealth:
        """See `ports.Broker`. Tries permissions on the operator's own keys and `unacked`."""
        health = await check_server(self._client)
        await check_permissions(self._client, [self._layout.unacked, self._layout.unacked_index])
        return health

    async def depths(self, queues: Sequence[str]) -> tuple[Mapping[str, int], int]:
        """See `ports.Broker`."""
        return await counting.depths(self._client, self._layout, queues)

    async def unacked(self, queues: Collection[str]) -> Unacked:
        """See `ports.Broker`."""
        return await attribute(self._client, self._layout, queues)

    async def check_queue(self, queue: str, *, take_unreadable: bool = False) -> None:
        """See `ports.Broker`. Tries the ACL's key patterns on the queue's lists."""
        await check_permissions(self._client, list(self._layout.possible_lists(queue).values()))
        await check_keys(self._client, self._layout, queue, take_unreadable=take_unreadable)

    async def unlisted(self, listed: Collection[str]) -> Unlisted:
        """See `ports.Broker`."""
        return await unlisted(self._client, self._layout, listed)

    async def count(
        self, *queues: str, select: PurgeSelect | None = None, jobs: Iterable[SeenJob] = (), names: int = 0
    ) -> Count:
        """See `ports.Broker`."""
        return await counting.count(self._client, self._layout, queues, Selection(select, Jobs.of(jobs)), names)

    async def queued_task_ids(self, among: Collection[str], *queues: str) -> frozenset[str]:
        """See `ports.Broker`."""
        return await counting.queued_task_ids(self._client, self._layout, queues, among)

    async def consumers(self) -> Sequence[Consumer]:
        """See `ports.Broker`."""
        return await consumers(await self._client.clients(), self._client.database)

    async def holders(self, *queues: str) -> Mapping[str, Holder]:
        """See `ports.Broker`."""
        return await holders(self._client, self._layout, queues)

    async def open(self, *runs: Run) -> None:
        """See `ports.Broker`."""
        keys = [key for run in runs for key in (self._lock(run.queue), self._client.own.run(run.uid))]
        identities = [
            word
            for run in runs
            for word in (run.uid, self._layout.bare_list(run.queue), run.restore.uid if run.restore else "")
        ]
        recovery: list[Word] = [
            runs[0].name,
            runs[0].cluster,
            runs[0].cluster_uid or "",
            runs[0].retention_seconds,
        ]
        answer = await run_script(self._client, Script.OPEN, keys, [*recovery, *identities])
        if answer[0] == b"LOCKED":
            numbers, uids = answer[1::2], answer[2::2]
            held = {runs[int(n) - 1].queue: uid for n, uid in zip(numbers, uids, strict=True)}
            found = await holders_of(self._client, self._layout, held)
            raise locked_by({f'queue "{queue}"': f'recovery "{holder.name}"' for queue, holder in found.items()})

    async def freeze(self, run: Run, seen: Mapping[str, SeenJob | None]) -> Mapping[str, SeenJob | None]:
        """See `ports.Broker`."""
        record = self._client.own.run(run.uid)
        stored: dict[str, SeenJob | None] = {}
        for keys in _portions(list(seen), _BATCH):
            notes = [word for key in keys for word in (SEEN_FIELD + key, write_seen(seen[key]))]
            _, *answer = await run_script(self._client, Script.FREEZE, [record], [run.uid, *notes])
            try:
                stored |= {key: read_seen(value) for key, value in zip(keys, answer, strict=True)}
            except ValueError:
                raise forged(record) from None
        return stored

    async def take(self, *runs: Run, attempt: int = 1, frozen: Collection[str] = ()) -> Taken:
        """See `ports.Broker`."""
        return await taking.take(self._client, self._layout, runs, attempt, frozen)

    async def moved(self, *runs: Run) -> int:
        """See `ports.Broker`."""
        return sum([(await read_open_record(self._client, run.uid)).moved for run in runs])

    async def pass_boundary(self, run: Run) -> None:
        """See `ports.Broker`."""
        await taking.pass_boundary(self._client, run, {})

    async def pushed(self, run: Run) -> frozenset[str]:
        """See `ports.Broker`."""
        return (await read_open_record(self._client, run.uid)).pushed

    async def push(self, run: Run, tasks: Sequence[Task]) -> None:
        """See `ports.Broker`. The messages go to the queue's first priority list."""
        keys = [self._client.own.run(run.uid), self._layout.bare_list(run.queue)]
        jobs: list[Word] = []
        size = 0
        for task in tasks:
            message = self._publisher.message(run.queue, task)
            if jobs and (len(jobs) == 3 * _BATCH or size + len(message) > _MOST_PUSHED):
                await run_script(self._client, Script.PUSH, keys, [run.uid, *jobs])
                jobs, size = [], 0
            jobs += [JOB_FIELD + task.key, task.task_id, message]
            size += len(message)
            if len(message) > _MOST_PUSHED // 8:
                await asyncio.sleep(0)  # others go on meanwhile: its arguments took some milliseconds
        if jobs:
            await run_script(self._client, Script.PUSH, keys, [run.uid, *jobs])

    async def refuse(self, run: Run) -> None:
        """See `ports.Broker`."""
        await closing.refuse(self._client, self._layout, run)

    async def unreplaced(self, *runs: Run) -> Unreplaced:
        """See `ports.Broker`."""
        return await unreplaced(self._client, runs)

    async def restorable(self, queue: str, restore: Restore) -> Restorable:
        """See `ports.Broker`."""
        return await restorable.restorable(self._client, self._layout, queue, restore)

    async def first_restorable(self, restore: Restore, most: int) -> Sequence[QuarantinedHeaders]:
        """See `ports.Broker`."""
        return await first_restorable(self._client, restore, most)

    async def restore(self, run: Run) -> Restored:
        """See `ports.Broker`."""
        return await restoring.restore(self._client, self._layout, run)

    async def close(self, run: Run) -> Closed:
        """See `ports.Broker`."""
        return await closing.close(self._client, self._layout, run)

    async def release(self, run: Run, *, expires: datetime, retain: bool) -> None:
        """See `ports.Broker`."""
        record = await read_record(self._client, run.uid)
        if record is not None and not retain:
            await self._client.unlink(record.quarantine_keys)
        keys = [self._lock(run.queue), self._client.own.run(run.uid), self._client.own.runs(run.cluster)]
        await run_script(self._client, Script.RELEASE, keys, [run.uid, int(expires.timestamp())])

    async def expire_quarantines(
        self, cluster: str, is_live: Callable[[str, str], Awaitable[bool]], now: datetime
    ) -> int:
        """See `retention.expire_quarantines`."""
        return await retention.expire_quarantines(self._client, cluster, is_live, now)

    async def aclose(self) -> None:
        """See `ports.Broker`."""
        await self._release()

    def _lock(self, queue: str) -> str:
        return self._client.own.lock(self._layout.bare_list(queue))


def _portions(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
