"""Which messages a recovery gives back to their queue, when workers were killed that held them."""

from typing import Literal

from pydantic import Field

from queue_recovery.api.base import Model


class RedeliverSpec(Model):
    """Messages in `unacked` whose consumer is gone."""

    unknown_consumers: Literal["Wait", "Ignore"] = Field(
        "Wait",
        description="What to do while a connection waits for messages in the broker's database that comes from no pod "
        "of the target's workers. Wait: give back nothing, because it may hold the messages. Ignore: it consumes other "
        "queues, or is a proxy through which these workers connect; the grace period of their pods is waited for "
        "instead.",
    )
