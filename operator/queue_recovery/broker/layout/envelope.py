"""Read the envelopes and headers of Celery's messages, never a body.

An envelope is what kombu's virtual transports write (`kombu/transport/virtual/base.py`: `prepare_message`,
`_inplace_augment_message`); an entry of `unacked` is `[envelope, exchange, routing key]`
(`kombu/transport/redis.py`: `QoS.append`). Only this outer JSON is deserialised.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

import orjson

from queue_recovery.broker.connection.values import END, Large, Value

LONGEST_NAME: Final = 255
"""Bytes of a routing key or of an exchange's name: what AMQP's short strings hold."""

_DECODER = json.JSONDecoder()

_STRUCTURE: Final = (b"[", b"{", b",", b":", b"\\")
_MOST_STRUCTURE: Final = 2**16
"""Most characters that begin a value or an escape in one message. A body has none of them, because it is in base64;
a list of that many lists takes a few milliseconds and 5 MiB."""

_PROPERTIES: Final = b'"properties"'

_HEADERS: Final = b'"headers"'

_SPACE: Final = b" \t\r\n"

_BEGIN: Final = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*(?=\{)")
"""What precedes the envelope in an entry."""


@dataclass(frozen=True)
class Entry:
    """An entry of `unacked`."""

    envelope: object
    exchange: str
    routing_key: str


class _TooComplexError(ValueError):
    """JSON text has too much structure, or is nested too deeply, to be parsed; it may not even be JSON."""


def read_entry(value: Value) -> Entry | None:
    """Return an entry of `unacked`, or None if it cannot be attributed to a queue."""
    if isinstance(value, Large):
        return _read_end(value.end)
    try:
        parsed = _parsed(value)
    except _TooComplexError:
        return None if _BEGIN.match(value) is None else _read_end(value[-END:])
    match parsed:
        case [envelope, str() | None as exchange, str() | None as routing_key]:
            return _entry(envelope, exchange, routing_key)
        case _:
            return None


def read_message(value: Value) -> object:
    """Return a message's envelope, or None if it cannot be read; of a large or complex one, only its properties."""
    if isinstance(value, Large):
        return _properties(value.end)
    try:
        return _parsed(value)
    except _TooComplexError:
        return _properties(value[-END:])


def read_json(value: bytes) -> object:
    """Return the value of JSON text, or None if it is not JSON or too complex; a JSON null is not a message either."""
    try:
        return _parsed(value)
    except _TooComplexError:
        return None


def _parsed(value: bytes) -> object:
    """Return the value of JSON text, or None if it is not JSON.

    Text with more structure than any message is not parsed: it would take many times its size in memory, and block the
    event loop.

    Raises:
        _TooComplexError: it is not parsed, or only in part.
    """
    if not is_simple(value):
        raise _TooComplexError
    try:
        parsed: object = orjson.loads(value)
    except orjson.JSONDecodeError:
        # kombu's own parser also accepts NaN and lone surrogates.
        try:
            parsed = json.loads(value.decode())
        except RecursionError:
            raise _TooComplexError from None
        except ValueError:
            return None
    return parsed


def after_envelope(value: Value) -> int | None:
    """Return how many bytes of an entry of `unacked` follow its envelope, or None if that cannot be read."""
    if isinstance(value, Large):
        before = _before_route(value.end)
        return None if before is None else len(value.end) - len(before[0])
    span = _span(value)
    return None if span is None else len(value) - span[1]


def envelope_of(value: bytes) -> bytes | None:
    """Return the very bytes of the envelope in an entry of `unacked`, or None if it cannot be read."""
    span = _span(value)
    return None if span is None else value[span[0] : span[1]]


def _span(value: bytes) -> tuple[int, int] | None:
    """Return where the envelope begins and ends in an entry, in bytes."""
    if not is_simple(value):
        return _span_around(value)
    try:
        text = value.decode()
        first = text.index("[") + 1
        while text[first].isspace():
            first += 1
        _, end = _DECODER.raw_decode(text, first)
    except RecursionError:
        return _span_around(value)
    except (ValueError, IndexError):
        return None
    return len(text[:first].encode()), len(text[:end].encode())


def _span_around(value: bytes) -> tuple[int, int] | None:
    """Return the same for an entry that is too complex to be parsed, by what is around the envelope."""
    begin, before = _BEGIN.match(value), _before_route(value[-END:])
    return None if begin is None or before is None else (begin.end(), len(value) - len(value[-END:]) + len(before[0]))


def is_simple(value: bytes) -> bool:
    return sum(map(value.count, _STRUCTURE)) <= _MOST_STRUCTURE


def _entry(envelope: object, exchange: str | None, routing_key: str | None) -> Entry | None:
    exchange, routing_key = exchange or "", routing_key or ""
    return Entry(envelope, exchange, routing_key) if _is_name(exchange) and _is_name(routing_key) else None


def _is_name(name: str) -> bool:
    """Tell whether this can be a name in AMQP, and so in a key; a lone surrogate has no bytes."""
    try:
        return len(name.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _read_end(end: bytes) -> Entry | None:
    """Parse the end of an entry: its route follows the envelope, which ends with a brace."""
    before = _before_route(end)
    return None if before is None else _entry(_properties(before[0]), *before[1:])


def _before_route(end: bytes) -> tuple[bytes, str | None, str | None] | None:
    """Split the end of an entry into what precedes the route, the exchange and the routing key."""
    rest = end.rstrip(_SPACE)
    if not rest.endswith(b"]"):
        return None
    rest, found = rest[:-1], []
    for _ in range(2):
        cut = _last_word(rest)
        if cut is None:
            return None
        rest = cut[0]
        found.append(cut[1])
    return (rest, found[1], found[0]) if rest.endswith(b"}") else None


def _last_word(text: bytes) -> tuple[bytes, str | None] | None:
    """Remove a string or null, and the comma before it, from the end of JSON text.

    A quote inside a string follows an odd number of backslashes; so the last string begins at the last quote that does
    not.
    """
    text = text.rstrip(_SPACE)
    first = len(text) - len(b"null")
    if not text.endswith(b"null"):
        first = len(text) - 1
        while first > 0:
            first = text.rfind(b'"', 0, first)
            before = text[: max(0, first)]
            if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
                break
    if first < 0 or text[first] not in b'"n':
        return None  # neither, and maybe nested deeply
    try:
        word = json.loads(text[first:].decode())
    except ValueError:
        return None
    rest = text[:first].rstrip(_SPACE)
    if not rest.endswith(b",") or not isinstance(word, str | None):
        return None
    return rest[:-1].rstrip(_SPACE), word


def _properties(end: bytes) -> object:
    """Parse the properties at the end of an envelope: kombu writes them last (`prepare_message`)."""
    try:
        text = end[end.rindex(_PROPERTIES) + len(_PROPERTIES) :].decode().lstrip().removeprefix(":").lstrip()
        properties, last = _DECODER.raw_decode(text)
    except (ValueError, IndexError, RecursionError):
        return None
    if text[last:].strip() != "}" or not isinstance(properties, dict):
        return None
    return {"body": None, "properties": properties}


def priority(envelope: object) -> int:
    """Return a message's priority as kombu reads it: from 0 to 9, and 0 when it has none."""
    try:
        return max(0, min(9, int(envelope["properties"]["priority"])))  # type: ignore[index]
    except (TypeError, ValueError, KeyError, OverflowError):
        return 0


def is_envelope(message: object) -> bool:
    """Tell whether parsed JSON has the form of an envelope."""
    return isinstance(message, dict) and "body" in message and isinstance(message.get("properties"), dict)


def is_decodable(value: Value, message: object) -> bool:
    """Tell whether kombu can deliver a message; what was not parsed counts as such.

    It reads these fields without a default (`kombu/transport/virtual/base.py`: `Message`; `redis.py`: `QoS.append`).

    Args:
        value: what is in the list.
        message: the same, as `read_message` returns it.
    """
    if isinstance(value, Large) or not is_simple(value):
        return True
    match message:
        case {"properties": {"delivery_tag": _, "delivery_info": {"exchange": _, "routing_key": _}}}:
            return True
        case _:
            return False


def body_of(envelope: object) -> str | None:
    """Return the body as it is stored, which is only compared; None: there is none, or it was not read."""
    match envelope:
        case {"body": str() as found}:
            return found
        case _:
            return None


def with_headers(envelope: object, end: bytes) -> object:
    """Return an envelope of which only the end was read, with its headers if these are in it too.

    kombu writes the headers right before the properties (`prepare_message`), and the body before both, in base64.

    Args:
        envelope: as `read_entry` or `read_message` returned it.
        end: what was read.
    """
    before = end[: max(0, end.rfind(_PROPERTIES))].rstrip(_SPACE).removesuffix(b",").rstrip(_SPACE)
    first = before.find(_HEADERS)
    if first < 0 or not isinstance(envelope, dict):
        return envelope
    headers = read_json(before[first + len(_HEADERS) :].lstrip(_SPACE).removeprefix(b":"))
    return {**envelope, "headers": headers} if isinstance(headers, dict) else envelope
