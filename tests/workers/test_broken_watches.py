"""Following goes on without gaps, even if a watch is interrupted."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest
from aiohttp import web

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers import informer
from tests.sample_worker import ref
from tests.workers.fleet import SECONDS, workers_of
from tests.workers.scripted_api import (
    DEPLOYMENT,
    REPLICA_SET,
    ScriptedApi,
    at_zero,
    cluster,
    event,
    listed,
    pod,
    scripted,
)

LIST = (False, None)


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "_PAUSE_SECONDS", 0.0)


async def follow_until(api: ScriptedApi, pods: int) -> None:
    """Follow the Deployment until it has that many pods."""
    async with aclosing(workers_of(api.client).follow([ref("worker")])) as changes:
        async with asyncio.timeout(SECONDS):
            async for (worker,) in changes:
                if worker.pods == pods:
                    return


GONE = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
BOOKMARK = event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "42"}})


async def test_a_watch_that_the_server_ends_goes_on_after_the_last_event_without_a_list() -> None:
    first = [event("ADDED", pod("a", "11")), event("ADDED", pod("b", "12")), event("DELETED", pod("a", "13"))]
    second = [event("MODIFIED", pod("b", "14")), event("ADDED", pod("c", "15")), event("ADDED", pod("d", "16"))]

    async with scripted(cluster([first, second], [listed()])) as api:
        await follow_until(api, pods=3)

    assert api.about("pods") == [LIST, (True, "10"), (True, "13")]


async def test_a_watch_that_had_no_news_goes_on_after_its_last_bookmark() -> None:
    async with scripted(cluster([[BOOKMARK], [event("ADDED", pod("a", "50"))]], [listed()])) as api:
        await follow_until(api, pods=1)

    assert api.about("pods") == [LIST, (True, "10"), (True, "42")]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param([event("ADDED", pod("b", "11")), GONE], id="its version has expired"),
        pytest.param([event("ADDED", pod("b", "11")), None], id="the connection is cut between two lines"),
        pytest.param([event("ADDED", pod("b", "11"))[:40], None], id="the connection is cut within a line"),
        pytest.param([event("ADDED", pod("b", "11"))[:40]], id="the last line is not whole"),
        pytest.param([event("ADDED", {**pod("b", "11"), "spec": "x" * 3_000_000})], id="a line is too large"),
        pytest.param([b"<html>not JSON</html>\n"], id="something else answers"),
    ],
)
async def test_a_watch_that_breaks_is_made_good_by_a_list(broken: Sequence[bytes | None]) -> None:
    later = listed(*(pod(name) for name in "acde"), version="20")
    lists = [listed(pod("a"), pod("gone while nobody was watching")), later]

    async with scripted(cluster([broken], lists)) as api:
        await follow_until(api, pods=4)

    assert api.about("pods")[:3] == [LIST, (True, "10"), LIST]


async def test_a_pod_that_went_while_nobody_was_watching_was_not_seen_to_end() -> None:
    lists = [listed(pod("a"), pod("b")), listed(pod("b"), version="20")]

    async with (
        scripted(cluster([[GONE]], lists)) as api,
        aclosing(workers_of(api.client).follow([ref("worker")])) as changes,
        asyncio.timeout(SECONDS),
    ):
        (before,) = await anext(changes)
        (after,) = await anext(changes)

    assert (before.pods, before.vanished) == (2, ())
    assert (after.pods, after.vanished) == (1, ("a",))


async def test_a_watch_that_is_refused_as_expired_is_made_good_by_a_list() -> None:
    working = cluster([], [listed(), listed(pod("a"), version="20")])
    refused = iter([True])

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("pods") and "watch" in request.query and next(refused, False):
            return web.json_response({}, status=410)
        return await working(request)

    async with scripted(handle) as api:
        await follow_until(api, pods=1)

    assert api.about("pods")[:3] == [LIST, (True, "10"), LIST]


async def test_a_drain_is_said_only_after_a_fresh_look_because_one_watch_may_lag_behind_the_others() -> None:
    lists_of_pods = iter([listed(), listed(pod("that the watch has not shown yet"))])
    scaled = {"deployments": at_zero(DEPLOYMENT), "replicasets": at_zero(REPLICA_SET)}
    before = cluster([], [])

    async def handle(request: web.Request) -> web.StreamResponse:
        resource = request.path.rpartition("/")[2]
        if "watch" not in request.query:
            if resource == "pods":
                return next(lists_of_pods)
            looked_again = sum(not asked.watch and asked.resource == resource for asked in api.asked) > 1
            return listed(scaled[resource]) if looked_again else await before(request)
        if resource == "pods":
            return await before(request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(event("MODIFIED", scaled[resource]))
        await asyncio.Event().wait()
        return response

    async with (
        scripted(handle) as api,
        aclosing(workers_of(api.client).follow([ref("worker")])) as changes,
        asyncio.timeout(SECONDS),
    ):
        seen = [await anext(changes)]
        while seen[-1][0].pods == 0:
            seen.append(await anext(changes))

    assert not any(worker.drained for (worker,) in seen)


async def test_a_server_that_does_not_come_back_is_unavailable() -> None:
    down = web.json_response({"message": "s3cret"}, status=503)

    async with scripted(cluster([[GONE]], [listed(), down])) as api:
        with pytest.raises(RecoveryError) as caught:
            await follow_until(api, pods=1)

    assert caught.value.reason == Reason.KUBERNETES_UNAVAILABLE


async def test_a_right_that_is_taken_away_meanwhile_is_named() -> None:
    async with scripted(cluster([[GONE]], [listed(), web.json_response({}, status=403)])) as api:
        with pytest.raises(RecoveryError) as caught:
            await follow_until(api, pods=1)

    assert caught.value.reason == Reason.FORBIDDEN
