"""What `/metrics` shows of targets, and of whom."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller import metrics as module
from queue_recovery.controller.metrics import Metrics
from queue_recovery.recovery.phase import timestamp

SERIES = re.compile(r"^queue_recovery_(?:target_up|queue_depth|unacked|oldest_unacked_age_seconds)\{.*$", re.MULTILINE)


def status(
    *, broker: str = "True", job_store: str = "True", reason: str = "x", unacked: int = 1, **depths: int
) -> QueueTargetStatus:
    """Return what a look at a target found."""
    rest = {"reason": reason, "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return QueueTargetStatus.model_validate(
        {
            "queues": [{"name": name, "ready": ready} for name, ready in depths.items()],
            "unacked": unacked,
            "conditions": [
                {"type": "BrokerReachable", "status": broker, **rest},
                {"type": "JobStoreReachable", "status": job_store, **rest},
            ],
        }
    )


async def series(metrics: Metrics) -> list[str]:
    return SERIES.findall((await metrics.page()).decode())


async def test_without_names_all_targets_are_one_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRESH_SECONDS", 0)
    metrics = Metrics()
    metrics.target_checked("media", "tts", status(tts=3, mail=4))
    metrics.target_checked("bank", "secret-project", status(broker="False", layoffs=5, unacked=6))
    metrics.target_checked("shop", "ship", status(unacked=0))

    assert await series(metrics) == [
        'queue_recovery_target_up{namespace="",part="broker",target=""} 0.0',
        'queue_recovery_target_up{namespace="",part="jobStore",target=""} 1.0',
        'queue_recovery_queue_depth{namespace="",queue="",state="ready",target=""} 12.0',
        'queue_recovery_queue_depth{namespace="",queue="",state="unacked",target=""} 0.0',
        'queue_recovery_unacked{namespace="",target=""} 7.0',
    ]

    metrics.target_gone("bank", "secret-project")
    assert 'queue_recovery_target_up{namespace="",part="broker",target=""} 1.0' in await series(metrics)


async def test_with_names_each_target_and_queue_has_a_series_until_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRESH_SECONDS", 0)
    metrics = Metrics(with_names=True)
    metrics.target_checked("media", "tts", status(tts=3, mail=4))
    metrics.target_checked("bank", "pay", status(pay=5))
    assert 'queue_recovery_queue_depth{namespace="media",queue="mail",state="ready",target="tts"} 4.0' in await series(
        metrics
    )

    metrics.target_checked("media", "tts", status(tts=2))
    metrics.target_gone("bank", "pay")

    assert await series(metrics) == [
        'queue_recovery_target_up{namespace="media",part="broker",target="tts"} 1.0',
        'queue_recovery_target_up{namespace="media",part="jobStore",target="tts"} 1.0',
        'queue_recovery_queue_depth{namespace="media",queue="tts",state="ready",target="tts"} 2.0',
        'queue_recovery_queue_depth{namespace="media",queue="tts",state="unacked",target="tts"} 0.0',
        'queue_recovery_unacked{namespace="media",target="tts"} 1.0',
    ]


async def test_a_job_store_that_is_not_configured_is_not_one_that_is_away() -> None:
    metrics = Metrics()
    metrics.target_checked("media", "tts", status(job_store="Unknown", reason="NotConfigured"))

    assert not any('part="jobStore"' in one for one in await series(metrics))


async def test_what_could_not_be_looked_at_is_not_up() -> None:
    metrics = Metrics()
    metrics.target_checked("media", "tts", status(broker="Unknown", job_store="Unknown", reason="NotChecked"))

    assert [one for one in await series(metrics) if "target_up" in one] == [
        'queue_recovery_target_up{namespace="",part="broker",target=""} 0.0',
        'queue_recovery_target_up{namespace="",part="jobStore",target=""} 0.0',
    ]


def held(seconds: int, **unacked: int) -> QueueTargetStatus:
    """Return what a look found at queues whose oldest unacked message is so old."""
    since = timestamp(datetime.now(UTC) - timedelta(seconds=seconds))
    queues = [
        {"name": name, "ready": 0, "unacked": count} | ({"oldestUnackedTime": since} if count else {})
        for name, count in unacked.items()
    ]
    return QueueTargetStatus.model_validate({"queues": queues, "unacked": sum(unacked.values())})


def ages(found: list[str]) -> dict[str, float]:
    """Return the ages of the oldest messages by queue."""
    pattern = re.compile(r'oldest_unacked_age_seconds\{.*queue="(\w*)".*\} ([0-9.]+)')
    return {match[1]: float(match[2]) for one in found if (match := pattern.search(one))}


async def test_each_queue_shows_what_workers_hold_and_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRESH_SECONDS", 0)
    metrics = Metrics(with_names=True)
    metrics.target_checked("media", "tts", held(3600, tts=3, mail=0))

    found = await series(metrics)

    assert 'queue_recovery_queue_depth{namespace="media",queue="tts",state="unacked",target="tts"} 3.0' in found
    assert 'queue_recovery_queue_depth{namespace="media",queue="mail",state="unacked",target="tts"} 0.0' in found
    assert ages(found) == {"tts": pytest.approx(3600, abs=60)}

    metrics.target_checked("media", "tts", held(0, tts=0))
    assert ages(await series(metrics)) == {}


async def test_without_names_the_oldest_message_of_all_targets_is_shown() -> None:
    metrics = Metrics()
    metrics.target_checked("media", "tts", held(60, tts=3))
    metrics.target_checked("bank", "pay", held(7200, pay=1))
    metrics.target_checked("shop", "ship", held(-600, ship=1))

    assert ages(await series(metrics)) == {"": pytest.approx(7200, abs=60)}


async def test_a_delivery_by_a_clock_that_is_ahead_is_no_time_ago() -> None:
    metrics = Metrics()
    metrics.target_checked("shop", "ship", held(-600, ship=1))

    assert ages(await series(metrics)) == {"": 0}


async def test_every_outcome_is_exported_at_0_before_the_first_recovery_ends() -> None:
    page = (await Metrics().page()).decode()

    assert re.findall(r"^queue_recovery_recoveries_finished_total.*$", page, re.MULTILINE) == [
        'queue_recovery_recoveries_finished_total{outcome="Cancelled"} 0.0',
        'queue_recovery_recoveries_finished_total{outcome="Failed"} 0.0',
        'queue_recovery_recoveries_finished_total{outcome="Succeeded"} 0.0',
    ]
    skipped = {reason.value for reason in Reason if reason.outcome is Outcome.SKIPPED}
    assert set(re.findall(r'^queue_recovery_jobs_skipped_total{reason="(\w+)"} 0.0$', page, re.MULTILINE)) == skipped
    assert "InDoubt" in skipped
    for counter in ("messages_quarantined", "messages_redelivered", "jobs_enqueued"):
        assert f"\nqueue_recovery_{counter}_total 0.0\n" in page


async def test_a_page_is_made_once_for_all_who_ask_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, made = Metrics(), []
    render = metrics._render

    def counted(targets: Mapping[tuple[str, str], QueueTargetStatus]) -> bytes:
        made.append(targets)
        return render(targets)

    monkeypatch.setattr(metrics, "_render", counted)

    pages = await asyncio.gather(*(metrics.page() for _ in range(50)))

    assert len(made) == 1
    assert set(pages) == {await metrics.page()}


async def test_stuck_queues_are_counted_by_reason_until_they_are_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRESH_SECONDS", 0)
    cause = {"reason": "RetryLoop", "since": "2026-01-01T00:00:00Z", "message": "m"}
    stuck = QueueTargetStatus.model_validate(
        {"queues": [{"name": name, "ready": 0, "stuck": [cause]} for name in ("tts", "mail")]}
    )
    metrics, named = Metrics(), Metrics(with_names=True)
    for one in (metrics, named):
        one.target_checked("media", "media", stuck)

    assert b'queues_stuck{namespace="",queue="",reason="RetryLoop",target=""} 2.0' in await metrics.page()
    assert b'queues_stuck{namespace="media",queue="tts",reason="RetryLoop",target="media"} 1.0' in await named.page()
    metrics.target_checked("media", "media", status(tts=1))
    assert b"queues_stuck{" not in await metrics.page()
