"""A recovery with `restoreFrom` from its first look to its last write, on a real broker and without a cluster."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from redis.asyncio import Redis
from typing_extensions import override

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import is_terminal, timestamp
from queue_recovery.recovery.ports import Autoscalers, Broker, JobStore, Results, Run, Workers
from queue_recovery.recovery.ports.environment import Earlier, TargetReport
from queue_recovery.recovery.ports.ledger import Ledger
from queue_recovery.recovery.ports.resource import DesiredState
from queue_recovery.recovery.reconcile import reconcile
from tests.broker.application import recovery
from tests.broker.conftest import Connect, on_one_server
from tests.broker.dying import Died, _Mortal
from tests.recovery.fake_ledger import FakeLedger
from tests.turns import alone

pytestmark = pytest.mark.thorough

NOW = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)
EXPIRES = NOW + timedelta(days=7)
TARGET = QueueTargetSpec.model_validate(
    {
        "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
        "queues": [{"name": "tts", "workers": [{"name": "w"}]}, {"name": "mail", "workers": [{"name": "w"}]}],
    }
)


def spec(**fields: object) -> QueueRecoverySpec:
    return QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts", **fields})


UNDO = spec(restoreFrom={"name": "earlier"})


@dataclass(kw_only=True)
class Fixture:
    """The recovery's resource and world; a process may die at each write of the status or the ledger, and each
    command.
    """

    connect: Connect
    earlier: Earlier | None
    wanted: QueueRecoverySpec = UNDO
    cluster: str = "this-cluster"
    uid: str = "0d2b0a53-93b0-4bd6-a4fb-9b1b1b5b1b5b"
    namespace: str = "media"
    name: str = "undo"
    created: datetime = NOW
    time: datetime = NOW
    stored: QueueRecoveryStatus = field(default_factory=QueueRecoveryStatus)
    deleting: bool = False
    effects: int = 10_000
    """How many effects the process has left."""
    brokers: list[tuple[RedisBroker, Redis]] = field(default_factory=list)
    entries: FakeLedger = field(default_factory=lambda: FakeLedger([]))

    def __post_init__(self) -> None:
        self.entries.on_call["ledger_write"] = self.spend

    def spend(self) -> None:
        if self.effects == 0:
            raise Died
        self.effects -= 1

    @property
    def desired(self) -> DesiredState:
        return DesiredState(spec=self.wanted, generation=1, deleting=self.deleting)

    async def changed(self, **_: object) -> None:
        """Nothing is heard while a process lives."""

    @property
    def last_status(self) -> QueueRecoveryStatus:
        return self.stored

    async def read(self) -> QueueRecoveryStatus:
        return self.stored

    async def is_author_proven(self) -> bool:
        return False

    async def write(self, status: QueueRecoveryStatus, *, asked: DesiredState | None = None) -> None:
        del asked
        self.spend()
        self.stored = QueueRecoveryStatus.model_validate_json(status.model_dump_json(by_alias=True))

    @property
    def workers(self) -> Workers:
        raise AssertionError("a restore stops no worker")

    @property
    def autoscalers(self) -> Autoscalers:
        raise AssertionError("a restore pauses no autoscaler")

    def now(self) -> datetime:
        return self.time

    async def pause(self, seconds: float) -> None:
        raise AssertionError(f"waits {seconds} s")

    async def target(self, name: str) -> QueueTargetSpec:
        assert name == "media"
        return TARGET

    async def recovery(self, name: str) -> Earlier:
        if self.earlier is None:
            raise RecoveryError(Reason.RECOVERY_NOT_FOUND, name)
        return self.earlier

    def ledger(self, target: str, key: str) -> Ledger:
        del target
        return self.entries.entry(key)

    async def broker(self, target: QueueTargetSpec) -> Broker:
        broker = self.connect(target.broker.transport_options)
        self.brokers.append((broker, broker.database.client.redis))
        broker.database.client.redis = _Counted(broker.database.client.redis, self)  # type: ignore[assignment]
        return broker

    async def job_store(self, target: QueueTargetSpec) -> JobStore:
        raise AssertionError(f"a restore looks up no job in {target.job_store}")

    async def results(self, target: QueueTargetSpec) -> Results:
        raise AssertionError(f"a restore reads no result of {target.diagnosis}")

    async def target_report(self, name: str) -> TargetReport:
        raise AssertionError(f"nobody has proposed a restore, so the status of {name} does not matter")

    async def cluster_uid(self) -> str | None:
        return "uid of this-cluster"

    async def exists(self, name: str, uid: str, *, unfinished: bool = False) -> bool | None:
        del name, uid, unfinished
        return True

    async def is_terminating(self) -> bool:
        return False

    async def check_permissions(self, target: QueueTargetSpec, workers: Iterable[WorkerRef]) -> None:
        """All is granted."""
        del target, workers

    async def lives(self, *, effects: int = 10_000) -> bool:
        """Work until the end or the process's death; tell whether it lived."""
        self.effects = effects
        try:
            await reconcile(self, self, alone())
        except Died:
            return False
        finally:
            for broker, redis in self.brokers:
                broker.database.client.redis = redis
            self.brokers.clear()
        return True

    @property
    def reason(self) -> str:
        found = find(self.stored.conditions, ConditionType.READY)
        return found.reason if found else ""


class _Counted(_Mortal):
    def __init__(self, redis: Redis, fixture: Fixture) -> None:
        super().__init__(redis, 1)
        self._fixture = fixture

    @override
    def __getattr__(self, name: str) -> object:
        if name != "aclose":
            self._fixture.spend()
        return getattr(self._redis, name)


COUNT = 150


async def purged(broker: RedisBroker, redis: Redis, run: Run) -> Earlier:
    """Have the queue taken by a recovery that has ended; a worker held its first messages."""
    messages = [b'{"body": "", "headers": {"id": "m%03d"}, "properties": {}}' % n for n in range(COUNT)]
    await redis.lpush("tts", *messages[20:])
    await redis.hset("unacked", mapping={f"tag-{n}": b'[%s, "", "tts"]' % messages[n] for n in range(20)})
    await redis.zadd("unacked_index", {f"tag-{n}": n for n in range(20)})
    await broker.run(run).open()
    await broker.run(run).take()
    await broker.run(run).close()
    await broker.run(run).release(expires=EXPIRES, retain=True)
    return Earlier(uid=run.uid, spec=spec(), status=ended())


def ended(**fields: object) -> QueueRecoveryStatus:
    """Return the status of a purge that has succeeded."""
    condition = {"reason": "Completed", "message": "", "observedGeneration": 1, "lastTransitionTime": timestamp(NOW)}
    return QueueRecoveryStatus.model_validate(
        {
            "completionTime": timestamp(NOW),
            "ending": {"phase": "Succeeded", "reason": "Completed", "message": ""},
            "conditions": [{"type": "Succeeded", "status": "True", **condition}],
            "quarantine": {"name": "q", "messages": COUNT, "expirationTime": timestamp(EXPIRES)},
            **fields,
        }
    )


def nothing(fixture: Fixture) -> None:
    del fixture


def cancel(fixture: Fixture) -> None:
    fixture.wanted = fixture.wanted.model_copy(update={"cancel": True})


def delete(fixture: Fixture) -> None:
    fixture.deleting = True


def late(fixture: Fixture) -> None:
    fixture.time += timedelta(days=2)


@on_one_server
@pytest.mark.parametrize("then", [nothing, cancel, delete, late])
async def test_a_death_at_any_effect_is_followed_by_a_process_that_ends_it_and_counts_right(
    connect: Connect, redis: Redis, then: Callable[[Fixture], None]
) -> None:
    outlived, effects = False, 0
    while not outlived:
        effects += 1
        await redis.flushdb()
        fixture = Fixture(connect=connect, earlier=await purged(connect(), redis, recovery("tts")))
        outlived = await fixture.lives(effects=effects)
        then(fixture)
        assert await fixture.lives()

        came = cast("list[bytes]", await redis.lrange("tts", 0, -1))[::-1]
        restored = fixture.stored.restored
        assert is_terminal(fixture.stored)
        assert not await redis.keys("*:lock:*")
        assert not await redis.keys("*:left:*")
        left = sum([await redis.llen(key) for key in await redis.keys("*:quarantine:*:ready:*")])
        left += sum([await redis.hlen(key) for key in await redis.keys("*:quarantine:*:unacked")])
        assert came == sorted(set(came))
        assert len(came) + left == COUNT
        if then is nothing or outlived:
            assert (fixture.stored.phase, len(came)) == ("Succeeded", COUNT)
        if restored is not None:
            assert (restored.found, restored.restored, restored.left) == (COUNT, len(came), left)
            assert fixture.stored.quarantine is not None
            assert fixture.stored.quarantine.messages == left
    assert effects > 20


async def test_while_another_recovery_holds_the_queue_it_touches_nothing_and_waits(
    connect: Connect, broker: RedisBroker, redis: Redis, run: Run
) -> None:
    fixture = Fixture(connect=connect, earlier=await purged(broker, redis, run))
    await broker.run(recovery("tts")).open()

    assert not await fixture.lives(effects=40)

    assert (fixture.reason, fixture.stored.drain_start_time) == ("Locked", None)


async def test_one_queue_of_a_recovery_of_every_queue_is_put_back(connect: Connect, redis: Redis, run: Run) -> None:
    uid = run.uid
    earlier = await purged(connect(), redis, replace(run, uid=f"{uid}/tts"))
    fixture = Fixture(connect=connect, earlier=replace(earlier, uid=uid, spec=spec(queue="*")))

    assert await fixture.lives()

    assert (fixture.stored.phase, await redis.llen("tts")) == ("Succeeded", COUNT)
    assert fixture.stored.quarantine is not None
    assert fixture.stored.quarantine.name == "q/tts"


async def test_what_has_gone_since_it_was_planned_is_not_called_a_success(
    connect: Connect, redis: Redis, run: Run
) -> None:
    fixture, effects = Fixture(connect=connect, earlier=await purged(connect(), redis, run)), 0
    while fixture.stored.plan is None:
        effects += 1
        assert not await fixture.lives(effects=effects)
    await redis.unlink(*await redis.keys("*:quarantine:*"))

    assert await fixture.lives()

    assert (fixture.stored.phase, fixture.reason) == ("Failed", "NothingToRestore")
    assert not await redis.keys("*:lock:*")


@pytest.mark.parametrize(
    ("case", "wanted", "earlier", "reason", "says"),
    [
        ("gone", UNDO, None, "RecoveryNotFound", "earlier"),
        ("of another queue", UNDO, {"queue": "mail"}, "RecoveryOfAnotherQueue", 'queue "mail" of target "media"'),
        ("of another target", UNDO, {"targetRef": {"name": "x"}}, "RecoveryOfAnotherQueue", "queue and targetRef"),
        ("that put back", UNDO, {"restoreFrom": {"name": "first"}}, "NothingToRestore", "Name that one"),
        ("that took nothing", UNDO, {"quarantine": None}, "NothingToRestore", '"earlier" took no messages'),
        ("of nothing", UNDO, {"quarantine": {"name": "q", "messages": 0}}, "NothingToRestore", "took no messages"),
        (
            "without a purge",
            UNDO,
            {"quarantine": None, "purge": {"mode": "None"}},
            "NothingToRestore",
            "its purge.mode is None",
        ),
        (
            "that stored nothing",
            UNDO,
            {"quarantine": {"name": "q", "messages": 0}, "purge": {"retentionSeconds": 0}},
            "NothingToRestore",
            "its purge.retentionSeconds is 0",
        ),
        (
            "of messages that name no task, as new",
            spec(restoreFrom={"name": "earlier", "as": "New"}),
            {},
            "NothingToRestore",
            "150 messages in its quarantine: none can be made new",
        ),
        (
            "of two such messages, as new",
            spec(restoreFrom={"name": "earlier", "as": "New", "taskIds": ["m000", "m149"]}),
            {},
            "NothingToRestore",
            "150 messages in its quarantine: 2 cannot be made new",
        ),
        (
            "over",
            UNDO,
            {"quarantine": {"name": "q", "messages": 1, "expirationTime": timestamp(NOW)}},
            "RetentionOver",
            "Create a recovery that lists the jobs",
        ),
        (
            "without them",
            spec(restoreFrom={"name": "earlier", "taskIds": ["x"]}),
            {},
            "NothingToRestore",
            "none with one of the ids in restoreFrom.taskIds",
        ),
    ],
)
async def test_each_refusal_says_what_to_do(  # the columns of the table
    connect: Connect,
    broker: RedisBroker,
    redis: Redis,
    run: Run,
    case: str,
    wanted: QueueRecoverySpec,
    earlier: dict[str, object] | None,
    reason: str,
    says: str,
) -> None:
    made = await purged(broker, redis, run)
    if earlier is not None:
        status = {key: value for key, value in earlier.items() if key == "quarantine"}
        changed = {key: value for key, value in earlier.items() if key not in status}
        made = Earlier(uid=made.uid, spec=spec(**changed), status=ended(**status))
    fixture = Fixture(connect=connect, earlier=made if earlier is not None else None, wanted=wanted)

    assert await fixture.lives()

    assert (fixture.stored.phase, fixture.reason) == ("Failed", reason), case
    assert says in fixture.stored.message, case


async def test_a_suspended_restore_lists_the_first_messages_and_one_that_is_not_lists_none(
    connect: Connect, broker: RedisBroker, redis: Redis, run: Run
) -> None:
    """A tenant may write anything into its Redis: what is shown is bounded and fits on one line."""
    made = await purged(broker, redis, run)
    forged = {"id": "m\u202e\ud800\n" + "x" * 5000, "task": "t\x1b[31m" + "y" * 5000, "retries": 7}
    entry = json.dumps([{"body": "", "headers": forged, "properties": {}}, "", "tts"])
    await redis.hset(f"queuerecovery.dev:quarantine:{run.uid}:1:unacked", "tag-0", entry)
    held = Fixture(connect=connect, earlier=made, wanted=UNDO.model_copy(update={"suspend": True}))
    going, effects = Fixture(connect=connect, earlier=made), 0
    while going.stored.plan is None:
        effects += 1
        assert not await going.lives(effects=effects)

    assert await held.lives()

    plan = held.stored.plan
    assert plan is not None
    assert plan.restore == COUNT
    assert [one.task_id for one in plan.quarantined or []][1:] == [f"m{n:03}" for n in range(1, 20)]
    assert "150 messages, the first 20 of them listed in status.plan.quarantined" in held.stored.message
    (odd, *_) = plan.quarantined or []
    assert odd.retries == 7
    for text in (odd.task_id, odd.task):
        assert text is not None
        assert text.isprintable()
        assert len(text) == 200
    assert going.stored.plan is not None
    assert going.stored.plan.quarantined is None

    held.wanted = UNDO
    assert await held.lives()
    assert held.stored.phase == "Succeeded"
    assert held.stored.plan is not None
    assert held.stored.plan.quarantined is None
