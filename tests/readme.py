"""The commands of README.md and of the pages in docs/, to be run as they are written there."""

import asyncio
import os
import re
from pathlib import Path

from sandbox.processes import ROOT


def commands(heading: str, page: str = "README.md") -> list[str]:
    """Return the commands of a section in their order: what is indented by four spaces, or is in a fence of `sh`."""
    text = (ROOT / page).read_text()
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, f"{page} has no section {heading!r}"
    found = re.findall(r"^```sh\n(.*?)^```|((?:^    .*\n)+)", section[1], re.MULTILINE | re.DOTALL)
    return [line.strip() for fenced, indented in found for line in (fenced or indented).splitlines() if line.strip()]


def command(heading: str, beginning: str) -> str:
    """Return the one command of a section that begins so."""
    (found,) = [line for line in commands(heading) if line.startswith(beginning)]
    return found


async def run(command: str, *, kubeconfig: Path, kubectl: Path | None = None, **environment: str) -> tuple[int, str]:
    """Run a command in a shell, as somebody does who has copied it; return its exit code and all that it wrote.

    Args:
        command: one line, which may refer to files of the repository.
        kubeconfig: of the cluster that it is about: the sandbox, or any other one.
        kubectl: the program; None: the one on PATH.
        environment: further variables.
    """
    path = os.environ["PATH"] if kubectl is None else f"{kubectl.parent}:{os.environ['PATH']}"
    child = await asyncio.create_subprocess_shell(
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env={"PATH": path, "HOME": str(kubeconfig.parent), "KUBECONFIG": str(kubeconfig), **environment},
    )
    output, _ = await child.communicate()
    assert child.returncode is not None
    return child.returncode, output.decode()
