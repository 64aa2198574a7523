"""The exceptions of urllib3."""

from typing import Final

from queue_recovery.diagnosis.tables import http_status
from queue_recovery.diagnosis.tables.table import DETERMINISTIC, TRANSIENT, UNKNOWN, Row, Table

TABLE: Final = Table(
    package="urllib3",
    module="urllib3.exceptions",
    version="2.8.0",
    source="https://urllib3.readthedocs.io/en/stable/reference/urllib3.exceptions.html, `urllib3.exceptions`",
    bases={
        "HTTPError": (),
        "PoolError": ("HTTPError",),
        "RequestError": ("PoolError",),
        "MaxRetryError": ("RequestError",),
        "HostChangedError": ("RequestError",),
        "SSLError": ("HTTPError",),
        "ProxyError": ("HTTPError",),
        "DecodeError": ("HTTPError",),
        "ProtocolError": ("HTTPError",),
        "TimeoutError": ("HTTPError",),
        "ReadTimeoutError": ("TimeoutError", "RequestError"),
        "ConnectTimeoutError": ("TimeoutError",),
        "NewConnectionError": ("ConnectTimeoutError", "HTTPError"),
        "NameResolutionError": ("NewConnectionError",),
        "EmptyPoolError": ("PoolError",),
        "FullPoolError": ("PoolError",),
        "ClosedPoolError": ("PoolError",),
        "LocationValueError": ("ValueError", "HTTPError"),
        "LocationParseError": ("LocationValueError",),
        "URLSchemeUnknown": ("LocationValueError",),
        "ResponseError": ("HTTPError",),
        "IncompleteRead": ("HTTPError", "http.client.IncompleteRead"),
        "InvalidChunkLength": ("HTTPError", "http.client.IncompleteRead"),
        "InvalidHeader": ("HTTPError",),
    },
    rows=(
        Row("TimeoutError", TRANSIENT, "a time-out"),
        Row("NameResolutionError", TRANSIENT, "the name server did not answer", r"(?i)temporary failure", "again"),
        Row("NameResolutionError", UNKNOWN, "the name is wrong, or its Service is away"),
        Row("ProtocolError", TRANSIENT, "the connection was closed"),
        Row("IncompleteRead", TRANSIENT, "the connection was closed within an answer"),
        Row("InvalidChunkLength", TRANSIENT, "the connection was closed within an answer"),
        Row("EmptyPoolError", TRANSIENT, "all connections of the pool are in use"),
        Row(
            "MaxRetryError",
            UNKNOWN,
            "a name, a certificate, a proxy, or a status",
            r"Name or service not known|nodename nor servname|No address associated|SSLError|ProxyError",
            "name",
        ),
        Row(
            "MaxRetryError",
            TRANSIENT,
            "a connection, a time-out, or a server that is away",
            r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProtocolError"
            rf"|too many {http_status.RETRY} error",
            "connection",
        ),
        Row("LocationValueError", DETERMINISTIC, "the URL is wrong"),
        Row("SSLError", UNKNOWN, "a certificate or a setting, rarely a connection"),
    ),
)
