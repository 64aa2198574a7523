"""The spec of a QueueRecovery: one recovery of one queue, or of all queues of its target."""

from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, StrictInt, StrictStr

from queue_recovery.api.base import (
    EVERY_QUEUE,
    JsonText,
    Model,
    QueueName,
    Rules,
    TaskName,
    Timestamp,
    with_rules,
)
from queue_recovery.api.redeliver import RedeliverSpec
from queue_recovery.api.restart import RestartSpec
from queue_recovery.api.restore_from import RestoreFrom
from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.target import TargetRef

FINALIZER = "queuerecovery.dev/active"
"""Set from right before the first effect until the final status: a deletion scales the workers back first."""

JobId = Annotated[StrictInt | Annotated[StrictStr, Field(min_length=1, max_length=256)], Field()]
"""Id of a job in the job store: an integer, or text."""

_FIXED = (
    "immutable once created; only suspend, cancel and a longer activeDeadlineSeconds may change. For another recovery, "
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
    "message": "all jobs together may not exceed 524288 characters, where ids and tasks count twice; spread the jobs "
    "over several recoveries",
}
"""etcd stores at most 1.5 MiB of one object, and the status, which may name every job once more, has to fit too.

Bytes are counted when the recovery is planned (`SpecTooLarge`): in CEL that would cost more than a rule may."""


_MAY_CHANGE: Final = {"suspend", "cancel", "active_deadline_seconds"}
"""What users may change while a recovery exists, so that it does not make another recovery of it."""


class JobSpec(Model):
    """One job to enqueue as a new task: either an `id` to look up, or a `task` that is written out."""

    id: JobId | None = Field(
        None,
        description="Id in the job store, of the target's `idType`: text, or an integer. Write text in quotes, because "
        "YAML reads some ids without them as numbers. For example "
        '`id: "662f1c0e9d3e4b0001a1b2c3"` or `id: 4711`.',
    )
    queue: QueueName | None = Field(
        None,
        description="The queue that the job goes to, one of the target's. Required when the recovery's queue is `*`.",
    )
    task: TaskName | None = Field(None, description="Name of the task, for a job that is written out.")
    args: JsonText | None = Field(
        None,
        description="Arguments: a JSON array as text, as in `celery call`. For example `args: '[7, \"de\"]'`.",
    )
    kwargs: JsonText | None = Field(
        None,
        description='Keyword arguments: a JSON object as text. For example `kwargs: \'{"voice": "anna"}\'`.',
    )

    model_config = with_rules(
        [
            {
                "rule": "has(self.id) != has(self.task)",
                "message": "a job needs an id (looked up in the job store) or a task (written out), and only one "
                "of them",
            },
            {
                "rule": "has(self.task) || (!has(self.args) && !has(self.kwargs))",
                "message": "args and kwargs may only be set for a job that names its task",
            },
        ]
    )


class PurgeSpec(Model):
    """What happens to the messages in the queue."""

    mode: Literal["Quarantine", "None"] = Field(
        "Quarantine",
        description="Quarantine: stop the workers, take the queue's messages out of Redis' lists and of `unacked`, and "
        "store them. None: take no message and stop no worker; a job whose message is still queued is skipped.",
    )
    retention_seconds: int = Field(
        604800,
        ge=0,
        le=31536000,
        description="How long the quarantine is retained once the recovery has ended. 0: it is removed as soon as the "
        "recovery has succeeded.",
    )
    select: PurgeSelect | None = Field(
        None,
        description="Take only the messages whose headers match every field. All others, and those that cannot be "
        "read, stay in the queue unchanged and in their order. Left out: every message is taken.",
    )

    take_unreadable: bool = Field(
        default=False,
        description="Take the queue although no message at either end of its lists can be read. Without it such a list "
        "is refused (`ForeignQueue`), because it may belong to another program.",
    )

    model_config = with_rules(
        [
            {
                "rule": "!has(self.select) || self.mode == 'Quarantine'",
                "fieldPath": ".select",
                "message": "select requires mode Quarantine; mode None takes no messages",
            },
            {
                "rule": "!self.takeUnreadable || self.mode == 'Quarantine'",
                "fieldPath": ".takeUnreadable",
                "message": "takeUnreadable requires mode Quarantine; mode None takes no messages",
            },
        ]
    )


class ReenqueueSpec(Model):
    """How the jobs are enqueued."""

    rate_per_second: int = Field(0, ge=0, le=10000, description="Jobs enqueued per second. 0: no limit.")


_RESTORES_ONLY: Rules = [
    {
        "rule": f"!has(self.restoreFrom) || ({untouched})",
        "fieldPath": f".{name}",
        "message": "restoreFrom only puts messages back: remove jobs, purge, restart and reenqueue",
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
        (
            "restart",
            "self.restart.strategy == 'Recreate' && !has(self.restart.requireImage) && !self.restart.annotate",
        ),
        ("reenqueue", "self.reenqueue.ratePerSecond == 0"),
    )
]
"""The API server fills in defaults, so a field with its default value counts as left out."""

_REDELIVERS_ONLY: Rules = [
    {
        "rule": "!has(self.redeliver) || self.purge.mode == 'None'",
        "fieldPath": ".purge.mode",
        "message": "redeliver takes no message out of the queue: set purge.mode to None",
    },
    {
        "rule": "!has(self.redeliver) || !has(self.jobs) || self.jobs.size() == 0",
        "fieldPath": ".jobs",
        "message": "redeliver gives the messages back and enqueues nothing: remove the jobs",
    },
    {
        "rule": "!has(self.redeliver) || !has(self.restoreFrom)",
        "fieldPath": ".redeliver",
        "message": "restoreFrom puts messages of a quarantine back, redeliver those in unacked: use two recoveries",
    },
]


class QueueRecoverySpec(Model):
    """What to recover: written during an incident, by hand or through Git."""

    target_ref: TargetRef = Field(description="The QueueTarget that the queue belongs to.")
    queue: QueueName = Field(
        description="The queue to recover, one of the target's. `*`: all queues of the target at once."
    )
    jobs: list[JobSpec] = Field(
        default_factory=list,
        max_length=1000,
        description="Jobs to enqueue as new tasks, once each. To purge the queue and enqueue nothing, write an empty "
        "list. May be left out with `restoreFrom`, `redeliver` or `restart.annotate`.",
        json_schema_extra={"x-kubernetes-validations": [_MOST_TEXT]},
    )
    purge: PurgeSpec = Field(PurgeSpec(), description="What happens to the messages in the queue.")
    restart: RestartSpec = Field(RestartSpec(), description="How the workers are stopped and started.")
    reenqueue: ReenqueueSpec = Field(ReenqueueSpec(), description="How the jobs are enqueued.")
    restore_from: RestoreFrom | None = Field(
        None,
        description="Instead of `jobs` and `purge`: put messages that an earlier recovery quarantined back into the "
        "queue, where workers consume them next. No worker is stopped.",
    )
    redeliver: RedeliverSpec | None = Field(
        None,
        description="With `purge.mode: None`, instead of `jobs`: give back to the queue, at once, the messages in "
        "`unacked` whose consumer is gone; workers consume them next. What a running worker may hold stays. With "
        "`restart.annotate` the workers are restarted first, so that none holds a message from before. To use the "
        "defaults, write `redeliver: {}`.",
    )
    starting_deadline_seconds: int = Field(
        900,
        ge=1,
        le=31536000,
        description="How long the recovery may wait before it stops the workers, from its creation or from when "
        "`suspend` was set to false. After that it fails, and nothing was touched. Time while it is suspended, "
        "or waits for an approval, does not count.",
    )
    active_deadline_seconds: int = Field(
        1800,
        ge=1,
        le=31536000,
        description="How long the recovery may take from the start of the drain, including time while it is suspended "
        "between jobs. After that it fails, and the workers are scaled back first. It may be raised while the "
        "recovery runs.",
    )
    not_after: Timestamp | None = Field(
        None,
        description="The recovery does not start after this time: then it fails, and nothing was touched. For a "
        "recovery in Git, which may be applied again long after its incident. For example "
        '`notAfter: "2026-12-31T18:00:00Z"`.',
    )
    suspend: bool = Field(
        default=False,
        description="true: plan, show the plan in the status, and wait (a dry run). Set while the recovery runs: it "
        "waits before it enqueues the next job, with the workers back.",
    )
    cancel: bool = Field(default=False, description="true: stop, scale the workers back, and end. Cannot be undone.")

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
                "rule": "has(self.jobs) || has(self.restoreFrom) || has(self.redeliver) || self.restart.annotate",
                "message": "list the jobs to enqueue in jobs, or name the recovery to undo in restoreFrom; to purge "
                "the queue and enqueue nothing, write `jobs: []`",
            },
            *(_fixed_optional(name) for name in ("jobs", "restoreFrom", "redeliver", "notAfter")),
            {
                "rule": f"self.queue != '{EVERY_QUEUE}' || !has(self.jobs) || self.jobs.all(job, has(job.queue))",
                "fieldPath": ".jobs",
                "message": f"with queue `{EVERY_QUEUE}` every job needs its queue: add `queue` to each job",
            },
            {
                "rule": f"self.queue == '{EVERY_QUEUE}' || !has(self.jobs) || !self.jobs.exists(job, has(job.queue))",
                "fieldPath": ".jobs",
                "message": f"jobs go to the recovery's queue: remove `queue` from them, or use queue `{EVERY_QUEUE}`",
            },
            *_RESTORES_ONLY,
            *_REDELIVERS_ONLY,
            {
                "rule": "!self.restart.annotate || self.purge.mode == 'None'",
                "fieldPath": ".restart.annotate",
                "message": "annotate restarts workers that keep running, and with purge.mode Quarantine they are "
                "stopped and started anyway: remove annotate, or set purge.mode to None",
            },
            {
                "rule": f"!has(self.restoreFrom) || self.queue != '{EVERY_QUEUE}'",
                "fieldPath": ".queue",
                "message": "restoreFrom puts back the messages of one queue: name it, even if all were recovered",
            },
            {
                "rule": "!oldSelf.cancel || self.cancel",
                "fieldPath": ".cancel",
                "reason": "FieldValueForbidden",
                "message": "a cancelled recovery cannot be un-cancelled; create one with another name",
            },
        ]
    )

    def fixed_fields(self) -> dict[str, JsonValue]:
        """Return the fields that cannot change and do not have their default, so that a later version may add some."""
        fixed: dict[str, JsonValue] = self.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude=_MAY_CHANGE
        )
        return fixed
