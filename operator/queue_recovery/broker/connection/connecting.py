"""Prepare connections to the server that a URL names, or to the primary that its Sentinels name."""

import ssl
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker.connection.failures import primary_unknown
from queue_recovery.broker.connection.guarded import GuardedConnection
from queue_recovery.broker.connection.replies import BoundedParser
from queue_recovery.broker.connection.sentinel import (
    PrimaryPool,
    SentinelConnection,
    Sentinels,
    SentinelTLSConnection,
    connect_to_primary,
)
from queue_recovery.broker.connection.tls import TLSConnection, ssl_context
from queue_recovery.broker.connection.url import Address
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import Destinations
from queue_recovery.recovery.errors import RecoveryError

_CLIENT_NAME = "queue-recovery"
_CONNECT_SECONDS = 3
_ANSWER_SECONDS = 5
_RETRIES = 2
"""A command may be sent again when its answer is late: every script gives the same answer when sent twice."""


def connect(
    address: Address,
    options: TransportOptions,
    certificates: Certificates | None,
    sentinel_password: str | None,
    destinations: Destinations,
) -> Redis:
    """Prepare a pool of connections to one database; the first command connects.

    Raises:
        RecoveryError: `InvalidBrokerURL`, `InvalidCertificate`, `PrimaryNotFound`.
    """
    if certificates is not None and not (address.tls or address.sentinels):
        raise RecoveryError(
            Reason.INVALID_BROKER_URL,
            "the target has broker.tls, and the broker's URL begins with redis://; write rediss://, or "
            "remove broker.tls from the target",
        )
    if certificates is not None and certificates.authorities is not None and address.certificate_check == "none":
        raise RecoveryError(
            Reason.INVALID_BROKER_URL,
            "the target has broker.tls.caSecretRef, and the broker's URL says ssl_cert_reqs=none, with "
            "which no certificate is verified; remove ssl_cert_reqs from the URL",
        )
    encrypted = address.tls or certificates is not None
    of_sentinels = options.sentinel_kwargs
    context = ssl_context(address, certificates or Certificates()) if encrypted or of_sentinels.ssl else None
    login = {
        "db": address.database,
        "username": address.username,
        "password": address.password,
        "destinations": destinations,
    }
    if not address.sentinels:
        return _server(address.host, address.port, context, {**login, "shows_host": address.shows_host})
    if not options.master_name:
        raise primary_unknown()
    login_there = {
        "username": of_sentinels.username or None,
        "password": sentinel_password,
        "destinations": destinations,
        "shows_host": address.shows_host,
    }
    sentinels = [
        _server(host, port, context if of_sentinels.ssl else None, login_there) for host, port in address.sentinels
    ]
    kind: dict[str, Any] = {"connection_class": SentinelConnection}
    if encrypted:
        kind = {"connection_class": SentinelTLSConnection, "context": context}
    return Redis.from_pool(
        PrimaryPool(
            options.master_name,
            Sentinels(sentinels),
            redis_connect_func=connect_to_primary,
            **kind,
            **login,
            **_options(),
        )
    )


def _server(host: str, port: int, context: ssl.SSLContext | None, login: dict[str, Any]) -> Redis:
    """Return a client of one server, or Sentinel."""
    if context is None:
        return Redis.from_pool(ConnectionPool(GuardedConnection, host=host, port=port, **login, **_options()))
    pool = ConnectionPool(TLSConnection, host=host, port=port, context=context, **login, **_options())
    return Redis.from_pool(pool)


def _options() -> dict[str, Any]:
    """Return the options of every connection."""
    return {
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_timeout": _ANSWER_SECONDS,
        "retry": Retry(ExponentialBackoff(cap=1, base=0.1), _RETRIES),
        "client_name": _CLIENT_NAME,
        "protocol": 2,
        "parser_class": BoundedParser,
    }
