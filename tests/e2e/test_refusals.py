"""Every refusal explains itself, touches nothing, and ends or waits as the reference says."""

from collections.abc import Awaitable, Callable

import pytest

from tests.e2e.team import Team, condition, envelope

Arrange = Callable[[Team], Awaitable[dict[str, object]]]


async def _ready(team: Team, **target: object) -> None:
    await team.workers(replicas=1)
    await team.target(**target)  # type: ignore[arg-type]
    await team.redis.lpush("work", envelope("t"))


async def _queue_not_in_target(team: Team) -> dict[str, object]:
    await _ready(team)
    return {"queue": "wrok"}


async def _malformed_id(team: Team) -> dict[str, object]:
    await _ready(team)
    return {"jobs": [{"id": "not-an-object-id"}]}


async def _unknown_id(team: Team) -> dict[str, object]:
    await _ready(team)
    return {"jobs": [{"id": "662f1c0e9d3e4b0001a1b2c3"}]}


async def _same_id_twice(team: Team) -> dict[str, object]:
    await _ready(team)
    job = await team.failed_job()
    return {"jobs": [{"id": job}, {"id": job}]}


async def _no_task(team: Team) -> dict[str, object]:
    await _ready(team, queue={"message": None})
    return {"jobs": [{"id": await team.failed_job()}]}


async def _task_not_allowed(team: Team) -> dict[str, object]:
    await _ready(team)
    return {"jobs": [{"task": "os.system", "args": '["ls"]'}]}


async def _args_not_an_array(team: Team) -> dict[str, object]:
    await _ready(team)
    return {"jobs": [{"task": "work.run", "args": '{"a": 1}'}]}


async def _no_store(team: Team) -> dict[str, object]:
    await _ready(team, store=False)
    return {"jobs": [{"id": "662f1c0e9d3e4b0001a1b2c3"}]}


async def _wrong_type(team: Team) -> dict[str, object]:
    await _ready(team)
    await team.redis.delete("work")
    await team.redis.set("work", "a text")
    return {}


async def _rq(team: Team) -> dict[str, object]:
    await team.workers(replicas=1)
    await team.target(queue={"name": "rq:queue:default"})
    return {"queue": "rq:queue:default", "jobs": []}


async def _unreadable(team: Team) -> dict[str, object]:
    await _ready(team)
    await team.redis.delete("work")
    await team.redis.lpush("work", b"\x80\x04 pickle")
    return {}


FAILING: list[tuple[str, Arrange, str]] = [
    ("QueueNotInTarget", _queue_not_in_target, "work"),
    ("InvalidJobId", _malformed_id, '"not-an-object-id". An ObjectId is written as 24 lower-case'),
    ("JobNotFound", _unknown_id, "662f1c0e9d3e4b0001a1b2c3"),
    ("DuplicateJob", _same_id_twice, "jobs[0] and jobs[1]"),
    ("NoTaskName", _no_task, "message"),
    ("TaskNotAllowed", _task_not_allowed, "os.system"),
    ("InvalidArguments", _args_not_an_array, "JSON array"),
    ("JobStoreNotConfigured", _no_store, "jobStore"),
    ("WrongKeyType", _wrong_type, "work"),
    ("ForeignQueue", _rq, "RQ"),
    ("ForeignQueue", _unreadable, "purge.takeUnreadable: true"),
]


@pytest.mark.parametrize(("reason", "arrange", "named"), FAILING, ids=[case[0] for case in FAILING])
async def test_what_is_wrong_in_the_recovery_itself_ends_it_as_failed(
    team: Team, reason: str, arrange: Arrange, named: str
) -> None:
    spec = await arrange(team)
    keys = {key: await team.redis.dump(key) for key in await team.redis.keys()}
    await team.recovery("stuck", **spec)
    status = await team.reached("Failed")
    assert condition(status, "Succeeded")["reason"] == reason
    assert condition(status, "Stalled")["status"] == "True"
    assert named in status["message"]
    assert {key: await team.redis.dump(key) for key in await team.redis.keys()} == keys
    assert await team.replicas() == 1
    await team.told(reason)


async def test_a_list_that_becomes_another_programs_after_the_plan_ends_it_before_a_worker_is_stopped(
    team: Team,
) -> None:
    await _ready(team)
    await team.recovery(suspend=True)
    await team.waits("Suspended")
    await team.redis.delete("work")
    await team.redis.lpush("work", b"\x80\x04 pickle")

    await team.change(suspend=False)
    status = await team.reached("Failed")

    assert condition(status, "Succeeded")["reason"] == "ForeignQueue"
    assert await team.redis.lrange("work", 0, -1) == [b"\x80\x04 pickle"]
    assert (await team.get("Deployment", "worker"))["metadata"]["generation"] == 1


async def test_a_queue_of_which_nothing_can_be_read_is_taken_when_that_is_asked_for(team: Team) -> None:
    await _ready(team)
    await team.redis.delete("work")
    await team.redis.lpush("work", b"\x80\x04 pickle")

    await team.recovery(purge={"takeUnreadable": True})
    status = await team.reached("Succeeded")

    assert status["messages"]["quarantined"] == 1
    assert not await team.redis.exists("work")


async def test_a_target_that_is_not_there_is_waited_for(team: Team) -> None:
    await team.workers()
    await team.recovery()
    assert "Create it" in await team.waits("TargetNotFound")
    await team.target()
    await team.reached("Succeeded")


async def test_a_secret_that_is_not_there_or_lacks_the_key_is_waited_for(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.kubectl("delete", "secret", "redis")
    await team.recovery()
    assert 'no Secret "redis"' in await team.waits("SecretNotFound")
    await team.kubectl("create", "secret", "generic", "redis", "--from-literal=adress=x")
    assert 'has no key "url"; its keys are "adress"' in await team.waits("SecretKeyMissing")
    await team.secrets()
    await team.reached("Succeeded")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("amqp://user:hunter2@rabbit//", "InvalidBrokerURL"),
        ("unix:///var/run/redis.sock", "InvalidBrokerURL"),
        ("rediss://127.0.0.1/0?ssl_ca_certs=/etc/passwd", "InvalidBrokerURL"),
        ("hunter2 is no url", "InvalidBrokerURL"),
        ("redis://127.0.0.1:1/0", "BrokerUnavailable"),
    ],
)
async def test_a_broker_that_cannot_be_used_is_waited_for_and_its_url_is_never_shown(
    team: Team, url: str, reason: str
) -> None:
    await team.workers(replicas=1)
    await team.target()
    await team.secrets(redis=url)
    await team.recovery()
    message = await team.waits(reason)
    assert message.endswith('The URL is in Secret "redis", key "url"')
    for secret in ("hunter2", "passwd", "redis.sock", "rabbit"):
        assert secret not in message
    await team.secrets()
    await team.reached("Succeeded")


async def test_a_job_store_that_does_not_answer_is_waited_for(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()
    job = await team.failed_job()
    await team.secrets(mongo="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=500")
    await team.recovery(jobs=[{"id": job}])
    assert 'The URL is in Secret "mongo", key "url"' in await team.waits("JobStoreUnavailable")
    await team.secrets(mongo="postgres://db/app")
    await team.waits("InvalidJobStoreURL")
    await team.secrets()
    await team.reached("Succeeded")


async def test_a_deployment_that_is_missing_or_paused_is_waited_for(team: Team) -> None:
    await team.target()
    await team.recovery()
    assert "worker" in await team.waits("WorkerNotFound")
    await team.workers(replicas=1)
    await team.kubectl("rollout", "pause", "deployment/worker")
    await team.recovery("second")
    await team.waits("WorkerPaused", "second")
    await team.kubectl("rollout", "resume", "deployment/worker")
    await team.reached("Succeeded", "second")


async def test_without_the_role_binding_the_condition_names_the_very_binding(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()
    await team.kubectl("delete", "rolebinding", "--all")
    await team.recovery()
    message = await team.waits("Forbidden")
    command = message[message.index("kubectl create rolebinding") :]
    await team.sandbox.kubectl(*command.split()[1:])
    await team.reached("Succeeded")


async def test_a_recovery_that_may_not_start_in_time_fails_and_says_what_it_waited_for(team: Team) -> None:
    await team.recovery(startingDeadlineSeconds=2)
    status = await team.reached("Failed")
    assert condition(status, "Succeeded")["reason"] == "StartingDeadlineExceeded"
    assert 'has no QueueTarget "team"' in status["message"]
