"""The operator on a cluster: installed as the README says, and what a user sees of it."""

import json
from typing import Any

import yaml

from sandbox.kubectl import KubectlError
from tests.node.cluster import Cluster, Object

NAMESPACE = "queue-recovery"
LABEL = "app.kubernetes.io/name=queue-recovery"
DEPLOYMENT = "deployment/queue-recovery"

TOKEN_SECONDS = 600
_SECONDS = 180


async def install(cluster: Cluster) -> None:
    """Install the operator by the README's command, and wait until it is ready."""
    if cluster.image is None:
        await cluster.kubectl("apply", "-k", "manifests/")
    else:
        objects = list(yaml.safe_load_all(await cluster.kubectl("kustomize", "manifests/")))
        for body in objects:
            if body["kind"] == "Deployment":
                body["spec"]["template"]["spec"]["containers"][0]["image"] = cluster.image
        await cluster.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))
    await rolled_out(cluster)


async def rolled_out(cluster: Cluster) -> None:
    """Wait until all of its replicas are ready."""
    timeout = f"--timeout={_SECONDS}s"
    await cluster.kubectl("-n", NAMESPACE, "rollout", "status", DEPLOYMENT, timeout, seconds=_SECONDS + 10)


async def pods(cluster: Cluster) -> list[Object]:
    """Return its pods that are not ending."""
    found = (await cluster.read("pods", "-n", NAMESPACE, "-l", LABEL))["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


async def leader(cluster: Cluster) -> str:
    """Wait until one of its pods leads, and return that pod's name."""

    async def leads() -> str | None:
        holder = (await cluster.read("lease", "queue-recovery", "-n", NAMESPACE))["spec"].get("holderIdentity") or ""
        name = holder.rpartition("_")[0]
        return name if name in {pod["metadata"]["name"] for pod in await pods(cluster)} else None

    return await cluster.until(leads, "a pod of the operator to lead")


async def shorten_tokens(cluster: Cluster) -> None:
    """Let its tokens be over after ten minutes, the shortest time that there is."""
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    spec = {
        "automountServiceAccountToken": False,
        "volumes": [{"name": "token", "projected": {"sources": sources}}],
        "containers": [{"name": "operator", "volumeMounts": [{"name": "token", "mountPath": folder}]}],
    }
    await patch(cluster, spec=spec)


async def report(cluster: Cluster, namespace: str) -> str:
    """Return what a person would look at when something is wrong in a namespace."""
    looks = (
        ["get", "pods,deployments", "-A", "-o", "wide"],
        ["get", "qr,qt", "-n", namespace, "-o", "yaml"],
        ["get", "events", "-n", namespace],
        ["logs", "-n", NAMESPACE, "-l", LABEL, "--prefix", "--tail=30"],
    )
    pages = []
    for look in looks:
        try:
            pages.append(await cluster.kubectl(*look))
        except KubectlError as error:
            pages.append(str(error))
    return "\n".join(pages)


async def patch(cluster: Cluster, **template: Any) -> None:  # noqa: ANN401  # a part of a pod template is any JSON
    """Change the operator's pod template by a strategic merge patch, and wait until it is rolled out."""
    body = json.dumps({"spec": {"template": template}})
    await cluster.kubectl("-n", NAMESPACE, "patch", DEPLOYMENT, "--patch", body)
    await rolled_out(cluster)
