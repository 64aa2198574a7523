"""What the condition `Stuck` and its events say, of several queues and causes."""

from collections.abc import Mapping

from queue_recovery.api.conditions import Condition
from queue_recovery.api.stuck import QueueStuck
from queue_recovery.api.target import QueueDepth, QueueTargetStatus
from queue_recovery.controller.stuck_status import stuck_events_between, stuck_verdict

SINCE = "2030-01-01T00:00:00Z"


def stuck(**reasons: str) -> Mapping[str, list[QueueStuck]]:
    """Return why queues are stuck, by queue."""
    return {
        queue: [QueueStuck(reason=reason, since=SINCE, message=f"{reason} of {queue}")]
        for queue, reason in reasons.items()
    }


def status(queues: Mapping[str, list[QueueStuck]]) -> tuple[QueueTargetStatus, Condition]:
    """Return a target's status with these causes, and its condition."""
    known, reason, message = stuck_verdict(queues)
    condition = Condition(
        type="Stuck", status=known, reason=reason, message=message, observed_generation=1, last_transition_time=SINCE
    )
    depths = [QueueDepth(name=name, ready=0, stuck=causes) for name, causes in queues.items()]
    return QueueTargetStatus(queues=depths, conditions=[condition]), condition


def test_the_condition_has_a_queue_of_each_cause_before_it_has_two_of_one() -> None:
    _, reason, message = stuck_verdict(
        stuck(a="RetryLoop", b="RetryLoop", c="RetryLoop", d="StrandedMessages", e="PoisonMessage")
    )

    assert reason == "PoisonMessage"
    assert message == (
        'queue "e": PoisonMessage of e (PoisonMessage). queue "a": RetryLoop of a (RetryLoop). '
        'queue "d": StrandedMessages of d (StrandedMessages). And 2 more: see status.queues'
    )


def test_the_event_says_what_is_new_and_not_what_was_told_before() -> None:
    before, _ = status(stuck(a="RetryLoop", b="RetryLoop"))
    after, condition = status(stuck(a="RetryLoop", b="RetryLoop", c="RisingDepth", d="StrandedMessages"))

    [event] = stuck_events_between(before, after, condition)

    assert (event.type, event.reason) == ("Warning", "StrandedMessages")
    assert event.note == (
        'Stuck: queue "d": StrandedMessages of d (StrandedMessages). queue "c": RisingDepth of c (RisingDepth)'
    )
