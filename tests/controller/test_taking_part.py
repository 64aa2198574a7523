"""What one process does in the election, with a lease that a test writes or that the API server keeps from it."""

import asyncio
import logging

import pytest
from typing_extensions import override

from queue_recovery.api.reasons import Reason
from queue_recovery.controller import election
from queue_recovery.controller.candidate import Candidate, LeaseRecord, Timing
from queue_recovery.controller.lease import KubernetesLease
from queue_recovery.controller.watchdog import Watchdog
from queue_recovery.recovery.errors import RecoveryError
from sandbox.processes import until
from tests.controller.replicas import Replicas
from tests.workers.fleet import connected

LEASE = 3
TIMING = Timing(LEASE)


class Exited(BaseException):
    """The process would have ended."""


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


class Stored(KubernetesLease):
    """A lease that tests read and write."""

    def __init__(self, record: LeaseRecord | None = None) -> None:
        self.record = record
        self.read_so_far = 0

    @override
    async def read(self) -> LeaseRecord | None:
        self.read_so_far += 1
        return self.record

    @override
    async def write(self, record: LeaseRecord) -> bool:
        self.record = record
        return True

    async def read_again(self) -> bool:
        """Tell whether it was read, and acted on, at least once."""
        return self.read_so_far > 1


async def test_one_that_stands_by_is_ready_until_it_has_not_seen_the_lease_for_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Away(Stored):
        @override
        async def read(self) -> LeaseRecord | None:
            record = await super().read()
            if self.read_so_far > 1:
                raise RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "the API server answers 503; trying again")
            return record

    lease = Away(LeaseRecord(holder="another", seconds=60, renewed="03:00:00"))

    async def unready() -> str:
        return part.waits_for()

    part = election.Election(lease, Candidate("me", TIMING), Unarmed())
    assert part.waits_for() == "waiting for the lease"
    async with part.taking_part():
        await until(lease.read_again, "the lease to be away")
        assert part.waits_for() == ""
        monkeypatch.setattr(election, "GRACE", 0.0)
        assert "the API server answers 503" in await until(unready, "it to be unready")


async def test_without_the_right_to_the_lease_it_is_not_ready_and_says_once_what_to_do(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await replicas.account("first", allowed=False)
    kubeconfig = await replicas.sandbox.service_account_kubeconfig(replicas.namespace, "first")

    async def waits_for(text: str) -> None:
        async def told() -> bool:
            return text in part.waits_for()

        await until(told, f"it to say: {text}")

    async with connected(kubeconfig) as api:
        lease = KubernetesLease(api, replicas.namespace, 10)
        part = election.Election(lease, Candidate("me", TIMING), Unarmed())
        with caplog.at_level(logging.INFO):
            async with part.taking_part():
                await waits_for("the API server does not grant access to the lease yet. Trying again")
                monkeypatch.setattr(election, "GRACE", 0.0)
                await waits_for("Bind the Role of manifests/operator/rbac.yaml")
                await replicas.allow("first")
                async with asyncio.timeout(60):
                    await part.won.wait()

    assert (await replicas.lease())["holderIdentity"] == ""
    assert [record.levelname for record in caplog.records if "access" in record.message] == ["INFO"]
    assert [record.levelname for record in caplog.records if "Bind the Role" in record.message] == ["WARNING"]


async def test_a_leader_says_that_it_cannot_renew_the_lease_and_when_it_can_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class AwayOnce(Stored):
        @override
        async def read(self) -> LeaseRecord | None:
            record = await super().read()
            if self.read_so_far == 2:
                raise RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "the API server answers 503")
            return record

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


@pytest.mark.parametrize(("holder", "why"), [("somebody", "is held by somebody"), ("", "has no holder any more")])
async def test_a_leader_ends_when_the_lease_is_anothers_or_nobodys(
    monkeypatch: pytest.MonkeyPatch, holder: str, why: str
) -> None:
    deaths: list[str] = []

    def exit_now(why: str) -> None:
        deaths.append(why)
        if len(deaths) == 1:
            raise Exited

    async def dead() -> bool:
        return bool(deaths)

    async def lead_and_lose_the_lease() -> None:
        async with part.taking_part():
            await part.won.wait()
            lease.record = another
            await until(dead, "the process to end")

    monkeypatch.setattr(election, "exit_now", exit_now)
    another = LeaseRecord(holder=holder, seconds=LEASE, renewed="03:00:00")
    lease = Stored()
    part = election.Election(lease, Candidate("me", TIMING), Unarmed())
    with pytest.raises(Exited):
        await lead_and_lose_the_lease()
    assert deaths[0] == f"the lease {why}"
    assert lease.record == another, "it writes nothing any more"


async def test_an_election_that_breaks_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Stored):
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
