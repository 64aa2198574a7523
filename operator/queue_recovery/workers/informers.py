"""The informers of one namespace, shared by all that read its workers."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from queue_recovery.api.worker_ref import GroupVersionKind, WorkerRef
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.informer import Informer
from queue_recovery.workers.kinds import kind_of
from queue_recovery.workers.namespace import Namespace
from queue_recovery.workers.objects import ObjectT, Pod, ReplicaSet
from queue_recovery.workers.permissions import ServiceAccount
from queue_recovery.workers.snapshot import ended_unseen
from queue_recovery.workers.workloads import Workload


class Informers:
    """The workers of a namespace, by their kinds, with ReplicaSets and pods; a kind is read only if it is named."""

    def __init__(self, connections: Connections, namespace: str, account: ServiceAccount | None = None) -> None:
        """Take the connections, the namespace, and the ServiceAccount for messages."""
        self.namespace = Namespace(connections, namespace, account or ServiceAccount())
        self.resources = self.namespace.resources
        self.replica_sets = Informer(self.namespace, self.resources.replica_sets)
        self.pods = Informer(self.namespace, self.resources.pods, remember=ended_unseen)
        self._workloads: dict[GroupVersionKind, Informer[Workload]] = {}

    def workloads(self, kind: GroupVersionKind) -> Informer[Workload]:
        """Return the informer of a kind that was found (`Resources.find`)."""
        if kind not in self._workloads:
            self._workloads[kind] = Informer(self.namespace, self.resources.found[kind].collection)
        return self._workloads[kind]

    async def plurals(self, refs: Iterable[WorkerRef]) -> Mapping[GroupVersionKind, str]:
        """Return the resources of these workers' kinds; raises a RecoveryError for a kind that does not exist."""
        return {ref.gvk: (await self.resources.find(ref.gvk)).plural for ref in refs}

    def are_current(self, kinds: Collection[GroupVersionKind]) -> bool:
        """Return whether all of them are being watched, and have been listed."""
        return all(each.is_current for each in self._needed(kinds))

    @asynccontextmanager
    async def followed(
        self, kinds: Collection[GroupVersionKind], changed: Callable[[], None], *, fresh: bool
    ) -> AsyncIterator[None]:
        """Watch all of them while the block runs.

        Args:
            kinds: of the workers.
            changed: called after every change, and at an error.
            fresh: whether to refresh the workers first. ReplicaSets and pods may lag behind in any case if they are
                being watched already.

        Raises:
            RecoveryError: one of them cannot be listed.
        """
        async with AsyncExitStack() as stack:
            for kind in sorted(kinds):
                await stack.enter_async_context(self.workloads(kind).followed(changed, fresh=fresh))
            if have_replica_sets(kinds):
                await stack.enter_async_context(self.replica_sets.followed(changed, fresh=False))
            await stack.enter_async_context(self.pods.followed(changed, fresh=False))
            yield

    def check(self, kinds: Collection[GroupVersionKind]) -> None:
        """Raise the RecoveryError with which one of the watches has ended, if any."""
        for each in self._needed(kinds):
            each.check()

    def present(self, kinds: Collection[GroupVersionKind]) -> Sequence[Workload]:
        """Return the workers of these kinds, as of the newest lists or later."""
        return [one for kind in sorted(kinds) for one in self.workloads(kind).present]

    async def refresh(
        self, kinds: Collection[GroupVersionKind]
    ) -> tuple[Collection[Workload], Collection[ReplicaSet], Collection[Pod]]:
        """Return what exists now, listed in this order; raises a RecoveryError."""
        return (
            await self.refreshed_workloads(kinds),
            await self.refreshed(self.replica_sets) if have_replica_sets(kinds) else (),
            await self.refreshed(self.pods),
        )

    async def refreshed_workloads(self, kinds: Collection[GroupVersionKind]) -> Collection[Workload]:
        """Return the workers of these kinds that exist now; raises a RecoveryError."""
        return [one for kind in sorted(kinds) for one in await self.refreshed(self.workloads(kind))]

    async def refreshed(self, informer: Informer[ObjectT]) -> Collection[ObjectT]:
        """Return what exists now of one of them; raises a RecoveryError."""
        await informer.refresh()
        # At once: while the next one is listed, the watch may report changes that are newer than that list.
        return informer.present

    def _needed(
        self, kinds: Collection[GroupVersionKind]
    ) -> Sequence[Informer[Workload] | Informer[ReplicaSet] | Informer[Pod]]:
        replica_sets = [self.replica_sets] if have_replica_sets(kinds) else []
        return [*(self.workloads(kind) for kind in sorted(kinds)), *replica_sets, self.pods]


def have_replica_sets(kinds: Collection[GroupVersionKind]) -> bool:
    """Return whether ReplicaSets of workers of these kinds are read."""
    return any(kind_of(kind).has_replica_sets for kind in kinds)
