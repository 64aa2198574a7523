"""Why a connection does not come up, told from the errors of the system."""

import errno
import socket
import ssl
from string import Formatter

import pytest

from queue_recovery.recovery.connect_failures import (
    ConnectFailedError,
    ConnectFailure,
    Kind,
    describe,
    failure_behind,
    kind_of,
    place_of,
)

SEVERAL = "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno {}] Connect call failed"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror(socket.EAI_NONAME, "hunter2"), Kind.NO_SUCH_HOST),
        (socket.gaierror(socket.EAI_AGAIN, "hunter2"), Kind.NO_DNS),
        (OSError(errno.ECONNREFUSED, "hunter2"), Kind.REFUSED),
        (OSError(SEVERAL.format(111)), Kind.REFUSED),
        (OSError(SEVERAL.format(110)), Kind.OTHER),
        (TimeoutError(), Kind.TIMED_OUT),
        (OSError(errno.ETIMEDOUT, "hunter2"), Kind.TIMED_OUT),
        (OSError(errno.EHOSTUNREACH, "hunter2"), Kind.NO_ROUTE),
        (ConnectionResetError(), Kind.CLOSED),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), Kind.NO_TLS),
        (ssl.SSLError(1, "[SSL: NO_PROTOCOLS_AVAILABLE]"), Kind.TLS_FAILED),
        (OSError(errno.EMFILE, "too many open files"), Kind.OTHER),
        (ValueError(), Kind.OTHER),
        (None, Kind.OTHER),
    ],
)
def test_the_kind_of_a_failure_is_found_also_behind_a_drivers_error(error: Exception | None, kind: Kind) -> None:
    outer = RuntimeError("a driver's")
    outer.__context__ = error

    assert kind_of(error) is kind
    assert kind_of(outer) is kind


def test_where_and_why_it_failed_is_found_behind_a_drivers_error() -> None:
    failure = ConnectFailure(Kind.REFUSED, "redis:6379")
    outer, inner = RuntimeError("a driver's"), OSError("refused")
    outer.__context__, inner.__cause__ = inner, ConnectFailedError(failure)

    assert failure_behind(outer) == failure
    assert failure_behind(OSError()) is None


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_says_what_is_wrong_and_then_what_to_do_of_either_server(kind: Kind) -> None:
    broker = describe("broker", ConnectFailure(kind, "redis.media.svc:6379"))
    job_store = describe("job store", ConnectFailure(kind))

    assert "the broker" in broker
    assert "the job store" in job_store
    assert ". " in broker
    assert not {"{", "}"} & set(broker + job_store)
    shows_place = "at" in {field for _, field, _, _ in Formatter().parse(kind.value)}
    assert ("at redis.media.svc:6379" in broker) == shows_place
    assert shows_place is (kind not in {Kind.NO_SUCH_HOST, Kind.NO_DNS})


def test_an_address_is_shown_as_a_url_has_it() -> None:
    assert place_of("redis", 6379) == "redis:6379"
    assert place_of("::1", 6379) == "[::1]:6379"
    assert place_of("redis", None) == "redis"
