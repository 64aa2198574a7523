"""The monitor of targets: a task for each, which ends with its target."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller import target_monitor
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.event_poster import Event
from queue_recovery.controller.metrics import Metrics
from queue_recovery.controller.proposals import CheckedTarget, Proposals
from queue_recovery.controller.settings import Settings
from queue_recovery.controller.stuck_watch import StuckWatch
from queue_recovery.controller.target_check import Propose
from queue_recovery.controller.target_events import Announce
from queue_recovery.controller.target_monitor import TargetMonitor
from queue_recovery.recovery.ports.environment import TargetReport
from tests.controller.environments import environment_of
from tests.controller.proposing import FakeWriter

Store = Callable[[Mapping[str, Any], QueueTargetStatus], Awaitable[bool]]

SPEC = {
    "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
    "queues": [{"name": "tts", "workers": [{"name": "tts"}]}],
}
BODY = {"metadata": {"namespace": "media", "name": "media", "uid": "1", "generation": 1}, "spec": {}}
"""A target that is never checked, because its spec is another version's."""


async def stored(*_: object) -> bool:
    return True


@asynccontextmanager
async def api_server(target: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[ApiClient]:
    """Yield a connection to a server that has one target."""
    app = web.Application()
    app.add_routes([web.get("/apis/queuerecovery.dev/v1alpha1/namespaces/media/queuetargets/media", target)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")) as api:
        yield api
    await runner.cleanup()


def monitor_of(
    api: ApiClient,
    *,
    store: Store = stored,
    announce: Announce = lambda *_: None,
    environment: KubernetesEnvironment | None = None,
) -> TargetMonitor:
    environment = environment or environment_of(api)
    return TargetMonitor(
        Settings(target_refresh_seconds=3600),
        Metrics(),
        environment=lambda _: environment,
        store=store,
        announce=announce,
        writer=FakeWriter(),
        outlines=lambda _: [],
    )


@pytest.mark.parametrize("turns", range(4))
async def test_a_target_that_goes_at_the_moment_of_its_next_check_is_forgotten(turns: int) -> None:
    async with ApiClient() as api:
        monitor = monitor_of(api)
        monitor.receive(BODY, gone=False)
        await asyncio.sleep(0)  # its task waits
        monitor.check_now("media", "media")
        for _ in range(turns):
            await asyncio.sleep(0)

        async with asyncio.timeout(5):
            await monitor.aclose()


async def test_what_keeps_a_target_from_being_checked_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with ApiClient() as api:
        monitor = monitor_of(api)
        with caplog.at_level(logging.INFO):
            monitor.receive(BODY, gone=False)
            for _ in range(20):
                monitor.check_now("media", "media")
                await asyncio.sleep(0)
        await monitor.aclose()

    [record] = caplog.records
    assert record.getMessage().startswith("the spec does not fit this operator's version.")
    assert {"namespace": "media", "target": "media"}.items() <= vars(record).items()


@pytest.mark.parametrize(("refused", "announced"), [(False, ["Usable"]), (True, [])])
async def test_a_change_is_announced_once_its_status_is_written(
    monkeypatch: pytest.MonkeyPatch,
    refused: bool,  # noqa: FBT001
    announced: list[str],
) -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Usable", "message": "", "observedGeneration": 1}
    conditions = [ready | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]
    told: list[str] = []
    was_told = asyncio.Event()
    checks = asyncio.Semaphore(0)

    def announce(namespace: str, name: str, uid: str, event: Event) -> None:
        told.append(f"{namespace}/{name} {uid} {event.reason}")
        was_told.set()

    async def check_target(*_: object, **__: object) -> QueueTargetStatus:
        checks.release()
        return QueueTargetStatus.model_validate({"conditions": conditions})

    async def store(*_: object) -> bool:
        assert told == [], "nothing is announced before it is written"
        return not refused

    monkeypatch.setattr(target_monitor, "check_target", check_target)
    async with ApiClient() as api:
        monitor = monitor_of(api, store=store, announce=announce)
        monitor.receive({**BODY, "spec": SPEC}, gone=False)
        async with asyncio.timeout(30):
            await checks.acquire()
            if refused:
                monitor.check_now("media", "media")
                await checks.acquire()
            else:
                await was_told.wait()
        await monitor.aclose()

    assert told == [f"media/media 1 {reason}" for reason in announced]


@pytest.mark.parametrize(
    ("refused", "reachable", "edited", "is_current"),
    [(False, "True", 1, True), (True, "True", 1, False), (False, "False", 1, False), (False, "True", 2, False)],
    ids=["current", "not written", "without the broker", "of another spec"],
)
async def test_what_a_status_says_is_current_once_this_process_has_looked_three_times_since_the_targets_start(
    monkeypatch: pytest.MonkeyPatch, *, refused: bool, reachable: str, edited: int, is_current: bool
) -> None:
    condition = {"type": "BrokerReachable", "status": reachable, "reason": "Any", "message": ""}
    times = {"observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    checks = asyncio.Semaphore(0)

    async def check_target(*_: object, **__: object) -> QueueTargetStatus:
        return QueueTargetStatus.model_validate({"conditions": [condition | times]})

    async def store(*_: object) -> bool:
        checks.release()
        return not refused

    async def target(_: web.Request) -> web.Response:
        metadata = BODY["metadata"] | {"generation": edited}
        return web.json_response({"metadata": metadata, "spec": SPEC, "status": {"observedGeneration": 1}})

    monkeypatch.setattr(target_monitor, "check_target", check_target)
    async with api_server(target) as api:
        environment, reports = environment_of(api), []
        monitor = monitor_of(api, store=store, environment=environment)
        monitor.receive({**BODY, "spec": SPEC}, gone=False)
        async with asyncio.timeout(30):
            for _ in range(3):
                await checks.acquire()
                for _ in range(3):
                    await asyncio.sleep(0)
                reports.append((await environment.target_report("media")).is_current)
                monitor.check_now("media", "media")
        monitor.receive({**BODY, "spec": SPEC}, gone=True)
        reports.append((await environment.target_report("media")).is_current)
        await monitor.aclose()

    assert reports == [False, False, is_current, False]


async def test_a_status_that_another_version_has_written_tells_nothing() -> None:
    async def target(_: web.Request) -> web.Response:
        return web.json_response({"metadata": BODY["metadata"], "status": {"queues": "many"}})

    async with api_server(target) as api:
        report = await environment_of(api).target_report("media")

    assert report == TargetReport(status=QueueTargetStatus(), is_current=False)


@pytest.mark.parametrize("propose", [False, True])
async def test_recoveries_are_proposed_where_the_target_says_so_and_a_refusal_is_an_event_of_it(
    monkeypatch: pytest.MonkeyPatch, *, propose: bool
) -> None:
    told: list[tuple[str, str, str, Event]] = []
    checked = asyncio.Event()

    async def refused(self: Proposals, target: CheckedTarget, watch: object, found: object) -> None:
        assert (target.namespace, target.name, target.stored.depth) == ("media", "media", "tts=1")
        assert (watch, found) == (None, {})
        self.refused("bind the role")

    async def check_target(*_: object, propose: Propose | None, **__: object) -> QueueTargetStatus:
        if propose is not None:
            await propose(cast("StuckWatch", None), {})
        checked.set()
        return QueueTargetStatus()

    monkeypatch.setattr(Proposals, "propose", refused)
    monkeypatch.setattr(target_monitor, "check_target", check_target)
    async with ApiClient() as api:
        monitor = monitor_of(api, announce=lambda *arguments: told.append(arguments))
        spec = SPEC | {"policy": {"propose": propose}}
        monitor.receive({**BODY, "spec": spec, "status": {"depth": "tts=1"}}, gone=False)
        async with asyncio.timeout(30):
            await checked.wait()
        await monitor.aclose()

    event = Event(type="Warning", reason="ProposalRefused", note="bind the role")
    assert told == ([("media", "media", "1", event)] if propose else [])
