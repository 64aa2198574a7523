"""Entered again, enqueuing goes on with the jobs that are not enqueued, also if the others would be skipped by now."""

import pytest

from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.drain import freeze
from queue_recovery.recovery.jobs import listed
from queue_recovery.recovery.plan import look_up
from queue_recovery.recovery.reenqueue import reenqueue
from tests.broker.application import Application
from tests.broker.scopes import Steps, steps

SLOWLY = {"reenqueue": {"ratePerSecond": 1}}


class DiedError(Exception):
    """The process ended."""


async def dies_after_the_first_job(recovery: Steps) -> None:
    def die() -> None:
        raise DiedError

    recovery.on_pause = die
    with pytest.raises(DiedError):
        await reenqueue(recovery.scope())
    recovery.on_pause = lambda: None


async def begin(recovery: Steps) -> None:
    """Open the run, freeze the jobs and pass the boundary."""
    scope = recovery.scope()
    (run,) = scope.runs.values()
    await recovery.broker.open(run)
    jobs = [job for job in listed(scope.spec) if job.id is not None]
    await freeze(scope, jobs, {one.id: one async for one in look_up(scope, jobs)})
    if scope.takes_messages:
        await recovery.broker.take(run)
    else:
        await recovery.broker.pass_boundary(run)


async def pushed(recovery: Steps) -> frozenset[str]:
    (run,) = recovery.scope().runs.values()
    return await recovery.broker.pushed(run)


async def test_an_old_message_that_comes_back_after_its_job_was_enqueued_leaves_no_other_job_out(
    broker: RedisBroker, application: Application
) -> None:
    recovery = steps(broker, dict.fromkeys("abc", "failed"), purge={"mode": "None"}, **SLOWLY)
    await begin(recovery)
    await dies_after_the_first_job(recovery)
    application.enqueue("tts", "old-a")

    await reenqueue(recovery.scope())

    assert len(await pushed(recovery)) == 3
    assert (recovery.status.jobs.enqueued, recovery.status.skipped) == (3, [])


async def test_a_target_that_calls_an_enqueued_job_not_recoverable_by_now_leaves_no_other_job_out(
    broker: RedisBroker, application: Application
) -> None:
    recovery = steps(broker, {"a": "failed", "b": "lost", "c": "lost"}, **SLOWLY)
    recovery.recoverable = ("failed", "lost")
    application.enqueue("tts", "old-a", "old-b", "old-c")
    await begin(recovery)
    await dies_after_the_first_job(recovery)
    recovery.recoverable = ("lost",)

    await reenqueue(recovery.scope())

    assert len(await pushed(recovery)) == 3
    assert (recovery.status.jobs.enqueued, recovery.status.skipped) == (3, [])
