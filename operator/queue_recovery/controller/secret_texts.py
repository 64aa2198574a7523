"""The text under a key of a Secret. Pure; no message holds a value, or a part of one."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import AwaitingChange

_KEYS_NAMED: Final = 10
_LONGEST_KEY: Final = 63
"""Characters of a key that are shown: all of any that a person types."""


def text_in(data: Mapping[str, str | bytes], name: str, key: str, field: str) -> str:
    """Return the text under a key, without white space around it.

    Args:
        data: what the Secret holds, in base64.
        name: the Secret's.
        key: the wanted one.
        field: the one of the target that names the Secret.

    Raises:
        AwaitingChange: `SecretKeyMissing`: there is no such key, or no text under it.
    """
    if key not in data:
        raise _missing(
            f'Secret "{name}" has no key "{key}"; {_named(data)}. Add the key, or change {field} in the target'
        )
    try:
        text = base64.b64decode(data[key], validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        raise _missing(f'key "{key}" of Secret "{name}" does not hold text in UTF-8. Correct its value') from None
    if not text:
        raise _missing(f'key "{key}" of Secret "{name}" is empty. Set its value')
    return text


def _missing(message: str) -> AwaitingChange:
    return AwaitingChange(Reason.SECRET_KEY_MISSING, message)


def _named(keys: Iterable[str]) -> str:
    """Name the keys that there are, the first ones, each cut where it is long."""
    names = sorted(keys)
    if not names:
        return "it has no keys"
    shown = [f'"{key}"' if len(key) <= _LONGEST_KEY else f'"{key[:_LONGEST_KEY]}..."' for key in names[:_KEYS_NAMED]]
    more = len(names) - len(shown)
    return f"it has {', '.join(shown)}" + (f" and {more} more" if more else "")
