"""The configuration files of a node's components."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import yaml

from sandbox.node.images import PAUSE_IMAGE
from sandbox.node.packages import CNI_FOLDER

NAME: Final = "node-1"
ADDRESS: Final = "10.244.77.1"
"""The address of the bridge, and so of the node; `init.sh` sets it."""
SERVICE_NETWORK: Final = "10.96.0.0/16"
API_SERVICE: Final = "10.96.0.1"

_POD_NETWORK: Final = "10.244.77.0/24"

_CONTAINERD: Final = """\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without the capability to lower it, a container inherits its parent's score.
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{conf}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{runc}"
"""

_COREFILE: Final = """\
cluster.local:53 {{
  bind {address}
  errors
  kubernetes cluster.local {{
    kubeconfig {kubeconfig}
  }}
}}
"""


@dataclass(frozen=True)
class NodeFiles:
    """The paths of a node's files."""

    folder: Path

    state: ClassVar[Path] = Path("/run/node")
    """The files that components write: in the node's own /run, in memory, with paths short enough for sockets."""
    socket: ClassVar[Path] = state / "containerd.sock"
    """The socket of containerd."""
    last_allocated: ClassVar[Path] = state / "ipam" / "node" / "last_reserved_ip.0"
    """The file with the address that the CNI plugin host-local gave last; the next pod gets the next one."""

    def write(self, cgroup: str) -> None:
        """Write all configuration files; their kubeconfigs are `<user>.kubeconfig` in `pki/`."""
        pki = self.folder / "pki"
        self._write(
            "containerd.toml",
            _CONTAINERD.format(
                root=self.state / "containerd",
                state=self.state / "containerd-state",
                socket=self.socket,
                pause=PAUSE_IMAGE,
                cni=CNI_FOLDER,
                conf=self.folder / "cni",
                runc=self.state / "runc",
            ),
        )
        (self.folder / "cni").mkdir()
        self._write("cni/10-node.conflist", json.dumps(self._network()))
        self._write("kubelet.yaml", yaml.safe_dump(self._kubelet(cgroup)))
        self._write("proxy.yaml", yaml.safe_dump(_proxy(pki)))
        self._write("Corefile", _COREFILE.format(address=ADDRESS, kubeconfig=pki / "dns.kubeconfig"))

    def _write(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content)

    def _network(self) -> dict[str, object]:
        addresses = {
            "type": "host-local",
            "dataDir": str(self.last_allocated.parent.parent),
            "ranges": [[{"subnet": _POD_NETWORK, "gateway": ADDRESS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "node0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "1.0.0", "name": "node", "plugins": [bridge, ports]}

    def _kubelet(self, cgroup: str) -> dict[str, object]:
        pki = self.folder / "pki"
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{cgroup}",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": str(pki / "kubelet.crt"),
            "tlsPrivateKeyFile": str(pki / "kubelet.key"),
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "maxOpenFiles": 20000,
            "enforceNodeAllocatable": ["pods"],
            # A full disk of the machine must not evict this node's pods.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {
                "memory.available": "50Mi",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
            },
            "resolvConf": "",
            "seccompDefault": True,
            "podLogsDir": str(self.state / "pod-logs"),
            "clusterDNS": [ADDRESS],
            "clusterDomain": "cluster.local",
        }


def _proxy(pki: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": _POD_NETWORK,
        "clientConnection": {"kubeconfig": str(pki / "proxy.kubeconfig")},
        # These would apply to the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": NAME,
    }
