"""One failure of a task: its exception and its message, read from what an application or Celery has stored. Pure.

Everything here was written by others, and may be megabytes of anything. So only a bounded part is looked at, and only
what looks like an exception's class is taken for one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

LONGEST_MESSAGE: Final = 1000
"""Characters of a message that are compared."""

_LONGEST_TEXT: Final = 16 * 1024
"""Characters of a text that are looked at: its end for a traceback, otherwise its beginning."""

_LONGEST_CLASS: Final = 120
_MOST_ARGUMENTS: Final = 8

_PATH: Final = r"[A-Za-z_][A-Za-z0-9_]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_]{0,63}){0,8}"
_CLASS: Final = re.compile(_PATH)
_RAISED: Final = re.compile(rf"({_PATH})(?::(?:\s|$)|\(|$)")
"""How a text begins that names an exception: as `traceback` prints it, or as `repr` does."""

_FRAME: Final = '\n  File "'
_ENVIRON: Final = re.compile(r'\n  File "(?:<frozen os>|[^"\n]{0,200}/os\.py)", line \d{1,6}, in __getitem__')
"""The frame of `os.environ[...]`; Python's own `os` is frozen since 3.11."""

_HEADER: Final = "Traceback (most recent call last):"
_CHAINED: Final = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
"""What a traceback says between an exception and the one that was raised because of it."""

_PYTHONS_OWN: Final = frozenset({"builtins", "exceptions", "__builtin__"})
_NOT_CLASSES: Final = frozenset({"error", "warning", "failed", "none", "null", "info", "debug", "critical"})
"""First words of texts that are no classes, in lower case."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure, as far as it is known."""

    exception: str
    """The full name of its class where it is known, Python's own without a module; empty: not known."""
    message: str = field(repr=False)
    """In one line, cut. It may hold anything of a user, so it is not shown."""
    is_full_name: bool = False
    """Whether the class has its module, or is Python's own; otherwise it may be any class of that name."""
    of_environment: bool = False
    """Whether it was raised by a look-up of an environment variable."""


def failure_in(value: object) -> Failure | None:
    """Return the failure in what an application stores for one; None: there is none.

    It may be text (`TypeError: ...`, its `repr`, or a traceback), or an object with `type` and `message`, and maybe
    `module` and `traceback`; the names that Celery gives them (`exc_type`, ...) are understood too.
    """
    if isinstance(value, str):
        return _in_text(value)
    return _in_object(value) if isinstance(value, Mapping) else None


def _in_object(value: Mapping[str, object]) -> Failure | None:
    kind = _text(value.get("exc_type", value.get("type")))
    module = _text(value.get("exc_module", value.get("module")))
    message = _message(value.get("exc_message", value.get("message")))
    trace = _text(value.get("traceback"))
    traced = None if trace is None else _in_text(trace)
    if kind is None and message is None:
        return traced
    name = _class_name(kind or "")
    if name and module and "." not in name:
        name = name if module in _PYTHONS_OWN else _class_name(f"{module}.{name}")
    if traced is not None and name and traced.exception == name:
        return traced  # it has the whole message; that of a retry ends with `Retry`
    return Failure(
        exception=name,
        message=_one_line(message or ""),
        is_full_name="." in name or module in _PYTHONS_OWN,
    )


def _in_text(text: str) -> Failure | None:
    end = text[-_LONGEST_TEXT:]
    is_trace = _FRAME in end  # it may begin with a cause, which has no header of its own
    part = end if is_trace else text[:_LONGEST_TEXT]
    line = _raised_in(part) if is_trace else part.strip()
    if not line:
        return None
    found = None if is_trace and _is_mixed(part, line) else _RAISED.match(line[: _LONGEST_CLASS + 2])
    name = _class_name(found[1]) if found else ""
    if found is None or not name:
        return Failure(exception="", message=_one_line(line))
    rest = line[found.end() :].strip()
    if found[0].endswith("("):
        rest = rest.removesuffix(")").removesuffix(",").strip("'\"")
    return Failure(
        exception=name.removeprefix("builtins."),
        message=_one_line(rest),
        # A traceback leaves the module out for Python's own classes only.
        is_full_name="." in name or name != found[1] or is_trace,
        of_environment=is_trace and _is_of_environment(part),
    )


def _raised_in(trace: str) -> str:
    """Return the exception at the end of a traceback, with a message of any number of lines."""
    lines = trace[trace.rfind(_FRAME) + len(_FRAME) :].splitlines()[1:]
    first = next((number for number, line in enumerate(lines) if line and not line[0].isspace()), None)
    return "" if first is None else "\n".join(lines[first:])


def _is_mixed(trace: str, raised: str) -> bool:
    """Tell whether a traceback may end with another exception than the one after its last frame.

    What follows that one may be cut off, or be a group of exceptions, whose frames look differently. And a message may
    hold a traceback of its own, as that of another process, so that the last frame is not the exception's.
    """
    if any(line.strip() in _CHAINED for line in raised.splitlines()):
        return True
    before = trace[: max(0, trace.rfind(_HEADER, 0, trace.rfind(_FRAME)))]
    return _FRAME in before and not before.rstrip().endswith(_CHAINED)


def _is_of_environment(trace: str) -> bool:
    """Tell whether the last frame of a traceback is that of `os.environ`."""
    end = trace[-_LONGEST_TEXT:]
    at = end.rfind(_FRAME)
    return at >= 0 and _ENVIRON.match(end, at) is not None


def _class_name(text: str) -> str:
    """Return the text if it can be the name of an exception's class; otherwise nothing."""
    if len(text) > _LONGEST_CLASS or _CLASS.fullmatch(text) is None:
        return ""
    last = text.rpartition(".")[2]
    # Classes begin with a capital; a few of Python's old ones do not, and those have a module.
    return text if last.lower() not in _NOT_CLASSES and (last[:1].isupper() or "." in text) else ""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _message(value: object) -> str | None:
    """Return a message: text, or the exception's arguments, joined as `str` of the exception would."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        return None
    first = [_argument(one) for one in value[:_MOST_ARGUMENTS]]
    if len(first) > 1 and type(value[0]) is int and isinstance(value[1], str):
        return f"[Errno {first[0]}] {', '.join(first[1:])}"  # as OSError has it
    return ", ".join(first)


def _argument(value: object) -> str:
    if isinstance(value, str):
        return value[:LONGEST_MESSAGE]
    # An integer may have thousands of digits.
    is_short = value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63)
    return str(value) if is_short else "?"


def _one_line(text: str) -> str:
    line = " ".join(text[: 4 * LONGEST_MESSAGE].split())[:LONGEST_MESSAGE]
    return "".join(one if one.isprintable() else " " for one in line)
