"""A worker as a look at the API server describes it, for tests that change a few of its fields."""

from queue_recovery.api.worker_ref import DEPLOYMENT, WorkerRef
from queue_recovery.recovery.ports import Worker

WORKER = Worker(
    ref=WorkerRef(name="worker"),
    uid="d",
    resource_version="5",
    generation=2,
    replicas=2,
    paused=False,
    note=None,
    note_is_damaged=False,
    pods=2,
    addresses=frozenset(),
    stopping="",
    stops_by=None,
    vanished=(),
    grace_seconds=30,
    drained=False,
    rollout=None,
)


def ref(name: str = "worker", kind: str = DEPLOYMENT.kind, *, api_version: str = DEPLOYMENT.api_version) -> WorkerRef:
    """Return a worker's kind and name."""
    return WorkerRef(api_version=api_version, kind=kind, name=name)
