"""Two replicas of the operator: one leads, the other takes over, and a leader that was away changes nothing."""

import logging
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus

import pytest
from typing_extensions import override

from queue_recovery.api.reasons import Reason
from queue_recovery.controller import election
from queue_recovery.controller.api_server import GRACE
from queue_recovery.controller.candidate import Candidate, LeaseRecord, Timing
from queue_recovery.controller.lease import KubernetesLease
from queue_recovery.controller.watchdog import Watchdog
from queue_recovery.recovery.errors import RecoveryError
from sandbox.processes import until
from tests.controller.replicas import LEASE, Link, Replica, Replicas

TIMING = Timing(LEASE)
BUSY = 10.0
"""Seconds that a busy machine may take on top of what the timing say."""


class Unarmed(Watchdog):
    """One that lets this process go on; notes what it was told."""

    def __init__(self) -> None:
        self.armed: list[float] = []
        self.disarmed = 0

    @override
    def arm(self, until: float) -> None:
        self.armed.append(until)

    @override
    def disarm(self) -> None:
        self.disarmed += 1


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


async def test_one_of_two_leads_and_works_and_the_other_is_ready(replicas: Replicas) -> None:
    first, second = await replicas.two()
    spec = await replicas.lease()
    assert spec["holderIdentity"].startswith("first_")
    assert spec["leaseDurationSeconds"] == LEASE
    assert spec["leaseTransitions"] == 0
    assert await first.ready()
    assert not await second.leads()
    await replicas.recovery("lonely")
    await until(lambda: replicas.phase("lonely"), "the leader to take the recovery up")
    asked = [request for request, _ in requests(replicas, second)]
    assert asked
    assert {line.split("/leases/")[0].split(" ")[0] for line in asked} == {"get"}
    assert all(line.endswith("/leases/queue-recovery") for line in asked)

    async def renewed() -> bool:
        now = await replicas.lease()
        return bool(now["renewTime"] > spec["renewTime"])

    await until(renewed, "the lease to be renewed")
    after = await replicas.lease()
    assert {**after, "renewTime": ""} == {**spec, "renewTime": ""}


async def test_a_standby_says_once_for_whom_it_stands_by_and_then_that_it_leads(replicas: Replicas) -> None:
    first, second = await replicas.two()
    holder = (await replicas.lease())["holderIdentity"]
    [line] = second.log("standing by")
    assert f"standing by: {holder} leads" in line
    await first.process.kill()
    await replicas.led_by(second)
    assert len(second.log("standing by")) == 1
    assert len(second.log("leading as second_")) == 1
    assert second.log("starts and recovers queues ")[0].endswith(f'queues in {replicas.namespace}"}}')


async def test_a_killed_leader_is_followed_within_the_leases_time(replicas: Replicas) -> None:
    first, second = await replicas.two()
    await first.process.kill()
    killed = time.monotonic()
    await replicas.led_by(second)
    assert time.monotonic() - killed < LEASE + TIMING.retry_period + BUSY
    assert (await replicas.lease())["leaseTransitions"] == 1


async def test_a_leader_that_is_told_to_stop_hands_over_at_once(replicas: Replicas) -> None:
    first, second = await replicas.two(lease=120)
    await replicas.recovery("lonely")
    await until(lambda: replicas.phase("lonely"), "the leader to take the recovery up")
    first.process.send(signal.SIGTERM)
    await replicas.led_by(second, seconds=90)  # long before a lease that is not released is over
    assert await first.process.wait() == 0
    assert "the lease was released" in first.process.end_of_log()


async def test_one_that_stands_by_stops_when_it_is_told_to(replicas: Replicas) -> None:
    first, second = await replicas.two()
    second.process.send(signal.SIGTERM)
    assert await second.process.wait() == 0
    assert await first.leads()
    assert (await replicas.lease())["holderIdentity"].startswith("first_")


async def test_a_leader_that_was_paused_wakes_and_changes_nothing(replicas: Replicas) -> None:
    first, second = await replicas.two()
    await replicas.recovery("before")
    await until(lambda: replicas.phase("before"), "the leader to take the recovery up")
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


async def test_what_a_leader_was_about_to_send_when_it_was_paused_is_refused(replicas: Replicas) -> None:
    """The turn of the event loop that a pause falls into is gone through to its end, and may send something."""
    first = await replicas.start("first", program=[sys.executable, "-m", "tests.controller.pausing_operator"])
    await replicas.led_by(first)
    second = await replicas.start("second")
    await replicas.recovery("lonely")
    await replicas.led_by(second)
    await until(lambda: replicas.phase("lonely"), "the other one to take the recovery up")
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


async def test_a_leader_whose_requests_hang_ends_before_another_may_lead(replicas: Replicas) -> None:
    async with Link.open(replicas.sandbox) as link:
        first = await replicas.start("first", link=link)
        await replicas.led_by(first)
        second = await replicas.start("second")
        await until(second.ready, "the other one to stand by", of=second.process)
        link.cut()
        cut = time.monotonic()
        assert await first.process.wait() == 1
        assert time.monotonic() - cut < TIMING.renew_deadline + BUSY
        assert not await second.leads()
        await replicas.led_by(second)


async def test_a_leader_ends_when_the_lease_is_anothers(replicas: Replicas) -> None:
    first = await replicas.start("first")
    await replicas.led_by(first)
    await replicas.sandbox.kubectl(
        *("-n", replicas.namespace, "patch", "lease", "queue-recovery", "--type=merge"),
        '--patch={"spec":{"holderIdentity":"somebody"}}',
    )
    assert await first.process.wait() == 1
    assert "the lease is held by somebody" in first.process.end_of_log()


async def test_without_the_right_to_the_lease_it_is_not_ready_and_says_what_to_do(replicas: Replicas) -> None:
    first = await replicas.start("first", allowed=False)

    async def told() -> bool:
        return "Bind the Role of manifests/operator/rbac.yaml" in first.process.end_of_log()

    await until(first.unready, "it to be unready", of=first.process)
    assert await first.waits_for() in {
        "waiting for the lease\n",
        "the API server does not grant access to the lease yet. Trying again\n",
    }
    await until(told, "the missing permission to be named", seconds=GRACE + BUSY, of=first.process)
    assert "Bind the Role of manifests/operator/rbac.yaml" in await first.waits_for()
    assert len(first.log("does not grant access to the lease yet")) == 1
    await replicas.allow("first")
    await replicas.led_by(first)
    await until(first.ready, "it to be ready")


async def test_one_that_stands_by_is_ready_until_it_has_not_seen_the_lease_for_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Away(KubernetesLease):
        def __init__(self) -> None:
            self.read_so_far = 0

        @override
        async def read(self) -> LeaseRecord | None:
            self.read_so_far += 1
            if self.read_so_far > 1:
                raise RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "the API server answers 503; trying again")
            return LeaseRecord(holder="another", seconds=LEASE, renewed="03:00:00")

    lease = Away()

    async def failed() -> bool:
        return lease.read_so_far > 1

    async def unready() -> str:
        return part.waits_for()

    part = election.Election(lease, Candidate("me", TIMING), Unarmed())
    assert part.waits_for() == "waiting for the lease"
    async with part.taking_part():
        await until(failed, "the lease to be away")
        assert part.waits_for() == ""
        monkeypatch.setattr(election, "GRACE", 0.0)
        assert "the API server answers 503" in await until(unready, "it to be unready")


async def test_a_leader_says_that_it_cannot_renew_the_lease_and_when_it_can_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class AwayOnce(KubernetesLease):
        def __init__(self) -> None:
            self.read_so_far = 0
            self.stored: LeaseRecord | None = None

        @override
        async def read(self) -> LeaseRecord | None:
            self.read_so_far += 1
            if self.read_so_far == 2:
                raise RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "the API server answers 503")
            return self.stored

        @override
        async def write(self, record: LeaseRecord) -> bool:
            self.stored = record
            return True

    lease, watchdog = AwayOnce(), Unarmed()

    async def renewed_twice() -> bool:
        return lease.read_so_far > 4

    with caplog.at_level(logging.INFO):
        async with election.Election(lease, Candidate("me", TIMING), watchdog).taking_part():
            await until(renewed_twice, "the lease to be renewed")
            assert watchdog.disarmed == 0

    assert caplog.messages == [
        "leading as me",
        "the lease cannot be acquired or renewed: the API server answers 503",
        "the lease was renewed again",
        "the lease was released",
    ]
    assert len(watchdog.armed) >= 2
    assert watchdog.armed == sorted(watchdog.armed), "each renewal gives it more time"
    assert watchdog.disarmed == 1


async def test_an_election_that_breaks_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(KubernetesLease):
        def __init__(self) -> None:
            pass

        @override
        async def read(self) -> LeaseRecord | None:
            raise KeyError("a mistake in the program")

    deaths: list[str] = []
    monkeypatch.setattr(election, "exit_now", deaths.append)
    part = election.Election(Broken(), Candidate("me", TIMING), Unarmed())

    async def dead() -> bool:
        return bool(deaths)

    with pytest.raises(KeyError):
        async with part.taking_part():
            await until(dead, "the process to end")
    assert "the election has ended: KeyError in read" in deaths[0]
