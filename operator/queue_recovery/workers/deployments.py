"""The Deployments of one namespace, as `recovery.ports.Workers` describes them."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.ports import ScaleBackNote, ScaledDown, Worker, WorkerOutline
from queue_recovery.recovery.wording import named
from queue_recovery.workers.deployment_changes import DeploymentChanges
from queue_recovery.workers.held_objects import ATTEMPTS, fenced, release_fields
from queue_recovery.workers.informers import Informers
from queue_recovery.workers.namespace import Conflict, NotFound, Patch
from queue_recovery.workers.objects import Deployment, Pod, ReplicaSet
from queue_recovery.workers.patches import NO_NOTE, scaling
from queue_recovery.workers.snapshot import note_labels, note_of, worker


class KubernetesWorkers:
    """The Deployments of one namespace. Implements `recovery.ports.Workers`.

    Besides what is documented there, every call may raise RecoveryError (`WorkerWriteRefused`) when an admission policy
    or a webhook denies a write.
    """

    def __init__(self, informers: Informers) -> None:
        """Take the namespace's informers."""
        self._informers = informers
        self._namespace = informers.namespace
        self._changes = DeploymentChanges(informers.deployments)

    async def look(self, names: Sequence[str]) -> Sequence[Worker]:
        """Return these Deployments as they are now, in the order of the names.

        This sends three requests at most. Where the Deployments are followed, it sends two, and their ReplicaSets are
        those that the watch has reported.

        Raises:
            RecoveryError: `WorkerNotFound`, `Forbidden`, `KubernetesUnavailable`.
        """
        informers = self._informers
        if informers.are_current:
            listed = await informers.refreshed(informers.deployments)
            pods = await informers.refreshed(informers.pods)
            # A watch without a follower may have ended in the meantime, and its informer is empty then.
            if informers.are_current:
                return self._describe(names, listed, informers.replica_sets.present, pods)
        # In this order and one after the other: see `snapshot.worker`.
        deployments = (await self._namespace.fetch(self._namespace.deployments)).items
        replica_sets = (await self._namespace.fetch(self._namespace.replica_sets)).items
        pods = (await self._namespace.fetch(self._namespace.pods)).items
        return self._describe(names, deployments, replica_sets, pods)

    async def outline(self, names: Sequence[str]) -> Sequence[WorkerOutline]:
        """Return these Deployments in outline, in the order of the names; raises as `look`.

        This sends one request at most, and none where the Deployments are watched.
        """
        informer = self._informers.deployments
        if informer.is_current:
            found = informer.present
        else:
            found = (await self._namespace.fetch(self._namespace.deployments)).items
        by_name = self._by_name(names, found)
        return [
            WorkerOutline(name=name, paused=one.spec.paused, applied_by=one.metadata.replicas_applied_by)
            for name, one in ((name, by_name[name]) for name in names)
        ]

    async def follow(self, names: Sequence[str], *, fresh: bool = True) -> AsyncGenerator[Sequence[Worker], None]:
        """Yield these Deployments as they are now, and again after every change.

        Changes of their pods count too. All followers in the namespace share the watches. That a Deployment is drained
        is reported only after a new list: the watches run side by side, and one of them may lag behind the others.

        Args:
            names: the Deployments.
            fresh: whether the first result is as new as this call; otherwise it is as new as the last look and the
                operator's last write.

        Raises:
            RecoveryError: `WorkerNotFound` (also when one is deleted in the meantime), `Forbidden`.
            RecoveryError: `KubernetesUnavailable`.
        """
        informers, changed = self._informers, asyncio.Event()
        last: Sequence[Worker] = ()
        async with informers.followed(changed.set, fresh=fresh):
            earlier = {pod.metadata.uid for pod in informers.pods.gone}

            def gone() -> Collection[Pod]:
                return [pod for pod in informers.pods.gone if pod.metadata.uid not in earlier]

            while True:
                changed.clear()
                informers.check()
                now = self._describe(
                    names,
                    informers.deployments.present,
                    informers.replica_sets.present,
                    informers.pods.objects,
                    gone(),
                )
                if now != last and all(worker.drained for worker in now):
                    now = self._describe(names, *await informers.refresh(), gone())
                if now != last:
                    last = now
                    yield now
                await changed.wait()

    async def changed(self) -> None:
        """Return once a Deployment has changed since it was last looked at."""
        await self._changes.changed()

    async def scale_to_zero(self, worker: Worker, note: ScaleBackNote) -> int:
        """Write the note and 0 replicas at once, if the Deployment is unchanged.

        Returns:
            The Deployment's generation after the write.

        Raises:
            RecoveryError: `Forbidden`.
            RecoveryError: `WorkerChanged` (look again), `KubernetesUnavailable`.
        """
        try:
            written = await self._merge(worker.name, scaling(worker.uid, worker.resource_version, note_labels(note), 0))
        except (Conflict, NotFound):
            raise _changed(worker.name) from None
        self._changes.observe_write(written, worker.generation, worker.note)
        return written.metadata.generation

    async def scale_back(
        self, name: str, uid: str, *run_uids: str, scaled_down: ScaledDown | None = None
    ) -> int | None:
        """Scale the Deployment back and remove the note of one of these recoveries.

        A Deployment that has been scaled up since keeps its replicas. The note counts on any Deployment of that name:
        one that was deleted and created again from its manifest of that moment has the note too, and 0 replicas. Where
        the note was removed and nothing else has changed (`scaled_down`), the Deployment is scaled back as well.

        Returns:
            The replicas that it has now, or None when the note was not there. In that case too a scaling write that is
            still in flight fails, because the Deployment's resourceVersion has changed. A Deployment that is gone, or
            another one of the same name (by `uid`) without the note, is left alone.

        Raises:
            RecoveryError: `Forbidden`.
            RecoveryError: `WorkerChanged` when each try conflicts with another write, `KubernetesUnavailable`.
        """
        known = self._held_by(name, run_uids)
        for _ in range(ATTEMPTS):
            try:
                # The first try may use the informer's copy: a write to an outdated version conflicts.
                found, known = known or await self._namespace.read(self._namespace.deployment, name), None
                note = note_of(found)
                if note is not None and note.uid in run_uids:
                    replicas = found.spec.replicas or note.replicas
                    version = found.metadata.resource_version
                    written = await self._merge(name, scaling(found.metadata.uid, version, NO_NOTE, replicas))
                    self._changes.observe_write(written, found.metadata.generation, note)
                elif found.metadata.uid != uid:
                    return None
                elif note is None and scaled_down is not None and _is_as_left(found, scaled_down):
                    replicas = scaled_down.replicas
                    written = await self._merge(name, scaling(uid, found.metadata.resource_version, NO_NOTE, replicas))
                else:
                    replicas = None
                    written = await fenced(self._namespace, self._namespace.deployment, found)
                    self._informers.deployments.observe_write(written)
            except Conflict:
                continue
            except NotFound:
                return None
            if note is None or note.uid in run_uids:
                # Also without a note: a process may have died after it had scaled back.
                await release_fields(self._namespace, self._namespace.deployment, written)
            return replicas
        raise _changed(name)

    async def _merge(self, name: str, body: Patch) -> Deployment:
        written = await self._namespace.merge(self._namespace.deployment, name, body)
        self._informers.deployments.observe_write(written)
        return written

    def _held_by(self, name: str, run_uids: Collection[str]) -> Deployment | None:
        """Return the informer's copy of a Deployment that one of these recoveries holds."""
        informer = self._informers.deployments
        for one in informer.present if informer.is_current else ():
            note = note_of(one)
            if one.metadata.name == name and note is not None and note.uid in run_uids:
                return one
        return None

    def _describe(
        self,
        names: Sequence[str],
        deployments: Collection[Deployment],
        replica_sets: Collection[ReplicaSet],
        pods: Collection[Pod],
        gone: Collection[Pod] = (),
    ) -> Sequence[Worker]:
        by_name = self._by_name(names, deployments)
        return [worker(by_name[name], replica_sets, pods, gone) for name in names]

    def _by_name(self, names: Sequence[str], deployments: Collection[Deployment]) -> Mapping[str, Deployment]:
        """Observe the Deployments and return them by name; raises RecoveryError."""
        self._changes.observe(names, deployments)
        by_name = {deployment.metadata.name: deployment for deployment in deployments}
        missing = [f'"{name}"' for name in names if name not in by_name]
        if missing:
            kind, them = ("Deployment", "it") if len(missing) == 1 else ("Deployments", "them")
            raise AwaitingChange(
                Reason.WORKER_NOT_FOUND,
                f'namespace "{self._namespace.name}" has no {kind} {named(missing)}. Create {them}, or correct workers '
                "in the target",
            )
        return by_name


def _is_as_left(found: Deployment, scaled_down: ScaledDown) -> bool:
    """Return whether a Deployment is still as a recovery has seen it drained."""
    return found.spec.replicas == 0 < scaled_down.replicas and found.metadata.generation == scaled_down.generation


def _changed(name: str) -> RecoveryError:
    return RecoveryError(Reason.WORKER_CHANGED, f'Deployment "{name}" was changed at the same time. Reading it again')
