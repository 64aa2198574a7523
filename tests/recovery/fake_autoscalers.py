"""Autoscalers in memory, as `recovery.ports.Autoscalers`."""

from collections.abc import Sequence
from dataclasses import replace

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Autoscaler, Autoscaling, PausedBy, ScaledObject
from tests.recovery.faults import Faults


class FakeAutoscalers(Faults):
    """ScaledObjects and HorizontalPodAutoscalers of the namespace; none at first."""

    def __init__(self, log: list[str] | None = None) -> None:
        """Begin without autoscalers."""
        super().__init__(log)
        self.scaled_objects: dict[str, ScaledObject] = {}
        self.from_zero: list[Autoscaler] = []
        self.unpaused: list[tuple[str, ...]] = []
        """The arguments of `unpause`: name, UID, UIDs of recoveries."""
        self.denial: RecoveryError | None = None
        """How the API server answers every change; None: it accepts it."""

    def add(self, name: str, *, is_paused: bool = False, paused_by: PausedBy | None = None) -> ScaledObject:
        """Add or replace a ScaledObject that scales the worker."""
        before = self.scaled_objects.get(name)
        version = 1 if before is None else int(before.resource_version) + 1
        self.scaled_objects[name] = ScaledObject(
            name=name,
            uid=f"uid of {name}",
            resource_version=str(version),
            is_paused=is_paused or paused_by is not None,
            paused_by=paused_by,
            is_labelled=paused_by is not None,
        )
        return self.scaled_objects[name]

    async def look(self, workers: Sequence[WorkerRef]) -> Autoscaling:
        del workers
        self._called("look at autoscalers")
        return Autoscaling(scaled_objects=list(self.scaled_objects.values()), from_zero=self.from_zero)

    async def pause(self, scaled_object: ScaledObject, by: PausedBy) -> None:
        self._called("pause autoscaler")
        if self.denial is not None:
            raise self.denial
        if self.scaled_objects.get(scaled_object.name) != scaled_object:
            raise RecoveryError(Reason.WORKER_CHANGED, f"{scaled_object.name} has changed")
        self.add(scaled_object.name, paused_by=by)

    async def unpause(self, name: str, uid: str, *run_uids: str) -> None:
        self._called("unpause")
        self.unpaused.append((name, uid, *run_uids))
        found = self.scaled_objects.get(name)
        if found is None:
            return
        version = str(int(found.resource_version) + 1)
        is_theirs = found.paused_by is not None and found.paused_by.uid in run_uids
        if self.denial is not None:
            if is_theirs:
                raise self.denial
            return
        if is_theirs:
            found = replace(found, is_paused=False, paused_by=None, is_labelled=False)
        self.scaled_objects[name] = replace(found, resource_version=version)
