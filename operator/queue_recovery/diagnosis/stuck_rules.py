"""The rules by which a queue is stuck: one for each cause, each proves it or says nothing. Pure."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from queue_recovery.api.reasons import Reason
from queue_recovery.api.stuck import StuckSpec
from queue_recovery.diagnosis.evidence import MessageFacts
from queue_recovery.diagnosis.stuck_evidence import QueueLook, WorkersLook
from queue_recovery.diagnosis.stuck_memory import OF_JOB, OF_MESSAGE, Memory, Track

ALLOWANCE: Final = timedelta(seconds=5)
"""Before the start of a process, for a clock that was set back since, and a runtime that reports the start late."""

RECENT: Final = timedelta(minutes=10)
"""How long ago a message was last retried or seen at most, or a queue last rose, for what goes on."""

_LEAST_RISES: Final = 3
"""Looks that saw the queue rise: a burst is one."""

_LONGEST_NAME: Final = 100

_NAMED: Final = 2
"""Tasks that a message names."""

_UNLOCKING: Final = "celery.chord_unlock"
"""Celery's own task that waits for a chord by retrying itself every second, where the result backend is not Redis."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Why a queue is stuck."""

    reason: Reason
    seen: str
    """What was seen, in numbers."""
    advice: str
    """What to do, where no recovery is proposed for it."""
    tasks: Sequence[str] = ()
    """Of the messages that show it."""
    messages: Sequence[MessageFacts] = ()
    """Those of them that this look has seen."""
    saw_all: bool = True
    """Whether this look has seen all of them."""
    is_sure: bool = True
    """Whether nothing else is known that looks the same; otherwise no recovery is proposed."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """All that is known of one queue at one look."""

    spec: StuckSpec
    memory: Memory
    look: QueueLook
    workers: WorkersLook | None
    """None: they could not be looked at."""
    at: datetime


def poison(case: Case) -> Finding | None:
    """Tell of messages that may kill the workers that run them."""
    least, explained = case.spec.poison_deliveries, case.memory.explained_until
    # What a worker has prefetched beside a message that is not Celery's is delivered again as often as it.
    ends = sorted(end for end in case.memory.ends if explained is None or end > explained)
    if not least or case.workers is None:
        return None
    found = {
        key: track
        for key, track in case.memory.tracks.items()
        if may_be_poison(track) and track.deliveries >= least and _deaths(track, ends) >= max(1, least - 1)
        if case.at - track.last_seen <= RECENT
    }
    if not found:
        return None
    worst = max(found.values(), key=lambda one: one.deliveries)
    # The messages of a job may be among those that were found by their own ids.
    by_id = {key: track for key, track in found.items() if not key.startswith(OF_JOB)}
    count = len(by_id) or len(found)
    seen = _seen(case, by_id)
    killed = any(end.reason == "OOMKilled" for end in case.workers.ends)
    how = "were OOMKilled" if killed else "were killed or ended with an error"
    return Finding(
        reason=Reason.POISON_MESSAGE,
        seen=f"{_messages(count)}{_of_tasks(found)} {_were(count)} delivered again and again without a retry, "
        f"{_one_of(count)}{worst.deliveries} times, and in between containers of the workers {how}. "
        f"{'It' if count == 1 else 'One of these messages'} may be what kills them",
        advice="Purge it with a recovery that selects it (purge.select), or raise the memory limit",
        tasks=_tasks(found),
        messages=seen,
        saw_all=len(seen) == count,
        # The same job may have been enqueued so often by its application, and have been done each time.
        is_sure=bool(by_id),
    )


def retry_loop(case: Case) -> Finding | None:
    """Tell of messages whose retries grow."""
    least = case.spec.retry_loop_retries
    found = {
        key: track
        for key, track in case.memory.tracks.items()
        if least and track.retries >= least and track.grown is not None and case.at - track.grown <= RECENT
        if track.task != _UNLOCKING
    }
    if not found:
        return None
    worst = max(found.values(), key=lambda one: one.retries)
    count, seen = len(found), _seen(case, found)
    return Finding(
        reason=Reason.RETRY_LOOP,
        seen=f"{_messages(count)}{_of_tasks(found)} {'has' if count == 1 else 'have'} been retried {_times(least)} "
        f"or more, {_one_of(count)}{_times(worst.retries)}, and {'goes' if count == 1 else 'go'} on",
        advice="Create a recovery with suspend: true that purges the loop (purge.select) and lists the jobs: its plan "
        "says whether the errors are transient, if they can be read. If they are not transient, fix the task and set "
        "suspend to false",
        tasks=_tasks(found),
        messages=seen,
        saw_all=len(seen) == count,
    )


def deaf(case: Case) -> Finding | None:
    """Tell of workers that take nothing."""
    still, least = still_for(case.memory), timedelta(seconds=case.spec.deaf_seconds)
    workers = case.workers
    if not least or still < least or workers is None or workers.ready_since is None or workers.may_hold_nothing:
        return None
    if case.at - workers.ready_since < least or _may_be_working(case, case.at - least):
        return None
    pods = f"{_pods(workers.ready_pods)} of the workers {'is' if workers.ready_pods == 1 else 'are'}"
    again = sum(one.redelivered for tail in case.look.lists.values() for one in tail.messages)
    doubt = (
        f". But {again} of those that are consumed next {_were(again)} delivered before, and a worker may still run "
        f"{'it' if again == 1 else 'one of them'}, if a task runs longer than Celery's visibility timeout"
        if again
        else ""
    )
    unless = (
        "Look with celery inspect active first. If no worker runs one"
        if again
        else "If they do not run a task that takes so long without prefetching"
    )
    return Finding(
        reason=Reason.DEAF_WORKERS,
        seen=f"{_messages(case.look.ready)} {'waits' if case.look.ready == 1 else 'wait'} and none was taken for "
        f"{still.total_seconds():.0f} seconds, although {pods} ready and no process of theirs holds any message of "
        f"the queue{doubt}",
        advice=f"{unless}, restart them: create a recovery with purge.mode: None and restart.annotate: true",
        is_sure=not again,
    )


def undecodable(case: Case) -> Finding | None:
    """Tell of messages that are not Celery's."""
    count, least = case.memory.undecodable, case.spec.undecodable_messages
    if not least or count < least:
        return None
    return Finding(
        reason=Reason.UNDECODABLE_MESSAGES,
        seen=f"{_messages(count)} of those that are consumed next {'is' if count == 1 else 'are'} not Celery's, in "
        "two looks in a row. A worker that takes one may exit",
        advice="Find out which program wrote them, and purge the queue with a recovery, which quarantines all messages "
        "of the queue, also Celery's. It needs purge.takeUnreadable: true if no message at either end of the queue can "
        "be read. Another recovery with restoreFrom and as: New then puts back those that can be read, as new tasks",
    )


def stranded(case: Case) -> Finding | None:
    """Tell of messages that no running process can hold."""
    found, least = _stranded_of(case), case.spec.stranded_messages
    if not least or len(found) < least or case.workers is None or case.workers.running is None:
        return None
    count, more = len(found), "" if case.look.is_complete else "at least "
    it = "it" if count == 1 else "them"
    first, started = (f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in (min(found), case.workers.running.oldest))
    return Finding(
        reason=Reason.STRANDED_MESSAGES,
        seen=f"{more}{_messages(count)} in unacked {_were(count)} delivered (since {first}) before the oldest "
        f"running process of the workers was started ({started}), so no worker holds {it}. Celery gives {it} back only "
        "after its visibility timeout",
        advice=f"To give {it} back now, create a recovery with purge.mode: None and redeliver: {{}}",
    )


def hoarded(case: Case) -> Finding | None:
    """Tell of workers that hold more than they can run."""
    held, least = share(case.look), case.spec.hoarded_messages
    pods = 0 if case.workers is None else case.workers.ready_pods
    if not least or not pods or held < least * pods:
        return None
    ahead = sum(one.eta is not None and one.eta > case.at for one in case.look.sightings)
    about = "" if case.look.is_complete else "about "
    are_ahead = 2 * ahead > case.look.held
    whose = f". {ahead} of the {case.look.held} oldest of them have an ETA in the future" if are_ahead else ""
    better = "Schedule far ETAs in a database" if are_ahead else "Lower worker_prefetch_multiplier"
    return Finding(
        reason=Reason.HOARDED_MESSAGES,
        seen=f"{_pods(pods)} of the workers {'holds' if pods == 1 else 'hold'} {about}{_messages(held)} in unacked, "
        f"more than they can run{whose}",
        advice=f"{better}. No recovery is needed",
    )


def rising(case: Case) -> Finding | None:
    """Tell of a queue that has risen and never fallen, and still rises."""
    rise, spec = case.memory.rise, case.spec
    if not spec.rising_seconds or rise is None or rise.times < _LEAST_RISES:
        return None
    lasted, risen, least = case.at - rise.since, rise.last - rise.base, timedelta(seconds=spec.rising_seconds)
    if lasted < least or risen < spec.rising_messages or case.at - rise.rose > min(least, RECENT):
        return None
    return Finding(
        reason=Reason.RISING_DEPTH,
        seen=f"the queue has risen and never fallen for {lasted.total_seconds():.0f} seconds, from {rise.base} to "
        f"{rise.last} waiting messages",
        advice="Scale the workers up, or find out why their tasks take longer. No recovery is needed",
    )


def still_for(memory: Memory) -> timedelta:
    """Return how long messages have been waiting of which none was taken."""
    return timedelta() if memory.still_since is None else memory.last - memory.still_since


def share(look: QueueLook) -> int:
    """Return how many messages of `unacked` are the queue's, estimated where not all are counted."""
    counted = look.total - look.not_counted
    return look.held if look.is_complete or counted <= 0 else look.held * look.total // counted


def _may_be_working(case: Case, since: datetime) -> bool:
    """Tell whether the workers may have been running tasks since then, and hold what they have prefetched meanwhile.

    A message of a queue that is not listed may be theirs. If it was delivered later, these workers do take messages, or
    others do.
    """
    if len(_stranded_of(case)) < case.look.held:
        return True
    before = [one for one in case.look.elsewhere if one is None or one <= since + ALLOWANCE]
    return not all(_is_stranded(case, delivered) for delivered in (*case.look.shared, *before))


def _is_stranded(case: Case, delivered: datetime | None) -> bool:
    """Tell whether no running process of the workers can have taken what was delivered then."""
    running = None if case.workers is None else case.workers.running
    return running is not None and delivered is not None and not running.may_hold(delivered.timestamp(), case.at)


def _stranded_of(case: Case) -> Sequence[datetime]:
    """Return when the messages of the queue were delivered that no running process can have taken."""
    return [one.delivered for one in case.look.sightings if one.delivered and _is_stranded(case, one.delivered)]


def may_be_poison(track: Track) -> bool:
    """Tell whether a message, or the messages of a job, were delivered more than once without a retry."""
    return track.retries == 0 and track.deliveries > 1


def _deaths(track: Track, ends: Sequence[datetime]) -> int:
    """Return between how many deliveries of a message a container of the workers was killed or ended with an error.

    `ends`: when containers did so, in order. Each explains one delivery only.
    """
    found, first = 0, 0
    for begin, until in track.gaps:
        first = bisect_left(ends, begin - ALLOWANCE, lo=first)
        if first == len(ends):
            break
        if ends[first] <= until + ALLOWANCE:
            found += 1
            first += 1
    return found


def _tasks(found: Mapping[bytes, Track]) -> Sequence[str]:
    return sorted({track.task for track in found.values() if track.task is not None})


def _seen(case: Case, found: Mapping[bytes, Track]) -> Sequence[MessageFacts]:
    """Return the messages that this look has seen, of those that are remembered by their ids."""
    seen = {one.id: one.facts for one in case.look.sampled if one.id is not None and one.facts is not None}
    return [facts for name, facts in seen.items() if OF_MESSAGE + name in found]


def _of_tasks(found: Mapping[bytes, Track]) -> str:
    tasks = _tasks(found)
    if not tasks:
        return ""
    shown = ", ".join(f'"{task[:_LONGEST_NAME]}"' for task in tasks[:_NAMED])
    more = f" and {len(tasks) - _NAMED} more" if len(tasks) > _NAMED else ""
    return f" (task {shown})" if len(tasks) == 1 else f" (tasks {shown}{more})"


def _one_of(count: int) -> str:
    return "" if count == 1 else "one of them "


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
