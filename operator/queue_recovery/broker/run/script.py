"""Run the Lua scripts that change something, and translate their answers into errors.

Each script checks everything, then acts, writes its marker last, and answers the same when it is sent twice. Lua on
Redis does not roll back: what a script has written before an error stays.
"""

from collections.abc import Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.connection.failures import unknown_consumer
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.scripts import Script, text_of
from queue_recovery.recovery.errors import RecoveryError


async def run_script(db: Database, script: Script, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
    """Run a script and return its answer.

    Raises:
        RecoveryError: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`, `UnknownConsumer`.
    """
    answer = await db.client.script(text_of(script), keys, arguments)
    match answer[:1]:
        case [b"LOST"]:
            raise lost_data()
        case [b"CLOSED"] if script is not Script.CLOSE:
            raise already_closed()
        case [b"WRONGTYPE"]:
            raise wrong_type(answer[1].decode(errors="replace"))
        case [b"UNKNOWNCONSUMER"]:
            raise unknown_consumer()
        case [b"OCCUPIED" | b"UNPURGED" | b"SKIPPED" | b"UNSORTED" | b"OPEN"]:
            # The status says that this was done before, but here it was not: a replica without it took over.
            raise lost_data()
        case [b"PUSHED"]:
            raise forged(keys[0])  # every job is enqueued after the last attempt
        case _:
            return answer


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
