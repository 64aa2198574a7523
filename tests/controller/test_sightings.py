"""What was last seen wakes whoever waits, once for each change."""

import asyncio

import pytest

from queue_recovery.controller.sightings import Sightings


async def test_the_first_sight_of_something_is_no_change_and_another_state_is() -> None:
    sightings = Sightings()
    sightings.see("secret redis", None)
    assert sightings.changes == 0
    sightings.see("secret redis", ("uid", "1"))
    await asyncio.wait_for(sightings.changed(0), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sightings.changed(1), 0.05)


async def test_everybody_who_waits_is_woken_by_one_change_and_by_none_that_is_the_same_again() -> None:
    sightings = Sightings()
    sightings.see("rights", ("get secrets",))
    waiting = [asyncio.create_task(sightings.changed(0)) for _ in range(2)]
    await asyncio.sleep(0)
    sightings.see("rights", ("get secrets",))
    assert not any(task.done() for task in waiting)
    sightings.see("rights", ())
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
