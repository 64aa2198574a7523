"""Those that scale workers up while a recovery has them at 0, and what makes each leave the replicas alone. Pure."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from queue_recovery.api.replicas import MOST_OWNERS, ReplicaOwner
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.ports import WorkerOutline
from queue_recovery.recovery.wording import quoted

_REMEDIES: Final = {
    "argocd-controller": "In the Argo CD Application, set spec.ignoreDifferences to [{group: GROUP, kind: KIND, "
    "jsonPointers: [/spec/replicas]}] and add RespectIgnoreDifferences=true to spec.syncPolicy.syncOptions",
    "kustomize-controller": "In Git, from which Flux applies it, remove spec.replicas from the KIND",
    "helm": "Remove replicas from the chart's KIND template",
    "helm-controller": "Remove replicas from the chart's KIND template, or from the values of the HelmRelease",
    "kubectl": "Remove spec.replicas from the manifest that kubectl applies",
    "keda": "Let the operator pause KEDA: kubectl apply -n NAMESPACE -k manifests/keda",
}
"""What makes a tool leave replicas alone, by its field manager; GROUP and KIND are the worker's."""


_APPLY_AGAIN: Final = frozenset({"argocd-controller", "kustomize-controller", "helm-controller"})
"""Those that apply again by themselves. Others, such as kubectl, do so only if somebody calls them."""


def replica_owners(workers: Iterable[WorkerOutline]) -> list[ReplicaOwner]:
    """Return the GitOps tools that will set the replicas of these workers again, the first of them."""
    found = [
        ReplicaOwner(api_version=worker.ref.api_version, kind=worker.ref.kind, name=worker.ref.name, manager=manager)
        for worker in workers
        for manager in worker.applied_by
        if manager in _APPLY_AGAIN
    ]
    return found[:MOST_OWNERS]


def remedies(managers: Collection[str], worker: WorkerRef) -> str:
    """Return what makes these managers leave the replicas of such a worker alone; empty: none of them is known."""
    known = "; ".join(_REMEDIES[name] for name in sorted(managers) if name in _REMEDIES)
    return known.replace("GROUP", worker.gvk.group).replace("KIND", worker.kind)


def owners_note(owners: Sequence[ReplicaOwner]) -> str:
    """Describe who may scale the workers up during the drain, and what to do."""
    managers = sorted({owner.manager for owner in owners})
    workers = quoted(sorted({owner.name for owner in owners}))
    what = remedies(managers, owners[0]) or "Remove spec.replicas from what it applies"
    return (
        f"field manager {quoted(managers)} sets the replicas of {workers} with each server-side apply, and may scale "
        f"them up during the drain, which then begins again. {what}"
    )
