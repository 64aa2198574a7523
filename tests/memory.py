"""How much memory an operation takes: the peak of a process that does nothing else."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

LIMIT_MIB: Final = 256
"""What the operator may take, all of it."""

_ROOT = Path(__file__).parents[1]


class Peak(NamedTuple):
    """What became of an operation."""

    mib: float
    """The largest resident size of the process, with the interpreter and all modules."""
    found: object
    """What it returned, as far as JSON holds it; for an error its reason."""


async def peak_of(module: str, *arguments: str) -> Peak:
    """Run a module, which has to end with `tell`, in a process of its own."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    output, _ = await child.communicate()
    assert child.returncode == 0
    return Peak(*json.loads(output))


def tell(found: object) -> None:
    """Write what was found, and the largest resident size of this process.

    Not that of `getrusage`, which is that of the process that started this one if it was larger.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kibibytes = int(status.partition("VmHWM:")[2].split()[0])
    sys.stdout.write(json.dumps([kibibytes / 1024, found]))
