"""The jobs that a recovery lists, and the tasks that are made from them. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import JobSpec, QueueRecoverySpec
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import StoredJob, Task
from queue_recovery.recovery.wording import counted, named, quoted

_MOST_BYTES = 1280 * 1024
"""Size limit of a spec with a row for each job: etcd stores 1.5 MiB of an object, the rest is a reserve."""

_ROW_BYTES = 256
"""Size of a row of `status.skipped` without the job's name."""


@dataclass(frozen=True, kw_only=True)
class ListedJob:
    """One entry of `spec.jobs`."""

    key: str
    """Position in the list and typed id, so that equal written-out jobs, or the ids 1 and "1", are distinct."""
    label: str
    """The job's name in messages: its id, or its task with its position in the list."""
    queue: str
    """The queue into which the job is enqueued."""
    id: str | None
    """Id in the job store as text; None: written out."""
    spec: JobSpec


def listed(spec: QueueRecoverySpec) -> list[ListedJob]:
    """Return the jobs of a spec in their order.

    Raises RecoveryError (`DuplicateJob`) when an id is listed twice.
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
    """Return the id in a job's key (`ListedJob.key`), typed as in the spec.

    None: it was written out, or the key, which any client of the broker may have written, is not one of a job.
    """
    _, _, rest = key.partition(":")
    kind, _, text = rest.partition(":")
    if kind != "int":
        return text or None
    try:
        return int(text)
    except ValueError:
        return None


def check_size(spec: QueueRecoverySpec, jobs: Sequence[ListedJob]) -> None:
    """Raise RecoveryError (`SpecTooLarge`) when spec and status might not fit into one object.

    The API server would refuse the status later, after the workers are stopped.
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
    """Group jobs by the queue into which they are enqueued, in their order."""
    grouped: dict[str, list[ListedJob]] = {}
    for job in jobs:
        grouped.setdefault(job.queue, []).append(job)
    return grouped


def task_id(uid: str, job: ListedJob) -> str:
    """Return the Celery task id of a job in a recovery; it is always the same."""
    return str(uuid5(UUID(uid), job.key))


def _ways_to_a_task(queue: QueueSpec) -> str:
    """Return what to do about a job without a task; a job that is written out needs a task that the queue allows."""
    if queue.tasks:
        return (
            f"Create a recovery that writes the job out (task, one of {quoted(sorted(queue.tasks))}, and args), or "
            "first map fields.task or add message.task in the target"
        )
    return (
        "First map fields.task or add message.task in the target, or add the task to the queue's tasks there; in the "
        "last case, create a recovery that writes the job out (task, args)"
    )


def task_name(job: ListedJob, stored: StoredJob | None, queue: QueueSpec) -> str | None:
    """Return the name of the task that is enqueued for a job; None: none is known."""
    if job.id is None:
        return job.spec.task
    return (stored.task if stored else None) or (queue.message.task if queue.message else None)


def check_task(job: ListedJob, stored: StoredJob | None, queue: QueueSpec, uid: str) -> Task:
    """Return the task that is enqueued for a job.

    Raises RecoveryError (`NoTaskName`, `TaskNotAllowed`, `InvalidArguments`) when no valid task can be
    made from the job.
    """
    name = task_name(job, stored, queue)
    if stored is None:
        args, kwargs = job.spec.args or "[]", job.spec.kwargs or "{}"
        bounded = True
    else:
        message = queue.message
        message_args, message_kwargs = (message.args, message.kwargs) if message else ("[]", "{}")
        args = expand(message_args, stored.id) if stored.args is None else stored.args
        kwargs = expand(message_kwargs, stored.id) if stored.kwargs is None else stored.kwargs
        bounded = bool(queue.tasks)
    if not name:
        raise RecoveryError(
            Reason.NO_TASK_NAME,
            f'neither the document of job "{job.label}" nor the message of queue "{queue.name}" names a task. '
            f"{_ways_to_a_task(queue)}",
        )
    allowed = {*queue.tasks, *([queue.message.task] if queue.message else [])}
    if bounded and name not in allowed:
        raise RecoveryError(
            Reason.TASK_NOT_ALLOWED,
            f'the target does not allow task "{name}" of job "{job.label}" in queue "{queue.name}". '
            f"Allowed: {quoted(sorted(allowed)) or 'none'}. Create a recovery with an allowed task, or first add the "
            "task to the queue's tasks in the target",
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
            "idType in the target; then create a new recovery",
        )


def check_task_ids(jobs: Iterable[ListedJob], stored: Mapping[str, StoredJob]) -> None:
    """Raise RecoveryError (`TaskIdNotText`) when a document's task id is not text.

    The message of such a job is not found in the queue, and its claim matches nothing.
    """
    types = {job.label: stored[job.id].task_id_type for job in jobs if job.id is not None and job.id in stored}
    wrong = [f'"{label}" ({kind})' for label, kind in types.items() if kind is not None]
    if wrong:
        raise RecoveryError(
            Reason.TASK_ID_NOT_TEXT,
            f"the job store holds the task ids of these jobs not as text: {named(wrong)}. Store task ids as text, as "
            "Celery writes them, or leave these jobs out; then create a new recovery",
        )


def expand(template: str, job_id: str) -> str:
    r"""Replace `$(id)` in JSON text with the job's id, inside quotes or bare.

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
            f'the {field} of job "{job.label}" are not a JSON {name}. Write them as for `celery call`, '
            + ("such as '[\"hello\", 1]'" if kind is list else 'such as \'{"voice": "alto"}\'')
            + ", in a new recovery",
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
