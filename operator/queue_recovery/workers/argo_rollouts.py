"""Rollouts of Argo Rollouts: when one is at 0, and what its updates have to do with that. Pure.

Judged as its controller does (`utils/conditions`, `utils/rollout` and `rollout/sync.go` of Argo Rollouts 1.10).

A canary or a blue-green update must not be stopped half-way: with 0 replicas wanted, every step that sets a weight
counts as reached, so the controller goes through all steps that wait for no person and then promotes a version that no
pod has run; a step that counts pods of its own (`setCanaryScale`, `previewReplicaCount`) keeps them running.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from queue_recovery.workers.objects import TEMPLATE_HASH, Pod, PodTemplate, ReplicaSet
from queue_recovery.workers.observed import (
    NOT_OBSERVED,
    has_observed_zero,
    is_observed,
    replica_sets_are_at_zero,
    replicas_wait_for,
)
from queue_recovery.workers.workloads import Workload

EXPERIMENT: Final = "Experiment"
"""The kind that runs pods of its own in a step of a canary, with the labels of the Rollout's."""


def is_at_zero(rollout: Workload, replica_sets: Collection[ReplicaSet]) -> bool:
    """Return whether the controller has observed the 0 replicas, and so scales no ReplicaSet up any more."""
    return has_observed_zero(rollout) and replica_sets_are_at_zero(replica_sets)


def unsettled(rollout: Workload) -> str | None:
    """Describe why a scaling to 0 would do harm; None: it would not."""
    if rollout.spec.paused:
        return "it is paused, so its controller neither stops nor starts pods"
    if rollout.spec.replicas > 0 and not is_observed(rollout):
        return NOT_OBSERVED
    update = _update(rollout)
    if update is None or rollout.status.abort:
        return update
    return f"{update}, and at 0 replicas the update would go on without pods"


def waits_for(rollout: Workload, _: Collection[Pod]) -> str | None:
    """Describe what the rollout waits for; None: it is complete, and all pods are of one template."""
    spec, status = rollout.spec, rollout.status
    if not is_observed(rollout):
        return NOT_OBSERVED
    if any(condition.type == "InvalidSpec" for condition in status.conditions):
        return "its controller calls its spec invalid"
    if update := _update(rollout):
        return update
    if spec.restart_at is not None and not _is_same_time(spec.restart_at, status.restarted_at):
        return f"not every pod has been restarted since {spec.restart_at}"
    return replicas_wait_for(rollout)


def template_of(found: Workload, own: Collection[ReplicaSet]) -> PodTemplate:
    """Return a worker's pod template; that of a Rollout with `workloadRef` is another object's, so its ReplicaSet's."""
    if found.spec.workload_ref is None:
        return found.spec.template
    current = found.status.current_pod_hash
    templates = (one.spec.template for one in own if one.metadata.labels.get(TEMPLATE_HASH) == current)
    return next(templates, found.spec.template)


def _update(rollout: Workload) -> str | None:
    """Describe an update that is neither promoted nor undone.

    The first version has none beside it that could be promoted instead, so it is no update.
    """
    status = rollout.status
    if status.stable_rs in {"", status.current_pod_hash}:
        return None
    if status.abort:
        return "its update was aborted, so its pods are not of its template"
    if rollout.spec.strategy.blue_green is not None:
        where = "a blue-green update"
    else:
        where = f"a canary update at step {status.current_step_index} of {len(rollout.spec.strategy.canary.steps)}"
    paused = f", paused ({status.pause_conditions[0].reason})" if status.pause_conditions else ""
    return f"it is in {where}{paused}"


def _is_same_time(wanted: str, done: str | None) -> bool:
    """Return whether two times are the same; the controller writes what it was given in UTC."""
    try:
        return done is not None and datetime.fromisoformat(wanted) == datetime.fromisoformat(done)
    except ValueError:
        return wanted == done
