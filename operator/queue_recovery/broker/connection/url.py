"""Parse the broker's URL as kombu does, and refuse what the operator does not support.

kombu's parser is `kombu/utils/url.py`, and `Channel._connparams` and `SentinelChannel` in `kombu/transport/redis.py`.
What names a file or a socket is refused: the URL comes from a tenant's Secret, and the files would be the operator's.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.strict_url import is_strict

_CertificateCheck = Literal["required", "optional", "none"]

_CERTIFICATE_CHECKS: dict[str, _CertificateCheck] = {
    "required": "required",
    "CERT_REQUIRED": "required",
    "optional": "optional",
    "CERT_OPTIONAL": "optional",
    "none": "none",
    "CERT_NONE": "none",
}
"""Both spellings that kombu and redis-py know of `ssl_cert_reqs`."""

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

_WITHOUT_EFFECT = frozenset(
    {
        "client_name",
        "connect_timeout",
        "health_check_interval",
        "heartbeat",
        "max_connections",
        "protocol",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
    }
)
"""Options that tune the application's own connections; the operator uses its own values."""

_NAMED_OPTIONS = frozenset(
    {
        "credential_provider",
        "db",
        "decode_responses",
        "encoding",
        "encoding_errors",
        "global_keyprefix",
        "host",
        "master_name",
        "password",
        "path",
        "port",
        "priority_steps",
        "queue_order_strategy",
        "retry_on_error",
        "sentinel",
        "sentinel_kwargs",
        "sep",
        "socket_read_size",
        "socket_type",
        "ssl",
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_exclude_verify_flags",
        "ssl_include_verify_flags",
        "ssl_keyfile",
        "ssl_min_version",
        "ssl_password",
        "timeout",
        "username",
        "virtual_host",
        "visibility_timeout",
    }
)
"""Options of kombu and redis-py that a message may name. Any other may be part of a password with a '?' in it."""

_HIGHEST_DIGITS = 10
"""Digits of a database's number at most; Redis reads it as an integer of 32 bits."""

_DEFAULT_PORT = 6379
"""kombu's, also for a Sentinel (`Transport.default_port`)."""

_SENTINEL = "sentinel://"

_OTHER_BROKERS = {
    "amqp": "RabbitMQ",
    "amqps": "RabbitMQ",
    "librabbitmq": "RabbitMQ",
    "pyamqp": "RabbitMQ",
    "azureservicebus": "Azure Service Bus",
    "azurestoragequeues": "Azure Storage Queues",
    "confluentkafka": "Kafka",
    "gcpubsub": "Google Pub/Sub",
    "kafka": "Kafka",
    "mongodb": "MongoDB as a broker",
    "sqs": "Amazon SQS",
}
"""Other transports of kombu (`kombu/transport/__init__.py`) by scheme, as a message names them."""

_MOST_SENTINELS = 50

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters that could end a line of a protocol or of a log."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a broker is, and how to log in."""

    host: str
    """The server's, or the first Sentinel's."""
    port: int
    sentinels: tuple[tuple[str, int], ...] = ()
    """Host and port of each Sentinel that knows where the server is; none: the server itself is named."""
    database: int
    username: str | None
    password: str | None
    tls: bool
    certificate_check: _CertificateCheck
    check_hostname: bool
    shows_host: bool = field(default=False, compare=False)
    """Whether messages may show hosts and ports, once a connect to them has begun (`recovery/strict_url.py`)."""


def parse_url(text: str) -> Address:
    """Parse the URL of a broker.

    White space around it is ignored, as Secrets made from files end with a newline. Of several Sentinels the first one
    gives the login, the database and the options; those of the others have no effect, as in kombu.

    Raises:
        RecoveryError: `InvalidBrokerURL`; the message repeats nothing of the URL but names of known options.
    """
    text = text.strip()
    if _CONTROL.search(text):
        raise _invalid("it contains a control character, such as a line break or a tab; remove it")
    if (other := _OTHER_BROKERS.get(text.partition("://")[0])) is not None:
        raise _invalid(f"{other} is not supported. Recoveries need Celery on Redis or Valkey")
    if not text.startswith(_SENTINEL):
        return replace(_parse_one(text), shows_host=is_strict(text))
    parts = text.split(";")
    if not all(part.startswith(_SENTINEL) for part in parts):
        raise _invalid("begin each Sentinel with sentinel://, separated by semicolons: kombu ignores others")
    if len(parts) > _MOST_SENTINELS:
        raise _invalid(f"it lists more than {_MOST_SENTINELS} Sentinels; a few of them are enough")
    sentinels = [_parse_one(part) for part in parts]
    hosts = tuple((each.host, each.port) for each in sentinels)
    return replace(sentinels[0], sentinels=hosts, shows_host=is_strict(text))


def _parse_one(text: str) -> Address:
    try:
        url = urlsplit(text)
        host, port = unquote(url.hostname or ""), url.port
        username, password = unquote(url.username or ""), unquote(url.password or "")
        host.encode("idna")
        query = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
    except ValueError:
        raise _invalid(
            "it cannot be parsed; write redis://:password@host:6379/0, with special characters of the password "
            "percent-encoded"
        ) from None
    if "@" in url.path or "@" in url.query:
        raise _invalid("it has an '@' after the host; percent-encode a '/' or a '?' in the password (%2F, %3F)")
    if any(_CONTROL.search(part) for part in (host, username, password)):
        raise _invalid("its user, password or host contains a percent-encoded control character; remove it")
    # With kombu, any TLS option in a Sentinel's URL turns TLS on.
    may_tls = _may_tls(url.scheme)
    certificate_check, check_hostname = _certificate_options(query, tls=may_tls)
    tls = may_tls and (url.scheme == "rediss" or any(name.startswith("ssl_") for name in query))
    if ";" in url.netloc:
        raise _invalid("it lists several servers; name the one that holds the queues")
    if not host or "/" in host:
        raise _invalid("it names no host; write redis://:password@host:6379/0")
    if url.fragment:
        raise _invalid("it contains a '#'; percent-encode special characters of the password")
    return Address(
        host=host,
        port=port or _DEFAULT_PORT,
        database=_database(url.path),
        username=username or None,
        password=password or None,
        tls=tls,
        certificate_check=certificate_check,
        check_hostname=check_hostname,
    )


def _may_tls(scheme: str) -> bool:
    if scheme in ("redis", "rediss", "sentinel"):
        return scheme != "redis"
    if scheme in ("unix", "socket", "redis+socket"):
        raise _invalid("it names a socket in the file system, which the operator does not share; write redis://host")
    raise _invalid("it does not begin with redis://, rediss:// or sentinel://")


def _database(path: str) -> int:
    number = unquote(path).removeprefix("/").removeprefix("/")
    if not number:
        return 0
    if not (number.isascii() and number.isdecimal() and len(number) <= _HIGHEST_DIGITS):
        raise _invalid(
            "only the number of the database is allowed after the host, as in redis://host:6379/0; correct the path"
        )
    return int(number)


def _certificate_options(query: dict[str, str], *, tls: bool) -> tuple[_CertificateCheck, bool]:
    certificate_check, check_hostname = "required", "true"
    for name, value in query.items():
        if name == "ssl_cert_reqs" and tls:
            certificate_check = value
        elif name == "ssl_check_hostname" and tls:
            check_hostname = value.lower()
        elif name not in _WITHOUT_EFFECT:
            raise _refused_option(name)
    if certificate_check not in _CERTIFICATE_CHECKS:
        raise _invalid("ssl_cert_reqs is one of required, optional and none")
    if check_hostname not in _BOOLEANS:
        raise _invalid("ssl_check_hostname is true or false")
    return _CERTIFICATE_CHECKS[certificate_check], _BOOLEANS[check_hostname]


def _refused_option(name: str) -> RecoveryError:
    if name not in _NAMED_OPTIONS:
        return _invalid(
            "it has an option after the '?' that the operator does not know; remove it, or percent-encode a '?' in "
            "the password (%3F)"
        )
    if name.startswith("ssl_"):
        return _invalid(
            f"option {name} is not supported: ssl_cert_reqs and ssl_check_hostname are, with rediss://. Files named "
            "in a URL are never read; name Secrets with the certificates under broker.tls in the target"
        )
    if name == "db":
        return _invalid("option db is not Celery's; write the number of the database after the host: redis://host/0")
    return _invalid(f"option {name} is not supported; remove it")


def _invalid(why: str) -> RecoveryError:
    return RecoveryError(Reason.INVALID_BROKER_URL, f"the broker's URL cannot be used: {why}")
