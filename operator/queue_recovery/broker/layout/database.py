"""One database of a broker: how it is reached, and where Celery and the operator store what there."""

from dataclasses import dataclass
from functools import cached_property

from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.broker.layout.own_keys import OwnKeys


@dataclass(frozen=True)
class Database:
    """A database, with the transport options of one application."""

    client: Client
    layout: Layout

    @cached_property
    def own(self) -> OwnKeys:
        """The operator's own keys, under the application's prefix."""
        return OwnKeys(self.layout.options.global_key_prefix)
