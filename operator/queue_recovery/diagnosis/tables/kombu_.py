"""The exceptions of kombu."""

from typing import Final

from queue_recovery.diagnosis.tables.table import DETERMINISTIC, TRANSIENT, UNKNOWN, Row, Table

TABLE: Final = Table(
    package="kombu",
    module="kombu.exceptions",
    version="5.7.0",
    source="https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.exceptions.html, `kombu.exceptions`",
    bases={
        "KombuError": (),
        "OperationalError": ("KombuError",),
        "SerializationError": ("KombuError",),
        "EncodeError": ("SerializationError",),
        "DecodeError": ("SerializationError",),
        "NotBoundError": ("KombuError",),
        "MessageStateError": ("KombuError",),
        "LimitExceeded": ("KombuError",),
        "ConnectionLimitExceeded": ("LimitExceeded",),
        "ChannelLimitExceeded": ("LimitExceeded",),
        "VersionMismatch": ("KombuError",),
        "SerializerNotInstalled": ("KombuError",),
        "ContentDisallowed": ("SerializerNotInstalled",),
        "HttpError": (),
    },
    rows=(
        Row(
            "OperationalError",
            UNKNOWN,
            "the name is wrong, or its Service is away",
            r"Name or service not known|nodename nor servname|No address associated",
            "name",
        ),
        Row("OperationalError", TRANSIENT, "a recoverable error of the connection to the broker"),
        Row("LimitExceeded", TRANSIENT, "all connections of the pool are in use"),
        Row("SerializationError", DETERMINISTIC, "data that the serializer cannot write or read"),
        Row("SerializerNotInstalled", DETERMINISTIC, "a setting: the worker does not accept the serializer"),
        Row("NotBoundError", DETERMINISTIC, "a fault in the code"),
    ),
)
