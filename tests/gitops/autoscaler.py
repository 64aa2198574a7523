"""KEDA's operator, as a process on the sandbox's control plane."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sandbox.api import Api, ApiError, Json
from sandbox.certificates import Authority
from sandbox.cluster import Sandbox
from sandbox.gitops_tools import KEDA, find_tool
from sandbox.go_build import module_source
from sandbox.processes import LOOPBACK, Process, free_port, until

SCALED_OBJECTS: Final = "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects"


async def start_keda(sandbox: Sandbox, folder: Path) -> Process:
    """Start KEDA's operator.

    It scales between 0 and 1 by itself. Between 1 and more it hands the numbers to an HPA, through a server of
    external metrics that is not started here: the HPA finds no metric, and leaves the replicas alone.
    """
    source = module_source(KEDA, "github.com/kedacore/keda/v2")
    await sandbox.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(source / "config" / "crd" / "bases"))
    await _is_served(sandbox, "scaledobjects.keda.sh")
    await sandbox.kubectl("create", "namespace", "keda")
    authority = Authority.create(folder / "authority")
    pair = authority.issue("keda-operator")
    certificates = folder / "certificates"
    certificates.mkdir()
    for name, file in {"ca.crt": authority.path, "tls.crt": pair.certificate, "tls.key": pair.key}.items():
        (certificates / name).symlink_to(file)
    port = free_port()
    process = await sandbox.start_program(
        "keda",
        [
            find_tool(KEDA),
            "--enable-prometheus-metrics=false",
            f"--health-probe-bind-address={LOOPBACK}:{port}",
            f"--metrics-service-bind-address={LOOPBACK}:{free_port()}",
            f"--cert-dir={certificates}",
        ],
        environment={
            "KUBECONFIG": str(sandbox.kubeconfig),
            "POD_NAMESPACE": "keda",
            "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda",
            "WATCH_NAMESPACE": "",
        },
    )
    await _reconciles(sandbox, process)
    return process


async def _is_served(sandbox: Sandbox, name: str) -> None:
    async with Api(sandbox.control_plane.admin) as api:

        async def established() -> bool:
            found = await api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
            return conditions(found).get("Established") == "True"

        await until(established, f"{name} to be served")


async def _reconciles(sandbox: Sandbox, process: Process) -> None:
    """Wait until KEDA handles its objects: one that has no target says so."""
    path = SCALED_OBJECTS.format("keda")
    probe = scaled_object("probe", f"redis://{LOOPBACK}:1/0")
    async with Api(sandbox.control_plane.admin) as api:
        await api.create(path, probe)

        async def judged() -> bool:
            return bool((await api.get(f"{path}/probe")).get("status", {}).get("conditions"))

        await until(judged, "KEDA to look at a ScaledObject", of=process)
        await api.delete(f"{path}/probe", {})


def conditions(thing: Json) -> dict[str, str]:
    """Return the status of each condition of an object."""
    return {each["type"]: each["status"] for each in thing.get("status", {}).get("conditions") or ()}


async def exists(api: Api, path: str) -> bool:
    """Tell whether there is an object."""
    try:
        await api.get(path)
    except ApiError:
        return False
    return True


def scaled_object(worker: str, broker_url: str, *, minimum: int = 0) -> Json:
    """Return a ScaledObject that scales a Deployment on the length of the queue `work`, looking every second."""
    url = urlsplit(broker_url)
    trigger = {"address": url.netloc, "databaseIndex": url.path.strip("/"), "listName": "work", "listLength": "5"}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": worker},
        "spec": {
            "scaleTargetRef": {"name": worker},
            "pollingInterval": 1,
            "minReplicaCount": minimum,
            "maxReplicaCount": 4,
            "triggers": [{"type": "redis", "metadata": trigger}],
        },
    }
