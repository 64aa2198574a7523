"""The ledger of a namespace in its ConfigMap: one key for each entry, written with a JSON patch that tests it."""

import asyncio
from collections.abc import Awaitable, Collection, Iterator, Mapping, MutableSet
from http import HTTPStatus
from typing import Final

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException, CoreV1Api, CustomObjectsApi, V1ConfigMap, V1ObjectMeta
from pydantic import BaseModel, Field, ValidationError

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.api.ledger import LEDGER, LedgerEntry
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.resource import Superseded
from queue_recovery.workers.api_errors import API_ERRORS, to_recovery_error, translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS, answer

MOST_BYTES: Final = 768 * 1024
"""How large the ledger may get: about 2,000 entries. A ConfigMap holds at most 1 MiB."""

MOST_KEYS: Final = 5000
"""How many keys are read; more are not of recoveries, whose entries would be larger than a ConfigMap."""

MOST_REMOVED: Final = 100
"""How many entries make room in one write; the API server refuses a patch of very many operations."""

_PARSED_AT_ONCE: Final = 200
"""Entries between which other work goes on."""

_REFUSED: Final = (
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
"""The ConfigMap was created, changed or deleted since it was read, or the API server refuses patch or result."""

_PAGE: Final = 50
"""Targets in one answer, which bounds the memory."""

_PLURAL: Final = "queuetargets"


class _Metadata(BaseModel):
    uid: str
    resource_version: str = Field(alias="resourceVersion")


class _ConfigMap(BaseModel):
    metadata: _Metadata
    data: dict[str, str] = {}


class _TargetStatus(BaseModel):
    ledger: str | None = None


class _Target(BaseModel):
    status: _TargetStatus = _TargetStatus()


class _Continue(BaseModel):
    token: str = Field("", alias="continue")


class _Targets(BaseModel):
    metadata: _Continue = _Continue()
    items: list[_Target]


class ConfigMapLedger:
    """One entry of a namespace's ledger. Implements `recovery.ports.Ledger`.

    Once the ledger has an entry, the status of the entry's target names the ledger. If the ConfigMap is missing
    although the status of a target names it, it was lost, which must not be taken for an empty one.
    """

    def __init__(
        self,
        api: ApiClient,
        namespace: str,
        key: str,
        *,
        target: str,
        named_by: MutableSet[str],
        forbidden: RecoveryError,
    ) -> None:
        """Take the connection, the namespace and the entry's key.

        Args:
            api: the connection.
            namespace: of the ledger.
            key: of the entry, see `api.ledger.ledger_key`.
            target: name of the recovery's target.
            named_by: targets whose status is known to name the ledger; this one is added.
            forbidden: the error for a missing permission.
        """
        self._client = api
        self._api = CoreV1Api(api)
        self._namespace = namespace
        self._key = key
        self._target = target
        self._named_by = named_by
        self._forbidden = forbidden
        self._is_read = False
        self._stored: _ConfigMap | None = None

    async def read(self) -> LedgerEntry | None:
        """See `recovery.ports.Ledger`."""
        if not self._is_read:
            self._stored = await self._get()
            if self._stored is None and await self._is_lost():
                raise RecoveryError(
                    Reason.LEDGER_LOST,
                    f'ConfigMap "{LEDGER}" is gone from namespace "{self._namespace}". It had recorded which '
                    "recoveries were executed, so that none of them runs again when its YAML is applied again. "
                    "Restore it from a backup. If no recovery that was executed is going to be applied again, create "
                    f"an empty one: kubectl create configmap {LEDGER} -n {self._namespace}",
                )
            keys = 0 if self._stored is None else len(self._stored.data)
            if keys > MOST_KEYS:
                raise RecoveryError(
                    Reason.LEDGER_UNREADABLE,
                    f'ConfigMap "{LEDGER}" has {keys} keys, and at most {MOST_KEYS} are read, so it is unknown whether '
                    "a recovery with this name and spec was executed. Remove the keys that are not of recoveries: "
                    f"kubectl edit configmap {LEDGER} -n {self._namespace}",
                )
            self._is_read = True
        text = None if self._stored is None else self._stored.data.get(self._key)
        if text is None:
            return None
        entry = _parsed(text)
        if entry is None:
            self._is_read = False
            raise RecoveryError(
                Reason.LEDGER_UNREADABLE,
                f'key "{self._key}" of ConfigMap "{LEDGER}" cannot be read, so it is unknown whether a recovery with '
                "this name and spec was executed. If it was not, remove the key: "
                f"kubectl edit configmap {LEDGER} -n {self._namespace}",
            )
        return entry

    async def write(self, entry: LedgerEntry | None) -> None:
        """See `recovery.ports.Ledger`."""
        await self.read()
        text = None if entry is None else entry.model_dump_json(by_alias=True, exclude_none=True)
        self._is_read = False  # until it is answered: a write that was given up may have taken place
        try:
            if self._stored is not None:
                self._stored = await self._patch(self._stored, text)
            elif text is not None:
                self._stored = await self._create(text)
        except ApiException:
            if await self._get() != self._stored:
                raise Superseded from None
            raise RecoveryError(
                Reason.LEDGER_REFUSED,
                f'the API server refuses a change of ConfigMap "{LEDGER}" in namespace "{self._namespace}". If it is '
                "immutable, create it again from its content without that field. If it is full, remove the keys that "
                "are not of recoveries",
            ) from None
        self._is_read = True
        if entry is not None and self._target not in self._named_by:
            await self._name_in_target()
            self._named_by.add(self._target)

    async def _get(self) -> _ConfigMap | None:
        read = self._api.read_namespaced_config_map_without_preload_content(
            LEDGER, self._namespace, _request_timeout=REQUEST_SECONDS
        )
        try:
            return await self._answer(read, expected=(HTTPStatus.NOT_FOUND,))
        except ApiException:
            return None

    async def _create(self, text: str) -> _ConfigMap:
        body = V1ConfigMap(metadata=V1ObjectMeta(name=LEDGER), data={self._key: text})
        create = self._api.create_namespaced_config_map_without_preload_content(
            self._namespace, body, _request_timeout=REQUEST_SECONDS
        )
        return await self._answer(create, expected=_REFUSED)

    async def _patch(self, known: _ConfigMap, text: str | None) -> _ConfigMap:
        excess = () if text is None else await _excess(known.data, self._key, text)
        patch = self._api.patch_namespaced_config_map_without_preload_content(
            LEDGER,
            self._namespace,
            list(_operations(known, self._key, text, excess)),
            _content_type="application/json-patch+json",
            _request_timeout=REQUEST_SECONDS,
        )
        return await self._answer(patch, expected=_REFUSED)

    async def _answer(self, call: Awaitable[aiohttp.ClientResponse], *, expected: Collection[int]) -> _ConfigMap:
        """Make a call that returns the ConfigMap; raise the ApiException of an expected status, or RecoveryError."""
        try:
            return _ConfigMap.model_validate_json(await answer(call))
        except API_ERRORS as error:
            if isinstance(error, ApiException) and error.status in expected:
                raise
            raise to_recovery_error(error, forbidden=self._forbidden) from None

    async def _is_lost(self) -> bool:
        """Return whether the status of any target of the namespace names the ledger."""
        token = ""
        with translated_failures(forbidden=self._forbidden):
            while True:
                body = await CustomObjectsApi(self._client).list_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    self._namespace,
                    _PLURAL,
                    limit=_PAGE,
                    _continue=token,
                    _request_timeout=REQUEST_SECONDS,
                )
                page = _Targets.model_validate(body)
                if any(target.status.ledger for target in page.items):
                    return True
                token = page.metadata.token
                if not token:
                    return False

    async def _name_in_target(self) -> None:
        """Name the ledger in the status of the target, unless that was deleted."""
        try:
            with translated_failures(expected=(HTTPStatus.NOT_FOUND,)):
                await CustomObjectsApi(self._client).patch_namespaced_custom_object_status(
                    GROUP,
                    VERSION,
                    self._namespace,
                    _PLURAL,
                    self._target,
                    {"status": {"ledger": LEDGER}},
                    _content_type="application/merge-patch+json",
                    _request_timeout=REQUEST_SECONDS,
                )
        except ApiException:
            return


def _operations(known: _ConfigMap, key: str, text: str | None, excess: Collection[str]) -> Iterator[dict[str, object]]:
    """Yield a patch that stores or removes one entry, if it is as known; `excess` makes room for it."""
    path = f"/data/{key}"
    yield {"op": "test", "path": "/metadata/uid", "value": known.metadata.uid}
    if not known.data:
        yield {"op": "test", "path": "/metadata/resourceVersion", "value": known.metadata.resource_version}
        yield {"op": "add", "path": "/data", "value": {}}
    yield {"op": "test", "path": path, "value": known.data.get(key)}
    if text is None:
        if key in known.data:
            yield {"op": "remove", "path": path}
        return
    yield {"op": "add", "path": path, "value": text}
    for other in excess:
        yield {"op": "remove", "path": f"/data/{other}"}


async def _excess(data: Mapping[str, str], key: str, text: str) -> Collection[str]:
    """Return the keys of the oldest other entries that leave no room for this one, or the first of very many."""
    others = {other: value for other, value in data.items() if other != key}
    size = sum(len(value.encode()) + len(other) for other, value in {**others, key: text}.items())
    if size <= MOST_BYTES and len(others) < MOST_KEYS:
        return ()
    started: dict[str, str] = {}
    for number, (other, value) in enumerate(others.items()):
        if number % _PARSED_AT_ONCE == 0:
            await asyncio.sleep(0)
        started[other] = _start_time(value)
    excess: list[str] = []
    for other in sorted(others, key=started.__getitem__)[:MOST_REMOVED]:
        excess.append(other)
        size -= len(others[other].encode()) + len(other)
        if size <= MOST_BYTES and len(others) - len(excess) < MOST_KEYS:
            break
    return excess


def _start_time(text: str) -> str:
    entry = _parsed(text)
    return "" if entry is None else entry.start_time


def _parsed(text: str) -> LedgerEntry | None:
    try:
        return LedgerEntry.model_validate_json(text)
    except ValidationError:
        return None
