"""The Deployments of one namespace, as `recovery.ports.Workers` describes them."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError, Unavailable
from queue_recovery.recovery.ports import ScaleBackNote, ScaledDown, Worker
from queue_recovery.workers.deployment_changes import State, is_relevant, observe, observe_all
from queue_recovery.workers.informers import Informers
from queue_recovery.workers.namespace import Conflict, NotFound, Patch
from queue_recovery.workers.objects import Deployment, Pod, ReplicaSet
from queue_recovery.workers.patches import FENCE, NO_NOTE, disowning, scaled
from queue_recovery.workers.snapshot import note_labels, note_of, worker

_ATTEMPTS: Final = 10
"""How often a write is tried that somebody else's write was faster than."""

_PAUSE_SECONDS: Final = 10.0
"""Between two tries of a watch that nobody else asks for."""


class KubernetesWorkers:
    """The Deployments of one namespace; see `recovery.ports.Workers`.

    Besides what is said there, every call may raise Unavailable (`WorkerWriteRefused`) when an admission policy or a
    webhook refuses a write.
    """

    def __init__(self, informers: Informers) -> None:
        """Take the namespace's informers."""
        self._informers = informers
        self._namespace = informers.namespace
        self._seen: dict[str, State] = {}
        self._looked = asyncio.Event()

    async def look(self, names: Sequence[str]) -> Sequence[Worker]:
        """Return these Deployments as they are now, in the order of the names; three requests at most.

        Where they are followed, their ReplicaSets are those that the watch has told of: two requests.

        Raises:
            NotYet: `WorkerNotFound`, `Forbidden`.
            Unavailable: `KubernetesUnavailable`.
        """
        here = self._informers
        if here.are_current:
            now, living = await here.refreshed(here.deployments), await here.refreshed(here.pods)
            # A watch that nobody follows any more may have been ended meanwhile, and has forgotten all.
            if here.are_current:
                return self._described(names, now, here.replica_sets.present, living, ())
        # In this order and one after the other: see `snapshot.worker`.
        deployments = (await self._namespace.fetch(self._namespace.deployments)).items
        replica_sets = (await self._namespace.fetch(self._namespace.replica_sets)).items
        pods = (await self._namespace.fetch(self._namespace.pods)).items
        return self._described(names, deployments, replica_sets, pods, ())

    async def paused(self, names: Sequence[str]) -> Sequence[str]:
        """Return which of these Deployments are paused, as far as a watch has told where there is one.

        One request at most. Raises as `look`.
        """
        watched = self._informers.deployments
        if watched.is_current:
            found = watched.present
        else:
            found = (await self._namespace.fetch(self._namespace.deployments)).items
        self._see(names, found)
        return [one.metadata.name for one in found if one.metadata.name in names and one.spec.paused]

    async def follow(self, names: Sequence[str], *, fresh: bool = True) -> AsyncGenerator[Sequence[Worker], None]:
        """Yield these Deployments as they are now, and again after every change of them or of their pods.

        The watches are shared by all who follow in the namespace. That a Deployment is drained is said only after a
        fresh look: the watches run side by side, and one of them may lag behind the others. What is not `fresh` at
        first is as new as the last look, and as the last write of the operator.

        Raises:
            NotYet: `WorkerNotFound` (also when one is deleted meanwhile), `Forbidden`.
            Unavailable: `KubernetesUnavailable`.
        """
        here, changed = self._informers, asyncio.Event()
        last: Sequence[Worker] = ()
        async with here.followed(changed.set, fresh=fresh):
            earlier = {pod.metadata.uid for pod in here.pods.gone}

            def gone() -> Collection[Pod]:
                return [pod for pod in here.pods.gone if pod.metadata.uid not in earlier]

            while True:
                changed.clear()
                here.check()
                now = self._described(
                    names, here.deployments.present, here.replica_sets.present, here.pods.objects, gone()
                )
                if now != last and all(worker.drained for worker in now):
                    now = self._described(names, *await here.refresh(), gone())
                if now != last:
                    last = now
                    yield now
                await changed.wait()

    async def changed(self) -> None:
        """Return once a Deployment has changed since it was last looked at.

        It is there, gone, of another generation, or held by another recovery.

        While the API server refuses the watch, it is tried again now and then.
        """
        await self._looked.wait()
        while True:
            with suppress(RecoveryError):
                await self._await_change()
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _await_change(self) -> None:
        changed = asyncio.Event()
        deployments = self._informers.deployments
        async with deployments.followed(changed.set):
            while True:
                changed.clear()
                deployments.check()
                now = observe_all(list(self._seen), deployments.objects)
                if any(is_relevant(self._seen[name], state) for name, state in now.items()):
                    self._seen = now
                    return
                await changed.wait()

    async def scale_to_zero(self, worker: Worker, note: ScaleBackNote) -> int:
        """Write the note and 0 replicas in one step, if the Deployment is still as it was seen.

        Returns:
            The generation that this gave it.

        Raises:
            NotYet: `Forbidden`.
            Unavailable: `WorkerChanged` (look again), `KubernetesUnavailable`.
        """
        try:
            written = await self._merge(worker.name, scaled(worker.uid, worker.resource_version, note_labels(note), 0))
        except (Conflict, NotFound):
            raise _changed(worker.name) from None
        self._expect(written, worker.generation, worker.note)
        return written.metadata.generation

    async def scale_back(
        self, name: str, uid: str, *run_uids: str, scaled_down: ScaledDown | None = None
    ) -> int | None:
        """Give the Deployment its replicas back and remove the note, if the note is of one of these recoveries.

        A Deployment that somebody has scaled up meanwhile keeps that number. The note counts on any Deployment of
        that name: one that was deleted and created again from its manifest of that moment has it too, and 0 replicas.
        Where somebody has removed the note and left all else as it was (`scaled_down`), the replicas come back too.

        Returns:
            The replicas that it has now, or None when the note was not there. In that case too a scaling write that
            is still under way fails, because the Deployment's resourceVersion has been moved on. A Deployment that
            is gone, or another one of the same name (by `uid`) without the note, is left alone.

        Raises:
            NotYet: `Forbidden`.
            Unavailable: `WorkerChanged` when others write to it all the time, `KubernetesUnavailable`.
        """
        known = self._held_by(name, run_uids)
        for _ in range(_ATTEMPTS):
            try:
                # As the watch has told; a write in a version that has passed meanwhile conflicts.
                found, known = known or await self._namespace.read(name), None
                note = note_of(found)
                if note is not None and note.uid in run_uids:
                    replicas = found.spec.replicas or note.replicas
                    seen = found.metadata
                    patch = scaled(seen.uid, seen.resource_version, NO_NOTE, replicas)
                    written = await self._merge(name, patch)
                    self._expect(written, seen.generation, note)
                elif found.metadata.uid != uid:
                    return None
                elif note is None and scaled_down is not None and _is_as_left(found, scaled_down):
                    replicas = scaled_down.replicas
                    patch = scaled(uid, found.metadata.resource_version, NO_NOTE, replicas)
                    written = await self._merge(name, patch)
                else:
                    replicas = None
                    written = await self._fence(found)
            except Conflict:
                continue
            except NotFound:
                return None
            if note is None or note.uid in run_uids:
                # Also without a note: a process may have died after it had given the replicas back.
                with suppress(RecoveryError, NotFound):
                    await self._disown(written)
            return replicas
        raise _changed(name)

    async def _fence(self, deployment: Deployment) -> Deployment:
        """Move the resourceVersion on, if it is still the one that was seen, and leave no trace."""
        name, uid, version = deployment.metadata.name, deployment.metadata.uid, deployment.metadata.resource_version
        # A value of its own each time: a write that changes nothing moves nothing.
        await self._merge(name, {"metadata": {"uid": uid, "resourceVersion": version, "labels": {FENCE: version}}})
        return await self._merge(name, {"metadata": {"uid": uid, "labels": {FENCE: None}}})

    async def _merge(self, name: str, body: Patch) -> Deployment:
        written = await self._namespace.merge(name, body)
        self._informers.deployments.observe_write(written)
        return written

    def _expect(self, written: Deployment, generation: int, note: ScaleBackNote | None) -> None:
        """Take the operator's own write for no news, if nothing else has changed since the last look."""
        seen = self._seen.get(written.metadata.name)
        labels = dict(NO_NOTE) if note is None else note_labels(note)
        if seen is not None and (seen.uid, seen.generation, seen.note) == (written.metadata.uid, generation, labels):
            self._seen[written.metadata.name] = observe(written)

    def _held_by(self, name: str, run_uids: Collection[str]) -> Deployment | None:
        """Return the Deployment as a watch has told, if the note on it is of one of these recoveries."""
        watched = self._informers.deployments
        for one in watched.present if watched.is_current else ():
            note = note_of(one)
            if one.metadata.name == name and note is not None and note.uid in run_uids:
                return one
        return None

    async def _disown(self, deployment: Deployment) -> None:
        """Remove the operator from the owners of fields, so that it hinders nobody.

        Otherwise a later server-side apply of another number of replicas conflicts. Where this fails, that conflict
        is all that happens.
        """
        name = deployment.metadata.name
        for _ in range(_ATTEMPTS):
            operations = disowning(deployment)
            if not operations:
                return
            try:
                deployment = await self._namespace.edit(name, operations)
            except (Conflict, Unavailable):
                # The list is in another order after every write of anybody.
                deployment = await self._namespace.read(name)

    def _described(
        self,
        names: Sequence[str],
        deployments: Collection[Deployment],
        replica_sets: Collection[ReplicaSet],
        pods: Collection[Pod],
        gone: Collection[Pod],
    ) -> Sequence[Worker]:
        by_name = self._see(names, deployments)
        return [worker(by_name[name], replica_sets, pods, gone) for name in names]

    def _see(self, names: Sequence[str], deployments: Collection[Deployment]) -> Mapping[str, Deployment]:
        """Note what was found, from which on changes count, and return it by name; raises NotYet (`WorkerNotFound`)."""
        self._seen = observe_all(names, deployments)
        self._looked.set()
        by_name = {deployment.metadata.name: deployment for deployment in deployments}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise AwaitingChange(
                Reason.WORKER_NOT_FOUND,
                f"no Deployment {', '.join(missing)} in namespace {self._namespace.name}; create it, or correct "
                "`workers` in the target",
            )
        return by_name


def _is_as_left(found: Deployment, scaled_down: ScaledDown) -> bool:
    """Tell whether a Deployment that had replicas is at 0 since a recovery has seen it drained."""
    return found.spec.replicas == 0 < scaled_down.replicas and found.metadata.generation == scaled_down.generation


def _changed(name: str) -> Unavailable:
    return Unavailable(Reason.WORKER_CHANGED, f"Deployment {name} has been changed meanwhile; looking again")
