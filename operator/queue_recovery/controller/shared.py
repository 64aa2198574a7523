"""What all who look at one namespace share."""

from queue_recovery.broker.redis_broker import RedisBroker
from queue_recovery.controller.clients import Clients
from queue_recovery.controller.sightings import Sightings
from queue_recovery.jobs.store import MongoJobStore
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.informers import Informers
from queue_recovery.workers.permissions import Rights, ServiceAccount


class Shared:
    """Its sightings, its informers, the operator's rights in it, and the clients of its targets' servers."""

    def __init__(self, connections: Connections, namespace: str, account: ServiceAccount) -> None:
        """Take the connections, the namespace, and whom the operator runs as."""
        self.namespace = namespace
        self.account = account
        self.sightings = Sightings()
        self.informers = Informers(connections, namespace, account)
        self.rights = Rights(connections.ordinary, namespace)
        self.brokers: Clients[RedisBroker] = Clients()
        self.job_stores: Clients[MongoJobStore] = Clients()
