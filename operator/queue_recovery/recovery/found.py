"""What planning has found, and the message that describes it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Plan
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.sentences import sentence
from queue_recovery.recovery.jobs import ListedJob
from queue_recovery.recovery.ports import Count, SeenJob, Unlisted
from queue_recovery.recovery.replica_owners import owners_note
from queue_recovery.recovery.wording import counted, named, quoted

_NAMED: Final = 3

WRONG_KEYS: Final = (
    "The queue is empty in Redis. If you expected messages, compare globalKeyPrefix, sep and the database in the "
    "broker's URL with the application's settings"
)
"""What to do when a queue is empty and always was."""

ENQUEUED_THERE: Final = (
    "The new tasks are in that database. If no worker consumes them there, correct the target, give jobs that are "
    "listed by id a recoverable status again, and create another recovery"
)
"""What to do when jobs were enqueued although the queue was empty."""

RUNNING: Final = (
    "A task that a worker is running is in no queue, unless it acknowledges late. If it fails and is retried, create "
    "another recovery"
)
"""What a plan that finds nothing may overlook."""

RETRIED: Final = "Jobs whose messages are being retried are checked again once no worker is running"
"""A note for skipped jobs whose messages are retries, so that their status may change."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The messages and the jobs of a recovery, as they were when it was planned."""

    count: Count
    unlisted: Unlisted
    jobs: Sequence[ListedJob]
    seen: Mapping[str, SeenJob | None]
    """What the documents of the jobs looked like, by the jobs' keys."""
    skipped: Mapping[str, SkippedJob]
    """The jobs that would be skipped, by their keys."""

    @property
    def purge(self) -> int:
        """How many messages would be taken."""
        return self.count.ready + self.count.unacked - self.count.leave

    @property
    def has_canvas(self) -> bool:
        """Whether messages that would be taken have a canvas, or were not read and may have one."""
        canvas = self.count.canvas
        return canvas is not None and any(count for name, count in canvas if name != "looked_at")

    @property
    def enqueue(self) -> int:
        """How many jobs would be enqueued."""
        return len(self.jobs) - len(self.skipped)

    @property
    def failed(self) -> Sequence[ListedJob]:
        """The jobs that have failed: those that would be enqueued, and those whose messages are still in the queue."""
        skipped = {key for key, row in self.skipped.items() if row.reason != Reason.STILL_QUEUED}
        return [job for job in self.jobs if job.key not in skipped]

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to do, even after the workers have stopped."""
        return self.purge == 0 and self.enqueue == 0 and not self.count.are_retried


def describe(
    spec: QueueRecoverySpec,
    plan: Plan,
    skipped: Sequence[SkippedJob],
    *,
    workers: Sequence[WorkerRef] = (),
    counted_before: int = 0,
    is_over: bool = False,
    are_retried: bool = False,
) -> tuple[Reason, str]:
    """Return the reason and the message of a plan.

    Args:
        spec: of the recovery.
        plan: what was counted.
        skipped: the jobs that would be skipped, or the first of them.
        workers: those that would be restarted, if any; empty: they are not known now.
        counted_before: the most messages that an earlier plan of the recovery has counted.
        is_over: whether the recovery finishes now, because there is nothing to do.
        are_retried: whether messages of skipped jobs are being retried.
    """
    takes = spec.purge.mode == "Quarantine"
    messages = plan.ready + plan.unacked
    does_nothing = plan.purge == 0 and plan.enqueue == 0 and not spec.restart.annotate
    would = [describe_restart(workers)] if spec.restart.annotate else []
    if takes and not does_nothing:
        of = f"{plan.purge} of {counted(messages, 'message')}" if plan.leave else counted(plan.purge, "message")
        would.append(f"purge {of} ({plan.ready} ready, {plan.unacked} unacked)")
    if takes and (plan.leave or spec.purge.select is not None):
        would.append(f"{'left' if is_over else 'leave'} {plan.leave}")
    if plan.scaled_objects and not does_nothing:
        kind = "ScaledObject" if len(plan.scaled_objects) == 1 else "ScaledObjects"
        would.append(f"pause {kind} {quoted(plan.scaled_objects)} until the workers are back")
    if plan.enqueue or (plan.skip and not does_nothing):
        would.append(f"enqueue {counted(plan.enqueue, 'job')}")
    if plan.skip:
        rows = "; ".join(f"{row.id}: {row.message}" for row in skipped[:_NAMED])
        more = f"; and {plan.skip - _NAMED} more" if plan.skip > _NAMED else ""
        which = f" ({rows}{more})" if rows else ""
        would.append(f"{'skipped' if is_over else 'skip'} {plan.skip}{which}")
    said = ["nothing to purge and nothing to enqueue"] if does_nothing else []
    if would:
        said.append(f"{'' if is_over else 'would '}{', '.join(would)}")
    if plan.unlisted_total:
        names = named(plan.unlisted, total=plan.unlisted_total)
        said.append(f"queues that the target does not list, so they are not touched: {names}")
    if not takes:
        said.append("no message is removed" + ("" if spec.restart.annotate else " and no worker is stopped"))
    is_empty = takes and messages == 0
    unmatched = f"purge.select matches none of the {counted(messages, 'message')} in the queue"
    is_unmatched = _is_unmatched(spec, plan, skipped)
    owned = owners_note(plan.replica_owners) if plan.replica_owners and not does_nothing else ""
    why = sentence(plan.diagnosis) if plan.diagnosis is not None and not does_nothing else ""
    hints = {
        why: bool(why),
        why_empty(counted_before): is_empty,
        unmatched: is_unmatched,
        RUNNING: takes and is_over and not is_unmatched,
        RETRIED: are_retried,
        owned: bool(owned),
    }
    message = ". ".join(["; ".join(said), *(hint for hint, applies in hints.items() if applies)])
    if does_nothing and not are_retried:
        return Reason.NOTHING_TO_DO, message
    return (Reason.QUEUE_EMPTY if is_empty else Reason.PLANNED), message


def why_empty(before: int) -> str:
    """Say why a queue may be empty; `before`: how many messages it had when the recovery was planned."""
    if not before:
        return WRONG_KEYS
    have = "The 1 message that was counted has" if before == 1 else f"The {before} messages that were counted have"
    return f"{have} been consumed, or taken by another recovery, since the plan"


def describe_restart(workers: Sequence[WorkerRef]) -> str:
    """Describe the restart that a plan announces: which workers, and what becomes of the tasks that they run."""
    which = named([str(ref) for ref in workers]) or "the workers"
    return f"restart {which} (tasks that run have the grace period of their pods to end)"


def _is_unmatched(spec: QueueRecoverySpec, plan: Plan, skipped: Sequence[SkippedJob]) -> bool:
    """Tell whether it is certain that the queue has messages and that `purge.select` matches none of them.

    The message of a job whose status is not recoverable is left even if it matches.
    """
    messages = plan.ready + plan.unacked
    may_match = len(skipped) < plan.skip or any(row.reason == Reason.NOT_RECOVERABLE for row in skipped)
    return spec.purge.select is not None and 0 < messages == plan.leave and not may_match
