"""How each trouble is brought about."""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress

from sandbox.processes import DeadlineError, until
from tests.chaos.arena import Arena
from tests.chaos.cases import OF_THE_STORE, Case, Play, Result, Trouble, judge
from tests.chaos.operators import Operator
from tests.chaos.points import Crossing, Moment, Point
from tests.chaos.proxy import Network
from tests.chaos.scenario import EARLIER, NEXT
from tests.mongodb import accept_updates, fail_updates

_NOT_REACHED_SECONDS = 10
_LEASE_SECONDS = 8
"""As short as an operator bears that shares its processors with those of other cases."""


async def run(arena: Arena, case: Case) -> Result:
    """Play a case from its beginning to its judgement."""
    began = time.monotonic()
    own_store = case.trouble in OF_THE_STORE
    async with arena.place(real_workers=case.real_workers, own_store=own_store, pending=case.pending) as place:
        play = Play(arena=arena, place=place, case=case)
        async with await _begun(play):
            reached = await _PLAYS[case.trouble](play)
            status = place.stage.watched.status
            logs = [operator.log.read_text() for operator in play.operators if operator.log.exists()]
            return Result(
                case=case,
                reached=reached,
                phase="gone" if place.stage.watched.gone else status.get("phase", ""),
                violations=play.wrong,
                seconds=time.monotonic() - began,
                traces=[operator.crossings() for operator in play.operators],
                evidence="\n".join([json.dumps(status, indent=1), *logs]),
            )


async def _begun(play: Play) -> AbstractAsyncContextManager[None]:
    """Return the case's recovery, yet to be created; what it is to put back has been taken by then."""
    stage, case = play.stage, play.case
    if not case.restore:
        return stage.recovering(every_queue=case.every_queue, purge={"retentionSeconds": case.retention})
    async with stage.recovering(EARLIER, jobs=[]), play.arena.operators.start(play.place.environment):
        await stage.watched.becomes(lambda watched: watched.let_go, "the earlier recovery's end")
        stage.earlier = stage.uid
    return stage.restoring()


async def _undisturbed(play: Play) -> bool:
    async with play.operator():
        await judge(play)
    return True


async def _dies(play: Play) -> bool:
    for point in play.case.points:
        async with play.operator(point) as operator:
            if not await _ends(play, operator):
                await judge(play)
                return False
    return await _undisturbed(play)


async def _is_followed(play: Play) -> bool:
    async with play.operator(*play.case.points, lease=_LEASE_SECONDS) as first:
        await first.crosses(lambda _: True, "the first one to lead")
        async with play.operator(lease=_LEASE_SECONDS):
            reached = await _ends(play, first)
            await judge(play)
    return reached


async def _pauses(play: Play) -> bool:
    async with play.operator(*play.case.points) as paused:
        reached = await _is_hit(play, paused)
        if play.case.trouble is Trouble.OVERTAKEN:
            await play.stage.change(cancel=True)
        async with play.operator():
            await judge(play)
            paused.send(signal.SIGCONT)
            if reached and any(one.moment is Moment.HEARD for one in paused.crossings()):
                with suppress(DeadlineError):
                    await paused.crosses(lambda one: one.moment is Moment.IDLE, "the paused one to be done", seconds=20)
            await judge(play)
    return reached


async def _is_told(play: Play) -> bool:
    """The user changes the spec while an effect is held; then the operator meets what further points say."""
    stage = play.stage
    async with play.operator(*play.case.points) as operator:
        reached = await _is_hit(play, operator)
        match play.case.trouble:
            case Trouble.CANCEL:
                await stage.change(cancel=True)
            case Trouble.SUSPEND:
                await stage.change(suspend=True)
            case _:
                await stage.delete()
        with suppress(DeadlineError):  # before it works on the recovery it hears nothing
            await operator.crosses(_heard, "the operator to hear of it", seconds=2)
        operator.send(signal.SIGUSR1)
        if play.case.trouble is Trouble.SUSPEND:
            await stage.watched.becomes(lambda watched: watched.ended or watched.suspended, "the recovery to hold")
            if not stage.watched.ended:
                await stage.change(suspend=False)
        if await _ends(play, operator):
            return await _undisturbed(play) and reached
        await judge(play)
    return reached and len(play.case.points) == 1


async def _is_partitioned(play: Play) -> bool:
    [point] = play.case.points
    network = play.place.networks.of(point.name or "")
    async with play.operator(point) as operator:
        reached = await _is_hit(play, operator)
        network.become(Network.SLOW if play.case.trouble is Trouble.SLOW else _NETWORKS[play.case.trouble])
        operator.send(signal.SIGUSR1)
        with suppress(DeadlineError):
            await operator.crosses(lambda one: _over(one, point), "the effect to be over", seconds=40)
        if play.case.trouble is Trouble.SLOW:
            network.heal_for_others()
            await network.deliver()
        network.become(Network.OPEN)
        await judge(play)
    return reached


async def _arrives_late(play: Play) -> bool:
    [point] = play.case.points
    network = play.place.networks.of(point.name or "")
    async with play.operator(point) as operator:
        reached = await _is_hit(play, operator)
        network.become(Network.SLOW)
        operator.send(signal.SIGUSR1)
        before = -1

        async def on_its_way() -> bool:
            nonlocal before
            before, seen = network.held, before
            return bool(network.held) and network.held == seen

        with suppress(DeadlineError):
            await until(on_its_way, "the effect to be on its way", seconds=2)
    network.heal_for_others()
    async with play.operator():
        await judge(play)
        await network.deliver()
        await judge(play)
    return reached


async def _store_crashes(play: Play) -> bool:
    store = play.place.own_store
    assert store is not None
    async with play.operator(*play.case.points) as operator:
        reached = await _is_hit(play, operator)
        await store.kill()
        operator.send(signal.SIGUSR1)
        await store.restart()
        await judge(play)
    return reached


async def _store_refuses(play: Play) -> bool:
    [point] = play.case.points
    store = play.place.own_store
    assert store is not None
    async with play.operator(point) as operator:
        reached = await _is_hit(play, operator)
        await fail_updates(store.url, _FAULTS[play.case.trouble])
        operator.send(signal.SIGUSR1)
        with suppress(DeadlineError):
            await operator.crosses(lambda one: _over(one, point), "the effect to be over", seconds=40)
        await accept_updates(store.url)
        await judge(play)
    return reached


_FAULTS = {
    Trouble.FAILOVER: "the primary has stepped down",
    Trouble.CONFLICT: "a write conflict",
    Trouble.NO_MAJORITY: "no majority acknowledges it",
}


async def _is_removed(play: Play) -> bool:
    """The recovery is removed by force; what is judged is the next one of the same queue."""
    async with play.operator(*play.case.points) as operator:
        reached = await _is_hit(play, operator)
        if play.case.trouble is Trouble.REMOVED:
            await operator.kill()
        if not reached:
            await judge(play)
            return False
        stage = play.stage
        await stage.remove_by_force()
        async with (
            stage.recovering(NEXT, every_queue=play.case.every_queue, purge={"retentionSeconds": play.case.retention}),
            play.operator(),
        ):
            await judge(play)
            if operator.alive:
                operator.send(signal.SIGCONT)
                if any(one.moment is Moment.HEARD for one in operator.crossings()):
                    with suppress(DeadlineError):
                        await operator.crosses(
                            lambda one: one.moment is Moment.IDLE, "the late one to be done", seconds=20
                        )
                await judge(play)
    return reached


_NETWORKS = {Trouble.CUT: Network.CUT, Trouble.LOST_ANSWER: Network.DEAF}

_PLAYS: dict[Trouble, Callable[[Play], Awaitable[bool]]] = {
    Trouble.NONE: _undisturbed,
    Trouble.DEATH: _dies,
    Trouble.SUCCESSION: _is_followed,
    Trouble.PAUSE: _pauses,
    Trouble.OVERTAKEN: _pauses,
    Trouble.CANCEL: _is_told,
    Trouble.SUSPEND: _is_told,
    Trouble.DELETE: _is_told,
    Trouble.CUT: _is_partitioned,
    Trouble.LOST_ANSWER: _is_partitioned,
    Trouble.SLOW: _is_partitioned,
    Trouble.REMOVED: _is_removed,
    Trouble.REMOVED_LATE: _is_removed,
    Trouble.LATE: _arrives_late,
    Trouble.CRASH: _store_crashes,
    Trouble.FAILOVER: _store_refuses,
    Trouble.CONFLICT: _store_refuses,
    Trouble.NO_MAJORITY: _store_refuses,
}


async def _is_hit(play: Play, operator: Operator) -> bool:
    """Wait until the operator is hit; False when it will not be."""

    async def hit_or_over() -> bool:
        return operator.hit() is not None or play.stage.watched.let_go

    try:
        await until(hit_or_over, "the operator to be hit")
        await operator.crosses(lambda one: one.moment is Moment.HIT, "it to be hit", seconds=_NOT_REACHED_SECONDS)
    except DeadlineError:
        return False
    return True


async def _ends(play: Play, operator: Operator) -> bool:
    """Wait until the operator has died; False when the recovery is over and it lives."""
    try:
        await asyncio.wait_for(
            _either(operator.ended(), play.stage.watched.becomes(lambda w: w.let_go, "its end")), 130
        )
    except DeadlineError as error:
        play.wrong.append(str(error))
    if operator.alive:
        with suppress(TimeoutError):
            await asyncio.wait_for(operator.ended(), _NOT_REACHED_SECONDS if _dies_later(play.case) else 0.0)
    return not operator.alive


async def _either(*awaitables: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _dies_later(case: Case) -> bool:
    return case.trouble in {Trouble.DEATH, Trouble.SUCCESSION} or len(case.points) > 1


def _heard(crossing: Crossing) -> bool:
    if crossing.moment is not Moment.HEARD:
        return False
    generation, deleting = json.loads(crossing.name)
    return bool(deleting or generation > 1)


def _over(crossing: Crossing, point: Point) -> bool:
    is_it = (crossing.name, crossing.number) == (point.name, point.number)
    return is_it and crossing.moment in {Moment.AFTER, Moment.FAILED}
