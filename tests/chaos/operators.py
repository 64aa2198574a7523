"""The harness's side of operators: starting, watching, striking and ending them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from sandbox.processes import ROOT, until
from tests.chaos.points import POINTS, TRACE, Crossing, Moment, Point


class Operator:
    """One process of the operator."""

    def __init__(self, pid: int, trace: Path, log: Path) -> None:
        """Take a process that has just been started."""
        self.log = log
        self._pid = pid
        self._trace = trace
        self._ended = asyncio.Event()
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self._ended.set()
        else:
            asyncio.get_running_loop().add_reader(self._handle, self._end)

    @property
    def alive(self) -> bool:
        """Whether it runs, or is stopped."""
        return not self._ended.is_set()

    async def ended(self) -> None:
        """Wait for its end."""
        await self._ended.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; does nothing once it has ended."""
        with suppress(ProcessLookupError):
            if self.alive:
                signal.pidfd_send_signal(self._handle, number)

    async def kill(self) -> None:
        """Kill it, and wait for its end."""
        self.send(signal.SIGKILL)
        await self.ended()

    def crossings(self) -> list[Crossing]:
        """Return what it has written to its trace so far."""
        if not self._trace.exists():
            return []
        whole = self._trace.read_text().rpartition("\n")[0]  # the last line may be in the middle of being written
        return [Crossing.model_validate_json(line) for line in whole.splitlines()]

    def hit(self) -> Crossing | None:
        """Return where it was hit, if it was."""
        return next((one for one in self.crossings() if one.moment is Moment.HIT), None)

    async def crosses(self, wanted: Callable[[Crossing], bool], what: str, *, seconds: float = 90) -> Crossing:
        """Wait until its trace holds such a line.

        Raises:
            DeadlineError: it does not in time.
        """

        async def found() -> Crossing | None:
            return next((one for one in self.crossings() if wanted(one)), None)

        return await until(found, what, seconds=seconds)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        self._ended.set()


class Operators:
    """Starts operators."""

    def __init__(self, source: asyncio.subprocess.Process, folder: Path) -> None:
        """Take the process that forks them, and where their traces and logs go."""
        self._source = source
        self._folder = folder
        self._one_at_a_time = asyncio.Lock()
        self._started = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Self]:
        """Load the operator once, in a process that ends with the block."""
        folder.mkdir()  # noqa: ASYNC240  # once, on a local disk
        source = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.chaos.dying_operator",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        assert source.stdin is not None
        try:
            yield cls(source, folder)
        finally:
            source.stdin.close()
            await source.wait()

    @asynccontextmanager
    async def start(self, environment: Mapping[str, str], points: Sequence[Point] = ()) -> AsyncIterator[Operator]:
        """Start an operator that is hit at these points; it ends with the block at the latest."""
        assert self._source.stdin is not None
        assert self._source.stdout is not None
        async with self._one_at_a_time:
            self._started += 1
            trace, log = (self._folder / f"{self._started}.{ending}" for ending in ("trace", "log"))
            own = {TRACE: str(trace), POINTS: TypeAdapter(list[Point]).dump_json(list(points)).decode()}
            order = {"environment": {**environment, **own}, "log": str(log)}
            self._source.stdin.write(json.dumps(order).encode() + b"\n")
            pid = int(await self._source.stdout.readline())
        operator = Operator(pid, trace, log)
        try:
            yield operator
        finally:
            await operator.kill()
