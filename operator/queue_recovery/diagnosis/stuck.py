"""Whether a queue is stuck, and why: looks in, findings out. Pure.

Each rule tells only what the looks prove. What they do not prove is not told: a wrong finding is worse than none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from queue_recovery.api.reasons import Reason
from queue_recovery.api.stuck import StuckSpec
from queue_recovery.diagnosis.proposal import with_proposal
from queue_recovery.diagnosis.stuck_evidence import QueueLook
from queue_recovery.diagnosis.stuck_memory import Memory, Told
from queue_recovery.diagnosis.stuck_rules import (
    RECENT,
    Case,
    Finding,
    deaf,
    hoarded,
    may_be_poison,
    poison,
    retry_loop,
    rising,
    share,
    still_for,
    stranded,
    undecodable,
)

QUIET_LOOKS: Final = 3
"""A cause that is not found by so many looks in a row is over."""

_OF_WORKERS: Final = frozenset(
    {Reason.DEAF_WORKERS, Reason.STRANDED_MESSAGES, Reason.HOARDED_MESSAGES, Reason.POISON_MESSAGE}
)
"""Causes that only a look at the workers can prove."""


_RULES: Final[Mapping[Callable[[Case], Finding | None], Reason]] = {
    poison: Reason.POISON_MESSAGE,
    retry_loop: Reason.RETRY_LOOP,
    deaf: Reason.DEAF_WORKERS,
    undecodable: Reason.UNDECODABLE_MESSAGES,
    stranded: Reason.STRANDED_MESSAGES,
    hoarded: Reason.HOARDED_MESSAGES,
    rising: Reason.RISING_DEPTH,
}

ORDER: Final = tuple(_RULES.values())
"""All causes, the most urgent first."""


def needs_workers(spec: StuckSpec, memory: Memory, look: QueueLook) -> bool:
    """Tell whether a cause is possible that only a look at the workers can prove."""
    return (
        bool(spec.deaf_seconds and still_for(memory) >= timedelta(seconds=spec.deaf_seconds))
        or bool(spec.stranded_messages and memory.still_held)
        or bool(spec.hoarded_messages and share(look) >= spec.hoarded_messages)
        or bool(spec.poison_deliveries and any(may_be_poison(one) for one in memory.tracks.values()))
    )


def find(case: Case) -> Sequence[Finding]:
    """Return why a queue is stuck, the most urgent cause first."""
    return [finding for rule in _RULES if (finding := rule(case)) is not None]


def tell(case: Case, found: Sequence[Finding], now: str) -> Memory:
    """Return the memory with what the status shows from now on.

    A cause that was told stays until some looks that could have seen it again have not.

    Args:
        case: what is known of the queue.
        found: the causes that this look has found.
        now: the time of this look, as the status has times.
    """
    memory = case.memory
    told = {finding.reason: _told(finding, memory.told.get(finding.reason), now) for finding in found}
    for reason, old in memory.told.items():
        if reason not in told and (missed := old.missed + _could_tell(case, reason)) < QUIET_LOOKS:
            told[reason] = replace(old, missed=missed)
    return replace(memory, told={reason: told[reason] for reason in ORDER if reason in told})


def _told(finding: Finding, before: Told | None, now: str) -> Told:
    """Return what is told of a cause that was found; `before`: what was told of it so far."""
    told = replace(
        before or Told(since=now, seen=""), seen=finding.seen, advice=finding.advice, instead="", others="", missed=0
    )
    return told if told.proposal is None else with_proposal(told, finding.reason, told.proposal)


def _could_tell(case: Case, reason: Reason) -> bool:
    """Tell whether this look would have found a cause that still exists, or has seen that it does not."""
    spec, memory, age = case.spec, case.memory, case.at - case.memory.began
    if case.workers is None and reason in _OF_WORKERS:
        return False
    match reason:
        case Reason.DEAF_WORKERS:
            return memory.still_since is None or age >= timedelta(seconds=spec.deaf_seconds)
        case Reason.RISING_DEPTH:
            fell = memory.rise is None or memory.rise.since > memory.began
            return fell or age >= timedelta(seconds=spec.rising_seconds)
        case Reason.RETRY_LOOP | Reason.POISON_MESSAGE:
            return not memory.tracks or age >= RECENT
        case _:
            return True
