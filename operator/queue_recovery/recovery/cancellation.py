"""Cancellations that a driver does not pass on."""

import asyncio


def raise_cancellation() -> None:
    """Raise CancelledError if the running task was cancelled but still runs.

    Up to Python 3.11, `asyncio.wait_for` drops a cancellation that comes at the moment at which its result is ready
    (python/cpython#86296). Both redis-py and PyMongo use it to write to their sockets. Without this check, a cancelled
    step would continue until its drain is complete.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
