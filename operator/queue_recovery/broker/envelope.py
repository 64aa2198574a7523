"""Reading Celery's messages: the envelope and its headers, never a body.

An envelope is what kombu's virtual transports write (`kombu/transport/virtual/base.py`: `prepare_message`,
`_inplace_augment_message`); an entry of `unacked` is `[envelope, exchange, routing key]`
(`kombu/transport/redis.py`: `QoS.append`). Nothing is deserialised but this outer JSON.
"""

import json
from dataclasses import dataclass

import orjson

_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Entry:
    """An entry of `unacked`."""

    envelope: object
    exchange: str
    routing_key: str


def read_entry(value: bytes) -> Entry | None:
    """Return an entry of `unacked`, or None if it cannot be attributed to a queue."""
    match read_json(value):
        case [envelope, str() | None as exchange, str() | None as routing_key]:
            return Entry(envelope, exchange or "", routing_key or "")
        case _:
            return None


def read_json(value: bytes) -> object:
    """Return what JSON holds, or None if it is none; a JSON null is no message either."""
    try:
        parsed: object = orjson.loads(value)
    except orjson.JSONDecodeError:
        # kombu's own parser also takes NaN and halves of surrogate pairs.
        try:
            parsed = json.loads(value.decode())
        except (ValueError, RecursionError):
            return None
    return parsed


def envelope_of(value: bytes) -> bytes | None:
    """Return the envelope of an entry of `unacked` in the bytes that it has there, or None if it cannot be read."""
    try:
        text = value.decode()
        first = text.index("[") + 1
        while text[first].isspace():
            first += 1
        _, end = _DECODER.raw_decode(text, first)
    except (ValueError, IndexError, RecursionError):
        return None
    return text[first:end].encode()


def priority(envelope: object) -> int:
    """Return a message's priority as kombu reads it: from 0 to 9, and 0 when it has none."""
    try:
        return max(0, min(9, int(envelope["properties"]["priority"])))  # type: ignore[index]
    except (TypeError, ValueError, KeyError, OverflowError):
        return 0


def is_envelope(message: object) -> bool:
    """Tell whether parsed JSON has the form of an envelope."""
    return isinstance(message, dict) and "body" in message and isinstance(message.get("properties"), dict)


def task_id(envelope: object) -> str | None:
    """Return the Celery task id, which protocol 1 keeps in the properties only."""
    match envelope:
        case {"headers": {"id": str() as found}} | {"properties": {"correlation_id": str() as found}}:
            return found
        case _:
            return None
