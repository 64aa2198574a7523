"""Count the canvas that hangs on messages: chords, groups, the rest of chains, callbacks.

Celery stores the id of a message's group in the headers and all else at the end of the body (`celery/app/amqp.py`:
`as_task_v2`); with protocol 1 all of it is in the body (`as_task_v1`). This is the only module that parses bodies,
and only plain JSON that is not large; no other body is opened, not even to decompress it.
"""

from base64 import b64decode
from collections.abc import Mapping

from queue_recovery.api.canvas import Canvas
from queue_recovery.broker.layout.envelope import read_json

MOST = 5000
"""Messages that are examined: a warning needs no exact number, and planning must not slow down with the depth."""

_LONGEST_BODY = 256 * 1024
"""Characters; parsing a longer body would delay other recoveries."""


class CanvasCount:
    """Counts canvases, message by message, until it has examined `MOST` messages."""

    def __init__(self) -> None:
        """Start at zero."""
        self._counts = dict.fromkeys(Canvas.model_fields, 0)

    def examine(self, envelope: object) -> None:
        """Examine a message that would be taken."""
        if self._counts["looked_at"] == MOST:
            return
        self._counts["looked_at"] += 1
        body = _canvas_in_body(envelope)
        if body is None:
            self._counts["unreadable"] += 1
            body = {}
        if body.get("chord"):
            self._counts["chords"] += 1
        elif _group(envelope) or body.get("group"):
            self._counts["groups"] += 1
        if body.get("chain"):
            self._counts["chains"] += 1
        if body.get("callbacks") or body.get("errbacks"):
            self._counts["callbacks"] += 1

    def total(self) -> Canvas | None:
        """Return the counts, or None if no message was examined."""
        return Canvas.model_validate(self._counts) if self._counts["looked_at"] else None


def _group(envelope: object) -> object:
    match envelope:
        case {"headers": {"group": group}}:
            return group
        case _:
            return None


def _canvas_in_body(envelope: object) -> Mapping[str, object] | None:
    """Return the part of a body that has its canvas, or None for a body that is not parsed."""
    match envelope:
        case {
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "body": str() as text,
            "properties": {"body_encoding": "base64"},
        } if len(text) <= _LONGEST_BODY:
            pass
        case _:
            return None
    try:
        body = read_json(b64decode(text))
    except ValueError:
        return None
    match body:
        case [_, _, dict() as embedded] | (dict() as embedded):
            return embedded
        case _:
            return None
