"""What anyone may write into a broker makes a look at it neither slow nor wrong."""

import time
from dataclasses import replace
from datetime import timedelta
from statistics import median

from queue_recovery.api.stuck import MOST_DELIVERIES, StuckSpec
from queue_recovery.diagnosis.stuck import find
from queue_recovery.diagnosis.stuck_memory import Memory, Track, remember
from queue_recovery.diagnosis.stuck_rules import Case
from tests.diagnosis.stuck_queues import NOON, SECOND, Watched, at, held, killed, queue, worker

TURN = 0.05
"""Seconds of processor time for which others may wait."""


def test_as_many_deliveries_and_ends_of_containers_as_are_remembered_take_no_long_turn() -> None:
    """A tenant writes a thousand entries again before each look, beside containers that crash all the time."""
    seen = queue(*(held(f"{number}", 0, work=b"%d" % number, redelivered=True) for number in range(1000)))
    memory: Memory | None = None
    turns: list[float] = []
    for number in range(3):
        sightings = [replace(one, delivered=at(30 * number)) for one in seen.sightings]
        began = time.process_time()
        memory = remember(memory, replace(seen, sightings=sightings), at(30 * number), job_task="tts.render")
        turns.append(time.process_time() - began)
    assert median(turns) < TURN
    assert memory is not None
    assert len(memory.tracks) == 2000
    gaps = tuple((at(number), at(number + 1)) for number in range(MOST_DELIVERIES))
    tracks = {key: replace(one, deliveries=MOST_DELIVERIES, gaps=gaps) for key, one in memory.tracks.items()}
    ends = frozenset(NOON - timedelta(hours=2) - number * SECOND for number in range(100))
    case = Case(
        spec=StuckSpec(poison_deliveries=MOST_DELIVERIES),
        memory=replace(memory, tracks=tracks, ends=ends),
        look=seen,
        workers=worker(),
        at=at(600),
    )

    began = time.process_time()
    for _ in range(5):
        find(case)
    assert time.process_time() - began < 5 * TURN


def test_one_end_of_a_container_explains_one_delivery_only() -> None:
    """A worker crashed right before a message came that a rolling update had given back, and gives back again."""
    watched = Watched()
    watched.workers = worker(started=-8, ends=[killed(-6)])
    watched.look(queue(held("a", -5, redelivered=True)))
    watched.workers = worker(started=-8)

    for number in (1, 2, 3):
        assert watched.look(queue(held("a", 25 if number == 1 else 26, redelivered=True))) == []


def test_a_message_that_goes_on_being_seen_keeps_what_is_known_of_it() -> None:
    watched = Watched(spec=StuckSpec(retry_loop_retries=0))
    watched.look(queue(held("a", -5, retries=3)))
    watched.look(queue(held("a", 25, retries=5)))
    watched.look(queue(held("a", 25, retries=4)))

    assert watched.memory is not None
    assert list(watched.memory.tracks.values()) == [
        Track(
            task="tts.render",
            last_seen=at(60),
            retries=5,
            grown=at(30),
            deliveries=2,
            last_delivered=at(25),
            gaps=((at(-5), at(25)),),
        )
    ]


def test_a_chord_that_is_waited_for_is_no_retry_loop() -> None:
    """Celery waits for it by a task that retries itself every second, where the result backend is not Redis."""
    watched = Watched()

    for number in range(1, 20):
        unlocking = replace(held("a", 30 * number, retries=30 * number), task="celery.chord_unlock")
        assert watched.look(queue(unlocking)) == []
