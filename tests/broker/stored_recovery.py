"""Steps of a recovery of the queue `tts` with a real broker, a job store in memory, and no Kubernetes."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TypeVar, cast
from uuid import uuid4

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import Claim, StoredJob
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import Resource
from queue_recovery.recovery.recovery import Recovery
from tests.turns import alone

T = TypeVar("T")

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class JobsInMemory:
    """A job store; of each job it has the status, and its task id is `old-<id>`."""

    statuses: Mapping[str, str]
    claimed: set[str] = field(default_factory=set)

    def fits(self, _: object) -> bool:
        return True

    async def check(self) -> None:
        """It is there."""

    async def look_up(self, ids: Sequence[str]) -> AsyncIterator[StoredJob]:
        for one in ids:
            status = "pending" if one in self.claimed else self.statuses[one]
            yield StoredJob(id=one, status=status, task_id=f"old-{one}", task=None, args=None, kwargs=None)

    async def claim(self, _: str, claims: Sequence[Claim], *, now: datetime) -> frozenset[str]:  # noqa: ARG002  # the port's
        self.claimed |= {claim.id for claim in claims}
        return frozenset(claim.id for claim in claims)


@dataclass
class StoredRecovery:
    """A recovery; each recovery is that of another process, which reads the status that the last one wrote."""

    broker: RedisBroker
    spec: QueueRecoverySpec
    jobs: JobsInMemory
    recoverable: Collection[str] = ("failed",)
    on_pause: Callable[[], None] = lambda: None
    uid: str = field(default_factory=lambda: str(uuid4()))
    status: QueueRecoveryStatus = field(default_factory=QueueRecoveryStatus)

    def recovery(self) -> Recovery:
        resource = SimpleNamespace(
            uid=self.uid,
            namespace="media",
            name="stuck",
            created=NOW,
            desired=SimpleNamespace(spec=self.spec, generation=1, deleting=False),
            write=self._write,
        )
        environment = SimpleNamespace(
            cluster="this-cluster",
            now=lambda: NOW,
            target=lambda _: _the(self._target()),
            broker=lambda _: _the(self.broker),
            job_store=lambda _: _the(self.jobs),
            check_permissions=lambda *_: _the(None),
            workers=SimpleNamespace(paused=lambda _: _the([])),
            pause=self._pause,
        )
        return Recovery(
            resource=cast("Resource", resource),
            environment=cast("Environment", environment),
            status=self.status,
            turn=alone(),
        )

    def _target(self) -> QueueTargetSpec:
        statuses = {"recoverable": [*self.recoverable], "pending": "pending"}
        store = {"urlSecretRef": {"name": "mongo", "key": "url"}, "database": "app", "collection": "jobs"}
        return QueueTargetSpec.model_validate(
            {
                "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
                "jobStore": {"mongodb": {**store, "idType": "String", "statuses": statuses}},
                "queues": [
                    {"name": "tts", "workers": [{"name": "w"}], "message": {"task": "tts.render", "args": "[]"}}
                ],
            }
        )

    async def _write(self, status: QueueRecoveryStatus) -> None:
        self.status = status

    async def _pause(self, _: float) -> None:
        self.on_pause()


def stored_recovery(broker: RedisBroker, jobs: Mapping[str, str], /, **spec: object) -> StoredRecovery:
    """Return a recovery that lists these jobs, given with their statuses, by id."""
    wanted = {"targetRef": {"name": "media"}, "queue": "tts", "jobs": [{"id": one} for one in jobs], **spec}
    return StoredRecovery(broker, QueueRecoverySpec.model_validate(wanted), JobsInMemory(jobs))


async def _the(one: T) -> T:
    return one
