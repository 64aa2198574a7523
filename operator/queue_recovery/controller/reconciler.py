"""The reconciler: a task for each active recovery, a record for each idle one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from queue_recovery.api.reasons import Reason
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.logs import fields, place_of
from queue_recovery.controller.recovery_outline import RecoveryOutline, outline_of, reported_proposals
from queue_recovery.controller.resource import KubernetesResource, has_begun, is_deleted, is_finished
from queue_recovery.controller.watched_recovery import WatchedRecovery, is_relevant
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.resource import Gone
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.reconcile import reconcile, report
from queue_recovery.recovery.turn import Turn

_LOG = logging.getLogger(__name__)
_RETRY = 10.0
"""Seconds until a reconciliation that an error has ended is tried again."""

_NOT_READ = Requeue(generation=0, seconds=3600, for_turn=True)
"""For a recovery that has not been read yet: any event of it is relevant."""


class MakesResource(Protocol):
    """Makes a recovery from the body of its resource."""

    def __call__(self, body: Mapping[str, Any], *, just_read: bool) -> KubernetesResource:
        """Return the recovery; `just_read`: the body was read just now."""
        ...


class Reconciler:
    """Brings each recovery to its end; a finished one takes no memory.

    A recovery that has changed nothing yet and waits for its user or its turn has no task: thousands may wait for days.

    Not a kopf daemon: that puts a finalizer on every recovery, even on one that has changed nothing.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        read: Callable[[str, str, str], Awaitable[Mapping[str, Any]]],
        resource: MakesResource,
        environment: Callable[[str], KubernetesEnvironment],
        reconciled: Callable[[KubernetesResource], None],
    ) -> None:
        """Take what the tasks need.

        Args:
            admission: the slots and queues that all recoveries share.
            read: returns a recovery's body by its namespace, name and UID; raises Gone, or RecoveryError.
            resource: returns the recovery of a body.
            environment: returns the environment of a namespace.
            reconciled: called with a recovery after each reconciliation, also after one that has failed.
        """
        self._admission = admission
        self._read = read
        self._resource = resource
        self._environment = environment
        self._reconciled = reconciled
        self.watched: dict[str, WatchedRecovery] = {}
        """The recoveries that are not finished, by UID."""
        self._targets: dict[tuple[str, str], tuple[str, int, frozenset[str]]] = {}
        """UID and generation of each target, and the proposals that its status names, by namespace and name."""
        self._failed_proposals: dict[str, tuple[str, RecoveryOutline]] = {}
        """Proposals that have ended although nobody has started them, by UID, with their namespaces."""

    @property
    def active(self) -> int:
        """How many recoveries are not finished."""
        return len(self.watched)

    def outlines(self, namespace: str) -> Sequence[RecoveryOutline]:
        """Return the recoveries of a namespace that are not finished, and the proposals that nobody has started."""
        unfinished = [watched.outline for watched in self.watched.values() if watched.namespace == namespace]
        failed = [outline for of, outline in self._failed_proposals.values() if of == namespace]
        return [*unfinished, *failed]

    def receive(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """Handle a watch event: start the recovery's task, or pass the event to it."""
        metadata = body["metadata"]
        uid = metadata["uid"]
        outline, is_over = outline_of(body), "completionTime" in body.get("status", {})
        if gone or is_over:
            self._environment(metadata["namespace"]).observe_end(metadata["name"])
        if is_over and outline.proposed_for and not gone:
            self._failed_proposals[uid] = metadata["namespace"], outline
        else:
            self._failed_proposals.pop(uid, None)
        watched = self.watched.get(uid)
        if watched is None:
            if gone or is_finished(body):
                return
            turn = Turn(self._admission, metadata["namespace"])
            watched = self.watched[uid] = WatchedRecovery(metadata["namespace"], metadata["name"], uid, turn, outline)
            if has_begun(body):
                _log_continuation(body)
            elif not (is_deleted(body) or turn.may_prepare()):
                self._wait(watched, _NOT_READ)
                return
        else:
            watched.outline = outline
            if watched.waiting is not None and not is_relevant(body, watched.waiting, gone=gone):
                return
        watched.receive(body, gone=gone)
        self._start(watched)

    def receive_target(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """Handle a watch event of a target: an edit lets recoveries that await an approval ask for it again.

        A suspended proposal says in its message whether its cause is over.
        """
        metadata = body["metadata"]
        key = metadata["namespace"], metadata["name"]
        reported = reported_proposals(body)
        if reported is None:
            *_, reported = self._targets.get(key, (frozenset(),))
        version = metadata["uid"], metadata["generation"], reported
        if gone:
            self._targets.pop(key, None)
        elif self._targets.get(key) != version:
            self._targets[key] = version
            for watched in [one for one in self.watched.values() if one.namespace == key[0]]:
                watched.is_target_changed = True
                if watched.waiting is not None and watched.waiting.target == key[1]:
                    self._go_on(watched)

    async def aclose(self) -> None:
        """End all tasks at once, as a crash of the process would."""
        for watched in self.watched.values():
            watched.stop_waiting()  # a slot that a task gives back would start a recovery that waits for it
        tasks = [watched.task for watched in self.watched.values() if watched.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for watched in self.watched.values():
            watched.turn.leave()
        self.watched.clear()
        self._failed_proposals.clear()

    def _start(self, watched: WatchedRecovery) -> None:
        watched.stop_waiting()
        if watched.task is None:
            watched.task = asyncio.ensure_future(self._reconcile(watched))

    def _wait(self, watched: WatchedRecovery, waiting: Requeue) -> None:
        """Keep only what is needed to go on at an event, at its turn or at its deadline."""
        watched.waiting, watched.body, watched.attempted = waiting, None, None
        watched.turn.call_when_granted(partial(self._go_on, watched))
        self._set_timer(watched, asyncio.get_running_loop().time() + waiting.seconds)

    def _set_timer(self, watched: WatchedRecovery, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        next_report = loop.time() + watched.turn.report_interval
        when = deadline if watched.turn.awaits is None else min(deadline, next_report)
        watched.timer = loop.call_at(when, self._look_at, watched, deadline)

    def _look_at(self, watched: WatchedRecovery, deadline: float) -> None:
        """Go on with a recovery at its deadline, or when its place in line has changed."""
        if asyncio.get_running_loop().time() >= deadline:
            self._start(watched)
        elif watched.turn.has_moved:
            self._go_on(watched)
        if watched.waiting is not None:
            self._set_timer(watched, deadline)

    def _go_on(self, watched: WatchedRecovery) -> None:
        """Go on with a recovery that was granted its turn, once it may prepare."""
        if watched.waiting is None:
            return
        if watched.turn.may_prepare():
            self._start(watched)
        else:
            watched.turn.call_when_granted(partial(self._go_on, watched))

    async def _reconcile(self, watched: WatchedRecovery) -> None:
        waiting = None
        try:
            waiting = await self._until_it_waits(watched)
        finally:
            # Nothing is awaited after the last check: an event from now on starts another task.
            watched.task = None
            if waiting is None:
                watched.turn.leave()
                del self.watched[watched.uid]
            else:
                self._wait(watched, waiting)

    async def _until_it_waits(self, watched: WatchedRecovery) -> Requeue | None:
        """Reconcile until the recovery is over, or has to wait."""
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

    async def _attempt(self, watched: WatchedRecovery) -> Requeue | int | None:
        """Reconcile once.

        Returns how the recovery waits, or the generation that was reconciled, or None after a failure.
        """
        about = fields(watched.namespace, recovery=watched.name)
        waiting = None
        watched.is_target_changed, watched.attempted = False, watched.body
        try:
            body = watched.body or await self._read(watched.namespace, watched.name, watched.uid)
            resource = watched.resource = self._resource(body, just_read=watched.body is None)
            # An earlier version added it at once, and an earlier process may have crashed after adding it.
            await resource.release()
            waiting = await reconcile(resource, self._environment(resource.namespace), watched.turn)
            if waiting is None:
                await resource.release()
        except Gone:
            watched.is_ended = True
        except RecoveryError as error:
            _LOG.warning("%s (next try in %.0f s)", error.message, _RETRY, extra={**about, "reason": error.reason})
        except asyncio.CancelledError:
            _LOG.info("stopped; the next leader continues from here", extra=about)
            raise
        except Exception as error:  # noqa: BLE001  # any error is tried again
            about = {**about, "reason": Reason.INTERNAL_ERROR}
            _LOG.error("unexpected %s. Please report it (next try in %.0f s)", place_of(error), _RETRY, extra=about)
            if watched.resource is not None:
                await self._report(watched, watched.resource, error)
            # A resource that cannot be parsed has nothing that this version has written.
            watched.is_ended = watched.gone and watched.resource is None
        else:
            return resource.observed_generation if waiting is None else waiting
        finally:
            if watched.resource is not None and waiting is None:
                self._reconciled(watched.resource)
            watched.resource = None
        return None

    async def _report(self, watched: WatchedRecovery, resource: KubernetesResource, error: Exception) -> None:
        message = (
            f"the operator met an unexpected {type(error).__name__}. Trying again every {_RETRY:.0f} s; please report "
            "it with the operator's log"
        )
        with suppress(Exception):  # the log has it; the status itself may be what is unexpected
            await report(resource, self._environment(resource.namespace), watched.turn, Reason.INTERNAL_ERROR, message)


def _log_continuation(body: Mapping[str, Any]) -> None:
    """Log that a recovery is continued which an earlier process has begun."""
    metadata, status = body["metadata"], body["status"]
    if "completionTime" not in status:
        about = fields(metadata["namespace"], recovery=metadata["name"], phase=status.get("phase", ""))
        _LOG.info("continuing where the previous process stopped", extra=about)
