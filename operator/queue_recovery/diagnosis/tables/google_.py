"""The exceptions of google-api-core, which all clients of Google Cloud raise."""

from typing import Final

from queue_recovery.diagnosis.tables.table import DETERMINISTIC, TRANSIENT, UNKNOWN, Row, Table

_PREDICATE: Final = "transient by `google.api_core.retry.if_transient_error`"
_GRPC: Final = "as https://grpc.io/docs/guides/status-codes/ describes the code"

TABLE: Final = Table(
    package="google-api-core",
    module="google.api_core.exceptions",
    version="2.44.0",
    source="https://googleapis.dev/python/google-api-core/latest/retry.html, `google.api_core.exceptions`, "
    "https://grpc.io/docs/guides/status-codes/",
    bases={
        "GoogleAPIError": (),
        "RetryError": ("GoogleAPIError",),
        "GoogleAPICallError": ("GoogleAPIError",),
        "Redirection": ("GoogleAPICallError",),
        "ClientError": ("GoogleAPICallError",),
        "ServerError": ("GoogleAPICallError",),
        "BadRequest": ("ClientError",),
        "InvalidArgument": ("BadRequest",),
        "FailedPrecondition": ("BadRequest",),
        "OutOfRange": ("BadRequest",),
        "Unauthorized": ("ClientError",),
        "Unauthenticated": ("Unauthorized",),
        "Forbidden": ("ClientError",),
        "PermissionDenied": ("Forbidden",),
        "NotFound": ("ClientError",),
        "MethodNotAllowed": ("ClientError",),
        "Conflict": ("ClientError",),
        "AlreadyExists": ("Conflict",),
        "Aborted": ("Conflict",),
        "LengthRequired": ("ClientError",),
        "PreconditionFailed": ("ClientError",),
        "TooManyRequests": ("ClientError",),
        "ResourceExhausted": ("TooManyRequests",),
        "Cancelled": ("ClientError",),
        "InternalServerError": ("ServerError",),
        "Unknown": ("ServerError",),
        "DataLoss": ("ServerError",),
        "MethodNotImplemented": ("ServerError",),
        "BadGateway": ("ServerError",),
        "ServiceUnavailable": ("ServerError",),
        "GatewayTimeout": ("ServerError",),
        "DeadlineExceeded": ("GatewayTimeout",),
    },
    rows=(
        Row("InternalServerError", TRANSIENT, _PREDICATE),
        Row("TooManyRequests", TRANSIENT, _PREDICATE),
        Row("ServiceUnavailable", TRANSIENT, _PREDICATE),
        Row("BadGateway", TRANSIENT, "a server that is away"),
        Row("GatewayTimeout", TRANSIENT, "a time-out"),
        Row("Aborted", TRANSIENT, f"{_GRPC}: try again at a higher level"),
        Row("RetryError", UNKNOWN, "the time for retries was over; the cause is another error"),
        Row("InvalidArgument", DETERMINISTIC, f"{_GRPC}: wrong regardless of the state of the system"),
        Row("MethodNotImplemented", DETERMINISTIC, _GRPC),
        Row("MethodNotAllowed", DETERMINISTIC, "the request is refused as it is"),
        Row("LengthRequired", DETERMINISTIC, "the request is refused as it is"),
        Row("ClientError", UNKNOWN, "a role, a quota, or an object that is not there yet"),
    ),
)
