"""A refused status is read again at once, and with growing pauses if it is refused again."""

from queue_recovery.recovery.backoff import LONGEST_DELAY
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.resource import Superseded
from tests.recovery.delays import follow_delays
from tests.recovery.fakes import NOW, Case


def refused(times: int) -> Case:
    """Return a deleted recovery whose status is refused this often."""
    case = Case()
    case.resource.change(deleting=True)
    case.resource.fail("write", *[Superseded()] * times)
    return case


async def test_a_status_that_another_process_has_written_once_is_read_at_once() -> None:
    case = refused(1)

    await case.reaches("Cancelled")

    assert case.status.completion_time == timestamp(NOW)
    assert case.environment.pauses == []


async def test_between_repeated_refusals_there_are_pauses_that_grow_up_to_a_limit() -> None:
    case = refused(9)

    await case.reaches("Cancelled")

    assert follow_delays(case.environment.pauses, [0.5, 1.0, 2.0, 4.0, 8.0, *[LONGEST_DELAY] * 3])
