"""What may be in the Helm chart's values: the source of `manifests/helm/values.schema.json`."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from queue_recovery.controller.settings import Settings

_SET_BY_THE_CHART: Final = {"namespaces", "http_host", "http_port", "pod_name", "pod_namespace", "service_account"}
_NAMESPACE: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

SETTINGS: Final = tuple(name for name in Settings.model_fields if name not in _SET_BY_THE_CHART)
"""The operator's settings that `settings` of the values may have, by the names of the model's fields."""

Namespace = Annotated[str, Field(pattern=_NAMESPACE)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _settings_schema() -> dict[str, Any]:
    found = Settings.model_json_schema()["properties"]
    parts = {to_camel(name): {key: found[name][key] for key in found[name] if key != "title"} for name in SETTINGS}
    return {"additionalProperties": False, "properties": parts}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class Image(_Part):
    """The operator's image."""

    repository: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")
    tag: str = Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$", description="Empty: the chart's appVersion.")
    digest: str = Field(pattern=r"^(sha256:[0-9a-f]{64})?$", description="If it is set, the tag is not used.")
    pull_policy: str = Field(pattern="^(Always|IfNotPresent|Never)?$", description="Empty: Kubernetes' default.")


class Switch(_Part):
    """A part that is installed or not."""

    enabled: bool


class Monitoring(Switch):
    """The alerts of `manifests/monitoring`."""

    labels: dict[str, str] = Field(description="Labels by which your Prometheus selects rules.")


class NetworkPolicy(Switch):
    """The NetworkPolicy of `manifests/network`."""

    ports: list[Port] = Field(description="Ports of the API server, brokers and job stores.")


class Secret(_Part):
    """A Secret of the release's namespace."""

    name: str = Field(min_length=1)


class Values(_Part):
    """All values of the chart."""

    image: Image
    image_pull_secrets: list[Secret]
    replicas: int = Field(ge=0, description="One leads, the others stand by.")
    namespaces: list[Namespace] = Field(
        json_schema_extra={"uniqueItems": True},
        description="Namespaces to watch, and to grant the operator access to. Empty: it watches all of them, and each "
        "grants access itself, with manifests/tenant.",
    )
    settings: dict[str, Any] = Field(
        description="The operator's settings, as in docs/operate.md: QUEUE_RECOVERY_LOG_LEVEL is logLevel.",
        json_schema_extra=_settings_schema(),
    )
    resources: dict[str, Any]
    node_selector: dict[str, str]
    tolerations: list[dict[str, Any]]
    affinity: dict[str, Any]
    priority_class_name: str = Field(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$")
    crds: Switch = Field(description="The CustomResourceDefinitions. They stay when the release is uninstalled.")
    cluster_roles: Switch = Field(description="The ClusterRoles; false for a second operator in the same cluster.")
    admission: Switch = Field(description="The policies of manifests/admission.")
    monitoring: Monitoring
    network_policy: NetworkPolicy
    openshift: Switch = Field(description="Leaves the user and the group of the pod to OpenShift.")
    global_: dict[str, Any] = Field(alias="global", description="What Helm gives to a chart that is a part of another.")


def schema() -> dict[str, Any]:
    """Return the JSON schema of the values; all of them have a default in values.yaml, so none is required."""
    found = Values.model_json_schema()
    for part in (found, *found["$defs"].values()):
        del part["required"], part["title"]
        for value in part["properties"].values():
            value.pop("title", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
