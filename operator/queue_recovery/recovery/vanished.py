"""Pods whose end was not observed: until when their processes may run. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Consumer, Worker
from queue_recovery.recovery.wording import counted

_NAMED = 3
"""How many pods of each Deployment a message names."""

_LONGEST_GRACE: Final = 31_536_000
"""Seconds; no recovery takes longer than a year (`activeDeadlineSeconds`); a pod template may name any."""

_ROUNDED = timedelta(seconds=1)
"""The rounding error of a time in a status."""


@dataclass(frozen=True, kw_only=True)
class Vanished:
    """Deleted pods whose processes may still run."""

    until: datetime
    """When the grace period ends."""
    message: str


def missed(workers: Sequence[Worker], remembered: Sequence[WorkerStatus]) -> Mapping[WorkerRef, int]:
    """Count, by worker, the pods that disappeared between the recorded intent and the first read.

    Workers that were drained before are omitted, because they need not have a pod.
    """
    there = {worker.ref: worker.pods for worker in workers}
    gone = {w.ref: w.pods - there[w.ref] for w in remembered if w.drained_generation is None}
    return {ref: count for ref, count in gone.items() if count > 0}


def vanished(workers: Sequence[Worker], unnamed: Mapping[WorkerRef, int], scaled: datetime) -> Vanished | None:
    """Return the pods whose end was not observed; None: there are none.

    Args:
        workers: the workers as they are now.
        unnamed: what `missed` counted.
        scaled: when they were scaled down, which is the start of the grace periods.
    """
    missing = [worker for worker in workers if worker.vanished or worker.ref in unnamed]
    if not missing:
        return None
    grace = max(worker.grace_seconds for worker in missing)
    until = scaled + _ROUNDED + timedelta(seconds=min(max(grace, 0), _LONGEST_GRACE))
    pods = "; ".join(_pods(worker, unnamed.get(worker.ref, 0)) for worker in missing)
    return Vanished(
        until=until,
        message=f"the end of {pods} was not observed: the node was lost, the deletion was forced, or no operator was "
        f"running. Waiting for the grace period to end at {timestamp(until)}",
    )


def _pods(worker: Worker, unnamed: int) -> str:
    names = [f'pod "{name}"' for name in worker.vanished[:_NAMED]]
    others = unnamed + len(worker.vanished[_NAMED:])
    if others:
        names.append(f'{counted(others, "other pod" if names else "pod")} of "{worker.name}"')
    return ", ".join(names)


def refuse_survivors(consumers: Sequence[Consumer], last_seen: Mapping[str, datetime], now: datetime) -> None:
    """Raise RecoveryError while a consumer still runs although its pod is gone.

    Its node was lost, or the pod was deleted by force. Such a consumer would take the tasks that are enqueued. Another
    pod may have the same address now, so only a connection from before the pod was last observed counts.

    Raises:
        RecoveryError: `UnknownConsumer`.
    """
    for consumer in consumers:
        seen = last_seen.get(consumer.address)
        if seen is not None and now - timedelta(seconds=consumer.age_seconds) < seen:
            raise RecoveryError(
                Reason.UNKNOWN_CONSUMER,
                f"a worker at {consumer.address} still waits for messages although its pod is gone, because the node "
                f"was lost or the deletion was forced. Stop the worker, or close its connection: "
                f"redis-cli CLIENT KILL ID {consumer.id}",
            )
