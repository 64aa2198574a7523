"""What every chapter of the story needs, and how it shows the application's documents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from sandbox.processes import ROOT, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.application import Application, Execution, Job
    from demo.facts import Facts
    from demo.narrate import Narrator
    from demo.terminal import Terminal

EXAMPLE: Final = Path("examples/stuck-queue/manifests")
NAMESPACE: Final = "media"
JOBS: Final = tuple(f"662f1c0e9d3e4b0001a1b2c{digit}" for digit in "345")
"""The jobs of `submit-release-1.yaml` and `queuerecovery.yaml`."""
LATER_JOB: Final = "662f1c0e9d3e4b0001a1b2c6"
"""The job of `submit-release-2.yaml`."""


@dataclass(frozen=True)
class Context:
    """Who speaks, where commands are typed, how facts are checked, and what is looked at."""

    narrator: Narrator
    terminal: Terminal
    facts: Facts
    application: Application

    async def show_jobs(self, ids: Sequence[str]) -> list[Job]:
        """Show jobs as they are in MongoDB."""
        jobs = await self.application.jobs(ids)
        rows = [(job.id, job.status, job.task_id, job.error) for job in jobs]
        self._table("app.jobs in MongoDB", ("_id", "status", "task_id", "error"), rows)
        return jobs

    async def show_executions(self, ids: Sequence[str], *, last: int) -> None:
        """Show the last executions of jobs, as the workers wrote them down in MongoDB."""
        executions = (await self.application.executions(ids))[-last:]
        rows = [(one.job, one.task_id, one.pod, one.outcome or "") for one in executions]
        self._table("app.executions in MongoDB, the last ones", ("job", "task_id", "pod", "outcome"), rows)

    async def executions(self) -> list[Execution]:
        """Return all executions of this story's jobs so far, oldest first."""
        return await self.application.executions([*JOBS, LATER_JOB])

    async def executed(
        self, tasks: frozenset[str], what: str, *, since: int = 0, pods: frozenset[str] | None = None
    ) -> None:
        """Wait until each of these tasks has been executed.

        Args:
            tasks: ids of Celery tasks that belong to jobs of this story.
            what: what is awaited, for the error message.
            since: how many of the oldest executions do not count.
            pods: whose executions count; all, if not given.
        """

        async def all_ended() -> bool:
            counted = [one for one in (await self.executions())[since:] if pods is None or one.pod in pods]
            return tasks <= {one.task_id for one in counted if one.outcome}

        await until(all_ended, what)

    async def worker_pods(self) -> frozenset[str]:
        """Return the names of the pods that render texts now."""
        found = await self.terminal.ask("kubectl get pods --selector app=tts-worker --output name")
        return frozenset(line.removeprefix("pod/") for line in found.splitlines())

    def _table(self, caption: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        self.narrator.caption(caption)
        for row in (header, *rows):
            line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.narrator.output(line.rstrip())


def submit_release_1(name: str, jobs: Sequence[str]) -> str:
    """Return `submit-release-1.yaml` under another name and with other jobs' ids."""
    manifest = yaml.safe_load((ROOT / EXAMPLE / "submit-release-1.yaml").read_text())
    manifest["metadata"]["name"] = name
    [container] = manifest["spec"]["template"]["spec"]["containers"]
    texts = [argument.partition("=")[2] for argument in container["args"]]
    container["args"] = [f"{job}={text}" for job, text in zip(jobs, texts, strict=True)]
    return yaml.safe_dump(manifest)
