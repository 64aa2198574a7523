"""The operator's log."""

import logging
import traceback
from typing import Literal

import kopf

_TALKATIVE = ("kopf", "pymongo", "redis", "kubernetes", "aiohttp", "asyncio", "urllib3", "celery", "kombu", "amqp")
"""Libraries whose debug lines hold payloads, patches or addresses; the name of a library stands for all below it."""


def configure(log_format: Literal["json", "console"], level: str) -> None:
    """Write one line an entry to standard error.

    Libraries are one level quieter than the operator: their DEBUG leaks payloads, and kopf's INFO is a line for each
    watch event.
    """
    kopf.configure(log_format=kopf.LogFormat.JSON if log_format == "json" else kopf.LogFormat.FULL)
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("queue_recovery").setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel({"DEBUG": "INFO", "INFO": "WARNING"}.get(level, level))


def place_of(error: BaseException) -> str:
    """Return an unexpected exception's type and place: its text may hold a payload or an address."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name} ({last.filename}:{last.lineno})"
