"""The informers of one namespace, shared by all that read its Deployments."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from queue_recovery.workers.connections import Connections
from queue_recovery.workers.informer import Informer
from queue_recovery.workers.namespace import Namespace
from queue_recovery.workers.objects import Deployment, ObjectT, Pod, ReplicaSet
from queue_recovery.workers.permissions import ServiceAccount
from queue_recovery.workers.snapshot import ended_unseen


class Informers:
    """Deployments, ReplicaSets and pods of a namespace."""

    def __init__(self, connections: Connections, namespace: str, account: ServiceAccount | None = None) -> None:
        """Take the connections, the namespace, and the ServiceAccount for messages."""
        self.namespace = Namespace(connections, namespace, account or ServiceAccount())
        self.deployments = Informer(self.namespace, self.namespace.deployments)
        self.replica_sets = Informer(self.namespace, self.namespace.replica_sets)
        self.pods = Informer(self.namespace, self.namespace.pods, remember=ended_unseen)

    @property
    def are_current(self) -> bool:
        """Return whether all of them are being watched, and have been listed."""
        return all(each.is_current for each in self._all)

    @asynccontextmanager
    async def followed(self, changed: Callable[[], None], *, fresh: bool) -> AsyncIterator[None]:
        """Watch all of them while the block runs.

        Args:
            changed: called after every change, and at an error.
            fresh: whether to refresh the Deployments first. ReplicaSets and pods may lag behind in any case if they
                are being watched already.

        Raises:
            RecoveryError: one of them cannot be listed.
        """
        async with (
            self.deployments.followed(changed, fresh=fresh),
            self.replica_sets.followed(changed, fresh=False),
            self.pods.followed(changed, fresh=False),
        ):
            yield

    def check(self) -> None:
        """Raise the RecoveryError with which one of the watches has ended, if any."""
        for each in self._all:
            each.check()

    async def refresh(self) -> tuple[Collection[Deployment], Collection[ReplicaSet], Collection[Pod]]:
        """Return what exists now, listed in this order; raises a RecoveryError."""
        return (
            await self.refreshed(self.deployments),
            await self.refreshed(self.replica_sets),
            await self.refreshed(self.pods),
        )

    async def refreshed(self, informer: Informer[ObjectT]) -> Collection[ObjectT]:
        """Return what exists now of one of them; raises a RecoveryError."""
        await informer.refresh()
        # At once: while the next one is listed, the watch may report changes that are newer than that list.
        return informer.present

    @property
    def _all(self) -> tuple[Informer[Deployment] | Informer[ReplicaSet] | Informer[Pod], ...]:
        return (self.deployments, self.replica_sets, self.pods)
