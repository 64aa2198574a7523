"""What many failures mean together: alike ones are counted as one error, and a verdict needs enough of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.diagnosis import MOST_ERRORS, Diagnosis, DiagnosisRule
from queue_recovery.diagnosis.evidence import ContainerEnd, Evidence, JobEvidence, MessageFacts, TaskResult
from queue_recovery.diagnosis.failure import failure_in
from queue_recovery.diagnosis.fingerprint import fingerprint, looks_like_a_class, normalised
from queue_recovery.diagnosis.sentences import sentence
from queue_recovery.diagnosis.signatures import MOST_SIGNATURES, Signatures
from queue_recovery.diagnosis.verdict import diagnosis_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REFUSED = {"exc_type": "ConnectionRefusedError", "exc_module": "builtins", "exc_message": [111, "refused"]}
WRONG = {"exc_type": "TypeError", "exc_module": "builtins", "exc_message": ["no such operand"]}
OWN = {"exc_type": "VoiceError", "exc_module": "app.voices", "exc_message": ["no voice"]}


def failed(error: object, *, at: timedelta | None = None, retries: int = 0, name: str = "a") -> JobEvidence:
    """Return a job with such a result, done some time after noon."""
    seen = None if at is None else NOON + at
    result = TaskResult(failure=failure_in(error), succeeded=False, task=None, retries=retries, seen=seen)
    return JobEvidence(name=name, task="tts.render", result=result)


def succeeded(*, at: timedelta, error: object = None) -> JobEvidence:
    result = TaskResult(failure=None, succeeded=True, task=None, retries=None, seen=NOON + at)
    return JobEvidence(name="b", task="tts.render", result=result, stored=failure_in(error))


def message(*, retries: int = 0, redelivered: bool = False, host: str | None = None) -> JobEvidence:
    facts = MessageFacts(task_id="m", task="tts.render", retries=retries, redelivered=redelivered, sent_by=host)
    return JobEvidence(name="m", task="tts.render", message=facts)


def diagnosed(
    *jobs: JobEvidence, rules: Sequence[DiagnosisRule] = (), ends: Sequence[ContainerEnd] | None = None
) -> Diagnosis:
    found = diagnosis(*jobs, rules=rules, ends=ends)
    assert found is not None
    return found


def diagnosis(
    *jobs: JobEvidence, rules: Sequence[DiagnosisRule] = (), ends: Sequence[ContainerEnd] | None = None
) -> Diagnosis | None:
    signatures = Signatures()
    for job in jobs:
        signatures.add(job)
    return diagnosis_of(list(signatures.judged(rules)), Evidence(jobs=jobs, ends=ends), known=signatures.known)


def test_where_nothing_is_known_there_is_no_diagnosis() -> None:
    assert diagnosis() is None
    assert diagnosis(JobEvidence(name="a", task="tts.render")) is None


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ([REFUSED], "Transient"),
        ([WRONG], "Deterministic"),
        ([OWN], "Unknown"),
        ([REFUSED, WRONG], "Mixed"),
        ([REFUSED, OWN], "Transient"),
        ([REFUSED, OWN, OWN], "Unknown"),
        ([WRONG, None], "Deterministic"),
        ([REFUSED, None, None], "Transient"),
    ],
)
def test_the_verdict_is_that_of_half_of_the_jobs_whose_errors_are_known(errors: list[object], verdict: str) -> None:
    assert diagnosed(*map(failed, errors)).verdict == verdict


def test_messages_that_differ_in_their_values_only_are_one_error_and_identical_ones_are_counted() -> None:
    errors = [
        {**OWN, "exc_message": [f"voice '{voice}' of {user}@example.org at /data/{user}.wav: 0x{number:x} of 7"]}
        for number, (voice, user) in enumerate([("alto", "alice"), ("bass", "bob"), ("bass", "bob")])
    ]
    found = diagnosed(*(failed(error, retries=2, name=f"job-{number}") for number, error in enumerate(errors)))

    (error,) = found.errors
    assert (error.jobs, error.attempts, error.identical) == (3, 9, 1)
    assert error.examples == ["job-0", "job-1", "job-2"]


HOURS = [timedelta(hours=0.01), timedelta(hours=1.5), timedelta(hours=25)]


@pytest.mark.parametrize("error", [REFUSED, OWN])
@pytest.mark.parametrize("span", HOURS)
@pytest.mark.parametrize("others_succeed", [False, True])
def test_only_what_fails_identically_for_longer_than_an_outage_is_no_transient_error(
    error: object, span: timedelta, *, others_succeed: bool
) -> None:
    jobs = [failed(error, at=span * part / 4, retries=4) for part in range(5)]
    if others_succeed:
        jobs.append(succeeded(at=span / 2))
    (found,) = diagnosed(*jobs).errors

    persists = span > timedelta(hours=24) or (others_succeed and span > timedelta(hours=1))
    usual = "Transient" if error is REFUSED else "Unknown"
    # What is usually transient is not called deterministic, however long it lasts: it may be an outage of days.
    lasting = "Unknown" if error is REFUSED else "Deterministic"
    assert (found.verdict, found.rule == "identical") == (lasting if persists else usual, persists)
    assert found.first_seen_time == "2026-01-01T12:00:00Z"


@pytest.mark.parametrize("others_succeed", [False, True])
def test_jobs_that_were_tried_once_each_may_have_met_short_outages_or_a_limit(*, others_succeed: bool) -> None:
    jobs = [failed({**OWN, "exc_message": ["all voices are in use"]}, at=HOURS[2] * part / 4) for part in range(5)]
    jobs += [succeeded(at=HOURS[1])] * others_succeed

    (error,) = diagnosed(*jobs).errors

    assert (error.verdict, error.rule) == ("Unknown", "no-rule")


@pytest.mark.parametrize(
    "jobs",
    [
        [failed(OWN, at=HOURS[2] * part) for part in range(4)],
        [failed({**OWN, "exc_message": [f"no voice {n}"]}, at=HOURS[2] * n) for n in range(5)],
        [*(failed(OWN, at=HOURS[2] * part) for part in range(5)), failed(REFUSED, at=HOURS[2])],
        [failed(OWN) for _ in range(50)],
    ],
    ids=["few attempts", "not identical", "another error of the task", "no times"],
)
def test_less_than_that_proves_nothing(jobs: list[JobEvidence]) -> None:
    assert all(error.rule != "identical" for error in diagnosed(*jobs).errors)


def test_a_job_that_succeeded_later_makes_a_deterministic_error_a_mixed_one() -> None:
    found = diagnosed(failed(WRONG), succeeded(at=HOURS[0], error="TypeError: no such operand"))

    assert [(one.verdict, one.rule) for one in found.errors if one.succeeded] == [("Mixed", "succeeded-later")]


def test_what_the_application_and_celery_have_stored_of_one_failure_is_counted_once() -> None:
    job = failed(WRONG)
    same = JobEvidence(name="a", task="t", result=job.result, stored=failure_in("TypeError: unsupported"))
    other = JobEvidence(name="a", task="t", result=job.result, stored=failure_in("VoiceError: none"))

    assert diagnosed(same).errors_total == 1
    assert diagnosed(other).errors_total == 2


def test_a_rule_of_the_target_holds_however_long_an_error_lasts() -> None:
    rule = DiagnosisRule(exception="app.voices.VoiceError", verdict="Transient")
    jobs = [failed(OWN, at=HOURS[2] * part) for part in range(5)]

    (error,) = diagnosed(*jobs, rules=[rule]).errors

    assert (error.verdict, error.rule) == ("Transient", "target/rules[0]")


def test_redelivered_messages_are_told_with_how_the_workers_have_ended() -> None:
    ends = [
        ContainerEnd(restarts=4, reason="OOMKilled", exit_code=137),
        ContainerEnd(restarts=1, reason="Error", exit_code=1),
        ContainerEnd(restarts=1, reason="OOMKilled", exit_code=137),
    ]
    found = diagnosed(message(redelivered=True), message(retries=3, redelivered=True, host="worker-1"), ends=ends)

    assert (found.verdict, found.redelivered, found.retried, found.most_retries) == ("Unknown", 1, 1, 3)
    assert found.retried_by == ["worker-1"]
    assert found.workers is not None
    assert (found.workers.restarts, found.workers.out_of_memory, found.workers.exit_codes) == (6, 2, [137, 1])
    assert sentence(found) == (
        "1 message was delivered again without a retry, and containers of the workers were OOMKilled"
    )


def test_an_error_of_another_verdict_is_not_called_transient() -> None:
    """Half of the jobs are enough for the verdict over all."""
    found = diagnosed(
        *(failed(REFUSED, name=f"a{n}") for n in range(2)), *(failed(OWN, name=f"b{n}") for n in range(2))
    )

    assert found.verdict == "Transient"
    assert sentence(found) == (
        "At least half of the known failures are transient, so a retry helps these, and they need no purge: "
        'ConnectionRefusedError in "tts.render" (2 jobs; python/ConnectionError), app.voices.VoiceError in '
        '"tts.render" (2 jobs, Unknown; no-rule)'
    )


def test_mixed_errors_have_each_its_verdict() -> None:
    found = diagnosed(failed(WRONG, name="a"), failed(REFUSED, name="b"))

    assert "(1 job, Deterministic; python/TypeError)" in sentence(found)
    assert "(1 job, Transient; python/ConnectionError)" in sentence(found)


def test_an_error_whose_class_is_not_shown_says_how_to_have_it_shown() -> None:
    found = diagnosed(failed({"exc_type": "own", "exc_module": "secret", "exc_message": ["m"]}))

    assert 'an error of a class that is not shown in "tts.render" (1 job; no-rule)' in sentence(found)
    assert sentence(found).endswith("To have its class shown, name it in diagnosis.rules of the target")


def test_messages_that_a_clean_stop_gave_back_are_counted_and_not_talked_about() -> None:
    found = diagnosed(message(redelivered=True), ends=[ContainerEnd(restarts=1, reason="Error", exit_code=1)])

    assert (found.redelivered, sentence(found)) == (1, "")


def test_a_status_stays_small_no_matter_how_much_fails() -> None:
    jobs = [failed({**OWN, "exc_type": f"V{n}Error"}, name=f"{n}" * 500) for n in range(1000)]
    found = diagnosed(*jobs)

    assert (len(found.errors), found.errors_total, found.known) == (MOST_ERRORS, MOST_SIGNATURES, 1000)
    assert len(found.model_dump_json()) < 20_000


SECRETS = [
    "hunter2",
    "AKIAIOSFODNN7EXAMPLE",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "eyJhbGciOiJIUzI1NiJ9",
    "Alice",
    "Passwort1234",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "form",
    [
        "{}: no",
        "{}",
        "TypeError: {}",
        "ValueError: could not parse '{}'",
        "app.{}.thing: no",
        "requests.{}.ConnectionError: no",
        "botocore.errorfactory.{}: no",
        'Traceback (most recent call last):\n  File "/a.py", line 1, in a\n    {}\n{}: {}',
    ],
)
def test_nothing_of_a_message_nor_what_only_looks_like_a_class_is_shown(secret: str, form: str) -> None:
    text = form.replace("{}", secret)
    objects = [{"type": secret, "message": text}, {"exc_type": "E", "exc_module": secret, "exc_message": [secret]}]
    jobs = [JobEvidence(name="a", task="t", stored=failure_in(one)) for one in [text, *objects]]
    found = diagnosed(*jobs)

    assert secret.lower() not in found.model_dump_json().lower()
    assert secret.lower() not in sentence(found).lower()
    assert not any(secret in repr(job) for job in jobs if job.stored is not None and not job.stored.exception)


@pytest.mark.parametrize(
    ("name", "is_shown"),
    [
        ("VoiceError", True),
        ("app.voices.VoiceNotFound", True),
        ("django.db.utils.OperationalError", True),
        ("Voice", False),
        ("app.Secrets.VoiceError", False),
        ("a b.VoiceError", False),
        ("alice", False),
    ],
)
def test_a_class_that_is_not_known_is_shown_only_if_it_is_named_like_one(name: str, *, is_shown: bool) -> None:
    assert looks_like_a_class(name) == is_shown


@given(st.text(max_size=400), st.text(alphabet="0123456789", min_size=1, max_size=12))
def test_a_fingerprint_is_short_and_does_not_depend_on_numbers(text: str, number: str) -> None:
    one, other = (
        failure_in({"type": "VoiceError", "message": f"{text} 1"}),
        failure_in({"type": "VoiceError", "message": f"{text} {number}"}),
    )
    assert one is not None
    assert other is not None
    if len(one.message) < 900:
        assert fingerprint(one) == fingerprint(other)
    assert len(fingerprint(one)) == 4


@given(st.text(max_size=1000))
def test_what_is_normalised_has_no_digit_left(text: str) -> None:
    assert not any(character.isdigit() and character.isascii() for character in normalised(text))
