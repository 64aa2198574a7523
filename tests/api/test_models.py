"""The models read what the contract shows, with its defaults."""

import pytest
import yaml
from pydantic import ValidationError

from queue_recovery.api.conditions import Condition, ConditionType, find, is_true, set_condition
from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.recovery_spec import JobSpec, QueueRecoverySpec
from queue_recovery.api.recovery_status import Ending, Phase, Plan, QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus

MINIMAL_TARGET = """
broker:
  urlSecretRef: {name: redis, key: url}
queues:
- name: tts
  workers: [{name: tts-worker}]
"""
FULL_TARGET = r"""
broker:
  urlSecretRef: {name: redis, key: url}
  transportOptions:
    globalKeyPrefix: ""
    sep: "\x06\x16"
    prioritySteps: [0, 3, 6, 9]
    unackedKey: unacked
    unackedIndexKey: unacked_index
jobStore:
  mongodb:
    urlSecretRef: {name: mongo, key: url}
    database: app
    collection: jobs
    idType: ObjectId
    fields: {status: status, taskId: task_id, task: "", args: "", kwargs: ""}
    statuses: {pending: pending, recoverable: [failed]}
queues:
- name: tts
  workers: [{name: tts-worker}]
  message: {task: tts.render, args: '["$(id)"]'}
  tasks: []
limits: {startingDeadlineSeconds: 3600, activeDeadlineSeconds: 900}
"""
MINIMAL_RECOVERY = """
targetRef: {name: media}
queue: tts
"""
FULL_RECOVERY = """
targetRef: {name: media}
queue: tts
jobs: []
purge:
  mode: Quarantine
  retentionSeconds: 604800
restart:
  strategy: Recreate
reenqueue:
  ratePerSecond: 0
startingDeadlineSeconds: 900
activeDeadlineSeconds: 1800
suspend: false
cancel: false
"""


def condition(kind: ConditionType, status: str, *, at: str = "2026-01-01T00:00:00Z") -> Condition:
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": "Because",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": at,
        }
    )


def test_what_a_recovery_leaves_out_is_what_the_contract_says() -> None:
    minimal = QueueRecoverySpec.model_validate(yaml.safe_load(MINIMAL_RECOVERY))

    assert minimal == QueueRecoverySpec.model_validate(yaml.safe_load(FULL_RECOVERY))
    assert minimal.model_dump(by_alias=True, exclude_none=True, exclude={"target_ref", "queue"}).keys() == (
        yaml.safe_load(FULL_RECOVERY).keys() - {"targetRef", "queue"}
    )


def test_what_a_target_leaves_out_is_what_the_contract_says() -> None:
    minimal = QueueTargetSpec.model_validate(yaml.safe_load(MINIMAL_TARGET))
    full = QueueTargetSpec.model_validate(yaml.safe_load(FULL_TARGET))

    assert minimal.broker == full.broker
    assert (minimal.job_store, minimal.queues[0].message, minimal.queues[0].tasks) == (None, None, [])
    assert full.job_store is not None
    stored = yaml.safe_load(FULL_TARGET)["jobStore"]["mongodb"]
    for left_out in ("idType", "fields", "statuses"):
        del stored[left_out]
    assert full.job_store.mongodb == type(full.job_store.mongodb).model_validate(stored)


@pytest.mark.parametrize("job_id", [7, "7", -1, 2**63 - 1, "662f1c0e9d3e4b0001a1b2c3"])
def test_an_id_keeps_its_type(job_id: object) -> None:
    job = JobSpec.model_validate({"id": job_id})

    assert job.id == job_id
    assert type(job.id) is type(job_id)


@pytest.mark.parametrize("job_id", [True, 1.0, "", "x" * 257, ["a"], {"a": 1}])
def test_what_is_no_id_is_refused(job_id: object) -> None:
    with pytest.raises(ValidationError):
        JobSpec.model_validate({"id": job_id})


@pytest.mark.parametrize("name", ["", "tts\x06\x163", "tts\n", "a\x7fb", "x" * 201])
def test_a_queue_cannot_be_named_like_a_priority_list_of_another(name: str) -> None:
    with pytest.raises(ValidationError):
        QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": name})


def test_both_statuses_can_be_read_when_nobody_has_written_them_yet() -> None:
    for status in (QueueRecoveryStatus, QueueTargetStatus):
        assert status.model_validate({"observedGeneration": -1}) == status()


def test_a_phase_is_its_word_and_knows_its_meaning() -> None:
    status = QueueRecoveryStatus.model_validate({"phase": "Failed"})

    assert status.phase is Phase.FAILED
    assert status.model_dump(mode="json")["phase"] == "Failed"
    assert all(phase.meaning for phase in Phase)


def test_a_condition_keeps_the_time_of_its_last_change_of_status() -> None:
    old = [condition(ConditionType.READY, "False", at="2026-01-01T00:00:00Z"), condition(ConditionType.PURGED, "True")]

    same = set_condition(old, condition(ConditionType.READY, "False", at="2026-02-02T00:00:00Z"))
    changed = set_condition(old, condition(ConditionType.READY, "True", at="2026-02-02T00:00:00Z"))

    assert [c.last_transition_time for c in same] == ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]
    assert [c.last_transition_time for c in changed] == ["2026-02-02T00:00:00Z", "2026-01-01T00:00:00Z"]


def test_a_condition_that_is_not_there_is_added_and_is_not_true_before() -> None:
    conditions = [condition(ConditionType.READY, "Unknown")]

    assert find(conditions, ConditionType.PURGED) is None
    assert not is_true(conditions, ConditionType.READY)
    assert is_true(set_condition(conditions, condition(ConditionType.PURGED, "True")), ConditionType.PURGED)


def test_a_message_that_is_too_long_is_cut_and_never_keeps_a_status_from_being_written() -> None:
    long = "x" * 5000
    status = QueueRecoveryStatus(
        message=long,
        skipped=[SkippedJob(id="a", reason="NotFound", message=long)],
        ending=Ending(phase="Failed", reason="Locked", message=long),
    )

    written = status.model_copy(update={"message": long}).model_dump(mode="json")

    assert status.message == written["message"] == "x" * 4093 + "..."
    assert written["ending"]["message"] == "x" * 4093 + "..."
    assert written["skipped"][0]["message"] == "x" * 157 + "..."


def test_a_message_is_cut_by_its_bytes_and_never_in_the_middle_of_a_character() -> None:
    assert SkippedJob(id="a", reason="NotFound", message="€" * 160).message == "€" * 52 + "..."


def test_a_message_is_one_line_even_if_others_have_written_a_part_of_it() -> None:
    assert QueueRecoveryStatus(message="queue\n bank precious\r\x1b[2J").message == "queue  bank precious [2J"


def test_a_queue_of_somebody_else_may_be_named_as_long_as_redis_lets_it() -> None:
    plan = Plan(time="2026-01-01T00:00:00Z", unlisted=["x" * 5000], ready=0, unacked=0, enqueue=0, skip=0)

    assert plan.model_dump()["unlisted"] == ["x" * 197 + "..."]


def test_a_message_that_fits_is_left_alone() -> None:
    assert QueueRecoveryStatus(message="x" * 4096).model_dump()["message"] == "x" * 4096


@pytest.mark.parametrize("odd", ["\u202e", "\u2028", "\ud800", "\u200b", "\x1b", "\ue000"])
def test_a_name_by_somebody_else_is_one_printable_line(odd: str) -> None:
    (shown,) = Plan(
        time="2026-05-01T00:00:00Z", ready=0, unacked=0, enqueue=0, skip=0, unlisted=[f"a{odd}b \u00e9"]
    ).unlisted

    assert shown == "a b \u00e9"
