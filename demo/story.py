"""The story up to the recovery: a queue gets stuck, and the usual attempts do not help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demo.context import EXAMPLE, JOBS, LATER_JOB, Context
from sandbox.processes import until

if TYPE_CHECKING:
    from collections import Counter

    from demo.application import Job

OPERATOR_NAMESPACE: Final = "queue-recovery"
_WORKERS: Final = "deployment/tts-worker"


async def install(context: Context, redis_url: str, mongo_url: str) -> None:
    """Install the application and the operator."""
    context.narrator.chapter("An application, and the operator beside it")
    context.narrator.say(
        "Text to speech: jobs are documents in MongoDB, two workers take them from the Celery queue `tts`. On the same "
        "Redis there is a second queue, `mail`, with its own worker. It is healthy, and busy all the time."
    )
    run = context.terminal.run
    await run("kubectl create namespace media")
    await run(f"kubectl create secret generic redis --from-literal=url={redis_url}")
    await run(f"kubectl create secret generic mongo --from-literal=url={mongo_url}")
    await run(f"kubectl apply -k {EXAMPLE}")
    context.narrator.say(
        "The operator has its own Deployment and ServiceAccount. A RoleBinding in the namespace grants it access, and "
        "a QueueTarget says what may be recovered."
    )
    await run("kubectl apply -k manifests")
    await run("kubectl apply -n media -k manifests/tenant")
    await run("kubectl wait --for=condition=Established customresourcedefinition --all")
    await run(f"kubectl apply -f {EXAMPLE / 'queuetarget.yaml'}")
    for deployment in ("tts-worker", "mail-worker", "mail-producer"):
        await run(f"kubectl rollout status deployment/{deployment}")
    await run(f"kubectl rollout status -n {OPERATOR_NAMESPACE} deployment/queue-recovery")
    await run("kubectl wait --for=condition=Ready queuetarget/media --timeout 30s")
    await until(context.application.deliveries, "the first mail to be delivered")


async def poison(context: Context) -> list[Job]:
    """Let release 1 of the producer enqueue three jobs, and return them."""
    context.narrator.chapter("A release goes wrong")
    context.narrator.say(
        "Release 1 of the producer sends the text in the message, to save the worker a read. It has the text as a "
        "bytearray, which becomes a list of numbers in JSON."
    )
    await context.terminal.run(f"kubectl apply -f {EXAMPLE / 'submit-release-1.yaml'}")
    await context.terminal.run("kubectl wait --for=condition=complete job/submit-release-1")
    await context.terminal.run("kubectl logs job/submit-release-1")
    tasks = _tasks(await context.application.jobs(JOBS))
    await context.executed(tasks, "each task to be executed")
    await context.executed(tasks, "each task to be retried", since=len(await context.executions()))
    jobs = await context.show_jobs(JOBS)
    await context.terminal.run("kubectl logs --selector app=tts-worker --prefix --tail 3")
    context.facts.equal("every job has failed", [job.status for job in jobs], ["failed"] * len(JOBS))
    context.facts.holds("each with a TypeError", all(job.error.startswith("TypeError") for job in jobs))
    return jobs


async def reset_one(context: Context, jobs: list[Job], redis_url: str) -> None:
    """Reset a job in MongoDB and enqueue it again with correct arguments."""
    context.narrator.chapter("Try 1: reset a job and enqueue it again")
    job = jobs[0]
    context.narrator.caption("In MongoDB")
    context.narrator.output(f'app.jobs.update_one({{_id: ObjectId("{job.id}")}}, {{$set: {{status: "pending"}}}})')
    await context.application.set_pending(job.id)
    answer = await context.terminal.run(
        f"""celery --broker {redis_url} call tts.render --args '["{job.id}"]' --queue tts"""
    )
    new_task = answer.split()[-1]
    await context.executed(frozenset({new_task}), "the new message to be executed")
    since = len(await context.executions())
    await context.executed(_tasks(jobs), "the old messages to be executed again", since=since)
    await context.show_executions([job.id], last=4)
    [after] = await context.show_jobs([job.id])
    outcomes = [one.outcome for one in await context.executions() if one.task_id == new_task]
    context.facts.equal("the new message got the job done", outcomes, ["done"])
    context.facts.equal("then the old one ran again, and the job is failed once more", after.status, "failed")


async def delete_the_queue(context: Context) -> None:
    """Look for the messages in the queue's list, and delete the list."""
    context.narrator.chapter("Try 2: delete the queue")

    async def between_attempts() -> Counter[str] | None:
        held = await context.application.held()
        return held if held["tts"] == len(JOBS) else None

    by_queue = await until(between_attempts, "the three messages to wait for their next attempt")
    length = await context.terminal.redis("LLEN tts")
    deleted = await context.terminal.redis("DEL tts")
    held = await context.terminal.redis("HLEN unacked")
    context.narrator.say(
        "Between two attempts a message is in `unacked`, a hash that all queues share. Deleting it would lose mails, "
        "and the messages in the workers' memory would still run."
    )
    context.facts.equal("LLEN shows an empty queue", length, "(integer) 0")
    context.facts.equal("DEL deletes nothing", deleted, "(integer) 0")
    context.facts.holds("`unacked` is not empty", held != "(integer) 0")
    context.facts.equal("three of its messages are of `tts`", by_queue["tts"], len(JOBS))
    context.facts.holds("the others are mails", by_queue["mail"])


async def restart(context: Context, jobs: list[Job]) -> None:
    """Restart the workers."""
    context.narrator.chapter("Try 3: restart the workers")
    await _roll_out(context, jobs, f"kubectl rollout restart {_WORKERS}")
    context.narrator.say(
        "A worker that stops cleanly returns its messages to the queue, and the next worker takes them."
    )
    context.facts.equal(
        "the jobs are failed as before", {job.status for job in await context.application.jobs(JOBS)}, {"failed"}
    )


async def fix(context: Context, jobs: list[Job]) -> None:
    """Roll out the fixed release."""
    context.narrator.chapter("Try 4: roll out the fix")
    context.narrator.say("Release 2 of the producer sends only the id, and the worker reads the text from MongoDB.")
    await _roll_out(context, jobs, f"kubectl set image {_WORKERS} worker=stuck-queue-app:2")
    await context.terminal.run(f"kubectl apply -f {EXAMPLE / 'submit-release-2.yaml'}")
    await context.terminal.run("kubectl wait --for=condition=complete job/submit-release-2")
    [new] = await context.application.jobs([LATER_JOB])
    await context.executed(frozenset({new.task_id}), "the new job to be done")
    found = await context.show_jobs([*JOBS, LATER_JOB])
    context.facts.equal("a new job is done at once", found[-1].status, "done")
    context.facts.equal("the old ones still fail", [job.status for job in found[:-1]], ["failed"] * len(JOBS))
    context.narrator.say("The defect is in the messages. No worker can ever process them.")


async def _roll_out(context: Context, jobs: list[Job], command: str) -> None:
    """Replace the workers' pods, and wait until the jobs' tasks have been executed in the new ones."""
    before = await context.worker_pods()
    await context.terminal.run(command)
    await context.terminal.run(f"kubectl rollout status {_WORKERS}")
    pods = await context.worker_pods() - before
    await context.executed(_tasks(jobs), "the old messages to run in the new pods", pods=pods)
    await context.show_executions(JOBS, last=len(JOBS))


def _tasks(jobs: list[Job]) -> frozenset[str]:
    return frozenset(job.task_id for job in jobs)
