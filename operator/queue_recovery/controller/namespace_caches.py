"""What all recoveries and targets of one namespace share."""

from collections import Counter

from queue_recovery.broker.redis_broker import RedisBroker
from queue_recovery.broker.redis_results import RedisResults
from queue_recovery.controller.client_pool import ClientPool
from queue_recovery.controller.observed_versions import ObservedVersions
from queue_recovery.jobs.store import MongoJobStore
from queue_recovery.workers.autoscalers import KubernetesAutoscalers
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.informers import Informers
from queue_recovery.workers.permissions import Permissions, ServiceAccount


class NamespaceCaches:
    """The observed versions, informers, autoscalers, permissions and clients of a namespace.

    So each object is watched, and each server connected, only once.
    """

    def __init__(self, connections: Connections, namespace: str, account: ServiceAccount) -> None:
        """Take the connections, the namespace, and the operator's ServiceAccount."""
        self.namespace = namespace
        self.account = account
        self.observed = ObservedVersions()
        self.informers = Informers(connections, namespace, account)
        self.autoscalers = KubernetesAutoscalers(connections, self.informers.namespace)
        self.permissions = Permissions(connections.ordinary, namespace)
        self.brokers: ClientPool[RedisBroker] = ClientPool()
        self.results: ClientPool[RedisResults] = ClientPool()
        self.job_stores: ClientPool[MongoJobStore] = ClientPool()
        self.looks: Counter[str] = Counter()
        """How often this process has looked at the queues of each target, and its status says so."""
