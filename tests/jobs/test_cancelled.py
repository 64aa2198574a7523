"""A cancelled step stops, even if the driver swallows the cancellation."""

from queue_recovery.recovery.ports import JobStore
from tests.cancelled import swallowed
from tests.jobs.stores import looked_up


async def test_a_read_that_is_cancelled_at_any_moment_ends_as_cancelled(store: JobStore) -> None:
    assert await swallowed(lambda: looked_up(store, ["a"])) == []
