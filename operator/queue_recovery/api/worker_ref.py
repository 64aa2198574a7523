"""A worker: an object of Kubernetes whose pods consume queues."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, JsonValue
from typing_extensions import override

from queue_recovery.api.base import Model, ObjectName

APPS: Final = "apps"
"""The API group of Deployments and StatefulSets."""


@dataclass(frozen=True, order=True)
class GroupVersionKind:
    """A kind of workers, in a version of its API group."""

    api_version: str
    kind: str

    @property
    def group(self) -> str:
        """Its API group."""
        return self.api_version.partition("/")[0]

    @property
    def version(self) -> str:
        """The version of its API group."""
        return self.api_version.partition("/")[2]

    @override
    def __str__(self) -> str:
        """Return the kind as messages name it: with its group, unless that is `apps`."""
        return self.kind if self.group == APPS else f"{self.kind}.{self.group}"


DEPLOYMENT: Final = GroupVersionKind("apps/v1", "Deployment")
STATEFUL_SET: Final = GroupVersionKind("apps/v1", "StatefulSet")
ROLLOUT: Final = GroupVersionKind("argoproj.io/v1alpha1", "Rollout")
"""Of Argo Rollouts."""

KNOWN_KINDS: Final = frozenset({DEPLOYMENT, STATEFUL_SET, ROLLOUT})
"""Those of which it is known how they update and restart their pods."""

ApiVersion = Annotated[str, Field(max_length=200, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/v[a-z0-9]+$")]
"""An API group and a version of it."""

Kind = Annotated[str, Field(max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")]


class WorkerRef(Model):
    """A worker in the same namespace."""

    api_version: ApiVersion = Field(
        DEPLOYMENT.api_version, description="API group and version of the worker, such as `argoproj.io/v1alpha1`."
    )
    kind: Kind = Field(
        DEPLOYMENT.kind,
        description="Kind of the worker: Deployment, StatefulSet, or with another `apiVersion` a kind that has the "
        "subresource `scale`, such as Rollout.",
    )
    name: ObjectName = Field(description="Name of the worker, in this namespace.")

    @property
    def gvk(self) -> GroupVersionKind:
        """The worker's kind, in a version of its API group."""
        return GroupVersionKind(self.api_version, self.kind)

    @property
    def resource(self) -> str:
        """The worker as kubectl names it: `deployment/tts-worker`, `rollout.argoproj.io/tts-worker`."""
        return f"{str(self.gvk).lower()}/{self.name}"

    @override
    def __str__(self) -> str:
        """Return the worker as messages name it: `Deployment "tts-worker"`."""
        return f'{self.gvk} "{self.name}"'

    def __lt__(self, other: "WorkerRef") -> bool:
        """Order workers by kind and name."""
        return (self.kind, self.name, self.api_version) < (other.kind, other.name, other.api_version)


WORKER_KEYS: Final = ("apiVersion", "kind", "name")
"""What identifies a worker in a list."""


def workers_rules(field: str, *, optional: bool = False) -> list[JsonValue]:
    """Return the rules of a list of workers: of `apps` only Deployments and StatefulSets, and each worker once.

    A list with these keys would do the latter, but each key of one needs a default (see `crd.py`).
    """
    if_there = f"!has(self.{field}) || " if optional else ""
    is_apps = "(!has(w.apiVersion) || w.apiVersion == 'apps/v1')"
    is_known = f"(!has(w.kind) || w.kind in ['{DEPLOYMENT.kind}', '{STATEFUL_SET.kind}'])"
    is_other = "has(w.apiVersion) && !w.apiVersion.startsWith('apps/')"
    same = " && ".join(f"{_value('v', key)} == {_value('w', key)}" for key in ("apiVersion", "kind"))
    return [
        {
            "rule": f"{if_there}self.{field}.all(w, {is_other} || {is_apps} && {is_known})",
            "fieldPath": f".{field}",
            "message": "of the group apps, a worker is a Deployment or a StatefulSet of apps/v1; for a kind of another "
            "group, set apiVersion, as in {apiVersion: argoproj.io/v1alpha1, kind: Rollout}",
        },
        {
            "rule": f"{if_there}self.{field}.all(w, self.{field}.exists_one(v, v.name == w.name && {same}))",
            "fieldPath": f".{field}",
            "message": "each worker may be listed once",
        },
    ]


def _value(worker: str, key: str) -> str:
    default = {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.kind}[key]
    return f"(has({worker}.{key}) ? {worker}.{key} : '{default}')"
