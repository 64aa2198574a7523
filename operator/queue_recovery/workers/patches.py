"""What is written to a worker or a ScaledObject. Pure."""

from collections.abc import Mapping
from typing import Final

from queue_recovery.api.base import GROUP
from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID, SCALE_BACK_TO
from queue_recovery.workers.namespace import FIELD_MANAGER, Patch
from queue_recovery.workers.objects import KubernetesObject

FENCE: Final = f"{GROUP}/fence"
"""A label that is set and removed, so that the object's resourceVersion changes.

Not an annotation: those count as a change of a Deployment's generation, by which a drain is known to hold.
"""

NO_NOTE: Final[Mapping[str, None]] = dict.fromkeys((HELD_BY, HELD_BY_UID, SCALE_BACK_TO))


def scaling(uid: str, resource_version: str, note: Mapping[str, str | None], replicas: int) -> Patch:
    """Return the patch that sets note and replicas.

    It conflicts unless the worker is still in that version.
    """
    # A process that died between its two writes of the fence may have left it.
    metadata = {"uid": uid, "resourceVersion": resource_version, "labels": {**note, FENCE: None}}
    return {"metadata": metadata, "spec": {"replicas": replicas}}


def restarting(uid: str, resource_version: str, spec: Mapping[str, object]) -> Patch:
    """Return the patch that restarts the pods by this spec; it conflicts as `scaling` does."""
    return {"metadata": {"uid": uid, "resourceVersion": resource_version}, "spec": dict(spec)}


def field_release(held: KubernetesObject) -> list[Patch]:
    """Return the JSON patch that removes the operator's entries from `managedFields`."""
    operations: list[Patch] = []
    for index, entry in reversed(list(enumerate(held.metadata.managed_fields))):
        if entry.manager == FIELD_MANAGER:
            path = f"/metadata/managedFields/{index}"
            operations.append({"op": "test", "path": f"{path}/manager", "value": FIELD_MANAGER})
            operations.append({"op": "remove", "path": path})
    return operations
