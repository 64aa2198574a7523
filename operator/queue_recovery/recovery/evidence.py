"""Gather the evidence of why jobs fail. Nothing depends on it: what cannot be read is named, and not waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from queue_recovery.api.diagnosis import Diagnosis
from queue_recovery.api.target import QueueSpec, QueueTargetSpec
from queue_recovery.diagnosis.evidence import ContainerEnd, Evidence, JobEvidence, MessageFacts, TaskResult
from queue_recovery.diagnosis.failure import Failure
from queue_recovery.diagnosis.signatures import Judged, Signatures
from queue_recovery.diagnosis.verdict import diagnosis_of
from queue_recovery.recovery.best_effort import log_unexpected
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.evidence_sources import SOURCE_SECONDS, invalid_rules, read_results, unused_sources
from queue_recovery.recovery.frozen_jobs import store_of
from queue_recovery.recovery.jobs import ListedJob, task_name
from queue_recovery.recovery.ports import StoredJob
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.recovery import Recovery

Report = Callable[[str, Exception], None]
"""Takes what met an unexpected error, and the error."""

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
    target = await recovery.target()
    gathering = _Gathering(recovery.environment, target, partial(log_unexpected, recovery))
    queues = await recovery.queues()
    listed = {
        job.id: JobEvidence(name=job.label, task=task_name(job, stored.get(job.id), queues[job.queue]))
        for job in jobs
        if job.id is not None
    }
    await gathering.check_rules()
    errors = await gathering.errors(recovery, [job for job in jobs if job.id is not None])
    task_ids = {job: one.task_id for job, one in stored.items() if job in listed and one.task_id}
    found = await gathering.with_results(listed, errors, task_ids, facts)
    evidence = Evidence(jobs=found, ends=await gathering.ends(found, queues), missing=gathering.missing)
    return await _judged(target, evidence, lists_jobs=bool(jobs))


async def diagnose_messages(
    environment: Environment, target: QueueTargetSpec, queue: QueueSpec, facts: Sequence[MessageFacts], report: Report
) -> Diagnosis | None:
    """Return why the tasks of these messages fail, of which no job is listed; see `diagnose`.

    Args:
        environment: the target's.
        target: that says where evidence is.
        queue: of the messages.
        facts: of the messages.
        report: takes what met an unexpected error, and the error.
    """
    gathering = _Gathering(environment, target, report)
    await gathering.check_rules()
    found = await gathering.with_results({}, {}, {}, facts)
    ends = await gathering.ends(found, {queue.name: queue})
    return await _judged(target, Evidence(jobs=found, ends=ends, missing=gathering.missing), lists_jobs=False)


async def _judged(target: QueueTargetSpec, evidence: Evidence, *, lists_jobs: bool) -> Diagnosis | None:
    rules = target.diagnosis.rules
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
    found = diagnosis_of(judged, evidence, known=signatures.known, named=named)
    if found is None or found.known or found.missing or not found.of:
        return found
    return found.model_copy(update={"missing": unused_sources(target, lists_jobs=lists_jobs)})


def has_lost_errors(now: Diagnosis, before: Diagnosis) -> bool:
    """Tell whether fewer errors are known than before, and a source of them could not be read."""
    is_away = any(one.startswith((_IN_JOB_STORE, _IN_RESULTS)) for one in now.missing)
    return is_away and now.known < before.known


class _Gathering:
    """Reads one source after the other, and records which could not be read."""

    def __init__(self, environment: Environment, target: QueueTargetSpec, report: Report) -> None:
        self._environment = environment
        self._target = target
        self._report = report
        self.missing: list[str] = []

    async def check_rules(self) -> None:
        """Record rules of the target that say nothing."""
        for number in await invalid_rules(self._target):
            self.missing.append(f"diagnosis.rules[{number}]: no valid regular expression")

    async def errors(self, recovery: Recovery, jobs: Sequence[ListedJob]) -> Mapping[str, Failure]:
        """Return the errors in the documents of these jobs, by id."""
        store = self._target.job_store
        if not jobs or store is None or not store.mongodb.fields.error:
            return {}
        found: dict[str, Failure] = {}
        async with self._noting(_IN_JOB_STORE):
            reading = (await store_of(recovery, jobs)).errors([job.id or "" for job in jobs])
            found |= {job_id: failure async for job_id, failure in reading}
        return found

    async def with_results(
        self,
        jobs: Mapping[str, JobEvidence],
        errors: Mapping[str, Failure],
        task_ids: Mapping[str, str],
        facts: Sequence[MessageFacts],
    ) -> Sequence[JobEvidence]:
        """Return what is known of jobs, and of messages of none of them.

        Args:
            jobs: those that are listed, by id.
            errors: in their documents, by id.
            task_ids: of these jobs.
            facts: of messages.
        """
        results = await self._results([*task_ids.values(), *(one.task_id for one in facts if one.task_id)])
        by_id = {one.task_id: one for one in facts if one.task_id}
        found = [
            replace(
                job,
                stored=errors.get(job_id),
                result=results.get(task_ids.get(job_id, "")),
                message=by_id.pop(task_ids.get(job_id, ""), None),
            )
            for job_id, job in jobs.items()
        ]
        others = [*by_id.values(), *(one for one in facts if not one.task_id)]
        return [
            *found,
            *(
                JobEvidence(name=one.task_id or "", task=one.task, result=results.get(one.task_id or ""), message=one)
                for one in others
            ),
        ]

    async def _results(self, task_ids: Sequence[str]) -> Mapping[str, TaskResult]:
        if not task_ids or self._target.diagnosis.results is None:
            return {}
        async with self._noting(_IN_RESULTS):
            return await read_results(self._environment, self._target, list(dict.fromkeys(task_ids)))
        return {}

    async def ends(self, jobs: Sequence[JobEvidence], queues: Mapping[str, QueueSpec]) -> Sequence[ContainerEnd] | None:
        """Return how the containers of the queues' workers have ended, if that explains anything."""
        if not any(map(_was_killed, jobs)):
            return None
        async with self._noting("pods of the workers"):
            workers = await self._environment.workers.look(workers_of(queues.values()))
            return [end for worker in workers for end in worker.ends]
        return None

    @asynccontextmanager
    async def _noting(self, what: str) -> AsyncIterator[None]:
        """Suppress every error of a source, and record that it could not be read."""
        try:
            async with asyncio.timeout(SOURCE_SECONDS):
                yield
        except TimeoutError:
            self.missing.append(f"{what}: no answer within {SOURCE_SECONDS:.0f} s")
        except RecoveryError as error:
            problem, _, _ = error.message.partition(". ")
            self.missing.append(f"{what}: {error.reason} ({problem})")
        except Exception as error:  # noqa: BLE001  # any that a driver raises
            self.missing.append(f"{what}: an unexpected error")
            self._report(f"reading {what}", error)


def _was_killed(job: JobEvidence) -> bool:
    """Tell whether the worker of a job may have been killed."""
    if job.message is not None and job.message.redelivered and not job.message.retries:
        return True
    failures = [job.stored, job.result.failure if job.result else None]
    return any(one is not None and one.exception.rpartition(".")[2] == "WorkerLostError" for one in failures)
