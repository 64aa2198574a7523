"""How each trouble is caused."""

import json
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress

from sandbox.api import Json
from sandbox.processes import DeadlineError, until
from tests.chaos import approvals, cause, neighbours, next_ones, transient
from tests.chaos.cases import NOT_IN_THE_MODEL, OF_THE_STORE, Case, CaseRun, Result, Trouble, judge
from tests.chaos.endings import ends
from tests.chaos.instance import conformance
from tests.chaos.points import Crossing, Moment, Point
from tests.chaos.proxy import Network
from tests.chaos.scenario import EARLIER, REQUIRES_IMAGE
from tests.chaos.servers import Servers
from tests.mongodb import accept_updates, fail_updates

_LEASE_SECONDS = 8
"""As short as an operator tolerates that shares the processors with those of other cases."""


async def run(servers: Servers, case: Case) -> Result:
    """Run a case from its beginning to its judgement."""
    began = time.monotonic()
    own_store = case.trouble in OF_THE_STORE
    kind = {
        "real_workers": case.real_workers,
        "pending": case.pending,
        "restarts": case.restarts,
        "redelivers": case.redelivers,
        "stateful": case.stateful,
        "rollout": case.rollout,
    }
    async with servers.fixture(own_store=own_store, **kind) as fixture:
        case_run = CaseRun(servers=servers, fixture=fixture, case=case)
        async with await _begun(case_run), fixture.scenario.scaled():
            reached = await _TROUBLES[case.trouble](case_run)
            traces = [operator.crossings() for operator in case_run.operators]
            compared = case.trouble not in NOT_IN_THE_MODEL
            nonconforming = conformance(case, fixture.scenario).check(traces) if compared else ""
            status = fixture.scenario.watched.status
            logs = [operator.log.read_text() for operator in case_run.operators if operator.log.exists()]
            return Result(
                case=case,
                reached=reached,
                phase="gone" if fixture.scenario.watched.gone else status.get("phase", ""),
                violations=case_run.wrong + ([f"not in the model: {nonconforming}"] if nonconforming else []),
                seconds=time.monotonic() - began,
                traces=traces,
                nonconforming=nonconforming,
                evidence="\n".join([json.dumps(status, indent=1), *logs]),
            )


async def _begun(case_run: CaseRun) -> AbstractAsyncContextManager[None]:
    """Return the case's recovery, yet to be created; what it is to put back has been taken by then."""
    scenario, case = case_run.scenario, case_run.case
    if case.waits:
        return scenario.waiting()
    if case.trouble is Trouble.APPROVED:
        await approvals.require(scenario)
    if case.trouble is Trouble.TRANSIENT:
        await transient.hold(scenario)
    if not case.restore:
        required: Json = {"restart": REQUIRES_IMAGE} if case.trouble is Trouble.ROLLED_BACK else {}
        return scenario.recovering(every_queue=case.every_queue, **case.spec, **required)
    async with scenario.recovering(EARLIER, jobs=[]), case_run.servers.operators.start(case_run.fixture.environment):
        await scenario.watched.becomes(lambda watched: watched.released, "the earlier recovery's end")
        scenario.earlier = scenario.uid
    return scenario.restoring()


async def _undisturbed(case_run: CaseRun) -> bool:
    async with case_run.operator():
        await judge(case_run)
    return True


async def _dies(case_run: CaseRun) -> bool:
    for point in case_run.case.points:
        async with case_run.operator(point) as operator:
            if not await ends(case_run, operator):
                await judge(case_run)
                return False
    return await _undisturbed(case_run)


async def _is_followed(case_run: CaseRun) -> bool:
    async with case_run.operator(*case_run.case.points, lease=_LEASE_SECONDS) as first:
        await first.crosses(lambda _: True, "the first one to lead")
        async with case_run.operator(lease=_LEASE_SECONDS):
            reached = await ends(case_run, first)
            await judge(case_run)
    return reached


async def _pauses(case_run: CaseRun) -> bool:
    async with case_run.operator(*case_run.case.points) as paused:
        reached = await case_run.is_hit(paused)
        if case_run.case.trouble is Trouble.OVERTAKEN:
            await case_run.scenario.change(cancel=True)
        async with case_run.operator():
            await judge(case_run)
            generation = await case_run.scenario.generation()
            paused.send(signal.SIGCONT)
            if reached and any(one.moment is Moment.HEARD for one in paused.crossings()):
                with suppress(DeadlineError):
                    await paused.crosses(lambda one: one.moment is Moment.IDLE, "the paused one to be done", seconds=20)
            await judge(case_run)
        if await case_run.scenario.generation() != generation:
            case_run.wrong.append("the operator that woke has changed the workers' Deployment")
    return reached


async def _is_told(case_run: CaseRun) -> bool:
    """The user changes the spec while an effect is held; then the operator meets what further points say."""
    scenario = case_run.scenario
    async with case_run.operator(*case_run.case.points) as operator:
        reached = await case_run.is_hit(operator)
        match case_run.case.trouble:
            case Trouble.CANCEL:
                await scenario.change(cancel=True)
            case Trouble.SUSPEND:
                await scenario.change(suspend=True)
            case _:
                await scenario.delete()
        with suppress(DeadlineError):  # before it reconciles the recovery it receives nothing
            await operator.crosses(_received, "the operator to receive it", seconds=2)
        operator.send(signal.SIGUSR1)
        if case_run.case.trouble is Trouble.SUSPEND:
            await scenario.watched.becomes(lambda watched: watched.ended or watched.suspended, "the recovery to hold")
            if not scenario.watched.ended:
                await scenario.change(suspend=False)
        if await ends(case_run, operator):
            return await _undisturbed(case_run) and reached
        await judge(case_run)
    return reached and len(case_run.case.points) == 1


async def _is_partitioned(case_run: CaseRun) -> bool:
    [point] = case_run.case.points
    network = case_run.fixture.networks.of(point.name or "")
    async with case_run.operator(point) as operator:
        reached = await case_run.is_hit(operator)
        network.become(Network.SLOW if case_run.case.trouble is Trouble.SLOW else _NETWORKS[case_run.case.trouble])
        operator.send(signal.SIGUSR1)
        with suppress(DeadlineError):
            await operator.crosses(lambda one: _over(one, point), "the effect to be over", seconds=40)
        if case_run.case.trouble is Trouble.SLOW:
            network.heal_for_others()
            await network.deliver()
        network.become(Network.OPEN)
        await judge(case_run)
    return reached


async def _arrives_late(case_run: CaseRun) -> bool:
    [point] = case_run.case.points
    network = case_run.fixture.networks.of(point.name or "")
    async with case_run.operator(point) as operator:
        reached = await case_run.is_hit(operator)
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
    async with case_run.operator():
        await judge(case_run)
        await network.deliver()
        await judge(case_run)
    return reached


async def _store_crashes(case_run: CaseRun) -> bool:
    store = case_run.fixture.own_store
    assert store is not None
    async with case_run.operator(*case_run.case.points) as operator:
        reached = await case_run.is_hit(operator)
        await store.kill()
        operator.send(signal.SIGUSR1)
        await store.restart()
        await judge(case_run)
    return reached


async def _store_refuses(case_run: CaseRun) -> bool:
    [point] = case_run.case.points
    store = case_run.fixture.own_store
    assert store is not None
    async with case_run.operator(point) as operator:
        reached = await case_run.is_hit(operator)
        await fail_updates(store.url, _REFUSALS[case_run.case.trouble])
        operator.send(signal.SIGUSR1)
        with suppress(DeadlineError):
            await operator.crosses(lambda one: _over(one, point), "the effect to be over", seconds=40)
        await accept_updates(store.url)
        await judge(case_run)
    return reached


_REFUSALS = {
    Trouble.FAILOVER: "the primary has stepped down",
    Trouble.CONFLICT: "a write conflict",
    Trouble.NO_MAJORITY: "no majority acknowledges it",
}


async def _is_replaced(case_run: CaseRun) -> bool:
    """The workers' Deployment is another one when the effect goes on."""
    async with case_run.operator(*case_run.case.points) as operator:
        reached = await case_run.is_hit(operator)
        await case_run.scenario.replace_workers()
        operator.send(signal.SIGUSR1)
        await judge(case_run)
    return reached


_NETWORKS = {Trouble.CUT: Network.CUT, Trouble.LOST_ANSWER: Network.DEAF}

_TROUBLES: dict[Trouble, Callable[[CaseRun], Awaitable[bool]]] = {
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
    Trouble.REMOVED: next_ones.is_removed,
    Trouble.REMOVED_LATE: next_ones.is_removed,
    Trouble.CREATED_AGAIN: next_ones.is_created_again,
    Trouble.LATE: _arrives_late,
    Trouble.REPLACED: _is_replaced,
    Trouble.CRASH: _store_crashes,
    Trouble.FAILOVER: _store_refuses,
    Trouble.CONFLICT: _store_refuses,
    Trouble.NO_MAJORITY: _store_refuses,
    Trouble.TARGET_EDITED: neighbours.target_is_edited,
    Trouble.TARGET_DELETED: neighbours.target_is_deleted,
    Trouble.ROTATED: neighbours.password_is_rotated,
    Trouble.ROLLED_BACK: neighbours.image_is_rolled_back,
    Trouble.APPROVED: approvals.are_given,
    Trouble.TRANSIENT: transient.is_ignored,
    Trouble.CAUSE_OVER: cause.is_dismissed,
    Trouble.UNLABELLED: neighbours.labels_are_removed,
    Trouble.UPDATED: neighbours.update_begins,
    Trouble.FORGED_JOB: neighbours.record_is_forged,
    Trouble.FORGED_COUNTER: neighbours.record_is_forged,
    Trouble.FORGED_MARKER: neighbours.record_is_forged,
    Trouble.LOCK_BACK: neighbours.lock_comes_back,
    Trouble.LIST_LOST: neighbours.list_is_lost,
}


def _received(crossing: Crossing) -> bool:
    if crossing.moment is not Moment.HEARD:
        return False
    generation, deleting = json.loads(crossing.name)
    return bool(deleting or generation > 1)


def _over(crossing: Crossing, point: Point) -> bool:
    is_it = (crossing.name, crossing.number) == (point.name, point.number)
    return is_it and crossing.moment in {Moment.AFTER, Moment.FAILED}
