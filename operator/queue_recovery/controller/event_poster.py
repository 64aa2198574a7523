"""The events of recoveries and targets, posted to the API server in their order."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time_ns
from typing import Final, Literal
from uuid import uuid4

from kubernetes.aio.client import (
    ApiClient,
    EventsV1Api,
    EventsV1Event,
    V1ObjectMeta,
    V1ObjectReference,
)

from queue_recovery.api.base import API_VERSION
from queue_recovery.controller.logs import fields
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.wording import counted
from queue_recovery.workers.api_errors import translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS

_LOG = logging.getLogger(__name__)
_LONGEST_NOTE: Final = 1024
"""Characters that events.k8s.io accepts."""

Kind = Literal["QueueRecovery", "QueueTarget"]

_ACTIONS: Final[Mapping[Kind, str]] = {"QueueRecovery": "Recover", "QueueTarget": "Check"}
"""What the operator does with an object of that kind."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A Kubernetes event, without its object."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


class EventPoster:
    """Posts events in their order, in the background."""

    def __init__(self, api: ApiClient, instance: str) -> None:
        """Take the connection, and the name of this process for events."""
        self._api = EventsV1Api(api)
        self._instance = instance
        self._queue: asyncio.Queue[tuple[Mapping[str, str], EventsV1Event]] = asyncio.Queue(maxsize=1000)

    def post(self, event: Event, *, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Queue an event about an object.

        It is dropped when too many are queued, because the API server has been away for long.
        """
        body = EventsV1Event(
            # kubectl shows events of one second in the order of their names.
            metadata=V1ObjectMeta(name=f"{name[:200]}.{time_ns():016x}{uuid4().hex[:4]}", namespace=namespace),
            event_time=datetime.now(UTC),
            reporting_controller="queuerecovery.dev/operator",
            reporting_instance=self._instance,
            action=_ACTIONS[kind],
            reason=event.reason,
            type=event.type,
            note=event.note[:_LONGEST_NOTE],
            regarding=V1ObjectReference(api_version=API_VERSION, kind=kind, namespace=namespace, name=name, uid=uid),
        )
        names = {"recovery" if kind == "QueueRecovery" else "target": name}
        about = fields(namespace, **names, reason=event.reason)
        try:
            self._queue.put_nowait((about, body))
        except asyncio.QueueFull:
            _LOG.warning("the event is dropped: too many are waiting to be posted", extra=about)

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            about, body = await self._queue.get()
            try:
                with translated_failures():
                    await self._api.create_namespaced_event(about["namespace"], body, _request_timeout=REQUEST_SECONDS)
            except RecoveryError as error:
                _LOG.warning("the event was not posted: %s", error.message, extra=about)
            finally:
                self._queue.task_done()

    async def flush(self, seconds: float) -> None:
        """Wait until all events are posted, at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            _LOG.warning("%s not posted before the end", counted(self._queue.qsize(), "event"))
