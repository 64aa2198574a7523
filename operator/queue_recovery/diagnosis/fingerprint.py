"""What makes two messages of an error the same, and a name for that which says nothing of them. Pure."""

import re
from hashlib import sha256
from typing import Final

from queue_recovery.diagnosis.failure import Failure

_SHOWN: Final = 4
"""Digits of a fingerprint, 16 bits: enough for the errors of one status, and too few to guess an unknown message."""

_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_VALUE: Final = re.compile(r"[\d@/\\=<>%#&]")
"""What a word has that is a value and no word: a number, an address, a path, a setting, an object."""


def normalised(message: str) -> str:
    """Return a message without what differs from job to job: what is quoted, numbers, ids, addresses, paths."""
    words = _QUOTED.sub("?", message).lower().split()
    return " ".join("?" if _VALUE.search(word) else word for word in words)


def fingerprint(failure: Failure) -> str:
    """Return the short name of a failure's message."""
    text = f"{failure.exception}\n{normalised(failure.message)}"
    return sha256(text.encode(errors="replace")).hexdigest()[:_SHOWN]


_USUAL: Final = re.compile(
    r"[A-Z][A-Za-z0-9]{0,60}"
    r"(?:Error|Exception|Warning|Timeout|TimeOut|Failure|Failed|NotFound|Denied|Exceeded|Invalid|Missing|Lost|Fault)"
)
_MODULE: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def looks_like_a_class(exception: str) -> bool:
    """Tell whether the name of an unknown class may be shown: others may be parts of a message, or a secret."""
    *modules, last = exception.split(".")
    return _USUAL.fullmatch(last) is not None and all(_MODULE.fullmatch(one) for one in modules)
