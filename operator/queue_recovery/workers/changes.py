"""The changes of workers that wake a recovery which waits for one."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

from queue_recovery.api.worker_ref import GroupVersionKind, WorkerRef
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import ScaleBackNote
from queue_recovery.workers.informer import Informer
from queue_recovery.workers.kinds import kind_of
from queue_recovery.workers.patches import NO_NOTE
from queue_recovery.workers.snapshot import note_labels, outdated
from queue_recovery.workers.workloads import Workload

_PAUSE_SECONDS: Final = 10.0
"""Before a watch that the API server has refused is tried again."""


@dataclass(frozen=True)
class ObservedWorker:
    """A worker, as far as its changes are relevant."""

    uid: str
    version: int
    generation: int
    note: Mapping[str, str | None]
    """The labels of a note, as they are."""
    unsettled: str | None
    """Why it must not be scaled to 0; None: it may."""
    outdated: str | None
    """Which of its pods are not of its template; None: all are."""


Observed = ObservedWorker | None
"""None: no worker of that kind has that name."""


class WorkerChanges:
    """What was last observed of some workers, and whether it has changed since."""

    def __init__(self, informers: Callable[[GroupVersionKind], Informer[Workload]]) -> None:
        """Take the informers of the namespace's workers."""
        self._informers = informers
        self._observed: dict[WorkerRef, Observed] = {}
        self._ready = asyncio.Event()

    def observe(self, refs: Sequence[WorkerRef], workloads: Collection[Workload]) -> None:
        """Record these workers as they are: changes count from now on."""
        self._observed = _observe_all(refs, workloads)
        self._ready.set()

    def observe_write(self, written: Workload, generation: int, note: ScaleBackNote | None) -> None:
        """Record the operator's own write, so that it is no change.

        Args:
            written: the worker as the write has left it.
            generation: that of the worker to which the write was made.
            note: the note that it had. Where something else has changed too, the write is a change.
        """
        before = self._observed.get(written.ref)
        labels = dict(NO_NOTE) if note is None else note_labels(note)
        known = before is not None and (before.uid, before.generation, before.note)
        if known == (written.metadata.uid, generation, labels):
            self._observed[written.ref] = _observe(written)

    async def changed(self) -> None:
        """Return once one of the workers has changed since it was last observed.

        That is: it was created, deleted or replaced, or its generation, its note, whether it may be scaled to 0, or
        which of its pods are not of its template is another. While the API server refuses the watch, it is tried again.
        """
        await self._ready.wait()
        while True:
            try:
                await self._await_change()
            except RecoveryError:
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def _await_change(self) -> None:
        changed = asyncio.Event()
        followed = [self._informers(kind) for kind in sorted({ref.gvk for ref in self._observed})]
        async with AsyncExitStack() as stack:
            for informer in followed:
                await stack.enter_async_context(informer.followed(changed.set))
            while True:
                changed.clear()
                for informer in followed:
                    informer.check()
                now = _observe_all(list(self._observed), [one for each in followed for one in each.objects])
                if any(is_relevant(self._observed[ref], found) for ref, found in now.items()):
                    self._observed = now
                    return
                await changed.wait()


def is_relevant(before: Observed, now: Observed) -> bool:
    """Return whether a worker has changed. Pure.

    A watch may lag behind what was observed since.
    """
    if before is None or now is None:
        return before is not now
    if before.uid != now.uid:
        return True
    if before.version >= now.version:
        return False
    return replace(before, version=now.version) != now


def _observe_all(refs: Sequence[WorkerRef], workloads: Collection[Workload]) -> dict[WorkerRef, Observed]:
    found = {ref: one for one in workloads if (ref := one.ref) in refs}
    return {ref: _observe(found[ref]) if ref in found else None for ref in refs}


def _observe(workload: Workload) -> ObservedWorker:
    metadata = workload.metadata
    labels = {name: metadata.labels.get(name) for name in NO_NOTE}
    unsettled = kind_of(workload.gvk).unsettled(workload)
    return ObservedWorker(metadata.uid, metadata.version, metadata.generation, labels, unsettled, outdated(workload))
