"""The exceptions of requests."""

from typing import Final

from queue_recovery.diagnosis.tables import http_status
from queue_recovery.diagnosis.tables.table import DETERMINISTIC, TRANSIENT, UNKNOWN, Row, Table

_REQUEST: Final = "refused before anything is sent: the URL or the request is wrong"

TABLE: Final = Table(
    package="requests",
    module="requests.exceptions",
    version="2.34.2",
    source="https://requests.readthedocs.io/en/latest/api/#exceptions, `requests.exceptions`",
    bases={
        "RequestException": ("OSError",),
        "InvalidJSONError": ("RequestException",),
        "JSONDecodeError": ("InvalidJSONError", "json.decoder.JSONDecodeError"),
        "HTTPError": ("RequestException",),
        "ConnectionError": ("RequestException",),
        "ProxyError": ("ConnectionError",),
        "SSLError": ("ConnectionError",),
        "Timeout": ("RequestException",),
        "ConnectTimeout": ("ConnectionError", "Timeout"),
        "ReadTimeout": ("Timeout",),
        "URLRequired": ("RequestException",),
        "TooManyRedirects": ("RequestException",),
        "MissingSchema": ("RequestException", "ValueError"),
        "InvalidSchema": ("RequestException", "ValueError"),
        "InvalidURL": ("RequestException", "ValueError"),
        "InvalidHeader": ("RequestException", "ValueError"),
        "InvalidProxyURL": ("InvalidURL",),
        "ChunkedEncodingError": ("RequestException",),
        "ContentDecodingError": ("RequestException", "urllib3.exceptions.HTTPError"),
        "StreamConsumedError": ("RequestException", "TypeError"),
        "RetryError": ("RequestException",),
        "UnrewindableBodyError": ("RequestException",),
    },
    rows=(
        Row("Timeout", TRANSIENT, "the server did not answer in time"),
        Row(
            "ConnectionError",
            UNKNOWN,
            "the name is wrong, or its Service is away",
            r"Name or service not known|nodename nor servname|No address associated",
            "name",
        ),
        Row("ConnectionError", TRANSIENT, "a connection"),
        Row("SSLError", UNKNOWN, "a certificate or a setting, rarely a connection"),
        Row("ProxyError", UNKNOWN, "the proxy is away, or refuses"),
        Row("ChunkedEncodingError", TRANSIENT, "the connection was closed within an answer"),
        Row("HTTPError", TRANSIENT, http_status.WHY_RETRY, rf"^{http_status.RETRY} (Client|Server) Error", "retry"),
        Row("HTTPError", DETERMINISTIC, http_status.WHY_REQUEST, rf"^{http_status.REQUEST} Client Error", "request"),
        Row("HTTPError", UNKNOWN, http_status.WHY_OTHER),
        Row(
            "RetryError", TRANSIENT, "too many answers of that status", rf"too many {http_status.RETRY} error", "retry"
        ),
        Row("RetryError", UNKNOWN, "too many answers of another status"),
        Row("MissingSchema", DETERMINISTIC, _REQUEST),
        Row("InvalidSchema", DETERMINISTIC, _REQUEST),
        Row("InvalidURL", DETERMINISTIC, _REQUEST),
        Row("URLRequired", DETERMINISTIC, _REQUEST),
        Row("InvalidHeader", DETERMINISTIC, _REQUEST),
        Row("StreamConsumedError", DETERMINISTIC, "a fault in the code"),
        Row("InvalidJSONError", UNKNOWN, "a server in trouble answers with HTML, or with nothing"),
    ),
)
