"""Enqueuing continues after a death with the remaining jobs, even if the others would be skipped by now."""

import pytest

from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.frozen_jobs import freeze, look_up
from queue_recovery.recovery.jobs import listed
from queue_recovery.recovery.reenqueue import reenqueue
from tests.broker.application import Application
from tests.broker.stored_recovery import set_recoverable, stored_recovery
from tests.recovery.fakes import Case

SLOWLY = {"reenqueue": {"ratePerSecond": 1}}


class DiedError(Exception):
    """The process ended."""


async def dies_after_the_first_job(stored: Case) -> None:
    def die() -> None:
        raise DiedError

    stored.environment.on_pause = die
    with pytest.raises(DiedError):
        await reenqueue(stored.recovery())
    stored.environment.on_pause = lambda: None


async def begin(stored: Case) -> None:
    """Open the run, freeze the jobs and pass the boundary."""
    recovery = stored.recovery()
    run = await recovery.run()
    await run.open()
    jobs = [job for job in listed(stored.resource.desired.spec) if job.id is not None]
    await freeze(recovery, jobs, {one.id: one async for one in look_up(recovery, jobs)})
    if recovery.takes_messages:
        await run.take()
    else:
        await run.pass_boundary()


async def pushed(stored: Case) -> frozenset[str]:
    return await (await stored.recovery().run()).pushed()


async def test_an_old_message_that_comes_back_after_its_job_was_enqueued_leaves_no_other_job_out(
    broker: RedisBroker, application: Application
) -> None:
    stored = stored_recovery(broker, dict.fromkeys("abc", "failed"), {"purge": {"mode": "None"}, **SLOWLY})
    await begin(stored)
    await dies_after_the_first_job(stored)
    application.enqueue("tts", "old-a")

    await reenqueue(stored.recovery())

    assert len(await pushed(stored)) == 3
    assert (stored.status.jobs.enqueued, stored.status.skipped) == (3, [])


async def test_a_target_that_calls_an_enqueued_job_not_recoverable_by_now_leaves_no_other_job_out(
    broker: RedisBroker, application: Application
) -> None:
    stored = stored_recovery(broker, {"a": "failed", "b": "lost", "c": "lost"}, SLOWLY)
    set_recoverable(stored, "failed", "lost")
    application.enqueue("tts", "old-a", "old-b", "old-c")
    await begin(stored)
    await dies_after_the_first_job(stored)
    set_recoverable(stored, "lost")

    await reenqueue(stored.recovery())

    assert len(await pushed(stored)) == 3
    assert (stored.status.jobs.enqueued, stored.status.skipped) == (3, [])
