"""The board of targets: a task for each, which ends with its target."""

import asyncio
import logging

import pytest
from kubernetes.aio.client import ApiClient

from queue_recovery.controller.metrics import Metrics
from queue_recovery.controller.settings import Settings
from queue_recovery.controller.targets import TargetBoard
from queue_recovery.controller.world import KubernetesWorld
from tests.controller.worlds import world_of

BODY = {"metadata": {"namespace": "media", "name": "media", "uid": "1", "generation": 1}, "spec": {}}
"""A target that is never looked at, because its spec is another version's."""


@pytest.mark.parametrize("turns", range(4))
async def test_a_target_that_goes_in_the_moment_in_which_it_is_looked_at_again_is_let_go(turns: int) -> None:
    async with ApiClient() as api:
        world = world_of(KubernetesWorld, api)
        board = TargetBoard(api, Settings(target_refresh_seconds=3600), Metrics(), lambda _: world)
        board.receive(BODY, gone=False)
        await asyncio.sleep(0)  # its task waits
        board.look_again("media", "media")
        for _ in range(turns):
            await asyncio.sleep(0)

        async with asyncio.timeout(5):
            await board.aclose()


async def test_what_keeps_a_target_from_being_looked_at_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with ApiClient() as api:
        world = world_of(KubernetesWorld, api)
        board = TargetBoard(api, Settings(target_refresh_seconds=3600), Metrics(), lambda _: world)
        with caplog.at_level(logging.INFO):
            board.receive(BODY, gone=False)
            for _ in range(20):
                board.look_again("media", "media")
                await asyncio.sleep(0)
        await board.aclose()

    [record] = caplog.records
    assert record.getMessage() == "the spec does not fit this operator's version; apply its CRDs"
    assert {"namespace": "media", "target": "media"}.items() <= vars(record).items()
