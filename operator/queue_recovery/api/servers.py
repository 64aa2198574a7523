"""The servers of a QueueTarget: the broker that carries the queues, and the job store."""

from typing import Annotated, Literal

from pydantic import Field

from queue_recovery.api.base import LIST_SET, Model, ObjectName, SecretKey, SecretKeyRef

IdType = Literal["ObjectId", "String", "Int"]

DocumentField = Annotated[str, Field(max_length=200)]
"""Name of a field of a job's document, with dots for nested ones."""


class PasswordSecretRef(Model):
    """One key of a Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret, in this namespace.")
    key: SecretKey = Field(description="Key in the Secret whose value is the password.")


class SentinelKwargs(Model):
    """How to authenticate to the Sentinels themselves."""

    username: str = Field("", max_length=200, description="`username`; empty: the default user.")
    password_secret_ref: PasswordSecretRef | None = Field(
        None, description="Secret with `password`, if the Sentinels have one."
    )
    ssl: bool = Field(
        default=False, description="`ssl`: whether the Sentinels use TLS, with the certificates of `broker.tls`."
    )


class KeyOptions(Model):
    """The application's `broker_transport_options` that name keys."""

    global_key_prefix: str = Field(
        "", max_length=100, description="`global_keyprefix`: prefix of every key, literally."
    )
    sep: str = Field(
        "\x06\x16", min_length=1, max_length=20, description="`sep`: separates a queue's name from a priority."
    )
    priority_steps: list[Annotated[int, Field(ge=0, le=255)]] = Field(
        [0, 3, 6, 9],
        min_length=1,
        max_length=20,
        description="`priority_steps`: the priorities that have their own list. The list of priority 0 has the queue's "
        "name.",
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
        description="`unacked_index_key`: the sorted set of their delivery times.",
    )


class TransportOptions(KeyOptions):
    """The application's `broker_transport_options` that name keys and servers."""

    visibility_timeout_seconds: int | None = Field(
        None,
        ge=1,
        le=31536000,
        description="`visibility_timeout`. With it, the condition `EtasVisible` warns of messages with a longer ETA, "
        "which Celery delivers again and again, and `RunTimesAllowed` of tasks that were seen to run longer.",
    )
    master_name: str = Field(
        "", max_length=200, description="`master_name`: the name under which the Sentinels of the URL know the primary."
    )
    sentinel_kwargs: SentinelKwargs = Field(
        SentinelKwargs(), description="`sentinel_kwargs`: how to authenticate to the Sentinels, if they require it."
    )


class CertificateAuthorityRef(Model):
    """One key of a Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret, in this namespace.")
    key: SecretKey = Field("ca.crt", description="Key in the Secret whose value is the certificates in PEM.")


class SecretRef(Model):
    """A Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret, in this namespace.")


class BrokerTLS(Model):
    """Certificates for TLS between the operator and the broker."""

    ca_secret_ref: CertificateAuthorityRef | None = Field(
        None,
        description="Secret with the CA that signed the broker's certificate; no other CA is trusted then. Without it, "
        "the operator trusts the CAs of its image.",
    )
    client_certificate_secret_ref: SecretRef | None = Field(
        None,
        description="A Secret of type kubernetes.io/tls with the certificate (`tls.crt`) and the key (`tls.key`) that "
        "the operator presents to the broker.",
    )


class BrokerSpec(Model):
    """The Redis server that carries the queues."""

    url_secret_ref: SecretKeyRef = Field(
        description="Secret with the whole URL of the broker: redis://, rediss:// or sentinel://."
    )
    tls: BrokerTLS | None = Field(
        None,
        description="Certificates for a rediss:// URL. With sentinel:// it also says that the servers use TLS, as "
        "`broker_use_ssl` does for the application.",
    )
    transport_options: TransportOptions = Field(
        TransportOptions(),
        description="As in the application's `broker_transport_options`. Set only what differs from Celery's defaults.",
    )


class JobFields(Model):
    """Names of the fields of a job's document. An empty name: the document has no such field."""

    status: DocumentField = Field("status", min_length=1, description="Field that holds the job's status.")
    task_id: DocumentField = Field("task_id", description="Field that holds the id of the job's Celery task, as text.")
    task: DocumentField = Field("", description="Field that holds the task's name.")
    args: DocumentField = Field("", description="Field that holds the arguments: an array, or a JSON array as text.")
    kwargs: DocumentField = Field(
        "", description="Field that holds the keyword arguments: an object, or a JSON object as text."
    )
    error: DocumentField = Field(
        "",
        description="Field that holds the job's last error, for the diagnosis: text such as `TypeError: ...` or a "
        "traceback, or an object with `type` and `message`. It is read, and never shown.",
    )


class JobStatuses(Model):
    """Values that the application writes to a job's status field."""

    pending: str = Field("pending", min_length=1, max_length=100, description="Status of a job that was enqueued.")
    recoverable: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        ["failed"],
        min_length=1,
        max_length=20,
        description="Statuses of jobs that may be enqueued again. Jobs with another status are skipped, and listed.",
        json_schema_extra=LIST_SET,
    )


class MongoDBTLS(Model):
    """Certificates for TLS between the operator and the job store."""

    ca_secret_ref: CertificateAuthorityRef | None = Field(
        None,
        description="Secret with the CA that signed the job store's certificate; no other CA is trusted then. Without "
        "it, the operator trusts the CAs of its image.",
    )
    client_certificate_secret_ref: SecretRef | None = Field(
        None,
        description="A Secret of type kubernetes.io/tls with the certificate (`tls.crt`) and the key (`tls.key`) that "
        "the operator presents to the job store.",
    )


class JobCollection(Model):
    """The collection of the jobs, and how their documents are read."""

    database: str = Field(min_length=1, max_length=63, description="Name of the database.")
    collection: str = Field(min_length=1, max_length=200, description="Name of the collection that holds the jobs.")
    id_type: IdType = Field("ObjectId", description="Type of `_id`.")
    fields: JobFields = Field(JobFields(), description="Names of the fields of a job's document.")
    statuses: JobStatuses = Field(JobStatuses(), description="Values of the status field.")


class MongoDBServer(Model):
    """How MongoDB is reached."""

    url_secret_ref: SecretKeyRef = Field(description="Secret with the whole URL: mongodb:// or mongodb+srv://.")
    tls: MongoDBTLS | None = Field(
        None, description="Certificates. If it is set, even to `{}`, the operator uses TLS to the job store."
    )


class MongoDB(JobCollection, MongoDBServer):
    """A collection of jobs in MongoDB."""


class JobStoreSpec(Model):
    """Where the application stores its jobs."""

    mongodb: MongoDB = Field(description="A MongoDB collection.")
