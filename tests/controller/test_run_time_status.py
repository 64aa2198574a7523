"""A target warns of settings that are shorter than its tasks, as far as it has seen them run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from queue_recovery.api.approval import TargetPolicy
from queue_recovery.api.conditions import Condition, ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller.stuck_watch import StuckWatch
from queue_recovery.controller.target_check import check_target
from queue_recovery.diagnosis.evidence import TaskProcess, TaskResult
from queue_recovery.diagnosis.stuck_evidence import Sighting
from queue_recovery.recovery.errors import RecoveryError
from tests.recovery.fakes import NOW, FakeEnvironment, target

HOUR = timedelta(hours=1)
BROKER = {"urlSecretRef": {"name": "redis", "key": "url"}}


def started(pod: str = "worker-0") -> TaskResult:
    process = TaskProcess(host=pod, pid=7)
    return TaskResult(failure=None, succeeded=False, task=None, retries=None, seen=None, started_by=process)


@dataclass
class Running:
    """A target whose worker has one pod, and runs a task that it was given just now."""

    visible: int | None = None
    grace: int = 100
    diagnosis: Mapping[str, object] = field(default_factory=lambda: {"results": {}})
    namespace: FakeEnvironment = field(default_factory=FakeEnvironment)
    watch: StuckWatch = field(default_factory=StuckWatch)
    status: QueueTargetStatus = field(default_factory=QueueTargetStatus)

    def __post_init__(self) -> None:
        """Begin with the task in a process of the pod."""
        options = {} if self.visible is None else {"visibilityTimeoutSeconds": self.visible}
        self.spec = target(diagnosis=self.diagnosis, broker={**BROKER, "transportOptions": options})
        self.namespace.deployments.add("worker", oldest_process=NOW - HOUR, running_pods={"worker-0": self.grace})
        self.namespace.fake_broker.add("a", held=True)
        self.run("a")

    def run(self, name: str) -> None:
        """Let the only task that runs be this one."""
        delivered = self.namespace.time - timedelta(seconds=1)
        self.namespace.fake_broker.sightings["tts"] = [
            Sighting(id=name.encode(), task_id=name, task="tts.render", delivered=delivered, held=True)
        ]
        self.namespace.fake_results.results = {name: started()}

    def deliver_again(self) -> None:
        """Let the visibility timeout be over, so that another worker takes the message, too."""
        [message] = self.namespace.fake_broker.sightings["tts"]
        again = replace(message, redelivered=True, delivered=self.namespace.time - timedelta(seconds=1), task_id=None)
        self.namespace.fake_broker.sightings["tts"] = [again]

    def end(self) -> None:
        """Let the task be done."""
        self.namespace.fake_broker.sightings.clear()
        self.namespace.fake_broker.held_by_workers.clear()
        self.namespace.fake_results.results.clear()

    async def check(self, times: int = 1) -> Condition | None:
        """Check the target so often, every 30 seconds; return its condition `RunTimesAllowed`."""
        for _ in range(times):
            self.status = await check_target(self.spec, self.status, self.namespace, generation=1, watch=self.watch)
            self.namespace.time += timedelta(seconds=30)
        return find(self.status.conditions, ConditionType.RUN_TIMES_ALLOWED)

    async def told(self, times: int = 1) -> tuple[str, str, str]:
        """Check the target so often; return status, reason and message of the condition."""
        condition = await self.check(times)
        assert condition is not None
        return condition.status, condition.reason, condition.message


async def test_a_task_longer_than_the_grace_period_of_its_workers_is_a_warning_and_the_target_is_ready() -> None:
    case = Running(grace=100)

    assert (await case.told(5))[:2] == ("True", "RunTimesWithinLimits")
    status, reason, message = await case.told()
    assert (status, reason) == ("False", "RunBeyondGracePeriod")
    assert message == (
        'task "tts.render" of queue "tts" ran for at least 120 seconds, and the pods of Deployment "worker" have 100 '
        "seconds to end, so an update kills them while it runs. Raise terminationGracePeriodSeconds above the longest "
        "task"
    )
    ready = find(case.status.conditions, ConditionType.READY)
    assert ready is not None
    assert ready.status == "True"


async def test_it_stays_a_warning_when_the_task_is_done_until_the_grace_period_is_longer() -> None:
    case = Running(grace=100)
    await case.check(6)
    case.end()
    assert (await case.told(10))[:2] == ("False", "RunBeyondGracePeriod")

    case.namespace.deployments.change("worker", running_pods={"worker-1": 300})

    assert await case.told() == (
        "True",
        "RunTimesWithinLimits",
        'the longest run that was seen, of task "tts.render" of queue "tts", lasted at least 120 seconds',
    )


async def test_a_message_that_is_delivered_again_while_its_task_runs_is_a_warning() -> None:
    case = Running(grace=1000, visible=140)

    assert (await case.told(5))[0] == "True"
    case.deliver_again()
    status, reason, message = await case.told()

    assert (status, reason) == ("False", "RunBeyondTimeout")
    assert message == (
        'task "tts.render" of queue "tts" ran for at least 90 seconds, and its message was delivered again while it '
        "ran: visibilityTimeoutSeconds is 140, and Celery delivers a message again when its task runs longer. Raise "
        "visibility_timeout, and visibilityTimeoutSeconds with it, above the longest task and the time for which its "
        "message waits in a worker"
    )


async def test_both_are_told_together() -> None:
    case = Running(grace=30, visible=110)

    _, reason, message = await case.told(6)

    assert reason == "RunBeyondTimeout"
    assert "ran for at least 120 seconds: visibilityTimeoutSeconds is 110" in message
    assert "30 seconds to end" in message


@pytest.mark.parametrize("uptime", [None, 30])
async def test_what_a_server_may_have_from_a_snapshot_is_not_believed(uptime: int | None) -> None:
    case = Running(grace=100)
    case.namespace.fake_broker.uptime_seconds = uptime

    assert (await case.told(6))[:2] == ("Unknown", "NoRunSeen")


async def test_an_invalid_rule_does_not_keep_the_results_from_being_read() -> None:
    case = Running(grace=100, diagnosis={"results": {}, "rules": [{"message": "[[]a]", "verdict": "Transient"}]})

    assert (await case.told(6))[:2] == ("False", "RunBeyondGracePeriod")


async def test_short_tasks_tell_nothing_and_ask_nothing_about_pods() -> None:
    case = Running(diagnosis={"results": {}, "stuck": {"strandedMessages": 0}})
    case.namespace.fake_results.results.clear()
    await case.check(3)
    assert "look" not in case.namespace.log

    for number in range(5):
        case.run(f"{number}")
        status, reason, message = await case.told()
        assert (status, reason) == ("Unknown", "NoRunSeen")
        assert "track_started and acks_late" in message


async def test_without_the_results_there_is_no_such_condition_and_nothing_is_read() -> None:
    case = Running(diagnosis={})

    assert await case.check(6) is None
    assert not case.namespace.fake_results.asked


@pytest.mark.parametrize("error", [RecoveryError(Reason.BROKER_UNAVAILABLE, "away"), TimeoutError()])
async def test_results_that_cannot_be_read_are_told_by_another_condition_and_end_no_run(error: Exception) -> None:
    case = Running(grace=100)
    await case.check(3)
    case.namespace.fake_results.fail("read", error, error)
    assert (await case.told(2))[:2] == ("True", "RunTimesWithinLimits")

    assert (await case.told(2))[:2] == ("False", "RunBeyondGracePeriod")


async def test_a_target_that_changes_elsewhere_keeps_what_was_seen() -> None:
    case = Running(grace=100)
    await case.check(5)
    case.spec = case.spec.model_copy(update={"policy": TargetPolicy(propose=True)})

    assert (await case.told())[:2] == ("False", "RunBeyondGracePeriod")
