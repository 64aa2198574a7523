"""Run the Lua scripts that change something, and translate their answers into errors.

Each script checks everything, then acts, writes its marker last, and answers the same when it is sent twice. Lua on
Redis does not roll back: what a script has written before an error stays.
"""

from collections.abc import Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.connection.failures import no_redis, unknown_consumer
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.scripts import Script, text_of
from queue_recovery.recovery.errors import RecoveryError

_DONE = frozenset([b"OK", b"CLOSED", b"RETURNING", b"CLOSING", b"LOCKED", b"MISSING", b"FOREIGN", b"AGAIN", b"IN_USE"])
"""The answers that the callers know. Any other one, as of a proxy, would pass for something that was done."""


async def run_script(db: Database, script: Script, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
    """Run a script and return its answer.

    Raises:
        RecoveryError: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`, `UnknownConsumer`.
        RecoveryError: `BrokerUnavailable`, if no script answers so.
    """
    answer = await db.client.script(text_of(script), keys, arguments)
    match answer:
        case [b"LOST", *_]:
            raise lost_data()
        case [b"CLOSED", *_] if script is not Script.CLOSE:
            raise already_closed()
        case [b"WRONGTYPE", bytes() as key, *_]:
            raise wrong_type(key.decode(errors="replace"))
        case [b"UNKNOWNCONSUMER", *_]:
            raise unknown_consumer()
        case [b"OCCUPIED" | b"UNPURGED" | b"SKIPPED" | b"UNSORTED" | b"OPEN", *_]:
            # The status says that this was done before, but here it was not: a replica without it took over.
            raise lost_data()
        case [b"PUSHED", *_]:
            raise forged(keys[0])  # every job is enqueued after the last attempt
        case [first, *_] if first in _DONE:
            return answer
        case _:
            raise no_redis("another answer than the script's")


def lost_data() -> RecoveryError:
    """Return the error of a run whose record, or part of it, is gone from the broker."""
    return RecoveryError(
        Reason.BROKER_LOST_DATA,
        "the broker has lost what this recovery had written to it (a failover, a restart without its data, an "
        "eviction, or a FLUSHALL), so it stops; check which jobs have a message, and list the others in a new recovery",
    )


def forged(key: str) -> RecoveryError:
    """Return the error of a key with a value that the operator does not write."""
    return RecoveryError(
        Reason.BROKER_LOST_DATA,
        f'key "{key}" holds what the operator does not write, so another client has changed it; check who may write '
        "the operator's keys (the broker's ACL), remove the key, and list the remaining jobs in a new recovery",
    )


def already_closed() -> RecoveryError:
    """Return the error of a run that has been closed."""
    return RecoveryError(
        Reason.ALREADY_CLOSED,
        "this recovery is closed in the broker and cannot continue; create a new one for the rest",
    )


def wrong_type(key: str) -> RecoveryError:
    """Return the error of a key that has another type than Celery's."""
    return RecoveryError(
        Reason.WRONG_KEY_TYPE,
        f'key "{key}" is not of the type that Celery uses, so it belongs to another program; check the queue\'s name, '
        "the database in the URL and the target's transportOptions",
    )


def unreadable(queue: str) -> RecoveryError:
    """Return the error of a queue in which nothing looks like a message of Celery."""
    return RecoveryError(
        Reason.FOREIGN_QUEUE,
        f'none of the messages at the ends of queue "{queue}" has the form of Celery\'s (body, headers, properties), '
        "so the list may belong to another program; check the queue's name, the database in the URL and the target's "
        "transportOptions. If these messages are the queue's, create a recovery with purge.takeUnreadable: true",
    )
