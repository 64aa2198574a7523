"""A queue that is looked at every 30 seconds, for the tests of its causes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from queue_recovery.api.reasons import Reason
from queue_recovery.api.stuck import StuckSpec
from queue_recovery.diagnosis.evidence import ContainerEnd
from queue_recovery.diagnosis.stuck import find, needs_workers, tell
from queue_recovery.diagnosis.stuck_evidence import QueueLook, Running, Sighting, Tail, WorkersLook
from queue_recovery.diagnosis.stuck_memory import Memory, Told, remember, with_ends
from queue_recovery.diagnosis.stuck_rules import Case, Finding

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPEC = StuckSpec(deaf_seconds=120)
SECOND = timedelta(seconds=1)


def worker(
    *, started: float = -3600, ready: float | None = None, pods: int = 1, ends: Sequence[ContainerEnd] = ()
) -> WorkersLook:
    """Return workers whose oldest process was started, and is ready since, so many seconds after noon."""
    return WorkersLook(
        running=Running(oldest=at(started), holds_since=at(started - 5)),
        ready_pods=pods,
        ready_since=at(started if ready is None else ready) if pods else None,
        ends=ends,
    )


NO_PODS = WorkersLook(running=None)


def at(seconds: float) -> datetime:
    return NOON + seconds * SECOND


def killed(seconds: float, reason: str = "OOMKilled", exit_code: int = 137) -> ContainerEnd:
    """Return the end of a container, so many seconds after noon."""
    return ContainerEnd(restarts=1, reason=reason, exit_code=exit_code, finished=at(seconds))


def held(name: str, delivered: float, **fields: object) -> Sighting:
    """Return a message that was delivered so many seconds after noon."""
    return Sighting(id=name.encode(), delivered=at(delivered), held=True, task="tts.render", **fields)  # type: ignore[arg-type]


def waiting(name: str, **fields: object) -> Sighting:
    return Sighting(id=name.encode(), task="tts.render", **fields)  # type: ignore[arg-type]


def queue(
    *messages: Sighting, ready: int = 0, next_one: str = "", undecodable: int = 0, total: int | None = None
) -> QueueLook:
    """Return a queue in whose list messages wait, and whose workers hold these."""
    in_unacked = [one for one in messages if one.held]
    lists = {
        0: Tail(next=next_one.encode(), messages=[one for one in messages if not one.held], undecodable=undecodable)
    }
    return QueueLook(
        ready=ready,
        held=len(in_unacked),
        sightings=in_unacked,
        lists=lists if ready else {},
        total=len(in_unacked) if total is None else total,
        not_counted=0 if total is None else total - len(in_unacked),
    )


@dataclass
class Watched:
    """A queue over its looks."""

    spec: StuckSpec = SPEC
    workers: WorkersLook | None = field(default_factory=worker)
    """What a look at the workers sees, if one is needed."""
    told_before: dict[Reason, Told] = field(default_factory=dict)
    memory: Memory | None = None
    time: datetime = NOON
    looked_at_workers: int = 0
    found: Sequence[Finding] = ()
    """What the last look has found."""
    messages: dict[str, str] = field(default_factory=dict)
    """What was said of each cause."""

    def look(self, seen: QueueLook, *, after: float = 30) -> list[str]:
        """Look so many seconds after the last look; return what is told."""
        if self.memory is not None:
            self.time += after * SECOND
        memory = remember(self.memory, seen, self.time, job_task="tts.render", told=self.told_before)
        workers: WorkersLook | None = NO_PODS
        if needs_workers(self.spec, memory, seen):
            self.looked_at_workers += 1
            workers = self.workers
            memory = memory if workers is None else with_ends(memory, workers)
        case = Case(spec=self.spec, memory=memory, look=seen, workers=workers, at=self.time)
        self.found = find(case)
        self.memory = tell(case, self.found, f"{self.time:%H:%M:%S}")
        self.messages |= {reason.value: told.message for reason, told in self.memory.told.items()}
        return [reason.value for reason in self.memory.told]

    @property
    def seconds(self) -> float:
        """Seconds since noon."""
        return (self.time - NOON).total_seconds()
