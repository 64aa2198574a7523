"""The exceptions of httpx."""

from typing import Final

from queue_recovery.diagnosis.tables import http_status
from queue_recovery.diagnosis.tables.table import DETERMINISTIC, TRANSIENT, UNKNOWN, Row, Table

TABLE: Final = Table(
    package="httpx",
    module="httpx",
    version="0.28.1",
    source="https://www.python-httpx.org/exceptions/, `httpx._exceptions`",
    bases={
        "HTTPError": (),
        "RequestError": ("HTTPError",),
        "TransportError": ("RequestError",),
        "TimeoutException": ("TransportError",),
        "ConnectTimeout": ("TimeoutException",),
        "ReadTimeout": ("TimeoutException",),
        "WriteTimeout": ("TimeoutException",),
        "PoolTimeout": ("TimeoutException",),
        "NetworkError": ("TransportError",),
        "ConnectError": ("NetworkError",),
        "ReadError": ("NetworkError",),
        "WriteError": ("NetworkError",),
        "CloseError": ("NetworkError",),
        "ProxyError": ("TransportError",),
        "UnsupportedProtocol": ("TransportError",),
        "ProtocolError": ("TransportError",),
        "LocalProtocolError": ("ProtocolError",),
        "RemoteProtocolError": ("ProtocolError",),
        "DecodingError": ("RequestError",),
        "TooManyRedirects": ("RequestError",),
        "HTTPStatusError": ("HTTPError",),
        "StreamError": ("RuntimeError",),
        "InvalidURL": (),
    },
    rows=(
        Row("TimeoutException", TRANSIENT, "a time-out"),
        Row(
            "ConnectError",
            UNKNOWN,
            "a name or a certificate",
            r"Name or service not known|nodename nor servname|No address associated|CERTIFICATE_VERIFY_FAILED",
            "name",
        ),
        Row("NetworkError", TRANSIENT, "a connection"),
        Row("RemoteProtocolError", TRANSIENT, "the server closed the connection, or sent something malformed"),
        Row("LocalProtocolError", DETERMINISTIC, "a header that HTTP does not allow", r"(?i)illegal header", "header"),
        Row("LocalProtocolError", UNKNOWN, "also raised on a connection that the server has closed"),
        Row("UnsupportedProtocol", DETERMINISTIC, "the URL is wrong"),
        Row("InvalidURL", DETERMINISTIC, "the URL is wrong"),
        Row(
            "HTTPStatusError",
            TRANSIENT,
            http_status.WHY_RETRY,
            rf"^(Client|Server) error '{http_status.RETRY} ",
            "retry",
        ),
        Row(
            "HTTPStatusError",
            DETERMINISTIC,
            http_status.WHY_REQUEST,
            rf"^Client error '{http_status.REQUEST} ",
            "request",
        ),
        Row("HTTPStatusError", UNKNOWN, http_status.WHY_OTHER),
    ),
)
