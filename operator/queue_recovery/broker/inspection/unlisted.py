"""Which queues the database holds besides those that a target lists."""

import re
from collections.abc import AsyncIterator, Collection

from queue_recovery.api.target import OPERATOR_KEYS
from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.layout.bindings import read_bindings
from queue_recovery.broker.layout.envelope import is_envelope, read_message
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.recovery.ports import Unlisted

_NAMED_AT_MOST = 20

_COUNTED_AT_MOST = 1000
"""Queues that are told apart: an application may have a queue for each of its users."""

_GLOB = re.compile(r"[\\*?\[\]]")

_TALK = re.compile(r".*\.pidbox|celeryev(\..*)?", re.DOTALL)
"""Queues and exchanges of Celery's own: remote control (`kombu/pidbox.py`: `Mailbox.exchange_fmt`) and events
(`celery/app/defaults.py`: `event_exchange`, `event_queue_prefix`)."""


async def unlisted(client: Client, layout: Layout, listed: Collection[str]) -> Unlisted:
    """Return the queues that are not among these; counts up to 1,000 of them.

    A declaration of a queue of Celery's writes its binding, which is there also while the queue is empty or all of its
    messages are held. Queues that nobody has declared, and those under another prefix, are known by a list whose newest
    element has the form of a message. Both are found by scans over all keys of the database, in portions.
    """
    found: set[str] = set()
    async for queue in _queues(client, layout):
        if queue not in listed and not _TALK.fullmatch(queue):
            found.add(queue)
        if len(found) == _COUNTED_AT_MOST:
            break
    return Unlisted(names=sorted(found)[:_NAMED_AT_MOST], total=len(found))


async def _queues(client: Client, layout: Layout) -> AsyncIterator[str]:
    bindings = layout.bindings("")
    async for keys in client.scan_keys(f"{_literal(bindings)}*", "set"):
        for key in keys:
            if not _TALK.fullmatch(_text(key).removeprefix(bindings)):
                async for _, _, queue in read_bindings(client, layout, key):
                    yield queue
    async for keys in client.scan_keys(f"{_literal(layout.bare_list(''))}*", "list"):
        theirs = [key for key in keys if OPERATOR_KEYS not in _text(key)]
        async for key, newest in client.newest(theirs):
            if is_envelope(read_message(newest)):
                yield layout.queue_of_list(_text(key))


def _literal(prefix: str) -> str:
    """Return a pattern of SCAN that matches just this."""
    return _GLOB.sub(r"\\\g<0>", prefix)


def _text(key: bytes) -> str:
    return key.decode(errors="replace")
