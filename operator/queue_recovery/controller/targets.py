"""The board of QueueTargets: each one's status is refreshed at an interval, and right after a change."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi
from pydantic import ValidationError

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.api.conditions import ConditionType, is_true
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.logs import fields, place_of
from queue_recovery.controller.metrics import Metrics
from queue_recovery.controller.settings import Settings
from queue_recovery.controller.survey import survey
from queue_recovery.controller.target_events import Announce, Announcer
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.origins import with_origin
from queue_recovery.recovery.pace import Pace
from queue_recovery.workers.api_errors import translated
from queue_recovery.workers.calls import REQUEST_SECONDS

_LOG = logging.getLogger(__name__)
_PLURAL = "queuetargets"
_EXPECTED = (404, 409, 422)
"""Gone, or changed since: the next look sees it."""

_LOOKS_PER_SECOND = 25.0
_LOOKS_AT_ONCE = 10
"""Looks at targets that begin; each has its own time, so a server that does not answer delays no other target."""

Key = tuple[str, str]
"""Namespace and name."""


class TargetBoard:
    """Keeps one task for each target, started and ended by what the watch says.

    Not a kopf daemon or timer: those put a finalizer on a resource, and a target must never be held by the operator.
    """

    def __init__(
        self,
        api: ApiClient,
        settings: Settings,
        metrics: Metrics,
        environment: Callable[[str], KubernetesEnvironment],
        announce: Announce,
    ) -> None:
        """Take what the looks at targets need, and what posts an event."""
        self._api = CustomObjectsApi(api)
        self._interval = settings.target_refresh_seconds
        self._retention_interval = settings.retention_interval_seconds
        self._metrics = metrics
        self._environment = environment
        self._announcer = Announcer(announce)
        self._pace = Pace(_LOOKS_PER_SECOND, at_once=_LOOKS_AT_ONCE)
        self._bodies: dict[Key, Mapping[str, Any]] = {}
        self._wake: dict[Key, asyncio.Event] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def receive(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """Take in a watch event: begin, go on or end looking at a target."""
        metadata = body["metadata"]
        key = (metadata["namespace"], metadata["name"])
        self._environment(key[0]).see_target(key[1], None if gone else (metadata["uid"], metadata["generation"]))
        if gone:
            self._forget(key)
            return
        before = self._bodies.get(key)
        self._bodies[key] = body
        if key not in self._tasks:
            self._wake[key] = asyncio.Event()
            self._tasks[key] = asyncio.ensure_future(self._look_again_and_again(key))
        elif before is None or before["metadata"]["generation"] != metadata["generation"]:
            self._wake[key].set()

    def look_again(self, namespace: str, name: str) -> None:
        """Refresh a target now, because something has just changed in it."""
        wake = self._wake.get((namespace, name))
        if wake is not None:
            wake.set()

    async def aclose(self) -> None:
        """End all tasks."""
        for key in list(self._tasks):
            task = self._tasks[key]
            self._forget(key)
            with suppress(asyncio.CancelledError):
                await task

    def _forget(self, key: Key) -> None:
        self._bodies.pop(key, None)
        self._wake.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()
            self._metrics.target_gone(*key)
            self._announcer.forget(*key)

    async def _look_again_and_again(self, key: Key) -> None:
        wake = self._wake[key]
        expired = -math.inf
        trouble = _Trouble(key)
        while True:
            await self._pace.turn()
            wake.clear()
            spec = self._spec(key, trouble)
            # A new one reads all again. It is held until the next: what was seen lives as long as any environment does.
            environment = self._environment(key[0])
            try:
                reachable = spec is not None and await self._refresh(key, spec, environment)
                if spec is not None and reachable and time.monotonic() - expired >= self._retention_interval:
                    await environment.expire_quarantines(spec)
                    expired = time.monotonic()
            except RecoveryError as error:
                trouble.report(logging.WARNING, with_origin(error, spec).message, reason=error.reason)
            except Exception as error:  # noqa: BLE001  # any error: the next look may do better
                trouble.report(logging.ERROR, f"unexpected {place_of(error)}; please report it")
            else:
                if spec is not None:
                    trouble.is_over()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await wake.wait()

    def _spec(self, key: Key, trouble: "_Trouble") -> QueueTargetSpec | None:
        try:
            return QueueTargetSpec.model_validate(self._bodies[key]["spec"])
        except ValidationError:
            trouble.report(logging.WARNING, "the spec does not fit this operator's version; apply its CRDs")
            return None

    async def _refresh(self, key: Key, spec: QueueTargetSpec, environment: KubernetesEnvironment) -> bool:
        """Write a target's status; return whether its broker can be reached."""
        body = self._bodies[key]
        namespace, name = key
        old = QueueTargetStatus.model_validate(body.get("status", {}))
        status = await survey(spec, old, environment, generation=body["metadata"]["generation"])
        self._metrics.target_seen(namespace, name, status)
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": body["metadata"]["uid"]},
            {"op": "add", "path": "/status", "value": status.model_dump(mode="json", by_alias=True, exclude_none=True)},
        ]
        with suppress(ApiException), translated(expected=_EXPECTED):
            await self._api.patch_namespaced_custom_object_status(
                GROUP,
                VERSION,
                namespace,
                _PLURAL,
                name,
                patch,
                _content_type="application/json-patch+json",
                _request_timeout=REQUEST_SECONDS,
            )
            self._announcer.stored(namespace, name, body["metadata"]["uid"], old, status)
        return is_true(status.conditions, ConditionType.BROKER_REACHABLE)


class _Trouble:
    """Why a target cannot be looked at, logged once although each look meets it."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._said = ""

    def report(self, level: int, message: str, *, reason: str = "") -> None:
        if message != self._said:
            self._said = message
            namespace, name = self._key
            _LOG.log(level, "%s", message, extra=fields(namespace, target=name, reason=reason))

    def is_over(self) -> None:
        self._said = ""
