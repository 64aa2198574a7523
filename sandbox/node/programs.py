"""The node's programs, built from this repository's Go modules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.build import MODULE, Programs, find_programs
from sandbox.go_build import KUBERNETES_VERSION, GoProgram, built

_NODE: Final = GoProgram(
    slug="node",
    title=f"the node (kubelet, scheduler and kube-proxy {KUBERNETES_VERSION})",
    minutes="two minutes",
    module=MODULE,
    package="node",
    names=("kubelet", "kube-scheduler", "kube-proxy"),
)
_CLUSTER_DNS: Final = GoProgram(
    slug="cluster-dns",
    title="CoreDNS",
    minutes="two minutes",
    module=Path(__file__).resolve().parent / "cluster_dns_binary",
    names=("coredns",),
)
PAUSE: Final = GoProgram(
    slug="pause", title="the pause container", minutes="ten seconds", module=MODULE, package="pause", names=()
)


@dataclass(frozen=True)
class NodePrograms:
    """The paths of the programs."""

    control_plane: Programs
    kubelet: Path
    scheduler: Path
    proxy: Path
    dns: Path


def find_node_programs() -> NodePrograms:
    """Return the programs, and build them first if necessary; raises GoError."""
    control_plane = find_programs()
    node = built(_NODE)
    return NodePrograms(
        control_plane=control_plane,
        kubelet=node / "kubelet",
        scheduler=node / "kube-scheduler",
        proxy=node / "kube-proxy",
        dns=built(_CLUSTER_DNS) / "coredns",
    )
