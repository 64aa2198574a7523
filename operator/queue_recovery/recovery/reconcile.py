"""The reconcile loop of a recovery: decide on an action, take one step, handle its error, repeat."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Final

from queue_recovery.api.conditions import ConditionType, is_true
from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.api.recovery_status import Ending
from queue_recovery.recovery.approval import await_approval
from queue_recovery.recovery.backoff import FIRST_DELAY, LONGEST_DELAY, jittered, longer
from queue_recovery.recovery.decide import Action, decide, forced_ending
from queue_recovery.recovery.drain import drain
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.finish import end, end_cut_off, end_removed
from queue_recovery.recovery.holding import hold
from queue_recovery.recovery.intent import record_intent
from queue_recovery.recovery.origins import with_origin
from queue_recovery.recovery.phase import is_terminal
from queue_recovery.recovery.plan import plan
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Gone, Resource, Superseded
from queue_recovery.recovery.preparing import Requeue, bounded, deadline_note, is_preparing, waiting
from queue_recovery.recovery.purge import purge
from queue_recovery.recovery.reaction import Reaction, reaction
from queue_recovery.recovery.recovery import Recovery, failed
from queue_recovery.recovery.redeliver import plan_redelivery, redeliver
from queue_recovery.recovery.reenqueue import reenqueue
from queue_recovery.recovery.restart import restart
from queue_recovery.recovery.restore import plan_restore, restore
from queue_recovery.recovery.turn import Turn
from queue_recovery.recovery.verify import verify

LOCK_DELAY: Final = 1.0
"""Seconds between two reads of a lock that another recovery holds; each is one GET."""

RESYNC: Final = 300.0
"""Seconds after which a recovery that waits for a watch event reads again without one."""

_STEPS: dict[Action, Callable[[Recovery], Awaitable[None]]] = {
    Action.PLAN: plan,
    Action.RESUME: Recovery.resume,
    Action.PLAN_RESTORE: plan_restore,
    Action.PLAN_REDELIVERY: plan_redelivery,
    Action.RECORD_INTENT: record_intent,
    Action.DRAIN: drain,
    Action.PURGE: purge,
    Action.RESTART: restart,
    Action.REDELIVER: redeliver,
    Action.VERIFY: verify,
    Action.REENQUEUE: reenqueue,
    Action.RESTORE: restore,
    Action.END: end,
}

_WAITS: dict[Action, Callable[[Recovery], Awaitable[None]]] = {
    Action.HOLD: hold,
    Action.AWAIT_APPROVAL: await_approval,
}
"""Before anything is touched, a recovery that waits like this has no task."""


async def reconcile(resource: Resource, environment: Environment, turn: Turn) -> Requeue | None:
    """Reconcile a recovery until its final status is written; continues where an earlier process stopped.

    Returns earlier if the recovery has touched nothing and has to wait; then only its turn is kept. Otherwise its turn
    is over when this returns or raises.

    Raises Gone when the resource no longer exists, after its workers are scaled back.
    """
    recovery = Recovery(resource=resource, environment=environment, status=resource.last_status, turn=turn)
    delay, pause = FIRST_DELAY, 0.0
    waits = None
    try:
        recovery.status = await resource.read()
        _rejoin_queues(recovery)
        while (action := decide(recovery.spec, recovery.status)) is not Action.NOTHING:
            try:
                outcome = await _turn(recovery, action, delay)
                if isinstance(outcome, Requeue):
                    waits = outcome
                    return waits
                delay, pause = outcome, 0.0
            except Superseded:
                # Continue at once after one write of another process; pause if the conflict persists.
                if pause:
                    await environment.pause(jittered(pause))
                pause = longer(pause) or FIRST_DELAY
                recovery.status = await resource.read()
        await recovery.acknowledge()
    except Gone:
        await end_removed(recovery)
        raise
    finally:
        if waits is None:
            turn.leave()
        await recovery.forget()
    return None


def _rejoin_queues(recovery: Recovery) -> None:
    """Rejoin the queues of a recovery that an earlier process has started."""
    if recovery.status.drain_start_time is not None and not is_terminal(recovery.status):
        stops_workers = recovery.scales_workers and not is_true(recovery.status.conditions, ConditionType.RESTARTED)
        recovery.join_lock_queues(recovery.covered)
        if stops_workers:
            recovery.turn.take_drain_slot()


async def report(resource: Resource, environment: Environment, turn: Turn, reason: str, message: str) -> None:
    """Write to the status of an unfinished recovery why it cannot be reconciled.

    Raises Superseded, Gone, or RecoveryError (`KubernetesUnavailable`).
    """
    recovery = Recovery(resource=resource, environment=environment, status=resource.last_status, turn=turn)
    if not is_terminal(recovery.status):
        await recovery.wait_for(reason, message)


async def _turn(recovery: Recovery, action: Action, delay: float) -> float | Requeue:
    """Take one action; return the delay before the next try, if that fails."""
    seen = recovery.resource.desired  # a newer one from now on has to be read
    try:
        if ending := _forced_ending(recovery):
            await recovery.end(ending)
        elif is_preparing(recovery) and not recovery.turn.may_prepare():
            return waiting(recovery, seen)
        elif action in _WAITS:
            await _WAITS[action](recovery)
            if is_preparing(recovery) and recovery.status.plan is not None:
                recovery.turn.leave()
                return waiting(recovery, seen)
            if action is Action.HOLD:
                await recovery.forget()
                await _sleep(recovery, None)
        else:
            with bounded(recovery):
                await _perform(recovery, action)
    except RecoveryError as raised:
        error = with_origin(raised, recovery.known_target)
        if action is Action.END and await _is_cut_off(recovery, error, delay):
            await end_cut_off(recovery, error)
            return FIRST_DELAY
        react = reaction(error, action)
        if react is Reaction.AWAIT_TURN:
            return await _after_others(recovery, error, seen)
        return await _after(recovery, react, error, delay, seen)
    if is_true(recovery.status.conditions, ConditionType.RESTARTED):
        recovery.turn.release_drain_slot()
    return FIRST_DELAY


async def _after_others(recovery: Recovery, error: RecoveryError, seen: DesiredState) -> float | Requeue:
    """Report the recoveries that are ahead, and wait for the turn unless it has come."""
    with suppress(RecoveryError):
        await recovery.wait_for(error.reason, f"{deadline_note(recovery)}{error.message}")
    recovery.turn.stop_preparing()
    return FIRST_DELAY if recovery.turn.awaits is None else waiting(recovery, seen)


async def _perform(recovery: Recovery, action: Action) -> None:
    """Take one step; cancel it when the desired state or the deadline requires another action.

    A cancelled step is like one whose process died: it can be entered again, and its late effects are fenced.
    """
    step = asyncio.ensure_future(_STEPS[action](recovery))
    try:
        while not step.done():
            await _sleep(recovery, None, until=step)
            if not step.done() and (_forced_ending(recovery) or decide(recovery.spec, recovery.status) is Action.HOLD):
                step.cancel()
                await asyncio.wait({step})
                if not step.cancelled():
                    await step
                await recovery.disconnect()
                recovery.status = await recovery.resource.read()
                return
        await step
    finally:
        if not step.done():
            step.cancel()
            await asyncio.wait({step})


async def _is_cut_off(recovery: Recovery, error: RecoveryError, delay: float) -> bool:
    """Tell whether a deleted recovery cannot finish, because its target or namespace is deleted too.

    If the CustomResourceDefinition of targets is deleted, no new target can be created. In a namespace that is being
    deleted, the Deployments are deleted too; otherwise they are scaled back before the target is read.
    """
    if not recovery.resource.desired.deleting or (error.outcome is not Outcome.NOT_YET and delay < LONGEST_DELAY):
        return False
    if error.reason == Reason.TARGET_NOT_FOUND:
        return True
    with suppress(RecoveryError):
        return await recovery.environment.is_terminating()
    return False


async def _after(recovery: Recovery, react: Reaction, error: RecoveryError, delay: float, seen: DesiredState) -> float:
    """React to an error; return the delay for the next one.

    Objects in Kubernetes are read again when they have changed, and not because time has passed.
    """
    if react is Reaction.END_AS_FAILED:
        try:
            await recovery.end(failed(error))
        except RecoveryError as write_error:
            error, react = write_error, Reaction.TRY_AGAIN  # the step fails again and is then recorded
        else:
            return delay
    with suppress(RecoveryError):
        await recovery.wait_for(error.reason, f"{deadline_note(recovery)}{error.message}")
    recovery.turn.stop_preparing()
    if recovery.status.drain_start_time is None:
        recovery.turn.release_drain_slot()
    if react is Reaction.AWAIT_CHANGE:
        if recovery.resource.desired == seen:  # a change that came just as the step ended is not reported again
            await _sleep(recovery, RESYNC, until=recovery.news())
        await recovery.forget()
        return FIRST_DELAY
    if react is Reaction.POLL_LOCK:
        # The lock is read again; no Deployment is watched until then.
        if await _sleep_until(recovery, LOCK_DELAY, recovery.environment.changed(workers=False)):
            await recovery.forget()
        return delay
    await recovery.disconnect()
    await _sleep(recovery, jittered(delay), until=recovery.news())
    if recovery.news().done():
        await recovery.forget()
        return FIRST_DELAY
    return longer(delay)


async def _sleep(recovery: Recovery, seconds: float | None, *, until: "asyncio.Future[None] | None" = None) -> None:
    """Wait until the desired state changes, `until` is done, or the deadline or the time is reached."""
    left = math.inf if recovery.status.ending else recovery.seconds_left
    timeout = min(math.inf if seconds is None else seconds, left)
    changed = asyncio.ensure_future(recovery.resource.changed())
    try:
        await asyncio.wait(
            {changed, *([until] if until is not None else [])},
            timeout=None if timeout == math.inf else timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        changed.cancel()


async def _sleep_until(recovery: Recovery, seconds: float, event: Coroutine[None, None, None]) -> bool:
    """Wait as `_sleep` does, until an event or for a time; tell whether the event came."""
    awaited = asyncio.ensure_future(event)
    try:
        await _sleep(recovery, seconds, until=awaited)
        return awaited.done()
    finally:
        awaited.cancel()
        await asyncio.wait({awaited})


def _forced_ending(recovery: Recovery) -> Ending | None:
    return forced_ending(
        recovery.spec,
        recovery.status,
        created=recovery.resource.created,
        deleting=recovery.resource.desired.deleting,
        now=recovery.environment.now(),
    )
