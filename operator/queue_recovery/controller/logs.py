"""The operator's log: one line for each entry, with its text and fields."""

import json
import logging
import traceback
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

from typing_extensions import override

_LOG = logging.getLogger(__name__)

_OWN = "queue_recovery"

_LIBRARIES = (
    *("kopf", "kubernetes", "aiohttp", "urllib3"),
    *("pymongo", "redis", "celery", "kombu", "amqp"),
)
"""Libraries whose lines below WARNING have payloads and hosts, or repeat the operator's own.

All loggers of a library are below its name."""

_FIELDS = ("namespace", "recovery", "target", "phase", "reason")
"""In the order in which they are written. What a library adds to its lines is left out."""

_KINDS = {"QueueRecovery": "recovery", "QueueTarget": "target"}


def configure(log_format: Literal["json", "console"], level: str) -> None:
    """Write one line for each entry to stderr, the operator's from this level on.

    Libraries write warnings and errors only. No line has the text of an exception or of a Python warning.
    """
    root = logging.getLogger()
    root.handlers[:] = [each for each in root.handlers if not isinstance(each, _Handler)]
    root.addHandler(_Handler(_Json() if log_format == "json" else _Console()))
    root.setLevel(logging.INFO)
    logging.getLogger(_OWN).setLevel(level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel("ERROR" if level == "ERROR" else "WARNING")
    muted = logging.getLogger("asyncio")  # its texts have the arguments of failed tasks and callbacks
    muted.propagate, muted.handlers = False, [logging.NullHandler()]
    warnings.showwarning = _show_warning


def fields(
    namespace: str, *, recovery: str = "", target: str = "", phase: str = "", reason: str = ""
) -> Mapping[str, str]:
    """Return the fields of a line, for `extra`; empty ones are left out."""
    given = {"namespace": namespace, "recovery": recovery, "target": target, "phase": phase, "reason": reason}
    return {name: value for name, value in given.items() if value}


def place_of(error: BaseException) -> str:
    """Return the type and place of an exception: its text may have a payload."""
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


class _Handler(logging.StreamHandler[TextIO]):
    """The only handler of the process."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.addFilter(WithoutTexts())


class _Json(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "timestamp": _time(record),
            "severity": record.levelname.lower(),
            "message": record.getMessage(),
            **_fields_of(record),
        }
        return json.dumps(entry)


class _Console(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        text = f"{_time(record)} {record.levelname:<8} {record.getMessage()}"
        named = "".join(f" {name}={value}" for name, value in _fields_of(record).items())
        # The name of a queue may have a line feed, which must not begin a new line.
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in f"{text} {named}".rstrip())


def _time(record: logging.LogRecord) -> str:
    written = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return f"{written.removesuffix('+00:00')}Z"


def _fields_of(record: logging.LogRecord) -> dict[str, str]:
    """Return the fields in their order, and the logger of a library."""
    found = {name: str(value) for name in _FIELDS if (value := getattr(record, name, None)) is not None}
    about = getattr(record, "k8s_ref", None)  # kopf's
    if isinstance(about, dict) and about.get("kind") in _KINDS:
        found |= {"namespace": str(about.get("namespace")), _KINDS[about["kind"]]: str(about.get("name"))}
    return found if _is_own(record) else {**found, "logger": record.name}


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == _OWN


def _show_warning(  # noqa: PLR0917 - as `warnings.showwarning` is called
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log the place of a Python warning: drivers put options of a URL into its text."""
    del message, file, line
    _LOG.info("%s at %s:%d", category.__name__, filename, lineno)
