"""The end of the story: one QueueRecovery, and the proof of its effects."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from demo.context import EXAMPLE, JOBS, Context
from sandbox.processes import until

if TYPE_CHECKING:
    from demo.application import Job

NAME: Final = "tts-wrong-shape"
_TERMINAL: Final = ("Succeeded", "Failed", "Cancelled")


@dataclass(frozen=True)
class Before:
    """The state of the application when the recovery was applied."""

    tasks: frozenset[str]
    """The poisoned ones."""
    executions: int
    worker_pods: frozenset[str]
    """The workers may execute poisoned tasks until they have ended."""
    mail_pod: str
    deliveries: int

    @classmethod
    async def look(cls, context: Context, jobs: list[Job]) -> Self:
        """Read the state from the cluster and the application."""
        return cls(
            tasks=frozenset(job.task_id for job in jobs),
            executions=len(await context.executions()),
            worker_pods=await context.worker_pods(),
            mail_pod=await _mail_pod(context),
            deliveries=len(await context.application.deliveries()),
        )


async def recover(context: Context) -> float:
    """Apply the QueueRecovery, follow it to its end, and return the seconds that it took."""
    context.narrator.chapter("The way out: one QueueRecovery")
    manifest = EXAMPLE / "queuerecovery.yaml"
    await context.terminal.run(f"cat {manifest}")
    await context.terminal.run("kubectl get queuetargets")
    began = time.monotonic()
    await context.terminal.run(f"kubectl apply -f {manifest}")
    await context.terminal.watch(
        "kubectl get queuerecoveries -w", lambda line: any(phase in line for phase in _TERMINAL)
    )
    return time.monotonic() - began


async def prove_recovered(context: Context, before: Before) -> None:
    """Check each promise of the recovery against the cluster, MongoDB and Redis."""
    deliveries = len(await context.application.deliveries())
    await context.terminal.run("kubectl get queuerecoveries -o wide")
    context.facts.holds("mails were delivered all the time", deliveries - before.deliveries)
    context.facts.equal("by the same pod as before", await _mail_pod(context), before.mail_pod)
    recovery = json.loads(await context.terminal.ask(f"kubectl get queuerecovery {NAME} --output json"))
    status = recovery["status"]
    context.facts.equal("the recovery succeeded", status["phase"], "Succeeded")
    messages, quarantine = status["messages"], status["quarantine"]["name"]
    context.facts.equal("it found the three messages", (messages["found"], messages["left"]), (len(JOBS), 0))
    context.facts.equal("they are in its quarantine", await context.application.quarantined(quarantine), len(JOBS))

    async def all_done() -> bool:
        return all(job.status == "done" for job in await context.application.jobs(JOBS))

    await until(all_done, "every listed job to be done")
    jobs = await context.show_jobs(JOBS)
    context.facts.holds("every listed job is done", all(job.status == "done" for job in jobs))
    await prove_once(context, before)
    held = await context.application.held()
    context.facts.equal(
        "no message of `tts` is left, neither in its list nor in `unacked`",
        (await context.application.waiting("tts"), held["tts"]),
        (0, 0),
    )
    workers = json.loads(await context.terminal.ask("kubectl get deployment tts-worker --output json"))
    context.facts.equal("two workers are back", workers["status"].get("readyReplicas"), 2)


async def prove_once(context: Context, before: Before) -> None:
    """Check that each job has run once since the recovery, under its new task id only."""
    since = [
        one
        for one in (await context.executions())[before.executions :]
        if one.pod not in before.worker_pods and one.job in JOBS
    ]
    jobs = await context.application.jobs(JOBS)
    context.facts.equal("each listed job ran once", Counter(one.job for one in since), Counter(JOBS))
    context.facts.equal("under its new task id", {one.task_id for one in since}, {job.task_id for job in jobs})
    context.facts.equal("no old task id ran again", before.tasks & {one.task_id for one in since}, set())


async def prove_mails(context: Context) -> None:
    """Stop sending mails, wait for the last one, and check that each was delivered once."""
    context.narrator.chapter("The healthy queue")
    await context.terminal.run("kubectl scale deployment/mail-producer --replicas 0")
    await context.terminal.run("kubectl wait --for=delete pod --selector app=mail-producer --timeout 30s")
    sent = await context.application.mails_sent()

    async def all_delivered() -> bool:
        return sent <= (await context.application.deliveries()).keys()

    await until(all_delivered, f"all {len(sent)} mails to be delivered")
    delivered = await context.application.deliveries()
    context.facts.equal(f"each of the {len(sent)} mails was delivered once", delivered, Counter(sent))


async def _mail_pod(context: Context) -> str:
    return await context.terminal.ask("kubectl get pods --selector app=mail-worker --output name")
