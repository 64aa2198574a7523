"""QueueTarget: what may be recovered, and how to reach it."""

from typing import Annotated, Literal

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
    SecretKey,
    SecretKeyRef,
    TaskName,
    Timestamp,
    list_map,
    with_rules,
)
from queue_recovery.api.conditions import Condition

OPERATOR_KEYS = "queuerecovery.dev:"
"""What every key that the operator itself writes to a broker begins with, behind the application's prefix."""

IdType = Literal["ObjectId", "String", "Int"]

DocumentField = Annotated[str, Field(max_length=200)]
"""Name of a field of a job's document, with dots for nested ones."""


class PasswordSecretRef(Model):
    """One key of a Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret, in this namespace.")
    key: SecretKey = Field(description="Key in the Secret whose value is the password.")


class SentinelKwargs(Model):
    """How to log in at the Sentinels themselves."""

    username: str = Field("", max_length=200, description="`username`; empty: the default user.")
    password_secret_ref: PasswordSecretRef | None = Field(
        None, description="Where `password` is stored, if they have one."
    )
    ssl: bool = Field(
        default=False, description="`ssl`: whether they speak TLS; the certificates are those of `broker.tls`."
    )


class TransportOptions(Model):
    """The application's `broker_transport_options`, as far as they name keys and servers."""

    global_key_prefix: str = Field(
        "", max_length=100, description="`global_keyprefix`: comes literally before every key."
    )
    sep: str = Field(
        "\x06\x16", min_length=1, max_length=20, description="`sep`: separates a queue's name from a priority."
    )
    priority_steps: list[Annotated[int, Field(ge=0, le=255)]] = Field(
        [0, 3, 6, 9],
        min_length=1,
        max_length=20,
        description="`priority_steps`: the priorities that have a list of their own; that of 0 has the bare name.",
        json_schema_extra=LIST_SET,
    )
    unacked_key: str = Field(
        "unacked",
        min_length=1,
        max_length=200,
        description="`unacked_key`: the hash of the messages that workers hold.",
    )
    unacked_index_key: str = Field(
        "unacked_index",
        min_length=1,
        max_length=200,
        description="`unacked_index_key`: the sorted set of when each of them was delivered.",
    )
    master_name: str = Field(
        "", max_length=200, description="`master_name`: the name under which the Sentinels of the URL know the primary."
    )
    sentinel_kwargs: SentinelKwargs = Field(
        SentinelKwargs(), description="`sentinel_kwargs`: how to log in at the Sentinels; only where they ask for it."
    )


class CertificateAuthorityRef(Model):
    """One key of a Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret, in this namespace.")
    key: SecretKey = Field("ca.crt", description="Key in the Secret whose value is the certificates in PEM.")


class SecretRef(Model):
    """A Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret, in this namespace.")


class BrokerTLS(Model):
    """Certificates that the operator trusts and shows when it speaks TLS to the broker."""

    ca_secret_ref: CertificateAuthorityRef | None = Field(
        None,
        description="Where the authority is stored that has signed the broker's certificate; no other is trusted then. "
        "Without it those that the operator's image trusts.",
    )
    client_certificate_secret_ref: SecretRef | None = Field(
        None,
        description="A Secret of type kubernetes.io/tls with the certificate (`tls.crt`) and the key (`tls.key`) that "
        "the operator shows to the broker.",
    )


class BrokerSpec(Model):
    """The Redis server that carries the queues."""

    url_secret_ref: SecretKeyRef = Field(
        description="Where the broker's whole URL is stored: redis://, rediss:// or sentinel://."
    )
    tls: BrokerTLS | None = Field(
        None,
        description="Certificates, for a URL with rediss://; with sentinel://, that the servers speak TLS, as "
        "`broker_use_ssl` says it to the application.",
    )
    transport_options: TransportOptions = Field(
        TransportOptions(),
        description="As in the application's `broker_transport_options`; only where it changes Celery's defaults.",
    )


class JobFields(Model):
    """The names of the fields of a job's document; an empty name: not in the document."""

    status: DocumentField = Field("status", min_length=1, description="Field that holds the job's status.")
    task_id: DocumentField = Field("task_id", description="Field that holds the id of the job's Celery task.")
    task: DocumentField = Field("", description="Field that holds the task's name.")
    args: DocumentField = Field("", description="Field that holds the arguments: an array, or JSON text of one.")
    kwargs: DocumentField = Field(
        "", description="Field that holds the keyword arguments: an object, or JSON text of one."
    )


class JobStatuses(Model):
    """What the application writes in a job's status field."""

    pending: str = Field("pending", min_length=1, max_length=100, description="Status of a job that was enqueued.")
    recoverable: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        ["failed"],
        min_length=1,
        max_length=20,
        description="Statuses from which a job may be enqueued again; jobs with another one are skipped and named.",
        json_schema_extra=LIST_SET,
    )


class MongoDBTLS(Model):
    """Certificates that the operator trusts and shows when it speaks TLS to the job store."""

    ca_secret_ref: CertificateAuthorityRef | None = Field(
        None,
        description="The authority that has signed the job store's certificate; no other is trusted then. Without it "
        "those that the operator's image trusts.",
    )
    client_certificate_secret_ref: SecretRef | None = Field(
        None,
        description="A Secret of type kubernetes.io/tls with the certificate (`tls.crt`) and the key (`tls.key`) that "
        "the operator shows to the job store.",
    )


class MongoDB(Model):
    """One collection of jobs in MongoDB."""

    url_secret_ref: SecretKeyRef = Field(description="Where the whole URL is stored: mongodb:// or mongodb+srv://.")
    tls: MongoDBTLS | None = Field(
        None, description="Certificates; where it is given, also `{}`, the operator speaks TLS to the job store."
    )
    database: str = Field(min_length=1, max_length=63, description="Name of the database.")
    collection: str = Field(min_length=1, max_length=200, description="Name of the collection that holds the jobs.")
    id_type: IdType = Field("ObjectId", description="Type of `_id`.")
    fields: JobFields = Field(JobFields(), description="Names of the fields of a job's document.")
    statuses: JobStatuses = Field(JobStatuses(), description="Values of the status field.")


class JobStoreSpec(Model):
    """Where the application keeps its jobs."""

    mongodb: MongoDB = Field(description="A MongoDB collection.")


class MessageSpec(Model):
    """How the application enqueues one job."""

    task: TaskName = Field(description="Name of the Celery task.")
    args: JsonText = Field(
        "[]",
        description='JSON array as text; `$(id)` is replaced by the job\'s id, as in `["$(id)"]` or `[$(id)]`.',
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
    """How many messages wait in one queue."""

    name: QueueName = Field(description="The queue's name.")
    ready: int = Field(ge=0, description="Messages in its lists, over all priorities.")


class QueueTargetStatus(Model):
    """What the operator last saw of a target."""

    observed_generation: int = Field(-1, ge=-1, description="Generation of the spec that this status was made from.")
    checked_time: Timestamp | None = Field(None, description="When the operator last looked.")
    depth: Message = Field("", description="The queues' depths in one line, as `tts=0 mail=12`.")
    queues: list[QueueDepth] = Field(
        [], max_length=100, description="The queues' depths.", json_schema_extra=list_map("name")
    )
    unacked: int | None = Field(
        None, ge=0, description="Messages that workers hold, of all queues of the broker's database."
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
