"""A recovery in memory: its resource, and a namespace with Deployments, a broker and a job store.

A test of a step takes a few lines:

    case = Case(jobs=["a"])
    case.broker.add("old-a")
    await case.reaches("Succeeded")
    assert case.broker.queued() == [case.task_id("a")]
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.servers import IdType
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.jobs import listed, task_id
from queue_recovery.recovery.phase import is_terminal
from queue_recovery.recovery.ports import Autoscalers, Broker, JobStore, Results, Workers
from queue_recovery.recovery.ports.environment import Earlier, Environment, TargetReport
from queue_recovery.recovery.ports.ledger import Ledger
from queue_recovery.recovery.ports.resource import Resource
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.reconcile import reconcile
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.turn import Turn
from sandbox.processes import until
from tests.recovery.fake_autoscalers import FakeAutoscalers
from tests.recovery.fake_broker import FakeBroker
from tests.recovery.fake_database import TASK
from tests.recovery.fake_job_store import FakeJobStore
from tests.recovery.fake_ledger import FakeLedger
from tests.recovery.fake_resource import FakeResource
from tests.recovery.fake_results import FakeResults
from tests.recovery.fake_workers import FakeWorkers
from tests.recovery.faults import Faults
from tests.turns import alone

NOW = datetime(2030, 1, 1, tzinfo=UTC)
UID = str(UUID(int=1))
CLUSTER = "this-cluster"
NAME = "stuck"

_LOOPS = 10
"""Iterations of the event loop in a pause, so that other tasks get to run."""


def target(
    queues: Mapping[str, Sequence[str]] | None = None, /, *, id_type: IdType = "String", **spec: object
) -> QueueTargetSpec:
    """Return a target of these queues with their Deployments; default: `tts`, `worker`."""
    store = {"urlSecretRef": {"name": "mongo", "key": "url"}, "database": "app", "collection": "jobs"}
    return QueueTargetSpec.model_validate(
        {
            "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
            "jobStore": {"mongodb": {**store, "idType": id_type}},
            "queues": [
                {
                    "name": name,
                    "workers": [{"name": worker} for worker in workers],
                    "message": {"task": TASK, "args": '["$(id)"]'},
                }
                for name, workers in (queues or {"tts": ["worker"]}).items()
            ],
            **spec,
        }
    )


class FakeEnvironment(Faults):
    """A namespace in memory, in which time passes only in pauses."""

    cluster = CLUSTER

    def __init__(self) -> None:
        """Begin with a target `media` of the queue `tts`, and its Deployment."""
        self.log: list[str] = []
        """The calls of the environment, the Deployments, the broker and the job store in their order."""
        super().__init__(self.log)
        self.deployments = FakeWorkers(self.log)
        self.fake_autoscalers = FakeAutoscalers(self.log)
        self.fake_broker = FakeBroker(self.log)
        self.connects_to: Broker = self.fake_broker
        """The broker of all targets."""
        self.jobs = FakeJobStore(self.log)
        self.fake_results = FakeResults(self.log)
        self.results_from: Results = self.fake_results
        """The results of all targets."""
        self.fake_ledger = FakeLedger(self.log)
        self.targets: dict[str, QueueTargetSpec] = {"media": target()}
        self.reports: dict[str, TargetReport] = {}
        """What the status of a target says; nothing, of the others."""
        self.connected: list[QueueTargetSpec] = []
        """The target of each connection to the broker or to the job store."""
        self.recoveries: dict[str, Earlier] = {}
        self.existing: dict[str, bool | None] = {}
        """Whether another recovery exists, by `namespace/name`; None: the operator may not look. Others do not."""
        self.ended: set[str] = set()
        """Other recoveries that exist and have ended, by `namespace/name`."""
        self.terminating = False
        self.time = NOW
        self.pauses: list[float] = []
        self.on_pause: Callable[[], object] = lambda: None
        """Called in each pause."""
        self._change = asyncio.Event()

    @property
    def workers(self) -> Workers:
        return self.deployments

    @property
    def autoscalers(self) -> Autoscalers:
        return self.fake_autoscalers

    def report_change(self) -> None:
        """Report that an object of the namespace has changed."""
        self._change.set()

    def now(self) -> datetime:
        return self.time

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += timedelta(seconds=seconds)
        self._called("pause")
        self.on_pause()
        for _ in range(_LOOPS):
            await asyncio.sleep(0)

    async def target(self, name: str) -> QueueTargetSpec:
        self._called("target")
        if name not in self.targets:
            raise AwaitingChange(Reason.TARGET_NOT_FOUND, f"no QueueTarget {name}")
        return self.targets[name]

    async def target_report(self, name: str) -> TargetReport:
        self._called("target_report")
        if name not in self.targets:
            raise AwaitingChange(Reason.TARGET_NOT_FOUND, f"no QueueTarget {name}")
        return self.reports.get(name, TargetReport(status=QueueTargetStatus(), is_current=True))

    async def recovery(self, name: str) -> Earlier:
        self._called("recovery")
        if name not in self.recoveries:
            raise RecoveryError(Reason.RECOVERY_NOT_FOUND, f"no QueueRecovery {name}")
        return self.recoveries[name]

    def ledger(self, target: str, key: str) -> Ledger:
        del target
        return self.fake_ledger.entry(key)

    async def cluster_uid(self) -> str | None:
        return CLUSTER

    async def exists(self, name: str, uid: str, *, unfinished: bool = False) -> bool | None:
        del uid
        self._called("exists")
        if name in self.ended:
            return not unfinished
        return self.existing.get(name, False)

    async def is_terminating(self) -> bool:
        return self.terminating

    async def broker(self, target: QueueTargetSpec) -> Broker:
        self.connected.append(target)
        self._called("broker")
        return self.connects_to

    async def job_store(self, target: QueueTargetSpec) -> JobStore:
        self.connected.append(target)
        self._called("job_store")
        return self.jobs

    async def results(self, target: QueueTargetSpec) -> Results:
        del target
        self._called("results")
        return self.results_from

    async def check_permissions(self, target: QueueTargetSpec, workers: Iterable[WorkerRef]) -> None:
        del target, workers
        self._called("check_permissions")

    async def changed(self, *, workers: bool) -> None:
        del workers
        await self._change.wait()
        self._change.clear()


class Case:
    """A recovery of the queue `tts`, with all that it needs."""

    def __init__(
        self,
        spec: Mapping[str, object] | None = None,
        /,
        *,
        jobs: Sequence[str | Mapping[str, object]] = (),
        environment: FakeEnvironment | None = None,
        status: QueueRecoveryStatus | None = None,
        uid: str = UID,
        name: str = NAME,
        **fields: object,
    ) -> None:
        """Create the recovery.

        Args:
            spec: fields of the spec.
            jobs: ids of jobs that are `failed` in the job store, or jobs as the spec has them.
            environment: the one of another case; by default a new one with a Deployment `worker`.
            status: of a recovery that has begun already.
            uid: of the resource.
            name: of the resource.
            fields: further fields of the spec.
        """
        written_out = [{"id": job} if isinstance(job, str) else job for job in jobs]
        wanted = {"targetRef": {"name": "media"}, "queue": "tts", "jobs": written_out, **(spec or {}), **fields}
        self.environment = environment or FakeEnvironment()
        self.broker = self.environment.fake_broker
        self.jobs = self.environment.jobs
        self.workers = self.environment.deployments
        self.autoscalers = self.environment.fake_autoscalers
        recovery = QueueRecoverySpec.model_validate(wanted)
        self.resource = FakeResource(recovery, status or QueueRecoveryStatus(), uid=uid, name=name, created=NOW)
        for job in jobs:
            if isinstance(job, str) and job not in self.jobs.jobs:
                self.jobs.add(job)
        if environment is None:
            self.workers.add("worker")

    @property
    def status(self) -> QueueRecoveryStatus:
        """The status as it is stored."""
        return self.resource.status

    def recovery(self, turn: Turn | None = None) -> Recovery:
        """Return the recovery in a process that has just read its status."""
        return Recovery(
            resource=self._resource, environment=self._environment, status=self.status, turn=turn or alone()
        )

    def task_id(self, job_id: str) -> str:
        """Return the task id that a listed job gets."""
        (job,) = [job for job in listed(self.resource.desired.spec) if job.id == job_id]
        return task_id(self.resource.uid, job)

    async def reconciled(self, turn: Turn | None = None) -> Requeue | None:
        """Reconcile until the recovery has ended, or can only wait before it has begun."""
        async with asyncio.timeout(10):
            return await reconcile(self._resource, self._environment, turn or alone())

    async def reaches(self, phase: str, reason: str = "") -> QueueRecoveryStatus:
        """Reconcile to the end; assert the phase and, if given, the reason of the ending."""
        await self.reconciled()
        assert is_terminal(self.status)
        assert (self.status.phase, self.status.ending and self.status.ending.reason) == (
            phase,
            reason or (self.status.ending and self.status.ending.reason),
        )
        return self.status

    async def dies_at(self, number: int) -> bool:
        """Reconcile in a process that dies at its call of that number; return whether it came to it."""
        left = number

        def count() -> None:
            nonlocal left
            left -= 1
            if left <= 0:  # a dead process makes no further calls
                raise asyncio.CancelledError

        self._at_each_call(count)
        with suppress(asyncio.CancelledError):
            await self.reconciled()
        self._at_each_call(lambda: None)
        return left <= 0

    def at_call(self, number: int, event: Callable[["Case"], object]) -> Callable[[], bool]:
        """Let something happen right before a process makes its call of that number; return what tells whether."""
        left = number

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                event(self)

        self._at_each_call(count)
        return lambda: left <= 0

    def _at_each_call(self, act: Callable[[], None]) -> None:
        ledger = self.environment.fake_ledger
        results = self.environment.fake_results
        fakes = (
            self.resource,
            self.environment,
            self.broker,
            self.jobs,
            self.workers,
            self.autoscalers,
            ledger,
            results,
        )
        for fake in fakes:
            fake.on_any_call = act

    def start(self, turn: Turn | None = None) -> "asyncio.Task[Requeue | None]":
        """Reconcile in the background."""
        return asyncio.ensure_future(self.reconciled(turn))

    async def waits(self, reason: str) -> str:
        """Wait until the status has this reason for waiting; return its message."""

        async def said() -> bool:
            return any(one.type == "Reconciling" and one.reason == reason for one in self.status.conditions)

        await until(said, f"the reason {reason}")
        return self.status.message

    @property
    def _resource(self) -> Resource:
        return self.resource

    @property
    def _environment(self) -> Environment:
        return self.environment
