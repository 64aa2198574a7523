"""Deployments in memory, as `recovery.ports.Workers`."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.ports import ScaleBackNote, ScaledDown, Worker, WorkerOutline
from tests.recovery.faults import Faults
from tests.sample_worker import WORKER


class FakeWorkers(Faults):
    """Deployments whose pods start and end at once, unless `pods_hang` is set."""

    def __init__(self, log: list[str] | None = None) -> None:
        """Begin without Deployments."""
        super().__init__(log)
        self.deployments: dict[str, Worker] = {}
        self.pods_hang = False
        """Whether pods of a Deployment at 0 replicas run until `end_pods`."""
        self.applied_by: tuple[str, ...] = ()
        """The field managers that set the replicas of all Deployments by server-side apply."""
        self.scaled_back: list[tuple[str, ...]] = []
        """The arguments of `scale_back`, whether there was a note or not: name, UID, UIDs of recoveries."""
        self._change = asyncio.Event()

    def add(self, name: str, **fields: object) -> Worker:
        """Add or replace a Deployment; by default it has 2 replicas."""
        return self.change(name, **{"uid": f"uid of {name}", **fields})

    def change(self, name: str, **fields: object) -> Worker:
        """Change fields of a Deployment, and report it to those that follow it."""
        before = self.deployments.get(name, replace(WORKER, name=name))
        self.deployments[name] = replace(before, **fields)  # type: ignore[arg-type]
        change, self._change = self._change, asyncio.Event()
        change.set()
        return self.deployments[name]

    def remove(self, name: str) -> None:
        """Delete a Deployment."""
        del self.deployments[name]

    def scale(self, name: str, replicas: int) -> Worker:
        """Scale a Deployment, as a user or an autoscaler does; its pods follow."""
        pods = max(replicas, self.deployments[name].pods if self.pods_hang else 0)
        generation = self.deployments[name].generation + 1
        return self.change(name, replicas=replicas, generation=generation, pods=pods, drained=pods == 0)

    def end_pods(self) -> None:
        """Let the pods of all Deployments at 0 replicas end."""
        self.pods_hang = False
        for worker in list(self.deployments.values()):
            if worker.replicas == 0:
                self.change(worker.name, pods=0, drained=True)

    @property
    def replicas(self) -> dict[str, int]:
        """The replicas of all Deployments, by name."""
        return {worker.name: worker.replicas for worker in self.deployments.values()}

    async def look(self, names: Sequence[str]) -> Sequence[Worker]:
        self._called("look")
        return self._seen(names)

    async def outline(self, names: Sequence[str]) -> Sequence[WorkerOutline]:
        self._called("outline")
        return [
            WorkerOutline(name=worker.name, paused=worker.paused, applied_by=self.applied_by)
            for worker in self._seen(names)
        ]

    async def follow(self, names: Sequence[str], *, fresh: bool = True) -> AsyncGenerator[Sequence[Worker], None]:
        del fresh
        self._called("follow")
        while True:
            change = self._change
            yield self._seen(names)
            await change.wait()

    async def changed(self) -> None:
        await self._change.wait()

    async def scale_to_zero(self, worker: Worker, note: ScaleBackNote) -> int:
        self._called("scale_to_zero")
        if self.deployments.get(worker.name) != worker:
            raise RecoveryError(Reason.WORKER_CHANGED, f"{worker.name} has changed")
        self.change(worker.name, note=note)
        return self.scale(worker.name, 0).generation

    async def scale_back(
        self, name: str, uid: str, *run_uids: str, scaled_down: ScaledDown | None = None
    ) -> int | None:
        del scaled_down
        self._called("scale_back")
        self.scaled_back.append((name, uid, *run_uids))
        worker = self.deployments.get(name)
        if worker is None or worker.note is None or worker.note.uid not in run_uids:
            return None
        replicas = worker.note.replicas
        self.change(name, note=None)
        self.scale(name, replicas)
        return replicas

    def _seen(self, names: Sequence[str]) -> Sequence[Worker]:
        if missing := [name for name in names if name not in self.deployments]:
            raise AwaitingChange(Reason.WORKER_NOT_FOUND, f"no Deployment {', '.join(missing)}")
        return [self.deployments[name] for name in names]
