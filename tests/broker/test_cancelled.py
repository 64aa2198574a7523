"""A step that is given up must not go on, even if the driver swallows the cancellation."""

from queue_recovery.broker import RedisBroker
from tests.cancelled import swallowed


async def test_a_command_that_is_cancelled_at_any_moment_ends_as_cancelled(broker: RedisBroker) -> None:
    assert await swallowed(lambda: broker.holders("tts")) == []
