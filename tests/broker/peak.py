"""How much memory an operation on a broker takes: the peak of a process that does nothing else."""

import asyncio
import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from queue_recovery.api.target import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.errors import RecoveryError

LIMIT_MIB: Final = 256
"""What the operator may take, all of it."""

_ROOT = Path(__file__).parents[2]


class Peak(NamedTuple):
    """What became of an operation."""

    mib: float
    """The largest resident size of the process, with the interpreter and all modules."""
    found: object
    """What it returned, as far as JSON holds it; for an error its reason."""


async def peak_of(operation: str, url: str) -> Peak:
    """Do one of the operations below in a process of its own."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.broker.peak", operation, url),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    output, _ = await child.communicate()
    assert child.returncode == 0
    kibibytes, found = json.loads(output)
    return Peak(kibibytes / 1024, found)


async def _check(broker: RedisBroker) -> object:
    await broker.check()
    return "fit"


OPERATIONS: Mapping[str, Callable[[RedisBroker], Awaitable[object]]] = {
    "check": _check,
}


async def _main(operation: str, url: str) -> None:
    broker = RedisBroker.connect(url, TransportOptions())
    try:
        found = await OPERATIONS[operation](broker)
    except RecoveryError as error:
        found = error.reason
    await broker.aclose()
    # Linux counts it in kibibytes.
    sys.stdout.write(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, found]))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
