"""The reconciler: a task for each QueueRecovery that something is done for, and a few words about each that waits."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from queue_recovery.api.reasons import Reason
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.logs import fields, place_of
from queue_recovery.controller.resource import KubernetesResource, has_begun, is_deleted, is_finished
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.resource import Gone
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.reconcile import reconcile, report
from queue_recovery.recovery.turn import Turn

_LOG = logging.getLogger(__name__)
_RETRY = 10.0
"""Seconds until a task that an error has ended is tried again."""

_LAG = 10.0
"""Seconds that the watch may lag behind the last write to a resource; it is read again after that."""

_NOT_READ = Requeue(generation=0, seconds=3600, for_turn=True)
"""How one waits that nobody has looked at yet; any event of it is news."""


class MakesResource(Protocol):
    """Makes a recovery of a resource's body."""

    def __call__(self, body: Mapping[str, Any], *, just_read: bool) -> KubernetesResource:
        """Return the recovery; `just_read`: the body is the answer to a request of now."""
        ...


class Reconciler:
    """Brings each recovery to its end. Of a recovery that is finished nothing is kept in memory.

    One that has begun nothing and waits for its user or its turn has no task: thousands of them may wait for days.

    Not a kopf daemon: that puts a finalizer on every recovery, also on one that has touched nothing.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        read: Callable[[str, str, str], Awaitable[Mapping[str, Any]]],
        resource: MakesResource,
        environment: Callable[[str], KubernetesEnvironment],
        worked: Callable[[KubernetesResource], None],
    ) -> None:
        """Take what the tasks need.

        Args:
            admission: what all recoveries share.
            read: returns a recovery's body by its namespace, name and UID; raises Gone, or Unavailable.
            resource: returns the recovery of a body; it is told whether that was read just now.
            environment: returns the surroundings of recoveries of a namespace.
            worked: is told of a recovery when all has been done that there was to do, or when that has failed.
        """
        self._admission = admission
        self._read = read
        self._resource = resource
        self._environment = environment
        self._worked = worked
        self._watched: dict[str, _Watched] = {}
        """The recoveries that are not finished, by UID."""

    @property
    def active(self) -> int:
        """How many recoveries are not finished."""
        return len(self._watched)

    def receive(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """Take in a watch event: start the recovery's task, or tell it what has changed."""
        metadata = body["metadata"]
        uid = metadata["uid"]
        if gone or "completionTime" in body.get("status", {}):
            self._environment(metadata["namespace"]).observe_end(metadata["name"])
        watched = self._watched.get(uid)
        if watched is None:
            if gone or is_finished(body):
                return
            turn = Turn(self._admission, metadata["namespace"])
            watched = self._watched[uid] = _Watched(metadata["namespace"], metadata["name"], uid, turn)
            if has_begun(body):
                _say_that_it_goes_on(body)
            elif not (is_deleted(body) or turn.may_prepare()):
                self._wait(watched, _NOT_READ)
                return
        elif watched.waiting is not None and not _is_news(body, watched.waiting, gone=gone):
            return
        watched.receive(body, gone=gone)
        self._start(watched)

    async def aclose(self) -> None:
        """End all tasks at once, as a death of the process would; a recovery that is reported later gets a new one."""
        for watched in self._watched.values():
            watched.stop_waiting()  # what a task gives back would start those that wait for it
        tasks = [watched.task for watched in self._watched.values() if watched.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for watched in self._watched.values():
            watched.turn.leave()
        self._watched.clear()

    def _start(self, watched: "_Watched") -> None:
        watched.stop_waiting()
        if watched.task is None:
            watched.task = asyncio.ensure_future(self._reconcile(watched))

    def _wait(self, watched: "_Watched", waiting: Requeue) -> None:
        """Keep nothing but what is needed to go on: at an event of it, at its turn, or at its deadline."""
        watched.waiting, watched.body = waiting, None
        watched.turn.call_when_granted(partial(self._go_on, watched))
        self._set_timer(watched, asyncio.get_running_loop().time() + waiting.seconds)

    def _set_timer(self, watched: "_Watched", deadline: float) -> None:
        loop = asyncio.get_running_loop()
        retold = loop.time() + watched.turn.retell_seconds
        when = deadline if watched.turn.awaits is None else min(deadline, retold)
        watched.timer = loop.call_at(when, self._look_at, watched, deadline)

    def _look_at(self, watched: "_Watched", deadline: float) -> None:
        """Go on with a recovery whose deadline is over, or that has to tell of others that come before it now."""
        if asyncio.get_running_loop().time() >= deadline:
            self._start(watched)
        elif watched.turn.has_moved:
            self._go_on(watched)
        if watched.waiting is not None:
            self._set_timer(watched, deadline)

    def _go_on(self, watched: "_Watched") -> None:
        """Go on with a recovery that has been granted what it waited for, when it may prepare."""
        if watched.waiting is None:
            return
        if watched.turn.may_prepare():
            self._start(watched)
        else:
            watched.turn.call_when_granted(partial(self._go_on, watched))

    async def _reconcile(self, watched: "_Watched") -> None:
        waiting = None
        try:
            waiting = await self._until_it_waits(watched)
        finally:
            # Nothing is awaited after the last look at it: what is reported from now on starts another task.
            watched.task = None
            if waiting is None:
                watched.turn.leave()
                del self._watched[watched.uid]
            else:
                self._wait(watched, waiting)

    async def _until_it_waits(self, watched: "_Watched") -> Requeue | None:
        """Reconcile until it is over, or has to wait."""
        while not watched.is_over:
            outcome = await self._attempt(watched)
            if isinstance(outcome, Requeue):
                if watched.may_wait(outcome):
                    return outcome
            elif outcome is not None:
                await watched.catch_up(outcome)
                if watched.gone:
                    return None
            elif not watched.is_over:
                watched.turn.leave()
                await asyncio.sleep(_RETRY)
        return None

    async def _attempt(self, watched: "_Watched") -> Requeue | int | None:
        """Do all there is to do now; return how it waits, the generation for which all was done, or None: it failed."""
        about = fields(watched.namespace, recovery=watched.name)
        waiting = None
        try:
            body = watched.body or await self._read(watched.namespace, watched.name, watched.uid)
            resource = watched.resource = self._resource(body, just_read=watched.body is None)
            # An earlier version added it right away, and an earlier process may have died after it had added it.
            await resource.release()
            waiting = await reconcile(resource, self._environment(resource.namespace), watched.turn)
            if waiting is None:
                await resource.release()
        except Gone:
            watched.is_ended = True
        except RecoveryError as error:
            _LOG.warning("%s; trying again in %.0f s", error.message, _RETRY, extra={**about, "reason": error.reason})
        except asyncio.CancelledError:
            _LOG.info("stopped; the next process goes on from here", extra=about)
            raise
        except Exception as error:  # noqa: BLE001  # any error is tried again
            about = {**about, "reason": Reason.INTERNAL_ERROR}
            _LOG.error("unexpected %s; please report it; trying again in %.0f s", place_of(error), _RETRY, extra=about)
            if watched.resource is not None:
                await self._report(watched, watched.resource, error)
            # What cannot even be read holds nothing that this version has written.
            watched.is_ended = watched.gone and watched.resource is None
        else:
            return resource.observed_generation if waiting is None else waiting
        finally:
            if watched.resource is not None and waiting is None:
                self._worked(watched.resource)
            watched.resource = None
        return None

    async def _report(self, watched: "_Watched", resource: KubernetesResource, error: Exception) -> None:
        message = (
            f"the operator has met an unexpected {type(error).__name__} and tries again every {_RETRY:.0f} s; please "
            "report it with the operator's log"
        )
        with suppress(Exception):  # the log has it; what is unexpected may be the status itself
            await report(resource, self._environment(resource.namespace), watched.turn, Reason.INTERNAL_ERROR, message)


class _Watched:
    """A recovery that is not finished, as the watch last told of it."""

    __slots__ = (
        *("_received", "body", "gone", "is_ended", "name", "namespace"),
        *("resource", "task", "timer", "turn", "uid", "waiting"),
    )

    def __init__(self, namespace: str, name: str, uid: str, turn: Turn) -> None:
        self.namespace, self.name, self.uid = namespace, name, uid
        self.turn = turn
        self.body: Mapping[str, Any] | None = None
        """Not kept while it waits: it is read again then."""
        self.gone = False
        """Whether the resource is not there any more, so that no later event will tell of it."""
        self.is_ended = False
        """Whether the resource is not there any more, and what it held is in order."""
        self.task: asyncio.Task[None] | None = None
        self.resource: KubernetesResource | None = None
        """Told of the events while it is being worked on."""
        self.waiting: Requeue | None = None
        """How it waits, while it has no task."""
        self.timer: asyncio.TimerHandle | None = None
        self._received: asyncio.Event | None = None
        """Set by an event while one is awaited."""

    @property
    def is_over(self) -> bool:
        return self.is_ended or (self.body is not None and is_finished(self.body))

    def receive(self, body: Mapping[str, Any], *, gone: bool) -> None:
        self.body, self.gone = body, self.gone or gone
        if self._received is not None:
            self._received.set()
        if self.resource is not None:
            self.resource.receive(body, gone=gone)

    def may_wait(self, waiting: Requeue) -> bool:
        """Tell whether nothing has happened since it was found to have to wait."""
        if waiting.for_turn and self.turn.awaits is None:
            return False
        return self.body is None or not _is_news(self.body, waiting, gone=self.gone)

    def stop_waiting(self) -> None:
        self.waiting = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    async def catch_up(self, generation: int) -> None:
        """Wait until the watch shows that it is over, or a newer generation: its events lag behind the last write."""
        received = self._received = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAG):
                while not (self.is_over or self.gone or self._generation > generation):
                    received.clear()
                    await received.wait()

    @property
    def _generation(self) -> int:
        """Of its spec, as the watch last told of it."""
        return 0 if self.body is None else int(self.body["metadata"]["generation"])


def _say_that_it_goes_on(body: Mapping[str, Any]) -> None:
    """Log that a recovery which an earlier process has begun goes on, unless only its newest spec is to be noted."""
    metadata, status = body["metadata"], body["status"]
    if "completionTime" not in status:
        about = fields(metadata["namespace"], recovery=metadata["name"], phase=status.get("phase", ""))
        _LOG.info("going on where the process before this one stopped", extra=about)


def _is_news(body: Mapping[str, Any], waiting: Requeue, *, gone: bool) -> bool:
    """Tell whether an event says more than what a recovery has written itself before it began to wait."""
    return gone or is_deleted(body) or has_begun(body) or body["metadata"]["generation"] > waiting.generation
