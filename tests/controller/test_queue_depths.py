"""How a target's messages are put into its status, and into one line."""

from datetime import UTC, datetime, timedelta

from queue_recovery.api.target import QueueDepth
from queue_recovery.controller.queue_depths import depth_line, queue_depths
from queue_recovery.recovery.ports import Held, Unacked

NOW = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)


def test_the_line_names_what_is_ready_and_what_is_unacked_of_each_queue() -> None:
    queues = [QueueDepth(name="tts", ready=0, unacked=3), QueueDepth(name="mail", ready=12)]

    assert depth_line(queues, not_counted=0) == "tts=0+3 mail=12"


def test_that_not_all_is_counted_is_said_also_in_a_line_that_is_too_long() -> None:
    queues = [QueueDepth(name=f"{n}" + "q" * 190, ready=n) for n in range(100)]

    line = depth_line(queues, not_counted=49_000)

    assert len(line) == 4096
    assert line.endswith(" (49000 more unacked, not counted)")


def test_the_target_shows_the_oldest_time_of_its_queues_and_none_that_is_still_to_come() -> None:
    queues = {
        "tts": Held(count=2, since=NOW - timedelta(hours=1)),
        "mail": Held(count=1, since=NOW + timedelta(minutes=5)),
        "odd": Held(count=1, since=None),
    }

    found = queue_depths(dict.fromkeys([*queues, "empty"], 0), Unacked(total=4, queues=queues, not_counted=0), now=NOW)

    times = {queue.name: queue.oldest_unacked_time for queue in found.queues}
    assert times == {"tts": "2026-03-01T02:00:00Z", "mail": "2026-03-01T03:00:00Z", "odd": None, "empty": None}
    assert found.oldest_unacked_time == "2026-03-01T02:00:00Z"
    assert found.unacked_not_counted is None
