"""KEDA's ScaledObject, and a double of its operator that follows the source of KEDA 2.21.

The double does what the operator does to replicas: nothing while `autoscaling.keda.sh/paused` is true; what
`autoscaling.keda.sh/paused-replicas` says; otherwise from 0 to the minimum, at least 1, while the trigger is active
(`controllers/keda/scaledobject_controller.go`, `pkg/scaling/executor/scale_scaledobjects.go`). It has neither triggers
of its own nor a HorizontalPodAutoscaler, which does nothing at 0 replicas. The resource is KEDA's as far as these tests
use it, so they also run against the real one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from queue_recovery.workers.autoscaler_objects import PAUSED, PAUSED_REPLICAS
from sandbox.api import Api, ApiError, Json

PLURALS: Final = {"Deployment": "deployments", "StatefulSet": "statefulsets"}

CRD: Final[Json] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "scope": "Namespaced",
        "names": {
            "kind": "ScaledObject",
            "listKind": "ScaledObjectList",
            "plural": "scaledobjects",
            "singular": "scaledobject",
        },
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}

_PAUSE_SECONDS: Final = 0.2
"""Between two looks, where KEDA has a watch and a polling interval."""


def scaled_object(
    name: str = "worker-scaler",
    annotations: Mapping[str, str] | None = None,
    *,
    kind: str = "Deployment",
    target: str = "worker",
    minimum: int = 1,
) -> Json:
    """Return a ScaledObject that scales a worker."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "annotations": dict(annotations or {})},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": target},
            "minReplicaCount": minimum,
            "triggers": [{"type": "redis", "metadata": {"listName": "work", "listLength": "1"}}],
        },
    }


@dataclass
class Keda:
    """The double in one namespace."""

    api: Api
    namespace: str
    is_active: Callable[[], Awaitable[bool]]
    """Whether the triggers are active."""
    scaled: list[int] = field(default_factory=list)
    """The replicas that it has set, the first ones first."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Keda"]:
        """Scale while the block runs."""
        working = asyncio.ensure_future(self._work())
        try:
            yield self
        finally:
            working.cancel()
            await asyncio.wait({working})

    async def _work(self) -> None:
        while True:
            path = f"/apis/keda.sh/v1alpha1/namespaces/{self.namespace}/scaledobjects"
            for one in (await self.api.get(path))["items"]:
                with suppress(ApiError):  # its target is gone, or was written at the same time
                    await self._scale(f"{path}/{one['metadata']['name']}", one["spec"]["scaleTargetRef"])
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _scale(self, scaled_object: str, target: Json) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/{PLURALS[target['kind']]}/{target['name']}/scale"
        scale = await self.api.get(path)
        replicas = scale["spec"].get("replicas", 0)
        # After the scale: a client that pauses first and then scales to 0 meets no decision from before.
        found = await self.api.get(scaled_object)
        annotations = found["metadata"].get("annotations", {})
        if PAUSED_REPLICAS in annotations:
            wanted = int(annotations[PAUSED_REPLICAS])
        elif annotations.get(PAUSED, "false") != "false":
            return
        else:
            starts = replicas == 0 and await self.is_active()
            wanted = max(1, found["spec"]["minReplicaCount"]) if starts else replicas
        if wanted != replicas:
            metadata = {"resourceVersion": scale["metadata"]["resourceVersion"]}
            await self.api.patch(f"{path}?fieldManager=keda", {"metadata": metadata, "spec": {"replicas": wanted}})
            self.scaled.append(wanted)
