"""What a look remembers of a message: its headers' words on its past, and digests of what is compared."""

from dataclasses import replace
from datetime import datetime

from queue_recovery.api.select import LONGEST_TASK_ID
from queue_recovery.broker.layout.envelope import body_of
from queue_recovery.broker.layout.headers import eta, facts_of, is_redelivered, retries, task_id, task_name
from queue_recovery.diagnosis.stuck_evidence import Sighting, digest


def sighting_of(envelope: object, *, delivered: datetime | None = None, held: bool = False) -> Sighting:
    """Return what is remembered of a message.

    Args:
        envelope: the message.
        delivered: when it was delivered, if that is known.
        held: whether it is in `unacked`.
    """
    name, body, facts = task_id(envelope), body_of(envelope), facts_of(envelope)
    if facts is not None and len(facts.task_id or "") > LONGEST_TASK_ID:
        facts = replace(facts, task_id=None)
    return Sighting(
        id=None if name is None else digest(name.encode(errors="replace")),
        work=None if body is None else digest(body.encode(errors="replace")),
        task=task_name(envelope),
        retries=retries(envelope) or 0,
        redelivered=is_redelivered(envelope),
        eta=eta(envelope),
        delivered=delivered,
        held=held,
        facts=facts,
    )
