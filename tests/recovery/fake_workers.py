"""Deployments in memory, as `recovery.ports.Workers`."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.ports import ScaleBackNote, ScaledDown, Worker, WorkerOutline
from tests.recovery.faults import Faults
from tests.sample_worker import WORKER

STARTS_AFTER = 10
"""Seconds between a restart and the start of the new processes."""


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
        self.restarted: list[str] = []
        """The Deployments whose pods were restarted by the annotation, in that order."""
        self._change = asyncio.Event()

    def add(self, name: str, **fields: object) -> Worker:
        """Add or replace a Deployment; by default it has 2 replicas."""
        return self.change(name, **{"uid": f"uid of {name}", **fields})

    def change(self, name: str, **fields: object) -> Worker:
        """Change fields of a Deployment, and report it to those that follow it.

        Processes hold what was delivered up to 5 seconds before the oldest of them was started, unless it is given.
        """
        oldest = fields.get("oldest_process")
        if isinstance(oldest, datetime):
            fields = {"holds_since": oldest - timedelta(seconds=5), **fields}
        elif "oldest_process" in fields:
            fields = {"holds_since": None, **fields}
        before = self.deployments.get(name, replace(WORKER, ref=WorkerRef(name=name)))
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

    async def look(self, refs: Sequence[WorkerRef]) -> Sequence[Worker]:
        self._called("look")
        return self._seen(refs)

    async def outline(self, refs: Sequence[WorkerRef]) -> Sequence[WorkerOutline]:
        self._called("outline")
        return [
            WorkerOutline(
                ref=worker.ref,
                paused=worker.paused,
                deletes_volumes=worker.deletes_volumes,
                applied_by=self.applied_by,
                unsettled=worker.unsettled,
                keeps_pods=worker.keeps_pods,
            )
            for worker in self._seen(refs)
        ]

    async def follow(self, refs: Sequence[WorkerRef], *, fresh: bool = True) -> AsyncGenerator[Sequence[Worker], None]:
        del fresh
        self._called("follow")
        while True:
            change = self._change
            yield self._seen(refs)
            await change.wait()

    async def changed(self) -> None:
        await self._change.wait()

    async def scale_to_zero(self, worker: Worker, note: ScaleBackNote) -> int:
        self._called("scale_to_zero")
        if worker not in self.deployments.values():
            raise RecoveryError(Reason.WORKER_CHANGED, f"{worker.name} has changed")
        key = self._key(worker.ref)
        self.change(key, note=note)
        return self.scale(key, 0).generation

    async def restart(self, worker: Worker, restarted_at: str) -> None:
        self._called("restart")
        key = self._key(worker.ref)
        if self.deployments.get(key) != worker:
            raise RecoveryError(Reason.WORKER_CHANGED, f"{worker.name} has changed")
        if worker.restarted_at != restarted_at:
            self.restarted.append(worker.name)
            started = datetime.fromisoformat(restarted_at) + timedelta(seconds=STARTS_AFTER)
            generation = worker.generation + 1
            self.change(key, restarted_at=restarted_at, generation=generation, oldest_process=started)

    async def scale_back(
        self, ref: WorkerRef, uid: str, *run_uids: str, scaled_down: ScaledDown | None = None
    ) -> int | None:
        del scaled_down
        self._called("scale_back")
        name = self._key(ref)
        self.scaled_back.append((ref.name, uid, *run_uids))
        worker = self.deployments.get(name)
        if worker is None or worker.note is None or worker.note.uid not in run_uids:
            if worker is not None and worker.uid == uid:
                self.change(name, resource_version=f"{int(worker.resource_version) + 1}")
            return None
        replicas = worker.note.replicas
        self.change(name, note=None)
        self.scale(name, replicas)
        return replicas

    def _key(self, ref: WorkerRef) -> str:
        """Return under which name a test has added a worker: its own, unless there are two of one name."""
        return next((key for key, worker in self.deployments.items() if worker.ref == ref), ref.name)

    def _seen(self, refs: Sequence[WorkerRef]) -> Sequence[Worker]:
        found = {worker.ref: worker for worker in self.deployments.values()}
        if missing := [str(ref) for ref in refs if ref not in found]:
            raise AwaitingChange(Reason.WORKER_NOT_FOUND, f"no {', '.join(missing)}")
        return [found[ref] for ref in refs]
