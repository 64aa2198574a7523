"""etcd, kube-apiserver, controller manager and scheduler as they run beside a real node."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from sandbox.api import Access
from sandbox.certificates import Authority
from sandbox.node.settings import ADDRESS, API_SERVICE, NAME, SERVICE_NETWORK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandbox.build import Programs

ADMIN: Final = "admin"

_PORT: Final = 6443
_ETCD: Final = "http://127.0.0.1:2379"
_ETCD_PEER: Final = "http://127.0.0.1:2380"
_USERS: Final = {
    ADMIN: ("sandbox-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", "system:masters"),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:node-proxier", "system:masters"),
    "dns": ("sandbox-dns", "system:masters"),
    "kubelet": (f"system:node:{NAME}", "system:nodes"),
}
"""The user name and the group of each client."""


def write_credentials(folder: Path) -> None:
    """Write certificates, keys, tokens and a kubeconfig for each user into a new folder."""
    authority = Authority.create(folder)
    inside = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    authority.issue("apiserver", hosts=("127.0.0.1", ADDRESS, API_SERVICE, *inside))
    authority.issue("kubelet", hosts=(NAME, ADDRESS))
    authority.issue("to-kubelet")
    authority.signing_key("service-accounts")
    rows = []
    for user, (name, group) in _USERS.items():
        token = secrets.token_urlsafe()
        rows.append(f"{token},{name},{name}" + (f',"{group}"' if group else ""))
        access = Access(f"https://{ADDRESS}:{_PORT}", authority.path, token)
        access.write_kubeconfig(folder / f"{user}.kubeconfig")
    tokens = folder / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text("\n".join(rows))


def etcd(programs: Programs, folder: Path) -> Sequence[str | Path]:
    """Return the command line of etcd."""
    return [
        programs.etcd,
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_ETCD_PEER}",
        f"--initial-advertise-peer-urls={_ETCD_PEER}",
        f"--initial-cluster=default={_ETCD_PEER}",
        "--unsafe-no-fsync",
    ]


def apiserver(programs: Programs, folder: Path) -> Sequence[str | Path]:
    """Return the command line of the API server."""
    pki = folder / "pki"
    return [
        programs.kube_apiserver,
        f"--etcd-servers={_ETCD}",
        "--bind-address=0.0.0.0",
        f"--secure-port={_PORT}",
        f"--advertise-address={ADDRESS}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--token-auth-file={pki / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        # A token for ten minutes expires after ten minutes, not after a year.
        "--service-account-extend-token-expiration=false",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'to-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'to-kubelet.key'}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def controller_manager(programs: Programs, folder: Path) -> Sequence[str | Path]:
    """Return the command line of the controller manager, with all of its controllers."""
    pki = folder / "pki"
    return [
        programs.kube_controller_manager,
        f"--kubeconfig={pki / 'controller-manager.kubeconfig'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--service-account-private-key-file={pki / 'service-accounts.key'}",
        "--controllers=*",
        "--leader-elect=false",
        # 40 s by default: the time until a node without heartbeats counts as not ready.
        "--node-monitor-grace-period=20s",
    ]


def scheduler(program: Path, folder: Path) -> Sequence[str | Path]:
    """Return the command line of the scheduler."""
    return [program, f"--kubeconfig={folder / 'pki' / 'scheduler.kubeconfig'}", "--leader-elect=false"]
