"""Conditions, and their reasons."""

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from queue_recovery.api.base import Explained, Message, Model, Timestamp

ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(Model):
    """One aspect of a resource, in the form of `metav1.Condition`."""

    type: str = Field(max_length=64, description="Which aspect.")
    status: ConditionStatus = Field(description="Whether it holds.")
    reason: str = Field(max_length=128, description="Why, as one CamelCase word; docs/troubleshooting.md lists them.")
    message: Message = Field(description="What is awaited, or what to do. Empty where another condition says it.")
    observed_generation: int = Field(ge=0, description="Generation of the spec that the condition is based on.")
    last_transition_time: Timestamp = Field(description="When `status` last changed.")


class ConditionType(Explained):
    """Types of conditions. Tools that use kstatus read `Ready`, `Reconciling` and `Stalled`."""

    SUCCEEDED = "Succeeded", "The recovery did what its spec asks for. Unknown until it has ended."
    FINISHED = (
        "Finished",
        "The recovery has ended, as Succeeded, Failed or Cancelled. Absent before.",
    )
    READY = "Ready", "A recovery has ended and needs no action; a target has everything that recoveries need."
    RECONCILING = "Reconciling", "The recovery is running, or waits for what its message names."
    STALLED = "Stalled", "The recovery has failed, and the user has to act."
    SUSPENDED = (
        "Suspended",
        "`suspend` holds the recovery before its drain. False once it is resumed or has ended; absent if it never was.",
    )
    APPROVED = (
        "Approved",
        "The plan is approved. False while an approval is awaited; absent if the target requires none.",
    )
    DRAINED = "Drained", "The workers are at 0, and all of their pods have ended."
    PURGED = "Purged", "The messages that the queue had are quarantined, apart from those that are to be left."
    RESTARTED = "Restarted", "The workers are scaled back or restarted, and their rollout is complete."
    REENQUEUED = "Reenqueued", "Every listed job was enqueued, or skipped for a reason."
    REDELIVERED = "Redelivered", "The messages in `unacked` whose consumer is gone are back in the queue."
    CONSUMED = (
        "Consumed",
        "Messages of the queue are consumed since the restart. Unknown where that could not be determined.",
    )
    RESTORED = "Restored", "The messages that `restoreFrom` asks for are back in the queue."
    BROKER_REACHABLE = (
        "BrokerReachable",
        "The broker answers, and grants what the operator needs. Unknown while permissions are missing.",
    )
    JOB_STORE_REACHABLE = (
        "JobStoreReachable",
        "The job store answers. Unknown if the target has none, or while permissions are missing.",
    )
    WORKERS_FOUND = "WorkersFound", "All workers that the target lists exist."
    PERMITTED = "Permitted", "The operator has the permissions that it needs in the namespace."
    EVICTION_SAFE = (
        "EvictionSafe",
        "The broker evicts no keys when it is short of memory. A warning only; recoveries run.",
    )
    TRANSPORT_VERIFIED = (
        "TransportVerified",
        "The operator verifies broker and job store by TLS. A warning only; recoveries run.",
    )
    ETAS_VISIBLE = (
        "EtasVisible",
        "No held message has an ETA beyond `visibilityTimeoutSeconds`. A warning only; absent without that field.",
    )
    RUN_TIMES_ALLOWED = (
        "RunTimesAllowed",
        "No task was seen to run for longer than a setting allows. A warning only; absent without `diagnosis.results`.",
    )
    EVIDENCE_READABLE = (
        "EvidenceReadable",
        "The evidence that `diagnosis` names can be read. A warning only; absent without `results` and `rules`.",
    )
    STUCK = "Stuck", "A queue of the target is stuck, as far as the operator can tell. A warning only; recoveries run."


def find(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """Return the condition of that type, or None."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: ConditionType) -> bool:
    """Tell whether there is a condition of that type with status True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def set_condition(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """Return the conditions with `new` instead of the condition of its type.

    The time of the last transition is unchanged while `status` stays the same (Kubernetes API conventions).
    """
    old = find(conditions, ConditionType(new.type))
    if old is None:
        return [*conditions, new]
    if old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    return [new if c.type == new.type else c for c in conditions]
