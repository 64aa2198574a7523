"""A stuck queue gets one suspended recovery for each incident, no matter which process leads and when it dies."""

import logging
from collections.abc import Callable

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.controller.proposal_writer import proposal_body
from queue_recovery.diagnosis.evidence import TaskResult
from queue_recovery.diagnosis.failure import failure_in
from queue_recovery.diagnosis.proposal import proposal_name
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.environment import TargetReport
from queue_recovery.workers.permissions import ServiceAccount
from tests.broker.application import recovery
from tests.controller.proposing import HOUR, Death, Incident
from tests.recovery.fakes import NOW, Case, target

TRANSIENT = "ConnectionRefusedError: [Errno 111] Connection refused to alice@example.org"
DETERMINISTIC = "TypeError: unsupported operand type(s) for +: 'int' and 'str'"
UNKNOWN = "ValueError: alice"
WAIT = "The errors are transient (ConnectionRefusedError): a retry helps, so wait; no recovery is needed"


def fails(incident: Incident, **errors: str) -> None:
    """Store Celery's results of tasks that are retried."""
    for task_id, error in errors.items():
        incident.namespace.fake_results.results[task_id] = TaskResult(
            failure=failure_in(error), succeeded=False, task="tts.render", retries=20, seen=None
        )


async def test_a_recovery_that_cures_it_is_created_suspended_and_complete_once_the_incident_is_stored() -> None:
    incident = Incident()
    incident.strand()
    await incident.look(2)
    assert incident.api.created == []
    assert incident.cause().since == "2030-01-01T00:00:30Z"

    await incident.look()

    metadata, spec = incident.proposal["metadata"], incident.proposal["spec"]
    assert spec == {
        "targetRef": {"name": "media"},
        "queue": "tts",
        "jobs": [],
        "purge": {"mode": "None"},
        "redeliver": {},
        "suspend": True,
    }
    assert incident.api.created == [f"here/{metadata['name']}"]
    assert metadata["labels"] == {"queuerecovery.dev/proposed-for": "StrandedMessages"}
    assert metadata["annotations"]["queuerecovery.dev/evidence"] == (
        "1 message in unacked was delivered (since 2029-12-31T22:00:00Z) before the oldest running process of the "
        "workers was started (2029-12-31T23:00:00Z), so no worker holds it. Celery gives it back only after its "
        "visibility timeout"
    )
    assert metadata["annotations"]["queuerecovery.dev/author"] == "system:serviceaccount:queue-recovery:queue-recovery"
    assert "ownerReferences" not in metadata


def test_the_evidence_is_one_printable_line_no_matter_what_a_task_is_called() -> None:
    spec = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts", "jobs": []})

    body = proposal_body(
        "a", spec, cause=Reason.POISON_MESSAGE, evidence='task "a\x1b[31m\nb\u202e\ud800"', account=ServiceAccount()
    )

    assert body["metadata"]["annotations"]["queuerecovery.dev/evidence"] == 'task "a [31m b  "'


async def test_the_status_the_condition_and_an_event_name_it_and_the_event_has_the_command_that_starts_it() -> None:
    incident = Incident()
    incident.strand()
    await incident.look(6)

    name = incident.proposal["metadata"]["name"]
    assert incident.cause().proposal == name
    assert incident.cause().message.endswith(
        f'visibility timeout. QueueRecovery "{name}" was proposed, which gives back at once what no worker holds. Read '
        "its plan, then start it or delete it"
    )
    assert incident.condition == f'queue "tts": {incident.cause().message} (StrandedMessages)'
    [note] = incident.told("RecoveryProposed")
    assert note == (
        f'QueueRecovery "{name}" is proposed for queue "tts" (StrandedMessages). Its plan: kubectl describe qr/{name} '
        f'-n here. To start it, run: kubectl patch qr/{name} -n here --type=merge -p \'{{"spec":{{"suspend":false}}}}\''
    )
    assert len(incident.api.created) == 1


async def test_where_an_approval_is_required_the_event_says_how_it_is_given() -> None:
    incident = Incident(policy={"propose": True, "approval": "Required"})
    incident.strand()
    await incident.look(3)

    name = incident.proposal["metadata"]["name"]
    [note] = incident.told("RecoveryProposed")
    assert note.endswith(
        '"suspend":false}}\'. The target requires an approval, so nothing is touched until somebody also runs the '
        f"command that its message has after that: kubectl get qr/{name} -n here -o jsonpath='{{.status.message}}'"
    )


@pytest.mark.parametrize(("looks", "is_created"), [(2, False), (3, True), (4, True)])
async def test_nobody_is_asked_to_create_a_recovery_that_the_operator_creates(
    looks: int,
    is_created: bool,  # noqa: FBT001
) -> None:
    incident = Incident()
    await incident.loop("a", looks=looks)

    seen = '1 message (task "tts.render") has been retried 10 times or more, '
    assert incident.cause().message.startswith(seen)
    rest = incident.cause().message.removeprefix(seen).partition(" times, and goes on. ")[2]
    assert bool(incident.api.created) is is_created
    if is_created:
        assert rest == (
            f'QueueRecovery "{incident.cause().proposal}" was proposed, which purges the loop. Its plan says whether '
            "the errors are transient, if they can be read. If they are, delete it and wait; otherwise fix the task "
            "and start it"
        )
    else:
        assert rest == "A recovery that cures it is proposed at one of the next looks"


async def test_one_that_its_user_has_deleted_is_not_created_again_while_the_incident_lasts() -> None:
    incident = Incident()
    incident.strand()
    await incident.look(3)
    incident.api.bodies.clear()

    await incident.look(5)
    incident.next_leader()
    await incident.look(5)

    assert len(incident.api.created) == 1
    assert len(incident.told("RecoveryProposed")) == 1


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_proposal_that_is_started_runs_while_its_cause_is_reported_and_is_held_once_it_is_over(
    *, is_over: bool
) -> None:
    incident = Incident()
    incident.strand()
    await incident.look(4)
    if is_over:
        incident.heal()
        await incident.look(3)
    broker, started = (
        incident.namespace.fake_broker,
        Case(
            incident.proposal["spec"] | {"suspend": False},
            environment=incident.namespace,
            name=incident.proposal["metadata"]["name"],
        ),
    )
    broker.add("since", delivered=NOW - 2 * HOUR)
    started.resource.label(incident.proposal["metadata"]["labels"]["queuerecovery.dev/proposed-for"])
    incident.namespace.reports["media"] = TargetReport(status=incident.status, is_current=True)

    running = started.start()
    if not is_over:
        await running
        assert (started.status.phase, "since" in broker.queued()) == ("Succeeded", True)
        return
    message = await started.waits(Reason.CAUSE_OVER)
    running.cancel()

    assert 'target "media" no longer reports StrandedMessages for queue "tts"' in message
    assert (broker.queued(), broker.locks, started.status.drain_start_time) == ([], {}, None)


@pytest.mark.parametrize("lost", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(6))
async def test_a_process_that_dies_at_any_write_leaves_nothing_that_the_next_one_creates_again(
    number: int,
    lost: bool,  # noqa: FBT001
) -> None:
    incident = Incident()
    incident.strand()
    calls = []

    def dies(call: str) -> None:
        calls.append(call)
        if len(calls) == number + 1:
            raise Death

    if lost:
        incident.api.after = dies
    else:
        incident.api.before = dies
    with pytest.raises(Death):
        await incident.look(10)
    assert calls == ["store", "store", "create", "store", "store", "store"][: number + 1]
    incident.next_leader()

    await incident.look(6)

    assert len(incident.api.created) == 1
    assert incident.cause().proposal == incident.proposal["metadata"]["name"]


async def test_a_status_that_was_not_stored_is_no_reason_to_create_it_again() -> None:
    incident = Incident()
    incident.strand()
    await incident.look(2)
    stored = incident.status
    await incident.look()
    incident.status = stored  # as a watch that lags behind, or a write that was refused

    await incident.look()
    assert incident.cause().proposal == incident.proposal["metadata"]["name"]
    incident.status = stored
    incident.next_leader()
    await incident.look(4)

    assert incident.cause().proposal == incident.proposal["metadata"]["name"]
    assert len(incident.api.created) == 1


@pytest.mark.parametrize("still", ["open", "failed", "deleted", "finished"])
async def test_the_next_incident_has_a_proposal_of_its_own_unless_nobody_has_started_the_last_one(still: str) -> None:
    incident = Incident()
    incident.strand()
    await incident.look(3)
    first = incident.proposal["metadata"]["name"]
    if still == "deleted":
        incident.api.bodies.clear()
    if still == "finished":
        incident.proposal["spec"]["suspend"] = False
    if still in {"finished", "failed"}:
        incident.proposal["status"] = {"completionTime": "2030-01-01T00:05:00Z"}
    incident.heal()
    await incident.look(6)
    assert incident.status.queues[0].stuck == []

    incident.strand()
    await incident.look(4)

    is_first = still in {"open", "failed"}
    assert len(incident.api.created) == (1 if is_first else 2)
    assert (incident.cause().proposal == first) is is_first
    assert len(incident.told("RecoveryProposed")) == 2


async def test_an_open_proposal_that_would_do_something_else_is_named_and_no_second_one_is_created() -> None:
    incident = Incident()
    await incident.loop("a", looks=4)
    first = incident.proposal
    first["spec"]["purge"]["select"]["tasks"] = ["tts.other"]
    incident.heal()
    await incident.look(30)
    await incident.loop("b", looks=5)

    assert len(incident.api.created) == 1
    assert incident.cause().proposal is None
    note = f'QueueRecovery "{first["metadata"]["name"]}" was proposed before and does something else. Delete it'
    assert note in incident.cause().message
    incident.api.bodies.clear()
    await incident.loop("b", looks=2)
    assert len(incident.api.created) == 2
    assert note not in incident.cause().message


@pytest.mark.parametrize(
    ("spec", "blocks"),
    [
        ({"targetRef": {"name": "media"}, "queue": "tts"}, True),
        ({"targetRef": {"name": "media"}, "queue": "tts", "suspend": True}, True),
        ({"targetRef": {"name": "media"}, "queue": "*"}, True),
        ({"targetRef": {"name": "media"}, "queue": "mail"}, False),
        ({"targetRef": {"name": "other"}, "queue": "tts"}, False),
        ({}, False),
    ],
)
async def test_nothing_is_proposed_while_somebody_recovers_the_queue(
    spec: dict[str, object],
    blocks: bool,  # noqa: FBT001
) -> None:
    incident = Incident()
    incident.strand()
    incident.api.bodies["own"] = {"metadata": {"name": "own"}, "spec": spec}

    await incident.look(6)
    assert bool(incident.api.created) is not blocks
    assert ('No recovery is proposed while QueueRecovery "own" is open' in incident.cause().message) is blocks

    incident.api.bodies["own"]["status"] = {"completionTime": "2030-01-01T00:05:00Z"}
    await incident.look(2)
    assert len(incident.api.created) == 1


def opens(incident: Incident, *names: str) -> None:
    """Let somebody have recoveries of the queue that are not finished."""
    for name in names:
        spec = {"targetRef": {"name": "media"}, "queue": "tts", "suspend": True}
        incident.api.bodies[name] = {"metadata": {"name": name}, "spec": spec}


async def test_that_somebody_recovers_the_queue_is_told_until_that_is_over_also_where_a_look_sees_nothing() -> None:
    incident = Incident()
    opens(incident, "own")
    await incident.loop("a", looks=4)
    seen, _, note = incident.cause().message.partition(" times, and goes on. ")
    assert note == (
        'No recovery is proposed while QueueRecovery "own" is open. If that one does not cure this, end or delete it'
    )

    incident.heal()  # the message is invisible while its task runs
    await incident.look()
    assert incident.cause().message.endswith(note)
    opens(incident, "b", "c")
    await incident.look()
    assert 'while QueueRecovery "b", "c" and 1 more are open. If these do not' in incident.cause().message
    incident.api.bodies.clear()
    await incident.look()
    assert incident.cause().message.startswith(seen)
    assert "No recovery is proposed" not in incident.cause().message


async def test_what_keeps_a_recovery_from_being_proposed_is_not_told_of_a_cause_that_has_none() -> None:
    incident = Incident()
    incident.spec = target(
        {"tts": ["worker"]}, policy={"propose": True}, diagnosis={"stuck": {"risingSeconds": 60, "risingMessages": 1}}
    )
    opens(incident, "own")
    for number in range(8):
        incident.namespace.fake_broker.add(f"{number}", queue="tts")
        await incident.look()

    assert incident.cause().reason == "RisingDepth"
    assert incident.cause().message.endswith("No recovery is needed")


@pytest.mark.parametrize("started", [False, True])
async def test_a_proposal_for_another_cause_is_no_recovery_of_the_queue_until_it_is_started(
    started: bool,  # noqa: FBT001
) -> None:
    incident = Incident()
    incident.strand()
    incident.api.bodies["proposed"] = {
        "metadata": {"name": "proposed", "labels": {"queuerecovery.dev/proposed-for": "RetryLoop"}},
        "spec": {"targetRef": {"name": "media"}, "queue": "tts", "suspend": not started},
    }

    await incident.look(4)

    assert bool(incident.api.created) is not started


async def test_a_retry_loop_gets_a_purge_of_what_is_retried_and_nothing_else() -> None:
    incident = Incident()
    fails(incident, a=DETERMINISTIC)

    await incident.loop("a", looks=4)

    assert incident.proposal["spec"]["purge"] == {"select": {"tasks": ["tts.render"], "minRetries": 10}}
    assert incident.proposal["spec"]["jobs"] == []


@pytest.mark.parametrize(
    ("errors", "is_proposed"),
    [
        ({"a": TRANSIENT, "b": TRANSIENT}, False),
        ({"a": TRANSIENT}, False),
        ({"a": DETERMINISTIC}, True),
        ({"a": TRANSIENT, "b": DETERMINISTIC}, True),
        ({"a": UNKNOWN, "b": UNKNOWN}, True),
        ({}, True),
    ],
)
async def test_no_purge_is_proposed_where_a_retry_helps(
    errors: dict[str, str],
    is_proposed: bool,  # noqa: FBT001
) -> None:
    incident = Incident()
    fails(incident, **errors)

    await incident.loop("a", "b", looks=5)

    assert bool(incident.api.created) is is_proposed
    assert incident.cause().message.endswith(f". {WAIT}") is not is_proposed
    assert (WAIT in incident.told("RetryLoop")[0]) is not is_proposed, "the first event says it"
    assert "reate a recovery" not in incident.cause().message
    assert "alice" not in incident.status.model_dump_json()


def readings(incident: Incident) -> int:
    """Return how often the results of messages were read; each look also asks whether any can be read."""
    return sum("a" in ids for ids in incident.namespace.fake_results.asked)


async def test_the_results_are_read_again_every_five_minutes_only() -> None:
    incident = Incident()
    fails(incident, a=TRANSIENT)
    await incident.loop("a", looks=10)
    assert readings(incident) == 1
    fails(incident, a=DETERMINISTIC)

    await incident.loop("a", looks=5)

    assert readings(incident) == 2
    assert len(incident.api.created) == 1
    assert WAIT not in incident.cause().message


async def test_results_that_cannot_be_read_any_more_propose_no_purge_of_what_was_transient() -> None:
    incident = Incident()
    fails(incident, a=TRANSIENT)
    await incident.loop("a", looks=5)
    incident.namespace.fake_results.fail("read", *[RecoveryError(Reason.BROKER_UNAVAILABLE, "away")] * 40)

    await incident.loop("a", looks=20)

    assert readings(incident) == 3
    assert incident.api.created == []
    assert WAIT in incident.cause().message


async def test_a_target_that_ignores_the_diagnosis_of_recoveries_has_them_proposed_too() -> None:
    incident = Incident(policy={"propose": True, "diagnosis": "Ignore"})
    fails(incident, a=TRANSIENT)

    await incident.loop("a", looks=4)

    assert len(incident.api.created) == 1
    assert readings(incident) == 0


async def test_nothing_new_is_decided_of_a_loop_whose_messages_a_look_does_not_see() -> None:
    incident = Incident()
    fails(incident, a=TRANSIENT)
    await incident.loop("a", looks=11)
    fails(incident, a=DETERMINISTIC)
    incident.heal()

    await incident.look(2)

    assert readings(incident) == 1
    assert incident.api.created == []
    assert WAIT in incident.cause().message


def refuses(incident: Incident, error: RecoveryError) -> Callable[[], None]:
    """Let the API server refuse to create recoveries; return what lets it accept them again."""

    def before(call: str) -> None:
        if call == "create":
            raise error

    def accept() -> None:
        incident.api.before = lambda _: None

    incident.api.before = before
    return accept


async def test_a_refusal_is_told_once_and_tried_again_at_each_look() -> None:
    incident = Incident()
    incident.strand()
    accept = refuses(incident, RecoveryError(Reason.PROPOSAL_REFUSED, "bind the role"))

    await incident.look(8)

    assert incident.told("ProposalRefused") == ["bind the role"]
    assert incident.cause().message.endswith("No recovery could be proposed: see the event ProposalRefused")
    accept()
    await incident.look()
    assert len(incident.api.created) == 1
    assert "see the event" not in incident.cause().message
    assert incident.told("ProposalRefused") == ["bind the role"]


async def test_a_refusal_in_which_only_names_and_numbers_differ_is_told_once_and_any_text_a_few_times() -> None:
    incident = Incident()
    incident.strand()
    said = (f'"{number}" is forbidden: exceeded quota: tight, used: count={number}' for number in range(10))

    def before(call: str) -> None:
        if call == "create":
            raise RecoveryError(Reason.PROPOSAL_REFUSED, next(said))

    incident.api.before = before
    await incident.look(8)
    assert incident.told("ProposalRefused") == ['"0" is forbidden: exceeded quota: tight, used: count=0']

    said = ("a" * number for number in range(1, 100))
    await incident.look(30)
    assert len(incident.told("ProposalRefused")) == 10


async def test_an_api_server_that_is_away_is_no_refusal() -> None:
    incident = Incident()
    incident.strand()
    accept = refuses(incident, RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "away"))
    await incident.look(5)
    assert incident.told("ProposalRefused") == []
    assert "proposed" not in incident.cause().message
    accept()

    await incident.look()

    assert len(incident.api.created) == 1


async def test_an_unexpected_error_is_logged_once_and_the_target_is_checked_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    incident = Incident()
    incident.strand()

    def before(call: str) -> None:
        if call == "create":
            raise ValueError("the card of alice")

    incident.api.before = before
    with caplog.at_level(logging.ERROR):
        await incident.look(6)

    [record] = caplog.records
    assert "proposing met an unexpected ValueError" in record.getMessage()
    assert "alice" not in caplog.text
    assert incident.status.checked_time == "2030-01-01T00:02:30Z"


async def test_another_recovery_of_that_name_is_named_and_left_alone() -> None:
    incident = Incident()
    incident.strand()
    await incident.look(3)
    name = incident.proposal["metadata"]["name"]
    stolen = {"metadata": {"name": name}, "spec": {"targetRef": {"name": "other"}, "queue": "mail"}}
    again = Incident()
    again.api.bodies[name] = stolen
    again.strand()

    await again.look(6)

    [note] = again.told("ProposalRefused")
    assert f'QueueRecovery "{name}" exists, but the operator did not propose it for this cause' in note
    assert again.api.bodies == {name: stolen}
    assert again.cause().proposal is None


async def test_the_proposal_of_the_incident_is_recorded_even_if_it_would_be_another_one_by_now() -> None:
    incident = Incident()
    await incident.loop("a", looks=2)
    told, stored = incident.status, incident.api.bodies
    await incident.loop("a", looks=3)
    incident.proposal["spec"]["purge"]["select"]["tasks"] = ["tts.other"]
    assert stored
    incident.status = told  # as if the process had died before it stored the name
    incident.next_leader()

    await incident.loop("a", looks=4)

    assert incident.cause().proposal == incident.proposal["metadata"]["name"]
    assert len(incident.api.created) == 1


async def test_a_proposal_that_is_refused_keeps_no_other_queue_from_its_own() -> None:
    incident = Incident(queues={name: ["worker"] for name in ("q0", "q1")})
    since = "2030-01-01T00:00:30Z"
    stolen = proposal_name("media", "q0", "StrandedMessages", since)
    incident.api.bodies[stolen] = {"metadata": {"name": stolen}, "spec": {}}
    for name in incident.queues:
        incident.strand(name)

    await incident.look(4)

    assert incident.cause(0).since == since
    assert incident.proposal["spec"]["queue"] == "q1"
    await incident.look(4)
    assert len(incident.told("ProposalRefused")) == 1


async def test_the_next_loop_is_judged_by_its_own_results() -> None:
    incident = Incident()
    fails(incident, a=TRANSIENT)
    await incident.loop("a", looks=3)
    assert WAIT in incident.cause().message
    incident.namespace.fake_broker.lock(recovery("tts"))
    await incident.loop("a")
    assert incident.status.queues[0].stuck == []
    incident.namespace.fake_broker.locks.clear()
    fails(incident, a=DETERMINISTIC)

    await incident.loop("a", looks=4)

    assert incident.cause().proposal is not None


async def test_an_outage_that_strands_messages_of_many_queues_gets_its_proposals_a_few_at_a_time() -> None:
    names = [f"q{number}" for number in range(12)]
    incident = Incident(queues={name: ["worker"] for name in names})
    for name in names:
        incident.strand(name)
    await incident.look(2)
    created = []
    for _ in range(4):
        await incident.look()
        created.append(len(incident.api.created))

    assert created == [5, 10, 12, 12]
    assert all(queue.stuck[0].proposal for queue in incident.status.queues)


async def test_many_loops_of_which_a_retry_helps_do_not_keep_another_queue_from_its_proposal() -> None:
    names = [f"q{number}" for number in range(12)]
    incident = Incident(queues={name: ["worker"] for name in names})
    fails(incident, **{f"of-{name}": TRANSIENT for name in names[:11]})
    for _ in range(14):
        for name in names:
            incident.retry(f"of-{name}", queue=name)
        incident.namespace.fake_broker.add("x", queue="q0", held=True)
        await incident.look()

    assert [body["spec"]["queue"] for body in incident.api.bodies.values()] == ["q11"]
