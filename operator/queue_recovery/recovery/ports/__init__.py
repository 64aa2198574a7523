"""What the steps of a recovery need of Redis, MongoDB and Kubernetes.

Every call may raise `errors.RecoveryError`, and nothing that a driver raises. Every call that has an effect may be
repeated after a death at any point: it first reads what is there, and gives the same answer when the effect is there
already.
"""

from queue_recovery.recovery.ports.broker import Broker, BrokerHealth, Consumer, Count, Held, Holder, Unacked, Unlisted
from queue_recovery.recovery.ports.job_store import Claim, JobStore, StoredJob
from queue_recovery.recovery.ports.run import (
    Closed,
    MessageName,
    QuarantinedHeaders,
    QueueRun,
    Restorable,
    Restore,
    Restored,
    Run,
    SeenJob,
    Taken,
    Task,
    Unreplaced,
)
from queue_recovery.recovery.ports.workers import (
    HELD_BY,
    HELD_BY_UID,
    MOST_CHARACTERS,
    SCALE_BACK_TO,
    ScaleBackNote,
    ScaledDown,
    Worker,
    Workers,
)

__all__ = [
    "HELD_BY",
    "HELD_BY_UID",
    "MOST_CHARACTERS",
    "SCALE_BACK_TO",
    "Broker",
    "BrokerHealth",
    "Claim",
    "Closed",
    "Consumer",
    "Count",
    "Held",
    "Holder",
    "JobStore",
    "MessageName",
    "QuarantinedHeaders",
    "QueueRun",
    "Restorable",
    "Restore",
    "Restored",
    "Run",
    "ScaleBackNote",
    "ScaledDown",
    "SeenJob",
    "StoredJob",
    "Taken",
    "Task",
    "Unacked",
    "Unlisted",
    "Unreplaced",
    "Worker",
    "Workers",
]
