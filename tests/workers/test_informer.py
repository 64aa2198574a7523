"""Followers of one namespace share its watches, and none of them is shown an older state than it has asked for."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from queue_recovery.recovery.errors import NotYet
from tests.workers.fleet import SECONDS, workers_of
from tests.workers.scripted_api import (
    AT_ZERO,
    DEPLOYMENT,
    REPLICA_SET,
    Json,
    ScriptedApi,
    event,
    listed,
    pod,
    scripted,
)

_ENDED = [{"name": "main", "state": {"terminated": {"exitCode": 0}}}]


@dataclass
class Pods:
    """What the API server tells of pods: each list in turn, the last one again and again, and one watch."""

    lists: deque[web.Response]
    news: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    deployment: Json = field(default_factory=lambda: DEPLOYMENT)
    replica_set: Json = field(default_factory=lambda: REPLICA_SET)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        resource = request.path.rpartition("/")[2]
        if "watch" not in request.query:
            others = {"deployments": self.deployment, "replicasets": self.replica_set}
            return listed(others[resource]) if resource in others else self.lists.popleft()
        response = web.StreamResponse()
        await response.prepare(request)
        while resource == "pods":
            await response.write(await self.news.get())
        await asyncio.Event().wait()
        return response

    def scale_to_zero(self) -> None:
        """Answer lists from now on as after a scaling to 0."""
        self.deployment, self.replica_set = (
            {**one, "metadata": {**one["metadata"], "resourceVersion": "9"}, "spec": spec, "status": AT_ZERO}
            for one, spec in (
                (DEPLOYMENT, {**DEPLOYMENT["spec"], "replicas": 0}),
                (REPLICA_SET, {**REPLICA_SET["spec"], "replicas": 0}),
            )
        )


@asynccontextmanager
async def serving(*lists: web.Response) -> AsyncIterator[tuple[ScriptedApi, Pods]]:
    pods = Pods(deque(lists))
    async with scripted(pods.handle) as api, asyncio.timeout(SECONDS):
        yield api, pods


def ended(name: str, version: str) -> Json:
    """Return a pod as the kubelet lets it go."""
    last = pod(name, version)
    return {**last, "status": {"phase": "Succeeded", "containerStatuses": _ENDED}}


def watches(api: ScriptedApi) -> int:
    return sum(asked.watch for asked in api.asked)


async def test_two_followers_share_three_watches() -> None:
    async with serving(listed(pod("a"))) as (api, pods):
        workers = workers_of(api.client)
        async with aclosing(workers.follow(["worker"])) as first, aclosing(workers.follow(["worker"])) as second:
            await anext(first)
            await anext(second)
            await pods.news.put(event("ADDED", pod("b", "21")))
            ((one,), (other,)) = [await anext(first), await anext(second)]

        assert (one.pods, other.pods) == (2, 2)
        assert watches(api) == 3


async def test_news_that_are_older_than_a_list_change_nothing() -> None:
    lists = [listed(pod("a"), pod("b")), listed(pod("a", "15"), version="20")]
    async with serving(*lists) as (api, pods):
        workers = workers_of(api.client)
        async with aclosing(workers.follow(["worker"])) as changes:
            await anext(changes)
            await workers.look(["worker"])
            finished = {**pod("a", "14"), "status": {"phase": "Succeeded"}}
            for line in (
                event("MODIFIED", finished),
                event("ADDED", pod("gone before the list", "16")),
                event("DELETED", ended("b", "17")),
                event("ADDED", pod("c", "21")),
                event("ADDED", pod("d", "22")),
            ):
                await pods.news.put(line)
            (worker,) = await anext(changes)
            while worker.pods != len("acd"):
                (worker,) = await anext(changes)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    (worker,) = await anext(changes)

        assert worker.pods == len("acd")


async def test_a_pod_that_a_list_does_not_show_any_more_lives_until_the_watch_tells_how_it_ended() -> None:
    lists = [listed(pod("a")), listed(version="20"), listed(version="20"), listed(version="20")]
    async with serving(*lists) as (api, pods):
        workers = workers_of(api.client)
        async with aclosing(workers.follow(["worker"])) as changes:
            ((before,),) = [await anext(changes)]
            pods.scale_to_zero()
            (looked,) = await workers.look(["worker"])
            assert (looked.pods, looked.drained) == (0, True)
            ((meanwhile,),) = [await anext(changes)]
            await pods.news.put(event("DELETED", ended("a", "19")))
            ((after,),) = [await anext(changes)]

    assert (before.pods, meanwhile.pods, meanwhile.drained) == (1, 1, False)
    assert (after.drained, after.vanished) == (True, ())


async def test_whoever_follows_is_told_what_the_collection_cannot_be_followed_for() -> None:
    refused = web.json_response({}, status=403)
    async with serving(listed(pod("a")), refused) as (api, pods):
        workers = workers_of(api.client)
        async with aclosing(workers.follow(["worker"])) as first, aclosing(workers.follow(["worker"])) as second:
            await anext(first)
            await anext(second)
            await pods.news.put(event("ERROR", {"kind": "Status", "code": 410}))
            for changes in (first, second):
                with pytest.raises(NotYet, match="Forbidden"):
                    await anext(changes)
