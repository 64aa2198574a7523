"""The parts of Kubernetes objects that are read here; the rest is ignored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, Generic, Literal, TypeVar

from pydantic import AfterValidator, Field

from queue_recovery.api.base import Model
from queue_recovery.recovery.ports import MOST_CHARACTERS_OF_IMAGES, RESTARTED_AT

TEMPLATE_HASH: Final = "rollouts-pod-template-hash"
"""The label of a ReplicaSet with the hash of its pod template, where it is a Rollout's."""


class OwnerReference(Model):
    uid: str
    kind: str
    controller: bool = False


class SpecFields(Model):
    replicas: Mapping[str, object] | None = Field(None, alias="f:replicas")


class Fields(Model):
    """Which fields a manager has set; only whether `spec.replicas` is among them matters here."""

    spec: SpecFields = Field(SpecFields(), alias="f:spec")


class ManagedFields(Model):
    manager: str = ""
    operation: str = ""
    time: str = ""
    fields: Fields = Field(Fields(), alias="fieldsV1")


def _controllers(owners: Sequence[OwnerReference]) -> Sequence[OwnerReference]:
    return [one for one in owners if one.controller]


class Metadata(Model):
    """What is read of an object's metadata; of its owners, only the controller is kept."""

    name: str
    namespace: str = ""
    uid: str
    resource_version: str
    generation: int = 0
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    owner_references: Annotated[Sequence[OwnerReference], AfterValidator(_controllers)] = ()
    managed_fields: Sequence[ManagedFields] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: str | None = None
    """When the object was deleted, plus its grace period."""

    @property
    def scaled_by(self) -> str | None:
        """Return the field manager that has set `spec.replicas` last, if the server knows one."""
        owners = [entry for entry in self.managed_fields if entry.fields.spec.replicas is not None]
        return max(owners, key=lambda entry: entry.time).manager if owners else None

    @property
    def replicas_applied_by(self) -> tuple[str, ...]:
        """Return the field managers that own `spec.replicas` by server-side apply, and set it with each apply."""
        return tuple(
            entry.manager
            for entry in self.managed_fields
            if entry.operation == "Apply" and entry.fields.spec.replicas is not None
        )

    @property
    def version(self) -> int:
        """Return the resourceVersion as a number."""
        return int(self.resource_version)

    @property
    def controller(self) -> OwnerReference | None:
        """Return the one owner that controls the object, if any."""
        return next((owner for owner in self.owner_references if owner.controller), None)


def only(*names: str) -> AfterValidator:
    """Return a validator of labels or annotations that keeps those alone."""

    def keep(found: Mapping[str, str]) -> Mapping[str, str]:
        return {name: found[name] for name in names if name in found}

    return AfterValidator(keep)


class BareMetadata(Metadata):
    """The metadata of an object whose annotations do not matter."""

    annotations: Annotated[Mapping[str, str], only()] = {}


class KubernetesObject(Model):
    metadata: Metadata


class Present(Model):
    """An object of which nothing matters but that it is there."""


class Requirement(Model):
    key: str
    operator: str
    values: Sequence[str] = ()


class Selector(Model):
    match_labels: Mapping[str, str] = {}
    match_expressions: Sequence[Requirement] = ()


MOST_CONTAINERS: Final = 100
"""Of a pod template; the others are not kept."""


_MOST_WORDS: Final = 100
_MOST_CHARACTERS_OF_A_WORD: Final = 200
"""Of a command line: enough for the options that matter here."""


def _cut(image: str) -> str:
    return image[: MOST_CHARACTERS_OF_IMAGES + 1]


def _words(words: Sequence[str]) -> Sequence[str]:
    return [word[:_MOST_CHARACTERS_OF_A_WORD] for word in words[:_MOST_WORDS]]


class Container(Model):
    name: str
    image: Annotated[str, AfterValidator(_cut)] = ""
    """Cut where it is too long to be compared with another one."""
    command: Annotated[Sequence[str], AfterValidator(_words)] = ()
    args: Annotated[Sequence[str], AfterValidator(_words)] = ()


def _first(containers: Sequence[Container]) -> Sequence[Container]:
    return containers[:MOST_CONTAINERS]


class PodSpec(Model):
    containers: Annotated[Sequence[Container], AfterValidator(_first)] = ()
    termination_grace_period_seconds: int = 30


class TemplateAnnotations(Model):
    """The one annotation of a pod template that is read."""

    restarted_at: str | None = Field(None, alias=RESTARTED_AT)


class TemplateMetadata(Model):
    annotations: TemplateAnnotations = TemplateAnnotations()


class PodTemplate(Model):
    metadata: TemplateMetadata = TemplateMetadata()
    spec: PodSpec = PodSpec()


class ReplicaSetSpec(Model):
    replicas: int = 1
    template: PodTemplate = PodTemplate()


class ReplicaSetStatus(Model):
    observed_generation: int = 0
    replicas: int = 0


class ReplicaSetMetadata(BareMetadata):
    labels: Annotated[Mapping[str, str], only(TEMPLATE_HASH)] = {}


class ReplicaSet(KubernetesObject):
    metadata: ReplicaSetMetadata
    spec: ReplicaSetSpec
    status: ReplicaSetStatus = ReplicaSetStatus()


class Waiting(Model):
    reason: str = ""


class Terminated(Model):
    exit_code: int = 0
    reason: str = ""
    finished_at: datetime | None = None


class Running(Model):
    started_at: datetime | None = None


class ContainerState(Model):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Model):
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodCondition(Model):
    type: str
    status: str
    reason: str = ""
    last_transition_time: datetime | None = None


class Address(Model):
    ip: str = ""


class PodStatus(Model):
    phase: str = ""
    start_time: datetime | None = None
    host_ip: str | None = Field(None, alias="hostIP")
    host_ips: Sequence[Address] = Field((), alias="hostIPs")
    pod_ip: str | None = Field(None, alias="podIP")
    pod_ips: Sequence[Address] = Field((), alias="podIPs")
    conditions: Sequence[PodCondition] = ()
    init_container_statuses: Sequence[ContainerStatus] = ()
    container_statuses: Sequence[ContainerStatus] = ()
    ephemeral_container_statuses: Sequence[ContainerStatus] = ()


class Ending(Model):
    """What is read of a pod's spec."""

    termination_grace_period_seconds: int = 30


class Pod(KubernetesObject):
    metadata: BareMetadata
    spec: Ending = Ending()
    status: PodStatus = PodStatus()

    @property
    def is_ready(self) -> bool:
        """Return whether it is ready."""
        return any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)


ObjectT = TypeVar("ObjectT", bound=KubernetesObject)
ObjectT_co = TypeVar("ObjectT_co", bound=KubernetesObject, covariant=True)


class Version(Model):
    """A version in the server's history."""

    resource_version: str


class Page(Version):
    """The metadata of one page of a list, which has the version of the whole list."""

    token: str = Field("", alias="continue")
    """Names the next page; empty: this is the last one."""


class ObjectList(Model, Generic[ObjectT_co]):
    metadata: Page
    items: Sequence[ObjectT_co]


class Changed(Model, Generic[ObjectT_co]):
    """A watch event with one object."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: ObjectT_co


class _Marked(Model):
    metadata: Version


class Bookmark(Model):
    """A watch event with only a version."""

    type: Literal["BOOKMARK"]
    object: _Marked
