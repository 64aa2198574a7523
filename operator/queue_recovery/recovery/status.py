"""The stored status of a recovery, and the only code that writes it."""

from dataclasses import dataclass, field

from queue_recovery.api.conditions import ConditionStatus, ConditionType, is_true
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Ending, JobTotals, QueueRecoveryStatus
from queue_recovery.recovery.phase import acknowledge, end_suspension, set_ended, set_running, set_step, timestamp
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource, Superseded

Update = dict[str, object]
"""Fields of a status, by their names in Python."""


def counted_so_far(status: QueueRecoveryStatus) -> int:
    """Return the most messages that the plans of a recovery have counted so far."""
    return max(status.counted, status.plan.ready + status.plan.unacked if status.plan else 0)


def without_plan(status: QueueRecoveryStatus) -> Update:
    """Return the update that removes the plan, because it is to be made again."""
    return {"plan": None, "counted": counted_so_far(status)}


@dataclass(kw_only=True)
class StoredStatus:
    """A recovery's resource with its status as last read or written."""

    resource: Resource
    environment: Environment
    status: QueueRecoveryStatus
    reported_errors: set[str] = field(default_factory=set, init=False)
    """What has met an unexpected error that is in the log (`best_effort.py`)."""

    @property
    def spec(self) -> QueueRecoverySpec:
        """The recovery's spec as it is now."""
        return self.resource.desired.spec

    async def save(
        self,
        *conditions: tuple[ConditionType, ConditionStatus, str, str],
        progress: tuple[str, str],
        update: Update | None = None,
        asked: DesiredState | None = None,
    ) -> None:
        """Write the status: conditions of steps, the current progress (reason, message), and other fields.

        With `asked`, only if the desired state is still this one; raises Superseded otherwise.
        """
        now, generation = self.environment.now(), self.resource.desired.generation
        listed = {} if self.status.jobs.total else {"jobs": JobTotals.counted(len(self.spec.jobs))}
        status = self.status.model_copy(update={**listed, **(update or {})})
        for kind, value, reason, message in conditions:
            status = set_step(status, kind, value, reason, message, now=now, generation=generation)
        if status.drain_start_time is not None:
            status = end_suspension(status, Reason.RESUMED, now=now, generation=generation)
        elif self.spec.suspend and status.ending is None:
            kind = ConditionType.SUSPENDED
            status = set_step(status, kind, "True", Reason.SUSPENDED, "", now=now, generation=generation)
        reason, message = progress
        if self._is_suspended_later(status):
            message = (
                f"{message}. spec.suspend is true: the recovery pauses before it enqueues the first job, once the "
                "workers are back"
            )
        await self._store(set_running(status, reason, message, now=now, generation=generation), asked=asked)

    def _is_suspended_later(self, status: QueueRecoveryStatus) -> bool:
        """Tell whether `suspend` is set but takes effect later, because workers are never held at 0."""
        is_under_way = status.drain_start_time is not None and status.ending is None
        return is_under_way and self.spec.suspend and not is_true(status.conditions, ConditionType.RESTARTED)

    async def wait_for(self, reason: str, message: str) -> None:
        """Report in the status what the recovery waits for, if that has changed."""
        await self.save(progress=(reason, message))

    async def confirm(self) -> None:
        """Raise Superseded when another process has written the status."""
        known = self.status
        if await self.resource.read() != known:
            raise Superseded

    async def resume(self) -> None:
        """Record that the recovery is resumed, and remove its plan, whose counts may be days old.

        Only this write and the drain set the condition Suspended to False, so the starting deadline begins with it.
        """
        now = timestamp(self.environment.now())
        progress = (Reason.RESUMED, "spec.suspend is false; planning again")
        await self.save(
            (ConditionType.SUSPENDED, "False", Reason.RESUMED, ""),
            progress=progress,
            update={**without_plan(self.status), "resume_time": now},
        )

    async def end(self, ending: Ending) -> None:
        """Record the ending; every later process continues with it."""
        progress = (ending.reason, f"finishing as {ending.phase}: {ending.message}")
        await self.save(progress=progress, update={"ending": ending})

    async def finish(self, status: QueueRecoveryStatus) -> None:
        """Write the final status, which has the final figures."""
        await self._store(set_ended(status, now=self.environment.now(), generation=self.resource.desired.generation))

    async def acknowledge(self) -> None:
        """Record on a finished recovery that its newest spec was observed."""
        await self._store(acknowledge(self.status, self.resource.desired.generation))

    async def _store(self, status: QueueRecoveryStatus, *, asked: DesiredState | None = None) -> None:
        if status != self.status:
            await self.resource.write(status, asked=asked)
            self.status = status
