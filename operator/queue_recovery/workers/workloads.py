"""The parts of workers that are read here; the rest is ignored."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from queue_recovery.api.base import Model
from queue_recovery.api.worker_ref import DEPLOYMENT, STATEFUL_SET, GroupVersionKind, WorkerRef
from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, SCALE_BACK_TO
from queue_recovery.workers.objects import BareMetadata, KubernetesObject, PodTemplate, Present, Selector, only


class RollingUpdate(Model):
    partition: int = 0
    """Of a StatefulSet: pods with a lower number keep the former template."""


class UpdateStrategy(Model):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate = RollingUpdate()


class ClaimRetention(Model):
    when_scaled: str = "Retain"


class CanaryStrategy(Model):
    steps: Sequence[Present] = ()


class RolloutStrategy(Model):
    canary: CanaryStrategy = CanaryStrategy()
    blue_green: Present | None = None


class WorkloadSpec(Model):
    replicas: int = 1
    paused: bool = False
    """Of a Deployment or a Rollout; a StatefulSet cannot be paused."""
    selector: Selector = Selector()
    """An empty one selects everything, as where a Rollout has that of its `workloadRef`."""
    template: PodTemplate = PodTemplate()
    update_strategy: UpdateStrategy = UpdateStrategy()
    """Of a StatefulSet, like the next two."""
    volume_claim_templates: Sequence[Present] = ()
    persistent_volume_claim_retention_policy: ClaimRetention = ClaimRetention()
    strategy: RolloutStrategy = RolloutStrategy()
    """Of a Rollout, like the next two."""
    restart_at: str | None = None
    workload_ref: Present | None = None
    """The object that has its template and maybe its selector."""


class WorkloadCondition(Model):
    type: str
    reason: str = ""


class PauseCondition(Model):
    reason: str = ""


def _generation(observed: object) -> object:
    """Return a generation that may be text; old controllers of Rollouts wrote a hash, which tells nothing."""
    return (int(observed) if observed.isdecimal() else 0) if isinstance(observed, str) else observed


class WorkloadStatus(Model):
    observed_generation: Annotated[int, BeforeValidator(_generation)] = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    ready_replicas: int = 0
    terminating_replicas: int = 0
    """Of a Deployment. Absent on servers before 1.33, where it reads as 0."""
    current_revision: str = ""
    """Of a StatefulSet, like `update_revision`: those of its pods' templates before and after an update."""
    update_revision: str = ""
    conditions: Sequence[WorkloadCondition] = ()
    stable_rs: str = Field("", alias="stableRS")
    """Of a Rollout, like the next ones: the hash of the template that was promoted last."""
    current_pod_hash: str = ""
    """The hash of the template that it updates to."""
    current_step_index: int = 0
    abort: bool = False
    pause_conditions: Sequence[PauseCondition] = ()
    restarted_at: str | None = None


class WorkloadMetadata(BareMetadata):
    labels: Annotated[Mapping[str, str], only(HELD_BY, HELD_BY_UID, SCALE_BACK_TO)] = {}


class Workload(KubernetesObject):
    """A worker. A list of a built-in kind does not say of which kind its items are, so these have defaults."""

    api_version: str
    kind: str
    metadata: WorkloadMetadata
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    @property
    def gvk(self) -> GroupVersionKind:
        """Return its kind, in a version of its API group."""
        return GroupVersionKind(self.api_version, self.kind)

    @property
    def ref(self) -> WorkerRef:
        """Return its kind and name."""
        return WorkerRef(api_version=self.api_version, kind=self.kind, name=self.metadata.name)

    @property
    def deletes_volumes(self) -> bool:
        """Return whether its controller deletes the volumes of its pods when it is scaled to 0."""
        retention = self.spec.persistent_volume_claim_retention_policy
        return bool(self.spec.volume_claim_templates) and retention.when_scaled == "Delete"


class Deployment(Workload):
    api_version: str = DEPLOYMENT.api_version
    kind: str = DEPLOYMENT.kind


class StatefulSet(Workload):
    api_version: str = STATEFUL_SET.api_version
    kind: str = STATEFUL_SET.kind


class Rollout(Workload):
    """A Rollout of Argo Rollouts; items of a custom resource's list say of which kind they are."""


_CONVENTIONS: Final = {"spec": {"replicas", "template"}, "status": {"observedGeneration", "replicas"}}


class Scalable(Workload):
    """A worker of any other kind, of which only what is a convention is read."""

    @model_validator(mode="before")
    @classmethod
    def _by_convention(cls, found: JsonValue) -> JsonValue:
        if not isinstance(found, dict):
            return found
        parts = {part: found.get(part) for part in _CONVENTIONS}
        known = {
            part: {name: value[name] for name in _CONVENTIONS[part] & value.keys()}
            for part, value in parts.items()
            if isinstance(value, dict)
        }
        return {name: value for name, value in found.items() if name not in parts} | known

    @property
    def lacks(self) -> str | None:
        """Return which field it has not, without which it cannot be scaled to 0 and back safely; None: it has all."""
        if "replicas" not in self.spec.model_fields_set:
            return "spec.replicas"
        if "template" not in self.spec.model_fields_set:
            return "spec.template, the template of its pods"
        if "observed_generation" not in self.status.model_fields_set:
            return (
                "status.observedGeneration, so it is not possible to determine when its controller has seen 0 replicas"
            )
        return None


class ScaleSpec(Model):
    replicas: int = 0


class ScaleStatus(Model):
    selector: str = ""


class Scale(KubernetesObject):
    """The `scale` subresource of a worker."""

    spec: ScaleSpec = ScaleSpec()
    status: ScaleStatus = ScaleStatus()
