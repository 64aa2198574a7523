"""QueueTarget: what may be recovered, and how to reach it."""

from pydantic import Field, JsonValue

from queue_recovery.api.approval import TargetPolicy
from queue_recovery.api.base import (
    EVERY_QUEUE,
    LIST_SET,
    JsonText,
    Message,
    Model,
    ObjectName,
    QueueName,
    TaskName,
    Timestamp,
    is_empty,
    list_map,
    with_rules,
)
from queue_recovery.api.conditions import Condition
from queue_recovery.api.diagnosis import DiagnosisSpec
from queue_recovery.api.servers import BrokerSpec, JobStoreSpec
from queue_recovery.api.stuck import MOST_CAUSES, QueueStuck
from queue_recovery.api.worker_ref import WorkerRef, workers_rules

OPERATOR_KEYS = "queuerecovery.dev:"
"""What every key that the operator itself writes to a broker begins with, behind the application's prefix."""


class MessageSpec(Model):
    """How the application enqueues a job."""

    task: TaskName = Field(description="Name of the Celery task.")
    args: JsonText = Field(
        "[]",
        description='JSON array as text; `$(id)` is replaced by the job\'s id, as in `["$(id)"]` or `[$(id)]`.',
    )
    kwargs: JsonText = Field(
        "{}",
        description='JSON object as text; `$(id)` is replaced by the job\'s id, as in `{"job_id": "$(id)"}`.',
    )


class QueueSpec(Model):
    """One queue that may be recovered."""

    name: QueueName = Field(description="The queue's name, as Celery knows it (without prefix).")
    workers: list[WorkerRef] = Field(
        min_length=1,
        max_length=20,
        description="All Deployments, StatefulSets and other workloads whose pods consume the queue. A recovery stops "
        "and starts them.",
    )
    message: MessageSpec | None = Field(
        None,
        description="How the application enqueues a job. Required for jobs whose documents do not name their task.",
    )
    tasks: list[TaskName] = Field(
        [],
        max_length=100,
        description="Tasks that are allowed in the queue, besides that of `message`, for jobs that are written out. If "
        "the list is not empty, it also restricts the jobs that are looked up in the job store.",
        json_schema_extra=LIST_SET,
    )

    model_config = with_rules(workers_rules("workers"))


class Limits(Model):
    """The longest deadlines of the target's recoveries."""

    starting_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=31536000,
        description="Longest `startingDeadlineSeconds`: how long a recovery may wait before it starts.",
    )
    active_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=31536000,
        description="Longest `activeDeadlineSeconds`: how long a recovery may hold the queue and its workers.",
    )


def _free(option: str) -> JsonValue:
    """Return the rule that a key of the transport options does not collide with the operator's keys."""
    return {
        "rule": "!(self.broker.transportOptions.globalKeyPrefix"
        f" + self.broker.transportOptions.{option}).contains('{OPERATOR_KEYS}')",
        "fieldPath": f".broker.transportOptions.{option}",
        "message": f"the key may not contain `{OPERATOR_KEYS}`, the prefix of the operator's own keys",
    }


class QueueTargetSpec(Model):
    """What may be recovered, and how to reach it: written once, by the platform team."""

    broker: BrokerSpec = Field(description="The Redis server that carries the queues.")
    job_store: JobStoreSpec | None = Field(
        None,
        description="Where jobs are looked up by id. Without it only jobs that are written out can be enqueued.",
    )
    queues: list[QueueSpec] = Field(
        min_length=1,
        max_length=100,
        description="The queues that may be recovered.",
        json_schema_extra=list_map("name"),
    )
    limits: Limits = Field(
        Limits(),
        description="The longest deadlines of recoveries, even if their specs ask for more. Users who may create "
        "recoveries but not change the target cannot hold a queue for longer.",
    )
    policy: TargetPolicy = Field(TargetPolicy(), description="What recoveries need besides permissions.")
    diagnosis: DiagnosisSpec = Field(
        DiagnosisSpec(), description="How the operator finds out why jobs fail, and whether a retry helps."
    )

    model_config = with_rules(
        [
            {
                "rule": "self.queues.all(q, !(self.broker.transportOptions.globalKeyPrefix + q.name"
                f" + self.broker.transportOptions.sep).contains('{OPERATOR_KEYS}'))",
                "fieldPath": ".queues",
                "message": f"no queue's key may contain `{OPERATOR_KEYS}`, the prefix of the operator's own keys",
            },
            _free("unackedKey"),
            _free("unackedIndexKey"),
            {
                "rule": f"self.queues.all(q, q.name != '{EVERY_QUEUE}')",
                "fieldPath": ".queues",
                "message": f"no queue may be named `{EVERY_QUEUE}`, which means all queues of the target",
            },
        ]
    )

    @property
    def secrets(self) -> list[str]:
        """The names of the Secrets without which no recovery runs: all but those of `diagnosis`."""
        broker, sentinels = self.broker, self.broker.transport_options.sentinel_kwargs
        store = self.job_store.mongodb if self.job_store else None
        refs = [broker.url_secret_ref, sentinels.password_secret_ref, store and store.url_secret_ref]
        refs_of_tls = [
            ref
            for tls in (broker.tls, store and store.tls)
            if tls
            for ref in (tls.ca_secret_ref, tls.client_certificate_secret_ref)
        ]
        return sorted({ref.name for ref in (*refs, *refs_of_tls) if ref})


class QueueDepth(Model):
    """How many messages one queue has."""

    name: QueueName = Field(description="The queue's name.")
    ready: int = Field(ge=0, description="Messages in its lists, over all priorities.")
    unacked: int = Field(
        0,
        ge=0,
        description="Messages that workers hold, or held when they were killed, apart from those in "
        "`unackedNotCounted`.",
    )
    oldest_unacked_time: Timestamp | None = Field(
        None,
        description="When the oldest unacked message was delivered, by the worker's clock; left out when there are "
        "none.",
    )
    stuck: list[QueueStuck] = Field(
        [],
        max_length=MOST_CAUSES,
        exclude_if=is_empty,
        description="Why the queue is stuck; left out when it is not.",
        json_schema_extra=list_map("reason"),
    )


class QueueTargetStatus(Model):
    """What the operator last observed of the target."""

    observed_generation: int = Field(-1, ge=-1, description="Generation of the spec that this status was made from.")
    checked_time: Timestamp | None = Field(None, description="When the operator last checked the target.")
    depth: Message = Field(
        "",
        description="The queues' depths in one line, ready and unacked, such as `tts=0+3 mail=12`; `+0` is left out.",
    )
    queues: list[QueueDepth] = Field(
        [], max_length=100, description="The queues' depths.", json_schema_extra=list_map("name")
    )
    unacked: int | None = Field(
        None, ge=0, description="Messages that workers hold, of all queues of the broker's database."
    )
    unacked_not_counted: int | None = Field(
        None,
        ge=1,
        description="How many of them are counted for no queue, because only the 1,000 oldest are read, or because an "
        "entry cannot be read. The queues' counts may be too low by this number. Left out when all are counted.",
    )
    oldest_unacked_time: Timestamp | None = Field(
        None, description="When the oldest unacked message of the target's queues was delivered to a worker."
    )
    ledger: ObjectName | None = Field(
        None,
        description="Name of the ConfigMap that records the executed recoveries of the namespace, once it has an entry "
        "of this target. If it is deleted, recoveries wait with `LedgerLost`.",
    )
    conditions: list[Condition] = Field(
        [],
        max_length=16,
        description="Ready, BrokerReachable, JobStoreReachable, WorkersFound, Permitted, EvictionSafe, "
        "TransportVerified, Stuck, EtasVisible, RunTimesAllowed, EvidenceReadable.",
        json_schema_extra=list_map("type"),
    )


class TargetRef(Model):
    """A QueueTarget in the same namespace."""

    name: ObjectName = Field(description="Name of the QueueTarget, in this namespace.")
