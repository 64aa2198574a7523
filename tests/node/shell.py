"""A shell in which the commands of the pages reach the cluster."""

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

from tests import readme
from tests.node.cluster import Cluster


class Shell:
    """A shell whose kubectl reaches the cluster, and whose Helm does so if it is given."""

    def __init__(self, cluster: Cluster, folder: Path, *, helm: Path | None = None) -> None:
        """Take the cluster, and an empty folder; Helm needs a node of this run's own."""
        self._kubectl = folder / "kubectl"
        _write(self._kubectl, cluster.command)
        if helm is not None:
            assert cluster.node is not None
            command = [*cluster.node.in_network, str(helm), f"--kubeconfig={cluster.node.kubeconfig}"]
            _write(folder / "helm", command)

    async def run(self, command: str) -> tuple[int, str]:
        """Run a command as it is written; return its exit code and what it wrote."""
        async with asyncio.timeout(400):
            return await readme.run(command, kubeconfig=self._kubectl, kubectl=self._kubectl)

    async def succeeds(self, command: str) -> str:
        """Run a command, and return what it wrote."""
        code, output = await self.run(command)
        assert code == 0, output
        return output


def _write(program: Path, command: Sequence[str]) -> None:
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    program.chmod(0o755)
