"""The verdict over all errors of a recovery, as its status shows it. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from queue_recovery.api.diagnosis import (
    MOST_ERRORS,
    MOST_JOBS,
    Diagnosis,
    ErrorSignature,
    Verdict,
    WorkerEnds,
)
from queue_recovery.diagnosis.classes import candidates
from queue_recovery.diagnosis.evidence import ContainerEnd, Evidence, MessageFacts
from queue_recovery.diagnosis.failure import Failure
from queue_recovery.diagnosis.fingerprint import fingerprint, looks_like_a_class
from queue_recovery.diagnosis.signatures import Judged

_OUT_OF_MEMORY: Final = "OOMKilled"


def diagnosis_of(
    judged: Sequence[Judged], evidence: Evidence, *, known: int, named: Sequence[str] = ()
) -> Diagnosis | None:
    """Return what a status shows; None: nothing is known, so there is nothing to show.

    Args:
        judged: the errors with their verdicts.
        evidence: from which they were made.
        known: how many of its jobs have a known error.
        named: classes that the target names, so that they may be shown.
    """
    messages = [job.message for job in evidence.jobs if job.message is not None]
    if not (judged or messages or evidence.missing):
        return None
    ordered = sorted(judged, key=lambda one: -one.signature.jobs)
    retried = [one for one in messages if one.retries]
    return Diagnosis(
        verdict=_overall(ordered, known),
        known=known,
        of=len(evidence.jobs),
        errors=[_shown(one, named) for one in ordered[:MOST_ERRORS]],
        errors_total=len(ordered),
        retried=len(retried),
        most_retries=max((one.retries for one in retried), default=0),
        redelivered=sum(one.redelivered and not one.retries for one in messages),
        retried_by=_hosts(retried),
        workers=None if evidence.ends is None else _ends(evidence.ends),
        missing=list(evidence.missing[:MOST_JOBS]),
    )


def _overall(judged: Sequence[Judged], known: int) -> Verdict:
    """Return the one verdict of all errors that have one, if these are the errors of at least half of the jobs.

    Args:
        judged: the errors.
        known: how many jobs have a known error.
    """
    certain = [one for one in judged if one.verdict != "Unknown"]
    verdicts = {one.verdict for one in certain}
    if len(verdicts) > 1:
        return "Mixed"
    if 2 * len(set[int]().union(*(one.signature.members for one in certain))) < known:
        return "Unknown"
    return next(iter(verdicts), "Unknown")


def _shown(judged: Judged, named: Sequence[str]) -> ErrorSignature:
    found = judged.signature
    return ErrorSignature(
        task=found.task,
        exception=_shown_class(found.failure, named),
        fingerprint=fingerprint(found.failure),
        verdict=judged.verdict,
        rule=judged.rule,
        attempts=found.attempts,
        jobs=found.jobs,
        identical=found.identical,
        succeeded=found.succeeded,
        first_seen_time=_time(found.first_seen),
        last_seen_time=_time(found.last_seen),
        examples=list(found.examples),
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown_class(failure: Failure, named: Sequence[str]) -> str | None:
    """Return the name of a class that is known, or named by the target, or looks like one; otherwise nothing.

    Anything else may be a part of a message.
    """
    name = failure.exception
    known = candidates(name, is_full_name=failure.is_full_name) if name else ()
    if known and "." in name:
        return name if name in known else known[0]  # what is between package and class may be anything
    return name if name and (known or name in named or looks_like_a_class(name)) else None


def _hosts(retried: Sequence[MessageFacts]) -> list[str]:
    counts = Counter(one.sent_by for one in retried if one.sent_by is not None)
    return [host for host, _ in counts.most_common(MOST_JOBS)]


def _ends(ends: Sequence[ContainerEnd]) -> WorkerEnds:
    codes = Counter(one.exit_code for one in ends if one.reason)
    return WorkerEnds(
        restarts=sum(one.restarts for one in ends),
        out_of_memory=sum(one.reason == _OUT_OF_MEMORY for one in ends),
        exit_codes=[code for code, _ in codes.most_common(MOST_JOBS)],
    )
