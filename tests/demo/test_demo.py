"""`python -m demo` as a user runs it: to its end, and interrupted."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.janitor import marked_processes
from sandbox.processes import ROOT, Process, until

pytestmark = pytest.mark.thorough

INTERRUPTED = 130


@pytest_asyncio.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Process]:
    """Run the demo, with this test's folder for temporary files."""
    process = await Process.start(
        "demo",
        [sys.executable, "-m", "demo"],
        log=tmp_path / "demo.log",
        environment={**os.environ, "TMPDIR": str(tmp_path)},
        folder=ROOT,
    )
    yield process
    await process.stop()


async def test_every_fact_of_the_story_is_true(demo: Process) -> None:
    code = await demo.wait()
    output = demo.log.read_text()
    assert code == 0, output[-6000:]
    for line in (
        "✓ then the old one ran again, and the job is failed once more",
        "✓ DEL deletes nothing",
        "✓ the old ones still fail",
        "✓ every listed job is done",
        "✓ each listed job ran once",
        "✓ no old task id ran again",
        "mails was delivered once",
        "\ndifference ",
    ):
        assert line in output
    assert "\x1b" not in output, "colours are for terminals"


async def test_ctrl_c_leaves_nothing_behind(demo: Process) -> None:
    async def is_half_way() -> bool:
        return "kubectl apply -k manifests" in demo.log.read_text()

    await until(is_half_way, "the operator to be installed", seconds=240, of=demo)
    [folder] = demo.log.parent.glob("queue-recovery-sandbox-*")
    assert marked_processes(str(folder), folder.name)

    demo.send_to_group(signal.SIGINT)

    assert await demo.wait() == INTERRUPTED
    assert "interrupted" in demo.log.read_text()
    assert marked_processes(str(folder), folder.name) == []
    assert not folder.exists()
