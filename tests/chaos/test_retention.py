"""A quarantine's time may run out while no operator is there."""

import pytest

from sandbox.processes import until
from tests.chaos.scenario import Scenario
from tests.chaos.servers import Servers

pytestmark = pytest.mark.thorough


async def test_a_quarantine_whose_time_ran_out_without_an_operator_goes_when_one_starts(servers: Servers) -> None:
    async with servers.fixture() as fixture:
        scenario = fixture.scenario
        async with scenario.recovering(purge={"retentionSeconds": 1}), servers.operators.start(fixture.environment):
            await scenario.watched.becomes(lambda watched: watched.released, "its end")
            uid = scenario.uid

        async def over() -> bool:
            expires = await scenario.redis.hget(f"queuerecovery.dev:run:{uid}", "expires")
            seconds, _ = await scenario.redis.time()
            return expires is not None and seconds > int(expires)

        await until(over, "its time to run out")
        assert await _quarantine(scenario, uid)
        async with servers.operators.start(fixture.environment):

            async def gone() -> bool:
                return not await _quarantine(scenario, uid)

            await until(gone, "the quarantine to be unlinked")


async def _quarantine(scenario: Scenario, uid: str) -> list[bytes | str]:
    return await scenario.redis.keys(f"queuerecovery.dev:quarantine:{uid}:*")
