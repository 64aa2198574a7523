"""The operator's log."""

import logging
import traceback
import warnings
from typing import Literal, TextIO

import kopf
from typing_extensions import override

_LOG = logging.getLogger(__name__)

_TALKATIVE = ("kopf", "kubernetes", "aiohttp", "asyncio", "urllib3")
"""Libraries whose debug lines hold patches or addresses; the name of a library is that of all loggers below it."""

_DRIVERS = ("pymongo", "redis", "celery", "kombu", "amqp")
"""Libraries whose lines below WARNING hold hosts, which are a piece of the password if a URL is not encoded."""


def configure(log_format: Literal["json", "console"], level: str) -> None:
    """Write one line an entry to standard error.

    Libraries are one level quieter than the operator: their DEBUG leaks payloads, and kopf's INFO is a line for each
    watch event. Drivers write nothing below WARNING. No line has the text of an exception or of a Python warning.
    """
    kopf.configure(log_format=kopf.LogFormat.JSON if log_format == "json" else kopf.LogFormat.FULL)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    logging.getLogger("queue_recovery").setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel({"DEBUG": "INFO", "INFO": "WARNING"}.get(level, level))
    for name in _DRIVERS:
        logging.getLogger(name).setLevel({"DEBUG": "WARNING", "INFO": "WARNING"}.get(level, level))
    for handler in root.handlers:
        if not any(isinstance(each, WithoutTexts) for each in handler.filters):
            handler.addFilter(WithoutTexts())
    warnings.showwarning = _show_warning


def place_of(error: BaseException) -> str:
    """Return an unexpected exception's type and place: its text may hold a payload or an address."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    return f"{type(error).__name__} in {frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})"


class WithoutTexts(logging.Filter):
    """Replaces the exception of a log entry by its type and place."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Change the entry; it is always written."""
        error = record.exc_info[1] if record.exc_info else None
        record.exc_info = record.exc_text = record.stack_info = None
        if error is not None:
            record.msg, record.args = f"{record.getMessage()}: {place_of(error)}", ()
        return True


def _show_warning(  # noqa: PLR0917 - as `warnings.showwarning` is called
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log that Python code warns, and where; drivers put options of a URL into the text."""
    del message, file, line
    _LOG.info("%s at %s:%d", category.__name__, filename, lineno)
