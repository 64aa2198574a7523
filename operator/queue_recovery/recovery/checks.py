"""Checks of a recovery against its target and the broker, before anything is touched."""

from collections.abc import Iterable

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import MOST_WORKERS
from queue_recovery.api.target import QueueSpec
from queue_recovery.api.worker_ref import APPS, WorkerRef
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.ports import MOST_CHARACTERS, Worker, WorkerOutline
from queue_recovery.recovery.recovery import Recovery


def check_name(recovery: Recovery) -> None:
    """Raise RecoveryError (`NameTooLong`) when the recovery's name does not fit into a label.

    A rule in the CustomResourceDefinition would also refuse updates of existing recoveries, and so their deletion.
    """
    length = len(recovery.resource.name)
    if recovery.scales_workers and length > MOST_CHARACTERS:
        raise RecoveryError(
            Reason.NAME_TOO_LONG,
            f"the name has {length} characters, and the operator writes it to a label, which has at most "
            f"{MOST_CHARACTERS}. Create the recovery with a shorter name",
        )


async def check_queues(recovery: Recovery, queues: Iterable[str]) -> None:
    """Raise RecoveryError for queues that are not Celery's; see `ports.Broker.check_queue`."""
    broker = await recovery.broker()
    for queue in queues:
        await broker.check_queue(queue, take_unreadable=recovery.spec.purge.take_unreadable)


def check_not_paused(recovery: Recovery, paused: Iterable[WorkerRef]) -> None:
    """Raise AwaitingChange (`WorkerPaused`) for the first of these workers, which are paused."""
    for ref in paused:
        raise AwaitingChange(
            Reason.WORKER_PAUSED,
            f"{ref} is paused, so its pods would not start again. Resume it: "
            f"{_resume(ref, recovery.resource.namespace)}",
        )


def check_replaces_pods(recovery: Recovery, workers: Iterable[Worker | WorkerOutline]) -> None:
    """Raise AwaitingChange (`PodsWouldNotRestart`) for the first worker of which a restart would leave pods running."""
    for worker in workers:
        if recovery.restarts_workers and worker.keeps_pods is not None:
            raise AwaitingChange(
                Reason.PODS_WOULD_NOT_RESTART,
                f"restart.annotate would not restart every pod of {worker.ref}: {worker.keeps_pods}. Set its "
                "updateStrategy to RollingUpdate with partition 0, or create a recovery without restart.annotate and "
                "delete the pods yourself",
            )


def _resume(ref: WorkerRef, namespace: str) -> str:
    if ref.gvk.group == APPS:
        return f"kubectl rollout resume {ref.resource} -n {namespace}"
    return f'kubectl patch {ref.resource} -n {namespace} --type=merge -p \'{{"spec":{{"paused":false}}}}\''


def workers_of(queues: Iterable[QueueSpec]) -> list[WorkerRef]:
    """Return the workers that consume these queues, sorted; raises RecoveryError (`TooManyWorkers`)."""
    workers = sorted({worker for queue in queues for worker in queue.workers})
    if len(workers) > MOST_WORKERS:
        raise RecoveryError(
            Reason.TOO_MANY_WORKERS,
            f"the queues have {len(workers)} workers together, and one recovery stops at most "
            f"{MOST_WORKERS}. Recover the queues one by one",
        )
    return workers
