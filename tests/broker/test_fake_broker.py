"""The in-memory broker of `tests/recovery` leads a recovery to the same end as real servers do."""

from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.broker import RedisBroker
from tests.broker.application import Application
from tests.recovery.fakes import Case

Spec = Mapping[str, object]

MESSAGES: Final = [
    ("old-a", "tts.render"),
    ("old-b", "tts.index"),
    ("of no job", "tts.render"),
    ("old-c", "tts.render"),
]
"""Task ids and tasks, the oldest first; a worker holds the first one."""
JOBS: Final = {"a": "failed", "b": "failed", "c": "processing", "d": "failed"}
SPECS: Final[Sequence[Spec]] = [
    {},
    {"purge": {"select": {"tasks": ["tts.render"]}}},
    {"purge": {"select": {"taskIds": ["old-a", "old-b"]}}},
    {"purge": {"retentionSeconds": 0}},
    {"purge": {"mode": "None"}},
    {"jobs": []},
    {"jobs": [{"id": "c"}]},
]


def case_of(spec: Spec) -> Case:
    case = Case({"jobs": [{"id": job} for job in JOBS], **spec})
    for job, status in JOBS.items():
        case.jobs.add(job, status)
    return case


def figures(status: QueueRecoveryStatus) -> dict[str, object]:
    """Return the parts of a status that do not name the quarantine's keys or times."""
    quarantined = None if status.quarantine is None else status.quarantine.messages
    fields = {"jobs", "messages", "skipped", "message", "phase"}
    return {**status.model_dump(include=fields), "quarantined": quarantined}


@pytest.mark.parametrize("spec", SPECS, ids=str)
async def test_a_recovery_ends_with_the_same_status_and_the_same_queue(
    broker: RedisBroker, application: Application, spec: Spec
) -> None:
    real, fake = case_of(spec), case_of(spec)
    real.environment.connects_to = broker
    for name, task in MESSAGES:
        application.send("tts", name, task=task)
    application.hold("tts", 1)
    for number, (name, task) in enumerate(MESSAGES):
        fake.broker.add(name, task=task, held=number == 0)

    await real.reconciled()
    await fake.reconciled()

    assert figures(fake.status) == figures(real.status)
    assert fake.broker.queued() == application.consume("tts")
    assert fake.jobs.jobs == real.jobs.jobs
