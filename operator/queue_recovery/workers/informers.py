"""The informers of one namespace, shared by all who look at its Deployments."""

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
        """Take the connections, the namespace, and whom the operator runs as (for messages that grant it rights)."""
        self.namespace = Namespace(connections, namespace, account or ServiceAccount())
        self.deployments = Informer(self.namespace, self.namespace.deployments)
        self.replica_sets = Informer(self.namespace, self.namespace.replica_sets)
        self.pods = Informer(self.namespace, self.namespace.pods, remember=ended_unseen)

    @property
    def are_current(self) -> bool:
        """Tell whether all of them are being watched, and have been listed."""
        return all(each.is_current for each in self._all)

    @asynccontextmanager
    async def followed(self, changed: Callable[[], None], *, fresh: bool) -> AsyncIterator[None]:
        """Keep all of them watched while the block runs.

        It begins with Deployments as new as now if they are to be `fresh`. Otherwise they, and ReplicaSets and pods in
        any case, may lag behind if they are watched already. `changed` is called after every change, and at an error.
        Raises a RecoveryError.
        """
        async with (
            self.deployments.followed(changed, fresh=fresh),
            self.replica_sets.followed(changed, fresh=False),
            self.pods.followed(changed, fresh=False),
        ):
            yield

    def check(self) -> None:
        """Raise what one of them cannot be followed for; a RecoveryError."""
        for each in self._all:
            each.check()

    async def refresh(self) -> tuple[Collection[Deployment], Collection[ReplicaSet], Collection[Pod]]:
        """Return what is there now, each read no earlier than the one before it; raises a RecoveryError."""
        return (
            await self.refreshed(self.deployments),
            await self.refreshed(self.replica_sets),
            await self.refreshed(self.pods),
        )

    async def refreshed(self, informer: Informer[ObjectT]) -> Collection[ObjectT]:
        """Return what is there now of one of them; raises a RecoveryError."""
        await informer.refresh()
        # As of now: while the next one is listed, the watch may bring news that are younger than that list.
        return informer.present

    @property
    def _all(self) -> tuple[Informer[Deployment] | Informer[ReplicaSet] | Informer[Pod], ...]:
        return (self.deployments, self.replica_sets, self.pods)
