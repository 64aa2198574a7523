"""The reconciler: one task for each recovery that is not finished, and nothing for the others."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import FINALIZER
from queue_recovery.api.recovery_status import Ending, QueueRecoveryStatus
from queue_recovery.controller import reconciler as reconciler_module
from queue_recovery.controller.reconciler import Reconciler
from queue_recovery.controller.resource import KubernetesResource
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import set_ended
from queue_recovery.recovery.ports.resource import Annotations, DesiredState, Gone
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.turn import Turn
from sandbox.processes import until

Body = dict[str, Any]
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Resource:
    """A recovery that the API server is not asked about."""

    namespace = "media"

    def __init__(self, body: Mapping[str, Any], *, just_read: bool = False) -> None:
        self.just_read = just_read
        self.name = body["metadata"]["name"]
        self.generation = body["metadata"]["generation"]
        self.observed_generation = 0
        self.released = 0
        self.received: list[bool] = []
        self.desired = SimpleNamespace(generation=self.generation, spec=SimpleNamespace(jobs=[], suspend=False))
        self.last_status = QueueRecoveryStatus.model_validate(body["status"])
        self.written: list[QueueRecoveryStatus] = []

    def receive(self, body: Mapping[str, Any], *, gone: bool) -> None:
        self.generation = body["metadata"]["generation"]
        self.received.append(gone)

    async def write(self, status: QueueRecoveryStatus, *, asked: DesiredState | None = None) -> None:
        del asked
        self.written.append(status)

    async def release(self) -> None:
        self.released += 1


class Steps:
    """What is done to recoveries: nothing, until it is told to end."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.running = 0
        self.most = 0
        self.resources: list[Resource] = []
        self.go = asyncio.Event()
        self.outcome: Callable[[], Awaitable[object]] = self.go.wait
        self.turns: list[Turn] = []

    async def __call__(self, resource: Resource, environment: object, turn: Turn) -> Requeue | None:
        del environment
        self.turns.append(turn)
        self.begun.append(resource.name)
        self.resources.append(resource)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            waiting = await self.outcome()
            if isinstance(waiting, Requeue):
                return waiting
            resource.observed_generation = resource.generation
            turn.leave()
            return None
        finally:
            self.running -= 1

    async def has_begun(self, times: int) -> None:
        async def begun() -> bool:
            return len(self.begun) >= times

        await until(begun, f"the steps to begin {times} times")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    monkeypatch.setattr(reconciler_module, "reconcile", made)
    monkeypatch.setattr(reconciler_module, "_RETRY", 0.01)
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def reconciler(steps: Steps) -> AsyncIterator[Reconciler]:
    del steps
    environment = cast("Any", SimpleNamespace(observe_end=lambda _: None, now=lambda: NOW))

    async def read(namespace: str, name: str, uid: str) -> Body:
        body = recovery(uid=uid)
        body["metadata"] |= {"namespace": namespace, "name": name}
        return body

    made = Reconciler(
        Admission(4),
        read=read,
        resource=lambda body, *, just_read: cast("KubernetesResource", Resource(body, just_read=just_read)),
        environment=lambda _: environment,
        reconciled=lambda _: None,
    )
    yield made
    await made.aclose()


def recovery(
    generation: int = 1, *, ended: int | None = None, finalizers: tuple[str, ...] = (), uid: str = "u"
) -> Body:
    """Return a recovery's body; `ended`: the generation for which its terminal status was written."""
    status = {} if ended is None else {"completionTime": "2026-05-01T03:00:00Z", "observedGeneration": ended}
    metadata = {"namespace": "media", "name": "a", "uid": uid, "generation": generation, "finalizers": [*finalizers]}
    return {"metadata": metadata, "spec": {}, "status": status}


async def idle(reconciler: Reconciler) -> None:
    async def empty() -> bool:
        return not reconciler.watched

    await until(empty, "nothing to be kept of the recovery")


async def test_of_a_recovery_that_is_finished_nothing_is_kept_and_nothing_is_begun(
    reconciler: Reconciler, steps: Steps
) -> None:
    for number in range(1000):
        reconciler.receive(recovery(ended=1, uid=str(number)), gone=False)

    assert reconciler.watched == {}
    assert steps.begun == []


@pytest.mark.parametrize(
    "body",
    [recovery(), recovery(2, ended=1), recovery(ended=1, finalizers=(FINALIZER,))],
    ids=["it runs", "its spec has changed since it ended", "a process died before it took the finalizer away"],
)
async def test_a_recovery_is_reconciled_until_it_has_ended_its_spec_was_seen_and_it_is_released(
    reconciler: Reconciler, steps: Steps, body: Body
) -> None:
    reconciler.receive(body, gone=False)
    await steps.has_begun(1)
    steps.go.set()
    generation = body["metadata"]["generation"]
    reconciler.receive(recovery(generation, ended=generation), gone=False)

    await idle(reconciler)
    assert steps.begun == ["a"]
    assert steps.resources[0].released == 2


async def test_events_of_a_recovery_that_is_being_reconciled_are_told_to_its_one_task(
    reconciler: Reconciler, steps: Steps
) -> None:
    for generation in (1, 2, 3):
        reconciler.receive(recovery(generation), gone=False)
        await steps.has_begun(1)

    assert (steps.begun, steps.most) == (["a"], 1)
    assert steps.resources[0].generation == 3


BEGUN = {"phase": "Draining", "drainStartTime": "2026-05-01T03:00:00Z"}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (BEGUN, ["continuing where the previous process stopped"]),
        ({}, []),
        ({**BEGUN, "completionTime": "2026-05-01T03:00:00Z"}, []),
    ],
    ids=["an earlier process has begun it", "it is new", "only its newest spec is to be noted"],
)
async def test_it_says_when_a_recovery_goes_on_that_an_earlier_process_has_begun(
    reconciler: Reconciler, steps: Steps, status: Body, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    body = {**recovery(), "status": status}
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            reconciler.receive(body, gone=False)
            await steps.has_begun(1)

    assert caplog.messages == said
    about = {"namespace": "media", "recovery": "a", "phase": "Draining"}
    assert all(about.items() <= vars(record).items() for record in caplog.records)


async def test_events_that_lag_behind_the_end_start_nothing(reconciler: Reconciler, steps: Steps) -> None:
    reconciler.receive(recovery(), gone=False)
    steps.go.set()
    await steps.has_begun(1)
    for _ in range(3):
        reconciler.receive(recovery(), gone=False)
        await asyncio.sleep(0)
    reconciler.receive(recovery(ended=1), gone=False)

    await idle(reconciler)
    assert steps.begun == ["a"]


async def test_a_spec_that_changes_while_the_end_is_written_is_seen(reconciler: Reconciler, steps: Steps) -> None:
    reconciler.receive(recovery(), gone=False)
    steps.go.set()
    await steps.has_begun(1)
    reconciler.receive(recovery(2, ended=1), gone=False)
    await steps.has_begun(2)
    reconciler.receive(recovery(2, ended=2), gone=False)

    await idle(reconciler)
    assert steps.most == 1


async def test_a_watch_that_never_tells_of_the_end_has_it_read_again(
    reconciler: Reconciler, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queue_recovery.controller.watched_recovery._LAG", 0.01)
    reconciler.receive(recovery(), gone=False)
    steps.go.set()

    await steps.has_begun(2)
    assert steps.most == 1


async def test_a_recovery_that_is_gone_ends_its_task_and_its_steps_are_told(
    reconciler: Reconciler, steps: Steps
) -> None:
    async def find_it_gone() -> None:
        await steps.go.wait()
        raise Gone

    steps.outcome = find_it_gone
    reconciler.receive(recovery(), gone=False)
    await steps.has_begun(1)
    reconciler.receive(recovery(), gone=True)
    steps.go.set()

    await idle(reconciler)
    assert steps.resources[0].received == [True]


async def test_a_recovery_that_went_unseen_by_the_watch_ends_its_task_when_it_is_read(
    reconciler: Reconciler, steps: Steps
) -> None:
    async def find_it_gone() -> None:
        raise Gone

    steps.outcome = find_it_gone
    reconciler.receive(recovery(), gone=False)

    await idle(reconciler)
    assert steps.begun == ["a"]


@pytest.mark.parametrize("error", [RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "away"), RuntimeError("a bug")])
async def test_what_ends_in_an_error_is_tried_again(reconciler: Reconciler, steps: Steps, error: Exception) -> None:
    async def fail() -> None:
        raise error

    steps.outcome = fail
    reconciler.receive(recovery(), gone=False)

    await steps.has_begun(3)
    assert steps.most == 1


async def test_one_that_is_removed_while_it_waits_to_be_tried_again_is_tried_until_it_is_put_in_order(
    reconciler: Reconciler, steps: Steps
) -> None:
    async def fail() -> None:
        reconciler.receive(recovery(2), gone=True)
        if len(steps.begun) < 3:
            raise RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "away")
        raise Gone

    steps.outcome = fail
    reconciler.receive(recovery(), gone=False)

    await idle(reconciler)
    assert steps.begun == ["a"] * 3
    assert steps.resources[1].generation == 2


async def test_one_that_cannot_be_read_is_forgotten_when_it_is_removed(
    reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Body] = []

    def refuse(body: Body, **_: object) -> None:
        seen.append(body)
        raise ValueError

    monkeypatch.setattr(reconciler, "_resource", refuse)
    reconciler.receive(recovery(), gone=False)

    async def tried() -> bool:
        return len(seen) > 1

    await until(tried, "it to be tried again")
    reconciler.receive(recovery(), gone=True)
    await idle(reconciler)


async def test_one_that_is_removed_once_it_has_ended_is_not_begun_again(reconciler: Reconciler, steps: Steps) -> None:
    reconciler.receive(recovery(), gone=False)
    steps.go.set()
    await steps.has_begun(1)
    reconciler.receive(recovery(), gone=True)

    await idle(reconciler)
    assert steps.begun == ["a"]


async def test_an_unexpected_error_is_told_in_the_status_without_its_text(reconciler: Reconciler, steps: Steps) -> None:
    async def fail() -> None:
        raise RuntimeError("a password")

    steps.outcome = fail
    reconciler.receive(recovery(), gone=False)
    await steps.has_begun(2)

    (told,) = steps.resources[0].written
    reconciling = find(told.conditions, ConditionType.RECONCILING)
    assert reconciling is not None
    assert (reconciling.status, reconciling.reason) == ("True", "InternalError")
    assert reconciling.message == told.message
    assert told.message.startswith("the operator met an unexpected RuntimeError. Trying again every")


async def test_an_unexpected_error_leaves_the_terminal_status_as_it_is(reconciler: Reconciler, steps: Steps) -> None:
    async def fail() -> None:
        raise RuntimeError

    steps.outcome = fail
    ending = Ending(phase="Cancelled", reason="Deleted", message="deleted")
    ended = set_ended(QueueRecoveryStatus(ending=ending), now=NOW, generation=1)
    body = recovery(2)
    reconciler.receive({**body, "status": ended.model_dump(by_alias=True, mode="json", exclude_none=True)}, gone=False)
    await steps.has_begun(2)

    assert steps.resources[0].written == []


async def test_closing_ends_all_tasks_at_once_and_what_is_received_later_begins_again(
    reconciler: Reconciler, steps: Steps
) -> None:
    for uid in ("started", "also started"):
        reconciler.receive(recovery(uid=uid), gone=False)
    await steps.has_begun(2)
    reconciler.receive(recovery(uid="not started yet"), gone=False)
    async with asyncio.timeout(5):
        await reconciler.aclose()
    assert (steps.running, reconciler.watched) == (0, {})

    reconciler.receive(recovery(uid="started"), gone=False)
    await steps.has_begun(3)


def waiting(*, generation: int = 1, seconds: float = 3600, for_turn: bool = False) -> Requeue:
    return Requeue(generation=generation, seconds=seconds, for_turn=for_turn)


def awaiting_approval(approve: str = "") -> Requeue:
    return Requeue(generation=1, seconds=3600, for_turn=False, target="media", annotations=Annotations(approve=approve))


def approved(digest: str) -> Body:
    """Return the body of a recovery whose annotation quotes this."""
    body = recovery()
    body["metadata"]["annotations"] = {"queuerecovery.dev/approve": digest, "unrelated": "1"}
    return body


def edited_target(generation: int, name: str = "media") -> Body:
    return {"metadata": {"namespace": "media", "name": name, "uid": "t", "generation": generation}}


async def waits(reconciler: Reconciler) -> None:
    async def without_task() -> bool:
        return all(watched.task is None for watched in reconciler.watched.values())

    await until(without_task, "no recovery to have a task")


async def test_one_that_waits_has_no_task_and_goes_on_with_a_new_spec(reconciler: Reconciler, steps: Steps) -> None:
    async def wait() -> Requeue:
        return waiting()

    steps.outcome = wait
    reconciler.receive(recovery(), gone=False)
    await waits(reconciler)
    assert (steps.begun, reconciler.active) == (["a"], 1)
    [watched] = reconciler.watched.values()
    assert watched.body is None

    reconciler.receive(recovery(), gone=False)  # its own last write
    await waits(reconciler)
    assert steps.begun == ["a"]

    steps.outcome = steps.go.wait
    reconciler.receive(recovery(2), gone=False)
    await steps.has_begun(2)
    assert steps.resources[1].generation == 2


async def test_of_those_that_are_not_finished_it_is_known_what_they_recover(
    reconciler: Reconciler, steps: Steps
) -> None:
    async def wait() -> Requeue:
        return waiting()

    steps.outcome = wait
    body = recovery() | {"spec": {"targetRef": {"name": "media"}, "queue": "tts"}}
    reconciler.receive(body, gone=False)
    await waits(reconciler)
    reconciler.receive(recovery(ended=1, uid="v"), gone=False)

    body["metadata"] = body["metadata"] | {"labels": {"queuerecovery.dev/proposed-for": "RetryLoop"}}
    body["spec"] = body["spec"] | {"suspend": True}
    reconciler.receive(body, gone=False)
    assert steps.begun == ["a"], "no task is begun for this"

    assert reconciler.outlines("media") == [("a", "media", "tts", "RetryLoop")]
    assert reconciler.outlines("other") == []
    reconciler.receive(body, gone=True)
    steps.outcome = steps.go.wait
    steps.go.set()
    await idle(reconciler)
    assert reconciler.outlines("media") == []


async def test_a_proposal_that_has_failed_before_anybody_started_it_is_known_until_it_is_deleted(
    reconciler: Reconciler,
) -> None:
    proposed = recovery(ended=1)
    proposed["metadata"]["labels"] = {"queuerecovery.dev/proposed-for": "RetryLoop"}
    spec = {"targetRef": {"name": "media"}, "queue": "tts", "suspend": True}

    for started in ({"suspend": False}, {"cancel": True}):
        reconciler.receive(proposed | {"spec": spec | started}, gone=False)
        assert reconciler.outlines("media") == []
    reconciler.receive(proposed | {"spec": spec}, gone=False)
    assert reconciler.outlines("media") == [("a", "media", "tts", "RetryLoop")]
    assert (reconciler.outlines("other"), reconciler.active) == ([], 0)

    reconciler.receive(proposed | {"spec": spec}, gone=True)
    assert reconciler.outlines("media") == []


async def test_one_that_waits_goes_on_at_its_deadline_and_is_read_for_it(reconciler: Reconciler, steps: Steps) -> None:
    async def wait() -> object:
        return waiting(seconds=0.01) if len(steps.begun) == 1 else await steps.go.wait()

    steps.outcome = wait
    reconciler.receive(recovery(), gone=False)
    await steps.has_begun(2)

    assert [one.just_read for one in steps.resources] == [False, True]


async def test_a_spec_that_changes_before_it_waits_is_seen(reconciler: Reconciler, steps: Steps) -> None:
    async def wait() -> object:
        if len(steps.begun) == 1:
            reconciler.receive(recovery(2), gone=False)
            return waiting()
        return await steps.go.wait()

    steps.outcome = wait
    reconciler.receive(recovery(), gone=False)

    await steps.has_begun(2)
    assert steps.most == 1


async def test_one_that_awaits_an_approval_goes_on_with_it_and_with_no_other_change(
    reconciler: Reconciler, steps: Steps
) -> None:
    async def wait() -> Requeue:
        return awaiting_approval("" if len(steps.begun) == 1 else "digest")

    steps.outcome = wait
    reconciler.receive_target(edited_target(1), gone=False)
    reconciler.receive(recovery(), gone=False)
    await waits(reconciler)
    reconciler.receive({**recovery(), "status": {"phase": "AwaitingApproval"}}, gone=False)  # its own last write
    reconciler.receive_target(edited_target(1), gone=False)  # its status alone
    reconciler.receive_target(edited_target(1, "other"), gone=False)
    await waits(reconciler)
    assert steps.begun == ["a"]

    reconciler.receive(approved("digest"), gone=False)
    await steps.has_begun(2)
    await waits(reconciler)
    reconciler.receive(approved("digest"), gone=False)
    await waits(reconciler)
    assert len(steps.begun) == 2


async def test_one_that_awaits_an_approval_asks_again_when_its_target_is_edited(
    reconciler: Reconciler, steps: Steps
) -> None:
    async def wait() -> Requeue:
        if len(steps.begun) == 2:
            reconciler.receive_target(edited_target(3), gone=False)  # while it is reconciled
        return awaiting_approval()

    steps.outcome = wait
    reconciler.receive_target(edited_target(1), gone=False)
    reconciler.receive(recovery(), gone=False)
    await waits(reconciler)

    reconciler.receive_target(edited_target(2), gone=False)
    await steps.has_begun(3)
    await waits(reconciler)
    assert len(steps.begun) == 3


def reporting(*proposals: str, stuck: str = "True") -> Body:
    """Return the body of a target whose status names these proposals."""
    causes = [{"reason": "RetryLoop", "proposal": name} for name in proposals]
    conditions = [{"type": "Stuck", "status": stuck}]
    return edited_target(1) | {"status": {"conditions": conditions, "queues": [{"name": "tts", "stuck": causes}]}}


async def test_a_suspended_proposal_looks_again_once_its_target_names_other_proposals_or_its_label_is_another_one(
    reconciler: Reconciler, steps: Steps
) -> None:
    async def wait() -> Requeue:
        return Requeue(generation=1, seconds=3600, for_turn=False, target="media", proposed_for="RetryLoop")

    steps.outcome = wait
    body = recovery()
    body["metadata"]["labels"] = {"queuerecovery.dev/proposed-for": "RetryLoop"}
    reconciler.receive_target(reporting("a"), gone=False)
    reconciler.receive(body, gone=False)
    await waits(reconciler)
    reconciler.receive_target(reporting("a"), gone=False)
    reconciler.receive_target(reporting(stuck="Unknown"), gone=False)
    reconciler.receive(body, gone=False)
    await waits(reconciler)
    assert len(steps.begun) == 1

    reconciler.receive_target(reporting(stuck="False"), gone=False)
    await steps.has_begun(2)
    await waits(reconciler)
    reconciler.receive(recovery(), gone=False)  # without its label
    await steps.has_begun(3)
    await waits(reconciler)


async def test_an_event_that_lags_behind_what_was_read_does_not_make_it_read_again_and_again(
    reconciler: Reconciler, steps: Steps
) -> None:
    async def wait() -> Requeue:
        return awaiting_approval("read before its event came")

    steps.outcome = wait
    reconciler.receive(recovery(), gone=False)
    await waits(reconciler)

    assert steps.begun == ["a"]


async def test_a_turn_that_comes_before_it_waits_is_seen(reconciler: Reconciler, steps: Steps) -> None:
    async def wait() -> object:
        return waiting(for_turn=True) if len(steps.begun) == 1 else await steps.go.wait()

    steps.outcome = wait
    reconciler.receive(recovery(), gone=False)

    await steps.has_begun(2)


async def test_one_that_is_deleted_while_it_waits_goes_on(reconciler: Reconciler, steps: Steps) -> None:
    async def wait() -> object:
        if len(steps.begun) == 1:
            return waiting()
        raise Gone

    steps.outcome = wait
    reconciler.receive(recovery(), gone=False)
    await waits(reconciler)
    reconciler.receive(recovery(), gone=True)

    await idle(reconciler)
    assert steps.begun == ["a", "a"]


async def test_of_a_crowd_a_few_are_begun_at_once_and_all_of_them_in_time(reconciler: Reconciler, steps: Steps) -> None:
    for number in range(50):
        reconciler.receive(recovery(uid=str(number)), gone=False)
    await steps.has_begun(1)
    tasks = sum(watched.task is not None for watched in reconciler.watched.values())
    assert 0 < tasks < 10
    steps.go.set()

    await steps.has_begun(50)
    assert steps.most < 10


async def test_what_holds_something_is_begun_at_once_no_matter_what_waits(reconciler: Reconciler, steps: Steps) -> None:
    for number in range(50):
        reconciler.receive(recovery(uid=str(number)), gone=False)
    await steps.has_begun(1)
    before = len(steps.begun)
    begun = recovery(uid="begun")
    begun["status"] = {"drainStartTime": "2026-05-01T03:00:00Z"}
    deleted = recovery(uid="deleted")
    deleted["metadata"]["deletionTimestamp"] = "2026-05-01T03:00:00Z"
    for body in (begun, deleted):
        reconciler.receive(body, gone=False)

    await steps.has_begun(before + 2)


async def test_those_that_cannot_be_begun_keep_nobody_from_beginning(
    reconciler: Reconciler, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resource(body: Body, **_: object) -> Resource:
        if body["metadata"]["name"] == "bad":
            raise ValueError
        return Resource(body)

    monkeypatch.setattr(reconciler, "_resource", resource)
    for number in range(20):
        body = recovery(uid=str(number))
        body["metadata"]["name"] = "good" if number == 19 else "bad"
        reconciler.receive(body, gone=False)

    await steps.has_begun(1)
    assert steps.begun == ["good"]


async def test_closing_starts_none_of_those_that_wait(reconciler: Reconciler, steps: Steps) -> None:
    for number in range(50):
        reconciler.receive(recovery(uid=str(number)), gone=False)
    await steps.has_begun(1)
    before = len(steps.begun)

    async with asyncio.timeout(5):
        await reconciler.aclose()
    await asyncio.sleep(0)

    assert (steps.running, len(steps.begun), reconciler.active) == (0, before, 0)
