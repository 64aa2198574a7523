"""Cancellations that a driver swallows."""

import asyncio


def raise_cancellation() -> None:
    """Raise CancelledError if the running task was cancelled and has gone on nevertheless.

    Up to Python 3.11 `asyncio.wait_for` returns what it has waited for when a cancellation comes just then
    (python/cpython#86296), and both redis-py and PyMongo write to their sockets by it. A cancelled step would go on for
    as long as its drain takes.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
