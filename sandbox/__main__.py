"""`python -m sandbox`: start a cluster, a broker and a job store, and remove them at Ctrl-C.

Standard output is for a shell to evaluate; all other text goes to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING

from sandbox.broker import flavours
from sandbox.build import find_programs
from sandbox.cluster import Sandbox
from sandbox.processes import DeadlineError
from sandbox.toolchain import GoError

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.broker import Flavour
    from sandbox.processes import Process


async def _run(flavour: Flavour) -> None:
    began = time.monotonic()
    async with Sandbox.start(report=_say) as sandbox:
        _say("starting a broker and a job store")
        broker = await sandbox.start_broker(flavour=flavour)
        store = await sandbox.start_job_store()
        programs = _programs(sandbox)
        print(f"export KUBECONFIG={sandbox.kubeconfig}")
        print(f'export PATH={programs}:"$PATH"')
        print(f"export REDIS_URL={broker.url}")
        print(f"export MONGODB_URL={store.url}", flush=True)
        _say(f"ready after {time.monotonic() - began:.0f} s: Kubernetes, {broker.flavour} and a job store, on loopback")
        _say("evaluate the lines above in another terminal; kubectl there is the sandbox's")
        _say("next: kubectl apply -k manifests/ && cd examples/stuck-queue, then the commands of its README.md")
        _say(f"logs are in {sandbox.folder}; Ctrl-C ends and removes everything")
        await _first_end([*sandbox.processes, broker.process, store.process])


def _programs(sandbox: Sandbox) -> Path:
    """Create a folder with kubectl alone, for PATH."""
    folder = sandbox.folder / "bin"
    folder.mkdir()
    (folder / "kubectl").symlink_to(sandbox.kubectl_program)
    return folder


async def _first_end(processes: list[Process]) -> None:
    """Wait until one of the processes ends unexpectedly.

    Raises:
        DeadlineError: always, with the end of that process's log.
    """
    ends = [asyncio.create_task(process.wait()) for process in processes]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    ended = next(process for process in processes if process.exit_code is not None)
    raise DeadlineError(f"{ended.name} ended with {ended.exit_code}\n{ended.end_of_log()}")


def _say(message: str) -> None:
    print(f"sandbox: {message}", file=sys.stderr, flush=True)


async def _until_told(flavour: Flavour) -> None:
    """Run until done, or until Ctrl-C or SIGTERM, neither of which is an error."""
    work = asyncio.create_task(_run(flavour))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    await asyncio.wait({work})
    if work.cancelled():
        _say("ended and removed")
    else:
        work.result()


def main() -> None:
    """Build what is missing, then run the sandbox until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Start a cluster, a broker and a job store.")
    parser.add_argument("--broker", choices=flavours(), default=flavours()[0], help="which server the broker is")
    options = parser.parse_args()
    try:
        _say("looking for the control plane's programs; Ctrl-C ends and removes everything")
        # Outside the event loop, so that Ctrl-C stops a build at once.
        find_programs()
        asyncio.run(_until_told(options.broker))
    except (DeadlineError, GoError) as error:
        sys.exit(f"sandbox: {error}")
    except KeyboardInterrupt:
        _say("ended")


if __name__ == "__main__":
    main()
