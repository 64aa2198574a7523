"""Which recovery is proposed for each cause, and what it is called."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.reasons import Reason
from queue_recovery.api.stuck import StuckSpec
from queue_recovery.diagnosis.evidence import MessageFacts
from queue_recovery.diagnosis.proposal import curable, proposal_name, proposed, with_proposal
from queue_recovery.diagnosis.stuck import ORDER
from queue_recovery.diagnosis.stuck_memory import Told
from queue_recovery.diagnosis.stuck_rules import Finding
from tests.diagnosis.stuck_queues import Watched, held, killed, queue, worker

SPEC = StuckSpec(retry_loop_retries=7)


def facts(*task_ids: str | None) -> list[MessageFacts]:
    return [MessageFacts(task_id=one, task="tts.render", retries=0, redelivered=True, sent_by=None) for one in task_ids]


def spec_of(finding: Finding) -> dict[str, object] | None:
    """Return the spec that is proposed, as the API server takes it, without what all have."""
    found = proposed(finding, SPEC, target="media", queue="tts")
    if found is None:
        return None
    spec: dict[str, object] = found.model_dump(mode="json", by_alias=True, exclude_unset=True)
    common = {"targetRef": {"name": "media"}, "queue": "tts", "jobs": [], "suspend": True}
    assert {name: spec.pop(name) for name in common} == common
    return spec


TASK = {"purge": {"select": {"tasks": ["tts.render"]}}}


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (
            Finding(reason=Reason.POISON_MESSAGE, seen="", advice="", tasks=["tts.render"], messages=facts("b", "a")),
            {"purge": {"select": {"taskIds": ["a", "b"]}}},
        ),
        (
            Finding(reason=Reason.POISON_MESSAGE, seen="", advice="", messages=facts("a")),
            {"purge": {"select": {"taskIds": ["a"]}}},
        ),
        (
            Finding(
                reason=Reason.POISON_MESSAGE,
                seen="",
                advice="",
                tasks=["tts.render"],
                messages=facts("a"),
                saw_all=False,
            ),
            TASK,
        ),
        (
            Finding(reason=Reason.POISON_MESSAGE, seen="", advice="", tasks=["tts.render"], messages=facts("a", None)),
            TASK,
        ),
        (Finding(reason=Reason.POISON_MESSAGE, seen="", advice="", tasks=["tts.render"]), None),
        (Finding(reason=Reason.POISON_MESSAGE, seen="", advice=""), None),
        (
            Finding(reason=Reason.RETRY_LOOP, seen="", advice="", tasks=["tts.render", "mail.send"]),
            {"purge": {"select": {"tasks": ["mail.send", "tts.render"], "minRetries": 7}}},
        ),
        (Finding(reason=Reason.RETRY_LOOP, seen="", advice=""), None),
        (Finding(reason=Reason.RETRY_LOOP, seen="", advice="", tasks=["t" * 300]), None),
        (Finding(reason=Reason.RETRY_LOOP, seen="", advice="", tasks=[f"t{number}" for number in range(101)]), None),
        (
            Finding(reason=Reason.DEAF_WORKERS, seen="", advice=""),
            {"purge": {"mode": "None"}, "restart": {"annotate": True}},
        ),
        (Finding(reason=Reason.DEAF_WORKERS, seen="", advice="", is_sure=False), None),
        (Finding(reason=Reason.UNDECODABLE_MESSAGES, seen="", advice=""), {"purge": {"takeUnreadable": True}}),
        (Finding(reason=Reason.STRANDED_MESSAGES, seen="", advice=""), {"purge": {"mode": "None"}, "redeliver": {}}),
        (Finding(reason=Reason.HOARDED_MESSAGES, seen="", advice=""), None),
        (Finding(reason=Reason.RISING_DEPTH, seen="", advice=""), None),
    ],
)
def test_each_cause_has_the_recovery_that_cures_it_or_none(
    finding: Finding, expected: dict[str, object] | None
) -> None:
    assert spec_of(finding) == expected


def test_no_cause_is_without_a_decision() -> None:
    for reason in ORDER:
        proposed(Finding(reason=reason, seen="", advice=""), SPEC, target="media", queue="tts")


@pytest.mark.parametrize(
    "reason",
    [one for one in ORDER if spec_of(Finding(reason=one, seen="", advice="", tasks=["a"], messages=facts("a")))],
)
def test_where_a_recovery_is_proposed_the_advice_is_what_to_do_with_that_one(reason: Reason) -> None:
    told = with_proposal(Told(since="2030", seen="seen", advice="Create a recovery"), reason, "tts-a")

    assert told.message.startswith('seen. QueueRecovery "tts-a" was proposed, which ')
    assert "start it" in told.message
    assert "reate a recovery" not in told.message


TEXT = st.text(max_size=310)
FINDINGS = st.builds(
    Finding,
    reason=st.sampled_from(ORDER),
    seen=st.just(""),
    advice=st.just(""),
    tasks=st.lists(TEXT, max_size=5),
    messages=st.lists(
        st.builds(
            MessageFacts,
            task_id=st.none() | TEXT,
            task=st.none(),
            retries=st.integers(0, 9),
            redelivered=st.booleans(),
            sent_by=st.none(),
        ),
        max_size=5,
    ),
    saw_all=st.booleans(),
)


@given(FINDINGS)
def test_names_that_anybody_chose_make_no_spec_that_the_api_server_refuses(finding: Finding) -> None:
    spec = spec_of(finding)

    select = (spec or {}).get("purge", {})
    assert isinstance(select, dict)
    named = select.get("select", {})
    names = [*named.get("tasks", []), *named.get("taskIds", [])]
    assert all(name and name.isprintable() and len(name) <= 300 for name in names)
    assert len(set(names)) == len(names)
    assert finding.reason not in {Reason.POISON_MESSAGE, Reason.RETRY_LOOP} or spec is None or named


INCIDENTS = st.tuples(
    st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?", fullmatch=True),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=200),
    st.sampled_from([reason.value for reason in ORDER]),
    st.datetimes().map(lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ}"),
)


@given(INCIDENTS, INCIDENTS)
def test_the_name_is_one_of_an_object_and_a_label_the_same_each_time_and_of_no_other_incident(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    name = proposal_name(*one)

    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert name == proposal_name(*one)
    assert (name == proposal_name(*other)) is (one == other)


def test_the_name_says_which_queue_and_which_cause() -> None:
    assert re.fullmatch("tts-retry-loop-[0-9a-f]{10}", proposal_name("media", "tts", "RetryLoop", "2030"))
    assert re.fullmatch("queue-deaf-workers-[0-9a-f]{10}", proposal_name("media", "語", "DeafWorkers", "2030"))


def test_what_killed_workers_have_left_is_not_given_back_while_a_message_kills_workers() -> None:
    stranded = Finding(reason=Reason.STRANDED_MESSAGES, seen="", advice="")
    poison = Finding(reason=Reason.POISON_MESSAGE, seen="", advice="")

    assert curable([poison, stranded], {poison.reason, stranded.reason}) == [poison]
    assert curable([stranded], {poison.reason, stranded.reason}) == []
    assert curable([stranded], {stranded.reason}) == [stranded]


def of_id(name: str, retries: int = 0) -> MessageFacts:
    return MessageFacts(task_id=name, task="tts.render", retries=retries, redelivered=not retries, sent_by=None)


def test_a_message_that_kills_workers_is_named_by_its_id_and_one_beside_it_too() -> None:
    watched = Watched(workers=worker(started=-3600))
    for number in range(4):
        delivered = 100 * number
        watched.workers = worker(started=-3600, ends=[killed(delivered - 50)])
        both = (held(name, delivered, redelivered=number > 0, facts=of_id(name)) for name in ("a", "b"))
        watched.look(queue(*both, held("fine", delivered)), after=100)

    [finding] = watched.found
    assert spec_of(finding) == {"purge": {"select": {"taskIds": ["a", "b"]}}}


def test_of_a_retry_loop_only_what_is_in_it_is_evidence() -> None:
    watched = Watched()
    for retries in range(10, 14):
        watched.look(
            queue(
                held("a", 0, retries=retries, facts=of_id("a", retries)),
                held("b", 0, retries=2, facts=of_id("b", 2)),
            )
        )

    [finding] = watched.found
    assert [one.task_id for one in finding.messages] == ["a"]
    assert spec_of(finding) == {"purge": {"select": {"tasks": ["tts.render"], "minRetries": 7}}}
