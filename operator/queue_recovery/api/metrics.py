"""The operator's metrics, which are part of its interface and declared once.

The controller creates the instruments from these rows and `docs/reference.md` lists them. Names follow Prometheus'
conventions: base units, `_total` for counters. No label takes a value from a message, a job or a URL.
"""

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """How a metric's value moves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric. A counter's name ends in `_total`, which is how it is exposed."""

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    help: str


LEADER = Metric(
    "queue_recovery_leader",
    MetricKind.GAUGE,
    (),
    "Whether this replica is the leader (1) or a standby (0). Only the leader updates the other metrics.",
)
RECOVERIES_FINISHED = Metric(
    "queue_recovery_recoveries_finished_total",
    MetricKind.COUNTER,
    ("outcome",),
    "Recoveries that ended, by terminal phase: Succeeded, Failed or Cancelled.",
)
PHASE_DURATION = Metric(
    "queue_recovery_phase_duration_seconds",
    MetricKind.HISTOGRAM,
    ("phase",),
    "How long recoveries were in a phase.",
)
ACTIVE = Metric(
    "queue_recovery_active",
    MetricKind.GAUGE,
    (),
    "Recoveries that have not ended yet.",
)
MESSAGES_QUARANTINED = Metric(
    "queue_recovery_messages_quarantined_total",
    MetricKind.COUNTER,
    (),
    "Messages that were taken out of queues and stored.",
)
MESSAGES_REDELIVERED = Metric(
    "queue_recovery_messages_redelivered_total",
    MetricKind.COUNTER,
    (),
    "Messages in unacked that were given back to their queues, because their consumer is gone.",
)
JOBS_ENQUEUED = Metric(
    "queue_recovery_jobs_enqueued_total",
    MetricKind.COUNTER,
    (),
    "Jobs that were enqueued as new tasks.",
)
JOBS_SKIPPED = Metric(
    "queue_recovery_jobs_skipped_total",
    MetricKind.COUNTER,
    ("reason",),
    "Listed jobs that were not enqueued, by reason.",
)
TARGET_UP = Metric(
    "queue_recovery_target_up",
    MetricKind.GAUGE,
    ("namespace", "target", "part"),
    "Whether the broker or jobStore of a target answers (1), or does not or could not be checked (0). Without names: "
    "whether those of all targets do.",
)
QUEUE_DEPTH = Metric(
    "queue_recovery_queue_depth",
    MetricKind.GAUGE,
    ("namespace", "target", "queue", "state"),
    "Messages of a queue at the last check, by state: ready (in its lists, over all priorities) or unacked (held by "
    "workers; of more than 1,000 in the database the oldest are counted). Without names: of all queues.",
)
UNACKED = Metric(
    "queue_recovery_unacked",
    MetricKind.GAUGE,
    ("namespace", "target"),
    "Messages that workers hold, of all queues of the broker's database, at the last check.",
)
OLDEST_UNACKED = Metric(
    "queue_recovery_oldest_unacked_age_seconds",
    MetricKind.GAUGE,
    ("namespace", "target", "queue"),
    "How long ago the oldest unacked message of a queue was delivered; absent if there is none. Without names: the "
    "oldest of all queues.",
)
QUEUES_STUCK = Metric(
    "queue_recovery_queues_stuck",
    MetricKind.GAUGE,
    ("namespace", "target", "queue", "reason"),
    "Queues that are stuck, by reason (docs/stuck.md); absent if none is. Without names: of all targets.",
)

METRICS = (
    LEADER,
    RECOVERIES_FINISHED,
    PHASE_DURATION,
    ACTIVE,
    MESSAGES_QUARANTINED,
    MESSAGES_REDELIVERED,
    JOBS_ENQUEUED,
    JOBS_SKIPPED,
    TARGET_UP,
    QUEUE_DEPTH,
    UNACKED,
    OLDEST_UNACKED,
    QUEUES_STUCK,
)
"""All of them, in the order in which the reference lists them."""
