"""A diagnosis in a sentence, as a plan's message says it. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from queue_recovery.api.diagnosis import Diagnosis, ErrorSignature, Verdict

_NAMED: Final = 3

NOT_KNOWN: Final = "why they fail is not known"
"""What `missing` alone has if no error is known and the target could say where errors are."""

_SAID: Final = {
    "Deterministic": "The errors are not transient, so a retry does not help",
    "Transient": "The errors are transient, so a retry helps, and they need no purge",
    "Mixed": "Some errors are transient and some are not",
    "Unknown": "Whether the errors are transient is not known",
}

_SAID_OF_HALF: Final = {
    "Deterministic": "At least half of the known failures are not transient, so a retry does not help these",
    "Transient": "At least half of the known failures are transient, so a retry helps these, and they need no purge",
}
"""The same where other errors are known of which this is not known."""

_NOT_SHOWN: Final = "To have its class shown, name it in diagnosis.rules of the target"


def sentence(diagnosis: Diagnosis) -> str:
    """Say why the jobs fail and whether a retry helps; empty: nothing is known of it."""
    said = [*_of_errors(diagnosis), _redelivered(diagnosis), _missing(diagnosis.missing)]
    return ". ".join(filter(None, said))


def _of_errors(diagnosis: Diagnosis) -> Iterator[str]:
    shown = diagnosis.errors[:_NAMED]
    if not shown:
        return
    listed = ", ".join(_error(one, diagnosis.verdict) for one in shown)
    more = diagnosis.errors_total - len(shown)
    is_of_all = all(one.verdict == diagnosis.verdict for one in diagnosis.errors)
    lead = _SAID[diagnosis.verdict] if is_of_all else _SAID_OF_HALF.get(diagnosis.verdict, _SAID[diagnosis.verdict])
    yield f"{lead}: {listed}{f' and {more} more' if more > 0 else ''}"
    if diagnosis.known < diagnosis.of:
        yield _unknown(diagnosis.of - diagnosis.known)
    if any(one.exception is None for one in shown):
        yield _NOT_SHOWN


def _error(error: ErrorSignature, overall: Verdict) -> str:
    """Describe an error, with its verdict where that is not the one over all of them."""
    name = error.exception or "an error of a class that is not shown"
    task = f' in "{error.task}"' if error.task else ""
    jobs = f"{error.jobs} {'job' if error.jobs == 1 else 'jobs'}"
    attempts = f", {error.attempts} attempts" if error.attempts > error.jobs else ""
    verdict = "" if error.verdict == overall else f", {error.verdict}"
    return f"{name}{task} ({jobs}{attempts}{verdict}; {error.rule})"


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
    return f"Not used: {', '.join(missing)}" if missing else ""
