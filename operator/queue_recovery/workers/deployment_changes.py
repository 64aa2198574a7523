"""The changes of Deployments that wake a recovery which waits for one."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import ScaleBackNote
from queue_recovery.workers.informer import Informer
from queue_recovery.workers.objects import Deployment
from queue_recovery.workers.patches import NO_NOTE
from queue_recovery.workers.snapshot import note_labels

_PAUSE_SECONDS: Final = 10.0
"""Before a watch that the API server has refused is tried again."""


@dataclass(frozen=True)
class ObservedDeployment:
    """A Deployment, as far as its changes are relevant."""

    uid: str
    version: int
    generation: int
    note: Mapping[str, str | None]
    """The labels of a note, as they are."""


Observed = ObservedDeployment | None
"""None: no Deployment has that name."""


class DeploymentChanges:
    """What was last observed of some Deployments, and whether it has changed since."""

    def __init__(self, informer: Informer[Deployment]) -> None:
        """Take the informer of the namespace's Deployments."""
        self._informer = informer
        self._observed: dict[str, Observed] = {}
        self._ready = asyncio.Event()

    def observe(self, names: Sequence[str], deployments: Collection[Deployment]) -> None:
        """Record these Deployments as they are: changes count from now on."""
        self._observed = _observe_all(names, deployments)
        self._ready.set()

    def observe_write(self, written: Deployment, generation: int, note: ScaleBackNote | None) -> None:
        """Record the operator's own write, so that it is no change.

        Args:
            written: the Deployment as the write has left it.
            generation: that of the Deployment to which the write was made.
            note: the note that it had. Where something else has changed too, the write is a change.
        """
        before = self._observed.get(written.metadata.name)
        labels = dict(NO_NOTE) if note is None else note_labels(note)
        known = before is not None and (before.uid, before.generation, before.note)
        if known == (written.metadata.uid, generation, labels):
            self._observed[written.metadata.name] = _observe(written)

    async def changed(self) -> None:
        """Return once one of the Deployments has changed since it was last observed.

        That is: it was created, deleted or replaced, or its generation or its note is another. While the API server
        refuses the watch, it is tried again.
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
        async with self._informer.followed(changed.set):
            while True:
                changed.clear()
                self._informer.check()
                now = _observe_all(list(self._observed), self._informer.objects)
                if any(is_relevant(self._observed[name], found) for name, found in now.items()):
                    self._observed = now
                    return
                await changed.wait()


def is_relevant(before: Observed, now: Observed) -> bool:
    """Return whether a Deployment has changed. Pure.

    A watch may lag behind what was observed since.
    """
    if before is None or now is None:
        return before is not now
    if before.uid != now.uid:
        return True
    return before.version < now.version and (before.generation, before.note) != (now.generation, now.note)


def _observe_all(names: Sequence[str], deployments: Collection[Deployment]) -> dict[str, Observed]:
    found = {one.metadata.name: one for one in deployments if one.metadata.name in names}
    return {name: _observe(found[name]) if name in found else None for name in names}


def _observe(deployment: Deployment) -> ObservedDeployment:
    metadata = deployment.metadata
    labels = {name: metadata.labels.get(name) for name in NO_NOTE}
    return ObservedDeployment(metadata.uid, metadata.version, metadata.generation, labels)
