"""What a Deployment, its ReplicaSets and its pods say together. Pure."""

import json
from collections.abc import Collection, Mapping

from pydantic import ValidationError

from queue_recovery.api.base import GROUP, Model
from queue_recovery.recovery.ports import RestoreNote, Worker
from queue_recovery.workers.objects import Deployment, Pod, ReplicaSet, Requirement, Selector

NOTE = f"{GROUP}/restore"
"""The annotation on a Deployment that a recovery holds."""

_ENDED = frozenset({"Succeeded", "Failed"})


class _Note(Model):
    uid: str
    recovery: str
    replicas: int


def note_text(note: RestoreNote) -> str:
    """Write a note as it stands in the annotation, readable by whoever has to restore by hand."""
    return json.dumps({"uid": note.uid, "recovery": note.recovery, "replicas": note.replicas})


def note_of(deployment: Deployment) -> RestoreNote | None:
    """Read the note on a Deployment; None where there is none, or one that no recovery has written."""
    text = deployment.metadata.annotations.get(NOTE)
    if text is None:
        return None
    try:
        note = _Note.model_validate_json(text)
    except ValidationError:
        return None
    return RestoreNote(uid=note.uid, recovery=note.recovery, replicas=note.replicas)


def worker(deployment: Deployment, replica_sets: Collection[ReplicaSet], pods: Collection[Pod]) -> Worker:
    """Describe a Deployment.

    Args:
        deployment: the Deployment.
        replica_sets: all ReplicaSets of the namespace, read no earlier than the Deployment.
        pods: all pods of the namespace, read no earlier than the ReplicaSets: a ReplicaSet that has seen its 0
            creates no pod any more, so that what lives is in the list.
    """
    own = [one for one in replica_sets if _controller_uid(one) == deployment.metadata.uid]
    own_uids = {one.metadata.uid for one in own}
    foreign = {one.metadata.uid for one in replica_sets} - own_uids
    live = [
        pod
        for pod in pods
        if pod.status.phase not in _ENDED and _belongs(pod, deployment.spec.selector, own_uids, foreign)
    ]
    return Worker(
        name=deployment.metadata.name,
        uid=deployment.metadata.uid,
        resource_version=deployment.metadata.resource_version,
        generation=deployment.metadata.generation,
        replicas=deployment.spec.replicas,
        paused=deployment.spec.paused,
        note=note_of(deployment),
        pods=len(live),
        drained=not live and _is_at_zero(deployment, own),
        rollout=rollout(deployment),
    )


def rollout(deployment: Deployment) -> str | None:
    """Say what the Deployment's rollout waits for, judged as `kubectl rollout status` does; None: complete."""
    wanted, status = deployment.spec.replicas, deployment.status
    if deployment.metadata.generation > status.observed_generation:
        return "its controller has not seen the change yet"
    if any(condition.reason == "ProgressDeadlineExceeded" for condition in status.conditions):
        return "it exceeded its progress deadline"
    if status.updated_replicas < wanted:
        return f"{status.updated_replicas} of {wanted} new replicas have been updated"
    if status.replicas > status.updated_replicas:
        return f"{status.replicas - status.updated_replicas} old replicas are pending termination"
    if status.available_replicas < status.updated_replicas:
        return f"{status.available_replicas} of {status.updated_replicas} updated replicas are available"
    return None


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector selects an object with these labels."""
    return selector.match_labels.items() <= labels.items() and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def _is_at_zero(deployment: Deployment, replica_sets: Collection[ReplicaSet]) -> bool:
    status = deployment.status
    return (
        deployment.spec.replicas == 0
        and status.observed_generation >= deployment.metadata.generation
        and status.replicas == 0
        and status.terminating_replicas == 0
        and all(
            one.spec.replicas == 0
            and one.status.observed_generation >= one.metadata.generation
            and one.status.replicas == 0
            for one in replica_sets
        )
    )


def _belongs(pod: Pod, selector: Selector, own: Collection[str], foreign: Collection[str]) -> bool:
    controller = pod.metadata.controller
    if controller is None or controller.kind != "ReplicaSet" or controller.uid in foreign:
        return False
    # An old ReplicaSet is deleted (`revisionHistoryLimit`) while its last pods are still terminating.
    return controller.uid in own or selects(selector, pod.metadata.labels)


def _controller_uid(replica_set: ReplicaSet) -> str | None:
    controller = replica_set.metadata.controller
    return None if controller is None else controller.uid


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return True
