"""Informers: each collection of a namespace is listed and watched only once.

All recoveries that follow a collection share its informer. A watch may lag behind the latest writes. So a follower may
refresh the informer first: it lists the collection again, and what is newer in the list than in the informer counts.
The operator's own writes are recorded from their answers. Versions are compared as numbers, which Kubernetes documents
for objects of one resource since 1.35; servers that keep them in etcd have always numbered them so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Final, Generic

from queue_recovery.workers.namespace import Deleted, Interrupted, Namespace, Reached, Updated
from queue_recovery.workers.objects import ObjectList, ObjectT
from queue_recovery.workers.resources import Kind

_PAUSE_SECONDS: Final = 1.0
"""Between two lists, and between two watches that ended at once, so as not to overload a server in trouble."""

_LINGER_SECONDS: Final = 5.0
"""How long a watch goes on without a follower: the next phase of a recovery follows again."""


class Informer(Generic[ObjectT]):
    """A collection as last observed.

    It is watched while it has a follower, and for some seconds longer.
    """

    def __init__(
        self, namespace: Namespace, kind: Kind[ObjectT], *, remember: Callable[[ObjectT], bool] = lambda _: False
    ) -> None:
        """Prepare the informer; this sends no request.

        Args:
            namespace: where the collection is.
            kind: which one it is.
            remember: returns whether an object that was deleted is listed in `gone`; takes its last version.
        """
        self._namespace = namespace
        self._kind = kind
        self._remember = remember
        self._objects: dict[str, ObjectT] = {}
        self._missing: set[str] = set()
        """UIDs of objects that are not in the newest list, and whose deletion the watch has not reported yet."""
        self._gone: dict[str, ObjectT] = {}
        self._since = ""
        """The version after which the watch goes on."""
        self._floor = 0
        """The version of the newest list: older events of objects that it does not have are ignored."""
        self._followers: set[Callable[[], None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._listing: asyncio.Task[ObjectList[ObjectT]] | None = None
        self._next_listing: asyncio.Task[ObjectList[ObjectT]] | None = None

    @property
    def objects(self) -> Collection[ObjectT]:
        """Return the objects that the watch has not reported as deleted.

        Each is at least as new as the newest list.
        """
        return self._objects.values()

    @property
    def present(self) -> Collection[ObjectT]:
        """Return the objects that exist, as of the newest list or later."""
        return [item for uid, item in self._objects.items() if uid not in self._missing]

    @property
    def gone(self) -> Collection[ObjectT]:
        """Return the remembered objects that were deleted since the watch began.

        Each is as last observed, which may not be its last state where it was deleted while no watch was open.
        """
        return self._gone.values()

    @property
    def is_current(self) -> bool:
        """Return whether the collection is being watched, and has been listed."""
        return self._is_running and self._floor > 0

    @asynccontextmanager
    async def followed(self, changed: Callable[[], None], *, fresh: bool = True) -> AsyncIterator[None]:
        """Watch the collection while the block runs.

        Args:
            changed: called after every change, and at an error.
            fresh: whether to refresh the collection first, even if it is being watched already.

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
        """Raise the RecoveryError with which the watch has ended, if any."""
        if self._running is not None and self._running.done():
            self._running.result()

    def observe_write(self, written: ObjectT) -> None:
        """Record an object as the operator's own write has left it.

        The watch reports it later.
        """
        known = self._objects.get(written.metadata.uid)
        # Not an object whose deletion the watch has reported since.
        if known is not None and _is_newer(written, known):
            self._objects[written.metadata.uid] = written
            self._notify()

    async def refresh(self) -> None:
        """List the collection as it is now: the list begins after this call.

        Concurrent callers share one list.

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
        self._record_list(listed)
        return listed

    def _record_list(self, listed: ObjectList[ObjectT]) -> None:
        found = {item.metadata.uid: item for item in listed.items}
        for uid, item in found.items():
            if _is_newer(item, self._objects.get(uid)):
                self._objects[uid] = item
        version = int(listed.metadata.resource_version)
        gone = self._objects.keys() - found.keys()
        self._missing |= {uid for uid in gone if self._objects[uid].metadata.version <= version}
        self._floor = max(self._floor, version)
        self._notify()

    async def _run(self) -> None:
        """Watch until cancelled; raises a RecoveryError when listing or watching fails."""
        while True:
            self._since = (await self._list()).metadata.resource_version
            # No watch is open that could report their deletion.
            for uid in list(self._missing):
                self._remove(self._objects[uid])
            self._notify()
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
                        case Updated(found):
                            self._observe(found)
                        case Deleted(found):
                            self._remove(found)
                    self._since = found.metadata.resource_version
                    self._notify()
            if clock() - started < _PAUSE_SECONDS:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _observe(self, found: ObjectT) -> None:
        known = self._objects.get(found.metadata.uid)
        # Older than the newest list, which does not have it: it was deleted since.
        is_past = known is None and found.metadata.version <= self._floor
        if not is_past and _is_newer(found, known):
            self._objects[found.metadata.uid] = found

    def _remove(self, last: ObjectT) -> None:
        self._objects.pop(last.metadata.uid, None)
        self._missing.discard(last.metadata.uid)
        if self._remember(last):
            self._gone[last.metadata.uid] = last

    def _notify(self) -> None:
        for changed in list(self._followers):
            changed()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            task.exception()  # `check` raises it for followers; there may be none
            self._notify()

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
    """Retrieve the error of a list whose callers were all cancelled."""
    if not task.cancelled():
        task.exception()
