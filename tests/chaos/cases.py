"""One case: a recovery, what happens to its operator, and what was observed afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from typing_extensions import override

from sandbox.api import Json
from sandbox.processes import DeadlineError, until
from tests.chaos.invariants import violations
from tests.chaos.observation import observe
from tests.chaos.operators import Operator
from tests.chaos.points import Crossing, Moment, Point
from tests.chaos.scenario import Scenario
from tests.chaos.servers import Fixture, Servers

_SETTLED_SECONDS = 60
_NOT_REACHED_SECONDS = 10


class Trouble(StrEnum):
    """What happens to an operator at its points."""

    NONE = "none"
    DEATH = "death"
    """It is killed, and another one starts; again at each further point."""
    SUCCESSION = "succession"
    """It is killed, and the one on standby leads as soon as the lease is over."""
    PAUSE = "pause"
    """It is stopped until another one has ended the recovery, and then goes on."""
    OVERTAKEN = "overtaken"
    """The same, and the user cancels while it is stopped: the other one gives everything back."""
    CANCEL = "cancel"
    SUSPEND = "suspend"
    """It is suspended, and resumed as soon as it holds."""
    DELETE = "delete"
    CUT = "cut"
    """The way to the effect's server breaks, until the operator has noticed."""
    LOST_ANSWER = "lost answer"
    """The effect takes place, and the operator sees its connection end."""
    SLOW = "slow"
    """The operator gives the effect up, and then it takes place."""
    REMOVED = "removed"
    """It is killed, the recovery is removed by force, and another one of the same queue and jobs is created."""
    REMOVED_LATE = "removed late"
    """It is paused meanwhile, and goes on when the other recovery is over."""
    CREATED_AGAIN = "created again"
    """It is killed, another one ends the recovery, and that is deleted and created again, several times."""
    LATE = "late"
    """The operator is killed, another one ends the recovery, and then the effect arrives."""
    REPLACED = "Deployment replaced"
    """The workers' Deployment is deleted, and created again from its manifest."""
    CRASH = "store crash"
    """The job store is killed, and started again."""
    FAILOVER = "failover"
    """The job store refuses the effect: it is not the primary any more."""
    CONFLICT = "write conflict"
    """The job store refuses the effect: it conflicts with another write."""
    NO_MAJORITY = "no majority"
    """The job store takes the effect, and answers that no majority has acknowledged it."""
    TARGET_EDITED = "target edited"
    """It is killed, and the target names other keys and another collection when another one goes on."""
    TARGET_DELETED = "target deleted"
    """It is killed, and there is no target until another one waits for it."""
    ROTATED = "password rotated"
    """The broker has a new password, and the Secret has it once the operator is refused."""
    ROLLED_BACK = "image rolled back"
    """The workers' Deployment has another image than the recovery requires, until no job is enqueued any more."""
    UPDATED = "update begins"
    """A canary of the workers' Rollout begins, and is promoted once the recovery waits for it."""
    APPROVED = "approved"
    """It is killed; the plan is approved and the target edited at once, as often as the recovery asks."""
    TRANSIENT = "transient errors"
    """It is killed; the jobs' errors are transient, and once it is held the target says to ignore that."""
    CAUSE_OVER = "cause over"
    """It is killed; it was proposed for a cause that is over, and once it is held its label is removed."""
    UNLABELLED = "labels removed"
    """Somebody removes the operator's labels from the workers, and from what KEDA scales them by."""
    FORGED_JOB = "forged job"
    """Another client of the broker writes a frozen job into the run's record that is none."""
    FORGED_COUNTER = "forged counter"
    """The same with a counter that is no number."""
    FORGED_MARKER = "forged marker"
    """The same with the marker of a job that was not enqueued."""
    LOCK_BACK = "lock back"
    """The broker has the lock and the record again as they were at the effect, when the recovery has ended."""
    LIST_LOST = "list lost"
    """The broker loses the quarantine's list that is being sorted."""


FORGED: Final = {Trouble.FORGED_JOB, Trouble.FORGED_COUNTER, Trouble.FORGED_MARKER}
"""They happen to the run's record, which is not in the model."""

NOT_IN_THE_MODEL: Final = {*FORGED, Trouble.ROLLED_BACK, Trouble.UPDATED}
"""Their traces are not compared with the model, which knows neither the record's text nor images nor updates."""

OF_THE_STORE: Final = {Trouble.CRASH, Trouble.FAILOVER, Trouble.CONFLICT, Trouble.NO_MAJORITY}
"""They happen to the job store, and so only its effects; each case has a server to itself."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is to happen."""

    trouble: Trouble
    points: tuple[Point, ...] = ()
    retention: int = 604_800
    every_queue: bool = False
    """Whether it is a recovery of every queue of the target."""
    restore: bool = False
    """Whether it puts messages of an earlier recovery back."""
    pending: bool = False
    """Whether some of the listed jobs wait for their messages, as another recovery has enqueued them."""
    restarts: bool = False
    """Whether it restarts the workers and takes no message."""
    redelivers: bool = False
    """Whether it gives back what killed workers have left in `unacked`, and takes no message."""
    waits: bool = False
    """Whether it finds the queue locked, and plans again once the lock is free."""
    stateful: bool = False
    """Whether its workers are a StatefulSet that KEDA scales."""
    rollout: bool = False
    """Whether its workers are a Rollout of Argo Rollouts."""
    real_workers: bool = False

    @property
    def kind(self) -> str:
        """What is particular about the recovery; nothing: it is a plain one."""
        marks = {
            f"retention {self.retention}": self.retention != Case.retention,
            "every queue": self.every_queue,
            "restore": self.restore,
            "pending jobs": self.pending,
            "restart": self.restarts,
            "redelivery": self.redelivers,
            "locked queue": self.waits,
            "StatefulSet and KEDA": self.stateful,
            "Rollout": self.rollout,
            "Celery": self.real_workers,
        }
        return ", ".join(mark for mark, holds in marks.items() if holds)

    @property
    def spec(self) -> Json:
        """What the recovery's spec has besides a target, a queue and the jobs."""
        if not (self.restarts or self.redelivers):
            return {"purge": {"retentionSeconds": self.retention}}
        restarts: Json = {"restart": {"annotate": True}} if self.restarts else {}
        return {"purge": {"mode": "None"}, **restarts, **({"jobs": [], "redeliver": {}} if self.redelivers else {})}

    @override
    def __str__(self) -> str:
        """Return what a report calls it."""
        what = [" ".join([self.trouble.value, *map(str, self.points[:1])]), *map(str, self.points[1:]), self.kind]
        return ", ".join(filter(None, what))


@dataclass(frozen=True, kw_only=True)
class Result:
    """What has happened."""

    case: Case
    reached: bool
    """Whether the operator came to its points at all."""
    phase: str
    violations: list[str]
    seconds: float
    traces: list[list[Crossing]]
    """What each operator did, the first one first."""
    nonconforming: str
    """The first effect that is no action of the model there; nothing: all of them are."""
    evidence: str
    """Status and logs, to diagnose violations from."""


@dataclass(kw_only=True)
class CaseRun:
    """A case while it runs."""

    servers: Servers
    fixture: Fixture
    case: Case
    operators: list[Operator] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def scenario(self) -> Scenario:
        return self.fixture.scenario

    @asynccontextmanager
    async def operator(self, *points: Point, lease: int = 0, **settings: str) -> AsyncIterator[Operator]:
        """Start an operator; with a lease of so many seconds only one of them leads."""
        environment = {**self.fixture.environment, "QUEUE_RECOVERY_LEASE_SECONDS": str(lease), **settings}
        async with self.servers.operators.start(environment, points) as operator:
            self.operators.append(operator)
            yield operator

    async def is_hit(self, operator: Operator) -> bool:
        """Wait until the operator is hit; False when it will not be."""

        async def hit_or_over() -> bool:
            return operator.hit() is not None or self.scenario.watched.released

        try:
            await until(hit_or_over, "the operator to be hit")
            await operator.crosses(lambda one: one.moment is Moment.HIT, "it to be hit", seconds=_NOT_REACHED_SECONDS)
        except DeadlineError:
            return False
        return True


_PHASES = {
    Trouble.OVERTAKEN: {"Cancelled", "Succeeded"},
    Trouble.CANCEL: {"Cancelled", "Succeeded"},
    Trouble.DELETE: {"Cancelled", "Succeeded", ""},
    Trouble.LIST_LOST: {"Failed"},
}


async def judge(case_run: CaseRun) -> None:
    """Wait until the recovery is over and all holds that has to; note what does not."""
    scenario = case_run.scenario
    try:
        await scenario.watched.becomes(lambda watched: watched.ended, "the terminal status")
    except DeadlineError as error:
        case_run.wrong.append(str(error))
    found: list[str] = []

    async def holds() -> bool:
        observed = await observe(scenario)
        found[:] = violations(scenario, observed)
        if not scenario.watched.released:
            found.append("the finalizer is still there")
        return not found

    with suppress(DeadlineError):
        await until(holds, "all invariants to hold", seconds=_SETTLED_SECONDS)
    if not case_run.operators[-1].alive:
        found.append("the operator has ended by itself")
    phase = scenario.watched.status.get("phase", "")
    if scenario.watched.gone and "drainStartTime" not in scenario.watched.status:
        phase = ""  # it went at once, in whichever phase it was
    if phase not in _PHASES.get(case_run.case.trouble, {"Succeeded"}):
        found.append(f"the recovery is {phase}: {scenario.watched.status.get('message')}")
    case_run.wrong += [line for line in found if line not in case_run.wrong]
