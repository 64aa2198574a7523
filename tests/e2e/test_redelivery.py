"""The remedies that purge nothing, with real Celery workers that were killed, or that run and consume nothing."""

import json
import signal
import time

import pytest

from sandbox.processes import until
from tests import readme
from tests.e2e.team import CELERY, SLEEPER, Team, condition, envelope

_MUCH_LATER = "2099-01-01T00:00:00+00:00"
"""The ETA of messages that a worker holds until then."""

_LONG_AGO = 60
"""Seconds by which deliveries are dated back: a start says nothing about what was delivered right before it."""


PROPOSE, LIST, DESCRIBE, START = readme.commands("Proposals", "docs/stuck.md")
EXAMPLE = START.split()[2].removeprefix("qr/")
"""The name of a proposal in that page."""


async def as_documented(team: Team, command: str, name: str = "") -> str:
    """Run a command of that page for a proposal of the team."""
    mine = command.replace("-n media", f"-n {team.namespace}").replace("qt/media", "qt/team").replace(EXAMPLE, name)
    cluster = team.sandbox
    code, said = await readme.run(mine, kubeconfig=cluster.kubeconfig, kubectl=cluster.kubectl_program)
    assert code == 0, said
    return said


async def pod_of(team: Team, name: str) -> str:
    """Return the name of the only pod of a Deployment."""
    (pod,) = json.loads(await team.kubectl("get", "pods", "-l", f"app={name}", "-o", "json"))["items"]
    return str(pod["metadata"]["name"])


async def holds(team: Team, count: int) -> None:
    """Wait until workers hold so many messages."""

    async def seen() -> bool:
        return await team.redis.hlen("unacked") == count

    await until(seen, f"{count} messages in unacked")


async def test_what_a_killed_worker_has_left_runs_once_at_once_and_what_others_hold_stays(team: Team) -> None:
    workers = [{"name": "worker"}, {"name": "second"}]
    await team.target(store=False, queue={"workers": workers})
    await team.workers(replicas=1, command=CELERY)
    names = [f"left-{n}" for n in range(4)]
    busy = [envelope(f"busy-{n}", args=(3600,), task="work.wait") for n in range(2)]
    await team.redis.lpush("work", *busy, *(envelope(name, args=(name,)) for name in names))
    await holds(team, len(names))
    left = await team.redis.hgetall("unacked")
    for tag in left:
        await team.redis.zincrby("unacked_index", -_LONG_AGO, tag)
    await team.workers("second", replicas=1, command=CELERY)
    pod = await pod_of(team, "worker")
    await team.sandbox.signal_container(team.namespace, pod, "worker", signal.SIGKILL)

    async def is_started_again() -> bool:
        (status,) = json.loads(await team.kubectl("get", "pod", pod, "-o", "json"))["status"]["containerStatuses"]
        return bool(status["restartCount"] == 1 and "running" in status["state"])

    await until(is_started_again, "the killed container to be started again")
    await team.redis.lpush("work", *(envelope(f"held-{n}", eta=_MUCH_LATER) for n in range(2)))
    await holds(team, len(names) + 2)
    held = (await team.redis.hgetall("unacked")).keys() - left.keys()

    await team.recovery("night", jobs=[], purge={"mode": "None"}, redeliver={})
    status = await team.reached("Succeeded", "night")

    assert status["redelivered"] == {"found": 6, "redelivered": 4, "left": 2}
    assert "2 messages stay in unacked, because a running worker may hold them" in status["message"]
    assert "MayBeHeld" in await team.told("MayBeHeld", "night")

    async def all_ran() -> bool:
        return all([await team.runs(name) for name in names])

    await until(all_ran, "each message to run")
    assert [await team.runs(name) for name in names] == [[name] for name in names]
    assert (await team.redis.hgetall("unacked")).keys() == held
    assert await team.replicas() == await team.replicas("second") == 1


async def test_a_worker_that_runs_and_consumes_nothing_is_restarted_and_shown_to_consume(team: Team) -> None:
    await team.target(store=False)
    await team.workers(replicas=1, command=CELERY, grace=3)
    await team.redis.lpush("work", envelope("first", args=("first",)))

    async def has_run() -> bool:
        return bool(await team.runs("first"))

    await until(has_run, "the worker to consume")
    await team.sandbox.signal_container(team.namespace, await pod_of(team, "worker"), "worker", signal.SIGSTOP)
    # Its connection, which the server still serves, takes one of them.
    names = [f"waiting-{n}" for n in range(4)]
    await team.redis.lpush("work", *(envelope(name, args=(name,)) for name in names))

    await team.recovery(jobs=[], purge={"mode": "None"}, redeliver={}, restart={"annotate": True})
    status = await team.reached("Succeeded")

    assert condition(status, "Consumed")["status"] == "True"
    assert status["message"].startswith("workers restarted; ")

    async def all_but_one_ran() -> bool:
        return len([name for name in names if await team.runs(name)]) >= len(names) - 1

    await until(all_but_one_ran, "what waited to run")


async def test_a_killed_workers_messages_are_given_back_by_the_proposed_recovery_once_somebody_starts_it(
    team: Team,
) -> None:
    await team.target(store=False)
    await as_documented(team, PROPOSE)
    await team.workers(replicas=1, command=CELERY)
    names = [f"left-{n}" for n in range(2)]
    busy = [envelope(f"busy-{n}", args=(3600,), task="work.wait") for n in range(2)]
    await team.redis.lpush("work", *busy, *(envelope(name, args=(name,)) for name in names))

    async def only_these_are_held() -> bool:
        newest = await team.redis.zrange("unacked_index", -1, -1, withscores=True)
        # The sandbox starts a container within the second in which the last one ended, which no kubelet does.
        return (
            not await team.queued()
            and await team.redis.hlen("unacked") == len(names)
            and time.time() >= int(newest[0][1]) + 1
        )

    await until(only_these_are_held, "both processes to be busy, and the worker to hold the rest for a second")
    await team.sandbox.signal_container(team.namespace, await pod_of(team, "worker"), "worker", signal.SIGKILL)

    note = await team.has_event('QueueRecovery "work-stranded-messages-', "team")
    name, command = note.split('"')[1], note.partition("run: ")[2]
    assert "2 messages" in await team.waits("Suspended", name)
    header, row = (await as_documented(team, LIST)).splitlines()
    assert (header.split()[-1], row.split()[0], row.split()[-1]) == ("PROPOSED-FOR", name, "StrandedMessages")
    described = await as_documented(team, DESCRIBE, name)
    assert "queuerecovery.dev/evidence:" in described
    assert "2 messages in unacked were delivered" in described
    [cause] = (await team.get("QueueTarget", "team"))["status"]["queues"][0]["stuck"]
    assert (cause["reason"], cause["proposal"]) == ("StrandedMessages", name)
    assert not any([await team.runs(one) for one in names])

    assert command == START.replace(EXAMPLE, name).replace("-n media", f"-n {team.namespace}")
    await as_documented(team, START, name)
    status = await team.reached("Succeeded", name)

    assert status["redelivered"] == {"found": 2, "redelivered": 2, "left": 0}

    async def is_cured() -> bool:
        stuck = condition((await team.get("QueueTarget", "team"))["status"], "Stuck")
        return stuck["reason"] == "NotStuck" and all([await team.runs(one) for one in names])

    await until(is_cured, "each message to run, and the queue to be stuck no more")
    assert (await team.events("team")).count("RecoveryProposed") == 1


@pytest.mark.thorough
async def test_a_restart_that_does_not_help_says_so(team: Team) -> None:
    await team.target(store=False)
    await team.workers(replicas=1, command=SLEEPER)
    await team.redis.lpush("work", envelope("waiting"))

    restart = {"annotate": True, "consumptionDeadlineSeconds": 2}
    await team.recovery(jobs=[], purge={"mode": "None"}, restart=restart)
    status = await team.reached("Failed")

    assert condition(status, "Stalled")["reason"] == "NotConsumed"
    assert "1 message waits, and none was consumed within 2 s" in status["message"]
    assert await team.replicas() == 1
    assert len(await team.queued()) == 1
