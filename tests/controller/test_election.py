"""Two replicas of the operator: one leads, the other takes over, and a leader that was away changes nothing.

What a process does alone is in `test_taking_part.py`, what it concludes in `test_candidate.py`.
"""

import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from http import HTTPStatus

import pytest
import pytest_asyncio

from queue_recovery.controller.candidate import Timing
from sandbox.cluster import Sandbox
from sandbox.processes import until
from tests.controller.replicas import LEASE, Pair, Replica, Replicas

pytestmark = pytest.mark.thorough

TIMING = Timing(LEASE)
BUSY = 10.0
"""Seconds that a busy machine may take on top of what the timing say."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(sandbox: Sandbox, definitions: None) -> AsyncIterator[Pair]:
    """Two for one test after the other, as a start takes seconds."""
    del definitions
    async with AsyncExitStack() as stack:
        yield Pair(await stack.enter_async_context(Replicas.open(sandbox)), stack)


def requests(replicas: Replicas, replica: Replica, *, since: datetime | None = None) -> Iterator[tuple[str, int]]:
    """Yield what a replica asked of the API server, all the time or since then, with the code of the answer."""
    for event in replicas.sandbox.audit():
        received = datetime.fromisoformat(event["requestReceivedTimestamp"])
        if event["user"].get("username") == replica.user and (since is None or received >= since):
            yield f"{event['verb']} {event['requestURI']}", event["responseStatus"]["code"]


def changes(replicas: Replicas, replica: Replica, *, since: datetime) -> list[str]:
    """Return what a replica asked since then that the API server did not refuse, reads aside."""
    asked = requests(replicas, replica, since=since)
    return [
        request
        for request, code in asked
        if code < HTTPStatus.BAD_REQUEST and not request.startswith(("get ", "list ", "watch "))
    ]


async def test_one_of_two_leads_and_works_and_the_other_is_ready(pair: Pair) -> None:
    replicas = pair.replicas
    first, second = await pair.both()
    spec = await replicas.lease()
    assert spec["holderIdentity"].startswith(f"{first.name}_")
    assert spec["leaseDurationSeconds"] == LEASE
    assert not await second.leads()
    await replicas.recovery("lonely")
    await replicas.taken_up("lonely")
    asked = [request for request, _ in requests(replicas, second)]
    assert asked
    # Also when both have found no lease at the same time: one creates it, and the other is refused.
    assert {line.split("/leases")[0].split(" ")[0] for line in asked} <= {"get", "create"}
    assert all("/leases" in line for line in asked)

    async def renewed() -> bool:
        now = await replicas.lease()
        return bool(now["renewTime"] > spec["renewTime"])

    await until(renewed, "the lease to be renewed")
    after = await replicas.lease()
    assert {**after, "renewTime": ""} == {**spec, "renewTime": ""}


async def test_one_that_stands_by_stops_when_it_is_told_to(pair: Pair) -> None:
    first, second = await pair.both()
    second.process.send(signal.SIGTERM)
    assert await second.process.wait() == 0
    assert await first.leads()
    assert (await pair.replicas.lease())["holderIdentity"].startswith(f"{first.name}_")


async def test_a_killed_leader_is_followed_within_the_leases_time_by_one_that_says_once_for_whom_it_stood_by(
    pair: Pair,
) -> None:
    first, second = await pair.both()
    before = await pair.replicas.lease()
    await first.process.kill()
    killed = time.monotonic()
    await pair.replicas.led_by(second)
    assert time.monotonic() - killed < LEASE + TIMING.retry_period + BUSY
    assert (await pair.replicas.lease())["leaseTransitions"] == before["leaseTransitions"] + 1
    [line] = second.log("standing by")
    assert f"standing by: {before['holderIdentity']} leads" in line
    assert len(second.log(f"leading as {second.name}_")) == 1
    assert second.log("starts and recovers queues ")[0].endswith(f'queues in {pair.replicas.namespace}"}}')


async def test_a_leader_that_was_paused_wakes_and_changes_nothing(pair: Pair) -> None:
    replicas = pair.replicas
    first, second = await pair.both()
    await replicas.recovery("before")
    await replicas.taken_up("before")
    first.process.send(signal.SIGSTOP)
    # What waits for it when it wakes: a change of what it works on, and something new.
    await replicas.recovery("meanwhile")
    await replicas.sandbox.kubectl(
        "-n", replicas.namespace, "patch", "qr", "before", "--type=merge", '--patch={"spec":{"suspend":true}}'
    )
    await replicas.led_by(second)

    async def both_pending() -> bool:
        return {await replicas.phase("before"), await replicas.phase("meanwhile")} == {"Pending"}

    await until(both_pending, "the other one to go on")
    woken = datetime.now(UTC)  # what was on its way when it was paused has long arrived
    first.process.send(signal.SIGCONT)
    assert await first.process.wait() == 1
    assert "the lease was not renewed in time" in first.process.end_of_log()
    assert changes(replicas, first, since=woken) == []
    assert await second.leads()


async def test_a_leader_whose_requests_hang_ends_before_another_may_lead(pair: Pair) -> None:
    first, second = await pair.both()
    pair.links[first.name].cut()
    cut = time.monotonic()
    assert await first.process.wait() == 1
    assert time.monotonic() - cut < TIMING.renew_deadline + BUSY
    assert not await second.leads()
    await pair.replicas.led_by(second)


async def test_a_leader_that_is_told_to_stop_hands_over_at_once(replicas: Replicas) -> None:
    first = await replicas.start("first", environment={"QUEUE_RECOVERY_LEASE_SECONDS": "120"})
    await replicas.led_by(first)
    second = await replicas.start("second")  # it looks every moment, and would wait for as long as the lease says
    await until(second.ready, "the other one to stand by", of=second.process)
    await replicas.recovery("lonely")
    await replicas.taken_up("lonely")
    first.process.send(signal.SIGTERM)
    await replicas.led_by(second, seconds=90)  # long before a lease that is not released is over
    assert await first.process.wait() == 0
    assert "the lease was released" in first.process.end_of_log()


async def test_what_a_leader_was_about_to_send_when_it_was_paused_is_refused(replicas: Replicas) -> None:
    """The turn of the event loop that a pause falls into is gone through to its end, and may send something."""
    first = await replicas.start("first", program=[sys.executable, "-m", "tests.controller.pausing_operator"])
    await replicas.led_by(first)
    second = await replicas.start("second")
    await replicas.recovery("lonely")
    await replicas.led_by(second)
    await replicas.taken_up("lonely")
    status = await replicas.status("lonely")
    woken = datetime.now(UTC)
    first.process.send(signal.SIGCONT)
    assert await first.process.wait() == 1
    assert "about to send a status" in first.process.end_of_log()

    async def answered() -> list[tuple[str, int]]:
        return list(requests(replicas, first, since=woken))

    [(sent, code)] = await until(answered, "the API server to answer what it sent")
    assert "/queuerecoveries/lonely/status" in sent
    assert code >= HTTPStatus.BAD_REQUEST
    assert await replicas.status("lonely") == status
