"""What has to be approved of a recovery, its digest, and whether annotations approve it. Pure."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final

from pydantic import JsonValue

from queue_recovery.api.approval import APPROVE, APPROVER, DIGEST_DIGITS, ApprovalParts, ApprovalStatus, TargetPolicy
from queue_recovery.api.base import Model
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.target import QueueSpec, QueueTargetSpec
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.ports.resource import Annotations

PARTS: Final[Mapping[str, str]] = {
    "recovery": "the recovery",
    "broker": "the target's broker",
    "job_store": "the target's jobStore",
    "workers": "the queues, or the workers that would be stopped",
    "messages": "how the target enqueues jobs",
    "jobs": "the tasks of the jobs",
}
"""What a message calls the parts."""


def approval_of(
    uid: str,
    spec: QueueRecoverySpec,
    target: QueueTargetSpec,
    queues: Mapping[str, QueueSpec],
    *,
    tasks: Iterable[str] = (),
    source: str = "",
) -> ApprovalStatus:
    """Return what has to be approved of a recovery.

    It is what the recovery may do, and to what: not how many messages there are or which status a job has, because
    those never stand still; not how long anything may take, which the target's limits bound; no content of a Secret and
    no argument of a job's document, because a digest in a status would let others guess them.

    Args:
        uid: of the recovery, so that an approval of its copy says nothing.
        spec: of the recovery.
        target: as it is now.
        queues: those of the target that the recovery covers.
        tasks: of the listed jobs, by name.
        source: with `restoreFrom`, the UID under which the messages are stored.
    """
    depends = spec.purge.mode == "Quarantine" or spec.restart.annotate or spec.redeliver is not None
    stops = depends and spec.restore_from is None
    workers: dict[str, JsonValue] = {
        name: [ref.resource for ref in workers_of([queue] if stops else [])] for name, queue in queues.items()
    }
    names = sorted(set(tasks))
    parts = ApprovalParts(
        recovery=_digest({"uid": uid, "spec": spec.fixed_fields()}),
        broker=_digest(_dumped(target.broker)),
        job_store=_digest(_dumped(target.job_store) if spec.jobs and target.job_store else None),
        workers=_digest(workers),
        messages=_digest([_enqueued(queue) for _, queue in sorted(queues.items())] if spec.jobs else None),
        jobs=_digest({"tasks": [*names], "source": source}),
    )
    return ApprovalStatus(digest=_digest(_dumped(parts)), parts=parts, tasks=names)


def refusal(policy: TargetPolicy, digest: str, given: Annotations) -> str | None:
    """Return why the annotations do not approve the digest; empty: they quote none; None: they approve it."""
    if given.approve != digest:
        return f"the annotation {APPROVE} quotes another digest" if given.approve else ""
    if policy.author_may_approve:
        return None
    if not given.approver:
        return f"the target does not let the author approve, and the annotation {APPROVER} is missing"
    if given.approver == given.author:
        return (
            f"the author of the recovery may not approve it, and the annotation {APPROVER} names the author: the "
            "approver writes his own name there"
        )
    return None


def changes(before: ApprovalStatus | None, now: ApprovalStatus) -> list[str]:
    """Return the names of the parts that have changed since an approval was first asked for."""
    if before is None:
        return []
    changed = [name for name in PARTS if getattr(before.parts, name) != getattr(now.parts, name)]
    return changed or before.changed


def _enqueued(queue: QueueSpec) -> JsonValue:
    return _dumped(queue.model_copy(update={"workers": []}))


def _dumped(model: Model) -> JsonValue:
    """Return a model without the fields that have their default, so that a later version may add fields."""
    dumped: JsonValue = model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return dumped


def _digest(value: JsonValue) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGEST_DIGITS]
