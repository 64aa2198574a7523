"""What was told of a stuck queue stays while it may still hold, and what is remembered is bounded."""

from datetime import UTC, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queue_recovery.api.reasons import Reason
from queue_recovery.diagnosis.stuck_evidence import QueueLook, Sighting, Tail
from queue_recovery.diagnosis.stuck_memory import MOST_TRACKS, Told, remember
from tests.diagnosis.stuck_queues import NOON, SECOND, Watched, held, killed, queue, worker


def test_what_an_earlier_process_has_told_stays_until_looks_have_seen_that_it_is_over() -> None:
    told = Told(since="11:00:00", seen="as told")
    reasons = (Reason.DEAF_WORKERS, Reason.STRANDED_MESSAGES, Reason.RISING_DEPTH)
    watched = Watched(told_before=dict.fromkeys(reasons, told), workers=worker(started=-60))
    deaf = queue(held("old", -120), ready=2, next_one="a")

    for _ in range(10):
        assert watched.look(deaf)[:2] == ["DeafWorkers", "StrandedMessages"]
    assert watched.memory is not None
    assert {one.since for one in watched.memory.told.values()} == {"11:00:00"}
    for number in range(6):
        last = watched.look(queue(ready=1, next_one=f"{number}"))
    assert last == []


def test_a_look_that_cannot_see_the_workers_ends_nothing() -> None:
    watched = Watched(workers=worker(started=60))
    left = queue(held("a", 10))
    watched.look(left)
    watched.look(left)
    watched.workers = None

    for _ in range(10):
        assert watched.look(left) == ["StrandedMessages"]


SIGHTINGS = st.builds(
    Sighting,
    id=st.none() | st.binary(max_size=2),
    work=st.none() | st.binary(max_size=1),
    task=st.none() | st.just("tts.render") | st.text(max_size=5),
    retries=st.integers(0, 10**6),
    redelivered=st.booleans(),
    eta=st.none() | st.datetimes(timezones=st.just(UTC)),
    delivered=st.none() | st.datetimes(min_value=NOON.replace(tzinfo=None), timezones=st.just(UTC)),
    held=st.booleans(),
)
LOOKS = st.builds(
    QueueLook,
    ready=st.integers(0, 10**6),
    held=st.integers(0, 1000),
    sightings=st.lists(SIGHTINGS, max_size=3),
    lists=st.dictionaries(
        st.integers(0, 9), st.builds(Tail, next=st.binary(max_size=1), undecodable=st.integers(0, 5)), max_size=2
    ),
    total=st.integers(0, 10**6),
    not_counted=st.integers(0, 10**6),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LOOKS, max_size=5), st.integers(-(10**6), 10**6))
def test_anything_that_a_tenant_writes_is_looked_at_without_an_error(looks: list[QueueLook], step: int) -> None:
    watched = Watched(workers=worker(ends=[killed(0)]))

    for look in looks:
        for message in watched.messages.values():
            assert len(message) <= 600
        watched.look(look, after=step)


def test_what_is_remembered_does_not_grow_with_what_is_seen() -> None:
    memory = None
    for number in range(20):
        many = [held(f"{number}-{one}", number, retries=1) for one in range(500)]
        memory = remember(memory, queue(*many, total=10**6), NOON + number * SECOND)

    assert memory is not None
    assert len(memory.tracks) == MOST_TRACKS
    later = remember(memory, queue(total=10**6), NOON + timedelta(days=1))
    assert not later.tracks
