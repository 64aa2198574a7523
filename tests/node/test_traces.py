"""A node leaves nothing on the machine, however its owner ends."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.janitor import FOLDER_PREFIX, clear_abandoned
from sandbox.processes import ROOT, DeadlineError, Process, Scope, until

pytestmark = pytest.mark.own_node

SEED = int(os.environ.get("SEED", "1"))
MOMENTS = int(os.environ.get("MOMENTS", "3"))
_LONGEST = 12.0
"""Seconds: by then an idle machine has a node that is ready."""

_TO_END = 120.0
"""Seconds in which a node is stopped in order."""

_ENDINGS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)

_OWNER = """
import asyncio
import signal
from sandbox.node.cluster import NodeCluster
from sandbox.node.images import ImageStore

async def main():
    with ImageStore.open() as store:
        images = [store.pause()]
    async with NodeCluster.start(images):
        print("ready", flush=True)
        await asyncio.Event().wait()

signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in a shell's background ignore
asyncio.run(main())
"""


def traces(folder: Path) -> dict[str, set[str]]:
    """Return what a node could leave behind, by kind."""
    sysctls = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
    return {
        "processes": {name for name in _processes() if str(folder) in name},
        "mounts": {line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line},
        "links": {path.name for path in Path("/sys/class/net").iterdir()},
        "cgroups": _cgroups() - _BEFORE,
        "rules": set(_run("iptables-save").splitlines()) - {""},
        "sysctls": {f"{name}={Path('/proc/sys', name).read_text().strip()}" for name in sysctls},
        "files": {str(path) for parent in ("/run", "/var/lib", "/var/log") for path in Path(parent).iterdir()},
        "folders": {path.name for path in folder.iterdir()},
    }


def _cgroups() -> set[str]:
    """Return the control groups of the two upper levels; `os.walk` tolerates that some disappear."""
    root = "/sys/fs/cgroup"
    return {
        folder
        for folder, _, _ in os.walk(root)
        if folder.count("/") <= root.count("/") + 2 or Path(folder).name.startswith(FOLDER_PREFIX)
    }


_BEFORE = {folder for folder in _cgroups() if Path(folder).name.startswith(FOLDER_PREFIX)}
"""The control groups of nodes that run beside: they may go meanwhile."""


def _processes() -> set[str]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def _run(*command: str) -> str:
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in lines.splitlines() if not line.startswith(("#", ":")))


async def test_nothing_is_left_of_a_node_whose_owner_is_interrupted_or_killed_at_any_moment(tmp_path: Path) -> None:
    dice = random.Random(SEED)  # noqa: S311  # moments, not secrets
    async with Scope.open() as scope:
        before = traces(tmp_path)
        for number in range(MOMENTS):
            moment = dice.uniform(0, _LONGEST)
            ending = _ENDINGS[number % len(_ENDINGS)]
            print(f"seed {SEED}, moment {number}: {ending.name} after {moment:.1f} s")  # noqa: T201  # how to repeat it
            owner = await Process.start(
                f"owner-{number}",
                [sys.executable, "-c", _OWNER],
                log=scope.folder / "owner.log",
                environment={
                    **scope.environment(TMPDIR=str(tmp_path), HOME=str(Path.home())),
                    "SANDBOX_SCOPE": "not this test's",
                },
                folder=ROOT,
            )
            await _pass(owner, moment)
            assert owner.exit_code is None, f"the node ended by itself:\n{owner.end_of_log()}"
            owner.send(ending)
            await asyncio.wait_for(owner.wait(), _TO_END)
            await _cleared(tmp_path, before)


async def test_the_next_run_clears_up_when_the_janitor_was_killed_too(tmp_path: Path) -> None:
    async with Scope.open() as scope:
        before = traces(tmp_path)
        owner = await Process.start(
            "owner",
            [sys.executable, "-c", _OWNER],
            log=scope.folder / "owner.log",
            environment={
                **scope.environment(TMPDIR=str(tmp_path), HOME=str(Path.home())),
                "SANDBOX_SCOPE": "not this test's",
            },
            folder=ROOT,
        )

        async def ready() -> bool:
            return "ready" in owner.end_of_log()

        await until(ready, "the node", seconds=240, of=owner)
        janitors = await asyncio.to_thread(
            subprocess.run,
            ["pgrep", "--full", f"sandbox.janitor {tmp_path}"],
            capture_output=True,
            text=True,
            check=True,
        )
        for janitor in janitors.stdout.split():
            os.kill(int(janitor), signal.SIGKILL)
        await owner.kill()
        # Again and again: a killed process holds what it has opened for a moment longer.
        await _cleared(tmp_path, before, lambda: clear_abandoned(tmp_path))


async def _pass(owner: Process, seconds: float) -> None:
    """Let the owner run for a time: the moment is what is tried."""
    waiting = asyncio.ensure_future(owner.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()


async def _cleared(folder: Path, before: dict[str, set[str]], clear: Callable[[], object] = lambda: None) -> None:
    """Wait until nothing is left, and show what is."""

    async def cleared() -> bool:
        clear()
        return traces(folder) == before

    with suppress(DeadlineError):
        await until(cleared, "nothing to be left", seconds=60)
    assert traces(folder) == before
