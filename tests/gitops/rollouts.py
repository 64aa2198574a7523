"""Argo Rollouts' controller, as a process on the sandbox's control plane."""

from typing import Final

from queue_recovery.api.worker_ref import ROLLOUT
from sandbox.cluster import Sandbox
from sandbox.gitops_tools import ROLLOUTS, find_tool
from sandbox.go_build import module_source
from sandbox.processes import Process, free_port

PATH: Final = f"/apis/{ROLLOUT.api_version}/namespaces/{{}}/rollouts"


async def start_rollouts(sandbox: Sandbox) -> Process:
    """Start the controller, with its own definitions."""
    source = module_source(ROLLOUTS, "github.com/argoproj/argo-rollouts")
    definitions = source / "manifests" / "crds"
    await sandbox.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(definitions))
    return await sandbox.start_program(
        "rollouts",
        [
            find_tool(ROLLOUTS),
            f"--kubeconfig={sandbox.kubeconfig}",
            "--leader-elect=false",
            f"--healthzPort={free_port()}",
            f"--metricsPort={free_port()}",
            "--loglevel=warn",
        ],
    )
