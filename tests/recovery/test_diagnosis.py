"""Why jobs fail is in the plan, and a recovery whose errors are transient is held before it touches anything."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from queue_recovery.api.diagnosis import Diagnosis
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.phase import timestamp
from tests.recovery.fakes import NOW, Case, target

STORE = {"urlSecretRef": {"name": "mongo", "key": "url"}, "database": "app", "collection": "jobs", "idType": "String"}
TRANSIENT = "ConnectionRefusedError: [Errno 111] Connection refused to alice@example.org"
DETERMINISTIC = "TypeError: unsupported operand type(s) for +: 'int' and 'str'"


def case(*errors: object, **fields: object) -> Case:
    """Return a recovery of one job for each error that documents hold, with a message in the queue."""
    made = Case(fields, jobs=[f"job-{number}" for number in range(len(errors))])
    for number, error in enumerate(errors):
        made.jobs.stored_errors[f"job-{number}"] = error
    made.broker.add("old-job-0")
    edit(made)
    return made


def edit(made: Case, **spec: object) -> None:
    store = {"mongodb": {**STORE, "fields": {"error": "error"}}}
    fields: Mapping[str, object] = {"jobStore": store, **spec}
    made.environment.targets["media"] = target(None, id_type="String", **fields)
    made.environment.report_change()


def diagnosis(made: Case) -> Diagnosis:
    assert made.status.plan is not None
    assert made.status.plan.diagnosis is not None
    return made.status.plan.diagnosis


def assert_untouched(made: Case) -> None:
    assert made.status.drain_start_time is None
    assert made.broker.queued() == ["old-job-0"]
    assert made.broker.locks == {}
    assert made.workers.replicas == {"worker": 2}


async def test_errors_that_no_retry_cures_are_named_and_the_recovery_runs() -> None:
    made = case(DETERMINISTIC, DETERMINISTIC)

    await made.reaches("Succeeded")

    assert diagnosis(made).verdict == "Deterministic"
    (error,) = diagnosis(made).errors
    assert (error.exception, error.task, error.rule) == ("TypeError", "tts.render", "python/TypeError")
    assert (error.jobs, error.attempts, error.identical) == (2, 2, 2)
    assert error.examples == ["job-0", "job-1"]


async def test_a_dry_run_says_in_a_sentence_why_the_jobs_fail() -> None:
    made = case(DETERMINISTIC, suspend=True)

    await made.reconciled()

    assert (
        'the errors are not transient, so a retry does not help: TypeError in "tts.render" (1 job; python/TypeError)'
    ) in made.status.message


async def test_transient_errors_hold_the_recovery_which_says_what_to_do_instead() -> None:
    made = case(TRANSIENT)

    running = made.start()
    message = await made.waits(Reason.TRANSIENT_ERRORS)

    assert message.startswith(f"fails at {timestamp(NOW + timedelta(minutes=15))} unless this is resolved: ")
    assert "the errors are transient, so a retry helps and nothing has to be purged: ConnectionRefusedError" in message
    assert "a recovery whose purge.mode is None" in message
    assert 'kubectl patch qt/media -n media --type=merge -p \'{"spec":{"policy":{"diagnosis":"Ignore"}}}\'' in message
    assert made.status.phase == "Planning"
    assert diagnosis(made).verdict == "Transient"
    assert_untouched(made)
    running.cancel()


async def test_it_goes_on_by_itself_once_the_policy_says_so() -> None:
    made = case(TRANSIENT)
    running = made.start()
    await made.waits(Reason.TRANSIENT_ERRORS)

    edit(made, policy={"diagnosis": "Ignore"})
    await running

    assert made.status.phase == "Succeeded"


async def test_it_goes_on_by_itself_once_the_evidence_is_another_one() -> None:
    made = case(TRANSIENT)
    running = made.start()
    await made.waits(Reason.TRANSIENT_ERRORS)

    made.jobs.stored_errors["job-0"] = DETERMINISTIC
    made.environment.report_change()
    await running

    assert made.status.phase == "Succeeded"
    assert diagnosis(made).verdict == "Deterministic"


@pytest.mark.parametrize("way", ["cancel", "deletion"])
async def test_while_it_is_held_it_can_be_cancelled_and_deleted(way: str) -> None:
    made = case(TRANSIENT)
    running = made.start()
    await made.waits(Reason.TRANSIENT_ERRORS)

    if way == "cancel":
        made.resource.change(cancel=True)
    else:
        made.resource.change(deleting=True)
    await running

    assert made.status.phase == "Cancelled"
    assert_untouched(made)
