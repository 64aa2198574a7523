"""A recovery that is being reconciled, with the objects and connections that its steps share."""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from typing_extensions import override

from queue_recovery.api.base import EVERY_QUEUE
from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.ledger import ledger_key
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending
from queue_recovery.api.restore_from import RestoreFrom
from queue_recovery.api.target import QueueSpec, QueueTargetSpec
from queue_recovery.recovery.best_effort import best_effort
from queue_recovery.recovery.decide import deadline
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Broker, JobStore, QueueRun, Restore, Run, Worker
from queue_recovery.recovery.ports.ledger import Ledger
from queue_recovery.recovery.status import StoredStatus
from queue_recovery.recovery.target_snapshot import as_started
from queue_recovery.recovery.turn import Turn
from queue_recovery.recovery.wording import quoted

_LOCK_REASONS = frozenset({Reason.LOCKED, Reason.TAKEN_OVER})

_EXISTENCE_TTL = timedelta(minutes=5)
"""How long the answer whether a holder exists is used; no watch covers other namespaces."""


@dataclass(kw_only=True)
class Recovery(StoredStatus):
    """A recovery that is being reconciled. Only `status` survives the end of the process."""

    turn: Turn
    """The recovery's position in queues, and its slots."""
    drained: Sequence[Worker] | None = field(default=None, init=False)
    """The workers as this process observed them drained; None: not observed."""
    looked: bool = field(default=False, init=False)
    """Whether the previous step has read the workers, so that the drain can use its watch."""
    last_seen: dict[str, datetime] = field(default_factory=dict, init=False)
    """When this process last observed a live pod, by the pod's address."""
    is_plan_outdated: bool = field(default=False, init=False)
    """Whether another recovery has held the lock since: it may have enqueued planned jobs, or returned messages."""
    scaled_back: bool = field(default=False, init=False)
    """Whether the ending has scaled the workers back, or refused late restarts."""
    still_paused: frozenset[str] | None = field(default=None, init=False)
    """Names of the ScaledObjects that the ending could not unpause; None: it has not tried."""
    cluster_uid: str | None = field(default=None, init=False)
    """UID of the cluster; None: not read, or the operator may not read it."""
    _target: QueueTargetSpec | None = field(default=None, init=False)
    _broker: Broker | None = field(default=None, init=False)
    _job_store: JobStore | None = field(default=None, init=False)
    _ledger: Ledger | None = field(default=None, init=False)
    _news: "asyncio.Future[None] | None" = field(default=None, init=False)
    _existing: dict[tuple[str, bool], tuple[datetime, bool | None]] = field(default_factory=dict, init=False)
    """Whether other recoveries exist, by UID, and when that was read."""

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.resource.namespace}/{self.resource.name}"

    @property
    def covered(self) -> Sequence[str]:
        """The queues that the recovery covers: the one in its spec, or all of its plan.

        The target's current list is not used: runs that were opened have to be closed, and only planned queues are
        touched.
        """
        if self.spec.queue != EVERY_QUEUE:
            return [self.spec.queue]
        return sorted(self.status.plan.queues if self.status.plan else [])

    @property
    def identities(self) -> Sequence[Run]:
        """The recovery's identity in the broker, for each queue that it covers."""
        if self.spec.queue != EVERY_QUEUE:
            return [self._identity(self.resource.uid, self.spec.queue)]
        return [self._identity(f"{self.resource.uid}/{queue}", queue) for queue in self.covered]

    async def run(self) -> QueueRun:
        """Return the recovery's run in the broker."""
        return (await self.broker()).run(*self.identities)

    @override
    async def wait_for(self, reason: str, message: str) -> None:
        self.is_plan_outdated |= reason in _LOCK_REASONS  # even if another reason replaces it in the status
        await super().wait_for(reason, message)

    def _identity(self, uid: str, queue: str) -> Run:
        return Run(
            uid=uid,
            name=self.full_name,
            cluster=self.environment.cluster,
            queue=queue,
            select=self.spec.purge.select,
            take_unreadable=self.spec.purge.take_unreadable,
            restore=self.restore,
            retention_seconds=self.spec.purge.retention_seconds,
            cluster_uid=self.cluster_uid,
        )

    @property
    def restore(self) -> Restore | None:
        """What to put back of an earlier recovery's messages; None before the plan."""
        wanted, planned = self.spec.restore_from, self.status.restored
        return None if wanted is None or planned is None else wanted_from(wanted, planned.uid)

    @property
    def deadline(self) -> datetime | None:
        """The deadline of the current phase; None: the recovery is suspended before its drain."""
        return deadline(self.spec, self.status, created=self.resource.created)

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, at least 0; infinite if there is none."""
        return math.inf if self.deadline is None else max(0.0, (self.deadline - self.environment.now()).total_seconds())

    @property
    def is_resumed(self) -> bool:
        """Whether the last reported reason is that the recovery is suspended."""
        return self._last_reason == Reason.SUSPENDED

    @property
    def has_waited_for_lock(self) -> bool:
        """Whether the last reported reason is a lock of another recovery, or a lock taken over."""
        return self._last_reason in _LOCK_REASONS

    @property
    def _last_reason(self) -> str | None:
        last = find(self.status.conditions, ConditionType.RECONCILING)
        return None if last is None else last.reason

    @property
    def takes_messages(self) -> bool:
        """Whether the recovery purges the queue, so that workers have to be stopped."""
        return self.spec.purge.mode == "Quarantine" and self.spec.restore_from is None

    @property
    def scales_workers(self) -> bool:
        """Whether the operator itself stops and starts the workers."""
        return self.takes_messages and self.spec.restart.strategy == "Recreate"

    @property
    def restarts_workers(self) -> bool:
        """Whether the operator restarts the workers without stopping them first."""
        return self.spec.restart.annotate and not self.takes_messages and self.spec.restore_from is None

    @property
    def changes_workers(self) -> bool:
        """Whether the workers' Deployments are changed, by the operator or, with `Manual`, by the user."""
        return self.takes_messages or self.restarts_workers

    @property
    def known_target(self) -> QueueTargetSpec | None:
        """The recovery's target, if it was read."""
        return self._target

    async def target(self) -> QueueTargetSpec:
        """Return the recovery's target, read once; as it was when the recovery started, where that matters."""
        if self._target is None:
            read = await self.environment.target(self.spec.target_ref.name)
            self._target = as_started(read, self.status.target_snapshot)
        return self._target

    def forget_target(self) -> None:
        """Read the target again when it is needed next."""
        self._target = None

    async def has_target_changed(self) -> bool:
        """Read the target again, and tell whether it was edited since it was read."""
        before = self._target
        self.forget_target()
        return await self.target() != before

    async def recoverable(self) -> Sequence[str]:
        """Return the statuses of jobs that may be enqueued."""
        store = (await self.target()).job_store
        return [] if store is None else store.mongodb.statuses.recoverable

    async def queues(self) -> Mapping[str, QueueSpec]:
        """Return the target's entries for the queues that the recovery covers, or will cover once planned.

        Raises RecoveryError (`QueueNotInTarget`), even for the queue of a job.
        """
        target = await self.target()
        listed = {queue.name: queue for queue in target.queues}
        covered = sorted(self.covered or listed)
        for name in [*covered, *(job.queue for job in self.spec.jobs if job.queue is not None)]:
            if name not in listed:
                raise RecoveryError(
                    Reason.QUEUE_NOT_IN_TARGET,
                    f'target "{self.spec.target_ref.name}" has no queue "{name}". It has {quoted(sorted(listed))}. '
                    "Create a recovery with one of these, or first add the queue to the target",
                )
        return {name: listed[name] for name in covered}

    async def broker(self) -> Broker:
        """Return the target's broker, connected once."""
        if self._broker is None:
            self._broker = await self.environment.broker(await self.target())
        return self._broker

    async def job_store(self) -> JobStore:
        """Return the target's job store, connected once; raises RecoveryError (`JobStoreNotConfigured`)."""
        if self._job_store is None:
            target = await self.target()
            if target.job_store is None:
                raise RecoveryError(
                    Reason.JOB_STORE_NOT_CONFIGURED,
                    f'jobs are listed by id, but target "{self.spec.target_ref.name}" has no jobStore. Write the jobs '
                    "out with task and args, or add a jobStore to the target",
                )
            self._job_store = await self.environment.job_store(target)
        return self._job_store

    @property
    def ledger(self) -> Ledger:
        """The entry of the recovery's name and spec in the ledger of its namespace."""
        if self._ledger is None:
            key = ledger_key(self.resource.name, self.spec)
            self._ledger = self.environment.ledger(self.spec.target_ref.name, key)
        return self._ledger

    async def exists(self, name: str, uid: str, *, unfinished: bool = False) -> bool | None:
        """Tell whether the recovery of that `namespace/name` and UID exists; None: it is not possible to determine.

        With `unfinished`, one that has ended counts as gone.
        The answer is read again after a change of an object that this recovery has read, and after `_EXISTENCE_TTL`.
        """
        known = self._existing.get((uid, unfinished))
        if known is None or self.environment.now() - known[0] > _EXISTENCE_TTL:
            known = self._existing[uid, unfinished] = (
                self.environment.now(),
                await self.environment.exists(name, uid, unfinished=unfinished),
            )
        return known[1]

    async def disconnect(self) -> None:
        """Close the connections: the next use connects again, to the same addresses."""
        connections = self._broker, self._job_store
        self._broker = self._job_store = None
        for connection in connections:
            if connection is not None:
                with best_effort(self, "closing a connection"):
                    await connection.aclose()

    async def forget(self) -> None:
        """Drop all objects read from Kubernetes and all connections; the next use reads them again."""
        await self.disconnect()
        self._target = self._ledger = None
        self._existing.clear()
        if self._news is not None:
            self._news.cancel()
            await asyncio.wait({self._news})
            self._news = None

    def news(self) -> "asyncio.Future[None]":
        """Return a future that is done once an object that was read from Kubernetes has changed."""
        if self._news is None:
            self._news = asyncio.ensure_future(self.environment.changed(workers=True))
        return self._news

    def join_lock_queues(self, queues: Iterable[str]) -> None:
        """Join the queues for the locks of these queues."""
        locks = [(self.resource.namespace, self.spec.target_ref.name, queue) for queue in queues]
        self.turn.join_lock_queues(locks, created=self.resource.created, name=self.full_name)

    @property
    def still_drained(self) -> Sequence[Worker] | None:
        """The drained workers, if no watch event has come since; None: read them again.

        The watch may lag behind, so this does not prove that they were drained at the boundary.
        """
        return self.drained if self._news is not None and not self._news.done() else None


def wanted_from(wanted: RestoreFrom, uid: str) -> Restore:
    """Return what `restoreFrom` selects of the earlier recovery with this UID."""
    task_ids = None if wanted.task_ids is None else frozenset(wanted.task_ids)
    return Restore(uid=uid, task_ids=task_ids, as_new=wanted.form == "New")


def failed(error: RecoveryError) -> Ending:
    """Return the ending of a recovery that fails with an error."""
    return Ending(phase="Failed", reason=error.reason, message=error.message)
