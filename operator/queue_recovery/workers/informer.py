"""Informers: each collection of a namespace is listed and watched once, for all recoveries that follow it.

A watch may lag behind what somebody has just written. So a follower may refresh the informer first: it lists the
collection again, and what is newer in the list than in the informer counts. What the operator itself has written is
taken in from the answer. Versions are compared as numbers, which Kubernetes documents for objects of one resource since
1.35; servers that keep them in etcd always numbered them so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Final, Generic

from queue_recovery.workers.namespace import Deleted, Interrupted, Kind, Namespace, Reached, Seen
from queue_recovery.workers.objects import ObjectList, ObjectT

_PAUSE_SECONDS: Final = 1.0
"""Between two lists, and between two watches that ended at once: a server in trouble is not hurried."""

_LINGER_SECONDS: Final = 5.0
"""How long a watch is kept that nobody follows: the next phase of a recovery follows again."""


class Informer(Generic[ObjectT]):
    """A collection as last seen. It is watched while somebody follows it, and some seconds longer."""

    def __init__(
        self, namespace: Namespace, kind: Kind[ObjectT], *, remember: Callable[[ObjectT], bool] = lambda _: False
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            namespace: where the collection is.
            kind: which one it is.
            remember: tells of an object that is gone, as last seen, whether it is kept in `gone`.
        """
        self._namespace = namespace
        self._kind = kind
        self._remember = remember
        self._objects: dict[str, ObjectT] = {}
        self._missing: set[str] = set()
        """UIDs of those that the newest list does not show any more, and whose end the watch has yet to report."""
        self._gone: dict[str, ObjectT] = {}
        self._since = ""
        """The version up to which the watch is to be resumed after."""
        self._floor = 0
        """The version of the newest list: older news of an object that it does not show is no news."""
        self._followers: set[Callable[[], None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._listing: asyncio.Task[ObjectList[ObjectT]] | None = None
        self._next_listing: asyncio.Task[ObjectList[ObjectT]] | None = None

    @property
    def objects(self) -> Collection[ObjectT]:
        """Return what is there as far as the watch has reported; each is as new as the newest list at least."""
        return self._objects.values()

    @property
    def present(self) -> Collection[ObjectT]:
        """Return what is there as of the newest list or later."""
        return [item for uid, item in self._objects.items() if uid not in self._missing]

    @property
    def gone(self) -> Collection[ObjectT]:
        """Return what has gone since the watch began, each as last seen, where it is remembered.

        Of what went while no watch was open, that may not be its last state.
        """
        return self._gone.values()

    @property
    def is_current(self) -> bool:
        """Tell whether the collection is being watched, and has been listed."""
        return self._is_running and self._floor > 0

    @asynccontextmanager
    async def followed(self, changed: Callable[[], None], *, fresh: bool = True) -> AsyncIterator[None]:
        """Keep the collection watched while the block runs.

        Args:
            changed: called after every change, and at an error.
            fresh: whether the block begins after a refresh, also if the collection is being watched already.

        Raises:
            RecoveryError: the collection cannot be listed.
        """
        if not self._followers and not self._is_running:
            self._forget()
        self._followers.add(changed)
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        begins = not self._is_running
        if begins:
            self._running = asyncio.ensure_future(self._run())
            self._running.add_done_callback(self._ended)
        try:
            if fresh or begins or not self._floor:
                await self.refresh()
            yield
        finally:
            self._followers.discard(changed)
            if not self._followers:
                self._lingering = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._stop)

    def check(self) -> None:
        """Raise what the collection cannot be followed for; a RecoveryError."""
        if self._running is not None and self._running.done():
            self._running.result()

    def observe_write(self, written: ObjectT) -> None:
        """Take in how an object is after the operator's own write; the watch tells of it later."""
        known = self._objects.get(written.metadata.uid)
        # Not one that the watch has told the end of since.
        if known is not None and _is_newer(written, known):
            self._objects[written.metadata.uid] = written
            self._tell()

    async def refresh(self) -> None:
        """Take in the collection as it is now: the list begins after this call. Callers share one.

        Raises:
            RecoveryError: the collection cannot be listed.
        """
        await self._list()

    @property
    def _is_running(self) -> bool:
        return self._running is not None and not self._running.done()

    async def _list(self) -> ObjectList[ObjectT]:
        if self._next_listing is None:
            self._next_listing = asyncio.ensure_future(self._list_after(self._listing))
            self._next_listing.add_done_callback(_retrieved)
        return await asyncio.shield(self._next_listing)

    async def _list_after(self, last: "asyncio.Task[ObjectList[ObjectT]] | None") -> ObjectList[ObjectT]:
        if last is not None and not last.done():
            await asyncio.wait({last})
        self._listing, self._next_listing = self._next_listing, None
        listed = await self._namespace.fetch(self._kind)
        self._take_in_list(listed)
        return listed

    def _take_in_list(self, listed: ObjectList[ObjectT]) -> None:
        found = {item.metadata.uid: item for item in listed.items}
        for uid, item in found.items():
            if _is_newer(item, self._objects.get(uid)):
                self._objects[uid] = item
        version = int(listed.metadata.resource_version)
        gone = self._objects.keys() - found.keys()
        self._missing |= {uid for uid in gone if self._objects[uid].metadata.version <= version}
        self._floor = max(self._floor, version)
        self._tell()

    async def _run(self) -> None:
        """Watch until cancelled; raises a RecoveryError when the collection cannot be listed or watched."""
        while True:
            self._since = (await self._list()).metadata.resource_version
            # No watch is open that could tell more of them.
            for uid in list(self._missing):
                self._remove(self._objects[uid])
            self._tell()
            try:
                await self._watch()
            except Interrupted:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            async with aclosing(self._namespace.watch(self._kind, self._since)) as events:
                async for event in events:
                    match event:
                        case Reached(resource_version):
                            self._since = resource_version
                            continue
                        case Seen(found):
                            self._see(found)
                        case Deleted(found):
                            self._remove(found)
                    self._since = found.metadata.resource_version
                    self._tell()
            if clock() - started < _PAUSE_SECONDS:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _see(self, found: ObjectT) -> None:
        known = self._objects.get(found.metadata.uid)
        # Older than the newest list, which does not show it: its end is on the way.
        is_past = known is None and found.metadata.version <= self._floor
        if not is_past and _is_newer(found, known):
            self._objects[found.metadata.uid] = found

    def _remove(self, last: ObjectT) -> None:
        self._objects.pop(last.metadata.uid, None)
        self._missing.discard(last.metadata.uid)
        if self._remember(last):
            self._gone[last.metadata.uid] = last

    def _tell(self) -> None:
        for changed in list(self._followers):
            changed()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            task.exception()  # followers are told of it by `check`; there may be none
            self._tell()

    def _stop(self) -> None:
        """End the watch; the next one begins with a list."""
        if self._running is not None:
            self._running.cancel()
        self._running = self._lingering = None
        self._forget()

    def _forget(self) -> None:
        self._objects, self._missing, self._gone, self._floor = {}, set(), {}, 0


def _is_newer(found: ObjectT, known: ObjectT | None) -> bool:
    return known is None or found.metadata.version > known.metadata.version


def _retrieved(task: "asyncio.Task[object]") -> None:
    """Take the error of a list that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
