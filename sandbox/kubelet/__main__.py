"""Run the kubelet stand-in as a separate process; the sandbox does this when it starts."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from pathlib import Path

from sandbox.api import Access, Api
from sandbox.janitor import MARK_VARIABLE
from sandbox.kubelet import logs
from sandbox.kubelet.node import Node
from sandbox.processes import free_port


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.kubelet", description=__doc__)
    for option, what in {
        "kubeconfig": "kubeconfig of the API server",
        "images": "the file with the image table",
        "folder": "folder of the pods' logs",
        "key": "of the log server",
        "certificate": "of the log server",
        "authority": "certificate authority of clients that may read logs",
    }.items():
        parser.add_argument(f"--{option}", type=Path, required=True, help=what)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    environment = {"LANG": "C.UTF-8", "PATH": os.defpath, MARK_VARIABLE: os.environ.get(MARK_VARIABLE, "")}
    async with Api(Access.read_kubeconfig(options.kubeconfig)) as api:
        node = Node(api, folder=options.folder, images=options.images, environment=environment)
        port = free_port()
        server = await logs.serve(
            node, port=port, key=options.key, certificate=options.certificate, authority=options.authority
        )
        try:
            await node.register(port)
            await node.run()
        finally:
            await server.cleanup()


if __name__ == "__main__":
    asyncio.run(_main())
