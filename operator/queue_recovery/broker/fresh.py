"""Making a message new: its body as it is, with ids of its own and no past."""

import json
from uuid import UUID, uuid5

from queue_recovery.broker.envelope import is_envelope, read_json


def can_be_fresh(message: bytes) -> bool:
    """Tell whether a message can be made new; those of protocol 1 have their id inside of the body."""
    envelope = read_json(message)
    if not isinstance(envelope, dict) or not is_envelope(envelope):
        return False
    headers = envelope.get("headers")
    return isinstance(headers, dict) and isinstance(headers.get("id"), str) and isinstance(headers.get("task"), str)


def fresh(message: bytes, uid: str, place: str) -> bytes:
    """Return the message as a new one; the same one each time for the same recovery and place.

    A task id that was used is no use: workers discard revoked ones, and a result that succeeded is never replaced
    (`celery/worker/state.py`, `celery/backends/base.py`). Group, chord and the body stay as they are.
    """
    new_id = str(uuid5(UUID(uid), place))
    # Not orjson: it makes floats of large integers.
    envelope = json.loads(message.decode())
    headers, properties = envelope["headers"], envelope["properties"]
    headers |= {"id": new_id, "root_id": new_id, "parent_id": None, "retries": 0, "eta": None, "expires": None}
    headers.pop("redelivered", None)
    properties |= {"correlation_id": new_id, "delivery_tag": str(uuid5(UUID(new_id), "delivery tag"))}
    properties.pop("expiration", None)
    delivery = properties.get("delivery_info")
    if isinstance(delivery, dict):
        delivery.pop("redelivered", None)
    return json.dumps(envelope).encode()
