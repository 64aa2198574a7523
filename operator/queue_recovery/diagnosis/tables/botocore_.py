"""The exceptions of botocore; boto3 raises them too."""

from typing import Final

from queue_recovery.diagnosis.tables.table import DETERMINISTIC, TRANSIENT, UNKNOWN, Row, Table

_THROTTLED: Final = (
    "Throttling|ThrottlingException|ThrottledException|RequestThrottledException|TooManyRequestsException"
    "|ProvisionedThroughputExceededException|TransactionInProgressException|RequestLimitExceeded"
    "|BandwidthLimitExceeded|RequestThrottled|SlowDown|PriorRequestNotComplete|EC2ThrottledException"
)
_AWAY: Final = (
    "RequestTimeout|RequestTimeoutException|ServiceUnavailable|ServiceUnavailableException|InternalError"
    "|InternalFailure|InternalServerError|502|503|504"
)
_REQUEST: Final = (
    "ValidationException|ValidationError|InvalidParameterCombination|MissingParameter"
    "|MalformedXML|SerializationException|UnknownOperationException"
)

TABLE: Final = Table(
    package="botocore",
    module="botocore.exceptions",
    version="1.44.8",
    source="https://docs.aws.amazon.com/boto3/latest/guide/retries.html, `botocore.retries.standard`, "
    "`botocore.exceptions`",
    bases={
        "BotoCoreError": (),
        "ClientError": (),
        "EventStreamError": ("ClientError",),
        "HTTPClientError": ("BotoCoreError",),
        "ConnectionError": ("BotoCoreError",),
        "EndpointConnectionError": ("ConnectionError",),
        "ConnectTimeoutError": ("ConnectionError", "OSError"),
        "ProxyConnectionError": ("ConnectionError", "OSError"),
        "SSLError": ("ConnectionError", "OSError"),
        "ConnectionClosedError": ("HTTPClientError",),
        "ReadTimeoutError": ("HTTPClientError", "OSError"),
        "ResponseStreamingError": ("HTTPClientError",),
        "NoCredentialsError": ("BotoCoreError",),
        "PartialCredentialsError": ("BotoCoreError",),
        "NoRegionError": ("BaseEndpointResolverError",),
        "BaseEndpointResolverError": ("BotoCoreError",),
        "ValidationError": ("BotoCoreError",),
        "ParamValidationError": ("BotoCoreError",),
    },
    generated={"botocore.errorfactory": "botocore.exceptions.ClientError"},
    rows=(
        Row("ConnectionError", TRANSIENT, "retried by botocore's standard mode"),
        Row("HTTPClientError", TRANSIENT, "retried by botocore's standard mode"),
        Row("SSLError", UNKNOWN, "a certificate or a setting, rarely a connection"),
        Row("ProxyConnectionError", UNKNOWN, "the proxy is away, or refuses"),
        Row("NoCredentialsError", UNKNOWN, "a setting is missing, or the metadata service did not answer"),
        Row("PartialCredentialsError", DETERMINISTIC, "a setting is missing"),
        Row("NoRegionError", DETERMINISTIC, "a setting is missing"),
        Row("ParamValidationError", DETERMINISTIC, "refused before anything is sent"),
        Row(
            "ClientError",
            TRANSIENT,
            "by its code: throttled, as botocore's retries have it",
            rf"^An error occurred \(({_THROTTLED})\)",
            "throttled",
        ),
        Row(
            "ClientError",
            TRANSIENT,
            "by its code: a time-out, or a service that is away",
            rf"^An error occurred \(({_AWAY})\)",
            "away",
        ),
        Row(
            "ClientError",
            DETERMINISTIC,
            "by its code: the request is refused as it is",
            rf"^An error occurred \(({_REQUEST})\)",
            "request",
        ),
        Row("ClientError", UNKNOWN, "any other code"),
    ),
)
