"""Why a connection to a server fails, derived from the system's errors, and what to do about it. Pure.

Messages contain no text of a system error, because it may contain a host name.
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from queue_recovery.recovery.errors import Server


class Kind(Enum):
    """Kinds of failed connections: what is wrong, then what to do."""

    NO_SUCH_HOST = (
        "{the}'s host does not exist: DNS has no address for the host in the URL. Correct the host; the operator runs "
        "in another namespace, so write {far}, not {near}. Special characters in the password have to be "
        "percent-encoded, or the URL is split in the wrong place"
    )
    NO_DNS = (
        "DNS does not answer when asked for {the}'s host. Check the host in the URL: the operator runs in another "
        "namespace, so write {far}, not {near}. Then check the cluster's DNS, and that network policies let the "
        "operator ask it"
    )
    REFUSED = (
        "{the}{at} refuses the connection: nothing listens on that port. Check that it runs, and the port in the URL"
    )
    TIMED_OUT = (
        "the connection to {the}{at} timed out. Check that it runs, that host and port in the URL are right, that it "
        "speaks TLS if the URL says so ({tls}), and that network policies let the operator reach it"
    )
    NO_ROUTE = "there is no route to {the}{at}. Check the host in the URL, and the network"
    NO_TLS = "{the}{at} does not speak TLS. Name a port on which it does, or write {plain} in the URL"
    TLS_FAILED = (
        "the TLS handshake with {the}{at} fails. Check that both accept the same versions of TLS, and see its log"
    )
    CLOSED = (
        "{the}{at} closes the connection. Check that it speaks TLS if and only if the URL says so ({tls}), and see its "
        "log"
    )
    SILENT = (
        "{the}{at} accepts the connection and does not answer in time. Check whether it is overloaded or stopped, and "
        "that {tls} is in the URL if it speaks TLS"
    )
    OTHER = "no connection to {the}{at} can be made. Check that it runs, and its address in the URL"


@dataclass(frozen=True)
class ConnectFailure:
    """One failed connection."""

    kind: Kind
    place: str | None = None
    """Host and port, if they may be shown (`strict_url.py`) and the host was resolved."""


class ConnectFailedError(Exception):
    """Where and why a connection failed; the cause of the error that is raised to the driver."""

    def __init__(self, failure: ConnectFailure) -> None:
        """Store the failure."""
        super().__init__()
        self.failure = failure


_WORDS: Final[dict[Server, dict[str, str]]] = {
    "broker": {
        "the": "the broker",
        "far": "redis.NAMESPACE.svc",
        "near": "redis",
        "plain": "redis://",
        "tls": "rediss://",
    },
    "job store": {
        "the": "the job store",
        "far": "mongo.NAMESPACE.svc",
        "near": "mongo",
        "plain": "tls=false",
        "tls": "tls=true",
    },
}

_ABSENT: Final = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME), socket.EAI_FAMILY}

_BY_NUMBER: Final = {
    errno.ECONNREFUSED: Kind.REFUSED,
    errno.ETIMEDOUT: Kind.TIMED_OUT,
    errno.EHOSTUNREACH: Kind.NO_ROUTE,
    errno.ENETUNREACH: Kind.NO_ROUTE,
    errno.EADDRNOTAVAIL: Kind.NO_ROUTE,
}

_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")
"""The form in which asyncio lists the errors of a host that has several addresses."""


def describe(server: Server, failure: ConnectFailure) -> str:
    """Return what is wrong with a connection to a server, and what to do."""
    at = "" if failure.place is None else f" at {failure.place}"
    return failure.kind.value.format(at=at, **_WORDS[server])


def place_of(host: str, port: int | None) -> str:
    """Return host and port in the form of a URL."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def kind_of(error: BaseException | None, *, resolved: bool = True) -> Kind:
    """Return the kind of a connection error; a time-out before the host is resolved is one of DNS."""
    kind = next((kind for each in _behind(error) if (kind := _kind(each)) is not None), Kind.OTHER)
    return Kind.NO_DNS if kind is Kind.TIMED_OUT and not resolved else kind


def failure_behind(error: BaseException | None) -> ConnectFailure | None:
    """Return the failed connection that caused an error; None: no connection failed."""
    return next((each.failure for each in _behind(error) if isinstance(each, ConnectFailedError)), None)


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _kind(error: BaseException) -> Kind | None:
    if isinstance(error, socket.gaierror):
        return Kind.NO_SUCH_HOST if error.errno in _ABSENT else Kind.NO_DNS
    if isinstance(error, ssl.SSLError):
        # `[SSL: WRONG_VERSION_NUMBER] ...`: the server does not speak TLS. The attribute `reason` is not always set.
        return Kind.NO_TLS if "WRONG_VERSION_NUMBER" in str(error) else Kind.TLS_FAILED
    if isinstance(error, TimeoutError):
        return Kind.TIMED_OUT
    if not isinstance(error, OSError):
        return None
    if isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return Kind.CLOSED
    numbers = {int(found) for found in _NUMBER.findall(str(error))} | ({error.errno} if error.errno else set())
    kinds = {_BY_NUMBER.get(number) for number in numbers}
    return kinds.pop() if len(kinds) == 1 else None
