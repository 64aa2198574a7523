"""All processes of the sandbox end with it, no matter how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.broker import Broker
from sandbox.janitor import clear_abandoned, marked_processes
from sandbox.processes import ROOT, DeadlineError, Process, Scope, python_module, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.thorough  # every test that starts a sandbox shows that it works

_DAEMON = (
    "import os, subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True, stdout=subprocess.DEVNULL)"
)


@asynccontextmanager
async def sandbox_of_its_own(tmp_path: Path) -> AsyncIterator[Process]:
    """Run `python -m sandbox`; not as a process of a scope that stays open, whose janitor would end it in any case."""
    async with Scope.open() as scope:
        yield await Process.start(
            "python -m sandbox",
            python_module("sandbox"),
            log=tmp_path / "log",
            environment={
                **scope.environment(TMPDIR=str(tmp_path)),
                "HOME": str(Path.home()),
                "SANDBOX_SCOPE": "not this test's",
            },
            folder=ROOT,
        )


async def nothing_is_left(folder: Path) -> None:
    """Wait until every process of a sandbox and its folder are gone."""

    async def cleared() -> bool:
        return not marked_processes(str(folder), folder.name) and not folder.exists()  # noqa: ASYNC240 # on a local disk

    await until(cleared, "every process and the folder to be gone", seconds=5)


async def test_nothing_is_left_of_a_sandbox_that_was_killed(tmp_path: Path) -> None:
    async with sandbox_of_its_own(tmp_path) as owner:

        async def started() -> Path | None:
            found = re.search(r"export KUBECONFIG=(.*)/kubeconfig\n(?s:.*)MONGODB", owner.end_of_log())
            return Path(found[1]) if found else None

        folder = await until(started, "the sandbox to be ready", of=owner)
        progress = re.findall("^sandbox: (.*)", owner.end_of_log(), re.MULTILINE)
        # etcd, API server, controller manager, kubelet, Redis, job store
        assert len(marked_processes(str(folder), folder.name)) == 6

        owner.send(signal.SIGKILL)

        assert await owner.wait() == -signal.SIGKILL
        await nothing_is_left(folder)
        assert progress[:4] == [
            "looking for the control plane's programs; Ctrl-C ends and removes everything",
            "starting etcd, the API server and the controller manager",
            "starting a node, on which pods are local processes",
            "starting a broker and a job store",
        ]


async def test_nothing_is_left_of_a_sandbox_that_is_interrupted_while_it_starts(tmp_path: Path) -> None:
    async with sandbox_of_its_own(tmp_path) as owner:

        async def starting() -> Path | None:
            folders = list(tmp_path.glob("queue-recovery-sandbox-*"))  # noqa: ASYNC240 # on a local disk
            return folders[0] if folders and marked_processes(str(folders[0]), folders[0].name) else None

        folder = await until(starting, "the first process of the sandbox", of=owner)

        owner.send(signal.SIGINT)  # whose handler is that of SIGTERM

        assert await owner.wait() == 0, owner.end_of_log()
        await nothing_is_left(folder)
        assert owner.end_of_log().endswith("sandbox: ended and removed\n")


async def test_the_remains_of_a_killed_owner_and_its_killed_janitor_are_removed_by_the_next_scope(
    tmp_path: Path,
) -> None:
    program = (
        "import asyncio, sys\n"
        "from sandbox.processes import Scope\n"
        "async def main():\n"
        "    async with Scope.open() as scope:\n"
        "        await scope.start('left', ['sleep', '1000'])\n"
        "        print(scope.folder, scope._janitor.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    async with Scope.open() as scope:
        owner = await Process.start(
            "owner",
            [sys.executable, "-c", program],
            log=tmp_path / "log",
            environment={**scope.environment(TMPDIR=str(tmp_path)), "SANDBOX_SCOPE": "not this test's"},
            folder=ROOT,
        )

        async def started() -> list[str] | None:
            return owner.end_of_log().split() or None

        folder, janitor = await until(started, "the scope to be open", of=owner)
        os.kill(int(janitor), signal.SIGKILL)
        clear_abandoned(tmp_path)
        assert len(marked_processes(folder, Path(folder).name)) == 1, "a scope whose owner lives is not abandoned"
        await owner.kill()
        assert len(marked_processes(folder, Path(folder).name)) == 1

        clear_abandoned(tmp_path)

        assert marked_processes(folder, Path(folder).name) == []
        assert [path.name for path in tmp_path.iterdir()] == ["log"]  # noqa: ASYNC240  # nothing else runs


async def test_a_process_in_another_session_and_one_that_overwrites_its_environment_end_too() -> None:
    async with Scope.open() as scope:
        hiding = await scope.start("hiding", [sys.executable, "-c", _DAEMON])
        await hiding.wait()
        await Broker.start(scope)
        assert len(marked_processes(str(scope.folder), scope.folder.name)) == 2

    assert marked_processes(str(scope.folder), scope.folder.name) == []


async def test_a_failed_wait_names_the_condition_and_shows_the_log_of_the_process() -> None:
    async def never() -> None:
        return None

    async with Scope.open() as scope:
        ending = await scope.start("ending", ["sh", "-c", "echo cannot go on; exit 3"])
        with pytest.raises(DeadlineError, match=r"waited for rain, but ending ended with 3\ncannot go on"):
            await until(never, "rain", of=ending)

        lasting = await scope.start("lasting", ["sh", "-c", "echo still here; sleep 1000"])
        with pytest.raises(DeadlineError, match=r"waited 0.2 s in vain for rain\nlasting wrote last:\nstill here"):
            await until(never, "rain", seconds=0.2, of=lasting)


@pytest.mark.parametrize("seconds", [0.05, None], ids=["deadline", "cancelled"])
async def test_a_wait_ends_although_a_driver_drops_its_cancellation(seconds: float | None) -> None:
    dropped: list[asyncio.CancelledError] = []

    async def never() -> bool:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError as cancellation:
            if dropped:
                raise
            dropped.append(cancellation)  # as `asyncio.wait_for` does when its result is ready
        return False

    waiting = asyncio.ensure_future(until(never, "rain", seconds=seconds))
    if seconds is None:
        await asyncio.sleep(0)
        waiting.cancel()
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    waiting.cancel()

    assert done
    if seconds is None:
        assert waiting.cancelled()
    else:
        assert isinstance(waiting.exception(), DeadlineError)


async def test_a_program_that_ignores_sigterm_is_killed() -> None:
    async with Scope.open() as scope:
        script = "trap '' TERM; echo ready; while true; do sleep 1; done"
        stubborn = await scope.start("stubborn", ["sh", "-c", script])

        async def ready() -> bool:
            return "ready" in stubborn.end_of_log()

        await until(ready, "the trap to be set", of=stubborn)
        async with asyncio.timeout(5):
            assert await stubborn.stop(seconds=0.1) == -signal.SIGKILL


async def test_a_scope_whose_janitor_was_killed_is_still_cleaned_up() -> None:
    async with Scope.open() as scope:
        sleeping = await scope.start("sleeping", ["sleep", "1000"])
        scope._janitor.kill()

    assert sleeping.exit_code == -signal.SIGKILL
    assert not sleeping.log.exists()
