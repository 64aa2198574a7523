"""The operator's installation for tests of `manifests/uninstall.sh`: without a node; a test does what it would do."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from queue_recovery.recovery.ports import HELD_BY, HELD_BY_UID
from queue_recovery.workers.autoscaler_objects import PAUSED, PAUSED_BY
from sandbox.api import Api, ApiError, Json
from sandbox.processes import until
from tests import readme
from tests.held import NOTE
from tests.keda import CRD, scaled_object
from tests.manifests.conftest import Cluster
from tests.manifests.objects import recovery
from tests.rollouts import define

NAME = "queue-recovery"
LABEL = f"app.kubernetes.io/name={NAME}"
_FINALIZER = "queuerecovery.dev/active"
_KINDS = "crd,clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,services,deployments"

_PAUSING = """#!/bin/sh
# kubectl, which waits once before the first of its commands that begins so.
case "$*" in {beginning}*)
  if mkdir {folder}/reached 2>/dev/null; then
    until [ -e {folder}/go ]; do sleep 0.05; done
  fi
esac
exec {kubectl} "$@"
"""


@dataclass(frozen=True)
class Installation:
    """Everything of `manifests/` with a namespace of its own instead of queue-recovery, and a team's namespace.

    Kubernetes takes five seconds to remove a namespace; this one is not removed, as it is not named queue-recovery.
    """

    cluster: Cluster
    api: Api
    namespace: str
    team: str
    folder: Path
    """An empty one."""

    async def apply(self) -> None:
        """Create both namespaces and apply the manifests, and wait until recoveries can be created."""
        for name in (self.namespace, self.team):
            await self.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        objects = list(yaml.safe_load_all(await asyncio.to_thread(self.cluster.kubectl, "kustomize", "manifests")))
        for one in objects:
            if "namespace" in one["metadata"]:
                one["metadata"]["namespace"] = self.namespace
        given = {
            "apiVersion": "v1",
            "kind": "List",
            "items": [one for one in objects if one["kind"] != "Namespace"],
        }
        await asyncio.to_thread(partial(self.cluster.kubectl, "apply", "-f", "-", given=given))

        async def served() -> bool:
            try:
                await self.recoveries()
            except ApiError:
                return False
            return True

        await until(served, "the API server to serve recoveries", of=self.cluster.plane.apiserver)

    async def forget(self) -> None:
        """Leave nothing that stops an uninstallation, also after a test that has failed."""
        await self.api.delete(f"/apis/apps/v1/namespaces/{self.team}/deployments", {})
        with suppress(ApiError):  # their definition may not be there
            await self.api.delete(self._scaled_objects, {})
        with suppress(ApiError):  # their definition may be gone
            for name in await self.recoveries():
                await self._release(name)
            for namespace in (self.team, self.namespace):
                await self.api.delete(self._recoveries_of(namespace), {})

    async def uninstall(
        self,
        *options: str,
        before: str = "",
        others: Callable[[], Awaitable[None]] | None = None,
        **environment: str,
    ) -> tuple[int, str]:
        """Run the script; return its exit code and all that it wrote.

        Args:
            options: of the script.
            before: the beginning of a command line of kubectl's, before which the script has to wait for the others.
            others: what they do then.
            environment: further variables.
        """
        kubectl = self.folder / "kubectl"
        kubectl.write_text(
            _PAUSING.format(
                beginning=shlex.quote(before) if others else "''nothing",
                folder=self.folder,
                kubectl=self.cluster.program,
            )
        )
        kubectl.chmod(0o700)
        script = asyncio.ensure_future(
            readme.run(
                shlex.join(["sh", "manifests/uninstall.sh", *options]),
                kubeconfig=self.cluster.kubeconfig,
                kubectl=kubectl,
                NAMESPACE=self.namespace,
                **environment,
            )
        )
        if others is not None:
            reached = self.folder / "reached"

            async def there() -> bool:
                return reached.exists() or script.done()

            await until(there, f"the script to begin with {before}")
            assert not script.done(), script.result()
            await others()
            (self.folder / "go").touch()
        return await script

    async def begins(self) -> None:
        """Create a recovery, as a Git tool does, and stop the workers for it, as the operator does."""
        body = recovery("stuck")
        body["metadata"]["finalizers"] = [_FINALIZER]
        await self.create(body)
        await self.write_status("stuck", phase="Draining", message="waiting for the pods of worker to end")
        await self.scale_down()

    async def ends(self) -> None:
        """Wait until the recovery is deleted, and end it as the operator does: the workers come back first."""

        async def deleted() -> bool:
            return "deletionTimestamp" in (await self.api.get(f"{self._recoveries}/stuck"))["metadata"]

        await until(deleted, "the recovery to be deleted")
        await self.scale_back()
        await self._release("stuck")

    async def create(self, body: dict[str, Any], namespace: str = "") -> None:
        """Create a recovery; without a namespace, in the team's."""
        await self.api.create(self._recoveries_of(namespace or self.team), body)

    async def write_status(self, name: str, namespace: str = "", /, **status: object) -> None:
        path = f"{self._recoveries_of(namespace or self.team)}/{name}/status"
        await self.api.patch(path, {"status": status})

    async def scale_down(self) -> None:
        """Create the team's workers as they are while a recovery holds them."""
        labels = dict.fromkeys(NOTE, "stuck") | {"queuerecovery.dev/scale-back-to": "2"}
        pod: Json = {"metadata": {"labels": {"app": "worker"}}, "spec": {"containers": [{"name": "w", "image": "w"}]}}
        await self.api.create(
            f"/apis/apps/v1/namespaces/{self.team}/deployments",
            {
                "metadata": {"name": "worker", "labels": labels},
                "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "worker"}}, "template": pod},
            },
        )

    async def scale_back(self) -> None:
        await self.api.patch(
            f"/apis/apps/v1/namespaces/{self.team}/deployments/worker",
            {"metadata": {"labels": dict.fromkeys(NOTE)}, "spec": {"replicas": 2}},
        )

    async def pause_keda(self, mark: str) -> None:
        """Create a ScaledObject that a recovery has paused which is gone, with that mark: its labels or annotations."""
        await define(self.api, CRD)
        marks = {"labels": {HELD_BY: "gone", HELD_BY_UID: "uid"}, "annotations": {PAUSED_BY: "gone/uid"}}
        scaler = scaled_object()
        scaler["metadata"][mark] = marks[mark]
        scaler["metadata"]["annotations"] = {**scaler["metadata"]["annotations"], PAUSED: "true"}
        await self.api.create(self._scaled_objects, scaler)

    async def run_script(self, name: str) -> None:
        """Run a script of the manifests."""
        code, output = await readme.run(
            f"sh manifests/{name}", kubeconfig=self.cluster.kubeconfig, kubectl=self.cluster.program
        )
        assert code == 0, output

    async def recoveries(self, namespace: str = "") -> list[str]:
        """Return the names of the recoveries in a namespace; without one, of the team's."""
        return await self.names(self._recoveries_of(namespace or self.team))

    async def names(self, path: str) -> list[str]:
        """Return the names of the objects in a collection."""
        return sorted(one["metadata"]["name"] for one in (await self.api.get(path))["items"])

    def left(self) -> set[str]:
        """Return what is left of the operator."""
        found = self.cluster.kubectl("get", _KINDS, "-n", self.namespace, "-o", "name").split()
        return {name for name in found if NAME in name or "queuerecover" in name}

    @property
    def _recoveries(self) -> str:
        return self._recoveries_of(self.team)

    @property
    def _scaled_objects(self) -> str:
        return f"/apis/keda.sh/v1alpha1/namespaces/{self.team}/scaledobjects"

    def _recoveries_of(self, namespace: str) -> str:
        return f"/apis/queuerecovery.dev/v1alpha1/namespaces/{namespace}/queuerecoveries"

    async def _release(self, name: str) -> None:
        await self.api.patch(f"{self._recoveries}/{name}", {"metadata": {"finalizers": None}})
