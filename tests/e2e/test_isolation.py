"""Nothing else is touched, and nothing secret is said."""

import re
from collections import Counter

import pytest
from redis.asyncio import Redis

from sandbox.processes import until
from tests.e2e.team import Team, condition, envelope

_LINE = re.compile(r'^\+?[0-9.]+ \[(?P<db>\d+) (?P<client>[^\]]+)\] "(?P<command>[^"]*)"(?P<rest>.*)$')
_OK = 200
_CHANCE = 10
"""How many more states of a drain and of a rollout may be seen one time than another."""
_SURVEY = 20
"""Commands at most of one look at the target: these come each second, however long the recovery takes."""
_SECRET = "correct-horse-battery"  # to be found nowhere


async def test_the_operator_sends_no_command_that_changes_another_key(team: Team) -> None:
    """Reads the server's MONITOR during a whole recovery."""
    broker = await team.sandbox.start_broker()
    team.broker_url = broker.url
    await team.secrets()
    await team.workers(replicas=1)
    await team.target()
    messages = 350
    async with Redis.from_url(broker.url) as redis, redis.monitor() as monitor:
        await redis.lpush("mail", *(envelope(f"m{n}", "mail") for n in range(50)))
        for n in range(150):
            await redis.hset("unacked", f"tag-{n}", b'[{"headers":{"id":"x"}},"","%s"]' % (b"work", b"mail")[n % 2])
            await redis.zadd("unacked_index", {f"tag-{n}": n})
        await redis.lpush("work", *(envelope(f"t{n}") for n in range(messages)))
        others = {"mail": await redis.dump("mail")}
        job = await team.failed_job()
        await team.recovery(jobs=[{"id": job}])
        status = await team.reached("Succeeded")
        await redis.echo("the recovery is over")
        seen = []
        sent: Counter[str] = Counter()
        async for entry in monitor.listen():
            if entry["command"].startswith("ECHO the recovery is over"):
                break
            seen.append(entry["command"])
            if entry["client_type"] != "lua":
                sent[entry["client_port"]] += 1
        assert status["messages"]["quarantined"] == messages + 75
        assert {"mail": await redis.dump("mail")} == others
        assert await redis.hlen("unacked") == await redis.zcard("unacked_index") == 75
    own = [
        line
        for line in seen
        if not line.startswith(("LPUSH mail", "LPUSH work", "HSET unacked tag", "ZADD unacked_index"))
    ]
    names = {line.split(" ", 1)[0].upper() for line in own}
    assert not names & {"KEYS", "FLUSHALL", "FLUSHDB", "CONFIG"}
    for line in own:
        words = line.split(" ")
        if words[0].upper() in {
            "DEL",
            "UNLINK",
            "RENAME",
            "RENAMENX",
            "LPOP",
            "RPOP",
            "LMOVE",
            "LTRIM",
            "LREM",
            "PERSIST",
            "EXPIRE",
        }:
            assert words[1].startswith(("work", "queuerecovery.dev:")), line
        if words[0].upper() in {"HDEL", "ZREM"}:
            assert words[1].startswith(("unacked", "queuerecovery.dev:")), line
    by_recovery = sum(count for count in sent.values() if count > _SURVEY) - 304
    assert 20 < by_recovery < 100, "a constant, and a batch for each 100 entries"


async def test_no_secret_and_no_payload_stands_anywhere(team: Team) -> None:
    broker = await team.sandbox.start_broker(options=["--requirepass", _SECRET])
    await team.workers(replicas=1)
    await team.target()
    wrong = f"redis://:{_SECRET}-wrong@127.0.0.1:{broker.port}/0"
    await team.secrets(redis=wrong)
    payload = "a-very-private-text"
    await team.recovery(jobs=[{"id": await team.failed_job(error=payload)}])
    await team.waits("BrokerAuthenticationFailed")
    right = f"redis://:{_SECRET}@127.0.0.1:{broker.port}/0"
    async with Redis.from_url(right) as redis:
        await redis.lpush("work", envelope("t", args=(payload,)))
    await team.secrets(redis=right)
    await team.reached("Succeeded")
    label = "app.kubernetes.io/name=queue-recovery"
    log = await team.sandbox.kubectl("-n", "queue-recovery", "logs", "--selector", label, "--tail=-1")
    shown = [
        log,
        await team.kubectl("get", "qr,qt,events", "-o", "yaml"),
        await team.kubectl("describe", "qr,qt"),
    ]
    for text in shown:
        assert _SECRET not in text
        assert payload not in text


async def test_a_broker_that_may_evict_keys_gets_a_warning(team: Team) -> None:
    broker = await team.sandbox.start_broker(options=["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"])
    await team.secrets(redis=broker.url)
    await team.target()

    async def warned() -> str | None:
        status = (await team.get("QueueTarget", "team")).get("status", {})
        eviction = condition(status, "EvictionSafe")
        return str(eviction["message"]) if eviction.get("status") == "False" else None

    assert "allkeys-lru" in await until(warned, "the warning about evictions")


@pytest.mark.thorough
async def test_status_writes_and_scalings_do_not_grow_with_the_jobs(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target(queue={"tasks": ["work.run"]})
    await team.recovery("few", jobs=[{"task": "work.run"}])
    await team.reached("Succeeded", "few")
    await team.recovery("many", jobs=[{"task": "work.run"}] * 900)
    status = await team.reached("Succeeded", "many")
    assert status["jobs"]["enqueued"] == 900
    assert _writes(team, "many") <= _writes(team, "few") + _CHANCE
    # To 0 and back, with the note; then the operator's name is taken out of managedFields.
    assert _writes(team, "worker") == 2 * 3


def _writes(team: Team, name: str) -> int:
    """Return how often the operator has written an object of the team, as the API server's audit log has it.

    A patch that came too late, and is tried again, is none.
    """
    return sum(
        event["verb"] == "patch"
        and event.get("objectRef", {}).get("namespace") == team.namespace
        and event["objectRef"].get("name") == name
        and event["user"].get("username") == "system:serviceaccount:queue-recovery:queue-recovery"
        and event["stage"] == "ResponseComplete"
        and event["responseStatus"]["code"] == _OK
        for event in team.sandbox.audit()
    )
