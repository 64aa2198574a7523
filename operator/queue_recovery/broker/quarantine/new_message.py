"""Write a new message from a quarantined one."""

import json
from uuid import UUID, uuid5

from queue_recovery.broker.layout.envelope import is_envelope, is_simple


def can_be_new(message: bytes) -> bool:
    """Tell whether a new message can be written from this one; protocol 1 has the id in the body."""
    return _to_be_new(message) is not None


def _to_be_new(message: bytes) -> dict[str, dict[str, object]] | None:
    """Return the envelope of a message from which a new one can be written, else None."""
    if not is_simple(message):
        return None
    try:
        # Not orjson: it turns large integers into floats, and accepts deeper nesting.
        envelope = json.loads(message.decode())
    except (ValueError, RecursionError):
        return None
    match envelope:
        case {"headers": {"id": str(), "task": str()}} if is_envelope(envelope):
            return dict(envelope)
        case _:
            return None


def as_new(message: bytes, uid: str, place: str) -> bytes | None:
    """Return a new message with the same task: the same one each time for the same recovery and place.

    None: no new message can be written, which may also be found only now, as how deep nesting may be depends on what
    else is being done.

    It gets ids of its own, no retries, no ETA and no expiry. The old task id cannot be used again: workers discard
    revoked ones, and a result that succeeded is never replaced (`celery/worker/state.py`, `celery/backends/base.py`).
    Group, chord and body are copied.
    """
    envelope = _to_be_new(message)
    if envelope is None:
        return None
    new_id = str(uuid5(UUID(uid), place))
    headers, properties = envelope["headers"], envelope["properties"]
    headers |= {"id": new_id, "root_id": new_id, "parent_id": None, "retries": 0, "eta": None, "expires": None}
    headers.pop("redelivered", None)
    properties |= {"correlation_id": new_id, "delivery_tag": str(uuid5(UUID(new_id), "delivery tag"))}
    properties.pop("expiration", None)
    delivery = properties.get("delivery_info")
    if isinstance(delivery, dict):
        delivery.pop("redelivered", None)
    try:
        return json.dumps(envelope).encode()
    except RecursionError:
        return None
