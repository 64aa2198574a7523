"""The end of the story: one QueueRecovery, and the proof of its effects."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from demo.scene import EXAMPLE, JOBS, Scene
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
    async def look(cls, scene: Scene, jobs: list[Job]) -> Self:
        """Read the state from the cluster and the application."""
        return cls(
            tasks=frozenset(job.task_id for job in jobs),
            executions=len(await scene.executions()),
            worker_pods=await scene.worker_pods(),
            mail_pod=await _mail_pod(scene),
            deliveries=len(await scene.application.deliveries()),
        )


async def recover(scene: Scene) -> float:
    """Apply the QueueRecovery, follow it to its end, and return the seconds that it took."""
    scene.narrator.chapter("The way out: one QueueRecovery")
    manifest = EXAMPLE / "queuerecovery.yaml"
    await scene.terminal.run(f"cat {manifest}")
    await scene.terminal.run("kubectl get queuetargets")
    began = time.monotonic()
    await scene.terminal.run(f"kubectl apply -f {manifest}")
    await scene.terminal.watch("kubectl get queuerecoveries -w", lambda line: any(phase in line for phase in _TERMINAL))
    return time.monotonic() - began


async def prove_recovered(scene: Scene, before: Before) -> None:
    """Check each promise of the recovery against the cluster, MongoDB and Redis."""
    deliveries = len(await scene.application.deliveries())
    await scene.terminal.run("kubectl get queuerecoveries -o wide")
    scene.facts.holds("mails were delivered all the time", deliveries - before.deliveries)
    scene.facts.equal("by the same pod as before", await _mail_pod(scene), before.mail_pod)
    recovery = json.loads(await scene.terminal.ask(f"kubectl get queuerecovery {NAME} --output json"))
    status = recovery["status"]
    scene.facts.equal("the recovery succeeded", status["phase"], "Succeeded")
    messages, quarantine = status["messages"], status["quarantine"]["name"]
    scene.facts.equal("it found the three messages", (messages["found"], messages["left"]), (len(JOBS), 0))
    scene.facts.equal("they are in its quarantine", await scene.application.quarantined(quarantine), len(JOBS))

    async def all_done() -> bool:
        return all(job.status == "done" for job in await scene.application.jobs(JOBS))

    await until(all_done, "every listed job to be done")
    jobs = await scene.show_jobs(JOBS)
    scene.facts.holds("every listed job is done", all(job.status == "done" for job in jobs))
    await prove_once(scene, before)
    held = await scene.application.held()
    scene.facts.equal(
        "no message of `tts` is left, neither in its list nor in `unacked`",
        (await scene.application.waiting("tts"), held["tts"]),
        (0, 0),
    )
    workers = json.loads(await scene.terminal.ask("kubectl get deployment tts-worker --output json"))
    scene.facts.equal("two workers are back", workers["status"].get("readyReplicas"), 2)


async def prove_once(scene: Scene, before: Before) -> None:
    """Check that each job has run once since the recovery, under its new task id only."""
    since = [
        one
        for one in (await scene.executions())[before.executions :]
        if one.pod not in before.worker_pods and one.job in JOBS
    ]
    jobs = await scene.application.jobs(JOBS)
    scene.facts.equal("each listed job ran once", Counter(one.job for one in since), Counter(JOBS))
    scene.facts.equal("under its new task id", {one.task_id for one in since}, {job.task_id for job in jobs})
    scene.facts.equal("no old task id ran again", before.tasks & {one.task_id for one in since}, set())


async def prove_mails(scene: Scene) -> None:
    """Stop sending mails, wait for the last one, and check that each was delivered once."""
    scene.narrator.chapter("The healthy queue")
    await scene.terminal.run("kubectl scale deployment/mail-producer --replicas 0")
    await scene.terminal.run("kubectl wait --for=delete pod --selector app=mail-producer --timeout 30s")
    sent = await scene.application.mails_sent()

    async def all_delivered() -> bool:
        return sent <= (await scene.application.deliveries()).keys()

    await until(all_delivered, f"all {len(sent)} mails to be delivered")
    delivered = await scene.application.deliveries()
    scene.facts.equal(f"each of the {len(sent)} mails was delivered once", delivered, Counter(sent))


async def _mail_pod(scene: Scene) -> str:
    return await scene.terminal.ask("kubectl get pods --selector app=mail-worker --output name")
