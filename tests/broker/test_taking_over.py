"""A recovery that does not exist any more is ended by the next one that needs its lock; any other one is waited for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Plan, QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.locks import check_queue_locks
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Run
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource
from queue_recovery.recovery.recovery import Recovery
from tests.broker.application import Application, everything, recovery_of, restoring, seen_jobs, selecting, tasks
from tests.broker.conftest import Connect
from tests.broker.dying import dying, dying_at
from tests.turns import alone

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TARGET = QueueTargetSpec.model_validate(
    {
        "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
        "jobStore": {
            "mongodb": {
                "urlSecretRef": {"name": "mongo", "key": "url"},
                "database": "app",
                "collection": "jobs",
                "idType": "Int",
            }
        },
        "queues": [{"name": name, "workers": [{"name": "worker"}]} for name in ("tts", "other")],
    }
)


@dataclass
class Case:
    """A recovery that waits for a lock, and what it finds around it."""

    broker: RedisBroker
    cluster_uid: str | None = "uid of this-cluster"
    exists: bool | None = False
    """What the API server says of the holder."""
    namespace: str = "media"
    queue: str = "tts"
    asked: list[tuple[str, str]] = field(default_factory=list)
    settled: list[tuple[str, list[str]]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    async def look(self) -> None:
        """Look whether its queues are free."""
        recovery = self._scope()
        await check_queue_locks(recovery, recovery.covered)

    async def refusal(self) -> str:
        """Look, and return whom it waits for."""
        with pytest.raises(RecoveryError) as refused:
            await self.look()
        assert refused.value.reason == "Locked"
        return refused.value.message

    def _scope(self) -> Recovery:
        spec = {"targetRef": {"name": "media"}, "queue": self.queue}
        desired = SimpleNamespace(spec=QueueRecoverySpec.model_validate(spec), generation=1)
        resource = SimpleNamespace(
            uid=str(uuid4()), namespace=self.namespace, name="next", desired=desired, write=self._write
        )
        environment = SimpleNamespace(
            cluster="this-cluster",
            now=lambda: NOW,
            target=self._target,
            exists=self._exists,
            cluster_uid=self._cluster_uid,
            broker=self._broker,
            job_store=self._job_store,
        )
        plan = Plan(time=timestamp(NOW), queues=["other", "tts"], ready=0, unacked=0, enqueue=0, skip=0)
        status = QueueRecoveryStatus(plan=plan)
        return Recovery(
            resource=cast("Resource", resource),
            environment=cast("Environment", environment),
            status=status,
            turn=alone(),
        )

    async def _write(self, status: QueueRecoveryStatus, *, asked: DesiredState | None = None) -> None:
        del asked
        self.messages.append(status.message)

    async def _target(self, _: str) -> QueueTargetSpec:
        return TARGET

    async def _exists(self, name: str, uid: str, **_: bool) -> bool | None:
        self.asked.append((name, uid))
        return self.exists

    async def _cluster_uid(self) -> str | None:
        return self.cluster_uid

    async def _broker(self, _: QueueTargetSpec) -> RedisBroker:
        return self.broker

    async def _job_store(self, _: QueueTargetSpec) -> object:
        return SimpleNamespace(fits=lambda one: isinstance(one, int), settle=self._settle)

    async def _settle(self, uid: str, ids: Sequence[str], *, now: datetime) -> None:
        assert now == NOW
        self.settled.append((uid, list(ids)))


@pytest.fixture
def case(broker: RedisBroker) -> Case:
    return Case(broker)


async def test_one_that_exists_is_waited_for(case: Case, run: Run) -> None:
    await case.broker.run(run).open()
    case.exists = True

    assert (
        await case.refusal()
        == 'queue "tts" is held by recovery "media/tts-wrong-shape"; this recovery starts when that one has ended'
    )
    assert case.asked == [(run.name, run.uid)]
    await case.broker.run(run).take()


async def test_one_of_which_the_operator_may_not_ask_is_waited_for_and_the_message_tells_how_to_remove_its_lock(
    case: Case, run: Run
) -> None:
    await case.broker.run(run).open()
    case.exists = None

    message = await case.refusal()

    assert message.endswith(
        'If that one no longer exists, run: redis-cli -u "$BROKER_URL" DEL queuerecovery.dev:lock:tts'
    )
    await case.broker.run(run).take()


@pytest.mark.parametrize(
    ("cluster", "uid"),
    [
        ("another-cluster", "another's"),
        ("this-cluster", "another's"),
        ("another-cluster", None),
    ],
    ids=["another authority", "the same authority", "an authority alone"],
)
async def test_one_of_another_cluster_is_never_taken_over_nor_asked_for_here(
    case: Case, run: Run, cluster: str, uid: str | None
) -> None:
    await case.broker.run(replace(run, cluster=cluster, cluster_uid=uid)).open()

    message = await case.refusal()

    assert '"media/tts-wrong-shape" in another cluster' in message
    assert "DEL queuerecovery.dev:lock:tts" in message
    assert case.asked == []
    await case.broker.run(run).take()


@pytest.mark.parametrize(("own", "uid"), [(None, "uid of this-cluster"), ("uid of this-cluster", None), (None, None)])
async def test_one_whose_cluster_is_not_known_for_sure_is_waited_for(
    case: Case, run: Run, own: str | None, uid: str | None
) -> None:
    case.cluster_uid = own
    await case.broker.run(replace(run, cluster_uid=uid)).open()

    message = await case.refusal()

    assert "another cluster" not in message
    assert "DEL queuerecovery.dev:lock:tts" in message
    assert case.asked == []


async def test_one_of_a_cluster_whose_authority_has_changed_is_taken_over(case: Case, redis: Redis, run: Run) -> None:
    await case.broker.run(replace(run, cluster="the-former-authority")).open()

    await case.look()

    assert await redis.zscore("queuerecovery.dev:runs:this-cluster", run.uid) is not None


async def test_one_whose_record_the_broker_has_lost_is_waited_for(case: Case, redis: Redis, run: Run) -> None:
    await case.broker.run(run).open()
    await redis.delete(f"queuerecovery.dev:run:{run.uid}")

    assert run.uid in await case.refusal()
    assert case.asked == []


async def test_one_that_is_gone_before_its_boundary_gives_everything_back_and_cannot_go_on(
    case: Case, connect: Connect, application: Application, redis: Redis, run: Run
) -> None:
    late = connect()
    application.enqueue("tts", *(f"m{n}" for n in range(20)))
    application.hold("tts", 10)
    before = await everything(redis)
    await late.run(run).open()
    with dying_at(late, Script.BOUNDARY):
        await late.run(run).take()

    await case.look()

    assert await everything(redis, without=["queuerecovery.dev:"]) == before
    assert await case.broker.holders("tts") == {}
    with pytest.raises(RecoveryError, match="AlreadyClosed"):
        await late.run(run).take()
    assert await everything(redis, without=["queuerecovery.dev:"]) == before
    assert case.settled == []


async def test_what_one_that_is_gone_has_taken_is_retained_and_found_by_retention(
    case: Case, connect: Connect, application: Application, redis: Redis, run: Run
) -> None:
    late, run = connect(), replace(run, retention_seconds=3600)
    application.enqueue("tts", "held", "waits")
    application.hold("tts", 1)
    await late.run(run).open()
    taken = await late.run(run).take()

    await case.look()

    assert f"retained until 2030-01-01T01:00:00Z under {taken.quarantine}" in case.messages[0]
    assert "media/tts-wrong-shape" in case.messages[0]
    assert (
        await redis.zscore(f"queuerecovery.dev:runs:{run.cluster}", run.uid) == (NOW + timedelta(hours=1)).timestamp()
    )
    assert await case.broker.expire_quarantines(run.cluster, _is_over, NOW + timedelta(minutes=59)) == 0
    assert len(await redis.keys(f"{taken.quarantine}*")) == 3
    assert await case.broker.expire_quarantines(run.cluster, _is_over, NOW + timedelta(minutes=61)) == 1
    assert await redis.keys(f"{taken.quarantine}*") == []


@pytest.mark.parametrize("retention", [None, "0", "abc", "999999999999999"])
async def test_a_quarantine_without_a_retention_of_its_own_is_retained_for_a_week(
    case: Case, redis: Redis, run: Run, retention: str | None
) -> None:
    await case.broker.run(run).open()
    if retention is None:
        await redis.hdel(f"queuerecovery.dev:run:{run.uid}", "retention")
    else:
        await redis.hset(f"queuerecovery.dev:run:{run.uid}", "retention", retention)

    await case.look()

    expires = (NOW + timedelta(days=7)).timestamp()
    assert await redis.zscore(f"queuerecovery.dev:runs:{run.cluster}", run.uid) == expires


async def test_the_jobs_of_one_that_is_gone_are_settled_but_for_those_that_it_has_enqueued(
    case: Case, connect: Connect, redis: Redis, run: Run
) -> None:
    late = connect()
    await late.run(run).open()
    await late.run(run).freeze({run.queue: {"0:int:7": None, "1:int:8": None, "2:str:9": None}})
    await late.run(run).take()
    await late.run(run).push({run.queue: [replace(tasks(1)[0], key="0:int:7")]})

    await case.look()

    assert case.settled == [(run.uid, ["8"])]
    with pytest.raises(RecoveryError, match="AlreadyClosed"):
        await late.run(run).push({run.queue: tasks(2)})
    assert await redis.llen("tts") == 1


@pytest.mark.parametrize("job", ["", "abc", "0:int", "0:int:", "0:int:x", f"0:int:{'9' * 5000}"])
async def test_a_frozen_job_that_somebody_else_has_written_does_not_stop_the_end_of_one_that_is_gone(
    case: Case, redis: Redis, run: Run, job: str
) -> None:
    await case.broker.run(run).open()
    await case.broker.run(run).freeze({run.queue: {"0:int:7": None}})
    await case.broker.run(run).take()
    await redis.hset(f"queuerecovery.dev:run:{run.uid}", f"seen:{job}", "null")

    await case.look()

    assert case.settled == [(run.uid, ["7"])]
    assert await case.broker.holders("tts") == {}


async def test_the_jobs_of_another_namespace_are_out_of_reach(case: Case, run: Run) -> None:
    case.namespace = "news"
    await case.broker.run(run).open()
    await case.broker.run(run).freeze({run.queue: {"0:int:7": None}})
    await case.broker.run(run).take()

    await case.look()

    assert case.settled == []
    assert await case.broker.holders("tts") == {}


async def test_messages_that_were_being_sorted_are_back_in_the_queue_or_stay_in_the_quarantine(
    case: Case, connect: Connect, application: Application, redis: Redis
) -> None:
    late, run = connect(), selecting(tasks=["tts.render"])
    names = [f"m{n:03}" for n in range(300)]
    for number, name in enumerate(names):
        application.send("tts", name, task="mail.send" if number % 2 else "tts.render")
    await late.run(run).open()
    with dying_at(late, Script.SORT, 2):
        await late.run(run).take()

    await case.look()

    left = application.consume("tts")
    assert left == [name for name in names[1::2] if name in left]
    kept = await _quarantined(redis, run)
    assert sorted([*left, *kept]) == names


async def test_a_restore_that_is_gone_leaves_each_message_in_one_place(
    case: Case, connect: Connect, application: Application, redis: Redis, run: Run
) -> None:
    late = connect()
    names = [f"m{n:03}" for n in range(200)]
    application.enqueue("tts", *names)
    await late.run(run).open()
    await late.run(run).take()
    await late.run(run).close()
    await late.run(run).release(expires=NOW, retain=True)
    undo = restoring(run)
    await late.run(undo).open()
    with dying_at(late, Script.SORT, 2):
        await late.run(undo).restore()

    await case.look()

    back = application.consume("tts")
    assert back
    assert sorted([*back, *await _quarantined(redis, run)]) == names
    assert await case.broker.holders("tts") == {}


async def test_wherever_its_process_dies_the_next_look_ends_it(
    case: Case, connect: Connect, application: Application, redis: Redis
) -> None:
    for trips in range(40):
        await redis.flushall()
        dead, late = selecting(tasks=["tts.render"]), connect()
        application.enqueue("tts", "waits")
        await late.run(dead).open()
        await late.run(dead).take()
        with dying(case.broker, trips) as deaths:
            await case.look()
        await case.look()

        assert await case.broker.holders("tts") == {}
        assert await _quarantined(redis, dead) == ["waits"]
        with pytest.raises(RecoveryError, match="AlreadyClosed"):
            await late.run(dead).push({dead.queue: tasks(1)})
        if not deaths:
            return
    raise AssertionError("it never came to its end")


async def test_of_one_of_every_queue_only_the_queues_that_are_needed_are_taken_over(case: Case) -> None:
    runs = recovery_of("mail", "tts")
    await case.broker.run(*runs).open()

    await case.look()

    held = await case.broker.holders("mail", "tts")
    assert {queue: holder.run for queue, holder in held.items()} == {"mail": runs[0].uid}
    await case.broker.run(runs[0]).take()


async def test_of_one_of_every_queue_the_message_of_a_job_that_is_listed_for_another_queue_is_left(
    case: Case, connect: Connect, application: Application
) -> None:
    late, runs = connect(), recovery_of("mail", "tts")
    application.enqueue("tts", "left", "taken")
    await late.run(*runs).open()
    await late.run(runs[0]).freeze({runs[0].queue: seen_jobs("left", recoverable=False)})
    with dying_at(late, Script.SORT):
        await late.run(*runs).take()

    await case.look()

    assert application.consume("tts") == ["left"]


async def test_a_recovery_of_every_queue_takes_over_what_is_gone_and_waits_for_the_rest(case: Case, run: Run) -> None:
    case.queue = "*"
    living = replace(run, uid=str(uuid4()), name="media/living", queue="other", cluster_uid="another's")
    await case.broker.run(run).open()
    await case.broker.run(living).open()

    assert 'queue "other" is held by recovery "media/living"' in await case.refusal()
    assert list(await case.broker.holders("tts", "other")) == ["other"]


async def _quarantined(redis: Redis, run: Run) -> list[str]:
    keys = await redis.keys(f"queuerecovery.dev:quarantine:{run.uid}:*")
    messages = [str(message) for key in keys for message in await redis.lrange(key, 0, -1)]
    return sorted(message.partition('"id": "')[2].partition('"')[0] for message in messages)


async def _is_over(name: str, uid: str) -> bool:
    del name, uid
    return False
