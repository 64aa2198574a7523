"""The same by hand, timed: compare the operator with the shortest commands that help at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from demo.context import submit_release_1
from sandbox.processes import until

if TYPE_CHECKING:
    from demo.context import Context

_JOBS: Final = tuple(f"662f1c0e9d3e4b0001a1b2d{digit}" for digit in "345")
_WORKERS: Final = "deployment/tts-worker"


async def by_hand(context: Context) -> float:
    """Poison the queue once more, clear it by hand, and return the seconds that this took.

    It comes after the recovery, when all files are in the machine's caches: the order does not favour the operator.
    """
    context.narrator.chapter("For comparison: the same by hand")
    context.narrator.say("Release 1 enqueues three more jobs, and an expert clears the queue.")
    await context.terminal.run("kubectl apply -f -", stdin=submit_release_1("submit-release-1-again", _JOBS))

    async def poisoned() -> bool:
        jobs = await context.application.jobs(_JOBS)
        held = (await context.application.held())["tts"]
        return [job.status for job in jobs] == ["failed"] * len(_JOBS) and held == len(_JOBS)

    await until(poisoned, "the new jobs to fail and their messages to be in `unacked`")

    began = time.monotonic()
    await context.terminal.run(f"kubectl scale {_WORKERS} --replicas 0")
    await context.terminal.run("kubectl wait --for=delete pod --selector app=tts-worker --timeout 60s")
    deleted = await context.terminal.redis("DEL tts")
    await context.terminal.run(f"kubectl scale {_WORKERS} --replicas 2")
    await context.terminal.run(f"kubectl rollout status {_WORKERS}")
    seconds = time.monotonic() - began
    context.facts.equal("with the workers gone the messages were in the list", deleted, "(integer) 1")
    return seconds


def compare(context: Context, *, operator: float, hand: float) -> None:
    """Print both times and their results."""
    context.narrator.caption("Time")
    context.narrator.output(f"by hand        {hand:4.1f} s   the messages are lost, no job is enqueued")
    context.narrator.output(f"the operator   {operator:4.1f} s   the messages are quarantined, the jobs are enqueued")
    context.narrator.output(f"difference    {operator - hand:+5.1f} s")
