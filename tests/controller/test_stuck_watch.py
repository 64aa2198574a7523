"""How a target tells of stuck queues: in its status and its condition, over the looks of one process and the next."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from queue_recovery.api.approval import TargetPolicy
from queue_recovery.api.base import SecretKeyRef
from queue_recovery.api.conditions import Condition, ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import BrokerSpec
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller.event_poster import Event
from queue_recovery.controller.stuck_watch import StuckWatch
from queue_recovery.controller.target_check import check_target
from queue_recovery.controller.target_events import target_events_between
from queue_recovery.diagnosis.stuck_evidence import Sighting
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import ScaleBackNote
from tests.broker.application import recovery
from tests.recovery.fakes import NOW, FakeEnvironment, target

HOUR = timedelta(hours=1)


@dataclass
class Checked:
    """A target with a queue `tts`, that is checked every 30 seconds."""

    queues: dict[str, list[str]] = field(default_factory=lambda: {"tts": ["worker"]})
    namespace: FakeEnvironment = field(default_factory=FakeEnvironment)
    watch: StuckWatch = field(default_factory=StuckWatch)
    status: QueueTargetStatus = field(default_factory=QueueTargetStatus)
    generation: int = 1
    events: Sequence[Event] = ()

    def __post_init__(self) -> None:
        """Begin with a worker that has been ready for long."""
        self.spec = target(self.queues, diagnosis={"stuck": {"deafSeconds": 120}})
        self.namespace.deployments.add("worker", oldest_process=NOW - HOUR, ready_since=(NOW - HOUR,))

    async def check(self, times: int = 1) -> Condition:
        """Check the target; return its condition `Stuck`."""
        for _ in range(times):
            before = self.status
            self.status = await check_target(
                self.spec, before, self.namespace, generation=self.generation, watch=self.watch
            )
            self.events = list(target_events_between(before, self.status))
            self.namespace.time += timedelta(seconds=30)
        condition = find(self.status.conditions, ConditionType.STUCK)
        assert condition is not None
        return condition

    def strand(self, queue: str = "tts", delivered: datetime = NOW - 2 * HOUR) -> None:
        """Let a worker be killed that held a message."""
        broker = self.namespace.fake_broker
        broker.add(f"of {queue}", queue=queue, held=True)
        broker.sightings[queue] = [Sighting(id=b"a", delivered=delivered, held=True)]

    def stuck(self) -> list[list[str]]:
        """Return the causes that the status has, by queue."""
        return [[cause.reason for cause in queue.stuck] for queue in self.status.queues]


async def test_a_healthy_target_is_not_stuck_and_asks_nothing_about_pods_and_locks() -> None:
    case = Checked()
    case.namespace.fake_broker.add("a", "b")

    condition = await case.check(3)

    assert (condition.status, condition.reason) == ("False", "NotStuck")
    assert not {"look", "holders"} & set(case.namespace.log)
    assert "stuck" not in str(case.status.model_dump(mode="json", by_alias=True, exclude_none=True)["queues"])


async def test_stranded_messages_are_told_at_the_second_look_in_the_status_the_condition_and_an_event() -> None:
    case = Checked()
    case.strand()
    await case.check()
    assert case.stuck() == [[]]

    condition = await case.check()

    [cause] = case.status.queues[0].stuck
    assert (cause.reason, cause.since) == ("StrandedMessages", "2030-01-01T00:00:30Z")
    assert (condition.status, condition.reason) == ("True", "StrandedMessages")
    assert condition.message == f'queue "tts": {cause.message} (StrandedMessages)'
    ready = find(case.status.conditions, ConditionType.READY)
    assert ready is not None
    assert ready.status == "True"
    [event] = case.events
    assert (event.type, event.reason) == ("Warning", "StrandedMessages")
    assert event.note.startswith('Stuck: queue "tts": 1 message in unacked')
    await case.check()
    assert not case.events


async def test_a_message_that_is_acknowledged_while_its_worker_is_replaced_is_not_stranded() -> None:
    """The last pod of a rolling update ends after the messages were looked at, and before the workers are."""
    case = Checked()
    case.strand(delivered=NOW - timedelta(seconds=1))
    await case.check()

    def replaced() -> None:
        case.namespace.fake_broker.sightings.clear()
        case.namespace.fake_broker.held_by_workers.clear()
        now = case.namespace.time
        case.namespace.deployments.change("worker", oldest_process=now, ready_since=(now,))

    case.namespace.deployments.on_call["look"] = replaced

    assert (await case.check()).reason == "NotStuck"


async def test_a_process_that_says_to_have_been_started_in_the_future_proves_nothing() -> None:
    """The clock of its node was ahead, and has been set right since: what it takes looks older than it."""
    case = Checked()
    start = NOW + timedelta(minutes=10)
    case.namespace.deployments.change("worker", oldest_process=start, ready_since=(start,))
    case.strand(delivered=NOW)

    assert (await case.check(10)).reason == "NotStuck"


async def test_what_is_held_is_read_a_second_time_only_before_it_is_told_as_stranded() -> None:
    case = Checked()
    case.strand()
    await case.check(2)
    reads = case.namespace.fake_broker.calls.count("unacked")

    await case.check(4)

    assert reads == 3
    assert case.namespace.fake_broker.calls.count("unacked") == reads + 4


async def test_the_end_of_it_is_told_once() -> None:
    case = Checked()
    case.strand()
    await case.check(2)
    case.namespace.fake_broker.sightings.clear()
    case.namespace.fake_broker.held_by_workers.clear()

    seen = []
    for _ in range(6):
        condition = await case.check()
        seen += [(event.type, event.reason) for event in case.events]

    assert (condition.status, condition.reason) == ("False", "NotStuck")
    assert seen == [("Normal", "NotStuck")]


async def test_deaf_workers_are_told() -> None:
    case = Checked()
    case.namespace.fake_broker.add("a", "b")

    assert (await case.check(4)).status == "False"
    condition = await case.check()

    assert (condition.status, condition.reason) == ("True", "DeafWorkers")
    assert "2 messages wait and none was taken for 120 seconds" in condition.message


async def test_the_most_urgent_causes_are_described_and_the_others_counted() -> None:
    case = Checked(queues={f"q{number}": ["worker"] for number in range(5)})
    for number in range(1, 5):
        case.strand(f"q{number}")
    case.namespace.fake_broker.add("a", queue="q0")

    condition = await case.check(6)

    assert condition.reason == "DeafWorkers"
    assert condition.message.startswith('queue "q0": 1 message waits')
    assert condition.message.endswith(". And 2 more: see status.queues")
    assert case.stuck() == [["DeafWorkers"], *[["StrandedMessages"]] * 4]


async def test_a_long_task_of_one_queue_makes_no_worker_deaf_that_consumes_another_one_too() -> None:
    case = Checked(queues={"long": ["worker"], "tts": ["worker"], "apart": ["other"]})
    case.namespace.deployments.add("other", oldest_process=NOW - HOUR, ready_since=(NOW - HOUR,))
    case.strand("long", delivered=NOW - timedelta(seconds=1))
    for queue in ("tts", "apart"):
        case.namespace.fake_broker.add("a", queue=queue)

    await case.check(8)

    assert case.stuck() == [[], [], ["DeafWorkers"]]


@pytest.mark.parametrize("how", ["lock", "worker"])
async def test_nothing_is_told_of_a_queue_that_a_recovery_holds(how: str) -> None:
    case = Checked()
    case.strand()
    await case.check(2)
    if how == "lock":
        case.namespace.fake_broker.lock(recovery("tts"))
    else:
        case.namespace.deployments.change("worker", note=ScaleBackNote(uid="u", name="r", replicas=2))

    assert (await case.check(5)).status == "False"

    case.namespace.fake_broker.locks.clear()
    case.namespace.deployments.change("worker", note=None)
    assert (await case.check()).status == "False"
    assert (await case.check(2)).status == "True"


async def test_the_next_leader_goes_on_with_what_is_told_and_says_nothing_new() -> None:
    case = Checked()
    case.strand()
    await case.check(3)
    since = case.status.queues[0].stuck[0].since
    case.watch = StuckWatch()

    for _ in range(4):
        assert (await case.check()).status == "True"
        assert not case.events
    assert case.status.queues[0].stuck[0].since == since


async def test_what_was_seen_of_another_broker_counts_no_more() -> None:
    case = Checked()
    case.namespace.fake_broker.add("a")
    await case.check(4)
    another = BrokerSpec(url_secret_ref=SecretKeyRef(name="another", key="url"))
    case.spec = case.spec.model_copy(update={"broker": another})

    assert (await case.check(4)).status == "False"
    assert (await case.check()).status == "True"


async def test_what_was_told_of_another_broker_is_not_told_any_more() -> None:
    case = Checked()
    case.strand()
    assert (await case.check(2)).reason == "StrandedMessages"
    another = BrokerSpec(url_secret_ref=SecretKeyRef(name="another", key="url"))
    case.spec = case.spec.model_copy(update={"broker": another})
    case.namespace.fake_broker.sightings.clear()
    case.namespace.fake_broker.held_by_workers.clear()

    assert (await case.check()).reason == "NotStuck"


async def test_what_was_seen_counts_after_a_change_that_concerns_no_queue() -> None:
    case = Checked()
    case.namespace.fake_broker.add("a")
    await case.check(4)
    case.generation = 2
    case.spec = case.spec.model_copy(update={"policy": TargetPolicy(propose=True)})

    assert (await case.check()).status == "True"


async def test_a_broker_that_does_not_answer_makes_it_unknown_and_ends_nothing() -> None:
    case = Checked()
    case.strand()
    await case.check(2)
    case.namespace.fake_broker.fail("check", *[RecoveryError(Reason.BROKER_UNAVAILABLE, "away")] * 5)

    condition = await case.check(5)

    assert (condition.status, condition.reason) == ("Unknown", "NotChecked")
    assert (await case.check()).status == "True"


async def test_workers_that_cannot_be_looked_at_are_told_by_another_condition_alone() -> None:
    case = Checked()
    case.strand()
    case.namespace.deployments.remove("worker")

    condition = await case.check(3)

    assert (condition.status, condition.reason) == ("False", "NotStuck")
    found = find(case.status.conditions, ConditionType.WORKERS_FOUND)
    assert found is not None
    assert found.status == "False"


@pytest.mark.parametrize(
    ("visible", "eta_hours", "expected"),
    [
        (None, 5, None),
        (3600, 5, ("False", "EtaBeyondTimeout")),
        (3600 * 6, 5, ("True", "EtasWithinTimeout")),
        (3600, None, ("True", "EtasWithinTimeout")),
    ],
)
async def test_an_eta_beyond_the_visibility_timeout_is_a_warning(
    visible: int | None, eta_hours: int | None, expected: tuple[str, str] | None
) -> None:
    case = Checked()
    options = {} if visible is None else {"visibilityTimeoutSeconds": visible}
    broker = {"urlSecretRef": {"name": "redis", "key": "url"}, "transportOptions": options}
    case.spec = target(case.queues, broker=broker)
    delivered, eta = NOW - timedelta(seconds=1), None if eta_hours is None else NOW + eta_hours * HOUR
    case.namespace.fake_broker.add("a", held=True)
    case.namespace.fake_broker.sightings["tts"] = [Sighting(id=b"a", delivered=delivered, held=True, eta=eta)]

    await case.check()

    found = find(case.status.conditions, ConditionType.ETAS_VISIBLE)
    assert (found and (found.status, found.reason)) == expected
    ready = find(case.status.conditions, ConditionType.READY)
    assert ready is not None
    assert ready.status == "True"
    if expected and expected[0] == "False":
        assert found is not None
        assert 'messages of "tts" with an ETA up to 18001 seconds after their delivery, and' in found.message
        assert "Raise visibility_timeout in the application and visibilityTimeoutSeconds in the target" in found.message


async def test_what_was_seen_before_a_recovery_counts_no_more_however_short_it_was() -> None:
    case = Checked()
    case.strand()
    await case.check(2)
    assert case.stuck() == [["StrandedMessages"]]

    case.watch.forget("tts")
    after = await case.check()

    assert (after.reason, case.stuck()) == ("NotStuck", [[]])
    await case.check()
    assert case.stuck() == [["StrandedMessages"]], "still there"


async def test_a_recovery_of_another_queue_ends_nothing() -> None:
    case = Checked()
    case.strand()
    await case.check(2)

    case.watch.forget("mail")

    assert (await case.check()).reason == "StrandedMessages"


async def test_what_was_told_is_not_taken_from_the_status_after_a_recovery_of_every_queue() -> None:
    case = Checked()
    case.strand()
    await case.check(2)

    case.watch = StuckWatch()  # another process
    case.watch.forget("*")

    assert (await case.check()).reason == "NotStuck"
