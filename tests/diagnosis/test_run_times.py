"""How long tasks run is told only as far as two looks prove it, and never longer."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.evidence import TaskProcess
from queue_recovery.diagnosis.run_times import RunTimes, StartedTasks, follow
from queue_recovery.diagnosis.stuck_evidence import PodLook, QueueLook, Sighting, WorkersLook
from tests.diagnosis.stuck_queues import SECOND, at, held, queue, waiting

WORKER = WorkerRef(name="worker")
PROCESS = TaskProcess(host="pod", pid=7)
TIMEOUT = 600


def pods(*names: str) -> WorkersLook:
    """Return pods that were never restarted, by their names."""
    return WorkersLook(running=None, pods={name: PodLook(worker=WORKER, grace_seconds=30) for name in names})


@dataclass
class Looks:
    """A queue over its looks, with a pod that has been running since before noon."""

    workers: WorkersLook | None = field(default_factory=lambda: pods("pod", "other"))
    process: TaskProcess | None = PROCESS
    timeout: int | None = TIMEOUT
    times: RunTimes = field(default_factory=RunTimes)

    def look(self, seconds: float, *messages: Sighting, read: bool = True) -> None:
        """Look so many seconds after noon; a second later the results of what workers hold have been read."""
        processes = {} if self.process is None else {one.id: self.process for one in messages if one.held and one.id}
        started = StartedTasks(processes=processes, at=at(seconds + 1)) if read else None
        seen: QueueLook = queue(*messages, ready=sum(not one.held for one in messages))
        self.times = follow(self.times, seen, started, self.workers, at(seconds), timeout=self.timeout)

    @property
    def ran(self) -> float | None:
        """For how many seconds the longest run has lasted at least."""
        found = self.times.longest.get(WORKER)
        return None if found is None else found.lasted / SECOND

    @property
    def again(self) -> float | None:
        """For how many seconds at least a task had run when its message was delivered again."""
        return None if self.times.again is None else self.times.again.lasted / SECOND


def test_a_task_runs_from_the_end_of_the_first_look_that_sees_it_until_the_last_one_begins() -> None:
    looks = Looks()
    for seconds in (10, 40, 70):
        looks.look(seconds, held("a", 5))
    looks.look(100)

    assert looks.ran == 59
    assert looks.times.longest[WORKER].task == "tts.render"
    assert looks.times.grace_seconds == {WORKER: 30}


def test_one_look_proves_no_run() -> None:
    looks = Looks()
    looks.look(40, held("a", 5))

    assert looks.ran is None


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (held("a", 20), "it was delivered again"),
        (held("b", 5), "it is another one"),
        (waiting("a", redelivered=True), "it waits again"),
    ],
)
def test_another_delivery_is_another_run(second: Sighting, why: str) -> None:
    looks = Looks()
    looks.look(10, held("a", 5))
    looks.look(40, second)

    assert looks.ran is None, why


@pytest.mark.parametrize("process", [None, TaskProcess(host="pod", pid=8), TaskProcess(host="other", pid=7)])
def test_another_process_is_another_run(process: TaskProcess | None) -> None:
    looks = Looks()
    looks.look(10, held("a", 5))
    looks.process = process
    looks.look(40, held("a", 5))

    assert looks.ran is None


@pytest.mark.parametrize("workers", [pods(), pods("other"), None], ids=["restarted", "gone", "not known"])
def test_a_process_that_may_have_ended_runs_nothing(workers: WorkersLook | None) -> None:
    looks = Looks()
    looks.look(10, held("a", 5))
    looks.workers = workers
    looks.look(40, held("a", 5))

    assert looks.ran is None


def test_of_two_messages_of_one_task_nobody_knows_which_one_runs() -> None:
    looks = Looks()
    looks.look(10, held("a", 5), held("a", 6))
    looks.look(40, held("a", 6))
    looks.look(70, held("a", 6), waiting("a"))

    assert looks.ran is None


def test_a_look_that_could_read_nothing_ends_no_run() -> None:
    looks = Looks()
    looks.look(10, held("a", 5))
    looks.look(40, held("a", 5), read=False)
    workers, looks.workers = looks.workers, None
    looks.look(70, held("a", 5))
    looks.workers = workers
    looks.look(100, held("a", 5))

    assert looks.ran == 89


@pytest.mark.parametrize(
    ("message", "is_again"),
    [
        pytest.param(held("a", 606, redelivered=True), True, id="to another worker"),
        pytest.param(waiting("a", redelivered=True), True, id="and waits"),
        pytest.param(held("a", 604, redelivered=True), False, id="too early: the task has given it back"),
        pytest.param(held("a", 606, redelivered=True, retries=1), False, id="as a retry"),
        pytest.param(held("a", 606), False, id="by somebody who has sent it"),
        pytest.param(held("b", 606, redelivered=True), False, id="which was another one"),
    ],
)
def test_a_message_that_is_delivered_again_while_its_task_runs_was_held_until_the_visibility_timeout(
    message: Sighting, *, is_again: bool
) -> None:
    looks = Looks()
    for seconds in (10, 300, 590):
        looks.look(seconds, held("a", 5))
    looks.process = TaskProcess(host="other", pid=8)
    looks.look(620, message)

    assert looks.again == (579 if is_again else None)
    assert looks.ran == 579


@pytest.mark.parametrize(
    "trouble",
    [
        "its container has ended",
        "it was not running at the last look",
        "no look has seen it for long",
        "it was seen late",
        "no timeout",
    ],
)
def test_a_message_that_may_be_delivered_again_for_another_cause_tells_nothing(trouble: str) -> None:
    looks = Looks()
    looks.look(400 if trouble == "it was seen late" else 10, held("a", 5))
    looks.look(440 if trouble == "no look has seen it for long" else 560, held("a", 5))
    if trouble == "it was not running at the last look":
        looks.process = None
        looks.look(590, held("a", 5))
    elif trouble == "its container has ended":
        looks.workers = pods("other")
    elif trouble == "no timeout":
        looks.timeout = None
    looks.look(620, held("a", 606, redelivered=True))

    assert looks.again is None


def test_what_was_seen_counts_for_two_days() -> None:
    looks, day = Looks(), 86400
    looks.look(10, held("a", 5))
    looks.look(40, held("a", 5))

    looks.look(40 + 2 * day)
    assert looks.ran == 29
    looks.look(41 + 2 * day)
    assert looks.times.is_empty


@given(
    start=st.integers(0, 300),
    lasts=st.integers(1, 600),
    looks_at=st.lists(st.integers(0, 1000), min_size=2, max_size=30, unique=True).map(sorted),
    early=st.booleans(),
)
def test_no_run_is_told_longer_than_it_is(start: int, lasts: int, looks_at: list[int], *, early: bool) -> None:
    """Of a task that was delivered at 0, and waited in the worker until it was started."""
    looks = Looks()
    for seconds in looks_at:
        # It starts between the look at the queue and the reading of its result, or before.
        runs = start <= seconds + 1 and seconds <= start + lasts
        looks.process = PROCESS if runs else None
        is_there = seconds <= start if early else seconds <= start + lasts
        looks.look(seconds, *([held("a", 0)] if is_there else []))

    assert (looks.ran or 0) <= lasts
    assert looks.again is None
