"""What must hold of each listed job when a recovery is over that is the only one of its queue."""

from collections.abc import Iterator

from tests.chaos.observation import RUN, Observation
from tests.chaos.scenario import Listed, Scenario


def ran_once(scenario: Scenario, observed: Observation, job: Listed) -> Iterator[str]:
    """Yield what does not hold: a job ran once, or is named as skipped, looks as before, and waits for no message."""
    task = job.task_id(scenario.uid)
    found = observed.places.get(task, [])
    document = observed.documents.get(job.label)
    status = scenario.watched.status
    skipped = {row["id"]: row["reason"] for row in status.get("skipped", [])}
    if document and document.get("task_id") == task and found != [RUN]:
        yield f"job {job.label} is {document['status']} as task {task}, whose message is in {found}"
    marked = f"job:{job.key}" in observed.run
    if found != ([RUN] if marked else []):
        yield f"job {job.label} has {'a' if marked else 'no'} marker, and its task is in {found}"
    if found:
        if job.label in skipped:
            yield f"job {job.label} is named as skipped ({skipped[job.label]}), and was enqueued"
        if document and (document["status"], document["task_id"]) != ("pending", task):
            yield f"job {job.label} was enqueued, and its document says {document['status']} {document['task_id']}"
        return
    if (
        scenario.watched.ended
        and "drainStartTime" in status
        and "completionTime" in status
        and job.label not in skipped
    ):
        yield f"job {job.label} was not enqueued, and is not named as skipped"
    if document and job.document:
        before = {key: value for key, value in document.items() if key != "queueRecovery"}
        if before != job.document:
            yield f"job {job.label} was not enqueued, and its document has changed: {before}"
        stamp = document.get("queueRecovery", {}).get(scenario.uid)
        if stamp is not None and not stamp.get("released"):
            yield f"job {job.label} was not enqueued, and its stamp is not released"
