"""The environment variables of a container's process."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

from sandbox.api import Api, Json, insist

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE: Final = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
_MAP_FIELD: Final = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class ConfigError(Exception):
    """A container's environment refers to an object that does not exist, yet."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by a variable's value, as Kubernetes does.

    `$$` is a dollar sign; unknown names are left as they are.
    """

    def value(found: re.Match[str]) -> str:
        return "$" if found[1] is None else variables.get(found[1], found[0])

    return _REFERENCE.sub(value, text)


async def resolve(api: Api, pod: Json, container: Json) -> dict[str, str]:
    """Return the variables of a container's `envFrom` and `env`.

    Args:
        api: the API server with the Secrets and ConfigMaps.
        pod: the pod, with `status.podIP` filled in.
        container: one of its containers.

    Raises:
        ConfigError: a reference that is not optional has no object.
    """
    variables: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        variables |= await _all_of(api, pod, source)
    for entry in container.get("env", ()):
        if "valueFrom" in entry:
            value = await _value_from(api, pod, entry["valueFrom"])
            if value is not None:
                variables[entry["name"]] = value
        else:
            variables[entry["name"]] = expand(entry.get("value", ""), variables)
    return variables


async def _all_of(api: Api, pod: Json, source: Json) -> dict[str, str]:
    kind = "secrets" if "secretRef" in source else "configmaps"
    reference = source["secretRef" if kind == "secrets" else "configMapRef"]
    data = await _data(api, pod, kind, reference)
    return {source.get("prefix", "") + name: value for name, value in data.items()}


async def _value_from(api: Api, pod: Json, source: Json) -> str | None:
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    for reference, kind in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
        if reference in source:
            wanted = source[reference]
            data = await _data(api, pod, kind, wanted)
            if wanted["key"] not in data and not wanted.get("optional"):
                raise ConfigError(f"couldn't find key {wanted['key']} in {kind} {wanted['name']}")
            return data.get(wanted["key"])
    raise ConfigError(f"the sandbox's kubelet does not support {', '.join(source)}")


async def _data(api: Api, pod: Json, kind: str, reference: Json) -> dict[str, str]:
    name = reference["name"]
    found = await insist(lambda: api.get(f"/api/v1/namespaces/{pod['metadata']['namespace']}/{kind}/{name}"))
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind} "{name}" not found')
    data: dict[str, str] = found.get("data", {})
    if kind == "secrets":
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
    return data


def _field(pod: Json, path: str) -> str:
    if found := _MAP_FIELD.fullmatch(path):
        return str(pod["metadata"].get(found[1], {}).get(found[2], ""))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "")
    if not isinstance(value, str):
        raise ConfigError(f"the sandbox's kubelet does not support the field {path}")
    return value
