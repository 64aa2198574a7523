"""Giving back messages in `unacked` whose consumer is gone: exactly those, and each once. No message is taken."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, Plan, Redelivered
from queue_recovery.api.redeliver import RedeliverSpec
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.stuck_evidence import Running
from queue_recovery.recovery.approval import ask, save_plan
from queue_recovery.recovery.cause import hold_without_cause
from queue_recovery.recovery.checks import check_queues, workers_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.images import check_images
from queue_recovery.recovery.ledger import end_copy, mark_executed
from queue_recovery.recovery.locks import is_any_held
from queue_recovery.recovery.phase import moment, timestamp
from queue_recovery.recovery.ports import HeldMessage, QueueRun, Worker
from queue_recovery.recovery.progress import with_progress
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.settled import check_kinds, outlines_of
from queue_recovery.recovery.status import Update
from queue_recovery.recovery.steps import begun_after
from queue_recovery.recovery.stranded import (
    describe_left,
    describe_redelivery,
    is_stranded,
    refuse_unknown,
    running,
)
from queue_recovery.recovery.vanished import vanished
from queue_recovery.recovery.wording import counted
from queue_recovery.recovery.worker_changes import Awaited, WorkerChanges

_MOST_MESSAGES: Final = 10_000
"""Messages that are read before the workers are looked at, which is after the reading; they are in memory meanwhile."""

_MOST_BYTES: Final = 2**20
"""The same for what is kept of them: any client of the broker may end an entry in kilobytes of spaces."""

_MOST_PASSES: Final = 3
"""Passes over `unacked` until one finds nothing to give back, because a worker ended meanwhile."""

_REPORTED_WITHIN: Final = timedelta(seconds=30)
"""After the time by which a pod has to end: the kubelet kills it then, and reports its end some seconds later."""

Processes = Mapping[str, Running | None]
"""The running processes of each queue's workers, by queue; None: none is running."""


async def plan_redelivery(recovery: Recovery) -> None:
    """Write the plan of a redelivery to the status, or its ending; raise the error that prevents it."""
    if await end_copy(recovery):
        return
    queues = await recovery.queues()
    refs = workers_of(queues.values())
    check_kinds(recovery, refs)
    await recovery.environment.check_permissions(await recovery.target(), refs)
    await check_images(recovery, queues.values())
    broker = await recovery.broker()
    await broker.check()
    await check_queues(recovery, queues)
    if recovery.restarts_workers:
        await outlines_of(recovery, refs)
    was_held = await is_any_held(recovery, queues)
    stranded, left, processes = await _count(recovery)
    depths, _ = await broker.depths([*queues])
    made = Plan(
        time=timestamp(recovery.environment.now()),
        queues=[*queues],
        ready=sum(depths.values()),
        unacked=stranded + left,
        redeliver=stranded,
        leave=left,
        enqueue=0,
        skip=0,
        limits=(await recovery.target()).limits,
    )
    ends = (
        stranded == 0
        and not recovery.restarts_workers
        and not recovery.spec.suspend
        and not was_held
        and not await is_any_held(recovery, queues)
    )
    if ends:
        message = f"no message to give back. {describe_left(left, processes) if left else _NONE_HELD}"
        ending = Ending(phase="Succeeded", reason=Reason.NOTHING_TO_DO, message=message)
        update: Update = {"plan": made, "ending": ending, "redelivered": Redelivered(found=left, left=left)}
        await recovery.save(progress=(Reason.NOTHING_TO_DO, message), update=update)
        return
    await hold_without_cause(recovery, made)
    asked = await ask(recovery, queues, made)
    await save_plan(recovery, asked, (Reason.PLANNED, describe_redelivery(recovery.spec, made, refs)), {"plan": made})


_NONE_HELD: Final = (
    "unacked has no message of the queue. If you expected some, compare globalKeyPrefix and the database in the "
    "broker's URL with the application's settings"
)


async def redeliver(recovery: Recovery) -> None:
    """Give back every message that no running worker can hold, and write the counts to the status."""
    if not await mark_executed(recovery):
        return
    if recovery.restarts_workers:
        await _await_former_pods(recovery)
    run = await recovery.run()
    left, processes = await with_progress(recovery, _give_back(recovery, run), partial(_progress, run))
    given = await run.redelivered()
    message = f"{counted(given, 'message')} given back to the queue"
    if left:
        message += f"; {describe_left(left, processes, restarted=_restarted(recovery))}"
    begun = begun_after(recovery, ConditionType.REDELIVERED)
    await recovery.save(
        (ConditionType.REDELIVERED, "True", Reason.MAY_BE_HELD if left else Reason.COMPLETED, message),
        begun.condition,
        progress=begun.progress,
        update={"redelivered": Redelivered(found=given + left, redelivered=given, left=left)},
    )


def _restarted(recovery: Recovery) -> datetime | None:
    """Return when the restart of the workers began; None: they were not restarted."""
    start = recovery.status.drain_start_time
    return moment(start) if start is not None and recovery.restarts_workers else None


async def _progress(run: QueueRun) -> tuple[str, str]:
    given = await run.redelivered()
    return Reason.REDELIVERING, f"giving back the messages whose consumer is gone: {given} so far"


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """Messages of the queues in `unacked` that were read together."""

    stranded: Sequence[HeldMessage]
    """Those that no running process can hold."""
    left: int
    """How many others there are."""
    processes: Processes
    """As it was after they were read."""


async def _judged(recovery: Recovery) -> AsyncIterator[_Judged]:
    """Read all messages of the queues in `unacked`, those that were delivered last first."""
    portion, kept = list[HeldMessage](), 0
    async for messages in (await recovery.broker()).held(*await recovery.queues()):
        portion += messages
        kept += sum(len(one.tag) + len(one.after) for one in messages)
        if len(portion) >= _MOST_MESSAGES or kept >= _MOST_BYTES:
            yield await _judge(recovery, portion)
            portion, kept = [], 0
    yield await _judge(recovery, portion)


async def _judge(recovery: Recovery, portion: Sequence[HeldMessage]) -> _Judged:
    """Look at the workers after the messages were read: a process that is started later cannot hold one of them."""
    processes, now = await _running_processes(recovery), recovery.environment.now()
    stranded = [one for one in portion if is_stranded(one.delivered, processes[one.queue], now)]
    return _Judged(stranded=stranded, left=len(portion) - len(stranded), processes=processes)


async def _count(recovery: Recovery) -> tuple[int, int, Processes]:
    """Count the messages that would be given back, and those that would stay."""
    stranded, left, processes = 0, 0, dict[str, Running | None]()
    async for judged in _judged(recovery):
        stranded += len(judged.stranded)
        left += judged.left
        processes = {**judged.processes}
    return stranded, left, processes


async def _give_back(recovery: Recovery, run: QueueRun) -> tuple[int, Processes]:
    """Give back what is stranded; return how many messages stay, and since when the workers run.

    What was given back may be in `unacked` again by the next pass, held by a worker that has taken it.
    """
    found, processes = await run.redelivered(), dict[str, Running | None]()
    for number in range(_MOST_PASSES):
        stranded = 0
        async for judged in _judged(recovery):
            await run.redeliver(judged.stranded)
            stranded += len(judged.stranded)
            found += 0 if number else len(judged.stranded) + judged.left
            processes = {**judged.processes}
        if not stranded:
            break
    return max(0, found - await run.redelivered()), processes


async def _running_processes(recovery: Recovery) -> Processes:
    """Look at the workers, and return since when they run.

    Raises RecoveryError (`UnknownConsumer`) if a connection may hold messages that belongs to none of them.
    """
    queues = await recovery.queues()
    own = workers_of(queues.values())
    looked = {worker.ref: worker for worker in await _look(recovery, own)}
    ignores = _asked(recovery).unknown_consumers == "Ignore"
    consumers = None if ignores else await (await recovery.broker()).consumers()
    if consumers is None:
        await _await_grace(recovery, [looked[ref] for ref in own])
    else:
        refuse_unknown(consumers, looked.values())
    return {name: running([looked[ref] for ref in queue.workers]) for name, queue in queues.items()}


def _asked(recovery: Recovery) -> RedeliverSpec:
    return recovery.spec.redeliver or RedeliverSpec.model_validate({})


async def _look(recovery: Recovery, own: Sequence[WorkerRef]) -> Sequence[Worker]:
    """Return the workers of the queues, and those of the target's other queues, as far as these exist."""
    look = recovery.environment.workers.look
    others = {ref for queue in (await recovery.target()).queues for ref in queue.workers}.difference(own)
    try:
        return await look(sorted({*own, *others}))
    except RecoveryError as error:
        if error.reason != Reason.WORKER_NOT_FOUND:
            raise
    return [*await look(own), *await _existing(recovery, sorted(others))]


async def _existing(recovery: Recovery, refs: Sequence[WorkerRef]) -> Sequence[Worker]:
    """Return those of these workers that exist; each look is a few requests, so they are halved until all exist."""
    if not refs:
        return []
    try:
        return await recovery.environment.workers.look(refs)
    except RecoveryError as error:
        if error.reason != Reason.WORKER_NOT_FOUND:
            raise
    half = len(refs) // 2
    return [one for part in (refs[:half], refs[half:]) if half for one in await _existing(recovery, part)]


async def _await_grace(recovery: Recovery, workers: Sequence[Worker]) -> None:
    """Wait for the grace period of pods that vanished before the start: their connections are not known."""
    if recovery.status.drain_start_time is None:
        return
    seconds = max((worker.grace_seconds for worker in workers), default=0)
    until = moment(recovery.status.drain_start_time) + timedelta(seconds=seconds)
    rest = (until - recovery.environment.now()).total_seconds()
    if rest > 0:
        await recovery.environment.pause(rest)


async def _await_former_pods(recovery: Recovery) -> None:
    """Wait until the pods from before the restart have ended; while one runs, it may hold what was delivered to it."""
    refs, begun = sorted(worker.ref for worker in recovery.status.workers), recovery.environment.now()
    async with aclosing(recovery.environment.workers.follow(refs, fresh=False)) as followed:
        changes = WorkerChanges(recovery, followed)
        workers = await changes.next()
        while (
            waiting := _former_pods(workers, begun, recovery.environment.now())
        ) is not None and waiting.until is not None:
            rest = (waiting.until - recovery.environment.now()).total_seconds()
            try:
                async with asyncio.timeout(max(0, rest)):
                    workers = await changes.next(waiting)
            except TimeoutError:
                return


def _former_pods(workers: Sequence[Worker], begun: datetime, now: datetime) -> Awaited | None:
    """Return what is awaited of pods that are stopping, or vanished; None: nothing, or all of these are overdue.

    `begun`: when the rollout was known to be complete, so that all former pods were being stopped.
    """
    stopping = "; ".join(worker.stopping for worker in workers if worker.stopping)
    message = f"waiting for the former pods of the workers to end: {stopping}"
    ends = {moment(worker.stops_by) + _REPORTED_WITHIN: message for worker in workers if worker.stops_by is not None}
    gone = vanished(workers, {}, begun)
    if gone is not None:
        ends.setdefault(gone.until, gone.message)
    until = max(ends, default=now)
    return Awaited(reason=Reason.REDELIVERING, message=ends[until], until=until) if until > now else None
