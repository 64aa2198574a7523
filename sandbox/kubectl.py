"""kubectl as a child process."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.processes import ROOT


class KubectlError(Exception):
    """kubectl failed; the message is its standard error."""


async def run_kubectl(
    command: Sequence[str | Path],
    arguments: Sequence[str],
    *,
    given: str | None,
    seconds: float,
    env: Mapping[str, str],
) -> str:
    """Run kubectl in the checkout and return its standard output.

    Args:
        command: the beginning of the command line.
        arguments: the rest of it.
        given: the standard input, as `apply -f -` reads it.
        seconds: the timeout, after which it is killed.
        env: the environment.

    Raises:
        KubectlError: it failed.
        TimeoutError: it took longer.
    """
    child = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        cwd=ROOT,
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await child.communicate((given or "").encode())
    except BaseException:
        child.kill()
        await child.communicate()
        raise
    if child.returncode:
        raise KubectlError(f"kubectl {' '.join(arguments)}: {errors.decode(errors='replace').strip()}")
    return output.decode()
