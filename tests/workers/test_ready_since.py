"""Since when pods are ready, when their processes were started, and which workers may hold no message."""

from datetime import UTC, datetime
from typing import Any

import pytest

from queue_recovery.workers.objects import Container, Pod
from queue_recovery.workers.processes import may_hold_nothing, oldest_process, ready_since

Json = dict[str, Any]


def time(minute: int) -> str:
    return f"2026-01-01T00:{minute:02}:00Z"


def at(minute: int) -> datetime:
    return datetime(2026, 1, 1, 0, minute, tzinfo=UTC)


def pod(*containers: Json, ready: int | None = None, **more: Json) -> Pod:
    metadata = {"name": "p", "uid": "p", "resourceVersion": "1", "creationTimestamp": time(1)}
    conditions = [] if ready is None else [{"type": "Ready", "status": "True", "lastTransitionTime": time(ready)}]
    status = {"startTime": time(2), "conditions": conditions, "containerStatuses": containers}
    return Pod.model_validate(
        {"metadata": {**metadata, **more.get("metadata", {})}, "status": {**status, **more.get("status", {})}}
    )


def running(minute: int) -> Json:
    return {"name": "c", "state": {"running": {"startedAt": time(minute)}}}


def ended(minute: int, where: str = "state") -> Json:
    return {"name": "c", where: {"terminated": {"exitCode": 1, "finishedAt": time(minute)}}}


@pytest.mark.parametrize(
    ("why", "pods", "expected"),
    [
        ("there is no pod", [], None),
        ("a container runs", [pod(running(5))], 5),
        ("the oldest of several", [pod(running(9)), pod(running(6), running(5))], 5),
        ("one that waits for its restart may run by now", [pod(ended(7, "lastState"))], 7),
        ("a container has ended", [pod(ended(7))], 7),
        ("a pod that the kubelet has not reported on", [pod()], 2),
        ("a container of which nothing is known", [pod({"name": "c"})], 2),
        ("a pod without a start", [pod(status={"startTime": None})], 1),
        ("a sidecar runs", [pod(running(9), status={"initContainerStatuses": [running(3), ended(4)]})], 3),
    ],
)
def test_the_oldest_process_is_known_where(why: str, pods: list[Pod], expected: int | None) -> None:
    del why
    assert oldest_process(pods) == (None if expected is None else at(expected))


def test_pods_are_ready_since_their_condition_says_so_unless_they_are_stopped() -> None:
    stopping = pod(ready=1, metadata={"deletionTimestamp": time(9)})
    not_ready = pod(status={"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": time(2)}]})

    assert ready_since([pod(ready=7), stopping, pod(ready=5), not_ready, pod()]) == (at(5), at(7))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("celery -A app worker", False),
        ("celery -A app worker --pool=solo", True),
        ("celery -A app worker --pool solo -Q tts", True),
        ("celery -A app worker -P solo", True),
        ("celery -A app worker -Psolo", True),
        ("celery -A app worker --disable-prefetch", True),
        ("celery -A solo worker --pool=prefork", False),
        ("celery -A app worker --pool=soloist", False),
    ],
)
@pytest.mark.parametrize("how", ["command", "args", "one text"])
def test_options_say_whether_a_worker_may_hold_nothing(command: str, how: str, *, expected: bool) -> None:
    words = ["sh", "-c", command] if how == "one text" else command.split()
    container = {"name": "c", ("args" if how == "args" else "command"): words}

    assert may_hold_nothing([Container(name="other"), Container.model_validate(container)]) is expected
