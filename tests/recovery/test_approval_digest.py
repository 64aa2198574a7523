"""What changes the digest that is approved, and what does not."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.approval import ApprovalStatus, TargetPolicy
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.recovery.approval_digest import approval_of, changes, refusal
from queue_recovery.recovery.ports.resource import Annotations
from tests.recovery.fake_database import TASK
from tests.recovery.fakes import UID, target

Fields = dict[str, object]


def queue(name: str = "tts", *workers: str, **fields: object) -> Fields:
    return {"name": name, "workers": [{"name": worker} for worker in workers or ["worker"]], **fields}


BASE: Mapping[str, object] = {
    "uid": UID,
    "spec": {"targetRef": {"name": "media"}, "queue": "tts", "jobs": [{"id": "a"}]},
    "target": {"queues": [queue(message={"task": TASK})]},
    "tasks": [TASK],
    "source": "",
}


def approval(variant: Mapping[str, object]) -> ApprovalStatus:
    """Return what has to be approved of a recovery that differs from the base in these fields."""
    merged: Fields = {**BASE}
    for key, value in variant.items():
        old = merged.get(key)
        merged[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    whole = target(None, id_type="String", **merged["target"])  # type: ignore[arg-type]
    return approval_of(
        str(merged["uid"]),
        QueueRecoverySpec.model_validate(merged["spec"]),
        whole,
        {each.name: each for each in whole.queues if each.name in {"tts", merged.get("also")}},
        tasks=merged["tasks"],  # type: ignore[arg-type]
        source=str(merged["source"]),
    )


COUNTS: Mapping[str, tuple[Mapping[str, object], str]] = {
    "another UID": ({"uid": "another"}, "recovery"),
    "another job": ({"spec": {"jobs": [{"id": "b"}]}}, "recovery"),
    "another mode": ({"spec": {"purge": {"retentionSeconds": 60}}}, "recovery"),
    "a later end": ({"spec": {"notAfter": "2031-01-01T00:00:00Z"}}, "recovery"),
    "another Secret": ({"target": {"broker": {"urlSecretRef": {"name": "other", "key": "url"}}}}, "broker"),
    "another prefix": (
        {
            "target": {
                "broker": {
                    "urlSecretRef": {"name": "redis", "key": "url"},
                    "transportOptions": {"globalKeyPrefix": "x."},
                }
            }
        },
        "broker",
    ),
    "no job store": ({"target": {"jobStore": None}}, "job_store"),
    "another task": ({"tasks": [TASK, "tts.other"]}, "jobs"),
    "another quarantine": ({"source": "earlier"}, "jobs"),
    "another worker": ({"target": {"queues": [queue("tts", "worker", "more", message={"task": TASK})]}}, "workers"),
    "other arguments": ({"target": {"queues": [queue(message={"task": TASK, "args": "[1]"})]}}, "messages"),
    "another allowed task": ({"target": {"queues": [queue(message={"task": TASK}, tasks=["x.y"])]}}, "messages"),
}

COUNTS_NOT: Mapping[str, Mapping[str, object]] = {
    "nothing": {},
    "tasks in another order": {"tasks": [TASK, TASK]},
    "another queue": {"target": {"queues": [queue("mail", "mailer"), queue(message={"task": TASK})]}},
    "limits": {"target": {"limits": {"startingDeadlineSeconds": 60}}},
    "the policy": {"target": {"policy": {"approval": "Required", "authorMayApprove": False}}},
    "suspend": {"spec": {"suspend": True}},
    "a longer deadline": {"spec": {"activeDeadlineSeconds": 7200}},
    "a default that is written out": {"spec": {"startingDeadlineSeconds": 900, "cancel": False}},
}


@pytest.mark.parametrize("what", COUNTS)
def test_what_a_recovery_may_do_and_to_what_changes_the_digest(what: str) -> None:
    variant, part = COUNTS[what]

    changed = approval(variant)

    assert changed.digest != approval({}).digest
    assert part in changes(approval({}), changed)


@pytest.mark.parametrize("what", COUNTS_NOT)
def test_what_else_may_change_does_not(what: str) -> None:
    assert approval(COUNTS_NOT[what]) == approval({})


def test_a_further_queue_of_a_recovery_of_every_queue_changes_it_even_with_the_same_workers() -> None:
    both: Fields = {"queues": [queue("tts"), queue("mail")]}
    spec = {"targetRef": {"name": "media"}, "queue": "*", "jobs": []}
    one, two = approval({"target": both, "spec": spec}), approval({"target": both, "spec": spec, "also": "mail"})

    assert changes(one, two) == ["workers"]


def test_the_workers_that_are_restarted_without_being_stopped_count_too() -> None:
    spec = {"targetRef": {"name": "media"}, "queue": "tts", "jobs": [], "purge": {"mode": "None"}}
    restarting = {**spec, "restart": {"annotate": True}}
    more = COUNTS["another worker"][0]

    assert changes(approval({"spec": restarting}), approval({"spec": restarting, **more})) == ["workers"]
    assert changes(approval({"spec": spec}), approval({"spec": spec, **more})) == []


def _restore(variant: Mapping[str, object]) -> ApprovalStatus:
    spec = {"targetRef": {"name": "media"}, "queue": "tts", "restoreFrom": {"name": "earlier"}, "jobs": []}
    return approval({**variant, "spec": spec, "source": "earlier"})


@pytest.mark.parametrize("what", ["another worker", "other arguments", "no job store"])
def test_what_a_restore_does_not_use_does_not_change_its_digest(what: str) -> None:
    assert _restore(COUNTS[what][0]) == _restore({})


def together(chosen: list[str]) -> Fields:
    """Return the changes as one; of two that change the same, the last one counts."""
    each = [COUNTS[what][0] if what in COUNTS else COUNTS_NOT[what] for what in chosen]
    return {key: value for fields in each for key, value in fields.items()}


@given(st.lists(st.sampled_from([*COUNTS, *COUNTS_NOT]), max_size=3), st.lists(st.sampled_from([*COUNTS]), max_size=3))
def test_two_recoveries_have_the_same_digest_only_if_all_parts_are_the_same(one: list[str], other: list[str]) -> None:
    first, second = approval(together(one)), approval(together(other))

    assert (first.digest == second.digest) == (first.parts == second.parts)
    assert bool(changes(first, second)) == (first.parts != second.parts)


def test_what_has_changed_stays_said_until_something_else_has() -> None:
    first, second = approval({}), approval(COUNTS["another worker"][0])
    asked = second.model_copy(update={"changed": changes(first, second)})

    assert changes(asked, second) == ["workers"]
    assert changes(asked, approval({})) == ["workers"]
    assert changes(None, second) == []


BY_ANYBODY, BY_ANOTHER = TargetPolicy(approval="Required"), TargetPolicy(approval="Required", author_may_approve=False)


@pytest.mark.parametrize(
    ("policy", "given_", "approves"),
    [
        (BY_ANYBODY, Annotations(), False),
        (BY_ANYBODY, Annotations(approve="other"), False),
        (BY_ANYBODY, Annotations(approve="digest"), True),
        (BY_ANYBODY, Annotations(approve="Digest"), False),
        (BY_ANYBODY, Annotations(approve="digest", author="a", approver="a"), True),
        (BY_ANOTHER, Annotations(approve="digest"), False),
        (BY_ANOTHER, Annotations(approve="digest", author="a"), False),
        (BY_ANOTHER, Annotations(approve="digest", author="a", approver="a"), False),
        (BY_ANOTHER, Annotations(approve="digest", author="a", approver="b"), True),
        (BY_ANOTHER, Annotations(author="a", approver="b"), False),
    ],
)
def test_an_approval_quotes_the_digest_and_comes_from_who_may_give_it(
    policy: TargetPolicy, given_: Annotations, *, approves: bool
) -> None:
    assert (refusal(policy, "digest", given_) is None) is approves
