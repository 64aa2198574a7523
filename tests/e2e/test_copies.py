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


async def test_a_finished_recovery_that_is_created_again_purges_and_enqueues_nothing(team: Team) -> None:
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


async def test_the_messages_of_a_recovery_that_was_created_again_can_be_put_back(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.redis.lpush("work", envelope("poison"))
    await team.recovery()
    await team.reached("Succeeded")
    await created_again(team, await team.get("QueueRecovery", "stuck"))

    await team.recovery("undo", restoreFrom={"name": "stuck"})
    await team.reached("Succeeded", "undo")

    assert [json.loads(message)["headers"]["id"] for message in await team.queued()] == ["poison"]


async def test_no_recovery_starts_while_the_ledger_is_lost(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.recovery("first")
    await team.reached("Succeeded", "first")
    assert '"executed":true' in await team.sandbox.kubectl(
        "get", "configmap", LEDGER, "-n", team.namespace, "-o", "yaml"
    )
    await team.api.delete(f"{team.path('ConfigMap')}/{LEDGER}", {})

    await team.recovery("second")
    message = await team.waits("LedgerLost", "second")
    assert len(await team.queued()) == 1
    _, command = message.split("an empty one: kubectl ")
    await team.sandbox.kubectl(*command.split())

    await team.reached("Succeeded", "second")
