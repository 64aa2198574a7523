"""A recovery that is deleted and created again, as GitOps tools do, against the real API server.

`QUEUE_RECOVERY_TEST_COPIES` is how often; the deaths of the operator are in `tests/chaos/test_deaths.py`.
"""

import json
import os
from typing import Final

from queue_recovery.api.ledger import LEDGER
from sandbox.api import Json
from tests.e2e.team import Team, condition, envelope

_CYCLES: Final = int(os.environ.get("QUEUE_RECOVERY_TEST_COPIES", "10"))


async def created_again(team: Team, body: Json) -> str:
    """Delete a recovery and create it again from its body; return the message with which the copy has ended."""
    await team.create_again(body)
    status = await team.reached("Succeeded", body["metadata"]["name"])
    assert condition(status, "Succeeded")["reason"] == "AlreadyExecuted"
    message: str = status["message"]
    return message


async def test_a_finished_recovery_that_is_created_again_does_nothing_and_can_be_undone(team: Team) -> None:
    await team.workers()
    await team.target()
    job = await team.failed_job(task_id="poison")
    await team.redis.lpush("work", envelope("poison"))
    await team.recovery(jobs=[{"id": job}], notAfter="2099-01-01T00:00:00Z")
    await team.reached("Succeeded")
    body = await team.get("QueueRecovery", "stuck")
    await team.redis.lpush("work", envelope("healthy"))
    before = await team.queued()
    deployment = await team.get("Deployment", "worker")

    for _ in range(_CYCLES):
        message = await created_again(team, body)

    assert "1 message quarantined; 1 of 1 job enqueued" in message
    assert await team.queued() == before
    assert (await team.get("Deployment", "worker"))["metadata"]["generation"] == deployment["metadata"]["generation"]
    target = await team.get("QueueTarget", "team")
    assert target["status"]["ledger"] == LEDGER
    (entry,) = (await team.get("ConfigMap", LEDGER))["data"].values()
    assert json.loads(entry)["uid"] == body["metadata"]["uid"]

    await team.recovery("undo", restoreFrom={"name": "stuck", "taskIds": ["poison"]})
    await team.reached("Succeeded", "undo")

    assert "poison" in [json.loads(message)["headers"]["id"] for message in await team.queued()]
