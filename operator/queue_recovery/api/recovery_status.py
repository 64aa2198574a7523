"""The status of a QueueRecovery: what it has to remember, and what a person wants to know."""

from typing import Literal, Self

from pydantic import Field

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
from queue_recovery.api.examples import Examples, SkippedJob, Unreplaced
from queue_recovery.api.quarantined import MOST_LISTED, QuarantinedMessage
from queue_recovery.api.target import Limits


class Phase(Explained):
    """Where a recovery is; derived from its conditions (see `recovery.phase`)."""

    PENDING = "Pending", "What it refers to is looked up, and the spec is checked against the target."
    PLANNING = "Planning", "What would be purged, left and enqueued has been counted; `suspend` holds here."
    DRAINING = "Draining", "The workers are scaled to 0, and their pods end."
    PURGING = "Purging", "The queue's messages are moved into the quarantine."
    RESTARTING = "Restarting", "The workers have their replicas back; their rollout is under way."
    REENQUEUING = "Reenqueuing", "The jobs are claimed and enqueued; `suspend` holds between them."
    RESTORING = "Restoring", "With `restoreFrom`: messages of an earlier recovery are brought back into the queue."
    SUCCEEDED = "Succeeded", "Every job was enqueued, or skipped for a reason."
    FAILED = "Failed", "It could not go on; the message says why, and what to do."
    CANCELLED = "Cancelled", "It was cancelled or deleted; the message says what had been done."


class Plan(Model):
    """What a recovery would do, as counted when it was planned."""

    time: Timestamp = Field(description="When it was counted.")
    queues: list[QueueName] = Field(
        [], max_length=100, description="The queues that are recovered; the counts are totals over them."
    )
    unlisted: list[ShownName] = Field(
        [],
        max_length=20,
        exclude_if=is_empty,
        description="With queue `*`: queues of the broker that the target does not list, so that are left alone; the "
        "first 20 of them.",
    )
    unlisted_total: int = Field(
        0, ge=0, exclude_if=is_empty, description="How many there are of them; 1000 is as far as is counted."
    )
    ready: int = Field(
        ge=0, description="Messages in the queues' lists, over all priorities; with `restoreFrom`, in the quarantine."
    )
    unacked: int = Field(ge=0, description="Messages of the queues that workers hold.")
    purge: int = Field(0, ge=0, description="Messages that would be quarantined: taken out of the queue and stored.")
    leave: int = Field(
        0,
        ge=0,
        description="Messages that would be left in the queue: `purge.select` does not match them, or they are of "
        "listed jobs that would be skipped because of their status.",
    )
    restore: int = Field(0, ge=0, exclude_if=is_empty, description="Messages that `restoreFrom` would put back.")
    enqueue: int = Field(ge=0, description="Jobs that would be enqueued.")
    skip: int = Field(ge=0, description="Jobs that would be skipped.")
    limits: Limits = Field(Limits(), exclude_if=is_empty, description="The longest deadlines that the target allows.")
    canvas: Canvas | None = Field(
        None, description="What hangs on the messages that would be taken; left out when there are none."
    )
    examples: Examples | None = Field(
        None, description="While `suspend` is true: some of the messages and jobs that are counted here, by name."
    )
    quarantined: list[QuarantinedMessage] | None = Field(
        None,
        max_length=MOST_LISTED,
        description="With `restoreFrom` and `suspend`: the first 20 of the messages that would be put back, those that "
        "workers held before those that waited, each beginning with the next one; `restore` says how many there are.",
    )


class Messages(Model):
    """What became of the queue's messages: found = quarantined + left."""

    found: int = Field(0, ge=0, description="Messages of the queue at the boundary.")
    quarantined: int = Field(0, ge=0, description="Messages taken out of the queue and stored.")
    left: int = Field(
        0,
        ge=0,
        description="Messages left in the queue: `purge.select` does not match them, or they are of listed jobs that "
        "were skipped because of their status.",
    )
    unreplaced: Unreplaced | None = Field(
        None,
        description="Quarantined messages that no enqueued job replaces, as counted at the end; left out when there "
        "are none. What they were to do is done by nobody, unless they are restored.",
    )
    oversized: int = Field(
        0,
        ge=0,
        exclude_if=is_empty,
        description="Messages that are too large to be read (over 4 MiB), as far as they were found: with "
        "`purge.select` they are left in the queue, else those that workers hold are quarantined. They are part of the "
        "counts above.",
    )
    undecodable: int = Field(
        0,
        ge=0,
        exclude_if=is_empty,
        description="Entries of `unacked` that cannot be read, so belong to no queue; left where they are.",
    )


class Quarantine(Model):
    """Where the removed messages are stored."""

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
    taken_over_from: str | None = Field(
        None,
        max_length=64,
        description="UID of a recovery that had scaled it to 0 and does not exist any more; `replicas` are those that "
        "it had recorded.",
    )
    drained_generation: int | None = Field(
        None, ge=0, description="Its generation when its last pod had ended: a newer one tells that it was scaled."
    )


class JobTotals(Model):
    """How far the jobs are."""

    total: int = Field(0, ge=0, description="Jobs listed.")
    enqueued: int = Field(0, ge=0, description="Jobs enqueued.")
    skipped: int = Field(0, ge=0, description="Jobs not enqueued, each named in `skipped`.")
    progress: str = Field("", max_length=40, exclude_if=is_empty, description="Enqueued of listed, as `2/3`.")

    @classmethod
    def counted(cls, total: int, *, enqueued: int = 0, skipped: int = 0) -> Self:
        """Return the totals with their progress as text."""
        return cls(total=total, enqueued=enqueued, skipped=skipped, progress=f"{enqueued}/{total}" if total else "")


class Ending(Model):
    """An ending that has been decided; its final status may still have to be written."""

    phase: Literal["Succeeded", "Failed", "Cancelled"] = Field(description="The terminal phase.")
    reason: str = Field(max_length=128, description="Why it ends, as one CamelCase word.")
    message: Message = Field(
        "", exclude_if=is_empty, description="What is wrong and what to do; once it has ended, `message` says it."
    )


class PurgeStatus(Model):
    """How far the purge is."""

    attempt: int = Field(
        1,
        ge=1,
        description="Number of the purge attempt: one more each time workers started before the attempt was over.",
    )


def is_first_attempt(purge: PurgeStatus) -> bool:
    """Tell whether the queue is being taken for the first time, which a status does not say."""
    return purge.attempt == 1


MOST_WORKERS = 200
"""Deployments that one recovery stops at most: each of them is listed in its status."""


class QueueRecoveryStatus(Model):
    """Everything that a recovery has to remember, and what a person wants to know."""

    observed_generation: int = Field(-1, ge=-1, description="Generation of the spec that this status was made from.")
    phase: Phase | None = Field(None, description="Where the recovery is; derived from the conditions.")
    message: Message = Field("", description="What it does, awaits, or ended with.")
    plan: Plan | None = Field(None, description="What would be done, as counted before anything was touched.")
    resume_time: Timestamp | None = Field(
        None, description="When `suspend` was last set to false; `startingDeadlineSeconds` counts from here."
    )
    drain_start_time: Timestamp | None = Field(
        None, description="When the drain, or the restore, began; `activeDeadlineSeconds` counts from here."
    )
    completion_time: Timestamp | None = Field(None, description="When it ended.")
    workers: list[WorkerStatus] = Field(
        [],
        max_length=MOST_WORKERS,
        exclude_if=is_empty,
        description="The workers' replicas before the drain.",
        json_schema_extra=list_map("name"),
    )
    purge: PurgeStatus = Field(PurgeStatus(), exclude_if=is_first_attempt, description="How far the purge is.")
    messages: Messages | None = Field(None, description="What became of the queue's messages.")
    restored: Restored | None = Field(
        None, description="With `restoreFrom`: what became of the earlier recovery's messages."
    )
    quarantine: Quarantine | None = Field(None, description="Where the removed messages are stored.")
    jobs: JobTotals = Field(JobTotals(), description="How far the jobs are.")
    skipped: list[SkippedJob] = Field(
        [], max_length=1000, exclude_if=is_empty, description="The jobs that were not enqueued."
    )
    ending: Ending | None = Field(
        None,
        description="Set once the recovery is bound to end: it does not turn back while it finishes.",
    )
    conditions: list[Condition] = Field(
        [],
        max_length=16,
        description="Succeeded, Ready, Reconciling, Stalled, those of its steps, and at the end Finished.",
        json_schema_extra=list_map("type"),
    )
