"""What others do meanwhile: they edit the target or the workers' Deployment, or change the operator's keys."""

import signal
from typing import Final
from urllib.parse import urlsplit

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.layout.own_keys import JOB_FIELD, SEEN_FIELD, TAKEN_FIELD, ready_ending
from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, SCALE_BACK_TO
from queue_recovery.workers.patches import FENCE
from sandbox.processes import DeadlineError, until
from tests.chaos.cases import CaseRun, Trouble, judge
from tests.chaos.endings import ends
from tests.chaos.observation import OPERATOR, names_in
from tests.chaos.scenario import IMAGE, NEXT, REPLICAS, SCALER, Scenario
from tests.chaos.watched import Watched
from tests.mongodb import through

_NO_LABELS: Final = dict.fromkeys((HELD_BY, HELD_BY_UID, SCALE_BACK_TO, FENCE))
_FAILED: Final = '{"status": "failed", "taskId": "nobody", "recoverable": true}'


_OTHER_KEYS: Final = {"sep": "::", "prioritySteps": [0, 5], "unackedKey": "held", "unackedIndexKey": "held_index"}
_OTHER_JOBS: Final = {"collection": "others", "fields": {"status": "state", "taskId": "task"}}


async def target_is_edited(case_run: CaseRun) -> bool:
    """Edit what the recovery uses of its target, between two operators."""
    scenario = case_run.scenario
    async with case_run.operator(*case_run.case.points) as operator:
        reached = await ends(case_run, operator)
    edited = {"broker": {"transportOptions": _OTHER_KEYS}, "jobStore": {"mongodb": _OTHER_JOBS}}
    await scenario.api.patch(f"{scenario.path('QueueTarget')}/team", {"spec": edited})
    async with case_run.operator():
        await judge(case_run)
    return reached


async def target_is_deleted(case_run: CaseRun) -> bool:
    """Delete the target between two operators, and create it again once the second one waits for it."""
    scenario = case_run.scenario
    async with case_run.operator(*case_run.case.points) as operator:
        reached = await ends(case_run, operator)
    target = await scenario.get("QueueTarget", "team")
    await scenario.api.delete(f"{scenario.path('QueueTarget')}/team", {})
    async with case_run.operator():
        await scenario.watched.becomes(
            lambda one: one.ended or one.waits_for(Reason.TARGET_NOT_FOUND), "it to wait for its target, or end"
        )
        await scenario.apply({**target, "metadata": {"name": "team"}})
        await judge(case_run)
    return reached


async def password_is_rotated(case_run: CaseRun) -> bool:
    """Change the operator's password in the broker, and in the Secret once the operator was refused."""
    scenario, user = case_run.scenario, f"operator-{case_run.scenario.namespace}"

    async def allow(password: str) -> None:
        await scenario.redis.acl_setuser(
            user, enabled=True, reset=True, passwords=[f"+{password}"], commands=["+@all"], keys=["*"]
        )

    async def store(password: str) -> None:
        port, database = case_run.fixture.networks.redis.port, urlsplit(scenario.broker_url).path
        await scenario.secrets(redis=f"redis://{user}:{password}@127.0.0.1:{port}{database}", mongo=store_url)

    store_url = through(scenario.store_url, case_run.fixture.networks.mongo.port)
    await allow("old")
    await store("old")
    async with case_run.operator(*case_run.case.points, QUEUE_RECOVERY_TARGET_REFRESH_SECONDS="1") as operator:
        reached = await case_run.is_hit(operator)
        await allow("new")
        await scenario.redis.client_kill_filter(user=user)
        operator.send(signal.SIGUSR1)
        await scenario.watched.becomes(
            lambda one: one.ended or one.waits_for(Reason.BROKER_AUTHENTICATION_FAILED), "it to be refused, or end"
        )
        await store("new")
        await judge(case_run)
    await scenario.redis.acl_deluser(user)
    return reached


_AFTER_THE_CHECK: Final = {"mongo claim", "redis push"}
"""The effects before which an operator has looked at the image for the last time."""


async def image_is_rolled_back(case_run: CaseRun) -> bool:
    """Take the required image away, and give it back once the recovery waits for it: no job is enqueued meanwhile."""
    scenario = case_run.scenario
    [point] = case_run.case.points

    async def enqueued() -> int:
        record = await scenario.redis.hkeys(f"{OPERATOR}run:{scenario.run}")
        return sum(field.startswith(JOB_FIELD.encode()) for field in record if isinstance(field, bytes))

    async with case_run.operator(point) as operator:
        reached = await case_run.is_hit(operator)
        await scenario.roll_out(f"{IMAGE}-broken")
        before = await enqueued()
        operator.send(signal.SIGUSR1)
        await scenario.watched.becomes(
            lambda one: one.ended or one.waits_for(Reason.AWAITING_IMAGE), "it to wait for the image, or end"
        )
        more = await enqueued() - before
        if more > 0 and point.name not in _AFTER_THE_CHECK:
            case_run.wrong.append(f"{more} jobs were enqueued for another image")
        await scenario.roll_out(IMAGE)
        await judge(case_run)
    return reached


async def update_begins(case_run: CaseRun) -> bool:
    """Begin a canary; once the recovery waits for it, its workers have their replicas, and it is promoted."""
    scenario = case_run.scenario
    async with case_run.operator(*case_run.case.points) as operator:
        reached = await case_run.is_hit(operator)
        await scenario.begin_update()
        operator.send(signal.SIGUSR1)
        await scenario.watched.becomes(
            lambda one: one.ended or one.waits_for(Reason.UPDATE_IN_PROGRESS), "it to wait for the update, or end"
        )
        replicas = await scenario.wanted()
        if not scenario.watched.ended and replicas != REPLICAS:
            case_run.wrong.append(f"it waits for the update while the workers have {replicas} replicas")
        await scenario.promote_update()
        await judge(case_run)
    return reached


async def labels_are_removed(case_run: CaseRun) -> bool:
    """Remove the operator's labels from the workers, and from what KEDA scales them by."""
    scenario = case_run.scenario
    async with case_run.operator(*case_run.case.points) as operator:
        reached = await case_run.is_hit(operator)
        unlabelled = {"metadata": {"labels": _NO_LABELS}}
        await scenario.api.patch(f"{scenario.path(scenario.worker_kind)}/worker", unlabelled)
        if scenario.stateful:
            await scenario.api.patch(f"{scenario.path('ScaledObject')}/{SCALER}", unlabelled)
        operator.send(signal.SIGUSR1)
        await judge(case_run)
    return reached


async def record_is_forged(case_run: CaseRun) -> bool:
    """Write into the run's record as another client of the broker may; judge the next recovery of the same queue."""
    scenario = case_run.scenario
    async with case_run.operator(*case_run.case.points) as operator:
        if not await case_run.is_hit(operator):
            await judge(case_run)
            return False
        key = f"{OPERATOR}run:{scenario.run}"
        for field, value in _forgery(case_run.case.trouble, scenario).items():
            await scenario.redis.hset(key, field, value)
        operator.send(signal.SIGUSR1)
        try:
            await _ends(scenario, key)
        except DeadlineError as error:
            case_run.wrong.append(str(error))
            return True
        if scenario.watched.status["phase"] not in {"Succeeded", "Failed"}:
            case_run.wrong.append(f"the forged one is {scenario.watched.status['phase']}")
        scenario.former, scenario.forged = scenario.uid, True
        async with scenario.recovering(NEXT):
            await judge(case_run)
    return True


async def _ends(scenario: Scenario, record: str) -> None:
    """Wait for the end of a recovery whose record is forged, and remove that where its ending says so."""
    watched = scenario.watched

    def asks(one: Watched) -> bool:
        return "ending" in one.status and f'"{record}"' in one.status["message"]

    await watched.becomes(lambda one: one.ended or asks(one), "its end, or a refusal of its record")

    async def workers_are_back() -> bool:
        return await scenario.replicas() == REPLICAS

    await until(workers_are_back, "the workers to be scaled back")
    if not watched.ended:
        await scenario.redis.delete(record)
    await watched.becomes(lambda one: one.released, "its end")


def _forgery(trouble: Trouble, scenario: Scenario) -> dict[str, str]:
    match trouble:
        case Trouble.FORGED_JOB:
            return {f"{SEEN_FIELD}nobody": "null", f"{SEEN_FIELD}7:int:nobody": _FAILED}
        case Trouble.FORGED_COUNTER:
            return {f"{TAKEN_FIELD}1:ready:0": "many"}
        case _:
            return {"pushed": "1", f"{JOB_FIELD}{scenario.listed[0].key}": "nobody"}


async def lock_comes_back(case_run: CaseRun) -> bool:
    """Bring back what the ended recovery had in the broker, as a failover does; judge the next one."""
    scenario = case_run.scenario
    async with case_run.operator(*case_run.case.points) as operator:
        if not await case_run.is_hit(operator):
            await judge(case_run)
            return False
        keys = [f"{OPERATOR}lock:work", f"{OPERATOR}run:{scenario.run}"]
        dumps = {key: await scenario.redis.dump(key) for key in keys}
        operator.send(signal.SIGUSR1)
        await judge(case_run)
        for key, dump in dumps.items():
            await scenario.redis.restore(key, 0, dump or b"", replace=True)
        scenario.former = scenario.uid
        async with scenario.recovering(NEXT, every_queue=case_run.case.every_queue, **case_run.case.spec):
            await judge(case_run)
    return True


async def list_is_lost(case_run: CaseRun) -> bool:
    """Remove the quarantine's list of the first priority while it is sorted."""
    scenario = case_run.scenario
    async with case_run.operator(*case_run.case.points) as operator:
        if reached := await case_run.is_hit(operator):
            key = f"{OPERATOR}quarantine:{scenario.run}:{ready_ending(1, 0)}"
            scenario.lost = await names_in(scenario.redis, key)
            assert await scenario.redis.delete(key)
            operator.send(signal.SIGUSR1)
        await judge(case_run)
    return reached
