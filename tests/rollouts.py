"""Rollouts of Argo Rollouts, and a double of its controller that follows the source of Argo Rollouts 1.10.

The double does what the controller does to ReplicaSets in a canary without traffic routing (`rollout/canary.go`,
`rollout/sync.go`, `utils/replicaset/canary.go`): a template has a ReplicaSet; a step `setWeight` is complete once that
share of the replicas is available, which 0 of 0 are; `pause: {}` waits until its condition is removed; after the last
step the template is promoted. It waits for no old pods, and has neither analyses, experiments nor blue-green updates.
The resource is that of Argo Rollouts as far as these tests use it, so they also run against the real one.
"""

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from queue_recovery.api.worker_ref import ROLLOUT, GroupVersionKind
from queue_recovery.workers.objects import TEMPLATE_HASH
from sandbox.api import Api, ApiError, Json
from sandbox.processes import until

CREW: Final = GroupVersionKind("example.com/v1", "Crew")
"""A kind that has the subresource `scale`, and no controller."""

_ANY: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

_PAUSE_SECONDS: Final = 0.1
"""Between two looks, where the controller has watches."""


def definition(gvk: GroupVersionKind, *, replicas: str = "replicas") -> Json:
    """Return the definition of a kind that can be scaled; `replicas` is the field of its status for that."""
    singular = gvk.kind.lower()
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": f".status.{replicas}",
        "labelSelectorPath": ".status.selector",
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.{gvk.group}"},
        "spec": {
            "group": gvk.group,
            "scope": "Namespaced",
            "names": {
                "kind": gvk.kind,
                "listKind": f"{gvk.kind}List",
                "plural": f"{singular}s",
                "singular": singular,
            },
            "versions": [
                {
                    "name": gvk.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}, "scale": scale},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": _ANY, "status": _ANY}}},
                }
            ],
        },
    }


CRD: Final = definition(ROLLOUT, replicas="HPAReplicas")


def rollout(deployment: Mapping[str, Any], *steps: Json) -> Json:
    """Return a Deployment's manifest as that of a Rollout whose canary has these steps."""
    spec = {"strategy": {"canary": {"steps": list(steps)}}, **deployment["spec"]}
    return {**deployment, "apiVersion": ROLLOUT.api_version, "kind": ROLLOUT.kind, "spec": spec}


async def define(api: Api, *definitions: Json) -> None:
    """Create the definitions, and wait until the API server serves them."""
    for each in definitions:
        name, group = each["metadata"]["name"], each["spec"]["group"]
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=tests&force=true"
        await api.patch(path, each, "application/apply-patch+yaml")
        version, plural = each["spec"]["versions"][0]["name"], each["spec"]["names"]["plural"]
        await until(partial(_serves, api, f"/apis/{group}/{version}", plural), f"{name} to be served")


async def _serves(api: Api, path: str, plural: str) -> bool:
    try:
        listed = await api.get(path)
    except ApiError:
        return False
    return plural in {one["name"] for one in listed["resources"]}


@dataclass
class RolloutsController:
    """The double in one namespace."""

    api: Api
    namespace: str

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RolloutsController"]:
        """Reconcile all Rollouts while the block runs."""
        working = asyncio.ensure_future(self._work())
        try:
            yield self
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    async def _work(self) -> None:
        while True:
            for one in await self._found():
                with suppress(ApiError):  # it is gone, or was written at the same time
                    await self._reconcile(one)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _found(self) -> list[Json]:
        try:
            found: list[Json] = (await self.api.get(self._rollouts))["items"]
        except ApiError:  # a kind that is new is not served at once
            return []
        return found

    async def _reconcile(self, found: Json) -> None:
        spec, status = found["spec"], dict(found.get("status", {}))
        current = hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:10]
        if status.get("currentPodHash") != current:
            is_back = status.get("stableRS") == current
            status |= {
                "currentPodHash": current,
                "currentStepIndex": len(_steps(found)) if is_back else 0,
                "pauseConditions": [],
                "controllerPause": False,
                "abort": False,
            }
        sets = await self._replica_sets(found, current)
        stable = status.get("stableRS") or current
        wanted, index = spec.get("replicas", 1), status["currentStepIndex"]
        canary = wanted
        if stable != current:
            canary = math.ceil(wanted * (0 if status["abort"] else _weight(_steps(found), index)) / 100)
        sizes = dict.fromkeys(sets, 0) | {stable: wanted - canary} | {current: canary}
        if not spec.get("paused"):
            for name, size in sizes.items():
                if sets[name]["spec"]["replicas"] != size:
                    await self._scale(sets[name], size)
        status |= self._counts(found, sets, current) | {"stableRS": status.get("stableRS", "")}
        self._advance(found, status, sets[current], canary)
        path = f"{self._rollouts}/{found['metadata']['name']}"
        if status != found.get("status"):
            metadata = {"resourceVersion": found["metadata"]["resourceVersion"]}
            await self.api.patch(f"{path}/status", {"metadata": metadata, "status": status})

    def _advance(self, found: Json, status: Json, own: Json, canary: int) -> None:
        """Go on to the next step if this one is complete, or promote the template after the last one."""
        steps, index = _steps(found), status["currentStepIndex"]
        available = own.get("status", {}).get("availableReplicas", 0)
        if status["stableRS"] in {"", status["currentPodHash"]}:
            if available >= found["spec"].get("replicas", 1):
                status |= {"stableRS": status["currentPodHash"], "currentStepIndex": len(steps)}
            return
        if status["abort"] or found["spec"].get("paused"):
            return
        if index == len(steps):
            if available >= found["spec"].get("replicas", 1):
                status["stableRS"] = status["currentPodHash"]
        elif "pause" in steps[index]:
            if status["controllerPause"] and not status.get("pauseConditions"):
                status |= {"currentStepIndex": index + 1, "controllerPause": False}
            elif not status["controllerPause"]:
                status |= {"pauseConditions": [{"reason": "CanaryPauseStep"}], "controllerPause": True}
        elif own["spec"]["replicas"] == canary == available:
            status["currentStepIndex"] = index + 1

    async def _replica_sets(self, found: Json, current: str) -> dict[str, Json]:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/replicasets"
        uid = found["metadata"]["uid"]
        own = [
            one
            for one in (await self.api.get(path))["items"]
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences", ()))
        ]
        sets = {one["metadata"]["labels"][TEMPLATE_HASH]: one for one in own}
        if current not in sets:
            template = found["spec"]["template"]
            labels = {**template["metadata"]["labels"], TEMPLATE_HASH: current}
            owner = {
                "apiVersion": ROLLOUT.api_version,
                "kind": ROLLOUT.kind,
                "name": found["metadata"]["name"],
                "uid": uid,
                "controller": True,
            }
            sets[current] = await self.api.create(
                path,
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "metadata": {
                        "name": f"{found['metadata']['name']}-{current}",
                        "labels": labels,
                        "ownerReferences": [owner],
                    },
                    "spec": {
                        "replicas": 0,
                        "selector": {"matchLabels": labels},
                        "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
                    },
                },
            )
        return sets

    async def _scale(self, replica_set: Json, size: int) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/replicasets/{replica_set['metadata']['name']}"
        metadata = {"resourceVersion": replica_set["metadata"]["resourceVersion"]}
        await self.api.patch(path, {"metadata": metadata, "spec": {"replicas": size}})

    @staticmethod
    def _counts(found: Json, sets: Mapping[str, Json], current: str) -> Json:
        statuses = {name: one.get("status", {}) for name, one in sets.items()}
        total = sum(one.get("replicas", 0) for one in statuses.values())
        selector = ",".join(f"{key}={value}" for key, value in found["spec"]["selector"]["matchLabels"].items())
        return {
            "observedGeneration": str(found["metadata"]["generation"]),
            "replicas": total,
            "HPAReplicas": total,
            "updatedReplicas": statuses[current].get("replicas", 0),
            "readyReplicas": sum(one.get("readyReplicas", 0) for one in statuses.values()),
            "availableReplicas": sum(one.get("availableReplicas", 0) for one in statuses.values()),
            "selector": selector,
        }

    @property
    def _rollouts(self) -> str:
        return f"/apis/{ROLLOUT.api_version}/namespaces/{self.namespace}/rollouts"


def _weight(steps: list[Json], index: int) -> int:
    weights = [0, *(step["setWeight"] for step in steps[: index + 1] if "setWeight" in step)]
    weight: int = 100 if index == len(steps) else weights[-1]
    return weight


def _steps(found: Json) -> list[Json]:
    steps: list[Json] = found["spec"]["strategy"]["canary"].get("steps", [])
    return steps
