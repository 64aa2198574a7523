"""Following one collection of a namespace: a list, then a watch, and a list again when the watch breaks."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import aclosing
from typing import Final, Generic

from queue_recovery.workers.namespace import Deleted, Interrupted, Kind, Namespace, Reached, Seen
from queue_recovery.workers.objects import ObjectT

_PAUSE_SECONDS: Final = 1.0
"""Between two lists, and between two watches that ended at once: a server in trouble is not hurried."""


class Following(Generic[ObjectT]):
    """A collection as last seen."""

    def __init__(
        self,
        namespace: Namespace,
        kind: Kind[ObjectT],
        changed: Callable[[], None],
        only: str | None,
        *,
        remember: Callable[[ObjectT], bool] = lambda _: False,
    ) -> None:
        """Prepare.

        Args:
            namespace: where the collection is.
            kind: which one it is.
            changed: called after every change.
            only: follow just the object of that name.
            remember: tells of an object that is gone, as last seen, whether it is kept in `gone`.
        """
        self._namespace = namespace
        self._kind = kind
        self._changed = changed
        self._only = only
        self._remember = remember
        self._objects: dict[str, ObjectT] | None = None
        self._gone: dict[str, ObjectT] = {}

    @property
    def objects(self) -> Collection[ObjectT] | None:
        """Return what is there; None before the first list."""
        return None if self._objects is None else self._objects.values()

    @property
    def gone(self) -> Collection[ObjectT]:
        """Return what was there since the first list and is not any more, each as last seen, where it is remembered.

        Of what went while no watch was open, that may not be its last state.
        """
        return self._gone.values()

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            RecoveryError: the collection cannot be listed or watched.
        """
        while True:
            listed = await self._namespace.fetch(self._kind, self._only)
            before, self._objects = self._objects or {}, {item.metadata.uid: item for item in listed.items}
            for uid in before.keys() - self._objects.keys():
                self._note_gone(before[uid])
            self._changed()
            try:
                await self._watch(self._objects, listed.metadata.resource_version)
            except Interrupted:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _watch(self, objects: dict[str, ObjectT], since: str) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            async with aclosing(self._namespace.watch(self._kind, since, self._only)) as events:
                async for event in events:
                    match event:
                        case Reached(resource_version):
                            since = resource_version
                            continue
                        case Seen(found):
                            objects[found.metadata.uid] = found
                        case Deleted(found):
                            objects.pop(found.metadata.uid, None)
                            self._note_gone(found)
                    since = found.metadata.resource_version
                    self._changed()
            if clock() - started < _PAUSE_SECONDS:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _note_gone(self, last: ObjectT) -> None:
        if self._remember(last):
            self._gone[last.metadata.uid] = last
