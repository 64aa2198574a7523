"""A quarantine's time may run out while no operator is there."""

from sandbox.processes import until
from tests.chaos.arena import Arena
from tests.chaos.scenario import Stage


async def test_a_quarantine_whose_time_ran_out_without_an_operator_goes_when_one_starts(arena: Arena) -> None:
    async with arena.place() as place:
        stage = place.stage
        async with stage.recovering(purge={"retentionSeconds": 1}), arena.operators.start(place.environment):
            await stage.watched.becomes(lambda watched: watched.let_go, "its end")
            uid = stage.uid

        async def over() -> bool:
            expires = await stage.redis.hget(f"queuerecovery.dev:run:{uid}", "expires")
            seconds, _ = await stage.redis.time()
            return expires is not None and seconds > int(expires)

        await until(over, "its time to run out")
        assert await _quarantine(stage, uid)
        async with arena.operators.start(place.environment):

            async def gone() -> bool:
                return not await _quarantine(stage, uid)

            await until(gone, "the quarantine to be unlinked")


async def _quarantine(stage: Stage, uid: str) -> list[bytes | str]:
    return await stage.redis.keys(f"queuerecovery.dev:quarantine:{uid}:*")
