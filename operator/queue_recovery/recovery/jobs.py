"""The jobs that a recovery lists, and the tasks that they become. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import JobSpec, QueueRecoverySpec
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import StoredJob, Task
from queue_recovery.recovery.wording import counted, quoted

_MOST_BYTES = 1280 * 1024
"""What a spec may take together with a row for each job: etcd stores 1.5 MiB of one object, and the rest needs room."""

_ROW_BYTES = 256
"""What a row of `status.skipped` takes besides the job's name."""


@dataclass(frozen=True, kw_only=True)
class ListedJob:
    """One entry of `spec.jobs`."""

    key: str
    """Its place in the list and its typed id: two equal written-out jobs, or the ids 1 and "1", stay apart."""
    label: str
    """How people are told of it: its id, or its task with its place in the list."""
    queue: str
    """The queue that it goes to."""
    id: str | None
    """Id in the job store as text; None: written out."""
    spec: JobSpec


def listed(spec: QueueRecoverySpec) -> list[ListedJob]:
    """Return the recovery's jobs in their order.

    Raises RecoveryError (`DuplicateJob`) when an id is listed there twice.
    """
    jobs: list[ListedJob] = []
    first_at: dict[str, int] = {}
    for index, job in enumerate(spec.jobs):
        queue = job.queue or spec.queue
        if job.id is None:
            label = f"{job.task} (jobs[{index}])"
            jobs.append(ListedJob(key=f"{index}:task", label=label, queue=queue, id=None, spec=job))
            continue
        job_id = str(job.id)
        if job_id in first_at:
            raise RecoveryError(
                Reason.DUPLICATE_JOB,
                f'job "{job_id}" is listed twice (jobs[{first_at[job_id]}] and jobs[{index}]). '
                "Create a recovery that lists it once",
            )
        first_at[job_id] = index
        key = f"{index}:{type(job.id).__name__}:{job_id}"
        jobs.append(ListedJob(key=key, label=job_id, queue=queue, id=job_id, spec=job))
    return jobs


def job_id(key: str) -> str | int | None:
    """Return the id of the job that has this key (`ListedJob.key`), typed as in the spec; None: it was written out."""
    _, kind, *text = key.split(":", 2)
    if not text:
        return None
    return int(text[0]) if kind == "int" else text[0]


def check_size(spec: QueueRecoverySpec, jobs: Sequence[ListedJob]) -> None:
    """Raise RecoveryError (`SpecTooLarge`) when the status of all these jobs might not fit in beside the spec.

    Later it could not be written: the API server would refuse it each time.
    """
    stored = spec.model_dump_json(by_alias=True, exclude_none=True).encode()
    size = len(stored) + sum(_ROW_BYTES + len(job.label.encode()) for job in jobs)
    if size > _MOST_BYTES:
        raise RecoveryError(
            Reason.SPEC_TOO_LARGE,
            f"the spec and the status of its {counted(len(jobs), 'job')} may take {size} bytes, and at most "
            f"{_MOST_BYTES} can be stored. Spread the jobs over several recoveries",
        )


def by_queue(jobs: Iterable[ListedJob]) -> dict[str, list[ListedJob]]:
    """Return the jobs by the queue that they go to, each queue's in their order."""
    grouped: dict[str, list[ListedJob]] = {}
    for job in jobs:
        grouped.setdefault(job.queue, []).append(job)
    return grouped


def task_id(uid: str, job: ListedJob) -> str:
    """Return the Celery task id of a job in a recovery; the same one at every attempt."""
    return str(uuid5(UUID(uid), job.key))


def check_task(job: ListedJob, stored: StoredJob | None, queue: QueueSpec, uid: str) -> Task:
    """Return the task that a job becomes.

    Raises RecoveryError (`NoTaskName`, `TaskNotAllowed`, `InvalidArguments`) when it cannot be enqueued as it is.
    """
    if stored is None:
        name, args, kwargs = job.spec.task, job.spec.args or "[]", job.spec.kwargs or "{}"
        bounded = True
    else:
        message = queue.message
        name = stored.task or (message.task if message else None)
        message_args, message_kwargs = (message.args, message.kwargs) if message else ("[]", "{}")
        args = expand(message_args, stored.id) if stored.args is None else stored.args
        kwargs = expand(message_kwargs, stored.id) if stored.kwargs is None else stored.kwargs
        bounded = bool(queue.tasks)
    if not name:
        raise RecoveryError(
            Reason.NO_TASK_NAME,
            f'neither the document of job "{job.label}" nor the message of queue "{queue.name}" names a task. Map '
            "fields.task in the target, or add message.task to the queue",
        )
    allowed = {*queue.tasks, *([queue.message.task] if queue.message else [])}
    if bounded and name not in allowed:
        raise RecoveryError(
            Reason.TASK_NOT_ALLOWED,
            f'the target does not allow task "{name}" of job "{job.label}" in queue "{queue.name}". '
            f"Allowed: {quoted(sorted(allowed)) or 'none'}. Add the task to tasks of the queue in the target",
        )
    _check_json(job, "args", args, list, "array")
    _check_json(job, "kwargs", kwargs, dict, "object")
    return Task(key=job.key, task_id=task_id(uid, job), task=name, args=args, kwargs=kwargs)


def check_found(jobs: Sequence[ListedJob], stored: Mapping[str, StoredJob]) -> None:
    """Raise RecoveryError (`JobNotFound`) when a listed id has no document."""
    missing = [job.label for job in jobs if job.id is not None and job.id not in stored]
    if missing:
        raise RecoveryError(
            Reason.JOB_NOT_FOUND,
            f"the job store has no document for {quoted(missing)}. Check the ids, and the database, collection and "
            "idType in the target",
        )


def expand(template: str, job_id: str) -> str:
    r"""Put the job's id in place of `$(id)` in JSON text, inside quotes or bare.

    >>> expand('["$(id)", 1.0]', 'a"b')
    '["a\\"b", 1.0]'
    """
    return template.replace("$(id)", json.dumps(job_id)[1:-1])


def _check_json(job: ListedJob, field: str, text: str, kind: type, name: str) -> None:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise RecoveryError(
            Reason.INVALID_ARGUMENTS,
            f'{field} of job "{job.label}" is not a JSON {name}. Write it as in `celery call`, '
            + ("such as '[\"hello\", 1]'" if kind is list else 'such as \'{"voice": "alto"}\''),
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
