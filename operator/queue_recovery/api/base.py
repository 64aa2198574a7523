"""What every model of the API group shares."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

GROUP = "queuerecovery.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Rules = list[JsonValue]
"""CEL rules of one schema node, as `x-kubernetes-validations` takes them."""


class Model(BaseModel):
    """A part of a resource: camelCase in YAML, snake_case in Python, never changed in place."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


def with_rules(rules: Rules) -> ConfigDict:
    """Return a model's configuration that carries CEL rules into its schema."""
    return ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        json_schema_extra={"x-kubernetes-validations": rules},
    )


ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""Name of a Kubernetes object (RFC 1123 subdomain)."""

QueueName = Annotated[str, Field(min_length=1, max_length=200)]
"""Name of a Celery queue, without prefix and separator."""

TaskName = Annotated[str, Field(min_length=1, max_length=300)]
"""Name of a Celery task, such as `tts.render`."""

JsonText = Annotated[str, Field(min_length=2, max_length=65536)]
"""JSON as text: YAML and kubectl alter structured arguments (1.0, large integers, nulls)."""


class SecretKeyRef(Model):
    """One key of a Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret, in this namespace.")
    key: str = Field(min_length=1, max_length=253, description="Key in the Secret whose value is the whole URL.")


class NameRef(Model):
    """An object in the same namespace."""

    name: ObjectName = Field(description="Name of the object, in this namespace.")
