"""What a target's status says of how long its tasks run. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from queue_recovery.api.reasons import Reason
from queue_recovery.controller.target_conditions import Verdict
from queue_recovery.diagnosis.run_times import Longest, RunTimes
from queue_recovery.recovery.wording import counted

_LONGEST_NAME: Final = 100


def run_time_verdict(times: Mapping[str, RunTimes], timeout: int | None) -> Verdict:
    """Return the condition `RunTimesAllowed`.

    Args:
        times: what was seen of each queue.
        timeout: Celery's visibility timeout in seconds, if it is known.
    """
    warnings = [*_beyond_timeout(times, timeout), *_beyond_grace(times)]
    if warnings:
        return "False", warnings[0][0], ". ".join(message for _, message in warnings)
    longest = [(one, queue) for queue, seen in times.items() for one in seen.longest.values()]
    if not longest:
        message = (
            "no task was seen to run at two looks. Only tasks with track_started and acks_late can be seen, whose "
            "workers' nodes are named after their pods, as they are by default"
        )
        return "Unknown", Reason.NO_RUN_SEEN, message
    one, queue = _longest(longest)
    message = f"the longest run that was seen, of {_task_of(one, queue)}, lasted at least {_seconds(one)}"
    return "True", Reason.RUN_TIMES_WITHIN_LIMITS, message


def _beyond_timeout(times: Mapping[str, RunTimes], timeout: int | None) -> list[tuple[Reason, str]]:
    """Return the warning of the longest run that was longer than the visibility timeout."""
    if timeout is None:
        return []
    again = [(seen.again, queue) for queue, seen in times.items() if seen.again is not None]
    limit = timedelta(seconds=timeout)
    longer = [(one, queue) for queue, seen in times.items() for one in seen.longest.values() if one.lasted >= limit]
    if not again and not longer:
        return []
    one, queue = _longest(again or longer)
    then = ", and its message was delivered again while it ran" if again else ""
    message = (
        f"{_task_of(one, queue)} ran for at least {_seconds(one)}{then}: visibilityTimeoutSeconds is {timeout}, and "
        "Celery delivers a message again when its task runs longer. Raise visibility_timeout, and "
        "visibilityTimeoutSeconds with it, above the longest task and the time for which its message waits in a worker"
    )
    return [(Reason.RUN_BEYOND_TIMEOUT, message)]


def _beyond_grace(times: Mapping[str, RunTimes]) -> list[tuple[Reason, str]]:
    """Return the warning of the longest run that was longer than its worker's grace period."""
    found = [
        (one, queue, worker, seen.grace_seconds[worker])
        for queue, seen in times.items()
        for worker, one in seen.longest.items()
        if worker in seen.grace_seconds and one.lasted > timedelta(seconds=seen.grace_seconds[worker])
    ]
    if not found:
        return []
    one, queue, worker, grace = max(found, key=lambda entry: entry[0].lasted)
    others = {each[2] for each in found} - {worker}
    more = f", here and for {counted(len(others), 'other worker')}" if others else ""
    message = (
        f"{_task_of(one, queue)} ran for at least {_seconds(one)}, and the pods of {worker} have "
        f"{counted(grace, 'second')} to end, so an update kills them while it runs. Raise "
        f"terminationGracePeriodSeconds above the longest task{more}"
    )
    return [(Reason.RUN_BEYOND_GRACE_PERIOD, message)]


def _task_of(one: Longest, queue: str) -> str:
    task = "a task" if one.task is None else f'task "{one.task[:_LONGEST_NAME]}"'
    return f'{task} of queue "{queue}"'


def _seconds(one: Longest) -> str:
    return counted(int(one.lasted.total_seconds()), "second")


def _longest(found: Sequence[tuple[Longest, str]]) -> tuple[Longest, str]:
    return max(found, key=lambda entry: entry[0].lasted)
