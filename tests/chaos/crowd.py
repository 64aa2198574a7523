"""Recoveries of many namespaces at once, whose operator is killed among them again and again."""

from contextlib import AsyncExitStack
from random import Random

from sandbox.processes import until
from tests.chaos.arena import Arena, Place
from tests.chaos.cases import Case, Play, Trouble, judge
from tests.chaos.scenario import Watched

MOST_DRAINING = 2
"""So few that most of a small crowd waits."""


_HELD = 3
"""Of so many one is suspended from the beginning, until the operator has died for the last time."""


async def play_crowd(arena: Arena, random: Random, *, recoveries: int, deaths: int) -> list[str]:
    """Play one; return what does not hold afterwards."""
    async with AsyncExitStack() as stack:
        plays = [
            Play(arena=arena, place=await stack.enter_async_context(arena.place()), case=Case(trouble=Trouble.NONE))
            for _ in range(recoveries)
        ]
        environment = _of_all([play.place for play in plays])
        for play in plays:
            await stack.enter_async_context(play.stage.recovering())
        held = plays[::_HELD]
        for play in held:
            await play.stage.change(suspend=True)
        most = 0
        for _ in range(deaths):
            wanted = random.randrange(1, 3 * recoveries)
            async with arena.operators.start(environment) as operator:
                before = _steps(plays)

                async def far_enough(before: int = before, wanted: int = wanted) -> bool:
                    nonlocal most
                    most = max(most, _draining(plays))
                    left = [play for play in plays if play not in held and not play.stage.watched.ended]
                    return _steps(plays) >= before + wanted or not left

                await until(far_enough, f"{wanted} more steps of the crowd")
                await operator.kill()
        async with arena.operators.start(environment) as operator:
            for play in held:
                await play.stage.watched.becomes(_is_held, "the recovery to hold")
                await play.stage.change(suspend=False)
            for play in plays:
                play.operators.append(operator)
                await judge(play)
                most = max(most, _draining(plays))
        wrong = [f"{play.stage.namespace}: {line}" for play in plays for line in play.wrong]
        if most > MOST_DRAINING:
            wrong.append(f"{most} recoveries had their workers stopped at once")
        return wrong


def _of_all(places: list[Place]) -> dict[str, str]:
    """Return the environment of one operator for all of these places."""
    names = [place.stage.namespace for place in places]
    return {
        **places[0].environment,
        "QUEUE_RECOVERY_NAMESPACES": ",".join(names),
        "QUEUE_RECOVERY_MAX_DRAINING": str(MOST_DRAINING),
    }


def _is_held(watched: Watched) -> bool:
    return watched.ended or watched.suspended


def _steps(plays: list[Play]) -> int:
    """Return how many conditions of all recoveries are true, which no death takes back."""
    conditions = (one for play in plays for one in play.stage.watched.status.get("conditions", ()))
    return sum(one["status"] == "True" for one in conditions)


def _draining(plays: list[Play]) -> int:
    """Return how many have their workers stopped, as far as their status tells."""
    return sum(_is_draining(play.stage.watched.status) for play in plays)


def _is_draining(status: dict[str, object]) -> bool:
    return status.get("phase") in {"Draining", "Purging", "Restarting"}
