"""Workers are said to be back when they are, and one that was created again with the note is brought back too."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus, WorkerStatus
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.controller.recovery_events import events_between
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import ScaleBackNote, Worker
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.restart import restart
from tests.sample_worker import WORKER
from tests.turns import alone

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SPEC = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts"})
TARGET = QueueTargetSpec.model_validate(
    {
        "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
        "queues": [{"name": "tts", "workers": [{"name": "spare"}, {"name": "worker"}]}],
    }
)
ASLEEP = replace(WORKER, replicas=0, pods=0, drained=True)
NOTED = replace(ASLEEP, uid="another", note=ScaleBackNote(uid="uid", name="stuck", replicas=2))
SPARE = replace(ASLEEP, name="spare")


class Case:
    """A recovery whose Deployments have been given their replicas back; both its resource and its environment."""

    uid, namespace, name, created, cluster = "uid", "media", "stuck", NOW, "this-cluster"
    desired = DesiredState(spec=SPEC, generation=1, deleting=False)

    def __init__(self, *seen: Sequence[Worker], refused: str = "") -> None:
        self.stored = QueueRecoveryStatus(
            drain_start_time=timestamp(NOW),
            workers=[WorkerStatus(name=name, uid="d", replicas=n) for name, n in {"spare": 0, "worker": 2}.items()],
        )
        self.workers = self
        self.restored: list[str] = []
        self._seen = seen
        self._refused = refused

    async def says(self) -> str:
        """Restart, and return what is said about the workers."""
        recovery = Recovery(
            resource=cast("Resource", self), environment=cast("Environment", self), status=self.stored, turn=alone()
        )
        await restart(recovery)
        condition = find(self.stored.conditions, ConditionType.RESTARTED)
        assert condition is not None
        return condition.message

    def now(self) -> datetime:
        return NOW

    async def target(self, _: str) -> QueueTargetSpec:
        return TARGET

    async def write(self, status: QueueRecoveryStatus) -> None:
        self.stored = status

    async def scale_back(self, name: str, *_: str, **__: object) -> None:
        if name == self._refused:
            raise RecoveryError(Reason.WORKER_WRITE_REFUSED, f"{name} is refused")
        self.restored.append(name)

    async def follow(self, _: Sequence[str], **__: bool) -> AsyncGenerator[Sequence[Worker], None]:
        for workers in self._seen:
            yield workers


async def test_those_that_are_back_are_named_with_what_they_have() -> None:
    case = Case([SPARE, replace(WORKER, replicas=3)])

    assert await case.says() == "replicas: spare at 0, as before, worker 3"


@pytest.mark.parametrize("first", [[], [[SPARE, replace(WORKER, rollout="starting")]]], ids=["at once", "later"])
async def test_one_that_somebody_else_has_set_to_zero_is_not_said_to_be_back(first: list[Sequence[Worker]]) -> None:
    said = await Case(*first, [SPARE, ASLEEP]).says()

    assert "worker 2" not in said
    assert (
        "; worker has 0 replicas instead of 2: somebody else has set that; "
        "kubectl scale deployment/worker --replicas=2 -n media)"
    ) in said


async def test_a_queue_whose_deployments_all_have_no_replicas_is_said_to_be_consumed_by_nobody() -> None:
    case = Case([SPARE, ASLEEP])

    said = await case.says()

    assert said.startswith(
        'Nobody consumes "tts": scale the workers up, unless an autoscaler does: '
        "kubectl scale deployment/spare deployment/worker --replicas=N -n media ("
    )
    restarted = find(case.stored.conditions, ConditionType.RESTARTED)
    assert restarted is not None
    assert restarted.reason == Reason.WORKERS_AT_ZERO
    (warning,) = [one for one in events_between(QueueRecoveryStatus(), case.stored) if one.type == "Warning"]
    assert (warning.reason, warning.note) == (Reason.WORKERS_AT_ZERO, said)


async def test_one_that_cannot_be_written_holds_up_no_other_one() -> None:
    case = Case(refused="spare")

    with pytest.raises(RecoveryError, match="spare is refused"):
        await case.says()

    assert case.restored == ["worker"]


async def test_one_that_was_created_again_with_the_note_is_brought_back_too() -> None:
    case = Case([SPARE, NOTED], [SPARE, WORKER])

    assert await case.says() == "replicas: spare at 0, as before, worker 2"
    assert case.restored == ["spare", "worker"] * 2
