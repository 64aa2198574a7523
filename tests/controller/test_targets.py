"""The board of targets: a task for each, which ends with its target."""

import asyncio
import logging
from types import SimpleNamespace
from typing import cast

import pytest
from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi

from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller import targets
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.events import Event
from queue_recovery.controller.metrics import Metrics
from queue_recovery.controller.settings import Settings
from queue_recovery.controller.targets import TargetBoard
from tests.controller.environments import environment_of

SPEC = {
    "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
    "queues": [{"name": "tts", "workers": [{"name": "tts"}]}],
}
BODY = {"metadata": {"namespace": "media", "name": "media", "uid": "1", "generation": 1}, "spec": {}}
"""A target that is never looked at, because its spec is another version's."""


@pytest.mark.parametrize("turns", range(4))
async def test_a_target_that_goes_in_the_moment_in_which_it_is_looked_at_again_is_let_go(turns: int) -> None:
    async with ApiClient() as api:
        environment = environment_of(KubernetesEnvironment, api)
        board = TargetBoard(
            api, Settings(target_refresh_seconds=3600), Metrics(), lambda _: environment, lambda *_: None
        )
        board.receive(BODY, gone=False)
        await asyncio.sleep(0)  # its task waits
        board.look_again("media", "media")
        for _ in range(turns):
            await asyncio.sleep(0)

        async with asyncio.timeout(5):
            await board.aclose()


async def test_what_keeps_a_target_from_being_looked_at_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with ApiClient() as api:
        environment = environment_of(KubernetesEnvironment, api)
        board = TargetBoard(
            api, Settings(target_refresh_seconds=3600), Metrics(), lambda _: environment, lambda *_: None
        )
        with caplog.at_level(logging.INFO):
            board.receive(BODY, gone=False)
            for _ in range(20):
                board.look_again("media", "media")
                await asyncio.sleep(0)
        await board.aclose()

    [record] = caplog.records
    assert record.getMessage() == "the spec does not fit this operator's version; apply its CRDs"
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
    looks = asyncio.Semaphore(0)

    def announce(namespace: str, name: str, uid: str, event: Event) -> None:
        told.append(f"{namespace}/{name} {uid} {event.reason}")
        was_told.set()

    async def survey(*_: object, **__: object) -> QueueTargetStatus:
        looks.release()
        return QueueTargetStatus.model_validate({"conditions": conditions})

    async def patched(*_: object, **__: object) -> None:
        assert told == [], "nobody is told what is not written"
        if refused:
            raise ApiException(status=409)

    monkeypatch.setattr(targets, "survey", survey)
    async with ApiClient() as api:
        environment = environment_of(KubernetesEnvironment, api)
        board = TargetBoard(
            api,
            Settings(target_refresh_seconds=3600),
            Metrics(),
            lambda _: environment,
            announce,
        )
        board._api = cast("CustomObjectsApi", SimpleNamespace(patch_namespaced_custom_object_status=patched))
        board.receive({**BODY, "spec": SPEC}, gone=False)
        async with asyncio.timeout(30):
            await looks.acquire()
            if refused:
                board.look_again("media", "media")
                await looks.acquire()
            else:
                await was_told.wait()
        await board.aclose()

    assert told == [f"media/media 1 {reason}" for reason in announced]
