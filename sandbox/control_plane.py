"""etcd, kube-apiserver and kube-controller-manager as child processes on loopback."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import yaml

from sandbox.api import Access, Api, ApiError, Json
from sandbox.certificates import Authority, KeyPair
from sandbox.processes import LOOPBACK, Process, Scope, free_port, until

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.build import Programs

_CONTROLLERS: Final = (
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "ttl-after-finished-controller",
    "validatingadmissionpolicy-status-controller",
)
"""The controllers of the kinds that this project uses. Without the node lifecycle controller the node needs no
heartbeats."""

_AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}

_LESS_COLLECTING: Final = {"GOGC": "400"}
"""For etcd and the API server: their heaps are small, and collecting them is a seventh of what they do."""

_START_SECONDS: Final = 90
"""Thirty times the duration on an idle machine: two cores may be busy with other tests."""

_ADMIN: Final = "sandbox-admin"
_CONTROLLER_MANAGER: Final = "system:kube-controller-manager"
KUBELET: Final = "sandbox-kubelet"


@dataclass
class ControlPlane:
    """A running control plane, with the credentials of its clients."""

    admin: Access
    kubelet: Access
    kubelet_server: KeyPair
    """The certificate with which the kubelet stand-in serves logs."""
    authority: Path
    audit_log: Path
    etcd: Process
    apiserver: Process
    controller_manager: Process
    _audited: list[Json] = field(default_factory=list, init=False)
    _audited_bytes: int = field(default=0, init=False)
    """The position up to which the log has been read: it grows to tens of megabytes and is read often."""

    def audit(self) -> list[Json]:
        """Return the requests to the API server so far, oldest first, as `audit.k8s.io/v1` events.

        They are at the Metadata level (who, verb, object, answer), one for each finished request; a watch
        shows up when it starts and again when it ends (`stage`).
        """
        with self.audit_log.open("rb") as log:
            log.seek(self._audited_bytes)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._audited_bytes += len(line)
                self._audited.append(json.loads(line))
        return list(self._audited)


async def start(scope: Scope, programs: Programs) -> ControlPlane:
    """Start a control plane in this scope, and wait until pods can be created.

    Raises:
        DeadlineError: a part ended or was not ready in time.
    """
    folder = scope.folder / "control-plane"
    authority = Authority.create(folder)
    server = f"https://{LOOPBACK}:{free_port()}"
    users = {
        user: Access(server, authority.path, secrets.token_urlsafe()) for user in (_ADMIN, KUBELET, _CONTROLLER_MANAGER)
    }

    etcd, etcd_url = await _start_etcd(scope, programs)
    apiserver = await _start_apiserver(scope, programs, authority, etcd_url, users)
    async with Api(users[_ADMIN]) as api:
        await until(api.ready, "the API server to be ready", seconds=_START_SECONDS, of=apiserver)
        controller_manager = await _start_controller_manager(scope, programs, users[_CONTROLLER_MANAGER])

        async def default_account() -> Json | None:
            try:
                return await api.get("/api/v1/namespaces/default/serviceaccounts/default")
            except ApiError:
                return None

        await until(default_account, "the default ServiceAccount", seconds=_START_SECONDS, of=controller_manager)
    return ControlPlane(
        admin=users[_ADMIN],
        kubelet=users[KUBELET],
        kubelet_server=authority.issue("kubelet"),
        authority=authority.path,
        audit_log=scope.folder / "audit.log",
        etcd=etcd,
        apiserver=apiserver,
        controller_manager=controller_manager,
    )


async def _start_etcd(scope: Scope, programs: Programs) -> tuple[Process, str]:
    client, peer = (f"http://{LOOPBACK}:{free_port()}" for _ in range(2))
    process = await scope.start(
        "etcd",
        [
            programs.etcd,
            f"--data-dir={scope.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # The data is deleted with the sandbox, so it need not survive a power cut.
            "--unsafe-no-fsync",
        ],
        environment=_LESS_COLLECTING,
    )
    return process, client


async def _start_apiserver(
    scope: Scope, programs: Programs, authority: Authority, etcd_url: str, users: dict[str, Access]
) -> Process:
    folder = scope.folder / "control-plane"
    serving, to_kubelet = authority.issue("kube-apiserver"), authority.issue("kube-apiserver-to-kubelet")
    signing = authority.signing_key("service-accounts")
    tokens = folder / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text("".join(f'{access.token},{user},{user},"system:masters"\n' for user, access in users.items()))
    policy = folder / "audit-policy.yaml"
    policy.write_text(yaml.safe_dump(_AUDIT_POLICY))
    port = users[_ADMIN].server.rpartition(":")[2]
    return await scope.start(
        "kube-apiserver",
        [
            programs.kube_apiserver,
            f"--etcd-servers={etcd_url}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={port}",
            f"--advertise-address={LOOPBACK}",
            # A loopback address may not be an Endpoint, so the `kubernetes` Service stays without one.
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={tokens}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={signing.certificate}",
            f"--service-account-signing-key-file={signing.key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--kubelet-certificate-authority={authority.path}",
            f"--kubelet-client-certificate={to_kubelet.certificate}",
            f"--kubelet-client-key={to_kubelet.key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={scope.folder / 'audit.log'}",
            "--audit-log-maxsize=0",
        ],
        environment=_LESS_COLLECTING,
    )


async def _start_controller_manager(scope: Scope, programs: Programs, access: Access) -> Process:
    kubeconfig = access.write_kubeconfig(scope.folder / "control-plane" / "controller-manager.kubeconfig")
    return await scope.start(
        "kube-controller-manager",
        [
            programs.kube_controller_manager,
            f"--kubeconfig={kubeconfig}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={free_port()}",
            f"--root-ca-file={access.authority}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            "--horizontal-pod-autoscaler-sync-period=2s",  # instead of 15, because tests wait for it
        ],
    )
