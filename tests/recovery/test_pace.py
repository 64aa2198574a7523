"""Many that want to begin at once are spread over the time."""

from queue_recovery.recovery.pace import Pace


def test_after_a_rest_some_begin_at_once_and_the_others_one_after_the_other() -> None:
    pace = Pace(10, at_once=3, clock=lambda: 100.0)

    assert [round(pace.delay(), 9) for _ in range(6)] == [0, 0, 0, 0.1, 0.2, 0.3]


def test_who_comes_later_than_the_pace_waits_for_nothing() -> None:
    now = [100.0]
    pace = Pace(10, at_once=3, clock=lambda: now[0])
    for _ in range(6):
        pace.delay()

    now[0] += 10
    assert [round(pace.delay(), 9) for _ in range(5)] == [0, 0, 0, 0.1, 0.2]


def test_it_is_at_rest_once_as_many_may_begin_at_once_as_in_the_beginning() -> None:
    now = [100.0]
    pace = Pace(10, at_once=3, clock=lambda: now[0])
    assert pace.is_at_rest
    pace.delay()
    assert not pace.is_at_rest

    now[0] += 0.11
    assert pace.is_at_rest
    assert [round(pace.delay(), 9) for _ in range(4)] == [0, 0, 0, 0.1]
