"""What a target's status and events say of stuck queues. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from queue_recovery.api.conditions import Condition, ConditionType, is_true
from queue_recovery.api.reasons import Reason
from queue_recovery.api.stuck import QueueStuck
from queue_recovery.api.target import QueueDepth, QueueTargetStatus
from queue_recovery.controller.event_poster import Event
from queue_recovery.controller.stuck_watch import StuckQueues
from queue_recovery.controller.target_conditions import Verdict
from queue_recovery.diagnosis.stuck import ORDER
from queue_recovery.diagnosis.stuck_evidence import QueueLook
from queue_recovery.recovery.wording import quoted

_RESUME: Final = '{"spec":{"suspend":false}}'

_NAMED: Final = 3
"""Causes that the condition's message describes."""


def stuck_verdict(stuck: StuckQueues) -> Verdict:
    """Return the condition `Stuck`: its reason is the most urgent one."""
    causes = [(cause, queue) for queue, of_queue in stuck.items() for cause in of_queue]
    if not causes:
        return "False", Reason.NOT_STUCK, "nothing that was seen says that a queue is stuck"
    reason, message = _described(causes)
    return "True", reason, message


def _described(causes: Iterable[tuple[QueueStuck, str]]) -> tuple[str, str]:
    """Return the most urgent reason, and a message with the first queue of each reason before the others.

    `causes`: with the queue of each, at least one.
    """
    urgency = [reason.value for reason in ORDER]
    ordered = sorted(causes, key=lambda one: (urgency.index(one[0].reason), one[1]))
    first = {cause.reason: (cause, queue) for cause, queue in reversed(ordered)}
    leading = [first[reason] for reason in urgency if reason in first]
    shown = [
        f'queue "{queue}": {cause.message} ({cause.reason})'
        for cause, queue in [*leading, *(one for one in ordered if one not in leading)]
    ]
    more = "" if len(shown) <= _NAMED else f". And {len(shown) - _NAMED} more: see status.queues"
    return ordered[0][0].reason, ". ".join(shown[:_NAMED]) + more


def longest_etas(looks: Mapping[str, QueueLook]) -> Mapping[str, int]:
    """Return how many seconds after its delivery the latest ETA of a held message is, by queue."""
    waits = {
        queue: [(one.eta - one.delivered).total_seconds() for one in look.sightings if one.eta and one.delivered]
        for queue, look in looks.items()
    }
    return {queue: int(max(seconds)) for queue, seconds in waits.items() if seconds}


def eta_verdict(longest: Mapping[str, int], timeout: int) -> Verdict:
    """Return the condition `EtasVisible`, from the longest ETA of each queue and Celery's visibility timeout."""
    beyond = {queue: seconds for queue, seconds in longest.items() if seconds > timeout}
    if not beyond:
        return "True", Reason.ETAS_WITHIN_TIMEOUT, "no held message has an ETA beyond visibilityTimeoutSeconds"
    message = (
        f"workers hold messages of {quoted(sorted(beyond))} with an ETA up to {max(beyond.values())} seconds after "
        f"their delivery, and visibilityTimeoutSeconds is {timeout}: Celery delivers them again each time that it is "
        "over, so they run more than once. Raise visibility_timeout in the application and visibilityTimeoutSeconds in "
        "the target above the longest ETA, or schedule these tasks in a database"
    )
    return "False", Reason.ETA_BEYOND_TIMEOUT, message


def with_stuck(depth: QueueDepth, stuck: StuckQueues) -> QueueDepth:
    """Return a queue's depth with the causes why it is stuck."""
    return depth.model_copy(update={"stuck": list(stuck.get(depth.name, ()))})


def stuck_events_between(before: QueueTargetStatus, after: QueueTargetStatus, condition: Condition) -> Iterator[Event]:
    """Yield an event for the causes that appeared between two checks, or one if the last of them is over.

    `condition`: `Stuck` after these checks.
    """
    known = {(queue.name, cause.reason) for queue in before.queues for cause in queue.stuck}
    new = [
        (cause, queue.name)
        for queue in after.queues
        for cause in queue.stuck
        if (queue.name, cause.reason) not in known
    ]
    if condition.status == "True" and new:
        reason, message = _described(new)
        yield Event(type="Warning", reason=reason, note=f"Stuck: {message}")
    elif condition.status == "False" and is_true(before.conditions, ConditionType.STUCK):
        yield Event(type="Normal", reason=condition.reason, note=f"Stuck: {condition.message}")


def proposals_between(
    before: QueueTargetStatus, after: QueueTargetStatus, namespace: str, *, needs_approval: bool
) -> Iterator[Event]:
    """Yield an event for each recovery that was proposed between two checks, with the command that starts it.

    `needs_approval`: whether the target requires an approval. What has to be approved is known once it has its plan.
    """
    known = {cause.proposal for queue in before.queues for cause in queue.stuck}
    for queue in after.queues:
        for cause in queue.stuck:
            if cause.proposal is not None and cause.proposal not in known:
                about = f"qr/{cause.proposal} -n {namespace}"
                start = f"kubectl patch {about} --type=merge -p '{_RESUME}'"
                approve = (
                    ". The target requires an approval, so nothing is touched until somebody also runs the command "
                    f"that its message has after that: kubectl get {about} -o jsonpath='{{.status.message}}'"
                )
                yield Event(
                    type="Normal",
                    reason=Reason.RECOVERY_PROPOSED,
                    note=f'QueueRecovery "{cause.proposal}" is proposed for queue "{queue.name}" ({cause.reason}). Its '
                    f"plan: kubectl describe {about}. To start it, run: {start}"
                    f"{approve if needs_approval else ''}",
                )
