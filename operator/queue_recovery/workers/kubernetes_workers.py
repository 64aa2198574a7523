"""The workers of one namespace, as `recovery.ports.Workers` describes them."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import APPS, GroupVersionKind, WorkerRef
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.ports import ScaleBackNote, ScaledDown, Worker, WorkerOutline
from queue_recovery.recovery.wording import named
from queue_recovery.workers.changes import WorkerChanges
from queue_recovery.workers.held_objects import ATTEMPTS, fenced, release_fields
from queue_recovery.workers.informers import Informers, have_replica_sets
from queue_recovery.workers.kinds import kind_of
from queue_recovery.workers.namespace import Conflict, NotFound, Patch
from queue_recovery.workers.objects import Pod, ReplicaSet, Selector
from queue_recovery.workers.patches import NO_NOTE, restarting, scaling
from queue_recovery.workers.scalable import pod_selectors
from queue_recovery.workers.snapshot import note_labels, note_of, worker
from queue_recovery.workers.workloads import Workload


class KubernetesWorkers:
    """The workers of one namespace. Implements `recovery.ports.Workers`.

    Besides what is documented there, every call may raise RecoveryError (`WorkerWriteRefused`) when an admission policy
    or a webhook denies a write.
    """

    def __init__(self, informers: Informers) -> None:
        """Take the namespace's informers."""
        self._informers = informers
        self._namespace = informers.namespace
        self._changes = WorkerChanges(informers.workloads)
        self._resources = informers.resources

    async def look(self, refs: Sequence[WorkerRef]) -> Sequence[Worker]:
        """Return these workers as they are now, in this order.

        This sends a request for each kind, and two more. Where the workers are followed, it sends one less, and their
        ReplicaSets are those that the watch has reported.

        Raises:
            RecoveryError: `WorkerNotFound`, `Forbidden`, `KubernetesUnavailable`.
        """
        informers, kinds = self._informers, await self._found(refs)
        selectors = await pod_selectors(self._namespace, refs)
        if informers.are_current(kinds):
            listed = await informers.refreshed_workloads(kinds)
            pods = await informers.refreshed(informers.pods)
            # A watch without a follower may have ended in the meantime, and its informer is empty then.
            if informers.are_current(kinds):
                return self._describe(selectors, listed, informers.replica_sets.present, pods)
        # In this order and one after the other: see `snapshot.worker`.
        fetch, resources = self._namespace.fetch, self._resources
        workloads = [one for kind in kinds for one in (await fetch(resources.found[kind].collection)).items]
        replica_sets = (await fetch(resources.replica_sets)).items if have_replica_sets(kinds) else []
        return self._describe(selectors, workloads, replica_sets, (await fetch(resources.pods)).items)

    async def outline(self, refs: Sequence[WorkerRef]) -> Sequence[WorkerOutline]:
        """Return these workers in outline, in this order; raises as `look`.

        This sends one request at most for each kind, none where the workers are watched, and two more for each worker
        whose pods are known by its `scale` subresource.
        """
        found: list[Workload] = []
        await pod_selectors(self._namespace, refs)
        for kind in await self._found(refs):
            informer = self._informers.workloads(kind)
            if informer.is_current:
                found += informer.present
            else:
                found += (await self._namespace.fetch(self._resources.found[kind].collection)).items
        by_ref = self._by_ref(refs, found)
        return [
            WorkerOutline(
                ref=ref,
                paused=one.spec.paused,
                deletes_volumes=one.deletes_volumes,
                applied_by=one.metadata.replicas_applied_by,
                unsettled=kind_of(ref.gvk).unsettled(one),
                keeps_pods=kind_of(ref.gvk).keeps_pods(one),
            )
            for ref, one in ((ref, by_ref[ref]) for ref in refs)
        ]

    async def follow(self, refs: Sequence[WorkerRef], *, fresh: bool = True) -> AsyncGenerator[Sequence[Worker], None]:
        """Yield these workers as they are now, and again after every change.

        Changes of their pods count too. All followers in the namespace share the watches. That a worker is drained
        is reported only after a new list: the watches run side by side, and one of them may lag behind the others.

        Args:
            refs: the workers.
            fresh: whether the first result is as new as this call; otherwise it is as new as the last look and the
                operator's last write.

        Raises:
            RecoveryError: `WorkerNotFound` (also when one is deleted in the meantime), `Forbidden`.
            RecoveryError: `KubernetesUnavailable`.
        """
        informers, kinds, changed = self._informers, await self._found(refs), asyncio.Event()
        selectors = await pod_selectors(self._namespace, refs)
        last: Sequence[Worker] = ()
        async with informers.followed(kinds, changed.set, fresh=fresh):
            earlier = {pod.metadata.uid for pod in informers.pods.gone}

            def gone() -> Collection[Pod]:
                return [pod for pod in informers.pods.gone if pod.metadata.uid not in earlier]

            while True:
                changed.clear()
                informers.check(kinds)
                now = self._describe(
                    selectors,
                    informers.present(kinds),
                    informers.replica_sets.present,
                    informers.pods.objects,
                    gone(),
                )
                if now != last and all(worker.drained for worker in now):
                    selectors = await pod_selectors(self._namespace, refs)
                    now = self._describe(selectors, *await informers.refresh(kinds), gone())
                if now != last:
                    last = now
                    yield now
                await changed.wait()

    async def changed(self) -> None:
        """Return once a worker has changed since it was last looked at."""
        await self._changes.changed()

    async def scale_to_zero(self, worker: Worker, note: ScaleBackNote) -> int:
        """Write the note and 0 replicas at once, if the worker is unchanged.

        Returns:
            The worker's generation after the write.

        Raises:
            RecoveryError: `Forbidden`.
            RecoveryError: `WorkerChanged` (look again), `KubernetesUnavailable`.
        """
        try:
            written = await self._merge(worker.ref, scaling(worker.uid, worker.resource_version, note_labels(note), 0))
        except (Conflict, NotFound):
            raise _changed(worker.ref) from None
        self._changes.observe_write(written, worker.generation, worker.note)
        return written.metadata.generation

    async def restart(self, worker: Worker, restarted_at: str) -> None:
        """Write that time, if the worker is unchanged and does not have it; raises as `scale_to_zero`."""
        kind, spec = (await self._resources.find(worker.ref.gvk)).single, kind_of(worker.ref.gvk).restart
        if spec is None:
            raise ValueError(f"it is not known how to restart a {worker.ref.gvk}")
        try:
            if worker.restarted_at == restarted_at:
                # A process may have died before it had released the fields.
                written = await self._namespace.read(kind, worker.name)
            else:
                patch = restarting(worker.uid, worker.resource_version, spec(restarted_at))
                written = await self._merge(worker.ref, patch)
                self._changes.observe_write(written, worker.generation, worker.note)
        except (Conflict, NotFound):
            raise _changed(worker.ref) from None
        await release_fields(self._namespace, kind, written)

    async def scale_back(
        self, ref: WorkerRef, uid: str, *run_uids: str, scaled_down: ScaledDown | None = None
    ) -> int | None:
        """Scale the worker back and remove the note of one of these recoveries.

        A worker that has been scaled up since keeps its replicas. The note counts on any worker of that kind and
        name: one that was deleted and created again from its manifest of that moment has the note too, and 0 replicas.
        Where the note was removed and nothing else has changed (`scaled_down`), the worker is scaled back as well.

        Returns:
            The replicas that it has now, or None when the note was not there. In that case too a scaling write that is
            still in flight fails, because the worker's resourceVersion has changed. A worker that is gone, or
            another one of the same name (by `uid`) without the note, is left alone.

        Raises:
            RecoveryError: `Forbidden`.
            RecoveryError: `WorkerChanged` when each try conflicts with another write, `KubernetesUnavailable`.
            RecoveryError: `WorkerNotFound` when the API server does not serve the kind of the worker.
        """
        kind = (await self._resources.find(ref.gvk)).single
        known, name = self._held_by(ref, run_uids), ref.name
        for _ in range(ATTEMPTS):
            try:
                # The first try may use the informer's copy: a write to an outdated version conflicts.
                found, known = known or await self._namespace.read(kind, name), None
                note = note_of(found)
                if note is not None and note.uid in run_uids:
                    replicas = found.spec.replicas or note.replicas
                    version = found.metadata.resource_version
                    written = await self._merge(ref, scaling(found.metadata.uid, version, NO_NOTE, replicas))
                    self._changes.observe_write(written, found.metadata.generation, note)
                elif found.metadata.uid != uid:
                    return None
                elif note is None and scaled_down is not None and _is_as_left(found, scaled_down):
                    replicas = scaled_down.replicas
                    written = await self._merge(ref, scaling(uid, found.metadata.resource_version, NO_NOTE, replicas))
                else:
                    replicas = None
                    written = await fenced(self._namespace, kind, found)
                    self._informers.workloads(ref.gvk).observe_write(written)
            except Conflict:
                continue
            except NotFound:
                if await self._is_gone(ref):
                    return None
                continue
            if note is None or note.uid in run_uids:
                # Also without a note: a process may have died after it had scaled back.
                await release_fields(self._namespace, kind, written)
            return replicas
        raise _changed(ref)

    async def _found(self, refs: Sequence[WorkerRef]) -> Sequence[GroupVersionKind]:
        """Return the kinds of these workers, each of which the API server knows; raises RecoveryError."""
        kinds = sorted({ref.gvk for ref in refs})
        for kind in kinds:
            await self._resources.find(kind)
        return kinds

    async def _is_gone(self, ref: WorkerRef) -> bool:
        """Return whether a worker that was not found does not exist.

        The API server gives the same answer while it does not serve the worker's kind. So its collection is listed, and
        a kind that is not served is an error: the worker may be at 0.
        """
        if ref.gvk.group == APPS:
            return True
        listed = await self._namespace.fetch(self._resources.found[ref.gvk].collection)
        return all(one.metadata.name != ref.name for one in listed.items)

    async def _merge(self, ref: WorkerRef, body: Patch) -> Workload:
        single = (await self._resources.find(ref.gvk)).single
        written = await self._namespace.merge(single, ref.name, body)
        self._informers.workloads(ref.gvk).observe_write(written)
        return written

    def _held_by(self, ref: WorkerRef, run_uids: Collection[str]) -> Workload | None:
        """Return the informer's copy of a worker that one of these recoveries holds."""
        informer = self._informers.workloads(ref.gvk)
        for one in informer.present if informer.is_current else ():
            note = note_of(one)
            if one.metadata.name == ref.name and note is not None and note.uid in run_uids:
                return one
        return None

    def _describe(
        self,
        refs: Mapping[WorkerRef, Selector | None],
        workloads: Collection[Workload],
        replica_sets: Collection[ReplicaSet],
        pods: Collection[Pod],
        gone: Collection[Pod] = (),
    ) -> Sequence[Worker]:
        by_ref = self._by_ref([*refs], workloads)
        return [
            worker(by_ref[ref], workloads, replica_sets, pods, gone, selector=selector)
            for ref, selector in refs.items()
        ]

    def _by_ref(self, refs: Sequence[WorkerRef], workloads: Collection[Workload]) -> Mapping[WorkerRef, Workload]:
        """Observe the workers and return them by kind and name; raises RecoveryError."""
        self._changes.observe(refs, workloads)
        by_ref = {workload.ref: workload for workload in workloads}
        missing = [str(ref) for ref in refs if ref not in by_ref]
        if missing:
            them = "it" if len(missing) == 1 else "them"
            raise AwaitingChange(
                Reason.WORKER_NOT_FOUND,
                f'namespace "{self._namespace.name}" has no {named(missing)}. Create {them}, or correct workers in the '
                "target",
            )
        return by_ref


def _is_as_left(found: Workload, scaled_down: ScaledDown) -> bool:
    """Return whether a worker is still as a recovery has seen it drained."""
    return found.spec.replicas == 0 < scaled_down.replicas and found.metadata.generation == scaled_down.generation


def _changed(ref: WorkerRef) -> RecoveryError:
    return RecoveryError(Reason.WORKER_CHANGED, f"{ref} was changed at the same time. Reading it again")
