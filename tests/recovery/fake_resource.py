"""A QueueRecovery in memory, as `recovery.ports.resource.Resource`."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.recovery.ports.resource import DesiredState, Gone, Superseded
from tests.recovery.faults import Faults

NAMESPACE: Final = "media"


class FakeResource(Faults):
    """A QueueRecovery whose status is in memory."""

    def __init__(
        self, spec: QueueRecoverySpec, status: QueueRecoveryStatus, *, uid: str, name: str, created: datetime
    ) -> None:
        """Store the spec and the status."""
        super().__init__()
        self.uid, self.namespace, self.name, self.created = uid, NAMESPACE, name, created
        self.desired = DesiredState(spec=spec, generation=1, deleting=False)
        self.status = status
        self.written: list[QueueRecoveryStatus] = []
        """All statuses that were written, the first one first."""
        self.is_gone = False
        self.is_author_guarded = False
        """Whether the API server compares author and approver with the users."""
        self._change = asyncio.Event()

    @property
    def last_status(self) -> QueueRecoveryStatus:
        return self.status

    async def changed(self) -> None:
        await self._change.wait()
        self._change.clear()

    async def read(self) -> QueueRecoveryStatus:
        await asyncio.sleep(0)
        self._called("read")
        if self.is_gone:
            raise Gone
        return self.status

    async def is_author_proven(self) -> bool:
        return self.is_author_guarded

    async def write(self, status: QueueRecoveryStatus, *, asked: DesiredState | None = None) -> None:
        self._called("write")
        if self.is_gone:
            raise Gone
        if asked is not None and self.desired != asked:
            raise Superseded
        self.status = status
        self.written.append(status)

    def annotate(self, **annotations: str) -> None:
        """Set annotations by their names in `Annotations`, and report it."""
        changed = replace(self.desired.annotations, **annotations)
        self.desired = replace(self.desired, annotations=changed)
        self._change.set()

    def label(self, proposed_for: str) -> None:
        """Set the label of a proposal, or remove it, and report it."""
        self.desired = replace(self.desired, proposed_for=proposed_for)
        self._change.set()

    def change(self, *, deleting: bool = False, **spec: object) -> None:
        """Change fields of the spec, or delete the resource, and report it."""
        changed = self.desired.spec.model_copy(update=spec)
        generation = self.desired.generation + bool(spec)
        deleting = deleting or self.desired.deleting
        self.desired = replace(self.desired, spec=changed, generation=generation, deleting=deleting)
        self._change.set()
