"""Find the queues of a database that a target does not list."""

import re
from collections.abc import AsyncIterator, Collection

from queue_recovery.api.target import OPERATOR_KEYS
from queue_recovery.broker.layout.bindings import read_bindings
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import is_envelope, read_message
from queue_recovery.recovery.ports import Unlisted

_MOST_NAMED = 20

_MOST_COUNTED = 1000
"""Queues that are counted: an application may have a queue for each of its users."""

_GLOB = re.compile(r"[\\*?\[\]]")

_CELERYS_OWN = re.compile(r".*\.pidbox|celeryev(\..*)?", re.DOTALL)
"""Celery's own queues and exchanges: remote control (`kombu/pidbox.py`: `Mailbox.exchange_fmt`) and events
(`celery/app/defaults.py`: `event_exchange`, `event_queue_prefix`)."""


async def unlisted(db: Database, listed: Collection[str]) -> Unlisted:
    """Return the queues that are not among these; counts up to 1,000 of them.

    Celery writes a binding when it declares a queue, which exists also while the queue is empty or workers hold all of
    its messages. A queue that was never declared, or is under another prefix, is found by a list whose newest element
    has the form of a message. Both need scans over all keys of the database, in portions.
    """
    found: set[str] = set()
    async for queue in _queues(db):
        if queue not in listed and not _CELERYS_OWN.fullmatch(queue):
            found.add(queue)
        if len(found) == _MOST_COUNTED:
            break
    return Unlisted(names=sorted(found)[:_MOST_NAMED], total=len(found))


async def _queues(db: Database) -> AsyncIterator[str]:
    bindings = db.layout.bindings("")
    async for keys in db.client.scan_keys(f"{_literal(bindings)}*", "set"):
        for key in keys:
            if not _CELERYS_OWN.fullmatch(_text(key).removeprefix(bindings)):
                async for _, _, queue in read_bindings(db, key):
                    yield queue
    async for keys in db.client.scan_keys(f"{_literal(db.layout.bare_list(''))}*", "list"):
        theirs = [key for key in keys if OPERATOR_KEYS not in _text(key)]
        async for key, newest in db.client.newest(theirs):
            if is_envelope(read_message(newest)):
                yield db.layout.queue_of_list(_text(key))


def _literal(prefix: str) -> str:
    """Return a SCAN pattern that matches exactly this text."""
    return _GLOB.sub(r"\\\g<0>", prefix)


def _text(key: bytes) -> str:
    return key.decode(errors="replace")
