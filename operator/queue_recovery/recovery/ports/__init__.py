"""The interfaces through which the steps of a recovery use Redis, MongoDB and Kubernetes.

Every call may raise `errors.RecoveryError`, and no exception of a driver. Every call with an effect is idempotent, so
it may be repeated after the process died at any point: it reads the current state first, and returns the same answer if
the effect is already there.
"""

from queue_recovery.recovery.ports.autoscalers import Autoscaler, Autoscalers, Autoscaling, PausedBy, ScaledObject
from queue_recovery.recovery.ports.broker import Broker, BrokerHealth, Consumer, Count, Held, Holder, Unacked, Unlisted
from queue_recovery.recovery.ports.held import HeldMessage, ListEnd, QueueEnds
from queue_recovery.recovery.ports.job_store import Claim, JobStore, StoredJob
from queue_recovery.recovery.ports.queue_run import QueueRun
from queue_recovery.recovery.ports.results import Results
from queue_recovery.recovery.ports.run import (
    Closed,
    MessageName,
    QuarantinedHeaders,
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
    MOST_CHARACTERS_OF_IMAGES,
    RESTARTED_AT,
    SCALE_BACK_TO,
    ScaleBackNote,
    ScaledDown,
    Worker,
    WorkerOutline,
    Workers,
)

__all__ = [
    "HELD_BY",
    "HELD_BY_UID",
    "MOST_CHARACTERS",
    "MOST_CHARACTERS_OF_IMAGES",
    "RESTARTED_AT",
    "SCALE_BACK_TO",
    "Autoscaler",
    "Autoscalers",
    "Autoscaling",
    "Broker",
    "BrokerHealth",
    "Claim",
    "Closed",
    "Consumer",
    "Count",
    "Held",
    "HeldMessage",
    "Holder",
    "JobStore",
    "ListEnd",
    "MessageName",
    "PausedBy",
    "QuarantinedHeaders",
    "QueueEnds",
    "QueueRun",
    "Restorable",
    "Restore",
    "Restored",
    "Results",
    "Run",
    "ScaleBackNote",
    "ScaledDown",
    "ScaledObject",
    "SeenJob",
    "StoredJob",
    "Taken",
    "Task",
    "Unacked",
    "Unlisted",
    "Unreplaced",
    "Worker",
    "WorkerOutline",
    "Workers",
]
