"""What the last looks at one queue have shown together. Pure.

Its size does not grow with the queue, with the number of looks, or with what anyone writes into the broker.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from queue_recovery.api.reasons import Reason
from queue_recovery.api.stuck import MOST_DELIVERIES
from queue_recovery.diagnosis.stuck_evidence import QueueLook, Sighting, WorkersLook

MOST_TRACKS: Final = 2000
"""Messages and jobs that are remembered of all queues of a target together."""

_LEAST_TRACKS: Final = 20
"""Of one queue, however many queues the target has."""

_MOST_ENDS: Final = 100

_GONE_AFTER_LOOKS: Final = 3
"""A message that is executed is in no list and, acknowledged early, not in `unacked` either."""

_FORGOTTEN_AFTER: Final = timedelta(hours=2)

_GIVEN_BACK_WITHIN: Final = timedelta(minutes=10)
"""How long before a delivery a message was given back, if the delivery before was not seen."""


_CLEAN_EXITS: Final = (0, 143)
"""Exit codes of a container that was asked to end: 143 is SIGTERM.

Its reason may be `OOMKilled` all the same, because the kernel has killed another of its processes before.
"""

OF_JOB: Final = b"job"
OF_MESSAGE: Final = b"id"


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """A message, or the messages of a job, over the looks."""

    task: str | None
    last_seen: datetime
    retries: int
    grown: datetime | None = None
    """The last look that saw more retries than the one before."""
    deliveries: int = 1
    """How often it was delivered, as far as that is proven."""
    last_delivered: datetime | None = None
    gaps: tuple[tuple[datetime, datetime], ...] = ()
    """Between its last deliveries: within each of these times somebody gave it back."""
    missed: int = 0
    """Looks since that must have seen it, if it still existed, and did not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rise:
    """Since when the number of waiting messages has not fallen."""

    since: datetime
    base: int
    last: int
    rose: datetime
    """The last look that saw more messages than the look before; before there is one, the first look."""
    times: int = 0
    """Looks that saw more messages than the look before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A cause that the status shows."""

    since: str
    seen: str
    """What was seen; what an earlier process has told is all here."""
    advice: str = ""
    """What to do, where no recovery is proposed."""
    instead: str = ""
    """What is told in place of the advice: what the proposed recovery is for, or why none is needed."""
    others: str = ""
    """The same while another recovery keeps one from being proposed: which that is."""
    missed: int = 0
    """Looks since that could have seen it, and did not."""
    proposal: str | None = None
    """Name of the recovery that was proposed."""

    @property
    def message(self) -> str:
        """What was seen, and what to do now."""
        return ". ".join(filter(None, [self.seen, self.others or self.instead or self.advice]))


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the looks at one queue so far have shown."""

    began: datetime
    last: datetime
    looks: int = 1
    lists: Mapping[int, bytes] = field(default_factory=dict)
    held: frozenset[int] = frozenset()
    """The deliveries that the last look saw in `unacked`."""
    still_held: frozenset[int] = frozenset()
    """Those of them that the look before saw too."""
    is_complete: bool = True
    still_since: datetime | None = None
    """Since when messages wait, and none of them was taken nor acknowledged."""
    rise: Rise | None = None
    undecodable: int = 0
    """Messages that cannot be decoded, of those that are consumed next, in each of the last two looks."""
    undecodable_last: int = 0
    explained_until: datetime | None = None
    """Until when messages that are not Celery's may have ended containers; None: none was seen."""
    tracks: Mapping[bytes, Track] = field(default_factory=dict)
    ends: frozenset[datetime] = frozenset()
    """When containers of the workers were killed or ended with an error, as far as that was seen."""
    told: Mapping[Reason, Told] = field(default_factory=dict)


def _delivery(sighting: Sighting) -> int:
    """Return what tells one delivery of a message from others."""
    return hash((sighting.id, sighting.delivered))


def remember(
    memory: Memory | None,
    look: QueueLook,
    at: datetime,
    *,
    queues: int = 1,
    job_task: str | None = None,
    told: Mapping[Reason, Told] | None = None,
) -> Memory:
    """Return what this look and those before show together.

    Args:
        memory: of the looks before; None: this is the first one.
        look: what this one has seen.
        at: its time.
        queues: how many queues the target has.
        job_task: the task whose arguments are made of a job's id, so that the same ones mean the same job.
        told: what the status shows already, for the first look.
    """
    held = frozenset(map(_delivery, look.sightings))
    lists = {priority: tail.next for priority, tail in look.lists.items()}
    undecodable = max((tail.undecodable for tail in look.lists.values()), default=0)
    most = max(_LEAST_TRACKS, MOST_TRACKS // queues)
    if memory is None:
        return Memory(
            began=at,
            last=at,
            lists=lists,
            held=held,
            is_complete=look.is_complete,
            rise=_rise(None, look.ready, at),
            undecodable_last=undecodable,
            explained_until=at if undecodable else None,
            tracks=_bounded(_tracks({}, look, at, job_task), most),
            told=told or {},
        )
    is_still = (
        bool(memory.lists)
        and all(lists.get(priority) == next_one for priority, next_one in memory.lists.items())
        and memory.held == held
        and memory.is_complete
        and look.is_complete
    )
    return replace(
        memory,
        last=at,
        looks=memory.looks + 1,
        lists=lists,
        held=held,
        still_held=held & memory.held,
        is_complete=look.is_complete,
        still_since=(memory.still_since or memory.last) if is_still else None,
        rise=_rise(memory.rise, look.ready, at),
        undecodable=min(undecodable, memory.undecodable_last),
        undecodable_last=undecodable,
        explained_until=at if undecodable or memory.undecodable_last else memory.explained_until,
        tracks=_bounded(_tracks(memory.tracks, look, at, job_task), most),
    )


def with_ends(memory: Memory, workers: WorkersLook) -> Memory:
    """Return the memory with the times at which containers of the workers were killed or ended with an error."""
    seen = {end.finished for end in workers.ends if end.finished is not None and end.exit_code not in _CLEAN_EXITS}
    return replace(memory, ends=frozenset(sorted(memory.ends | seen)[-_MOST_ENDS:]))


def _rise(rise: Rise | None, ready: int, at: datetime) -> Rise:
    if rise is None or ready < rise.last:
        return Rise(since=at, base=ready, last=ready, rose=at)
    if ready == rise.last:
        return rise
    return replace(rise, last=ready, rose=at, times=rise.times + 1)


def _tracks(before: Mapping[bytes, Track], look: QueueLook, at: datetime, job_task: str | None) -> dict[bytes, Track]:
    tracks = dict(before)
    seen: set[bytes] = set()
    for sighting in look.sampled:
        for key in _keys(sighting, job_task):
            tracks[key] = _seen(tracks.get(key), sighting, at)
            seen.add(key)
    messages_seen = sum(len(tail.messages) for tail in look.lists.values())
    saw_all = look.is_complete and look.ready <= messages_seen
    for key in tracks.keys() - seen:
        track = tracks[key]
        missed = track.missed + saw_all
        if missed >= _GONE_AFTER_LOOKS or at - track.last_seen > _FORGOTTEN_AFTER:
            del tracks[key]
        elif saw_all:
            tracks[key] = replace(track, missed=missed)
    return tracks


def _keys(sighting: Sighting, job_task: str | None) -> Iterator[bytes]:
    """Yield under which names a message is remembered, if anything about it may tell of a cause."""
    if sighting.id is not None and (sighting.retries or sighting.redelivered):
        yield OF_MESSAGE + sighting.id
    is_of_job = sighting.task is not None and sighting.task == job_task
    if is_of_job and sighting.work is not None and sighting.held and not sighting.retries:
        yield OF_JOB + sighting.work


def _seen(track: Track | None, sighting: Sighting, at: datetime) -> Track:
    delivered = sighting.delivered
    if track is None:
        was_before = sighting.redelivered and delivered is not None
        return Track(
            task=sighting.task,
            last_seen=at,
            retries=sighting.retries,
            deliveries=1 + was_before,
            last_delivered=delivered,
            gaps=((delivered - _GIVEN_BACK_WITHIN, delivered),) if was_before and delivered is not None else (),
        )
    deliveries, last, gaps = track.deliveries, track.last_delivered, track.gaps
    # Not another one: a job may have several messages at the same time.
    if delivered is not None and (last is None or delivered > last):
        gaps = (*gaps, (last or delivered - _GIVEN_BACK_WITHIN, delivered))[-MOST_DELIVERIES:]
        deliveries, last = deliveries + 1, delivered
    return Track(  # `replace` takes four times as long, and there may be thousands
        task=track.task,
        last_seen=at,
        retries=max(track.retries, sighting.retries),
        grown=at if sighting.retries > track.retries else track.grown,
        deliveries=deliveries,
        last_delivered=last,
        gaps=gaps,
    )


def _bounded(tracks: Mapping[bytes, Track], most: int) -> Mapping[bytes, Track]:
    """Keep the tracks that were seen last, and of these the ones that tell most."""
    if len(tracks) <= most:
        return tracks
    kept = sorted(tracks, key=lambda key: _worth(tracks[key]), reverse=True)[:most]
    return {key: tracks[key] for key in kept}


def _worth(track: Track) -> tuple[datetime, int]:
    return track.last_seen, track.retries + track.deliveries
