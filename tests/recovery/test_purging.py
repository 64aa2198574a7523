"""The purge asks the broker for the messages, and for what the jobs looked like that the drain has frozen."""

from types import SimpleNamespace
from typing import cast

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import Resource
from queue_recovery.recovery.purge import purge
from queue_recovery.recovery.recovery import Recovery
from tests.recovery.stored import NOW
from tests.turns import alone

TARGET = QueueTargetSpec.model_validate(
    {
        "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
        "queues": [{"name": "tts", "workers": [{"name": "worker"}]}],
    }
)


async def test_all_jobs_that_have_an_id_have_to_be_known_and_what_is_lost_is_not_written_again() -> None:
    asked: list[object] = []
    spec = {"targetRef": {"name": "media"}, "queue": "tts", "jobs": [{"id": 7}, {"task": "tts.render"}, {"id": "a"}]}

    async def take(attempt: int, frozen: list[str]) -> object:
        asked.append((attempt, frozen))
        raise RecoveryError(Reason.BROKER_LOST_DATA, "lost")

    async def broker(_: object) -> object:
        run = SimpleNamespace(take=take)  # it has nothing that writes
        return SimpleNamespace(consumers=consumers, run=lambda *_: run)

    async def consumers() -> list[object]:
        return []

    async def target(_: str) -> QueueTargetSpec:
        return TARGET

    desired = SimpleNamespace(spec=QueueRecoverySpec.model_validate(spec), generation=1)
    resource = SimpleNamespace(uid="uid", namespace="media", name="stuck", created=NOW, desired=desired)
    environment = SimpleNamespace(cluster="this-cluster", now=lambda: NOW, target=target, broker=broker)
    recovery = Recovery(
        resource=cast("Resource", resource),
        environment=cast("Environment", environment),
        status=QueueRecoveryStatus(),
        turn=alone(),
    )

    with pytest.raises(RecoveryError, match="lost"):
        await purge(recovery)

    assert asked == [(1, ["0:int:7", "2:str:a"])]
