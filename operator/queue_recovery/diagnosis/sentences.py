"""A diagnosis in a sentence, as a plan's message says it. Pure."""

from collections.abc import Sequence
from typing import Final

from queue_recovery.api.diagnosis import Diagnosis, ErrorSignature

_NAMED: Final = 3

NOT_KNOWN: Final = "why they fail is not known"
"""What `missing` alone has if no error is known and the target could say where errors are."""

_SAID: Final = {
    "Deterministic": "The errors are not transient, so a retry does not help",
    "Transient": "The errors are transient, so a retry helps and nothing has to be purged",
    "Mixed": "Some errors are transient and some are not",
    "Unknown": "Whether the errors are transient is not known",
}


def sentence(diagnosis: Diagnosis) -> str:
    """Say why the jobs fail and whether a retry helps; empty: nothing is known of it."""
    shown = [_error(one) for one in diagnosis.errors[:_NAMED]]
    more = diagnosis.errors_total - len(shown)
    said = ""
    if shown:
        said = f"{_SAID[diagnosis.verdict]}: {', '.join(shown)}{f' and {more} more' if more > 0 else ''}"
        if diagnosis.known < diagnosis.of:
            said = f"{said}. {_unknown(diagnosis.of - diagnosis.known)}"
    return ". ".join(filter(None, [said, _redelivered(diagnosis), _missing(diagnosis.missing)]))


def _error(error: ErrorSignature) -> str:
    name = error.exception or "an error of an unknown class"
    task = f' in "{error.task}"' if error.task else ""
    jobs = f"{error.jobs} {'job' if error.jobs == 1 else 'jobs'}"
    attempts = f", {error.attempts} attempts" if error.attempts > error.jobs else ""
    return f"{name}{task} ({jobs}{attempts}; {error.rule})"


def _unknown(count: int) -> str:
    others = "1 other job or retried message" if count == 1 else f"{count} other jobs or retried messages"
    return f"The errors of {others} are not known"


def _redelivered(diagnosis: Diagnosis) -> str:
    """Say that messages may have killed their workers; a clean stop gives messages back too, so that is not enough."""
    count, killed = diagnosis.redelivered, diagnosis.workers is not None and diagnosis.workers.out_of_memory > 0
    if not (count and killed):
        return ""
    messages = "1 message was" if count == 1 else f"{count} messages were"
    return f"{messages} delivered again without a retry, and containers of the workers were OOMKilled"


def _missing(missing: Sequence[str]) -> str:
    if missing and missing[0].startswith(NOT_KNOWN):
        return f"{missing[0][:1].upper()}{missing[0][1:]}"
    return f"Not looked at: {', '.join(missing)}" if missing else ""
