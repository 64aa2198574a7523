"""What a look remembers of a message: its headers' words on its past, and digests of what is compared."""

from datetime import datetime

from queue_recovery.broker.layout.envelope import LONGEST_NAME, body_of
from queue_recovery.broker.layout.headers import (
    eta,
    facts_of,
    has_replaced,
    is_redelivered,
    retries,
    short_task_name,
    task_id,
)
from queue_recovery.diagnosis.stuck_evidence import Sighting, digest


def sighting_of(
    envelope: object, *, delivered: datetime | None = None, held: bool = False, with_task_id: bool = False
) -> Sighting:
    """Return what is remembered of a message.

    Args:
        envelope: the message.
        delivered: when it was delivered, if that is known.
        held: whether it is in `unacked`.
        with_task_id: whether to return its task id, if what is stored of its task can only be of this delivery: it has
            no ETA, was delivered for the first time, and no other task has given it its id.
    """
    name, body, not_before = task_id(envelope), body_of(envelope), eta(envelope)
    is_first = not_before is None and not is_redelivered(envelope) and not has_replaced(envelope)
    is_named = with_task_id and is_first and name is not None and len(name) <= LONGEST_NAME
    return Sighting(
        id=None if name is None else digest(name.encode(errors="replace")),
        work=None if body is None else digest(body.encode(errors="replace")),
        task=short_task_name(envelope),
        retries=retries(envelope) or 0,
        redelivered=is_redelivered(envelope),
        eta=not_before,
        delivered=delivered,
        held=held,
        facts=facts_of(envelope),
        task_id=name if is_named else None,
    )
