"""When a queue counts as stuck, and how a target's status tells of it."""

from pydantic import Field

from queue_recovery.api.base import GROUP, Model, ObjectName, Sentence, Timestamp

PROPOSED_FOR = f"{GROUP}/proposed-for"
"""Label of a recovery that the operator has proposed: the cause for which it is."""

EVIDENCE = f"{GROUP}/evidence"
"""Annotation of such a recovery: what was seen."""

MOST_DELIVERIES = 20
"""Deliveries of a message that are remembered."""

MOST_NEXT = 5
"""Messages that are read of those that are consumed next, of each list."""


class StuckSpec(Model):
    """From when on a queue counts as stuck. With 0 the operator does not look for that cause."""

    deaf_seconds: int = Field(
        300,
        ge=0,
        le=86400,
        description="Messages wait and none is taken for this long, although a pod of the workers has been ready for "
        "as long and the workers hold no message. Not reported for workers whose command has `--pool=solo` or "
        "`--disable-prefetch`: with early acknowledgement they hold none while they work. If the application's "
        "configuration says so instead, set a time longer than their longest task, or 0.",
    )
    stranded_messages: int = Field(
        1,
        ge=0,
        le=1000,
        description="This many messages in `unacked` were delivered before the oldest running process of the workers "
        "was started, so none of them holds these. 1,000 at most, because only the 1,000 oldest entries are read.",
    )
    retry_loop_retries: int = Field(
        10,
        ge=0,
        le=1000000,
        description="A message has been retried this often, and its retries grow.",
    )
    poison_deliveries: int = Field(
        3,
        ge=0,
        le=MOST_DELIVERIES,
        description="A message, or a job by new messages, was delivered this often without a retry, and between these "
        "deliveries containers of the workers were killed or ended with an error.",
    )
    hoarded_messages: int = Field(
        5000,
        ge=0,
        le=100000000,
        description="The workers hold this many messages for each of their ready pods. If more than 1,000 messages are "
        "in `unacked`, the queue's share is estimated from the 1,000 oldest.",
    )
    rising_seconds: int = Field(
        1800,
        ge=0,
        le=604800,
        description="The number of waiting messages has risen and never fallen for this long, by `risingMessages` or "
        "more, and has risen within the last 10 minutes, or this long if that is shorter.",
    )
    rising_messages: int = Field(
        1000,
        ge=1,
        le=100000000,
        description="By how many messages a queue rises within `risingSeconds`, at least.",
    )
    undecodable_messages: int = Field(
        1,
        ge=0,
        le=MOST_NEXT,
        description="This many of the 5 messages that are consumed next are not Celery's, seen by two looks. A worker "
        "that takes such a message may exit.",
    )


class QueueStuck(Model):
    """Why a queue is stuck."""

    reason: str = Field(max_length=128, description="Why, as one CamelCase word; docs/stuck.md lists them.")
    since: Timestamp = Field(description="When the operator first saw it.")
    message: Sentence = Field(description="What was seen, and what to do.")
    proposal: ObjectName | None = Field(
        None,
        description="The QueueRecovery that is proposed for it (`policy.propose`). It stays named when that is "
        "deleted, so that it is not created again.",
    )


MOST_CAUSES = 7
"""Causes that one queue can have."""
