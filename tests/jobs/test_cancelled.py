"""A step that is given up must not go on, whatever the driver makes of it."""

from queue_recovery.recovery.ports import JobStore
from tests.cancelled import unheard
from tests.jobs.stores import looked_up


async def test_a_read_that_is_cancelled_at_any_moment_ends_as_cancelled(store: JobStore) -> None:
    assert await unheard(lambda: looked_up(store, ["a"])) == []
