"""Gather the evidence of why jobs fail. Nothing depends on it: what cannot be read is named, and not waited for."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from queue_recovery.api.diagnosis import Diagnosis
from queue_recovery.diagnosis.evidence import ContainerEnd, Evidence, JobEvidence, MessageFacts, TaskResult
from queue_recovery.diagnosis.failure import Failure
from queue_recovery.diagnosis.rules import is_valid
from queue_recovery.diagnosis.signatures import Judged, Signatures
from queue_recovery.diagnosis.verdict import diagnosis_of
from queue_recovery.recovery.best_effort import log_unexpected
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.frozen_jobs import store_of
from queue_recovery.recovery.jobs import ListedJob, task_name
from queue_recovery.recovery.ports import StoredJob
from queue_recovery.recovery.recovery import Recovery

_SECONDS: Final = 5.0
"""For each source of evidence: a plan does not wait longer for a server that does not answer."""

_IN_JOB_STORE: Final = "the errors in the job store"
_IN_RESULTS: Final = "Celery's results"

_AT_ONCE: Final = 50
"""Jobs between two turns of the event loop."""


async def diagnose(
    recovery: Recovery,
    jobs: Sequence[ListedJob],
    stored: Mapping[str, StoredJob],
    facts: Sequence[MessageFacts],
) -> Diagnosis | None:
    """Return why the jobs of a recovery fail, as far as it is known; None: nothing is known of it.

    Args:
        recovery: whose target says where evidence is.
        jobs: those that are listed.
        stored: their documents, by id.
        facts: of messages that were retried or redelivered.
    """
    rules = (await recovery.target()).diagnosis.rules
    gathering = _Gathering(recovery)
    evidence = await gathering.evidence(jobs, stored, facts)
    signatures = Signatures()
    for number, job in enumerate(evidence.jobs):
        signatures.add(job)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    judged: list[Judged] = []
    for one in signatures.judged(rules):
        judged.append(one)
        await asyncio.sleep(0)
    named = [rule.exception for rule in rules if rule.exception is not None]
    return diagnosis_of(judged, evidence, known=signatures.known, named=named)


def has_lost_errors(now: Diagnosis, before: Diagnosis) -> bool:
    """Tell whether fewer errors are known than before, and a source of them could not be read."""
    is_away = any(one.startswith((_IN_JOB_STORE, _IN_RESULTS)) for one in now.missing)
    return is_away and now.known < before.known


class _Gathering:
    """Reads one source after the other, and records which could not be read."""

    def __init__(self, recovery: Recovery) -> None:
        self._recovery = recovery
        self._missing: list[str] = []

    async def evidence(
        self, jobs: Sequence[ListedJob], stored: Mapping[str, StoredJob], facts: Sequence[MessageFacts]
    ) -> Evidence:
        """Return all that can be read."""
        target = await self._recovery.target()
        for number, rule in enumerate(target.diagnosis.rules):
            if not is_valid(rule):
                self._missing.append(f"diagnosis.rules[{number}]: no valid regular expression")
            await asyncio.sleep(0)
        listed = [job for job in jobs if job.id is not None]
        errors = await self._errors(listed)
        ids = [one.task_id for job in listed if (one := stored.get(job.id or "")) is not None and one.task_id]
        results = await self._results([*ids, *(one.task_id for one in facts if one.task_id)])
        queues = await self._recovery.queues()
        by_id = {one.task_id: one for one in facts if one.task_id}
        found = []
        for job in listed:
            document = stored.get(job.id or "")
            task_id = document.task_id if document is not None else None
            found.append(
                JobEvidence(
                    name=job.label,
                    task=task_name(job, document, queues[job.queue]),
                    stored=errors.get(job.id or ""),
                    result=results.get(task_id or ""),
                    message=by_id.pop(task_id, None) if task_id else None,
                )
            )
        found += [
            JobEvidence(name=one.task_id or "", task=one.task, result=results.get(one.task_id or ""), message=one)
            for one in [*by_id.values(), *(one for one in facts if not one.task_id)]
        ]
        return Evidence(jobs=found, ends=await self._ends(found), missing=self._missing)

    async def _errors(self, jobs: Sequence[ListedJob]) -> Mapping[str, Failure]:
        store = (await self._recovery.target()).job_store
        if not jobs or store is None or not store.mongodb.fields.error:
            return {}
        found: dict[str, Failure] = {}
        async with self._noting(_IN_JOB_STORE):
            reading = (await store_of(self._recovery, jobs)).errors([job.id or "" for job in jobs])
            found |= {job_id: failure async for job_id, failure in reading}
        return found

    async def _results(self, task_ids: Sequence[str]) -> Mapping[str, TaskResult]:
        target = await self._recovery.target()
        if not task_ids or target.diagnosis.results is None:
            return {}
        async with self._noting(_IN_RESULTS):
            results = await self._recovery.environment.results(target)
            try:
                return await results.read(list(dict.fromkeys(task_ids)))
            finally:
                await results.aclose()
        return {}

    async def _ends(self, jobs: Sequence[JobEvidence]) -> Sequence[ContainerEnd] | None:
        """Return how the workers' containers have ended, if that explains anything."""
        if not any(map(_was_killed, jobs)):
            return None
        async with self._noting("pods of the workers"):
            workers = await self._recovery.environment.workers.look(
                workers_of((await self._recovery.queues()).values())
            )
            return [end for worker in workers for end in worker.ends]
        return None

    @asynccontextmanager
    async def _noting(self, what: str) -> AsyncIterator[None]:
        """Suppress every error of a source, and record that it could not be read."""
        try:
            async with asyncio.timeout(_SECONDS):
                yield
        except TimeoutError:
            self._missing.append(f"{what}: no answer within {_SECONDS:.0f} s")
        except RecoveryError as error:
            self._missing.append(f"{what}: {error.reason}")
        except Exception as error:  # noqa: BLE001  # any that a driver raises
            self._missing.append(f"{what}: an unexpected error")
            log_unexpected(self._recovery, f"reading {what}", error)


def _was_killed(job: JobEvidence) -> bool:
    """Tell whether the worker of a job may have been killed."""
    if job.message is not None and job.message.redelivered and not job.message.retries:
        return True
    failures = [job.stored, job.result.failure if job.result else None]
    return any(one is not None and one.exception.rpartition(".")[2] == "WorkerLostError" for one in failures)
