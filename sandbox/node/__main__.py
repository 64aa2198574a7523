"""`python -m sandbox.node`: run a real node with the images of its tests, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys

from sandbox.node import images, packages
from sandbox.node.cluster import NodeCluster
from sandbox.processes import DeadlineError
from sandbox.toolchain import GoError


async def _run(built: list[images.BuiltImage]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with NodeCluster.start(built) as node:
        print(f"alias kubectl='{' '.join(node.kubectl)}'", flush=True)
        print(f"sandbox: the node is ready; its logs are in {node.folder}; Ctrl-C removes it", file=sys.stderr)
        await stop.wait()


def main() -> None:
    """Build the images, and run the node until it is stopped."""
    try:
        packages.check()
        asyncio.run(_run(images.build_all()))
    except (DeadlineError, GoError, images.ImageError, packages.NodeUnavailableError) as error:
        sys.exit(f"sandbox: {error}")


if __name__ == "__main__":
    main()
