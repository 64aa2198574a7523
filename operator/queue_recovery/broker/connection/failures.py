"""Translate redis-py's exceptions into errors of a recovery. An exception's text is never passed on."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import OPERATOR_KEYS
from queue_recovery.broker.connection.certificate_failures import certificate_refused
from queue_recovery.broker.connection.replies import ReplyTooLargeError
from queue_recovery.recovery.cancellation import raise_cancellation
from queue_recovery.recovery.connect_failures import ConnectFailure, Kind, describe, failure_behind, kind_of
from queue_recovery.recovery.destinations import AddressNotAllowedError, address_not_allowed
from queue_recovery.recovery.errors import RecoveryError

_COMMAND = re.compile(r"'([a-z]+(?:\|[a-z]+)?)' command")
"""How Redis and Valkey name a command that the ACL forbids."""

_COMMANDS = frozenset(
    [
        "auth",
        "client",
        "client|list",
        "client|setname",
        "del",
        "eval",
        "exists",
        "get",
        "hdel",
        "hexists",
        "hget",
        "hgetall",
        "hincrby",
        "hlen",
        "hmget",
        "hscan",
        "hset",
        "info",
        "llen",
        "lpop",
        "lpush",
        "lrange",
        "persist",
        "ping",
        "renamenx",
        "role",
        "rpop",
        "rpush",
        "scan",
        "select",
        "sentinel",
        "set",
        "sscan",
        "type",
        "unlink",
        "zadd",
        "zrangebyscore",
        "zrem",
        "zrevrange",
        "zscore",
    ]
)
"""The commands that a message may name: those that the operator sends. A server may answer with any other text."""

_FORBIDDEN_IN_SCRIPT = re.compile("can't run this command|ACL failure in script")
"""The wordings of Redis 7 and of Valkey."""

_CODES = {
    "LOADING": (Reason.BROKER_UNAVAILABLE, "the broker is still loading its data from disk; wait"),
    "MASTERDOWN": (
        Reason.BROKER_UNAVAILABLE,
        "the broker is a replica that has lost its primary; point the URL at the primary",
    ),
    "BUSY": (
        Reason.BROKER_UNAVAILABLE,
        "the broker is busy with another client's script; wait, or stop it with SCRIPT KILL",
    ),
    "READONLY": (
        Reason.BROKER_READ_ONLY,
        "the broker is a replica and accepts no writes; point the URL at the primary",
    ),
    "OOM": (
        Reason.BROKER_READ_ONLY,
        "the broker's memory is full (maxmemory), so it accepts no new data; raise maxmemory or free memory",
    ),
    "MISCONF": (
        Reason.BROKER_READ_ONLY,
        "the broker cannot save to disk and therefore accepts no writes (MISCONF); see its log",
    ),
    "NOREPLICAS": (
        Reason.BROKER_READ_ONLY,
        "the broker has fewer replicas than min-replicas-to-write; restore them",
    ),
}
"""Error codes with a meaning of their own."""

_CLUSTER_CODES = frozenset({"MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"})

_ANY_CODE = re.compile(rf"\b({'|'.join([*_CODES, *_CLUSTER_CODES])})\b")
"""Before Redis 7, the error of a script has the code inside its text."""

_UNREADABLE = re.compile(r"attempt to (?:compare|perform arithmetic)|hash value is not an integer|would overflow")
"""The errors of a script that expected a number which another script had written, and read something else."""


class PrimaryNotFoundError(exceptions.ConnectionError):
    """There is no primary to connect to; retried like any connection that fails."""

    def __init__(self, meaning: RecoveryError) -> None:
        """Store what it means for a recovery."""
        super().__init__(meaning.reason)
        self.meaning = meaning


@contextmanager
def translated_failures() -> Iterator[None]:
    """Translate what redis-py raises, and raise a cancellation that it has swallowed."""
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        raise to_recovery_error(error) from None
    finally:
        raise_cancellation()


def to_recovery_error(error: Exception) -> RecoveryError:
    """Return the error that an exception of redis-py means for a recovery."""
    if isinstance(error, PrimaryNotFoundError):
        return error.meaning
    if isinstance(error, ReplyTooLargeError):
        return _reply_too_large()
    if isinstance(error, (exceptions.AuthenticationError, exceptions.AuthenticationWrongNumberOfArgsError)):
        return RecoveryError(
            Reason.BROKER_AUTHENTICATION_FAILED,
            f"the broker refuses the user or the password ({type(error).__name__}); correct them in the URL",
        )
    if isinstance(error, exceptions.ResponseError):
        return _from_answer(error)
    if isinstance(error, exceptions.BusyLoadingError):
        return from_error_text("LOADING")
    return _from_connection(error)


def _from_connection(error: Exception) -> RecoveryError:
    if _behind(error, AddressNotAllowedError):
        return address_not_allowed("broker")
    if found := certificate_refused(error):
        return RecoveryError(Reason.BROKER_CERTIFICATE_REFUSED, found)
    failure = failure_behind(error) or _failure_afterwards(error)
    if failure is not None:
        return RecoveryError(Reason.BROKER_UNAVAILABLE, describe("broker", failure))
    return no_redis(type(error).__name__)


def no_redis(kind: str) -> RecoveryError:
    """Return the error of a server that does not answer as a Redis server does, in which way `kind` says."""
    return RecoveryError(
        Reason.BROKER_UNAVAILABLE,
        f"the broker does not answer as a Redis server does ({kind}). Check that it runs, and that "
        "scheme, host and port in the URL are right",
    )


def _failure_afterwards(error: Exception) -> ConnectFailure | None:
    """Return what happened to a connection that had been established; None if that is not known."""
    if isinstance(error, exceptions.TimeoutError):
        return ConnectFailure(Kind.SILENT)
    closed = isinstance(error, exceptions.ConnectionError) or kind_of(error) is Kind.CLOSED
    return ConnectFailure(Kind.CLOSED) if closed else None


def _reply_too_large() -> RecoveryError:
    return RecoveryError(
        Reason.BROKER_REPLY_TOO_LARGE,
        "the broker's reply to a command is larger than the operator reads, so the connection was closed. Check that "
        "the URL leads to the Redis server of the queue. If it does, a key is too large: look with "
        f"redis-cli --memkeys among unacked, unacked_index, _kombu.binding.* and {OPERATOR_KEYS}*",
    )


def _behind(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Tell whether an exception of this kind is among the causes of an error."""
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


def permission_denied(*commands: str) -> RecoveryError:
    """Return the error of an ACL that forbids these commands; only those that the operator sends are named."""
    names = [command.upper().replace("|", " ") for command in commands if command.lower() in _COMMANDS]
    return RecoveryError(
        Reason.BROKER_PERMISSION_DENIED,
        f"the broker's ACL forbids {', '.join(names) or 'a command'}; grant it to the user in the URL",
    )


def _from_answer(error: exceptions.ResponseError) -> RecoveryError:
    text = str(error)
    if isinstance(error, exceptions.AskError):
        return is_cluster()
    if isinstance(error, exceptions.NoPermissionError) or _FORBIDDEN_IN_SCRIPT.search(text):
        if command := _COMMAND.search(text):
            return permission_denied(command[1])
        return RecoveryError(
            Reason.BROKER_PERMISSION_DENIED,
            "the broker's ACL forbids a key or a command; the user in the URL needs the queue's keys, unacked, "
            "unacked_index, _kombu.binding.* and queuerecovery.dev:*, and what the documentation lists of commands",
        )
    return from_error_text(f"{error.status_code} {text}", type(error).__name__)


def from_error_text(text: str, kind: str = "ResponseError") -> RecoveryError:
    """Return the error that the text of a server's answer means, by the error code in it."""
    if "DB index" in text:
        return RecoveryError(
            Reason.INVALID_BROKER_URL,
            "the broker has no database of that number; correct it in the URL, after the host",
        )
    if "WRONGTYPE" in text:
        return RecoveryError(
            Reason.WRONG_KEY_TYPE,
            "a key is not of the type that Celery uses, so it belongs to something else; check the queue's name, the "
            "database in the URL and the target's transportOptions",
        )
    found = _ANY_CODE.search(text)
    if found is None and _UNREADABLE.search(text):
        return RecoveryError(
            Reason.BROKER_LOST_DATA,
            f'another client has changed a key that begins with "{OPERATOR_KEYS}"; check who may write the operator\'s '
            "keys (the broker's ACL), and list the remaining jobs in a new recovery",
        )
    if found is None:
        return RecoveryError(
            Reason.BROKER_UNAVAILABLE, f"the broker refused a command ({kind}); see the broker's log and its version"
        )
    if found[1] in _CLUSTER_CODES:
        return is_cluster()
    return RecoveryError(*_CODES[found[1]])


def is_cluster() -> RecoveryError:
    """Return the error of a server that is a node of a Redis Cluster."""
    return RecoveryError(
        Reason.BROKER_IS_CLUSTER,
        "the broker is a Redis Cluster, on which Celery's keys cannot be moved in one step; point the URL at the "
        "server that Celery itself uses",
    )


def unknown_consumer() -> RecoveryError:
    """Return the error of a queue that is still consumed although its workers are gone."""
    return RecoveryError(
        Reason.UNKNOWN_CONSUMER,
        "messages of the queue still arrive in unacked although its workers are stopped, so something else consumes "
        "it; find it (CLIENT LIST shows connections whose last command is brpop), stop it, and list it in the "
        "target's `workers`",
    )


def primary_unknown() -> RecoveryError:
    """Return the error of Sentinels that do not know the primary's name."""
    return RecoveryError(
        Reason.PRIMARY_NOT_FOUND,
        "the Sentinels in the URL know no primary of that name; write the name as transportOptions.masterName in the "
        "target, as the application has it in broker_transport_options",
    )


def primary_demoted() -> RecoveryError:
    """Return the error of a replica that the Sentinels still name as the primary."""
    return RecoveryError(
        Reason.PRIMARY_NOT_FOUND,
        "the server that the Sentinels name is a replica, as during a failover; if this lasts, check their logs",
    )


def sentinel_login_refused() -> RecoveryError:
    """Return the error of Sentinels that refuse the login."""
    return RecoveryError(
        Reason.BROKER_AUTHENTICATION_FAILED,
        "the Sentinels refuse the user or the password; see transportOptions.sentinelKwargs in the target",
    )
