"""The operator in a pod: a user without a name, no cluster DNS, and a token that expires while it runs."""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import pytest
import pytest_asyncio

from sandbox.api import Access, Api, ApiError
from sandbox.processes import LOOPBACK, until
from tests.controller.link import Link
from tests.controller.replicas import Replica, Replicas

NAME = "first"


@dataclass
class Pod:
    """Its ServiceAccount, mounted, and how it reaches the API server."""

    replicas: Replicas
    folder: Path
    link: Link

    async def token(self, secret: str) -> str:
        """Return a token that lives as long as a Secret, which is created for it."""
        namespace = self.replicas.namespace
        await self.replicas.sandbox.kubectl("-n", namespace, "create", "secret", "generic", secret)
        token = await self.replicas.sandbox.kubectl(
            *("-n", namespace, "create", "token", NAME, "--bound-object-kind=Secret", f"--bound-object-name={secret}")
        )
        return token.strip()

    def mount(self, token: str) -> None:
        """Replace the token's file, as the kubelet does."""
        unfinished = self.folder / "unfinished"
        unfinished.touch(mode=0o600)
        unfinished.write_text(token)
        unfinished.replace(self.folder / "token")

    async def expire(self, secret: str, token: str) -> None:
        """Delete what a token lives by, and wait until the API server refuses it."""
        await self.replicas.sandbox.kubectl("-n", self.replicas.namespace, "delete", "secret", secret)
        admin = self.replicas.sandbox.control_plane.admin
        async with Api(Access(admin.server, admin.authority, token)) as api:

            async def refused() -> bool:
                try:
                    await api.get("/api")
                except ApiError as error:
                    return error.status == 401
                return False

            await until(refused, "the API server to refuse the token")

    async def start(self) -> Replica:
        """Start the operator, and wait until it leads and is ready."""
        first = await self.replicas.run(
            NAME,
            [sys.executable, "-m", "tests.controller.pod_operator"],
            {
                "KUBERNETES_SERVICE_HOST": LOOPBACK,
                "KUBERNETES_SERVICE_PORT": str(self.link.port),
                "SERVICE_ACCOUNT_FOLDER": str(self.folder),
            },
        )
        await self.replicas.led_by(first)
        await until(first.ready, "it to be ready", of=first.process)
        return first


@pytest_asyncio.fixture(loop_scope="session")
async def pod(replicas: Replicas, tmp_path: Path) -> AsyncIterator[Pod]:
    await replicas.account(NAME)
    copyfile(replicas.sandbox.control_plane.admin.authority, tmp_path / "ca.crt")
    async with Link.open(replicas.sandbox) as link:
        yield Pod(replicas, tmp_path, link)


@pytest.mark.thorough
async def test_it_works_without_a_users_name_and_cluster_dns_and_replaces_a_token_that_expires_on_both_connections(
    pod: Pod,
) -> None:
    """Neither `https://kubernetes.default.svc` nor a home directory exists here."""
    old, new = await pod.token("old"), await pod.token("new")
    pod.mount(old)
    first = await pod.start()
    pod.mount(new)
    await pod.expire("old", old)
    await pod.link.close()  # so that the watches have to begin again
    await pod.link.listen()
    await pod.replicas.recovery("lonely")
    await pod.replicas.taken_up("lonely")
    await until(first.ready, "it to be ready", of=first.process)
    assert (await pod.replicas.lease())["leaseTransitions"] == 0
