"""An observed version wakes all that wait, once for each change."""

import asyncio

import pytest

from queue_recovery.controller.observed_versions import ObservedVersions


async def test_the_first_sight_of_something_is_no_change_and_another_state_is() -> None:
    observed = ObservedVersions()
    observed.observe("secret redis", None)
    assert observed.changes == 0
    observed.observe("secret redis", ("uid", "1"))
    await asyncio.wait_for(observed.changed(0), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(observed.changed(1), 0.05)


async def test_everybody_who_waits_is_woken_by_one_change_and_by_none_that_is_the_same_again() -> None:
    observed = ObservedVersions()
    observed.observe("permissions", ("get secrets",))
    waiting = [asyncio.create_task(observed.changed(0)) for _ in range(2)]
    await asyncio.sleep(0)
    observed.observe("permissions", ("get secrets",))
    assert not any(task.done() for task in waiting)
    observed.observe("permissions", ())
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
