"""Queues of real workers of every kind are recovered side by side, while another application's worker interferes.

Each queue holds jobs that run, that were prefetched, that have an ETA, that fail and are tried again indefinitely, and
that killed workers have left behind; with early and with late acknowledgement, of several priorities, sent directly and
through a topic exchange. The other application shares the database, and its worker keeps giving back what
anybody has held for longer than a second.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from tests.e2e.conftest import open_team
from tests.e2e.every_kind_app import application
from tests.e2e.incident import PLAIN, Incident
from tests.e2e.team import Team
from tests.mongodb import Database

pytestmark = pytest.mark.thorough

POOLS = {"prefork": (2, 1), "threads": (2, 1), "gevent": (2, 1), "solo": (1, 2)}
"""Jobs that a worker runs at once, and workers."""

Recoveries = Mapping[str, "asyncio.Task[Incident]"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def recoveries(
    operator: Sandbox, broker: Broker, store: Database, databases: Iterator[int]
) -> AsyncIterator[Recoveries]:
    """A recovery for each kind of worker, all at the same time, each in a namespace of its own."""
    async with AsyncExitStack() as stack:
        running = {}
        for pool in POOLS:
            namespace = await stack.enter_async_context(operator.namespace())
            team = await stack.enter_async_context(open_team(operator, namespace, broker, store, databases))
            running[pool] = asyncio.ensure_future(recovered(pool, team))
        yield running
        for task in running.values():
            task.cancel()
        await asyncio.wait(running.values())


async def recovered(pool: str, team: Team) -> Incident:
    """Stage an incident of workers of that kind, and recover it."""
    jobs_at_once, replicas = POOLS[pool]
    command = ["celery", "-A", "tests.e2e.every_kind_app:work", "worker", "--queues=work", *PLAIN]
    with application(team.broker_url) as producer:
        incident = Incident(team, producer)
        await incident.stage(
            [*command, f"--pool={pool}", f"--concurrency={jobs_at_once}"],
            replicas=replicas,
            # A solo worker fetches nothing while it runs a job, and a gevent one nothing once more tasks are due than
            # it runs at once: its loop waits for a free greenlet.
            prefetches=pool in {"prefork", "threads"},
        )
        await incident.leave_behind()
        await incident.recover()
    return incident


@pytest.fixture(params=POOLS)
async def incident(recoveries: Recoveries, request: pytest.FixtureRequest) -> Incident:
    """What became of a queue of each kind of worker."""
    return await recoveries[request.param]


async def test_every_listed_job_has_run_once_and_nothing_else_has(incident: Incident) -> None:
    """A message that Celery itself delivers again says so: only the first delivery counts."""
    enqueued = [(await incident.team.job(job))["task_id"] for job in incident.jobs]
    ran = [line for line in await incident.ran("began") if line["worker"] not in incident.old_workers]

    assert sorted(line["id"] for line in ran if not line["again"]) == sorted(enqueued)
    assert {line["id"] for line in ran} == set(enqueued)
    assert incident.status["jobs"]["progress"] == f"{len(incident.jobs)}/{len(incident.jobs)}"
    assert await incident.team.replicas() == len(incident.old_workers)


async def test_what_ran_has_finished_and_all_else_is_quarantined(incident: Incident) -> None:
    ended = {line["id"] for line in await incident.ran("ended")}
    began = {line["id"] for line in await incident.ran("began")}
    quarantined = await incident.quarantined()

    assert ended == set(incident.running)
    assert quarantined >= {*incident.poison, *incident.later, *{*incident.waiting, *incident.left} - began}
    messages = incident.status["messages"]
    assert messages["found"] == messages["quarantined"] >= len(quarantined)


async def test_the_other_applications_work_is_done_and_nothing_else_is_touched(incident: Incident) -> None:
    swept = [letter for letter in await incident.letters() if incident.began < letter["at"] < incident.over]

    assert swept, "its sweeps went on during the recovery"
    assert await incident.others_now() == incident.others


async def test_callbacks_that_hang_on_the_messages_are_counted_and_warned_of(incident: Incident) -> None:
    assert incident.status["plan"]["canvas"]["callbacks"] >= 1
    await incident.team.told("BreaksCanvas")
