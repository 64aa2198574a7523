"""Why jobs fail is in the plan, and a recovery whose errors are transient is held before it touches anything."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from queue_recovery.api.diagnosis import Diagnosis
from queue_recovery.api.reasons import Reason
from queue_recovery.diagnosis.evidence import ContainerEnd, MessageFacts, TaskResult
from queue_recovery.diagnosis.failure import failure_in
from queue_recovery.recovery import evidence
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Run
from queue_recovery.recovery.turn import Turn
from sandbox.processes import until
from tests.recovery.fakes import CLUSTER, NOW, Case, target

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
        'The errors are not transient, so a retry does not help: TypeError in "tts.render" (1 job; python/TypeError)'
    ) in made.status.message


async def test_transient_errors_hold_the_recovery_which_says_what_to_do_instead() -> None:
    made = case(TRANSIENT)

    running = made.start()
    message = await made.waits(Reason.TRANSIENT_ERRORS)

    assert message.startswith(f"fails at {timestamp(NOW + timedelta(minutes=15))} unless this is resolved: ")
    assert "the errors are transient, so a retry helps, and they need no purge: ConnectionRefusedError" in message
    assert "a recovery whose purge.mode is None" in message
    assert "counts for all queues of the target, and set it back to Hold afterwards: kubectl patch" in message
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


@pytest.mark.parametrize("source", ["the job store", "the results"])
async def test_it_is_held_on_while_its_evidence_cannot_be_read_any_more(source: str) -> None:
    """The outage that makes the jobs fail is likely to be that of the server which says why."""
    made = case(TRANSIENT if source == "the job store" else None)
    edit(made, **RESULTS)
    if source == "the results":
        made.environment.fake_results.results = {"old-job-0": result(TRANSIENT)}
    await held(made)
    of_source, call = (made.jobs, "errors") if source == "the job store" else (made.environment.fake_results, "read")
    of_source.fail_always(call, RecoveryError(Reason.BROKER_UNAVAILABLE, "away"))

    for _ in range(3):
        made.environment.time += timedelta(seconds=1)
        running = made.start()

        async def planned_again() -> bool:
            return made.status.plan is not None and made.status.plan.time == timestamp(made.environment.time)

        await until(planned_again, "the next plan")
        running.cancel()
        await asyncio.wait({running})

    assert_untouched(made)
    assert (diagnosis(made).verdict, len(diagnosis(made).missing)) == ("Transient", 1)
    assert "Not used: " in made.status.message
    edit(made, policy={"diagnosis": "Ignore"}, **RESULTS)
    await made.reaches("Succeeded")


async def held(made: Case) -> None:
    """Reconcile until the recovery is held, in a process that dies then."""
    running = made.start()
    await made.waits(Reason.TRANSIENT_ERRORS)
    running.cancel()
    await asyncio.wait({running})


async def test_another_process_holds_it_on_until_the_evidence_changes() -> None:
    made = case(TRANSIENT)
    await held(made)

    await held(made)

    assert_untouched(made)
    made.jobs.stored_errors["job-0"] = DETERMINISTIC
    await made.reaches("Succeeded")


async def test_while_it_is_held_it_holds_no_place_in_the_queue_for_the_lock() -> None:
    admission = Admission(1)
    made = case(TRANSIENT)
    running = asyncio.ensure_future(made.reconciled(Turn(admission, "media")))
    await made.waits(Reason.TRANSIENT_ERRORS)

    made.jobs.add("other")
    other = Case(jobs=["other"], environment=made.environment, uid=str(UUID(int=2)), name="other")
    await asyncio.wait_for(other.reconciled(Turn(admission, "media")), 5)

    assert other.status.phase == "Succeeded"
    running.cancel()


async def test_what_has_become_transient_while_it_waited_for_a_lock_holds_it_without_its_place() -> None:
    admission = Admission(1)
    made = case(DETERMINISTIC)
    made.broker.lock(Run(uid="other", name="media/other", cluster=CLUSTER, queue="tts", cluster_uid=CLUSTER))
    made.environment.existing["media/other"] = True
    running = asyncio.ensure_future(made.reconciled(Turn(admission, "media")))
    await made.waits(Reason.LOCKED)

    made.jobs.stored_errors["job-0"] = TRANSIENT
    del made.broker.locks["tts"]
    await made.waits(Reason.TRANSIENT_ERRORS)

    assert_untouched(made)
    made.jobs.add("later")
    later = Case(jobs=["later"], environment=made.environment, uid=str(UUID(int=2)), name="later")
    await asyncio.wait_for(later.reconciled(Turn(admission, "media")), 5)
    assert later.status.phase == "Succeeded"
    running.cancel()


async def test_it_fails_at_its_starting_deadline_and_says_why_it_was_held() -> None:
    made = case(TRANSIENT, startingDeadlineSeconds=60)
    running = made.start()
    await made.waits(Reason.TRANSIENT_ERRORS)

    made.environment.time += timedelta(seconds=60)
    made.environment.report_change()
    await running

    assert made.status.ending is not None
    assert made.status.ending.reason == Reason.STARTING_DEADLINE_EXCEEDED
    assert "nothing was touched. It last reported: the errors are transient" in made.status.message


async def test_a_dry_run_is_not_held_and_is_once_it_is_resumed() -> None:
    made = case(TRANSIENT, suspend=True)
    await made.reconciled()
    assert "The errors are transient, so a retry helps" in made.status.message
    assert made.status.message.startswith("suspended: would purge 1 message")
    assert "Once spec.suspend is false, the recovery is held while the errors are transient" in made.status.message
    edit(made, policy={"diagnosis": "Ignore"})
    await made.reconciled()
    assert "To continue, set spec.suspend to false; " in made.status.message

    edit(made)
    made.resource.change(suspend=False)
    await held(made)

    assert_untouched(made)


async def test_an_approval_is_asked_for_once_it_is_not_held_any_more() -> None:
    made = case(TRANSIENT)
    edit(made, policy={"approval": "Required"})
    running = made.start()
    await made.waits(Reason.TRANSIENT_ERRORS)
    assert made.status.approval is None

    edit(made, policy={"approval": "Required", "diagnosis": "Ignore"})
    await running

    assert made.status.phase == "AwaitingApproval"
    assert "The errors are transient" in made.status.message


@pytest.mark.parametrize(
    "fields",
    [
        {"purge": {"mode": "None"}},
        {"purge": {"mode": "None"}, "restart": {"annotate": True}},
        {"purge": {"select": {"tasks": ["other"]}}},
        {"purge": {"select": {"tasks": ["other"]}}, "jobs": [{"id": "job-0"}, {"id": "job-1"}]},
    ],
    ids=["enqueues only", "restarts", "takes nothing", "takes nothing and enqueues"],
)
async def test_a_recovery_that_purges_nothing_is_not_held(fields: dict[str, object]) -> None:
    made = case(TRANSIENT, **fields)
    made.jobs.add("job-1")
    made.jobs.stored_errors["job-1"] = TRANSIENT

    await made.reaches("Succeeded")

    assert diagnosis(made).verdict == "Transient"


async def test_the_errors_of_few_jobs_hold_no_recovery() -> None:
    made = case(TRANSIENT, None, None)

    await made.reaches("Succeeded")

    found = diagnosis(made)
    assert (found.verdict, found.known, found.of) == ("Transient", 1, 3)


async def test_a_message_says_of_how_many_no_error_is_known() -> None:
    made = case(DETERMINISTIC, None, suspend=True)

    await made.reconciled()

    assert (
        "(1 job; python/TypeError). The errors of 1 other job or retried message are not known" in made.status.message
    )


async def test_where_nothing_is_known_nothing_changes() -> None:
    made = case(None)

    await made.reaches("Succeeded")

    assert made.status.plan is not None
    assert made.status.plan.diagnosis is None


RESULTS: Mapping[str, object] = {"diagnosis": {"results": {}}}


def result(error: object, *, retries: int | None = None) -> TaskResult:
    return TaskResult(failure=failure_in(error), succeeded=False, task=None, retries=retries, seen=NOW)


async def test_results_of_the_jobs_and_of_retried_messages_are_evidence() -> None:
    made = case(None)
    edit(made, **RESULTS)
    made.environment.fake_results.results = {
        "old-job-0": result(DETERMINISTIC, retries=3),
        "retried": result(DETERMINISTIC),
        "unasked": result(TRANSIENT),
    }
    made.broker.facts = [
        MessageFacts(task_id="retried", task="tts.render", retries=7, redelivered=False, sent_by="worker-1"),
        MessageFacts(task_id="retried", task="tts.render", retries=7, redelivered=False, sent_by="worker-1"),
        MessageFacts(task_id=None, task=None, retries=1, redelivered=False, sent_by=None),
    ]

    await made.reaches("Succeeded")

    found = diagnosis(made)
    assert (found.verdict, found.known, found.of, found.retried, found.most_retries) == ("Deterministic", 2, 3, 2, 7)
    assert [(one.jobs, one.attempts, one.examples) for one in found.errors] == [(2, 11, ["job-0", "retried"])]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            RecoveryError(Reason.BROKER_UNAVAILABLE, "the broker is away. Wait"),
            "BrokerUnavailable (the broker is away)",
        ),
        (
            RecoveryError(Reason.SECRET_NOT_FOUND, 'no Secret "results". Create it'),
            'SecretNotFound (no Secret "results")',
        ),
        (ValueError("the card of alice"), "an unexpected error"),
    ],
)
@pytest.mark.parametrize("call", ["results", "read"])
async def test_results_that_cannot_be_read_are_named_and_prevent_nothing(error: Exception, why: str, call: str) -> None:
    made = case(DETERMINISTIC)
    edit(made, **RESULTS)
    (made.environment if call == "results" else made.environment.fake_results).fail_always(call, error)

    await made.reaches("Succeeded")

    assert diagnosis(made).missing == [f"Celery's results: {why}"]
    assert diagnosis(made).verdict == "Deterministic"
    assert "alice" not in made.status.model_dump_json()


async def test_results_that_never_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = case(None)
    edit(made, **RESULTS)
    monkeypatch.setattr(evidence, "SOURCE_SECONDS", 0.01)

    async def hang(task_ids: Sequence[str]) -> Mapping[str, TaskResult]:
        del task_ids
        return await asyncio.Future[Mapping[str, TaskResult]]()

    monkeypatch.setattr(made.environment.fake_results, "read", hang)

    await made.reaches("Succeeded")

    assert diagnosis(made).missing == ["Celery's results: no answer within 0 s"]


async def test_errors_of_the_job_store_that_cannot_be_read_are_named_too() -> None:
    made = case(DETERMINISTIC)
    made.jobs.fail_always("errors", RecoveryError(Reason.JOB_STORE_UNAVAILABLE, "away"))

    await made.reaches("Succeeded")

    assert diagnosis(made).missing == ["the errors in the job store: JobStoreUnavailable (away)"]


RETRIED = MessageFacts(task_id="m", task="t", retries=3, redelivered=False, sent_by=None)
NO_FIELD = {"jobStore": {"mongodb": {**STORE, "fields": {}}}}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (NO_FIELD, "map fields.error in the target's jobStore, or set diagnosis.results"),
        ({**NO_FIELD, **RESULTS}, "map fields.error in the target's jobStore"),
        ({}, "list the jobs, whose documents have their errors, or set diagnosis.results"),
        (RESULTS, "list the jobs, whose documents have their errors"),
        ({"jobStore": None}, "set diagnosis.results"),
        ({"jobStore": None, **RESULTS}, "let Celery store the results of these tasks, so without ignore_result"),
    ],
)
async def test_where_no_error_is_known_the_plan_says_how_to_know_it(spec: Mapping[str, object], says: str) -> None:
    made = case(suspend=True)
    made.broker.facts = [RETRIED]
    edit(made, **spec)

    await made.reconciled()

    assert (diagnosis(made).known, diagnosis(made).of) == (0, 1)
    assert f". Why they fail is not known: {says}." in made.status.message


async def test_where_a_source_is_away_the_plan_does_not_ask_for_more() -> None:
    away = case(suspend=True)
    away.broker.facts = [RETRIED]
    edit(away, **RESULTS, **NO_FIELD)
    away.environment.fail_always("results", RecoveryError(Reason.BROKER_UNAVAILABLE, "away"))
    await away.reconciled()

    assert diagnosis(away).missing == ["Celery's results: BrokerUnavailable (away)"]


async def test_of_redelivered_messages_the_workers_containers_tell_more() -> None:
    made = case(None)
    made.broker.facts = [MessageFacts(task_id="m", task="t", retries=0, redelivered=True, sent_by=None)]
    made.workers.change("worker", ends=(ContainerEnd(restarts=5, reason="OOMKilled", exit_code=137),))

    await made.reaches("Succeeded")

    workers = diagnosis(made).workers
    assert workers is not None
    assert (workers.restarts, workers.out_of_memory, workers.exit_codes) == (5, 1, [137])


async def test_a_rule_of_the_target_decides_and_an_invalid_one_is_named() -> None:
    made = case("VoiceError: quota of alice is used up")
    rules = [{"message": "(", "verdict": "Deterministic"}, {"message": "quota", "verdict": "Transient"}]
    edit(made, diagnosis={"rules": rules})

    await held(made)

    (error,) = diagnosis(made).errors
    assert (error.verdict, error.rule, error.exception) == ("Transient", "target/rules[1]", "VoiceError")
    assert diagnosis(made).missing == ["diagnosis.rules[0]: no valid regular expression"]
    assert "alice" not in made.status.model_dump_json()


async def test_it_can_die_at_every_call_before_it_is_held_and_after() -> None:
    for number in range(1, 100):
        made = case(TRANSIENT)
        edit(made, **RESULTS)
        before = Counter(made.broker.queued())
        if not await dies_while_held(made, number):
            return
        assert Counter(made.broker.queued()) == before
        assert_untouched(made)
        made.jobs.stored_errors["job-0"] = DETERMINISTIC
        await made.reaches("Succeeded")
    raise AssertionError("it never came to wait")


async def dies_while_held(made: Case, number: int) -> bool:
    """Reconcile in a process that dies at its call of that number; tell whether it came to it before it waited."""
    dying = asyncio.ensure_future(made.dies_at(number))
    waiting = asyncio.ensure_future(made.waits(Reason.TRANSIENT_ERRORS))
    await asyncio.wait({dying, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    died = dying.done()
    dying.cancel()
    await asyncio.wait({dying})
    return died and dying.result()


@pytest.mark.parametrize("way", ["cancel", "deletion"])
async def test_while_it_is_held_it_can_be_cancelled_and_deleted(way: str) -> None:
    made = case(TRANSIENT)
    await is_ended(made, Reason.TRANSIENT_ERRORS, way)
    assert_untouched(made)


async def is_ended(made: Case, held: Reason, way: str) -> None:
    """Start a recovery that is held for that reason, cancel or delete it, and wait until it is cancelled."""
    running = made.start()
    await made.waits(held)

    if way == "cancel":
        made.resource.change(cancel=True)
    else:
        made.resource.change(deleting=True)
    await running

    assert made.status.phase == "Cancelled"
