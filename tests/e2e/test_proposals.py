"""A proposed recovery that is started when its cause is over: it touches nothing, and says what to do."""

import pytest

from sandbox.processes import until
from tests.e2e.team import Team, condition, envelope
from tests.e2e.test_redelivery import PROPOSE, START, as_documented


@pytest.mark.thorough
async def test_a_proposal_that_is_started_after_the_junk_is_gone_leaves_the_healthy_messages(team: Team) -> None:
    await team.target(store=False)
    await as_documented(team, PROPOSE)
    await team.workers(replicas=0)
    await team.redis.lpush("work", *(envelope(f"healthy-{n}") for n in range(3)))
    await team.redis.rpush("work", "junk")
    note = await team.has_event('QueueRecovery "work-undecodable-messages-', "team")
    name = note.split('"')[1]
    await team.redis.lrem("work", 1, "junk")

    async def is_over() -> bool:
        return bool(condition((await team.get("QueueTarget", "team"))["status"], "Stuck")["reason"] == "NotStuck")

    await until(is_over, "the target to report no cause any more")
    await as_documented(team, START, name)
    said = await team.waits("CauseOver", name)

    assert 'no longer reports UndecodableMessages for queue "work"' in said
    assert len(await team.queued()) == 3
    command = said.partition("Delete it: kubectl ")[2].partition(". ")[0]
    await team.kubectl(*command.removesuffix(f" -n {team.namespace}").split())
