"""Every refusal explains itself, touches nothing, and ends or waits as the reference says."""

from tests.e2e.team import Team, condition


async def test_what_is_wrong_in_the_recovery_itself_ends_it_as_failed(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()
    await team.redis.lpush("work", b"\x80\x04 pickle")
    keys = {key: await team.redis.dump(key) for key in await team.redis.keys()}

    await team.recovery("stuck")
    status = await team.reached("Failed")

    assert condition(status, "Succeeded")["reason"] == "ForeignQueue"
    assert condition(status, "Stalled")["status"] == "True"
    assert "purge.takeUnreadable: true" in status["message"]
    assert {key: await team.redis.dump(key) for key in await team.redis.keys()} == keys
    assert await team.replicas() == 1
    await team.told("ForeignQueue")


async def test_a_secret_that_is_not_there_or_lacks_the_key_is_waited_for(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.kubectl("delete", "secret", "redis")
    await team.recovery()
    assert 'no Secret "redis"' in await team.waits("SecretNotFound")
    await team.kubectl("create", "secret", "generic", "redis", "--from-literal=adress=x")
    assert 'has no key "url"; it has "adress"' in await team.waits("SecretKeyMissing")
    await team.secrets()
    await team.reached("Succeeded")


async def test_a_broker_that_cannot_be_used_is_waited_for_and_its_url_is_never_shown(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()
    await team.secrets(redis="amqp://user:hunter2@rabbit//")
    await team.recovery()
    message = await team.waits("InvalidBrokerURL")
    assert message.endswith('The URL is in Secret "redis", key "url"')
    assert "hunter2" not in message
    assert "rabbit" not in message
    await team.secrets(redis="redis://127.0.0.1:1/0")
    assert (await team.waits("BrokerUnavailable")).endswith('The URL is in Secret "redis", key "url"')
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


async def test_without_the_role_binding_the_condition_names_the_very_binding(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()
    await team.kubectl("delete", "rolebinding", "--all")
    await team.recovery()
    message = await team.waits("Forbidden")
    command = message[message.index("kubectl create rolebinding") :].partition(" (missing: ")[0]
    await team.sandbox.kubectl(*command.split()[1:])
    await team.reached("Succeeded")
