"""The exceptions of Celery and billiard."""

from typing import Final

from queue_recovery.diagnosis.tables.table import DETERMINISTIC, TRANSIENT, UNKNOWN, Row, Table

_CONTROL: Final = "says what becomes of the task, and not why"

TABLE: Final = Table(
    package="celery",
    module="celery.exceptions",
    version="5.7.0",
    source="https://docs.celeryq.dev/en/stable/reference/celery.exceptions.html, `celery.exceptions`, "
    "`billiard.exceptions`",
    bases={
        "CeleryError": (),
        "ImproperlyConfigured": ("CeleryError",),
        "SecurityError": ("CeleryError",),
        "TaskPredicate": ("CeleryError",),
        "Retry": ("TaskPredicate",),
        "Ignore": ("TaskPredicate",),
        "Reject": ("TaskPredicate",),
        "TaskError": ("CeleryError",),
        "QueueNotFound": ("KeyError", "TaskError"),
        "IncompleteStream": ("TaskError",),
        "NotRegistered": ("KeyError", "TaskError"),
        "AlreadyRegistered": ("TaskError",),
        "TimeoutError": ("TaskError",),
        "MaxRetriesExceededError": ("TaskError",),
        "TaskRevokedError": ("TaskError",),
        "InvalidTaskError": ("TaskError",),
        "ChordError": ("TaskError",),
        "BackendError": (),
        "BackendGetMetaError": ("BackendError",),
        "BackendStoreError": ("BackendError",),
        "billiard.exceptions.SoftTimeLimitExceeded": (),
        "billiard.exceptions.TimeLimitExceeded": (),
        "billiard.exceptions.WorkerLostError": (),
        "billiard.exceptions.Terminated": (),
    },
    rows=(
        Row("NotRegistered", DETERMINISTIC, "the workers of the queue do not have the task"),
        Row("ImproperlyConfigured", DETERMINISTIC, "a setting is missing, or wrong"),
        Row("QueueNotFound", DETERMINISTIC, "a setting is wrong"),
        Row("InvalidTaskError", DETERMINISTIC, "a message of a wrong shape"),
        Row("TimeoutError", TRANSIENT, "a time-out: another task's result did not come in time"),
        Row("billiard.exceptions.SoftTimeLimitExceeded", UNKNOWN, "too much data, or something that did not answer"),
        Row("billiard.exceptions.TimeLimitExceeded", UNKNOWN, "too much data, or something that did not answer"),
        Row("billiard.exceptions.WorkerLostError", UNKNOWN, "out of memory, a fault, or a pod that was evicted"),
        Row("billiard.exceptions.Terminated", UNKNOWN, "somebody has ended it"),
        Row("MaxRetriesExceededError", UNKNOWN, "the retries are over; the cause is another error"),
        Row("ChordError", UNKNOWN, "another task of the chord has failed"),
        Row("TaskPredicate", UNKNOWN, _CONTROL),
        Row("TaskRevokedError", UNKNOWN, _CONTROL),
        Row("BackendError", UNKNOWN, "the result backend"),
    ),
)
