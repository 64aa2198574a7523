"""Which messages in `unacked` no running worker can hold. Pure.

An entry of `unacked` does not name its consumer, but the time of its delivery is that of the consumer's clock, and the
time at which a process was started is that of the same clock. So what was delivered before the oldest running process
was started is held by none of them, no matter how far the clocks of the nodes are apart.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Plan
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.stuck_evidence import Running
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.found import describe_restart
from queue_recovery.recovery.ports import Consumer, Worker
from queue_recovery.recovery.wording import counted, named


def running(workers: Collection[Worker]) -> Running | None:
    """Return the running processes of these workers; None: none of them has a pod."""
    oldest = [one.oldest_process for one in workers if one.oldest_process is not None]
    holds = [one.holds_since for one in workers if one.holds_since is not None]
    return Running(oldest=min(oldest), holds_since=min(holds)) if oldest and holds else None


def is_stranded(delivered: float | None, processes: Running | None, now: datetime) -> bool:
    """Tell whether no running process can hold a message; see `Running.may_hold`.

    `processes`: those that may hold it, as read after the message; None: there are none.
    """
    return processes is None or not processes.may_hold(delivered, now)


def refuse_unknown(consumers: Sequence[Consumer], workers: Collection[Worker]) -> None:
    """Raise RecoveryError (`UnknownConsumer`) while a consumer comes from no pod of these workers.

    CLIENT LIST does not say which queue it consumes, so it may hold any message.
    """
    known = {address for worker in workers for address in worker.connects_from}
    unknown = sorted({one.address for one in consumers if one.address not in known})
    if unknown:
        come = "a connection comes" if len(unknown) == 1 else "connections come"
        raise RecoveryError(
            Reason.UNKNOWN_CONSUMER,
            f"{come} from {named(unknown)} and {'waits' if len(unknown) == 1 else 'wait'} for messages in the broker's "
            "database, but from no pod of the target's workers, and may hold these messages. Find it with the broker's "
            "CLIENT LIST and stop it, or add its Deployment to the target. If it only consumes other queues, or is a "
            "proxy of the workers, create a recovery with purge.mode: None and redeliver.unknownConsumers: Ignore",
        )


def describe_redelivery(spec: QueueRecoverySpec, plan: Plan, workers: Sequence[WorkerRef]) -> str:
    """Describe the plan of a redelivery; `workers`: as in `found.describe`. Pure."""
    share = f"{plan.redeliver} of {counted(plan.unacked, 'message')} in unacked"
    if spec.restart.annotate:
        return f"would {describe_restart(workers)}, then give back what none of them holds ({share} by now)"
    left = f"; {plan.leave} would stay, because a running worker may hold them" if plan.leave else ""
    return f"would give back {share}{left}. No message is removed and no worker is stopped"


def describe_left(left: int, processes: Mapping[str, Running | None], *, restarted: datetime | None = None) -> str:
    """Describe the messages that stay, and what to do.

    Args:
        left: how many there are.
        processes: those that run, by queue.
        restarted: when the restart of the workers began; None: they were not restarted.
    """
    since = min((one.oldest for one in processes.values() if one is not None), default=None)
    running = "" if since is None else f", the oldest of which runs since {since:%Y-%m-%dT%H:%M:%SZ}"
    stay = "stays" if left == 1 else "stay"
    may_hold = f"{counted(left, 'message')} {stay} in unacked, because a running worker may hold {_them(left)}{running}"
    if restarted is None:
        return (
            f"{may_hold}. If these workers are stuck, or one of them was killed, create a recovery with purge.mode: "
            "None, redeliver: {} and restart.annotate: true"
        )
    if since is not None and since < restarted:
        return (
            f"{may_hold}. That is a pod from before the restart that has not ended: see kubectl get pods. Once it is "
            "gone, create a recovery with purge.mode: None and redeliver: {}"
        )
    return may_hold


def _them(count: int) -> str:
    return "it" if count == 1 else "them"
