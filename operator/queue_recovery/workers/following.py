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
        self, namespace: Namespace, kind: Kind[ObjectT], changed: Callable[[], None], only: str | None
    ) -> None:
        """Prepare; `changed` is called after every change, and `only` follows just the object of that name."""
        self._namespace = namespace
        self._kind = kind
        self._changed = changed
        self._only = only
        self._objects: dict[str, ObjectT] | None = None

    @property
    def objects(self) -> Collection[ObjectT] | None:
        """Return what is there; None before the first list."""
        return None if self._objects is None else self._objects.values()

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            RecoveryError: the collection cannot be listed or watched.
        """
        while True:
            listed = await self._namespace.fetch(self._kind, self._only)
            self._objects = {item.metadata.uid: item for item in listed.items}
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
                    since = found.metadata.resource_version
                    self._changed()
            if clock() - started < _PAUSE_SECONDS:
                await asyncio.sleep(_PAUSE_SECONDS)
