"""A broker database on Redis or Valkey, as the steps of a recovery use it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Self, TypeVar

from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import inspection, restoring, sweeper, taking
from queue_recovery.broker.client import Client, Word
from queue_recovery.broker.connecting import connect
from queue_recovery.broker.consumers import consumers
from queue_recovery.broker.health import check_permissions, check_server
from queue_recovery.broker.keeping import give_back_kept
from queue_recovery.broker.keys import Layout
from queue_recovery.broker.locks import holders, holders_of
from queue_recovery.broker.notes import note_of, read_note
from queue_recovery.broker.own_keys import JOB_FIELD, SEEN_FIELD, TAKEN_FIELD, OwnKeys, unacked_ending
from queue_recovery.broker.publish import Publisher
from queue_recovery.broker.run import read_open_record, read_record
from queue_recovery.broker.scripts import Script, forged, run_script
from queue_recovery.broker.tls import unverified
from queue_recovery.broker.unlisted import unlisted
from queue_recovery.broker.url import parse_url
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.recovery.errors import locked_by
from queue_recovery.recovery.ports import (
    BrokerHealth,
    Closed,
    Consumer,
    Count,
    Holder,
    Restorable,
    Restore,
    Restored,
    Run,
    SeenJob,
    Taken,
    Task,
    Unlisted,
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
        return await inspection.depths(self._client, self._layout, queues)

    async def check_queue(self, queue: str, *, take_unreadable: bool = False) -> None:
        """See `ports.Broker`. Tries the ACL's key patterns on the queue's lists."""
        await check_permissions(self._client, list(self._layout.possible_lists(queue).values()))
        await inspection.check_keys(self._client, self._layout, queue, take_unreadable=take_unreadable)

    async def unlisted(self, listed: Collection[str]) -> Unlisted:
        """See `ports.Broker`."""
        return await unlisted(self._client, self._layout, listed)

    async def count(self, *queues: str, select: PurgeSelect | None = None) -> Count:
        """See `ports.Broker`."""
        return await inspection.count(self._client, self._layout, queues, select)

    async def queued_task_ids(
        self, among: Collection[str], *queues: str, left_by: PurgeSelect | None = None
    ) -> frozenset[str]:
        """See `ports.Broker`."""
        return await inspection.queued_task_ids(self._client, self._layout, queues, among, left_by)

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
            raise locked_by({f"queue {queue!r}": holder.name for queue, holder in found.items()})

    async def freeze(self, run: Run, seen: Mapping[str, SeenJob | None]) -> Mapping[str, SeenJob | None]:
        """See `ports.Broker`."""
        record = self._client.own.run(run.uid)
        stored: dict[str, SeenJob | None] = {}
        for keys in _portions(list(seen), _BATCH):
            notes = [word for key in keys for word in (SEEN_FIELD + key, note_of(seen[key]))]
            _, *answer = await run_script(self._client, Script.FREEZE, [record], [run.uid, *notes])
            try:
                stored |= {key: read_note(value) for key, value in zip(keys, answer, strict=True)}
            except ValueError:
                raise forged(record) from None
        return stored

    async def take(self, *runs: Run, sweep: int = 1, among: Collection[str] = ()) -> Taken:
        """See `ports.Broker`."""
        return await taking.take(self._client, self._layout, runs, sweep, among)

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
        await self._send_close(run, given_back=False)

    async def restorable(self, queue: str, restore: Restore) -> Restorable:
        """See `ports.Broker`."""
        return await restoring.restorable(self._client, self._layout, queue, restore)

    async def restore(self, run: Run) -> Restored:
        """See `ports.Broker`."""
        return await restoring.restore(self._client, self._layout, run)

    async def close(self, run: Run) -> Closed:
        """See `ports.Broker`."""
        answer = await self._send_close(run, given_back=False)
        if answer[0] == b"KEEPING":
            await self._bring_back(run)
            answer = await self._send_close(run, given_back=False)
        if answer[0] == b"CLOSING":
            await taking.give_back(self._client, self._layout, run)
            answer = await self._send_close(run, given_back=True)
        if answer[0] != b"CLOSED":
            raise forged(self._client.own.run(run.uid))
        was_purged = answer[1] == b"1"
        record = await read_record(self._client, run.uid)
        return Closed(
            was_purged=was_purged,
            taken=record.taken if record and was_purged else None,
            pushed=record.pushed if record else frozenset(),
            seen=record.seen if record else frozenset(),
            restored=record.restored if record and record.earlier and was_purged else None,
        )

    async def release(self, run: Run, *, expires: datetime, keep: bool) -> None:
        """See `ports.Broker`."""
        record = await read_record(self._client, run.uid)
        if record is not None and not keep:
            await self._client.unlink(record.quarantine_keys)
        keys = [self._lock(run.queue), self._client.own.run(run.uid), self._client.own.runs(run.cluster)]
        await run_script(self._client, Script.RELEASE, keys, [run.uid, int(expires.timestamp())])

    async def sweep(self, cluster: str, is_live: Callable[[str, str], Awaitable[bool]], now: datetime) -> int:
        """See `sweeper.sweep`."""
        return await sweeper.sweep(self._client, cluster, is_live, now)

    async def aclose(self) -> None:
        """See `ports.Broker`."""
        await self._release()

    async def _send_close(self, run: Run, *, given_back: bool) -> list[bytes]:
        ending = unacked_ending(1)
        keys = [self._client.own.run(run.uid), self._client.own.quarantine(run.uid, ending)]
        return await run_script(
            self._client, Script.CLOSE, keys, [*self._identity(run), TAKEN_FIELD + ending, int(given_back)]
        )

    async def _bring_back(self, run: Run) -> None:
        """Bring back what a run whose ending has begun keeps, or has brought on its way."""
        record = await read_record(self._client, run.uid)
        if record is not None and record.earlier is not None:
            await restoring.bring_back(self._client, self._layout, run, restoring.stays)
        else:
            await give_back_kept(self._client, self._layout, run)

    def _lock(self, queue: str) -> str:
        return self._client.own.lock(self._layout.bare_list(queue))

    def _identity(self, run: Run) -> list[str]:
        return [run.uid, run.name, run.cluster, self._layout.bare_list(run.queue)]


def _portions(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
