"""What a recovery uses of its target from its start to its end. Pure.

What a recovery has taken under one set of keys can be put back or released under the same keys only, and what it has
claimed in one collection is released there. How the servers are reached follows the target: a URL or a certificate may
have to be replaced while a recovery runs.
"""

from queue_recovery.api.recovery_status import TargetSnapshot
from queue_recovery.api.servers import JobCollection, KeyOptions
from queue_recovery.api.target import QueueTargetSpec


def snapshot_of(target: QueueTargetSpec) -> TargetSnapshot:
    """Return what a recovery that starts now will use of its target."""
    options = target.broker.transport_options
    mongodb = None if target.job_store is None else target.job_store.mongodb
    return TargetSnapshot(
        transport_options=KeyOptions.model_validate(options.model_dump(include=set(KeyOptions.model_fields))),
        mongodb=mongodb and JobCollection.model_validate(mongodb.model_dump(include=set(JobCollection.model_fields))),
    )


def as_started(target: QueueTargetSpec, snapshot: TargetSnapshot | None) -> QueueTargetSpec:
    """Return the target with what a recovery uses of it since its start; None: it has not started."""
    if snapshot is None:
        return target
    options = target.broker.transport_options.model_copy(update=dict(snapshot.transport_options))
    changed: dict[str, object] = {"broker": target.broker.model_copy(update={"transport_options": options})}
    if target.job_store is not None and snapshot.mongodb is not None:
        mongodb = target.job_store.mongodb.model_copy(update=dict(snapshot.mongodb))
        changed["job_store"] = target.job_store.model_copy(update={"mongodb": mongodb})
    return target.model_copy(update=changed)
