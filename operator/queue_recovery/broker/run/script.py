"""The Lua scripts: each checks everything, then acts, its marker last, and gives the same answer when sent twice.

Lua on Redis does not roll back: what a script has written before an error stays.
"""

from collections.abc import Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.connection.client import Client, Word
from queue_recovery.broker.connection.failures import unknown_consumer
from queue_recovery.broker.scripts import Script, text_of
from queue_recovery.recovery.errors import Rejected


async def run_script(client: Client, script: Script, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
    """Run a script and return its answer.

    Raises:
        Rejected: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`.
        NotYet: `UnknownConsumer`.
    """
    answer = await client.script(text_of(script), keys, arguments)
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
            # What the status says was done before has not been done here: a replica took over without it.
            raise lost_data()
        case [b"PUSHED"]:
            raise RuntimeError(f"{script}.lua was sent out of turn: {answer[0].decode()}")
        case _:
            return answer


def lost_data() -> Rejected:
    """Return the error of a run, or part of it, that is not in the broker any more."""
    return Rejected(
        Reason.BROKER_LOST_DATA,
        "the broker has lost what this recovery had written to it (a fail-over, a restart without its data, an "
        "eviction, or a FLUSHALL), so nothing more is done; see which jobs have a message, then recover the rest again",
    )


def forged(key: str) -> Rejected:
    """Return the error of a record that the operator cannot have written."""
    return Rejected(
        Reason.BROKER_LOST_DATA,
        f"key {key!r} holds what the operator does not write, so somebody else has changed it; see who may write the "
        "operator's keys (the broker's ACL), remove the key, and recover the rest by a new recovery",
    )


def already_closed() -> Rejected:
    """Return the error of a run that has been closed."""
    return Rejected(
        Reason.ALREADY_CLOSED, "this recovery has ended in the broker and cannot go on; create a new one for the rest"
    )


def wrong_type(key: str) -> Rejected:
    """Return the error of a key that holds something else than Celery's."""
    return Rejected(
        Reason.WRONG_KEY_TYPE,
        f"key {key!r} is not of the type that Celery uses, so it belongs to something else; check the queue's name, "
        "the database in the URL and the target's transportOptions",
    )


def unreadable(queue: str) -> Rejected:
    """Return the error of a queue in which nothing looks like a message of Celery."""
    return Rejected(
        Reason.FOREIGN_QUEUE,
        f"none of the messages at the ends of queue {queue!r} has the form of Celery's (body, headers, properties), so "
        "the list may belong to another program; check the queue's name, the database in the URL and the target's "
        "transportOptions. If these messages are the queue's, create a recovery with purge.takeUnreadable: true",
    )
