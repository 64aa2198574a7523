"""Failures that are alike, counted: same task, same exception, same message but for its values. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from queue_recovery.api.diagnosis import MOST_JOBS, DiagnosisRule, Verdict
from queue_recovery.diagnosis.evidence import JobEvidence
from queue_recovery.diagnosis.failure import Failure
from queue_recovery.diagnosis.fingerprint import normalised
from queue_recovery.diagnosis.rules import judge

MOST_SIGNATURES: Final = 50
"""Signatures that are counted; each costs a trial of all rules. The failures of others are of no verdict."""

PERSISTS: Final = "identical"
"""All attempts fail identically, for longer than an outage."""

SUCCEEDED: Final = "succeeded-later"
"""A task that failed so has succeeded at a later attempt."""

_FEW_ATTEMPTS: Final = 5
_OUTAGE: Final = timedelta(hours=24)
"""What fails identically for as long, without a success in between, is taken for no outage any more."""
_WITH_SUCCESSES: Final = timedelta(hours=1)
"""The same if other jobs of the task have succeeded meanwhile, so that what it depends on has answered."""


@dataclass(kw_only=True)
class Signature:
    """Failures that are alike."""

    task: str | None
    failure: Failure
    """The first of them."""
    attempts: int = 0
    fewest_attempts: int | None = None
    """Of the job that was tried least often; None: there is no job."""
    members: set[int] = field(default_factory=set)
    """The jobs, by their numbers; one job may have failed in several ways."""
    succeeded: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    examples: list[str] = field(default_factory=list)
    messages: Counter[int] = field(default_factory=Counter)
    """Hashes of the very messages."""

    @property
    def jobs(self) -> int:
        """How many jobs failed like this."""
        return len(self.members)

    def add(
        self, number: int, name: str, failure: Failure, *, attempts: int, succeeded: bool, seen: datetime | None
    ) -> None:
        """Count a job that failed like this."""
        self.members.add(number)
        self.attempts += attempts
        self.fewest_attempts = min(attempts, self.fewest_attempts or attempts)
        self.succeeded += succeeded
        self.messages[hash(failure.message)] += 1
        if name and len(self.examples) < MOST_JOBS:
            self.examples.append(name)
        if seen is not None:
            self.first_seen = min(seen, self.first_seen or seen)
            self.last_seen = max(seen, self.last_seen or seen)

    @property
    def identical(self) -> int:
        """How many of the jobs have the very same message."""
        return max(self.messages.values(), default=0)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A signature with its verdict."""

    signature: Signature
    verdict: Verdict
    rule: str


class Signatures:
    """Counts the failures of jobs, one after the other, in bounded memory."""

    def __init__(self) -> None:
        """Begin without any."""
        self.known = 0
        """Jobs with a known failure."""
        self.looked_at = 0
        self._found: dict[tuple[str | None, str, str], Signature] = {}
        self._successes: dict[str, list[datetime]] = {}
        """When jobs of a task have succeeded, by task."""

    def add(self, job: JobEvidence) -> None:
        """Count what is known of a job."""
        result, message = job.result, job.message
        task = job.task or (result.task if result else None) or (message.task if message else None)
        if result is not None and result.succeeded and result.seen is not None and task is not None:
            self._successes.setdefault(task, []).append(result.seen)
        self.looked_at += 1
        failures = list(_failures(job))
        if not failures:
            return
        self.known += 1
        # A message that was retried five times waits for its sixth attempt; a result is that of the last one.
        of_result = 0 if result is None or result.retries is None else result.retries + 1
        attempts = max(1, message.retries if message else 0, of_result)
        for place, failure in enumerate(failures):
            signature = self._signature(task, failure)
            if signature is not None:
                signature.add(
                    self.looked_at,
                    job.name,
                    failure,
                    # Which attempts failed in another way is not known.
                    attempts=attempts if len(failures) == 1 else 1,
                    succeeded=result is not None and result.succeeded,
                    seen=result.seen if result is not None and place == 0 else None,
                )

    def judged(self, rules: Sequence[DiagnosisRule]) -> Iterator[Judged]:
        """Judge each signature; the caller may let others run in between."""
        for signature in self._found.values():
            yield self._judged(signature, rules)

    @property
    def total(self) -> int:
        """How many signatures there are."""
        return len(self._found)

    def _signature(self, task: str | None, failure: Failure) -> Signature | None:
        key = (task, failure.exception, normalised(failure.message))
        if key not in self._found and len(self._found) == MOST_SIGNATURES:
            return None
        return self._found.setdefault(key, Signature(task=task, failure=failure))

    def _judged(self, signature: Signature, rules: Sequence[DiagnosisRule]) -> Judged:
        found = judge(signature.failure, rules)
        if found.rule.startswith("target/"):
            return Judged(signature=signature, verdict=found.verdict, rule=found.rule)
        if signature.succeeded:
            verdict: Verdict = "Mixed" if found.verdict == "Deterministic" else found.verdict
            return Judged(signature=signature, verdict=verdict, rule=SUCCEEDED if verdict == "Mixed" else found.rule)
        if found.verdict != "Deterministic" and self._persists(signature):
            # What is usually transient may be an outage of days: then it is not known.
            if found.verdict == "Transient":
                return Judged(signature=signature, verdict="Unknown", rule=PERSISTS)
            # Jobs that were tried once or twice each may have met several short outages, or a limit of a service.
            if (signature.fewest_attempts or 0) >= _FEW_ATTEMPTS:
                return Judged(signature=signature, verdict="Deterministic", rule=PERSISTS)
        return Judged(signature=signature, verdict=found.verdict, rule=found.rule)

    def _persists(self, signature: Signature) -> bool:
        """Tell whether all known attempts of the task fail identically, and for longer than an outage."""
        first, last = signature.first_seen, signature.last_seen
        others = [one for one in self._found.values() if one.task == signature.task and one is not signature]
        if first is None or last is None or others or signature.identical < signature.jobs:
            return False
        between = any(first < one < last for one in self._successes.get(signature.task or "", ()))
        return signature.attempts >= _FEW_ATTEMPTS and last - first >= (_WITH_SUCCESSES if between else _OUTAGE)


def _failures(job: JobEvidence) -> Iterable[Failure]:
    """Yield the known failures of a job: of its result, which names the class in full, and of its document."""
    of_result = None if job.result is None else job.result.failure
    if of_result is not None:
        yield of_result
    if job.stored is not None and (of_result is None or not _is_same(job.stored, of_result)):
        yield job.stored


def _is_same(stored: Failure, of_result: Failure) -> bool:
    """Tell whether an application has stored the same failure as Celery, in its own words."""
    last = of_result.exception.rpartition(".")[2]
    return not stored.exception or stored.exception.rpartition(".")[2] == last
