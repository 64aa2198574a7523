"""The operator's process-wide parts, put together once."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import kopf

from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.controller.cluster_identity import ClusterUID, cluster_identity
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.event_poster import Event, EventPoster
from queue_recovery.controller.kopf_session import open_session
from queue_recovery.controller.logs import fields
from queue_recovery.controller.metrics import Metrics
from queue_recovery.controller.namespace_caches import NamespaceCaches
from queue_recovery.controller.proposal_writer import KubernetesProposalWriter
from queue_recovery.controller.reconciler import Reconciler
from queue_recovery.controller.recovery_events import events_between
from queue_recovery.controller.resource import KubernetesResource, read_body
from queue_recovery.controller.settings import Settings
from queue_recovery.controller.status_lines import lines_between
from queue_recovery.controller.target_monitor import TargetMonitor, store_status
from queue_recovery.controller.watches import Watches
from queue_recovery.recovery.admission import Admission
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.permissions import ServiceAccount

_LOG = logging.getLogger(__name__)


class Operator:
    """What the handlers share: metrics, events, reconciler and target monitor."""

    def __init__(self, connections: Connections, settings: Settings, instance: str) -> None:
        """Take the connections, the settings, and the name of this process."""
        api = connections.ordinary
        self._api = api
        self._connections = connections
        self._cluster = cluster_identity(api)
        self._cluster_uid = ClusterUID(api)
        self._account = ServiceAccount(settings.pod_namespace, settings.service_account)
        self._destinations = settings.destinations
        self._caches: WeakValueDictionary[str, NamespaceCaches] = WeakValueDictionary()
        self.watches = Watches(settings.namespaces)
        self.metrics = Metrics(with_names=settings.metrics_with_names)
        self.events = EventPoster(api, instance)
        self.recoveries = Reconciler(
            Admission(settings.max_draining),
            read=partial(read_body, api),
            resource=self.resource,
            environment=self.environment,
            reconciled=self._reconciled,
        )
        self.targets = TargetMonitor(
            settings,
            self.metrics,
            environment=self.environment,
            store=partial(store_status, api),
            announce=self._announce,
            writer=KubernetesProposalWriter(api, self._account),
            outlines=self.recoveries.outlines,
        )
        self.metrics.active.set_function(lambda: self.recoveries.active)

    async def aclose(self) -> None:
        """End all tasks; they begin again with the next watch."""
        await self.recoveries.aclose()
        await self.targets.aclose()

    def log_in(self) -> kopf.AiohttpSession:
        """Return a session for kopf, which reports its watches to `watches`."""
        return open_session(self._api, self.watches)

    def environment(self, namespace: str) -> KubernetesEnvironment:
        """Return an environment of one namespace; all of them share its caches."""
        caches = self._caches.get(namespace)
        if caches is None:
            caches = self._caches[namespace] = NamespaceCaches(self._connections, namespace, self._account)
        return KubernetesEnvironment(
            self._api,
            caches,
            cluster=self._cluster,
            destinations=self._destinations,
            cluster_uid=self._cluster_uid,
        )

    def resource(self, body: Mapping[str, Any], *, just_read: bool) -> KubernetesResource:
        """Return the recovery of that body; its status writes go to events, metrics, log."""
        metadata = body["metadata"]
        tell = partial(self._tell, metadata["namespace"], metadata["name"], metadata["uid"])
        return KubernetesResource(self._api, body, written=tell, just_read=just_read)

    def _reconciled(self, resource: KubernetesResource) -> None:
        spec, has_begun = resource.desired.spec, resource.last_status.drain_start_time is not None
        recovered = spec.queue if has_begun else None
        self.targets.check_now(resource.namespace, spec.target_ref.name, recovered=recovered)

    def _tell(
        self, namespace: str, name: str, uid: str, before: QueueRecoveryStatus, after: QueueRecoveryStatus
    ) -> None:
        for line in lines_between(before, after):
            about = fields(namespace, recovery=name, phase=line.phase, reason=line.reason)
            _LOG.log(line.level, "%s", line.text, extra=about)
        for event in events_between(before, after):
            self.events.post(event, kind="QueueRecovery", namespace=namespace, name=name, uid=uid)
        self.metrics.changed(uid, before, after)

    def _announce(self, namespace: str, name: str, uid: str, event: Event) -> None:
        level = logging.WARNING if event.type == "Warning" else logging.INFO
        _LOG.log(level, "%s", event.note, extra=fields(namespace, target=name, reason=event.reason))
        self.events.post(event, kind="QueueTarget", namespace=namespace, name=name, uid=uid)
