"""The spec of a QueueRecovery: one recovery of one queue, or of all queues of its target."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StrictInt, StrictStr

from queue_recovery.api.base import (
    EVERY_QUEUE,
    JsonText,
    Model,
    QueueName,
    Rules,
    TaskName,
    with_rules,
)
from queue_recovery.api.restore_from import RestoreFrom
from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.target import TargetRef

FINALIZER = "queuerecovery.dev/active"
"""Held from right before the first effect until the terminal status: a deletion brings the workers back first."""

JobId = Annotated[StrictInt | Annotated[StrictStr, Field(min_length=1, max_length=256)], Field()]
"""Id of a job in the job store: an integer, or text."""

_FIXED = (
    "fixed once created; only suspend, cancel and a longer activeDeadlineSeconds may change. For another recovery, "
    "create one with another name"
)


def _fixed(name: str, relation: str = "==") -> JsonValue:
    return {
        "rule": f"self.{name} {relation} oldSelf.{name}",
        "fieldPath": f".{name}",
        "reason": "FieldValueForbidden",
        "message": _FIXED,
    }


def _fixed_optional(name: str) -> JsonValue:
    return {
        "rule": f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
        "fieldPath": f".{name}",
        "reason": "FieldValueForbidden",
        "message": _FIXED,
    }


_MOST_TEXT: dict[str, JsonValue] = {
    "rule": "self.map(job, (has(job.id) ? 2 * string(job.id).size() : 0) + (has(job.task) ? 2 * job.task.size() : 0)"
    " + (has(job.args) ? job.args.size() : 0) + (has(job.kwargs) ? job.kwargs.size() : 0)).sum() <= 524288",
    "message": "all jobs together may not be longer than 524288 characters, where ids and tasks count twice; "
    "spread the jobs over several recoveries",
}
"""What etcd stores of one object is bounded (1.5 MiB), and the status, where every job may be named once more, has to
fit in beside. Bytes are counted when it is planned (`SpecTooLarge`): here that would cost more than a rule may."""


class JobSpec(Model):
    """One job to enqueue as a new task: looked up by `id`, or written out by `task`."""

    id: JobId | None = Field(
        None,
        description="Id in the job store, as the target's `idType` says: text, or an integer. For example "
        '`id: "662f1c0e9d3e4b0001a1b2c3"` or `id: 4711`.',
    )
    queue: QueueName | None = Field(
        None, description="The queue that it goes to: one of the target's. Given when the recovery's queue is `*`."
    )
    task: TaskName | None = Field(None, description="Task of a job that is written out.")
    args: JsonText | None = Field(
        None,
        description="Its arguments: a JSON array as text, as in `celery call`. For example `args: '[7, \"de\"]'`.",
    )
    kwargs: JsonText | None = Field(
        None,
        description='Its keyword arguments: a JSON object as text. For example `kwargs: \'{"voice": "anna"}\'`.',
    )

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
    """What happens to the messages that are in the queue."""

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

    take_unreadable: bool = Field(
        default=False,
        description="Take the queue although none of the messages at either end of its lists can be read. Without it "
        "such a list is refused (`ForeignQueue`), because it may be another program's.",
    )

    model_config = with_rules(
        [
            {
                "rule": "!has(self.select) || self.mode == 'Quarantine'",
                "fieldPath": ".select",
                "message": "select belongs to mode Quarantine; mode None takes nothing",
            },
            {
                "rule": "!self.takeUnreadable || self.mode == 'Quarantine'",
                "fieldPath": ".takeUnreadable",
                "message": "takeUnreadable belongs to mode Quarantine; mode None takes nothing",
            },
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
        "rule": f"!has(self.restoreFrom) || ({untouched})",
        "fieldPath": f".{name}",
        "message": "restoreFrom only puts messages back: leave jobs, purge, restart and reenqueue out",
    }
    for name, untouched in (
        ("jobs", "!has(self.jobs) || self.jobs.size() == 0"),
        (
            "purge",
            (
                "(self.purge.mode == 'Quarantine' && self.purge.retentionSeconds == 604800 && !has(self.purge.select)"
                " && !self.purge.takeUnreadable)"
            ),
        ),
        ("restart", "self.restart.strategy == 'Recreate'"),
        ("reenqueue", "self.reenqueue.ratePerSecond == 0"),
    )
]
"""A default looks the same as a field that was left out: the default is what is asked for."""


class QueueRecoverySpec(Model):
    """Written during an incident, by hand or through Git."""

    target_ref: TargetRef = Field(description="The QueueTarget that the queue belongs to.")
    queue: QueueName = Field(
        description="The queue to recover: one of the target's. `*`: all queues of the target, in one go."
    )
    jobs: list[JobSpec] = Field(
        default_factory=list,
        max_length=1000,
        description="Jobs to enqueue as new tasks, once each. An empty list, which has to be written: the queue is "
        "only purged.",
        json_schema_extra={"x-kubernetes-validations": [_MOST_TEXT]},
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
        900,
        ge=1,
        le=31536000,
        description="How long it may wait before the workers are stopped: from its creation, or from when "
        "`suspend` was set to false. The time for which it is suspended does not count.",
    )
    active_deadline_seconds: int = Field(
        1800,
        ge=1,
        le=31536000,
        description="How long it may take once the workers are being stopped, also while it is suspended between jobs. "
        "It may be raised while it runs.",
    )
    suspend: bool = Field(
        default=False,
        description="true: plan, show the plan in status, and hold (the dry run). Set while it runs, it holds once the "
        "messages are taken and the workers are back, before the next job is enqueued.",
    )
    cancel: bool = Field(default=False, description="true: stop, bring the workers back, and end. One way.")

    model_config = with_rules(
        [
            *(
                _fixed(name)
                for name in (
                    "targetRef",
                    "queue",
                    "purge",
                    "restart",
                    "reenqueue",
                    "startingDeadlineSeconds",
                )
            ),
            _fixed("activeDeadlineSeconds", ">="),
            {
                "rule": "has(self.jobs) || has(self.restoreFrom)",
                "message": "list the jobs to enqueue in jobs, or name the recovery to undo in restoreFrom; to purge "
                "the queue and enqueue nothing, say `jobs: []`",
            },
            *(_fixed_optional(name) for name in ("jobs", "restoreFrom")),
            {
                "rule": f"self.queue != '{EVERY_QUEUE}' || !has(self.jobs) || self.jobs.all(job, has(job.queue))",
                "fieldPath": ".jobs",
                "message": f"with queue `{EVERY_QUEUE}` each job says its queue: add `queue` to every job",
            },
            {
                "rule": f"self.queue == '{EVERY_QUEUE}' || !has(self.jobs) || !self.jobs.exists(job, has(job.queue))",
                "fieldPath": ".jobs",
                "message": f"all jobs go to the recovery's queue; a job says its own only with queue `{EVERY_QUEUE}`",
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
