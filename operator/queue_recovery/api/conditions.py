"""Conditions, and the reasons that stand in them."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Literal

from pydantic import Field

from queue_recovery.api.base import Model

ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(Model):
    """One aspect of a resource, as `metav1.Condition` has it."""

    type: str = Field(max_length=64, description="Which aspect.")
    status: ConditionStatus = Field(description="Whether it holds.")
    reason: str = Field(max_length=128, description="Why, as one CamelCase word.")
    message: str = Field(max_length=4096, description="What is awaited, or what to do.")
    observed_generation: int = Field(description="Generation of the spec that this was judged by.")
    last_transition_time: str = Field(max_length=40, description="When `status` last changed (RFC 3339).")


class ConditionType(StrEnum):
    """Types of conditions; a kstatus reader uses `Ready`, `Reconciling` and `Stalled`."""

    SUCCEEDED = "Succeeded"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    DRAINED = "Drained"
    PURGED = "Purged"
    RESTARTED = "Restarted"
    REENQUEUED = "Reenqueued"
    BROKER_REACHABLE = "BrokerReachable"
    JOB_STORE_REACHABLE = "JobStoreReachable"
    WORKERS_FOUND = "WorkersFound"
    PERMITTED = "Permitted"
    EVICTION_SAFE = "EvictionSafe"


def find(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """Return the condition of that type, or None."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: ConditionType) -> bool:
    """Tell whether the condition of that type is there and True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def set_condition(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """Put `new` in the place of the condition of its type.

    The time of the last transition is kept while `status` stays the same (Kubernetes API conventions).
    """
    old = find(conditions, ConditionType(new.type))
    if old is None:
        return [*conditions, new]
    if old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    return [new if c.type == new.type else c for c in conditions]
