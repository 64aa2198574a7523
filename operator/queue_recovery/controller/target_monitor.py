"""The monitor of QueueTargets: checks each one at an interval and after a change."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi
from pydantic import ValidationError

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.api.conditions import ConditionType, is_true
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.event_poster import Event
from queue_recovery.controller.logs import fields, place_of
from queue_recovery.controller.metrics import Metrics
from queue_recovery.controller.proposal_writer import ProposalWriter
from queue_recovery.controller.proposals import CheckedTarget, Outlines, Proposals
from queue_recovery.controller.settings import Settings
from queue_recovery.controller.stuck_watch import StuckWatch
from queue_recovery.controller.target_check import check_target
from queue_recovery.controller.target_events import Announce, Announcer
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.origins import with_origin
from queue_recovery.recovery.pace import Pace
from queue_recovery.workers.api_errors import translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS

_LOG = logging.getLogger(__name__)
_PLURAL: Final = "queuetargets"
_CHANGED: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)
"""The target was deleted or changed since: the next check sees it."""

_CHECKS_PER_SECOND: Final = 25.0
_CHECKS_AT_ONCE: Final = 10
"""Checks that begin; each takes its own time, so a server that does not answer delays no other target."""

Key = tuple[str, str]
"""Namespace and name."""


async def store_status(api: ApiClient, body: Mapping[str, Any], status: QueueTargetStatus) -> bool:
    """Write a target's status; return False where the target has changed since.

    Raises RecoveryError.
    """
    metadata = body["metadata"]
    # Recoveries write `ledger`, which this status has as the target was received.
    known = [{"op": "test", "path": "/status/ledger", "value": status.ledger}] if "status" in body else []
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        *known,
        {"op": "add", "path": "/status", "value": status.model_dump(mode="json", by_alias=True, exclude_none=True)},
    ]
    try:
        with translated_failures(expected=_CHANGED):
            await CustomObjectsApi(api).patch_namespaced_custom_object_status(
                GROUP,
                VERSION,
                metadata["namespace"],
                _PLURAL,
                metadata["name"],
                patch,
                _content_type="application/json-patch+json",
                _request_timeout=REQUEST_SECONDS,
            )
    except ApiException:
        return False
    return True


@dataclass(eq=False)
class _Monitored:
    body: Mapping[str, Any]
    """The target as last received."""
    proposals: Proposals
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    watch: StuckWatch = field(default_factory=StuckWatch)
    """The last looks at its queues."""


class TargetMonitor:
    """Keeps one task for each target, started and ended by what the watch reports.

    Not a kopf daemon or timer: those put a finalizer on a resource, and the operator must never hold up the deletion of
    a target.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        *,
        environment: Callable[[str], KubernetesEnvironment],
        store: Callable[[Mapping[str, Any], QueueTargetStatus], Awaitable[bool]],
        announce: Announce,
        writer: ProposalWriter,
        outlines: Outlines,
    ) -> None:
        """Take what the checks need.

        Args:
            settings: the intervals.
            metrics: shows what each check has found.
            environment: returns the environment of a namespace.
            store: writes the status of a target with this body, as `store_status`.
            announce: posts an event.
            writer: creates the recoveries that are proposed.
            outlines: returns the recoveries of a namespace that proposals have to know.
        """
        self._interval = settings.target_refresh_seconds
        self._retention_interval = settings.retention_interval_seconds
        self._metrics = metrics
        self._environment = environment
        self._store = store
        self._announce = announce
        self._announcer = Announcer(announce)
        self._writer = writer
        self._outlines = outlines
        self._pace = Pace(_CHECKS_PER_SECOND, at_once=_CHECKS_AT_ONCE)
        self._targets: dict[Key, _Monitored] = {}

    def receive(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """Handle a watch event: begin, repeat or end the checks of a target."""
        metadata = body["metadata"]
        key = (metadata["namespace"], metadata["name"])
        self._environment(key[0]).observe_target(key[1], None if gone else (metadata["uid"], metadata["generation"]))
        if gone:
            self._forget(key)
            return
        target = self._targets.get(key)
        if target is None:
            proposals = Proposals(self._writer, self._outlines, refused=partial(self._refused, key))
            target = self._targets[key] = _Monitored(body, proposals)
            target.task = asyncio.ensure_future(self._monitor(key, target))
        elif target.body["metadata"]["generation"] != metadata["generation"]:
            target.wake.set()
        target.body = body

    def check_now(self, namespace: str, name: str, *, recovered: str | None = None) -> None:
        """Check a target now, because something has just changed in it.

        `recovered`: the queue that a recovery has changed, or `*`; what was seen of it before counts no more.
        """
        target = self._targets.get((namespace, name))
        if target is not None:
            if recovered is not None:
                target.watch.forget(recovered)
            target.wake.set()

    async def aclose(self) -> None:
        """End all tasks."""
        tasks = [self._forget(key) for key in list(self._targets)]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)

    def _forget(self, key: Key) -> "asyncio.Task[None] | None":
        target = self._targets.pop(key, None)
        if target is None or target.task is None:
            return None
        target.task.cancel()
        self._metrics.target_gone(*key)
        self._announcer.forget(*key)
        return target.task

    async def _monitor(self, key: Key, target: _Monitored) -> None:
        expired = -math.inf
        failure = _Failure(key)
        while True:
            await self._pace.turn()
            target.wake.clear()
            spec = _spec_of(target.body, failure)
            # A new environment reads all again. It is held until the next check: caches live as long as one uses them.
            environment = self._environment(key[0])
            try:
                reachable = spec is not None and await self._refresh(key, target, spec, environment)
                if spec is not None and reachable and time.monotonic() - expired >= self._retention_interval:
                    await environment.expire_quarantines(spec)
                    expired = time.monotonic()
            except RecoveryError as error:
                failure.report(logging.WARNING, with_origin(error, spec).message, reason=error.reason)
            except Exception as error:  # noqa: BLE001  # the next check may succeed
                failure.report(logging.ERROR, f"unexpected {place_of(error)}. Please report it")
            else:
                if spec is not None:
                    failure.is_over()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await target.wake.wait()

    async def _refresh(
        self, key: Key, target: _Monitored, spec: QueueTargetSpec, environment: KubernetesEnvironment
    ) -> bool:
        """Check a target and write its status; return whether its broker can be reached."""
        body = target.body
        old = QueueTargetStatus.model_validate(body.get("status", {}))
        generation = body["metadata"]["generation"]
        checked = CheckedTarget(namespace=key[0], name=key[1], spec=spec, stored=old, environment=environment)
        propose = partial(target.proposals.propose, checked) if spec.policy.propose else None
        status = await check_target(spec, old, environment, generation=generation, watch=target.watch, propose=propose)
        self._metrics.target_checked(*key, status)
        is_reachable = is_true(status.conditions, ConditionType.BROKER_REACHABLE)
        if await self._store(body, status):
            if is_reachable:
                environment.observe_look(key[1])
            needs_approval = spec.policy.approval == "Required"
            self._announcer.stored(*key, body["metadata"]["uid"], old, status, needs_approval=needs_approval)
        return is_reachable

    def _refused(self, key: Key, message: str) -> None:
        """Announce that a recovery could not be proposed."""
        target = self._targets.get(key)
        if target is not None:
            event = Event(type="Warning", reason=Reason.PROPOSAL_REFUSED, note=message)
            self._announce(*key, target.body["metadata"]["uid"], event)


class _Failure:
    """Why a target cannot be checked, logged once although each check meets it."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._reported = ""

    def report(self, level: int, message: str, *, reason: str = "") -> None:
        if message != self._reported:
            self._reported = message
            namespace, name = self._key
            _LOG.log(level, "%s", message, extra=fields(namespace, target=name, reason=reason))

    def is_over(self) -> None:
        self._reported = ""


def _spec_of(body: Mapping[str, Any], failure: _Failure) -> QueueTargetSpec | None:
    try:
        return QueueTargetSpec.model_validate(body["spec"])
    except ValidationError:
        message = "the spec does not fit this operator's version. Apply its CRDs: kubectl apply -k crds/"
        failure.report(logging.WARNING, message)
        return None
