"""What a listed job becomes, and which ones are refused."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.jobs import ListedJob, check_found, check_task, expand, listed, task_id
from queue_recovery.recovery.ports import StoredJob

UID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
OTHER_UID = "7c9e6679-7425-40de-944b-e07fc1f90ae8"


def recovery(*jobs: Mapping[str, object]) -> QueueRecoverySpec:
    return QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts", "jobs": list(jobs)})


def queue(**changes: object) -> QueueSpec:
    return QueueSpec.model_validate({"name": "tts", "workers": [{"name": "tts-worker"}], **changes})


def stored(job_id: str = "a", **changes: str | None) -> StoredJob:
    fields: dict[str, str | None] = {"status": "failed", "task_id": "t", "task": None, "args": None, "kwargs": None}
    return StoredJob(id=job_id, **{**fields, **changes})


MESSAGE = {"task": "tts.render", "args": '["$(id)"]'}


def only(*jobs: dict[str, object]) -> ListedJob:
    (job,) = listed(recovery(*jobs))
    return job


def test_a_job_by_id_is_enqueued_as_the_queue_says() -> None:
    job = only({"id": "a"})
    task = check_task(job, stored(), queue(message=MESSAGE), UID)
    assert (task.task, task.args, task.kwargs, task.task_id) == ("tts.render", '["a"]', "{}", task_id(UID, job))


def test_a_queue_whose_application_enqueues_with_keywords_gets_the_id_in_them() -> None:
    message = {"task": "tts.render", "kwargs": '{"job_id": "$(id)"}'}
    task = check_task(only({"id": 'a"b'}), stored('a"b'), queue(message=message), UID)
    assert (task.args, json.loads(task.kwargs)) == ("[]", {"job_id": 'a"b'})


def test_what_its_document_says_goes_before_the_queue() -> None:
    task = check_task(
        only({"id": "a"}),
        stored(task="tts.mix", args="[1.0]", kwargs='{"n": null}'),
        queue(message=MESSAGE, tasks=["tts.mix"]),
        UID,
    )
    assert (task.task, task.args, task.kwargs) == ("tts.mix", "[1.0]", '{"n": null}')


def test_a_job_that_is_written_out_keeps_its_arguments_to_the_letter() -> None:
    job = only({"task": "tts.render", "args": "[1.0, 12345678901234567890]", "kwargs": '{"b": 1, "a": null}'})
    task = check_task(job, None, queue(tasks=["tts.render"]), UID)
    assert (task.args, task.kwargs) == ("[1.0, 12345678901234567890]", '{"b": 1, "a": null}')


@pytest.mark.parametrize(
    ("case", "job", "document", "of", "reason"),
    [
        ("no message and no field", {"id": "a"}, stored(), queue(), Reason.NO_TASK_NAME),
        ("an empty field", {"id": "a"}, stored(task=""), queue(), Reason.NO_TASK_NAME),
        ("written out, nothing allowed", {"task": "rm.rf"}, None, queue(), Reason.TASK_NOT_ALLOWED),
        ("written out, another allowed", {"task": "rm.rf"}, None, queue(message=MESSAGE), Reason.TASK_NOT_ALLOWED),
        ("stored, bounded", {"id": "a"}, stored(task="rm.rf"), queue(tasks=["tts.render"]), Reason.TASK_NOT_ALLOWED),
        ("args is an object", {"task": "t", "args": "{}"}, None, queue(tasks=["t"]), Reason.INVALID_ARGUMENTS),
        ("args is no JSON", {"task": "t", "args": "[hello]"}, None, queue(tasks=["t"]), Reason.INVALID_ARGUMENTS),
        ("args holds NaN", {"task": "t", "args": "[NaN]"}, None, queue(tasks=["t"]), Reason.INVALID_ARGUMENTS),
        ("args nests too deep", {"task": "t", "args": "[" * 60000}, None, queue(tasks=["t"]), Reason.INVALID_ARGUMENTS),
        ("kwargs is an array", {"task": "t", "kwargs": "[]"}, None, queue(tasks=["t"]), Reason.INVALID_ARGUMENTS),
    ],
)
def test_a_job_that_cannot_be_enqueued_is_refused_with_its_reason(
    case: str, job: dict[str, object], document: StoredJob | None, of: QueueSpec, reason: Reason
) -> None:
    with pytest.raises(RecoveryError) as refused:
        check_task(only(job), document, of, UID)
    assert refused.value.reason == reason, case


def test_a_job_without_a_task_names_first_the_way_out_that_needs_no_other_person() -> None:
    with pytest.raises(RecoveryError) as refused:
        check_task(only({"id": "a"}), stored(), queue(tasks=["tts.render"]), UID)
    assert refused.value.message == (
        'neither the document of job "a" nor the message of queue "tts" names a task. Create a recovery that writes '
        'the job out (task, one of "tts.render", and args), or first map fields.task or add message.task in the target'
    )


def test_a_job_without_a_task_in_a_queue_that_allows_none_is_not_said_to_be_written_out_at_once() -> None:
    with pytest.raises(RecoveryError) as refused:
        check_task(only({"id": "a"}), stored(), queue(), UID)
    assert "names a task. First map fields.task or add message.task in the target" in refused.value.message


def test_a_stored_task_is_free_while_the_target_names_no_tasks() -> None:
    task = check_task(only({"id": "a"}), stored(task="anything"), queue(message=MESSAGE), UID)
    assert task.task == "anything"


def test_an_id_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(RecoveryError, match="DuplicateJob") as refused:
        listed(recovery({"id": "a"}, {"id": "b"}, {"id": "a"}))
    assert "jobs[0] and jobs[2]" in refused.value.message


def test_two_equal_jobs_that_are_written_out_are_two_jobs() -> None:
    first, second = listed(recovery({"task": "t"}, {"task": "t"}))
    assert first.key != second.key
    assert task_id(UID, first) != task_id(UID, second)


def test_a_number_and_its_text_are_different_ids_by_key() -> None:
    number, text = only({"id": 1}), only({"id": "1"})
    assert number.key != text.key


def test_a_task_id_is_the_same_at_every_attempt_and_another_one_in_every_recovery() -> None:
    job = only({"id": "a"})
    assert task_id(UID, job) == task_id(UID, job)
    assert task_id(UID, job) != task_id(OTHER_UID, job)


def test_jobs_without_a_document_are_named() -> None:
    jobs = listed(recovery(*({"id": str(n)} for n in range(14))))
    with pytest.raises(RecoveryError, match="JobNotFound") as refused:
        check_found(jobs, {"0": stored("0")})
    assert '"1", "2", "3", "4", "5", "6", "7", "8", "9", "10" and 3 more' in refused.value.message


@given(st.text(min_size=1, max_size=40))
def test_any_id_becomes_a_json_string_in_the_arguments(job_id: str) -> None:
    assert json.loads(expand('["$(id)", 1]', job_id)) == [job_id, 1]


def test_an_integer_id_may_stand_bare() -> None:
    assert expand("[$(id)]", "42") == "[42]"
