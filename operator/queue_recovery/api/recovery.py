"""QueueRecovery: one recovery of one queue, or of all queues of its target."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StrictInt, StrictStr

from queue_recovery.api.base import (
    EVERY_QUEUE,
    Explained,
    JsonText,
    Message,
    Model,
    Note,
    ObjectName,
    QueueName,
    Rules,
    ShownName,
    TaskName,
    Timestamp,
    list_map,
    with_rules,
)
from queue_recovery.api.conditions import Condition
from queue_recovery.api.restore import RestoreFrom
from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.tails import Tails
from queue_recovery.api.target import TargetRef

FINALIZER = "queuerecovery.dev/active"
"""Held while a recovery is running, so that deleting it brings the workers back first."""

JobId = Annotated[StrictInt | Annotated[StrictStr, Field(min_length=1, max_length=256)], Field()]
"""Id of a job in the job store: an integer, or text."""


class Phase(Explained):
    """Where a recovery is; derived from its conditions (see `recovery.phase`)."""

    PENDING = "Pending", "What it refers to is looked up, and the spec is checked against the target."
    PLANNING = "Planning", "What would be purged, kept and enqueued has been counted; `suspend` holds here."
    DRAINING = "Draining", "The workers are scaled to 0, and their pods end."
    PURGING = "Purging", "The queue's messages are moved into the quarantine."
    RESTARTING = "Restarting", "The workers have their replicas back; their rollout is under way."
    REENQUEUING = "Reenqueuing", "The jobs are claimed and enqueued; `suspend` holds between them."
    RESTORING = "Restoring", "With `restoreFrom`: messages of an earlier recovery are brought back into the queue."
    SUCCEEDED = "Succeeded", "Every job was enqueued, or skipped for a reason."
    FAILED = "Failed", "It could not go on; the message says why, and what to do."
    CANCELLED = "Cancelled", "It was cancelled or deleted; the message says what had been done."


_FIXED = "fixed once created; only suspend and cancel may change. For another recovery, create one with another name"


def _fixed(name: str) -> JsonValue:
    return {
        "rule": f"self.{name} == oldSelf.{name}",
        "fieldPath": f".{name}",
        "reason": "FieldValueForbidden",
        "message": _FIXED,
    }


_MOST_ARGUMENTS: dict[str, JsonValue] = {
    "rule": "self.map(job, (has(job.args) ? job.args.size() : 0) + (has(job.kwargs) ? job.kwargs.size() : 0)).sum()"
    " <= 524288",
    "message": "args and kwargs of all jobs together may not be longer than 524288 characters; "
    "spread the jobs over several recoveries",
}
"""What etcd stores of one object is bounded (1.5 MiB), and the status has to fit in beside the jobs."""


class JobSpec(Model):
    """One job to enqueue anew: looked up by `id`, or written out by `task`."""

    id: JobId | None = Field(
        None, description="Id in the job store, as the target's `idType` says: text, or an integer."
    )
    queue: QueueName | None = Field(
        None, description="The queue that it goes to: one of the target's. Given when the recovery's queue is `*`."
    )
    task: TaskName | None = Field(None, description="Task of a job that is written out.")
    args: JsonText | None = Field(None, description="Its arguments: a JSON array as text, as in `celery call`.")
    kwargs: JsonText | None = Field(None, description="Its keyword arguments: a JSON object as text.")

    model_config = with_rules(
        [
            {
                "rule": "has(self.id) != has(self.task)",
                "message": "a job is either an id (looked up in the job store) or a task (written out)",
            },
            {
                "rule": "has(self.task) || (!has(self.args) && !has(self.kwargs))",
                "message": "args and kwargs belong to a job that names its task",
            },
        ]
    )


class PurgeSpec(Model):
    """What happens to the messages that lie in the queue."""

    mode: Literal["Quarantine", "None"] = Field(
        "Quarantine",
        description="Quarantine: stop the workers, take every message of the queue out of the workers' reach, and "
        "keep it. None: remove nothing and stop no worker; a job whose message is still there is skipped.",
    )
    retention_seconds: int = Field(
        604800,
        ge=0,
        le=31536000,
        description="How long the messages are kept once the recovery has ended; 0: removed for good as soon as it "
        "has succeeded.",
    )
    select: PurgeSelect | None = Field(
        None,
        description="Take only the messages whose headers match every field of it; all others, and those that cannot "
        "be read, stay as they are and keep their order. Left out: every message is taken.",
    )

    model_config = with_rules(
        [
            {
                "rule": "!has(self.select) || self.mode == 'Quarantine'",
                "fieldPath": ".select",
                "message": "select belongs to mode Quarantine; mode None takes nothing",
            }
        ]
    )


class RestartSpec(Model):
    """How the workers are stopped and started."""

    strategy: Literal["Recreate", "Manual"] = Field(
        "Recreate",
        description="Recreate: the operator scales the Deployments to 0 and back. "
        "Manual: you do, and the operator waits for it.",
    )


class ReenqueueSpec(Model):
    """How the jobs are enqueued."""

    rate_per_second: int = Field(0, ge=0, le=10000, description="Jobs enqueued each second; 0: no limit.")


_RESTORES_ONLY: Rules = [
    {
        "rule": f"!has(self.restoreFrom) || {untouched}",
        "fieldPath": f".{name}",
        "message": "restoreFrom only puts messages back: leave jobs, purge, restart and reenqueue out",
    }
    for name, untouched in (
        ("jobs", "self.jobs.size() == 0"),
        (
            "purge",
            "(self.purge.mode == 'Quarantine' && self.purge.retentionSeconds == 604800 && !has(self.purge.select))",
        ),
        ("restart", "self.restart.strategy == 'Recreate'"),
        ("reenqueue", "self.reenqueue.ratePerSecond == 0"),
    )
]
"""What has a default cannot be told from what was left out: the default is what is asked for."""


class QueueRecoverySpec(Model):
    """Written during an incident, by hand or through Git."""

    target_ref: TargetRef = Field(description="The QueueTarget that the queue belongs to.")
    queue: QueueName = Field(
        description="The queue to recover: one of the target's. `*`: all queues of the target, in one go."
    )
    jobs: list[JobSpec] = Field(
        [],
        max_length=1000,
        description="Jobs to enqueue anew, once each; none: the queue is only purged.",
        json_schema_extra={"x-kubernetes-validations": [_MOST_ARGUMENTS]},
    )
    purge: PurgeSpec = Field(PurgeSpec(), description="What happens to the messages in the queue.")
    restart: RestartSpec = Field(RestartSpec(), description="How the workers are stopped and started.")
    reenqueue: ReenqueueSpec = Field(ReenqueueSpec(), description="How the jobs are enqueued.")
    restore_from: RestoreFrom | None = Field(
        None,
        description="Instead of `jobs` and `purge`: put messages that an earlier recovery has taken back into the "
        "queue, where they are consumed next. No worker is stopped.",
    )
    starting_deadline_seconds: int = Field(
        86400, ge=1, le=31536000, description="How long it may wait before the workers are stopped."
    )
    active_deadline_seconds: int = Field(
        1800, ge=1, le=31536000, description="How long it may take once the workers are being stopped."
    )
    suspend: bool = Field(default=False, description="true: plan, show the plan in status, and hold (the dry run).")
    cancel: bool = Field(default=False, description="true: stop, bring the workers back, and end. One way.")

    model_config = with_rules(
        [
            *(
                _fixed(name)
                for name in (
                    "targetRef",
                    "queue",
                    "jobs",
                    "purge",
                    "restart",
                    "reenqueue",
                    "startingDeadlineSeconds",
                    "activeDeadlineSeconds",
                )
            ),
            {
                "rule": f"self.queue != '{EVERY_QUEUE}' || self.jobs.all(job, has(job.queue))",
                "fieldPath": ".jobs",
                "message": f"with queue `{EVERY_QUEUE}` each job says its queue: add `queue` to every job",
            },
            {
                "rule": f"self.queue == '{EVERY_QUEUE}' || !self.jobs.exists(job, has(job.queue))",
                "fieldPath": ".jobs",
                "message": f"all jobs go to the recovery's queue; a job says its own only with queue `{EVERY_QUEUE}`",
            },
            {
                "rule": "has(self.restoreFrom) == has(oldSelf.restoreFrom)"
                " && (!has(self.restoreFrom) || self.restoreFrom == oldSelf.restoreFrom)",
                "fieldPath": ".restoreFrom",
                "reason": "FieldValueForbidden",
                "message": _FIXED,
            },
            *_RESTORES_ONLY,
            {
                "rule": f"!has(self.restoreFrom) || self.queue != '{EVERY_QUEUE}'",
                "fieldPath": ".queue",
                "message": "restoreFrom puts one queue's messages back: name it, also when every queue was recovered",
            },
            {
                "rule": "!oldSelf.cancel || self.cancel",
                "fieldPath": ".cancel",
                "reason": "FieldValueForbidden",
                "message": "a cancelled recovery cannot be un-cancelled; create one with another name",
            },
        ]
    )


class Plan(Model):
    """What a recovery would do, as counted when it was planned."""

    time: Timestamp = Field(description="When it was counted.")
    queues: list[QueueName] = Field(
        [], max_length=100, description="The queues that are recovered; the counts are totals over them."
    )
    unlisted: list[ShownName] = Field(
        [],
        max_length=20,
        description="With queue `*`: queues of the broker that the target does not list, so that are left alone; the "
        "first 20 of them.",
    )
    unlisted_total: int = Field(0, ge=0, description="How many there are of them; 1000 is as far as is counted.")
    ready: int = Field(
        ge=0, description="Messages in the queues' lists, over all priorities; with `restoreFrom`, in the quarantine."
    )
    unacked: int = Field(ge=0, description="Messages of the queues that workers hold.")
    purge: int = Field(0, ge=0, description="Messages that would be taken out and kept safe.")
    keep: int = Field(0, ge=0, description="Messages that `purge.select` would leave in the queue.")
    restore: int = Field(0, ge=0, description="Messages that `restoreFrom` would put back.")
    enqueue: int = Field(ge=0, description="Jobs that would be enqueued.")
    skip: int = Field(ge=0, description="Jobs that would be skipped.")
    tails: Tails | None = Field(
        None, description="What hangs on the messages that would be taken; left out when there are none."
    )


class Messages(Model):
    """What became of the queue's messages: found = quarantined + kept."""

    found: int = Field(0, ge=0, description="Messages of the queue at the boundary.")
    quarantined: int = Field(0, ge=0, description="Messages taken out and kept safe.")
    kept: int = Field(0, ge=0, description="Messages that `purge.select` left in the queue.")
    undecodable: int = Field(
        0,
        ge=0,
        description="Entries of `unacked` that cannot be read, so belong to no queue; left where they are.",
    )


class Quarantine(Model):
    """Where the removed messages lie."""

    name: str = Field(max_length=200, description="What all of its Redis keys begin with.")
    messages: int = Field(ge=0, description="How many it holds.")
    expiration_time: Timestamp | None = Field(
        None, description="When it is removed for good; none while the recovery runs."
    )


class Restored(Model):
    """What became of an earlier recovery's messages: found = restored + left."""

    uid: str = Field(
        max_length=300,
        description="UID of the earlier recovery; if it was of every queue, with a slash and the queue.",
    )
    found: int = Field(ge=0, description="Messages in its quarantine.")
    restored: int = Field(0, ge=0, description="Messages put back into the queue.")
    left: int = Field(ge=0, description="Messages that stay in its quarantine.")


class WorkerStatus(Model):
    """One Deployment as it was before it was scaled to 0."""

    name: ObjectName = Field(description="The Deployment's name.")
    uid: str = Field(max_length=64, description="Its UID.")
    replicas: int = Field(ge=0, description="Its replicas before the drain; restored at every ending.")
    pods: int = Field(0, ge=0, description="Its pods before the drain: each is to be seen to end.")
    drained_generation: int | None = Field(
        None, ge=0, description="Its generation when its last pod had ended: a newer one tells that it was scaled."
    )


class JobTotals(Model):
    """How far the jobs are."""

    total: int = Field(0, ge=0, description="Jobs listed.")
    enqueued: int = Field(0, ge=0, description="Jobs enqueued.")
    skipped: int = Field(0, ge=0, description="Jobs not enqueued, each named in `skipped`.")
    progress: str = Field("0/0", max_length=40, description="Enqueued of listed, as `2/3`.")


class SkippedJob(Model):
    """A job that was not enqueued."""

    id: str = Field(max_length=320, description="The job's id, or its task with its place in the list.")
    reason: str = Field(max_length=64, description="Why, as one CamelCase word.")
    message: Note = Field("", description="What was found.")


class Ending(Model):
    """An ending that has been decided; its books may still have to be closed."""

    phase: Literal["Succeeded", "Failed", "Cancelled"] = Field(description="The terminal phase.")
    reason: str = Field(max_length=128, description="Why it ends, as one CamelCase word.")
    message: Message = Field(description="What is wrong and what to do.")


MOST_WORKERS = 200
"""Deployments that one recovery stops at most: each of them stands in its status."""


class QueueRecoveryStatus(Model):
    """Everything that a recovery has to remember, and what a person wants to know."""

    observed_generation: int = Field(-1, ge=-1, description="Generation of the spec that this status was made from.")
    phase: Phase | None = Field(None, description="Where the recovery is; derived from the conditions.")
    message: Message = Field("", description="What it does, awaits, or ended with.")
    plan: Plan | None = Field(None, description="What would be done, as counted before anything was touched.")
    drain_start_time: Timestamp | None = Field(
        None, description="When the drain, or the restore, began; `activeDeadlineSeconds` counts from here."
    )
    completion_time: Timestamp | None = Field(None, description="When it ended.")
    workers: list[WorkerStatus] = Field(
        [],
        max_length=MOST_WORKERS,
        description="The workers' replicas before the drain.",
        json_schema_extra=list_map("name"),
    )
    sweep: int = Field(
        1, ge=1, description="Which sweep of the queue this is: one more each time workers came up before it was over."
    )
    messages: Messages | None = Field(None, description="What became of the queue's messages.")
    restored: Restored | None = Field(
        None, description="With `restoreFrom`: what became of the earlier recovery's messages."
    )
    quarantine: Quarantine | None = Field(None, description="Where the removed messages lie.")
    jobs: JobTotals = Field(JobTotals(), description="How far the jobs are.")
    skipped: list[SkippedJob] = Field([], max_length=1000, description="The jobs that were not enqueued.")
    ending: Ending | None = Field(
        None,
        description="Set once the recovery is bound to end: it may not turn back while its books are closed.",
    )
    conditions: list[Condition] = Field(
        [],
        max_length=16,
        description="Succeeded, Ready, Reconciling, Stalled, Drained, Purged, Restarted, Reenqueued, Restored.",
        json_schema_extra=list_map("type"),
    )
