"""Each cause of a stuck queue is told when looks prove it, and not told for what only looks like it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.api.stuck import StuckSpec
from queue_recovery.diagnosis.stuck import ORDER
from queue_recovery.diagnosis.stuck_evidence import QueueLook, Tail
from tests.diagnosis.stuck_queues import NO_PODS, Watched, at, held, killed, queue, waiting, worker


def test_messages_that_a_killed_worker_held_are_told_at_the_second_look() -> None:
    watched = Watched(workers=worker(started=60))
    left = queue(held("a", 10), held("b", 12))

    assert watched.look(left, after=30) == []
    assert watched.look(left) == ["StrandedMessages"]
    assert watched.messages["StrandedMessages"] == (
        "2 messages in unacked were delivered (since 2026-01-01T12:00:10Z) before the oldest running process of the "
        "workers was started (2026-01-01T12:01:00Z), so no worker holds them. Celery gives them back only after its "
        "visibility timeout. To give them back now, create a recovery with purge.mode: None and redeliver: {}"
    )


@pytest.mark.parametrize(
    ("why", "workers"),
    [
        ("a running worker may hold them", worker(started=9)),
        ("the clock may have been set back by a little", worker(started=14)),
        ("there is no worker, as somebody wants it", NO_PODS),
        ("the workers could not be looked at", None),
    ],
)
def test_messages_are_not_stranded_where(why: str, workers: object) -> None:
    del why
    watched = Watched(workers=workers)  # type: ignore[arg-type]

    for _ in range(5):
        assert watched.look(queue(held("a", 10))) == []


def test_what_is_known_of_a_part_of_unacked_is_said_to_be_the_least() -> None:
    watched = Watched(workers=worker(started=60))
    for _ in range(2):
        watched.look(queue(held("a", 10), total=5000))

    assert watched.messages["StrandedMessages"].startswith("at least 1 message in unacked was delivered")


def test_workers_that_take_nothing_are_deaf_once_the_time_is_over() -> None:
    watched = Watched()
    stuck = queue(ready=4, next_one="a")

    told = [watched.look(stuck) for _ in range(6)]

    assert told == [[], [], [], [], ["DeafWorkers"], ["DeafWorkers"]]
    assert "4 messages wait and none was taken for 150 seconds" in watched.messages["DeafWorkers"]
    assert "although 1 pod of the workers is ready" in watched.messages["DeafWorkers"]
    assert "If they do not run a task that takes so long without prefetching" in watched.messages["DeafWorkers"]
    assert "restart.annotate: true" in watched.messages["DeafWorkers"]


def test_where_a_waiting_message_was_delivered_before_a_worker_may_still_run_it() -> None:
    """With `acks_late`, kombu gives back a message whose task runs longer than the visibility timeout."""
    watched = Watched()
    for _ in range(5):
        watched.look(queue(waiting("a", redelivered=True), waiting("b"), ready=2, next_one="a"))

    assert [(one.reason, one.is_sure) for one in watched.found] == [(Reason.DEAF_WORKERS, False)]
    assert (
        "holds any message of the queue. But 1 of those that are consumed next was delivered before, and a worker "
        in (watched.messages["DeafWorkers"])
    )
    assert (
        "celery inspect active first. If no worker runs one, restart them: create a" in watched.messages["DeafWorkers"]
    )
    assert len(watched.messages["DeafWorkers"]) < 560


def test_workers_are_looked_at_only_if_that_can_prove_something() -> None:
    watched = Watched()
    for number in range(20):
        watched.look(queue(held(f"{number}", 30 * number - 1), ready=9, next_one=f"{number}"))

    assert watched.looked_at_workers == 0


def test_producers_that_go_on_do_not_hide_deaf_workers() -> None:
    watched = Watched()

    assert [watched.look(queue(ready=number, next_one="a")) for number in range(1, 6)][-1] == ["DeafWorkers"]


def test_a_message_of_another_priority_does_not_hide_deaf_workers() -> None:
    watched = Watched()
    low, high = Tail(next=b"low"), Tail(next=b"high")
    for _ in range(4):
        assert watched.look(QueueLook(ready=1, lists={9: low})) == []

    assert watched.look(QueueLook(ready=2, lists={0: high, 9: low})) == ["DeafWorkers"]


def test_deaf_workers_are_told_beside_what_their_predecessors_have_left() -> None:
    watched = Watched(workers=worker(started=0))
    for _ in range(6):
        told = watched.look(queue(held("old", -60), ready=2, next_one="a"))

    assert told == ["DeafWorkers", "StrandedMessages"]


@pytest.mark.parametrize(
    ("why", "workers"),
    [
        ("all workers are at 0 on purpose", NO_PODS),
        ("no pod is ready, as in a crash loop", worker(pods=0)),
        ("a rolling update has just replaced all pods", worker(started=140)),
        ("the pods have been ready for a moment only", worker(ready=140)),
        ("a long task may hide in a worker that prefetches nothing", replace(worker(), may_hold_nothing=True)),
        ("the workers could not be looked at", None),
    ],
)
def test_workers_are_not_deaf_where(why: str, workers: object) -> None:
    del why
    watched = Watched(workers=workers)  # type: ignore[arg-type]

    for _ in range(6):
        assert watched.look(queue(ready=3, next_one="a")) == []


def test_a_long_task_makes_nobody_deaf_because_its_worker_holds_messages() -> None:
    """Celery acknowledges a task when it starts by default, and prefetches the next ones meanwhile."""
    watched = Watched()

    for _ in range(100):
        assert watched.look(queue(held("prefetched", -1), ready=3, next_one="a")) == []


@pytest.mark.parametrize(
    ("why", "beside", "told"),
    [
        ("another queue of theirs has messages that they hold", {"shared": [at(-10)]}, []),
        ("such a message has no time", {"shared": [None]}, []),
        ("what they hold of another queue is stranded", {"shared": [at(-4000)]}, ["DeafWorkers"]),
        ("a queue that is not listed has a message that they may hold", {"elsewhere": [at(-10)]}, []),
        ("what others hold has come since", {"elsewhere": [at(170)]}, ["DeafWorkers"]),
    ],
)
def test_a_long_task_of_another_queue_makes_nobody_deaf(why: str, beside: dict[str, object], told: list[str]) -> None:
    del why
    watched = Watched()
    for _ in range(7):
        last = watched.look(replace(queue(ready=3, next_one="a"), **beside))  # type: ignore[arg-type]

    assert last == told


def test_workers_that_give_a_message_back_unchanged_over_and_over_are_not_deaf() -> None:
    """`Reject(requeue=True)`: some looks see it in the list, others in `unacked`."""
    watched = Watched()

    for number in range(12):
        given_back = queue(ready=2, next_one="a")
        taken = queue(held("a", watched.seconds - 1, redelivered=True), ready=2, next_one="a")
        assert watched.look(taken if number % 4 == 3 else given_back) == []


def test_an_empty_queue_tells_of_nothing_and_costs_no_look_at_the_workers() -> None:
    watched = Watched()

    assert [watched.look(queue()) for _ in range(100)] == [[]] * 100
    assert watched.looked_at_workers == 0


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=40))
def test_a_queue_from_which_something_is_taken_between_any_two_looks_is_not_deaf(depths: list[int]) -> None:
    watched = Watched()

    for number, ready in enumerate(depths):
        assert "DeafWorkers" not in watched.look(queue(ready=ready, next_one=f"{number}"), after=100)


def test_a_retry_loop_is_told_at_the_second_look_if_it_is_old_enough() -> None:
    """The task of the README: a `TypeError`, retried every three seconds."""
    watched = Watched()

    assert watched.look(queue(*(held(name, -1, retries=57) for name in "abc"))) == []
    assert watched.look(queue(*(held(name, 29, retries=67) for name in "abc"))) == ["RetryLoop"]
    assert watched.messages["RetryLoop"].startswith(
        '3 messages (task "tts.render") have been retried 10 times or more, one of them 67 times, and go on. '
    )


def test_a_retry_loop_names_its_tasks_and_how_to_learn_whether_a_retry_helps() -> None:
    watched = Watched()
    for retries in (20, 30):
        loops = (replace(held(name, -1, retries=retries), task=name * 200) for name in "abc")
        watched.look(queue(*loops))

    message = watched.messages["RetryLoop"]
    assert message.startswith(f'3 messages (tasks "{"a" * 100}", "{"b" * 100}" and 1 more) have been retried 10 times')
    assert message.endswith(
        "its plan says whether the errors are transient, if they can be read. If they are not transient, "
        "fix the task and set suspend to false"
    )
    assert len(message) <= 600


def test_a_retry_loop_is_told_too_if_the_looks_see_its_messages_in_the_list() -> None:
    watched = Watched()
    watched.look(queue(waiting("a", retries=20), ready=1, next_one="a"))

    assert watched.look(queue(waiting("a", retries=30), ready=1, next_one="b")) == ["RetryLoop"]


@pytest.mark.parametrize(
    ("why", "retries"),
    [
        ("it ends after Celery's default of three retries", [0, 1, 2, 3, 3]),
        ("its retries do not grow, because it waits for a far one", [50, 50, 50, 50, 50]),
        ("it is younger than the threshold", [1, 3, 5, 7, 9]),
    ],
)
def test_no_retry_loop_is_told_where(why: str, retries: list[int]) -> None:
    del why
    watched = Watched()

    for number in retries:
        assert watched.look(queue(held("a", watched.seconds, retries=number))) == []


def test_a_retry_loop_that_has_ended_is_over_after_a_few_looks() -> None:
    watched = Watched()
    watched.look(queue(held("a", -1, retries=57)))
    watched.look(queue(held("a", 29, retries=67)))

    told = [watched.look(queue()) for _ in range(8)]

    assert told[0] == ["RetryLoop"]
    assert told[-1] == []
    assert told == sorted(told, reverse=True)


def test_a_message_that_kills_its_worker_is_told_at_the_second_look() -> None:
    watched = Watched()
    watched.workers = worker(started=-8, ends=[killed(-10)])

    assert watched.look(queue(held("a", -5, redelivered=True))) == []
    watched.workers = worker(started=22, ends=[killed(20)])
    assert watched.look(queue(held("a", 25, redelivered=True))) == ["PoisonMessage"]
    assert watched.messages["PoisonMessage"].startswith(
        '1 message (task "tts.render") was delivered again and again without a retry, 3 times, and in '
        "between containers of the workers were OOMKilled. It may be what kills them."
    )


def test_a_job_whose_messages_have_other_ids_each_time_is_the_same_poison() -> None:
    watched = Watched()
    for number in range(4):
        ends = [killed(30 * number - 10, reason="Error", exit_code=1)]
        watched.workers = worker(started=30 * number - 8, ends=ends)
        told = watched.look(queue(held(f"id-{number}", 30 * number - 5, work=b"j1")))

    assert told == ["PoisonMessage"]
    assert "were killed or ended with an error" in watched.messages["PoisonMessage"]
    # Its application may have enqueued it so often, and it was done each time.
    assert not watched.found[0].is_sure


@pytest.mark.parametrize(
    ("why", "end"),
    [
        ("no container has ended", None),
        ("containers ended as they were asked to", lambda time: killed(time, reason="Completed", exit_code=0)),
        (
            "containers ended as they were asked to, long after one of their processes",
            lambda time: killed(time, exit_code=0),
        ),
        ("containers ended by SIGTERM", lambda time: killed(time, reason="Error", exit_code=143)),
        ("a container was killed long before", lambda _: killed(-7200)),
    ],
)
def test_a_message_that_is_given_back_is_no_poison_where(why: str, end: object) -> None:
    """In a rolling update each worker gives back what it has not begun."""
    del why
    watched = Watched()

    for number in range(10):
        ends = [end(30 * number - 10)] if callable(end) else []
        watched.workers = worker(started=-3600, ends=ends)
        assert watched.look(queue(held("a", 30 * number - 5, redelivered=True))) == []


def test_one_crash_does_not_make_poison_of_a_message_that_a_rolling_update_gave_back_before() -> None:
    watched = Watched(workers=worker(started=-7000))
    watched.look(queue(held("a", -5, redelivered=True)))
    for number in range(1, 6):
        watched.workers = worker(started=40, ends=[killed(35)])
        assert watched.look(queue(held("a", -5 if number == 1 else 45, redelivered=True))) in ([], ["StrandedMessages"])


def test_one_crash_counts_once_however_close_the_deliveries_before_and_after_it_are() -> None:
    """Beside a message that a rolling update gave back a worker crashes, a moment after it was delivered again."""
    watched = Watched(workers=worker(started=-7000))
    watched.look(queue(held("a", -5, redelivered=True)))
    watched.workers = worker(started=-3, ends=[killed(-4)])

    for number in range(1, 6):
        assert "PoisonMessage" not in watched.look(queue(held("a", 1, redelivered=True))), number


def test_poison_that_is_seen_no_more_is_over_although_the_queue_is_too_deep_to_see_all() -> None:
    watched = Watched()
    watched.workers = worker(started=-8, ends=[killed(-10)])
    watched.look(queue(held("a", -5, redelivered=True)))
    watched.workers = worker(started=22, ends=[killed(20)])
    assert watched.look(queue(held("a", 25, redelivered=True))) == ["PoisonMessage"]

    told = [watched.look(queue(ready=100, next_one=f"{number}")) for number in range(40)]

    assert told[0] == ["PoisonMessage"]
    assert "PoisonMessage" not in told[-1]


def test_what_a_worker_holds_beside_messages_that_are_not_celerys_is_no_poison() -> None:
    """Each of these ends the worker that takes it, and what that has prefetched is delivered again."""
    watched = Watched()
    for number in range(6):
        junk = 1 if number < 4 else 0  # the last one is taken after the fourth look
        watched.workers = worker(started=30 * number - 8, ends=[killed(30 * number - 10, reason="Error", exit_code=1)])
        told = watched.look(
            queue(held("a", 30 * number - 5, redelivered=True), ready=3, next_one=f"{number}", undecodable=junk)
        )
        assert "PoisonMessage" not in told, number

    assert "UndecodableMessages" in watched.messages
    watched.workers = worker(started=172, ends=[killed(170)])
    watched.look(queue(held("a", 175, redelivered=True)))
    watched.workers = worker(started=202, ends=[killed(200)])
    assert "PoisonMessage" in watched.look(queue(held("a", 205, redelivered=True)))


def test_the_same_arguments_of_another_task_are_not_the_same_job() -> None:
    watched = Watched()
    for number in range(6):
        watched.workers = worker(started=30 * number - 8, ends=[killed(30 * number - 10)])
        seen = replace(held(f"id-{number}", 30 * number - 5, work=b"j1"), task="tts.clean")
        assert watched.look(queue(seen)) == []


def test_a_job_that_is_enqueued_often_is_no_poison() -> None:
    watched = Watched(workers=worker(ends=[killed(15)]))

    for number in range(10):
        assert watched.look(queue(held(f"id-{number}", 30 * number - 5, work=b"j1"))) == []


def test_many_messages_with_a_far_eta_are_a_hoard() -> None:
    watched = Watched(spec=StuckSpec(hoarded_messages=100))
    far = [held(f"{number}", -60, eta=at(86400)) for number in range(250)]

    assert watched.look(queue(*far)) == ["HoardedMessages"]
    assert watched.messages["HoardedMessages"] == (
        "1 pod of the workers holds 250 messages in unacked, more than they can run. 250 of the 250 oldest of them "
        "have an ETA in the future. Schedule far ETAs in a database. No recovery is needed"
    )


def test_the_size_of_a_hoard_is_estimated_from_the_oldest_messages() -> None:
    watched = Watched(workers=worker(pods=2))
    oldest = [held(f"{number}", -60) for number in range(1000)]

    assert watched.look(queue(*oldest, total=200_000)) == ["HoardedMessages"]
    assert "2 pods of the workers hold about 200000 messages" in watched.messages["HoardedMessages"]
    assert "Lower worker_prefetch_multiplier" in watched.messages["HoardedMessages"]


def test_the_hoard_of_another_queue_is_not_this_queues() -> None:
    look = queue(held("a", -1))

    assert (
        Watched().look(QueueLook(ready=0, held=1, sightings=look.sightings, total=200_000, not_counted=199_000)) == []
    )


def test_workers_of_many_pods_may_hold_more() -> None:
    watched = Watched(workers=worker(pods=50), spec=StuckSpec(hoarded_messages=100))

    assert watched.look(queue(*(held(f"{number}", -1) for number in range(900)))) == []


def test_a_queue_that_only_rises_is_told_after_its_time() -> None:
    watched = Watched(spec=StuckSpec(rising_seconds=600, rising_messages=100))
    told = [watched.look(queue(ready=10 * number, next_one=f"{number}")) for number in range(25)]

    assert told.index(["RisingDepth"]) == 20
    assert told[-1] == ["RisingDepth"]
    assert watched.messages["RisingDepth"].startswith(
        "the queue has risen and never fallen for 720 seconds, from 0 to 240 waiting messages."
    )


@pytest.mark.parametrize(("rising_seconds", "looks"), [(1800, 20), (300, 10)])
def test_a_queue_that_has_stopped_rising_is_over(rising_seconds: int, looks: int) -> None:
    """After ten minutes, or `risingSeconds`, and three looks more."""
    watched = Watched(spec=StuckSpec(rising_seconds=rising_seconds, rising_messages=100))
    for number in range(80):
        watched.look(queue(held("busy", -1), ready=10 * number, next_one=f"{number}"))
    told = [watched.look(queue(held("busy", -1), ready=790, next_one=f"{number}")) for number in range(40)]

    assert told == [["RisingDepth"]] * (looks + 2) + [[]] * (40 - looks - 2)


@pytest.mark.parametrize(
    ("why", "depths"),
    [
        ("a burst came at once and is worked on", [0, 9000, *range(8990, 8000, -10)]),
        ("a burst came at once and a long task is in its way", [0, *[9000] * 80]),
        ("it falls from time to time", [number * 100 % 1000 for number in range(80)]),
        ("it rises by a few", list(range(80))),
    ],
)
def test_a_queue_does_not_only_rise_where(why: str, depths: list[int]) -> None:
    del why
    watched = Watched()

    for number, ready in enumerate(depths):
        assert watched.look(queue(held("busy", -1), ready=ready, next_one=f"{number}")) == []


def test_messages_that_nobody_can_decode_are_told_at_the_second_look() -> None:
    watched = Watched()

    assert watched.look(queue(ready=5, next_one="a", undecodable=2)) == []
    assert watched.look(queue(ready=4, next_one="b", undecodable=1)) == ["UndecodableMessages"]
    assert watched.messages["UndecodableMessages"].startswith(
        "1 message of those that are consumed next is not Celery's"
    )
    assert "quarantines all messages of the queue, also Celery's" in watched.messages["UndecodableMessages"]
    assert "restoreFrom and as: New then puts back those that can be read" in watched.messages["UndecodableMessages"]
    assert len(watched.messages["UndecodableMessages"]) < 560


def test_one_message_that_cannot_be_decoded_and_was_taken_is_not_told() -> None:
    watched = Watched()

    for number in range(6):
        assert watched.look(queue(ready=5, next_one=f"{number}", undecodable=number % 2)) == []


@pytest.mark.parametrize("reason", ORDER)
def test_each_cause_can_be_switched_off(reason: Reason) -> None:
    """All causes at once, and each of them with 0."""
    off = {
        Reason.POISON_MESSAGE: "poison_deliveries",
        Reason.RETRY_LOOP: "retry_loop_retries",
        Reason.DEAF_WORKERS: "deaf_seconds",
        Reason.UNDECODABLE_MESSAGES: "undecodable_messages",
        Reason.STRANDED_MESSAGES: "stranded_messages",
        Reason.HOARDED_MESSAGES: "hoarded_messages",
        Reason.RISING_DEPTH: "rising_seconds",
    }[reason]
    low = {"deaf_seconds": 30, "hoarded_messages": 1, "rising_seconds": 30, "rising_messages": 1}

    assert _told_of_all(StuckSpec.model_validate(low)) == {one.value for one in ORDER}
    assert _told_of_all(StuckSpec.model_validate(low | {off: 0})) == {one.value for one in ORDER if one is not reason}


def _told_of_all(spec: StuckSpec) -> set[str]:
    told: set[str] = set()
    watched = Watched(spec=spec)
    for number in range(5):
        watched.workers = worker(started=-100, ends=[killed(30 * number - 10)])
        found = [held("old", -200), waiting("r", retries=20 + number)]
        told |= set(watched.look(queue(*found, ready=5 + number, next_one="a", undecodable=1)))
    for number in range(5, 9):
        watched.workers = worker(started=-100, ends=[killed(30 * number - 10)])
        told |= set(watched.look(queue(held("p", 30 * number - 5, redelivered=True))))
    return told


def test_each_cause_is_a_reason_of_a_target_with_a_remedy() -> None:
    assert all(reason.outcome is Outcome.TARGET and reason.remedy for reason in ORDER)
