"""What has failed is tried again after pauses that grow up to a limit, and that differ between recoveries."""

from itertools import accumulate, repeat

from queue_recovery.recovery.backoff import FIRST_DELAY, LONGEST_DELAY, jittered, longer


def test_a_delay_doubles_up_to_the_longest() -> None:
    delays = accumulate(repeat(None, 7), lambda delay, _: longer(delay), initial=FIRST_DELAY)

    assert list(delays) == [0.5, 1.0, 2.0, 4.0, 8.0, *[LONGEST_DELAY] * 3]


def test_a_pause_is_between_half_of_its_delay_and_all_of_it() -> None:
    assert jittered(4.0, lambda: 0.0) == 2.0
    assert jittered(4.0, lambda: 0.5) == 3.0
    assert jittered(4.0, lambda: 1.0) == 4.0


def test_recoveries_that_failed_together_do_not_try_again_together() -> None:
    numbers = iter([0.9, 0.1, 0.4])

    assert [jittered(LONGEST_DELAY, lambda: next(numbers)) for _ in range(3)] == [9.5, 5.5, 7.0]
