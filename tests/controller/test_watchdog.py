"""The process ends when the lease is not renewed in time, even a busy or a paused one."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from sandbox.processes import until

PROGRAM: Final = """
import asyncio, logging, os, signal, sys, time
from queue_recovery.controller.watchdog import Watchdog

logging.basicConfig(format="%(message)s", stream=sys.stdout)
watchdog = Watchdog()
"""
BLOCKED: Final = """
watchdog.arm(time.monotonic() + 0.1)
while True: pass
"""
LATE: Final = """
watchdog.arm(time.monotonic() - 10)
while True: pass
"""
RENEWED: Final = """
watchdog.arm(time.monotonic() + 0.1)
watchdog.arm(time.monotonic() + 3600)
assert signal.getitimer(signal.ITIMER_REAL)[0] > 3000
"""
DISARMED: Final = """
watchdog.arm(time.monotonic() + 3600)
watchdog.disarm()
assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
"""
PAUSED: Final = """
async def main():
    loop, (receive, send) = asyncio.get_running_loop(), os.pipe()
    loop.add_signal_handler(signal.SIGTERM, print, "too late")  # as the operator and kopf do
    loop.add_reader(receive, print, "too late")
    loop.call_at(loop.time() + 0.2, print, "too late")
    watchdog.arm(time.monotonic() + 0.1)
    os.kill(os.getpid(), signal.SIGSTOP)
    os.write(send, b"what has waited meanwhile")
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def running(body: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([sys.executable, "-u", "-c", PROGRAM + body], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for the end of a process; return its exit code and all that it has written."""
    written, _ = process.communicate(timeout=60)
    return process.returncode, written


def state_of(process: "subprocess.Popen[str]", name: str) -> str:
    """Return a line of what the kernel says of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(value.strip() for key, _, value in (line.partition(":") for line in lines) if key == name)


@pytest.mark.parametrize("body", [BLOCKED, LATE], ids=["soon", "already over"])
def test_a_process_that_is_busy_all_the_time_is_ended_too(body: str) -> None:
    with running(body) as process:
        code, written = ended(process)

    assert code == 1
    assert "exiting at once, so that nothing more is written: the lease was not renewed in time" in written


def test_a_renewal_gives_it_more_time() -> None:
    with running(RENEWED) as process:
        assert ended(process) == (0, "")


def test_a_process_that_is_not_to_be_ended_any_more_goes_on() -> None:
    with running(DISARMED) as process:
        assert ended(process) == (0, "")


async def test_a_process_that_was_paused_does_nothing_of_what_has_waited_for_it() -> None:
    with running(PAUSED) as process:

        async def stopped() -> bool:
            return state_of(process, "State").startswith("T")

        async def pending() -> bool:
            return bool(int(state_of(process, "ShdPnd"), 16) & 1 << (signal.SIGALRM - 1))

        await until(stopped, "the process to pause")
        await until(pending, "its time to be over")
        process.send_signal(signal.SIGCONT)
        code, written = ended(process)

    assert code == 1
    assert "too late" not in written
