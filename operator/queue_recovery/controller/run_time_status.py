"""What a target's status says of how long its tasks run. Pure."""

from collections.abc import Mapping
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
    longest = [(one, queue) for queue, seen in times.items() for one in seen.ran.values()]
    if not longest:
        message = (
            "no task was seen to run at two looks. Only tasks with track_started and acks_late can be seen, whose "
            "workers' nodes are named after their pods, as they are by default"
        )
        return "Unknown", Reason.NO_RUN_SEEN, message
    one, queue = max(longest, key=lambda found: found[0].lasted)
    message = f"the longest run that was seen, of {_task_of(one, queue)}, lasted at least {_seconds(one.lasted)}"
    return "True", Reason.RUN_TIMES_WITHIN_LIMITS, message


def _beyond_timeout(times: Mapping[str, RunTimes], timeout: int | None) -> list[tuple[Reason, str]]:
    """Return the warning of the message that was held longest, if that was longer than the visibility timeout."""
    held = [(seen.held, queue) for queue, seen in times.items() if seen.held is not None]
    if timeout is None or not held:
        return []
    one, queue = max(held, key=lambda found: found[0].lasted)
    if one.lasted < timedelta(seconds=timeout):
        return []
    message = (
        f"a worker that runs {_task_of(one, queue)} held its message for at least {_seconds(one.lasted)}, and "
        f"visibilityTimeoutSeconds is {timeout}: Celery delivers such a message again while the task runs. Raise "
        "visibility_timeout above the longest task and the time for which its message waits in a worker"
    )
    return [(Reason.RUN_BEYOND_TIMEOUT, message)]


def _beyond_grace(times: Mapping[str, RunTimes]) -> list[tuple[Reason, str]]:
    """Return the warning of the longest run that was longer than its worker's grace period."""
    found = [
        (one, queue, worker, seen.grace_seconds[worker])
        for queue, seen in times.items()
        for worker, one in seen.ran.items()
        if worker in seen.grace_seconds and one.lasted > timedelta(seconds=seen.grace_seconds[worker])
    ]
    if not found:
        return []
    one, queue, worker, grace = max(found, key=lambda entry: entry[0].lasted)
    others = {each[2] for each in found} - {worker}
    more = f", here and for {counted(len(others), 'other worker')}" if others else ""
    message = (
        f"{_task_of(one, queue)} ran for at least {_seconds(one.lasted)}, and the pods of {worker} have {grace} "
        "seconds to end, so an update kills them while it runs. Raise terminationGracePeriodSeconds above the longest "
        f"task{more}"
    )
    return [(Reason.RUN_BEYOND_GRACE_PERIOD, message)]


def _task_of(one: Longest, queue: str) -> str:
    task = "a task" if one.task is None else f'task "{one.task[:_LONGEST_NAME]}"'
    return f'{task} of queue "{queue}"'


def _seconds(lasted: timedelta) -> str:
    return counted(int(lasted.total_seconds()), "second")
