"""Steps of a recovery of the queue `tts` with a real broker, a job store in memory, and no Kubernetes."""

from collections.abc import Mapping
from uuid import uuid4

from queue_recovery.broker import RedisBroker
from tests.recovery.fakes import Case, target


def stored_recovery(broker: RedisBroker, jobs: Mapping[str, str], /, spec: Mapping[str, object] | None = None) -> Case:
    """Return a recovery that lists these jobs, given with their statuses, by id."""
    case = Case(spec, jobs=list(jobs), uid=str(uuid4()))
    for job, status in jobs.items():
        case.jobs.change(job, status)
    case.environment.connects_to = broker
    return case


def set_recoverable(case: Case, *statuses: str) -> None:
    """Change the target's statuses of jobs that may be enqueued."""
    store = {"urlSecretRef": {"name": "mongo", "key": "url"}, "database": "app", "collection": "jobs"}
    wanted = {"recoverable": [*statuses], "pending": "pending"}
    mongodb = {**store, "idType": "String", "statuses": wanted}
    case.environment.targets["media"] = target(jobStore={"mongodb": mongodb})
