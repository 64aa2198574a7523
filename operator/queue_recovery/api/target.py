"""QueueTarget: what may be recovered, and how to reach it."""

from pydantic import Field, JsonValue

from queue_recovery.api.base import (
    EVERY_QUEUE,
    LIST_SET,
    JsonText,
    Message,
    Model,
    NameRef,
    ObjectName,
    QueueName,
    TaskName,
    Timestamp,
    list_map,
    with_rules,
)
from queue_recovery.api.conditions import Condition
from queue_recovery.api.servers import BrokerSpec, JobStoreSpec

OPERATOR_KEYS = "queuerecovery.dev:"
"""What every key that the operator itself writes to a broker begins with, behind the application's prefix."""


class MessageSpec(Model):
    """How the application enqueues one job."""

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
    workers: list[NameRef] = Field(
        min_length=1,
        max_length=20,
        description="All Deployments whose pods consume the queue: a recovery stops and starts them.",
        json_schema_extra=list_map("name"),
    )
    message: MessageSpec | None = Field(
        None,
        description="How the application enqueues one job; needed for jobs whose documents do not say it.",
    )
    tasks: list[TaskName] = Field(
        [],
        max_length=100,
        description="Tasks that a job which is written out may name here, besides that of `message`; if there are any, "
        "they bind the jobs of the job store too.",
        json_schema_extra=LIST_SET,
    )


class Limits(Model):
    """The longest deadlines of the target's recoveries."""

    starting_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=31536000,
        description="Longest `startingDeadlineSeconds`: how long a recovery may wait for a queue.",
    )
    active_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=31536000,
        description="Longest `activeDeadlineSeconds`: how long a recovery may hold the queue and stop its workers.",
    )


def _free(option: str) -> JsonValue:
    """Return the rule that a key of the transport options is none of the operator's own."""
    return {
        "rule": "!(self.broker.transportOptions.globalKeyPrefix"
        f" + self.broker.transportOptions.{option}).contains('{OPERATOR_KEYS}')",
        "fieldPath": f".broker.transportOptions.{option}",
        "message": f"the key may not contain `{OPERATOR_KEYS}`, where the operator keeps its own keys",
    }


class QueueTargetSpec(Model):
    """Written once by the owner of the platform: what may be recovered and how to reach it."""

    broker: BrokerSpec = Field(description="The Redis server that carries the queues.")
    job_store: JobStoreSpec | None = Field(
        None,
        description="Where jobs are looked up by id; without it only jobs that are written out can be enqueued.",
    )
    queues: list[QueueSpec] = Field(
        min_length=1,
        max_length=100,
        description="The queues that may be recovered.",
        json_schema_extra=list_map("name"),
    )
    limits: Limits = Field(
        Limits(),
        description="The longest deadlines that a recovery gets, also when it asks for more. Users who may create "
        "recoveries, but not change the target, cannot hold a queue for longer.",
    )

    model_config = with_rules(
        [
            {
                "rule": "self.queues.all(q, !(self.broker.transportOptions.globalKeyPrefix + q.name"
                f" + self.broker.transportOptions.sep).contains('{OPERATOR_KEYS}'))",
                "fieldPath": ".queues",
                "message": f"no queue's key may contain `{OPERATOR_KEYS}`, where the operator keeps its own keys",
            },
            _free("unackedKey"),
            _free("unackedIndexKey"),
            {
                "rule": f"self.queues.all(q, q.name != '{EVERY_QUEUE}')",
                "fieldPath": ".queues",
                "message": f"no queue may be named `{EVERY_QUEUE}`: a recovery means all queues of its target by it",
            },
        ]
    )

    @property
    def secrets(self) -> list[str]:
        """The names of all Secrets that it refers to."""
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
        description="Messages that workers hold, or held when they were killed, without those of `unackedNotCounted`.",
    )
    oldest_unacked_time: Timestamp | None = Field(
        None, description="When the oldest of them was delivered, by the worker's clock; left out when there are none."
    )


class QueueTargetStatus(Model):
    """What the operator last saw of a target."""

    observed_generation: int = Field(-1, ge=-1, description="Generation of the spec that this status was made from.")
    checked_time: Timestamp | None = Field(None, description="When the operator last looked.")
    depth: Message = Field(
        "", description="The queues' depths in one line, ready and unacked, as `tts=0+3 mail=12`; `+0` is left out."
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
        "entry cannot be read: the queues' counts may be too low by so many. Left out when all are counted.",
    )
    oldest_unacked_time: Timestamp | None = Field(
        None, description="When the oldest unacked message of the target's queues was delivered to a worker."
    )
    conditions: list[Condition] = Field(
        [],
        max_length=16,
        description="Ready, BrokerReachable, JobStoreReachable, WorkersFound, Permitted, EvictionSafe, "
        "TransportVerified.",
        json_schema_extra=list_map("type"),
    )


class TargetRef(Model):
    """A QueueTarget in the same namespace."""

    name: ObjectName = Field(description="Name of the QueueTarget, in this namespace.")
