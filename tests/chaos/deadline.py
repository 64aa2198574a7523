"""The deadline of one case: the campaign goes on with the next one also when a case does not end."""

import asyncio
import gc
import time
from asyncio import Future, Task
from collections.abc import Coroutine, Iterator
from pathlib import Path
from traceback import format_exception
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final

from tests.chaos.cases import Case, Result

CASE_SECONDS: Final = 900
"""More than all the waits of a case together."""

_FRAMES: Final = ("cr_frame", "ag_frame", "gi_frame")
_AWAITED: Final = ("cr_await", "ag_await", "gi_yieldfrom")
_WAITING: Final = (CoroutineType, AsyncGeneratorType, GeneratorType, Future)


async def result_of(case: Case, running: Coroutine[Any, Any, Result], *, seconds: float = CASE_SECONDS) -> Result:
    """Return a case's result; for one that has not ended in time, or has raised, one that says so."""
    began = time.monotonic()
    task = asyncio.ensure_future(running)
    # Neither `timeout` nor `wait_for`: they wait for a task that drops its cancellation.
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        places = list(waits_in(task))
        task.cancel()
        wrong, evidence = f"the case has not ended in {seconds:.0f} s, and waits in {places[-1]}", "\n".join(places)
    elif error := task.exception():
        wrong, evidence = f"the case has raised {error!r}", "".join(format_exception(error))
    else:
        return task.result()
    return Result(
        case=case,
        reached=False,
        phase="not ended",
        violations=[f"harness: {wrong}"],
        seconds=time.monotonic() - began,
        traces=[],
        nonconforming="",
        evidence=evidence,
    )


def waits_in(task: Task[Any]) -> Iterator[str]:
    """Yield where each coroutine is that a task waits in, the outermost first; also those of tasks that it awaits."""
    waiting: list[object] = [task]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        frame: FrameType | None = next((found for name in _FRAMES if (found := getattr(one, name, None))), None)
        if frame is not None:
            yield f"{frame.f_code.co_qualname} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
        waiting += _awaited_by(one)


def _awaited_by(one: object) -> list[object]:
    if isinstance(one, Task):
        return [one.get_coro()]
    if isinstance(one, Future):
        return list(getattr(one, "_children", ()))  # of `gather`
    inner = next((found for name in _AWAITED if (found := getattr(one, name, None)) is not None), None)
    if inner is None or isinstance(inner, _WAITING):
        return [] if inner is None else [inner]
    # What awaits a future, or the next item of an asynchronous generator, names it to the garbage collector only.
    return [found for found in gc.get_referents(inner) if isinstance(found, _WAITING)]
