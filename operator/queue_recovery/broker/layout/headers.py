"""What the headers of a parsed envelope say of a message: its names, its times, and its past. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

from queue_recovery.api.quarantined import MOST_RETRIES
from queue_recovery.broker.layout.envelope import LONGEST_NAME
from queue_recovery.diagnosis.evidence import MessageFacts
from queue_recovery.recovery.ports import MessageName

_LONGEST_TIME: Final = 40

_LONGEST_TASK: Final = 300
"""Characters of a task's name that are remembered, as many as `TaskName` has; any client may have sent megabytes."""

_ORIGIN: Final = re.compile(r"gen\d{1,10}@([a-z0-9][-.a-z0-9]{0,252})")


def eta(envelope: object) -> datetime | None:
    """Return the time before which a task is not run, or None if it has none, or one that cannot be read."""
    match envelope:
        case {"headers": {"eta": str() as found}} if len(found) <= _LONGEST_TIME:
            pass
        case _:
            return None
    try:
        parsed = datetime.fromisoformat(found)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def task_id(envelope: object) -> str | None:
    """Return the Celery task id; with protocol 1 it is in the properties only."""
    match envelope:
        case {"headers": {"id": str() as found}} | {"properties": {"correlation_id": str() as found}}:
            return found
        case _:
            return None


def task_name(envelope: object) -> str | None:
    """Return the name of the task; with protocol 1 it is in the body, so None."""
    match envelope:
        case {"headers": {"task": str() as found}}:
            return found
        case _:
            return None


def short_task_name(envelope: object) -> str | None:
    """Return the beginning of the task's name, for what is remembered of many messages."""
    name = task_name(envelope)
    return None if name is None else name[:_LONGEST_TASK]


def retries(envelope: object) -> int | None:
    """Return how often the task has been retried, or None if the headers do not say it."""
    match envelope:
        case {"headers": {"retries": int() as found}} if not isinstance(found, bool) and 0 <= found <= MOST_RETRIES:
            return found
        case _:
            return None


def is_redelivered(envelope: object) -> bool:
    """Tell whether kombu has restored a message: it notes that in the headers (`Channel._do_restore_message`)."""
    match envelope:
        case {"headers": {"redelivered": True}}:
            return True
        case _:
            return False


def has_replaced(envelope: object) -> bool:
    """Tell whether another task has put this one in its place, under its own id (`Task.replace`)."""
    match envelope:
        case {"headers": {"replaced_task_nesting": int() as nesting}}:
            return nesting > 0
        case _:
            return False


def facts_of(envelope: object) -> MessageFacts | None:
    """Return what the headers say of a message's past, or None if it was neither retried nor redelivered."""
    headers = envelope.get("headers") if isinstance(envelope, dict) else None
    # Most messages end here, and all of a deep queue may be looked at.
    if not isinstance(headers, dict) or not (headers.get("retries") or headers.get("redelivered")):
        return None
    count, redelivered = retries(envelope) or 0, is_redelivered(envelope)
    if not (count or redelivered):
        return None
    name = task_id(envelope)
    return MessageFacts(
        task_id=name if name is not None and len(name) <= LONGEST_NAME else None,
        task=short_task_name(envelope),
        retries=count,
        redelivered=redelivered,
        sent_by=_sender(envelope),
    )


def _sender(envelope: object) -> str | None:
    """Return the host in `origin`, which is `gen<process>@<host>` (`kombu.utils.text`, `celery.utils.nodenames`)."""
    match envelope:
        case {"headers": {"origin": str() as origin}} if found := _ORIGIN.fullmatch(origin[: 2 * LONGEST_NAME]):
            return found[1]
        case _:
            return None


def name_of(envelope: object) -> MessageName:
    """Return the names by which a message is shown to people."""
    return MessageName(task_id=task_id(envelope), task=task_name(envelope))
