"""The status of a QueueRecovery: the operator's state, and the results for users."""

from typing import Literal, Self

from pydantic import Field

from queue_recovery.api.approval import ApprovalStatus
from queue_recovery.api.base import (
    Explained,
    Message,
    Model,
    ObjectName,
    QueueName,
    ShownName,
    Timestamp,
    is_empty,
    list_map,
)
from queue_recovery.api.canvas import Canvas
from queue_recovery.api.conditions import Condition
from queue_recovery.api.diagnosis import Diagnosis
from queue_recovery.api.examples import Examples, SkippedJob, Unreplaced
from queue_recovery.api.quarantined import MOST_LISTED, QuarantinedMessage
from queue_recovery.api.replicas import MOST_OWNERS, MOST_SCALED_OBJECTS, PausedScaledObject, ReplicaOwner
from queue_recovery.api.servers import JobCollection, KeyOptions
from queue_recovery.api.target import Limits
from queue_recovery.api.worker_ref import WORKER_KEYS, WorkerRef


class Phase(Explained):
    """Where a recovery is; derived from its conditions (see `recovery.phase`)."""

    PENDING = "Pending", "The operator looks up what the spec refers to, and checks it against the target."
    PLANNING = "Planning", "The plan is in the status: what would be purged, left and enqueued. `suspend` waits here."
    AWAITING_APPROVAL = (
        "AwaitingApproval",
        "The target requires an approval of the plan. Nothing is held, and the message says how to approve.",
    )
    DRAINING = "Draining", "The workers are scaled to 0, and their pods are ending."
    PURGING = "Purging", "The queue's messages are being moved into the quarantine."
    RESTARTING = "Restarting", "The workers are scaled back or restarted, and their rollout is in progress."
    REENQUEUING = "Reenqueuing", "The jobs are being claimed and enqueued. `suspend` waits between them."
    REDELIVERING = (
        "Redelivering",
        "With `redeliver`: the messages in `unacked` whose consumer is gone are being given back to the queue.",
    )
    VERIFYING = "Verifying", "With `restart.annotate`: the restarted workers have to consume messages again."
    RESTORING = "Restoring", "With `restoreFrom`: messages of an earlier recovery are being put back into the queue."
    SUCCEEDED = "Succeeded", "Every job was enqueued, or skipped for a reason that `status.skipped` names."
    FAILED = "Failed", "The recovery could not go on. The message says why, and what to do."
    CANCELLED = "Cancelled", "The recovery was cancelled or deleted. The message says what had been done."


class Plan(Model):
    """What the recovery would do, as counted when it was planned."""

    time: Timestamp = Field(description="When the messages and jobs were counted.")
    queues: list[QueueName] = Field(
        [], max_length=100, description="The queues that are recovered. The counts are totals over all of them."
    )
    unlisted: list[ShownName] = Field(
        [],
        max_length=20,
        exclude_if=is_empty,
        description="With queue `*`: the first 20 queues of the broker that the target does not list. They are left "
        "alone.",
    )
    unlisted_total: int = Field(
        0, ge=0, exclude_if=is_empty, description="How many queues the target does not list. Counted up to 1000."
    )
    ready: int = Field(
        ge=0, description="Messages in the queues' lists, over all priorities. With `restoreFrom`: in the quarantine."
    )
    unacked: int = Field(ge=0, description="Messages of the queues that workers hold in `unacked`.")
    purge: int = Field(0, ge=0, description="Messages that would be quarantined: taken out of the queue and stored.")
    leave: int = Field(
        0,
        ge=0,
        description="Messages that would be left in the queue: `purge.select` does not match them, or they belong to "
        "listed jobs that would be skipped because of their status.",
    )
    restore: int = Field(0, ge=0, exclude_if=is_empty, description="Messages that `restoreFrom` would put back.")
    redeliver: int = Field(
        0, ge=0, exclude_if=is_empty, description="Messages in `unacked` that `redeliver` would give back."
    )
    enqueue: int = Field(ge=0, description="Jobs that would be enqueued.")
    skip: int = Field(ge=0, description="Jobs that would be skipped.")
    scaled_objects: list[ObjectName] = Field(
        [],
        max_length=MOST_SCALED_OBJECTS,
        exclude_if=is_empty,
        description="The KEDA ScaledObjects of the workers, which would be paused until the workers are back.",
    )
    replica_owners: list[ReplicaOwner] = Field(
        [],
        max_length=MOST_OWNERS,
        exclude_if=is_empty,
        description="Who sets the replicas of a worker with each server-side apply, and so may scale it up during the "
        "drain.",
    )
    limits: Limits = Field(Limits(), exclude_if=is_empty, description="The longest deadlines that the target allows.")
    canvas: Canvas | None = Field(
        None,
        description="Chords, groups, chains and callbacks that depend on messages to be taken; left out when there are "
        "none.",
    )
    diagnosis: Diagnosis | None = Field(
        None, description="Why the jobs fail, and whether a retry helps; left out where nothing is known of it."
    )
    examples: Examples | None = Field(
        None,
        description="While `suspend` is true, or if an approval is required: some of the messages and jobs that the "
        "plan counts, by name.",
    )
    quarantined: list[QuarantinedMessage] | None = Field(
        None,
        max_length=MOST_LISTED,
        description="With `restoreFrom`, and `suspend` or a required approval: the first 20 of the messages that would "
        "be put back, in the order in which they would be consumed; first those that workers held. "
        "`restore` is their total.",
    )


class Messages(Model):
    """What became of the queue's messages: found = quarantined + left."""

    found: int = Field(0, ge=0, description="Messages that the queue had when it was taken.")
    quarantined: int = Field(0, ge=0, description="Messages taken out of the queue and stored.")
    left: int = Field(
        0,
        ge=0,
        description="Messages left in the queue: `purge.select` does not match them, or they belong to listed jobs "
        "that were skipped because of their status.",
    )
    unreplaced: Unreplaced | None = Field(
        None,
        description="Quarantined messages that no enqueued job replaces, as counted at the end; left out when there "
        "are none. Their work is not done unless they are restored.",
    )
    oversized: int = Field(
        0,
        ge=0,
        exclude_if=is_empty,
        description="Messages that were met and are too large to be read (over 4 MiB). With `purge.select` they are "
        "left in the queue, otherwise they are quarantined. They are included in the counts above.",
    )
    undecodable: int = Field(
        0,
        ge=0,
        exclude_if=is_empty,
        description="Entries of `unacked` that cannot be read, so they belong to no known queue. They are left where "
        "they are.",
    )


class Quarantine(Model):
    """Where the quarantined messages are stored."""

    name: str = Field(max_length=400, description="Prefix of all its Redis keys.")
    messages: int = Field(
        ge=0,
        description="How many messages it held when the recovery ended. "
        "A recovery with `restoreFrom` and `suspend: true` shows what it holds now.",
    )
    expiration_time: Timestamp | None = Field(None, description="When it is removed; not set while the recovery runs.")


class Restored(Model):
    """What became of an earlier recovery's messages: found = restored + left."""

    uid: str = Field(
        max_length=300,
        description="UID of the earlier recovery; if that had queue `*`, followed by a slash and the queue.",
    )
    found: int = Field(ge=0, description="Messages in its quarantine.")
    restored: int = Field(0, ge=0, description="Messages put back into the queue.")
    left: int = Field(ge=0, description="Messages that are still in its quarantine.")


class Redelivered(Model):
    """What became of the messages in `unacked`: found = redelivered + left."""

    found: int = Field(0, ge=0, description="Messages of the queue in `unacked`.")
    redelivered: int = Field(0, ge=0, description="Messages given back to the queue: their consumer is gone.")
    left: int = Field(0, ge=0, description="Messages left in `unacked`, because a running worker may hold them.")


class WorkerStatus(WorkerRef):
    """A worker as it was before it was scaled to 0 or restarted."""

    uid: str = Field(max_length=64, description="Its UID.")
    replicas: int = Field(ge=0, description="Its replicas before the drain, to which every ending scales it back.")
    pods: int = Field(0, ge=0, description="Number of its pods before the drain; the end of each has to be observed.")
    taken_over_from: str | None = Field(
        None,
        max_length=64,
        description="UID of a recovery that scaled it to 0 and no longer exists; `replicas` is what that one had "
        "recorded.",
    )
    drained_generation: int | None = Field(
        None,
        ge=0,
        description="Its generation when its last pod had ended. A newer one shows that it was changed since.",
    )

    @property
    def ref(self) -> WorkerRef:
        """The worker."""
        return WorkerRef(api_version=self.api_version, kind=self.kind, name=self.name)


class JobTotals(Model):
    """Progress of the jobs."""

    total: int = Field(0, ge=0, description="Jobs listed.")
    enqueued: int = Field(0, ge=0, description="Jobs enqueued.")
    skipped: int = Field(0, ge=0, description="Jobs that were not enqueued, each listed in `skipped`.")
    progress: str = Field(
        "", max_length=40, exclude_if=is_empty, description="Jobs enqueued, of those listed, such as `2/3`."
    )

    @classmethod
    def counted(cls, total: int, *, enqueued: int = 0, skipped: int = 0) -> Self:
        """Return the totals with their progress as text."""
        return cls(total=total, enqueued=enqueued, skipped=skipped, progress=f"{enqueued}/{total}" if total else "")


class Ending(Model):
    """How the recovery ends, once that is decided; the final status may still have to be written."""

    phase: Literal["Succeeded", "Failed", "Cancelled"] = Field(description="The terminal phase.")
    reason: str = Field(max_length=128, description="Why it ends, as one CamelCase word.")
    message: Message = Field(
        "",
        exclude_if=is_empty,
        description="What is wrong and what to do. Empty once the recovery has ended: then `status.message` says it.",
    )


class TargetSnapshot(Model):
    """What the recovery has used of its target since it started: an edit of the target would mix two sets of keys."""

    transport_options: KeyOptions = Field(description="The options that name the broker's keys.")
    mongodb: JobCollection | None = Field(
        None, description="The collection of the jobs, and how their documents are read; left out without a job store."
    )


class PurgeStatus(Model):
    """Progress of the purge."""

    attempt: int = Field(
        1,
        ge=1,
        description="Number of the purge attempt: one more each time workers started before the attempt was over.",
    )


def is_first_attempt(purge: PurgeStatus) -> bool:
    """Tell whether this is the first purge attempt, which a status omits."""
    return purge.attempt == 1


MOST_WORKERS = 200
"""The most workers that one recovery stops: its status lists each of them."""


class QueueRecoveryStatus(Model):
    """What the recovery does, has done, and has to remember."""

    observed_generation: int = Field(-1, ge=-1, description="Generation of the spec that this status is based on.")
    phase: Phase | None = Field(None, description="Phase of the recovery, derived from the conditions.")
    message: Message = Field("", description="What the recovery does, what it waits for, or how it ended.")
    plan: Plan | None = Field(None, description="What would be done, as counted before anything is touched.")
    counted: int = Field(
        0,
        ge=0,
        exclude_if=is_empty,
        description="The most messages that a plan before the current one has counted. It tells a queue that was "
        "emptied since from one that is looked for in the wrong place.",
    )
    approval: ApprovalStatus | None = Field(
        None, description="What has to be approved; left out if the target requires no approval."
    )
    resume_time: Timestamp | None = Field(
        None,
        description="When `suspend` was last set to false, or an approval that was awaited was given; "
        "`startingDeadlineSeconds` counts from then.",
    )
    drain_start_time: Timestamp | None = Field(
        None, description="When the recovery started to act; `activeDeadlineSeconds` counts from then."
    )
    completion_time: Timestamp | None = Field(None, description="When the recovery ended.")
    target_snapshot: TargetSnapshot | None = Field(
        None,
        description="What the recovery uses of its target from its start to its end, even if the target is edited.",
    )
    workers: list[WorkerStatus] = Field(
        [],
        max_length=MOST_WORKERS,
        exclude_if=is_empty,
        description="The workers as they were before the drain or the restart.",
        json_schema_extra=list_map(*WORKER_KEYS),
    )
    scaled_objects: list[PausedScaledObject] = Field(
        [],
        max_length=MOST_SCALED_OBJECTS,
        exclude_if=is_empty,
        description="The KEDA ScaledObjects of the workers that are paused while the workers are at 0.",
        json_schema_extra=list_map("name"),
    )
    purge: PurgeStatus = Field(PurgeStatus(), exclude_if=is_first_attempt, description="Progress of the purge.")
    messages: Messages | None = Field(None, description="What became of the queue's messages.")
    restored: Restored | None = Field(
        None, description="With `restoreFrom`: what became of the earlier recovery's messages."
    )
    redelivered: Redelivered | None = Field(
        None, description="With `redeliver`: what became of the queue's messages in `unacked`."
    )
    quarantine: Quarantine | None = Field(
        None, description="Where the quarantined messages are stored; left out at the end if there are none."
    )
    jobs: JobTotals = Field(JobTotals(), description="Progress of the jobs.")
    skipped: list[SkippedJob] = Field(
        [], max_length=1000, exclude_if=is_empty, description="The jobs that were not enqueued, and why."
    )
    ending: Ending | None = Field(
        None,
        description="How the recovery ends; set once that is decided. It does not change while the recovery finishes.",
    )
    conditions: list[Condition] = Field(
        [],
        max_length=16,
        description="Succeeded, Ready, Reconciling, Stalled, one for each step, Suspended once it was suspended before "
        "the drain, Approved if the target requires an approval, and at the end Finished.",
        json_schema_extra=list_map("type"),
    )
