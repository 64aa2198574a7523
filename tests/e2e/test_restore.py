"""A recovery that undoes an earlier one, as its user sees it, on real parts."""

from sandbox.processes import until
from tests.e2e.team import CELERY, Team, condition, envelope


async def test_a_purge_is_undone_in_part_and_then_whole_and_real_workers_run_each_message_once(team: Team) -> None:
    await team.workers()
    await team.target()
    ids = [f"t{n}" for n in range(12)]
    messages = [envelope(name, args=(f"job-{name}",)) for name in ids]
    await team.redis.lpush("work", *messages[2:])
    for name, message in zip(ids[:2], messages, strict=False):
        await team.redis.hset("unacked", name, b'[%s, "", "work"]' % message)
        await team.redis.zadd("unacked_index", {name: 1000.0 + ids.index(name)})
    await team.recovery("purge")
    purged = await team.reached("Succeeded", "purge")
    await team.recovery("some", restoreFrom={"name": "purge", "taskIds": ["t1", "t4", "t11"]})
    some = await team.reached("Succeeded", "some")

    assert await team.queued() == [messages[1], messages[4], messages[11]]
    assert some["restored"] == {"uid": some["restored"]["uid"], "found": 12, "restored": 3, "left": 9}
    assert some["quarantine"] == {**purged["quarantine"], "messages": 9}
    assert some["plan"]["restore"] == 3
    assert "3 messages put back, 9 left in the quarantine" in some["message"]
    assert condition(some, "Restored")["status"] == "True"
    assert condition(some, "Drained") == {}

    await team.workers("worker", replicas=1, command=CELERY)
    await team.recovery("rest", restoreFrom={"name": "purge", "as": "New"})
    rest = await team.reached("Succeeded", "rest")

    async def all_ran() -> bool:
        return all([len(await team.runs(f"job-{name}")) >= 1 for name in ids])

    await until(all_ran, "every message to run")
    ran = {name: await team.runs(f"job-{name}") for name in ids}
    assert {name for name in ids if ran[name] == [name]} == {"t1", "t4", "t11"}
    assert {len(runs) for runs in ran.values()} == {1}
    assert rest["restored"]["restored"] == 9
    assert rest["restored"]["left"] == rest["quarantine"]["messages"] == 0
    assert not await team.redis.keys(f"{purged['quarantine']['name']}:*")
    await team.recovery("again", restoreFrom={"name": "purge"})
    failed = await team.reached("Failed", "again")
    assert condition(failed, "Ready")["reason"] == "NothingToRestore"


async def test_a_restore_says_why_it_cannot_be_and_waits_for_what_can_still_come(team: Team) -> None:
    await team.workers()
    await team.target(queue={"name": "other"})
    await team.recovery("elsewhere", queue="other", jobs=[], suspend=True)
    await team.waits("Suspended", "elsewhere")
    await team.kubectl("delete", "qt", "team")
    await team.target()
    await team.redis.lpush("work", envelope("t0"))
    await team.recovery("purge", suspend=True)
    await team.waits("Suspended", "purge")

    await team.recovery("nobody", restoreFrom={"name": "nobody-knows"})
    await team.recovery("other", restoreFrom={"name": "elsewhere"})
    await team.recovery("early", restoreFrom={"name": "purge"}, suspend=True)
    for name, reason in (("nobody", "RecoveryNotFound"), ("other", "RecoveryOfAnotherQueue")):
        status = await team.reached("Failed", name)
        assert condition(status, "Ready")["reason"] == reason
    assert 'recovery "purge" is still Planning' in await team.waits("RecoveryNotEnded", "early")

    await team.change("purge", suspend=False)
    await team.reached("Succeeded", "purge")
    assert "would put back 1 of 1 message, listed in status.plan.quarantined" in await team.waits("Suspended", "early")
    (listed,) = (await team.get("QueueRecovery", "early"))["status"]["plan"]["quarantined"]
    assert listed["taskId"] == "t0"
    assert listed["task"] == "work.run"
    assert listed["size"] == len(envelope("t0"))
    assert await team.queued() == []
    await team.change("early", cancel=True)
    cancelled = await team.reached("Cancelled", "early")
    assert cancelled["restored"]["left"] == 1
    await team.change("elsewhere", cancel=True)
