"""The reconciler: one task for each QueueRecovery that is not finished, started and fed by the watch's events."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from queue_recovery.api.reasons import Reason
from queue_recovery.controller.logs import place_of
from queue_recovery.controller.resource import KubernetesResource, is_finished
from queue_recovery.controller.world import KubernetesWorld
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.work import report, work
from queue_recovery.recovery.world import Gone

_LOG = logging.getLogger(__name__)
_RETRY = 10.0
"""Seconds until a task that an error has ended is tried again."""

_LAG = 10.0
"""Seconds that the watch may lag behind the last write to a resource; it is read again after that."""


class Reconciler:
    """Brings each recovery to its end. Of a recovery that is finished nothing is kept in memory.

    Not a kopf daemon: that puts a finalizer on every recovery, also on one that has touched nothing.
    """

    def __init__(
        self,
        resource: Callable[[Mapping[str, Any]], KubernetesResource],
        world: Callable[[str], KubernetesWorld],
        working: Callable[[KubernetesResource], AbstractContextManager[None]],
    ) -> None:
        """Take what the tasks need.

        Args:
            resource: returns the recovery of a body.
            world: returns the surroundings of recoveries of a namespace.
            working: is entered while a recovery is being reconciled.
        """
        self._resource = resource
        self._world = world
        self._working = working
        self._watched: dict[str, _Watched] = {}
        """The recoveries that have a task, by UID."""

    def receive(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """Take in a watch event: start the recovery's task, or tell it what has changed."""
        metadata = body["metadata"]
        if gone or "completionTime" in body.get("status", {}):
            self._world(metadata["namespace"]).see_end(metadata["name"])
        watched = self._watched.get(metadata["uid"])
        if watched is not None:
            watched.receive(body, gone=gone)
        elif not gone and not is_finished(body):
            watched = self._watched[metadata["uid"]] = _Watched(body)
            watched.task = asyncio.ensure_future(self._reconcile(metadata["uid"], watched))

    async def aclose(self) -> None:
        """End all tasks at once, as a death of the process would; a recovery that is reported later gets a new one."""
        tasks = [watched.task for watched in self._watched.values() if watched.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._watched.clear()

    async def _reconcile(self, uid: str, watched: "_Watched") -> None:
        try:
            while not watched.is_over:
                done = await self._attempt(watched)
                if done is not None:
                    await watched.catch_up(done)
                    if watched.gone:
                        return
                elif not watched.is_over:
                    await asyncio.sleep(_RETRY)
        finally:
            # Nothing is awaited after the last look at `is_over`: what is reported from now on starts another task.
            del self._watched[uid]

    async def _attempt(self, watched: "_Watched") -> int | None:
        """Do all there is to do; return the generation for which that was done, or None when it has not been."""
        where = "{namespace}/{name}".format_map(watched.body["metadata"])
        try:
            resource = watched.resource = self._resource(watched.body)
            with self._working(resource):
                # An earlier version added it right away, and an earlier process may have died after it had added it.
                await resource.release()
                await work(resource, self._world(resource.namespace))
                await resource.release()
                return resource.observed_generation
        except Gone:
            watched.is_ended = True
        except RecoveryError as error:
            _LOG.warning("%s: %s; trying again in %.0f s", where, error, _RETRY)
        except asyncio.CancelledError:
            _LOG.info("%s: stopped; the next process goes on from here", where)
            raise
        except Exception as error:  # noqa: BLE001  # any error is tried again
            _LOG.error("%s: unexpected %s; please report it; trying again in %.0f s", where, place_of(error), _RETRY)
            if watched.resource is not None:
                await self._report(watched.resource, error)
            # What cannot even be read holds nothing that this version has written.
            watched.is_ended = watched.gone and watched.resource is None
        finally:
            watched.resource = None
        return None

    async def _report(self, resource: KubernetesResource, error: Exception) -> None:
        message = (
            f"the operator has met an unexpected {type(error).__name__} and tries again every {_RETRY:.0f} s; please "
            "report it with the operator's log"
        )
        with suppress(Exception):  # the log has it; what is unexpected may be the status itself
            await report(resource, self._world(resource.namespace), Reason.INTERNAL_ERROR, message)


class _Watched:
    """A recovery that has a task, as the watch last told of it."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self.gone = False
        """Whether the resource is not there any more, so that no later event will tell of it."""
        self.is_ended = False
        """Whether the resource is not there any more, and what it held is in order."""
        self.task: asyncio.Task[None] | None = None
        self.resource: KubernetesResource | None = None
        """Told of the events while it is being worked on."""
        self._received = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self.is_ended or is_finished(self.body)

    def receive(self, body: Mapping[str, Any], *, gone: bool) -> None:
        self.body, self.gone = body, self.gone or gone
        self._received.set()
        if self.resource is not None:
            self.resource.receive(body, gone=gone)

    async def catch_up(self, generation: int) -> None:
        """Wait until the watch shows that it is over, or a newer generation: its events lag behind the last write."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAG):
                while not (self.is_over or self.gone) and self.body["metadata"]["generation"] <= generation:
                    self._received.clear()
                    await self._received.wait()
