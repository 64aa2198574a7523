"""Refuse queues whose keys belong to a program other than Celery."""

from collections.abc import Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import is_envelope, read_message
from queue_recovery.broker.run.script import unreadable, wrong_type
from queue_recovery.recovery.errors import RecoveryError

_SAMPLE = 3
"""Messages examined at either end of a list."""

_FOREIGN_PREFIXES = {"rq:": "RQ", "dramatiq:": "Dramatiq"}
"""Prefixes of other task queues' keys; their lists hold ids, which look like no envelope at all."""


async def check_keys(db: Database, queue: str, *, take_unreadable: bool) -> None:
    """Refuse a queue whose keys cannot be Celery's, or, without `take_unreadable`, has no readable message.

    Raises:
        RecoveryError: `WrongKeyType`, `ForeignQueue`.
    """
    for prefix, program in _FOREIGN_PREFIXES.items():
        if db.layout.bare_list(queue).startswith(prefix):
            raise RecoveryError(
                Reason.FOREIGN_QUEUE,
                f'"{db.layout.bare_list(queue)}" is a key of {program}, not of Celery; name one of Celery\'s queues',
            )
    lists = list(db.layout.possible_lists(queue).values())
    expected = {**dict.fromkeys(lists, "list"), db.layout.unacked: "hash", db.layout.unacked_index: "zset"}
    kinds = await db.client.kinds(list(expected))
    for key, kind in kinds.items():
        if kind.type != expected[key]:
            raise wrong_type(key)
    await _check_messages(db, queue, [key for key in lists if key in kinds], take_unreadable=take_unreadable)


async def _check_messages(db: Database, queue: str, lists: Sequence[str], *, take_unreadable: bool) -> None:
    """Refuse a queue if none of the sampled messages is an envelope."""
    sample: list[object] = []
    for key in lists:
        found = [*await db.client.lrange(key, 0, _SAMPLE - 1), *await db.client.lrange(key, -_SAMPLE, -1)]
        sample += map(read_message, found)
        if any(map(is_envelope, sample)):
            return
    if sample and all(message is None for message in sample):
        if not take_unreadable:
            raise unreadable(queue)
    elif sample:
        raise RecoveryError(
            Reason.FOREIGN_QUEUE,
            f'what is in queue "{queue}" is JSON but no message of Celery (body, headers, properties), so the list '
            "belongs to another program; check the queue's name, the database in the URL and the target's "
            "transportOptions",
        )
