"""The state of a worker, from its object, ReplicaSets and pods. Pure."""

from collections.abc import Callable, Collection, Iterator
from functools import partial

from pydantic import Field, ValidationError

from queue_recovery.api.base import Model, ObjectName
from queue_recovery.diagnosis.evidence import ContainerEnd
from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, SCALE_BACK_TO, ScaleBackNote, Worker
from queue_recovery.workers.argo_rollouts import EXPERIMENT, template_of
from queue_recovery.workers.kinds import PodsOf, kind_of
from queue_recovery.workers.label_selectors import selects
from queue_recovery.workers.objects import Pod, ReplicaSet, Selector
from queue_recovery.workers.processes import (
    connects_from,
    holds_since,
    in_first_run,
    may_hold_nothing,
    oldest_process,
    ready_since,
)
from queue_recovery.workers.workloads import Workload

_ENDED = frozenset({"Succeeded", "Failed"})

_OUT_OF_MEMORY = "OOMKilled"

_NAMED = 3
"""Pods that a message names."""

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff"})
"""The kubelet reports them alternately."""

_USUAL_REASONS = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Why a container waits that is about to start."""

_MOST_REPLICAS = 2**31 - 1


_LABELS = frozenset({HELD_BY, HELD_BY_UID, SCALE_BACK_TO})


class _Note(Model):
    name: ObjectName = Field(alias=HELD_BY)
    uid: str = Field(alias=HELD_BY_UID, min_length=1)
    replicas: str = Field(alias=SCALE_BACK_TO, pattern=r"^(0|[1-9][0-9]{0,9})$")


def note_labels(note: ScaleBackNote) -> dict[str, str]:
    """Return the labels of a note, readable for anyone who has to scale back by hand.

    Not annotations: the Deployment's controller copies those to the ReplicaSet, which is one request more, and never
    removes them, so `kubectl rollout undo` would restore the note of a recovery that has ended long ago.
    """
    return {
        HELD_BY: note.name,
        HELD_BY_UID: note.uid,
        SCALE_BACK_TO: str(note.replicas),
    }


def note_of(workload: Workload) -> ScaleBackNote | None:
    """Return the note on a worker, or None where no recovery has written one."""
    try:
        note = _Note.model_validate(workload.metadata.labels)
    except ValidationError:
        return None
    replicas = int(note.replicas)
    if replicas > _MOST_REPLICAS:
        return None
    return ScaleBackNote(uid=note.uid, name=note.name, replicas=replicas)


def worker(
    workload: Workload,
    workloads: Collection[Workload],
    replica_sets: Collection[ReplicaSet],
    pods: Collection[Pod],
    gone: Collection[Pod] = (),
    *,
    selector: Selector | None = None,
) -> Worker:
    """Return the state of a worker.

    Args:
        workload: the Deployment, StatefulSet, Rollout, or another one.
        workloads: all of its kind in the namespace, and maybe others.
        replica_sets: unless it is a StatefulSet, all ReplicaSets of the namespace, read no earlier than the worker.
        pods: all pods of the namespace, read no earlier than these: a controller that has observed its 0 replicas
            creates no more pods, so all live pods are in the list.
        gone: pods of the namespace that were deleted and may not have ended (`ended_unseen`).
        selector: that of its `scale` subresource, if its pods are known by that.
    """
    kind, metadata, spec = kind_of(workload.gvk), workload.metadata, workload.spec
    own = [one for one in replica_sets if _controller_uid(one) == metadata.uid]
    belongs = _pods_of(workload, workloads, own, replica_sets, selector or Selector())
    templates = [spec.template, *(one.spec.template for one in own if kind.has_replica_sets)]
    current = template_of(workload, own)
    live = [pod for pod in pods if pod.status.phase not in _ENDED and belongs(pod)]
    return Worker(
        ref=workload.ref,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        generation=metadata.generation,
        replicas=spec.replicas,
        paused=spec.paused,
        note=note_of(workload),
        note_is_damaged=note_of(workload) is None and not _LABELS.isdisjoint(metadata.labels),
        pods=len(live),
        addresses=frozenset(
            pod.status.pod_ip for pod in live if pod.status.pod_ip and pod.status.pod_ip != pod.status.host_ip
        ),
        stopping=stopping(live),
        stops_by=max((pod.metadata.deletion_timestamp or "" for pod in live), default="") or None,
        vanished=tuple(sorted(pod.metadata.name for pod in gone if belongs(pod))),
        grace_seconds=max(one.spec.termination_grace_period_seconds for one in templates),
        drained=not live and kind.is_at_zero(workload, own),
        rollout=rollout(workload, live),
        scaled_by=metadata.scaled_by,
        ends=tuple(_ends(live)),
        images={container.name: container.image for container in current.spec.containers},
        restarted_at=spec.restart_at or spec.template.metadata.annotations.restarted_at,
        unsettled=kind.unsettled(workload),
        deletes_volumes=workload.deletes_volumes,
        keeps_pods=kind.keeps_pods(workload),
        outdated=outdated(workload),
        oldest_process=oldest_process(live),
        holds_since=holds_since(live),
        running_pods=in_first_run(live) if kind.has_replica_sets else {},
        connects_from=connects_from(live),
        ready_since=ready_since(live),
        may_hold_nothing=may_hold_nothing(current.spec.containers),
    )


def _ends(live: Collection[Pod]) -> Iterator[ContainerEnd]:
    """Yield how the containers of pods have ended, of those that were restarted or have ended."""
    containers = [(one, each.metadata.deletion_timestamp) for each in live for one in each.status.container_statuses]
    for container, stops in containers:
        last = container.state.terminated or container.last_state.terminated
        if stops is not None and (last is None or last.reason != _OUT_OF_MEMORY):
            continue  # the kubelet kills what it has asked to end, once the grace period is over
        if last is not None or container.restart_count:
            reason = "" if last is None else last.reason
            code = 0 if last is None else last.exit_code
            finished = None if last is None else last.finished_at
            yield ContainerEnd(restarts=container.restart_count, reason=reason, exit_code=code, finished=finished)


def ended_unseen(last: Pod) -> bool:
    """Return whether the processes of a deleted pod may still run.

    The kubelet records the end of every container before the pod is removed. So a pod that was deleted by force, or by
    the garbage collector of lost nodes, still has running containers; one without a container status never started.

    Args:
        last: the pod as last observed.
    """
    states = [container.state for container in (*last.status.init_container_statuses, *last.status.container_statuses)]
    if last.status.phase in _ENDED:
        # Set by the kubelet of a pod that never got to start all containers, and by the garbage collector.
        return any(state.running is not None for state in states)
    return any(state.terminated is None for state in states)


def stopping(live: Collection[Pod]) -> str:
    """Describe which pods are stopping and by when, the last ones first."""
    # The last ones change least often, and each change is written to a status; so the others are not counted.
    ends = sorted(((end, pod.metadata.name) for pod in live if (end := pod.metadata.deletion_timestamp)), reverse=True)
    named = [f'pod "{name}" is killed at {end}' for end, name in ends[:_NAMED]]
    return "; ".join([*named, *(["and others"] if len(ends) > _NAMED else [])])


def rollout(workload: Workload, live: Collection[Pod]) -> str | None:
    """Describe what the rollout waits for and why pods do not start; None: complete.

    Judged as `kubectl rollout status` does, or the command-line tool of the kind.
    """
    waits_for = kind_of(workload.gvk).waits_for(workload, live)
    starting = sorted((pod for pod in live if pod.metadata.deletion_timestamp is None), key=lambda p: p.metadata.name)
    for pod in starting:
        if waits_for and (why := start_failure(pod)):
            name = pod.metadata.name
            see = f"kubectl describe pod {name} -n {workload.metadata.namespace}"
            return f'{waits_for}; pod "{name}" {why}. See {see}'
    return waits_for


def start_failure(pod: Pod) -> str | None:
    """Describe why a pod does not start, the same at each try of the kubelet."""
    for container in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        waiting, last = container.state.waiting, container.last_state.terminated or container.state.terminated
        if waiting is not None and waiting.reason in _IMAGE_REASONS:
            return "cannot pull its image (ImagePullBackOff)"
        if not container.ready and last is not None and last.exit_code:
            return f"keeps exiting with code {last.exit_code} (CrashLoopBackOff)"
        if waiting is not None and waiting.reason not in _USUAL_REASONS:
            return f"does not start ({waiting.reason})"
    unscheduled = (one.reason for one in pod.status.conditions if one.type == "PodScheduled" and one.status == "False")
    reason = next(unscheduled, None)
    return None if reason is None else f"cannot be scheduled ({reason})"


def outdated(workload: Workload) -> str | None:
    """Describe which pods are not of the template although the rollout is complete; None: there are none."""
    why = kind_of(workload.gvk).keeps_pods(workload)
    updated, wanted = workload.status.updated_replicas, workload.spec.replicas
    return f"{updated} of {wanted} replicas are of its template, because {why}" if why and updated < wanted else None


def _pods_of(
    workload: Workload,
    workloads: Collection[Workload],
    own: Collection[ReplicaSet],
    replica_sets: Collection[ReplicaSet],
    selector: Selector,
) -> Callable[[Pod], bool]:
    """Return the rule by which pods are those of a worker."""
    uid = workload.metadata.uid
    match kind_of(workload.gvk).pods_of:
        case PodsOf.ITSELF:
            foreign = {one.metadata.uid for one in workloads} - {uid}
            return partial(_is_controlled, workload.kind, workload.spec.selector, {uid}, foreign)
        case PodsOf.REPLICA_SETS:
            # Those of an Experiment, a step of a Rollout, consume the queue as the Rollout's own do.
            foreign = {one.metadata.uid for one in replica_sets if one not in own and not _is_of_experiment(one)}
            owners = {one.metadata.uid for one in own}
            return partial(_is_controlled, "ReplicaSet", workload.spec.selector, owners, foreign)
        case PodsOf.SELECTOR:
            return partial(_is_selected, selector, {uid, *(one.metadata.uid for one in own)})


def _is_controlled(
    controller_kind: str, selector: Selector, own: Collection[str], foreign: Collection[str], pod: Pod
) -> bool:
    controller = pod.metadata.controller
    if controller is None or controller.kind != controller_kind or controller.uid in foreign:
        return False
    # An old ReplicaSet is deleted (`revisionHistoryLimit`), or a worker is replaced, while its last pods terminate.
    return controller.uid in own or selects(selector, pod.metadata.labels)


def _is_selected(selector: Selector, owners: Collection[str], pod: Pod) -> bool:
    controller = pod.metadata.controller
    return (controller is not None and controller.uid in owners) or selects(selector, pod.metadata.labels)


def _is_of_experiment(replica_set: ReplicaSet) -> bool:
    controller = replica_set.metadata.controller
    return controller is not None and controller.kind == EXPERIMENT


def _controller_uid(replica_set: ReplicaSet) -> str | None:
    controller = replica_set.metadata.controller
    return None if controller is None else controller.uid
