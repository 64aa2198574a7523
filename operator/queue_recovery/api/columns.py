"""The columns of `kubectl get`."""

from dataclasses import dataclass

from queue_recovery.api.conditions import ConditionType


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False
    """Shown with `-o wide` only."""


_AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date", description="When it was created.")


def _reason(kind: ConditionType) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].reason'


RECOVERY_COLUMNS = (
    Column(name="Queue", path=".spec.queue", description="The queue that is recovered."),
    Column(name="Phase", path=".status.phase", description="Phase of the recovery."),
    Column(
        name="Reason",
        path=_reason(ConditionType.READY),
        description="What it does, what it waits for, or how it ended.",
    ),
    Column(
        name="Purged",
        path=".status.messages.quarantined",
        type="integer",
        description="Messages taken out of the queue and stored.",
    ),
    Column(name="Re-enqueued", path=".status.jobs.progress", description="Jobs enqueued, of those listed."),
    _AGE,
    Column(name="Target", path=".spec.targetRef.name", wide=True, description="The target of the queue."),
    Column(name="Message", path=".status.message", wide=True, description="The same in a sentence, and what to do."),
    Column(name="Quarantine", path=".status.quarantine.name", wide=True, description="Where the messages are stored."),
    Column(
        name="Redelivered",
        path=".status.redelivered.redelivered",
        type="integer",
        wide=True,
        description="Messages in unacked that were given back to the queue.",
    ),
)

TARGET_COLUMNS = (
    Column(
        name="Ready",
        path=_reason(ConditionType.READY),
        description="Whether recoveries can run, or why not.",
    ),
    Column(
        name="Broker",
        path=_reason(ConditionType.BROKER_REACHABLE),
        description="Whether the broker answers, or why not.",
    ),
    Column(
        name="Job store",
        path=_reason(ConditionType.JOB_STORE_REACHABLE),
        description="Whether the job store answers, or why not.",
    ),
    Column(
        name="Depth",
        path=".status.depth",
        description="Messages of each queue: ready, and unacked.",
    ),
    Column(
        name="Stuck",
        path=_reason(ConditionType.STUCK),
        description="Why a queue is stuck, or that none is.",
    ),
    Column(
        name="Oldest unacked",
        path=".status.oldestUnackedTime",
        type="date",
        description="How long ago the oldest message that workers hold was delivered.",
    ),
    _AGE,
    Column(
        name="Unacked",
        path=".status.unacked",
        type="integer",
        wide=True,
        description="Messages that workers hold, of all queues of the broker's database.",
    ),
    Column(
        name="Checked",
        path=".status.checkedTime",
        type="date",
        wide=True,
        description="When it was last looked at.",
    ),
)
