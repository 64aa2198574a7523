"""One namespace as `recovery.ports.Environment` describes it."""

import asyncio
from collections.abc import Hashable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi
from pydantic import BaseModel

from queue_recovery.api.base import GROUP, VERSION, is_full_name
from queue_recovery.api.diagnosis import ResultsSpec
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.servers import TransportOptions
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.broker.redis_broker import RedisBroker
from queue_recovery.broker.redis_results import RedisResults
from queue_recovery.controller.cluster_identity import ClusterUID
from queue_recovery.controller.existence import namespace_is_terminating, recovery_exists
from queue_recovery.controller.ledger import ConfigMapLedger
from queue_recovery.controller.namespace_caches import NamespaceCaches
from queue_recovery.controller.secrets import SecretReader
from queue_recovery.controller.target_reading import Metadata, Target, read_target, report_of
from queue_recovery.diagnosis.stuck import QUIET_LOOKS
from queue_recovery.jobs import connecting
from queue_recovery.recovery.destinations import Destinations
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import is_terminal
from queue_recovery.recovery.ports import Broker, JobStore, Results
from queue_recovery.recovery.ports.environment import Earlier, TargetReport
from queue_recovery.workers.api_errors import translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS
from queue_recovery.workers.kubernetes_workers import KubernetesWorkers
from queue_recovery.workers.permissions import forbidden, permissions_for


class _Recovery(BaseModel):
    metadata: Metadata
    spec: QueueRecoverySpec
    status: QueueRecoveryStatus = QueueRecoveryStatus()


class KubernetesEnvironment:
    """What recoveries of one namespace read and connect to.

    Implements `recovery.ports.Environment`.
    """

    def __init__(
        self,
        api: ApiClient,
        caches: NamespaceCaches,
        *,
        cluster: str,
        destinations: Destinations,
        cluster_uid: ClusterUID | None = None,
        secrets: SecretReader | None = None,
    ) -> None:
        """Take the way to the namespace.

        Args:
            api: the connection.
            caches: what all environments of the namespace share.
            cluster: identity of the cluster.
            destinations: the addresses that brokers and job stores may have.
            cluster_uid: reads the cluster's UID; the default reads it once more.
            secrets: reads the namespace's Secrets; the default uses the connection.
        """
        self.cluster = cluster
        self.workers = KubernetesWorkers(caches.informers)
        self.autoscalers = caches.autoscalers
        self._api = api
        self._cluster_uid = cluster_uid or ClusterUID(api)
        self._caches = caches
        self._namespace = caches.namespace
        self._observed = caches.observed
        self._destinations = replace(destinations, tenant=caches.namespace)
        self._known_changes = 0
        self._naming_ledger: set[str] = set()
        self._secrets = secrets or SecretReader(api, caches.namespace, caches.account, self._observe)

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    async def pause(self, seconds: float) -> None:
        """Let this much time pass."""
        await asyncio.sleep(seconds)

    async def target(self, name: str) -> QueueTargetSpec:
        """Read the QueueTarget; raises RecoveryError (`TargetNotFound`)."""
        self._known_changes = self._observed.changes
        self._secrets.forget()
        target = Target.model_validate(await self._read_target(name))
        self.observe_target(name, (target.metadata.uid, target.metadata.generation))
        if target.status.ledger:
            self._naming_ledger.add(name)
        else:
            self._naming_ledger.discard(name)
        return target.spec

    async def target_report(self, name: str) -> TargetReport:
        """See `recovery.ports.Environment`.

        A new leader tells the causes that the status has, until it has looked so often that it would have found them.
        """
        report = report_of(await self._read_target(name))
        return replace(report, is_current=report.is_current and self._caches.looks[name] >= QUIET_LOOKS)

    async def _read_target(self, name: str) -> object:
        try:
            return await read_target(self._api, self._namespace, name)
        except RecoveryError as error:
            if error.reason == Reason.TARGET_NOT_FOUND:
                self.observe_target(name, None)
            raise

    def ledger(self, target: str, key: str) -> ConfigMapLedger:
        """See `recovery.ports.Environment`."""
        return ConfigMapLedger(
            self._api,
            self._namespace,
            key,
            target=target,
            named_by=self._naming_ledger,
            forbidden=forbidden(self._namespace, self._caches.account),
        )

    def observe_target(self, name: str, version: tuple[str, int] | None) -> None:
        """Record a target's UID and generation, or that no target has that name."""
        if version is None:
            self._caches.looks.pop(name, None)
        self._observe(f"target {name}", version)

    def observe_look(self, name: str) -> None:
        """Record that the status of a target has a look of this process at its queues."""
        self._caches.looks[name] += 1

    def _observe(self, name: str, version: Hashable) -> None:
        """Record a version; a change observed here does not wake this environment."""
        self._known_changes += self._observed.observe(name, version)

    async def recovery(self, name: str) -> Earlier:
        """Read another QueueRecovery, and observe its end from now on.

        Raises RecoveryError (`RecoveryNotFound`).
        """
        self._observe(f"recovery {name}", None)  # before it is read, so that no end is missed between the two
        found = await self._recovery(self._namespace, name)
        if found is None:
            raise RecoveryError(
                Reason.RECOVERY_NOT_FOUND,
                f'namespace "{self._namespace}" has no QueueRecovery "{name}". List those that exist (kubectl get '
                f"queuerecoveries -n {self._namespace}). If it was deleted, create it again with the same name and "
                "spec: it does not run again, and can be named",
            )
        return Earlier(uid=found.metadata.uid, spec=found.spec, status=found.status)

    async def cluster_uid(self) -> str | None:
        """See `recovery.ports.Environment`."""
        return await self._cluster_uid.read()

    async def exists(self, name: str, uid: str, *, unfinished: bool = False) -> bool | None:
        """See `recovery.ports.Environment`; observes the end of one in this namespace."""
        if not is_full_name(name):
            return None
        namespace, _, rest = name.partition("/")
        if namespace == self._namespace:
            self._observe(f"recovery {rest}", None)
        return await recovery_exists(self._api, namespace, rest, uid, unfinished=unfinished)

    async def is_terminating(self) -> bool:
        """See `recovery.ports.Environment`."""
        return await namespace_is_terminating(self._api, self._namespace)

    def observe_end(self, name: str) -> None:
        """Record that a QueueRecovery has ended or was deleted, if it was read before."""
        if self._observed.has(f"recovery {name}"):
            self._observe(f"recovery {name}", "ended")

    async def broker(self, target: QueueTargetSpec) -> Broker:
        """Read the broker's URL and prepare a connection."""
        return await self._redis(target)

    async def job_store(self, target: QueueTargetSpec) -> JobStore:
        """Read the job store's URL and prepare a connection."""
        if target.job_store is None:
            raise RecoveryError(Reason.JOB_STORE_NOT_CONFIGURED, "the target has no jobStore. Add one to it")
        mongodb = target.job_store.mongodb
        where = "spec.jobStore.mongodb"
        url = await self._secrets.value(mongodb.url_secret_ref, f"{where}.urlSecretRef")
        certificates = None if mongodb.tls is None else await self._secrets.certificates(mongodb.tls, f"{where}.tls")
        return self._caches.job_stores.acquire(
            (url, mongodb.model_dump_json(), certificates),
            lambda: connecting.connect(url, mongodb, certificates=certificates, destinations=self._destinations),
        )

    async def check_permissions(self, target: QueueTargetSpec, workers: Iterable[WorkerRef]) -> None:
        """Check the operator's permissions here; raises RecoveryError (`Forbidden`)."""
        refs = list(workers)
        plurals = await self._caches.informers.plurals(refs)
        needed = permissions_for(target.secrets, refs, plurals)
        missing = await self._caches.permissions.missing(needed)
        for permission in needed:
            self._observe(f"permission to {permission}", permission in missing)
        if missing:
            raise forbidden(self._namespace, self._caches.account, missing)

    async def changed(self, *, workers: bool) -> None:
        """See `recovery.ports.Environment`."""
        changes = [asyncio.ensure_future(self._observed.changed(self._known_changes))]
        if workers:
            changes.append(asyncio.ensure_future(self.workers.changed()))
        try:
            await asyncio.wait(changes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in changes:
                each.cancel()
            await asyncio.gather(*changes, return_exceptions=True)

    async def expire_quarantines(self, target: QueueTargetSpec) -> None:
        """Remove the quarantines in the target's broker whose retention is over."""
        broker = await self._redis(target)
        try:
            await broker.expire_quarantines(self.cluster, self._is_live, self.now())
        finally:
            await broker.aclose()

    async def results(self, target: QueueTargetSpec) -> Results:
        """Read the URL of Celery's results and prepare a connection; without a URL of their own, the broker's."""
        spec = target.diagnosis.results or ResultsSpec()
        options, ref, tls, where = TransportOptions(), spec.url_secret_ref, spec.tls, "spec.diagnosis.results"
        password = None
        if ref is None:
            broker, where = target.broker, "spec.broker"
            options, ref, tls = broker.transport_options, broker.url_secret_ref, broker.tls
            password = await self._sentinel_password(options)
        url = await self._secrets.value(ref, f"{where}.urlSecretRef")
        certificates = None if tls is None else await self._secrets.certificates(tls, f"{where}.tls")
        return self._caches.results.acquire(
            (url, spec.global_key_prefix, options.model_dump_json(), certificates, password),
            lambda: RedisResults.connect(
                url,
                global_key_prefix=spec.global_key_prefix,
                options=options,
                certificates=certificates,
                sentinel_password=password,
                destinations=self._destinations,
            ),
        )

    async def _sentinel_password(self, options: TransportOptions) -> str | None:
        ref = options.sentinel_kwargs.password_secret_ref
        where = "spec.broker.transportOptions.sentinelKwargs.passwordSecretRef"
        return None if ref is None else await self._secrets.value(ref, where)

    async def _redis(self, target: QueueTargetSpec) -> RedisBroker:
        spec = target.broker
        url = await self._secrets.value(spec.url_secret_ref, "spec.broker.urlSecretRef")
        certificates = None if spec.tls is None else await self._secrets.certificates(spec.tls, "spec.broker.tls")
        password = await self._sentinel_password(spec.transport_options)
        return self._caches.brokers.acquire(
            (url, spec.transport_options.model_dump_json(), certificates, password),
            lambda: RedisBroker.connect(
                url,
                spec.transport_options,
                certificates=certificates,
                sentinel_password=password,
                destinations=self._destinations,
            ),
        )

    async def _is_live(self, full_name: str, uid: str) -> bool:
        found = await self._recovery(*full_name.split("/"))
        return found is not None and found.metadata.uid == uid and not is_terminal(found.status)

    async def _recovery(self, namespace: str, name: str) -> _Recovery | None:
        try:
            with translated_failures(expected=(HTTPStatus.NOT_FOUND,)):
                body = await CustomObjectsApi(self._api).get_namespaced_custom_object(
                    GROUP, VERSION, namespace, "queuerecoveries", name, _request_timeout=REQUEST_SECONDS
                )
        except ApiException:
            return None
        return _Recovery.model_validate(body)
