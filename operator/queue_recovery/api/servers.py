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
