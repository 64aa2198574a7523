"""What a plan says of itself."""

import pytest

from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Plan
from queue_recovery.recovery.found import RUNNING, WRONG_KEYS, describe

DONE = SkippedJob(id="662f1c0e9d3e4b0001a1b2c3", reason="NotRecoverable", message='status "done" (recoverable: failed)')


def plan(**counts: object) -> Plan:
    zero = {"ready": 0, "unacked": 0, "purge": 0, "leave": 0, "enqueue": 0, "skip": 0}
    return Plan.model_validate({"time": "2030-01-01T00:00:00Z", **zero, **counts})


def described(made: Plan, *skipped: SkippedJob, **purge: object) -> tuple[Reason, str]:
    spec = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts", "purge": purge})
    return describe(spec, made, skipped)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            plan(ready=9, unacked=3, purge=12, enqueue=1),
            "would purge 12 messages (9 ready, 3 unacked), enqueue 1 job",
        ),
        (
            plan(ready=1, purge=1, enqueue=2),
            "would purge 1 message (1 ready, 0 unacked), enqueue 2 jobs",
        ),
        (
            plan(ready=9, unacked=6, purge=12, leave=3, enqueue=1),
            "would purge 12 of 15 messages (9 ready, 6 unacked), leave 3, enqueue 1 job",
        ),
    ],
)
def test_messages_and_jobs_are_counted_with_their_nouns(made: Plan, said: str) -> None:
    assert described(made) == (Reason.PLANNED, said)


def test_skipped_jobs_are_named_with_what_was_found_the_first_three_of_them() -> None:
    rows = [DONE.model_copy(update={"id": f"job-{n}"}) for n in range(5)]

    _, said = described(plan(ready=1, purge=1, skip=5), *rows)

    named = "; ".join(f'job-{n}: status "done" (recoverable: failed)' for n in range(3))
    assert said.endswith(f"enqueue 0 jobs, skip 5 ({named}; and 2 more)")


def test_an_empty_queue_gets_a_hint_also_when_jobs_are_enqueued() -> None:
    assert described(plan(enqueue=1)) == (
        Reason.QUEUE_EMPTY,
        f"would purge 0 messages (0 ready, 0 unacked), enqueue 1 job. {WRONG_KEYS}",
    )


def test_nothing_to_do_is_said_with_what_is_left_and_skipped() -> None:
    assert described(plan(ready=2, leave=2, skip=1), DONE) == (
        Reason.NOTHING_TO_DO,
        f"nothing to purge and nothing to enqueue; would leave 2, skip 1 ({DONE.id}: {DONE.message})",
    )
    assert described(plan()) == (Reason.NOTHING_TO_DO, f"nothing to purge and nothing to enqueue. {WRONG_KEYS}")


def test_one_that_ends_with_its_plan_says_what_it_did() -> None:
    spec = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts"})

    _, said = describe(spec, plan(ready=2, leave=2, skip=1), [DONE], is_over=True)

    assert said == f"nothing to purge and nothing to enqueue; left 2, skipped 1 ({DONE.id}: {DONE.message}). {RUNNING}"


SELECT = {"taskIds": ["typo"]}
UNMATCHED = "purge.select matches none of the 6 messages in the queue"


@pytest.mark.parametrize("is_over", [True, False], ids=["it ends", "it is suspended"])
def test_a_selection_that_matches_nothing_is_named_instead_of_running_tasks(*, is_over: bool) -> None:
    spec = QueueRecoverySpec.model_validate(
        {"targetRef": {"name": "media"}, "queue": "tts", "purge": {"select": SELECT}}
    )
    queued = SkippedJob(id="a", reason="StillQueued", message='its message "t1" is still in the queue')

    _, said = describe(spec, plan(ready=4, unacked=2, leave=6, skip=1), [queued], is_over=is_over)

    assert said.endswith(f'a: its message "t1" is still in the queue). {UNMATCHED}')


def test_nothing_is_said_of_a_selection_that_may_match_the_message_of_a_skipped_job() -> None:
    for made, rows in ((plan(ready=6, leave=6, skip=1), [DONE]), (plan(ready=6, leave=6, skip=9), [])):
        assert UNMATCHED not in described(made, *rows, select=SELECT)[1]
    for made in (plan(ready=6, leave=5, purge=1), plan()):
        assert "matches none" not in described(made, select=SELECT)[1]
    assert described(plan(ready=6, leave=6, enqueue=1), select=SELECT) == (
        Reason.PLANNED,
        f"would purge 0 of 6 messages (6 ready, 0 unacked), leave 6, enqueue 1 job. {UNMATCHED}",
    )


def test_a_purge_alone_says_nothing_of_jobs() -> None:
    assert described(plan(ready=2, purge=2)) == (Reason.PLANNED, "would purge 2 messages (2 ready, 0 unacked)")


def test_one_that_purges_nothing_says_that_no_worker_is_stopped() -> None:
    assert described(plan(enqueue=1), mode="None") == (
        Reason.PLANNED,
        "would enqueue 1 job; no message is removed and no worker is stopped",
    )


def test_queues_that_the_target_does_not_list_are_named() -> None:
    made = plan(ready=1, purge=1, unlisted=["a", "b"], unlistedTotal=7)

    assert described(made)[1].endswith(
        "; queues that the target does not list, so they are not touched: a, b and 5 more"
    )
