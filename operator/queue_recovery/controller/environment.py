"""Where targets, Secrets and servers are found: `recovery.ports.Environment` for one namespace."""

import asyncio
from collections.abc import Hashable, Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from kubernetes.aio.client import ApiClient, ApiException, CoreV1Api, CustomObjectsApi
from pydantic import BaseModel

from queue_recovery.api.base import GROUP, VERSION, SecretKeyRef, is_full_name
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.servers import BrokerTLS, CertificateAuthorityRef, MongoDBTLS, PasswordSecretRef
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.broker.redis_broker import RedisBroker
from queue_recovery.controller.existence import ClusterUID, is_terminating, recovery_exists
from queue_recovery.controller.secret_texts import text_in
from queue_recovery.controller.shared import Shared
from queue_recovery.jobs import connecting
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import Destinations
from queue_recovery.recovery.errors import AwaitingChange, Rejected
from queue_recovery.recovery.phase import is_terminal
from queue_recovery.recovery.ports import Broker, JobStore
from queue_recovery.recovery.ports.environment import Earlier
from queue_recovery.workers.api_errors import translated
from queue_recovery.workers.calls import REQUEST_SECONDS
from queue_recovery.workers.deployments import KubernetesWorkers
from queue_recovery.workers.permissions import forbidden, rights_for

_TLS_KEYS = ("tls.crt", "tls.key")
"""What a Secret of type kubernetes.io/tls has."""


class _Metadata(BaseModel):
    uid: str
    generation: int = 0


class _Target(BaseModel):
    metadata: _Metadata
    spec: QueueTargetSpec


class _Recovery(BaseModel):
    metadata: _Metadata
    spec: QueueRecoverySpec
    status: QueueRecoveryStatus = QueueRecoveryStatus()


class KubernetesEnvironment:
    """What a recovery of one namespace can reach. Implements `recovery.ports.Environment`."""

    def __init__(
        self,
        api: ApiClient,
        shared: Shared,
        *,
        cluster: str,
        destinations: Destinations,
        cluster_uid: ClusterUID | None = None,
    ) -> None:
        """Take the connection, what the namespace's readers share, and the cluster's identity and UID.

        `destinations` are the addresses that brokers and job stores may have.
        """
        self.cluster = cluster
        self.workers = KubernetesWorkers(shared.informers)
        self._api = api
        self._cluster_uid = cluster_uid or ClusterUID(api)
        self._shared = shared
        self._namespace = shared.namespace
        self._sightings = shared.sightings
        self._destinations = destinations
        self._known_changes = 0
        self._secrets: dict[str, Mapping[str, str | bytes]] = {}

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    async def pause(self, seconds: float) -> None:
        """Let this much time pass."""
        await asyncio.sleep(seconds)

    async def target(self, name: str) -> QueueTargetSpec:
        """Read the QueueTarget; raises NotYet (`TargetNotFound`)."""
        self._known_changes = self._sightings.changes
        self._secrets.clear()
        missing = AwaitingChange(
            Reason.TARGET_NOT_FOUND,
            f"no QueueTarget {name!r} in namespace {self._namespace}; create it, or see `kubectl get queuetargets -n "
            f"{self._namespace}`",
        )
        try:
            with translated(expected=(HTTPStatus.NOT_FOUND,)):
                body = await CustomObjectsApi(self._api).get_namespaced_custom_object(
                    GROUP, VERSION, self._namespace, "queuetargets", name, _request_timeout=REQUEST_SECONDS
                )
        except ApiException:
            self.see_target(name, None)
            raise missing from None
        target = _Target.model_validate(body)
        self.see_target(name, (target.metadata.uid, target.metadata.generation))
        return target.spec

    def see_target(self, name: str, state: tuple[str, int] | None) -> None:
        """Note a target's UID and generation, or that there is none of that name."""
        self._note(f"target {name}", state)

    def _note(self, what: str, state: Hashable) -> None:
        """Note what was found; a change that is found here is no news for who waits here."""
        self._known_changes += self._sightings.see(what, state)

    async def recovery(self, name: str) -> Earlier:
        """Read another QueueRecovery, whose end is noticed from now on; raises Rejected (`RecoveryNotFound`)."""
        self._note(f"recovery {name}", None)  # before it is read, so that no end is missed between the two
        found = await self._recovery(self._namespace, name)
        if found is None:
            raise Rejected(
                Reason.RECOVERY_NOT_FOUND,
                f"no QueueRecovery {name!r} in namespace {self._namespace}; see `kubectl get queuerecoveries -n "
                f"{self._namespace}`, or put its messages back by hand as docs/quarantine.md tells",
            )
        return Earlier(uid=found.metadata.uid, spec=found.spec, status=found.status)

    async def cluster_uid(self) -> str | None:
        """See `recovery.ports.Environment`."""
        return await self._cluster_uid.read()

    async def exists(self, name: str, uid: str, *, unfinished: bool = False) -> bool | None:
        """See `recovery.ports.Environment`; the end of one in this namespace is noticed from now on."""
        if not is_full_name(name):
            return None
        namespace, _, rest = name.partition("/")
        if namespace == self._namespace:
            self._note(f"recovery {rest}", None)
        return await recovery_exists(self._api, namespace, rest, uid, unfinished=unfinished)

    async def is_terminating(self) -> bool:
        """See `recovery.ports.Environment`."""
        return await is_terminating(self._api, self._namespace)

    def see_end(self, name: str) -> None:
        """Note that a QueueRecovery has ended or is gone, for those who have read it before."""
        if self._sightings.knows(f"recovery {name}"):
            self._note(f"recovery {name}", "ended")

    async def broker(self, target: QueueTargetSpec) -> Broker:
        """Read the broker's URL and prepare a connection."""
        return await self._redis(target)

    async def job_store(self, target: QueueTargetSpec) -> JobStore:
        """Read the job store's URL and prepare a connection."""
        if target.job_store is None:
            raise Rejected(Reason.JOB_STORE_NOT_CONFIGURED, "the target has no jobStore")
        mongodb = target.job_store.mongodb
        where = "spec.jobStore.mongodb"
        url = await self._secret(mongodb.url_secret_ref, f"{where}.urlSecretRef")
        certificates = None if mongodb.tls is None else await self._certificates(mongodb.tls, f"{where}.tls")
        return self._shared.job_stores.use(
            (url, mongodb.model_dump_json(), certificates),
            lambda: connecting.connect(url, mongodb, certificates=certificates, destinations=self._destinations),
        )

    async def check_permissions(self, target: QueueTargetSpec, workers: Iterable[str]) -> None:
        """Ask the API server whether the operator has its rights here; raises NotYet (`Forbidden`)."""
        rights = rights_for(target.secrets, workers)
        missing = await self._shared.rights.missing(rights)
        for right in rights:
            self._note(f"right to {right}", right in missing)
        if missing:
            raise forbidden(self._namespace, self._shared.account, missing)

    async def changed(self, *, workers: bool) -> None:
        """See `recovery.ports.Environment`."""
        news = [asyncio.ensure_future(self._sightings.changed(self._known_changes))]
        if workers:
            news.append(asyncio.ensure_future(self.workers.changed()))
        try:
            await asyncio.wait(news, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in news:
                each.cancel()
            await asyncio.gather(*news, return_exceptions=True)

    async def expire_quarantines(self, target: QueueTargetSpec) -> None:
        """Unlink what has outlived its time in the target's broker."""
        broker = await self._redis(target)
        try:
            await broker.expire_quarantines(self.cluster, self._is_live, self.now())
        finally:
            await broker.aclose()

    async def _redis(self, target: QueueTargetSpec) -> RedisBroker:
        spec = target.broker
        of_sentinels = spec.transport_options.sentinel_kwargs.password_secret_ref
        url = await self._secret(spec.url_secret_ref, "spec.broker.urlSecretRef")
        certificates = None if spec.tls is None else await self._certificates(spec.tls, "spec.broker.tls")
        login = "spec.broker.transportOptions.sentinelKwargs.passwordSecretRef"
        password = None if of_sentinels is None else await self._secret(of_sentinels, login)
        return self._shared.brokers.use(
            (url, spec.transport_options.model_dump_json(), certificates, password),
            lambda: RedisBroker.connect(
                url,
                spec.transport_options,
                certificates=certificates,
                sentinel_password=password,
                destinations=self._destinations,
            ),
        )

    async def _certificates(self, tls: BrokerTLS | MongoDBTLS, field: str) -> Certificates:
        authority, client = tls.ca_secret_ref, tls.client_certificate_secret_ref
        shown = f"{field}.clientCertificateSecretRef"
        return Certificates(
            authorities=None if authority is None else await self._secret(authority, f"{field}.caSecretRef"),
            client=None
            if client is None
            else "\n".join([await self._secret(SecretKeyRef(name=client.name, key=key), shown) for key in _TLS_KEYS]),
        )

    async def _is_live(self, full_name: str, uid: str) -> bool:
        found = await self._recovery(*full_name.split("/"))
        return found is not None and found.metadata.uid == uid and not is_terminal(found.status)

    async def _recovery(self, namespace: str, name: str) -> _Recovery | None:
        try:
            with translated(expected=(HTTPStatus.NOT_FOUND,)):
                body = await CustomObjectsApi(self._api).get_namespaced_custom_object(
                    GROUP, VERSION, namespace, "queuerecoveries", name, _request_timeout=REQUEST_SECONDS
                )
        except ApiException:
            return None
        return _Recovery.model_validate(body)

    async def _secret(self, ref: SecretKeyRef | PasswordSecretRef | CertificateAuthorityRef, field: str) -> str:
        """Return the text under a Secret's key; `field` is the one of the target that names the Secret."""
        if ref.name not in self._secrets:
            self._secrets[ref.name] = await self._read_secret(ref.name, field)
        return text_in(self._secrets[ref.name], ref.name, ref.key, field)

    async def _read_secret(self, name: str, field: str) -> Mapping[str, str | bytes]:
        """Return what a Secret holds, in base64; `field` is the one of the target that names it."""
        try:
            with translated(expected=(HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN)):
                secret = await CoreV1Api(self._api).read_namespaced_secret(
                    name, self._namespace, _request_timeout=REQUEST_SECONDS
                )
        except ApiException as error:
            self._note(f"secret {name}", error.status)
            if error.status == HTTPStatus.FORBIDDEN:
                raise forbidden(self._namespace, self._shared.account) from None
            raise AwaitingChange(
                Reason.SECRET_NOT_FOUND,
                f'namespace "{self._namespace}" has no Secret "{name}". Create it, or change {field} in the target',
            ) from None
        metadata = secret.metadata
        self._note(f"secret {name}", metadata and (metadata.uid, metadata.resource_version))
        return secret.data or {}
