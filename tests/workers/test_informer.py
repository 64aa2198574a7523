"""Followers of one namespace share its watches, and none of them is shown an older state than it has asked for."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from queue_recovery.api.worker_ref import DEPLOYMENT as DEPLOYMENT_KIND
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers import informer
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.informers import Informers
from queue_recovery.workers.kubernetes_workers import KubernetesWorkers
from queue_recovery.workers.snapshot import note_labels
from queue_recovery.workers.workloads import Deployment
from sandbox.processes import until
from tests.sample_worker import ref
from tests.workers.fleet import RUN, SECONDS, note, workers_of
from tests.workers.scripted_api import (
    AT_ZERO,
    DEPLOYMENT,
    REPLICA_SET,
    Asked,
    Json,
    ScriptedApi,
    at_zero,
    event,
    listed,
    pod,
    scripted,
)

_ENDED = [{"name": "main", "state": {"terminated": {"exitCode": 0}}}]


DEPLOYMENTS = (DEPLOYMENT_KIND,)


@dataclass
class Pods:
    """What the API server tells of pods: each list in turn, the last one again and again, and one watch."""

    lists: deque[web.Response]
    news: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    deployment: Json = field(default_factory=lambda: DEPLOYMENT)
    replica_set: Json = field(default_factory=lambda: REPLICA_SET)
    written: deque[Json] = field(default_factory=deque)
    """What is answered to each write of the Deployment."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        resource = request.path.rpartition("/")[2]
        if request.method == "PATCH":
            return web.json_response(self.written.popleft())
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
    """Return a pod as the kubelet leaves it when it removes it."""
    last = pod(name, version)
    return {**last, "status": {"phase": "Succeeded", "containerStatuses": _ENDED}}


def watches(api: ScriptedApi) -> int:
    return sum(asked.watch for asked in api.asked)


def lists_and_writes(api: ScriptedApi) -> list[Asked]:
    return [asked for asked in api.asked if not asked.watch]


async def test_two_followers_share_three_watches() -> None:
    async with serving(listed(pod("a"))) as (api, pods):
        workers = workers_of(api.client)
        async with (
            aclosing(workers.follow([ref("worker")])) as first,
            aclosing(workers.follow([ref("worker")])) as second,
        ):
            await anext(first)
            await anext(second)
            await pods.news.put(event("ADDED", pod("b", "21")))
            ((one,), (other,)) = [await anext(first), await anext(second)]

        assert (one.pods, other.pods) == (2, 2)

        async def three_watches() -> bool:
            return watches(api) == 3

        await until(three_watches, "each collection to be watched once")


async def test_news_that_are_older_than_a_list_change_nothing() -> None:
    lists = [listed(pod("a"), pod("b")), listed(pod("a", "15"), version="20")]
    async with serving(*lists) as (api, pods):
        workers = workers_of(api.client)
        async with aclosing(workers.follow([ref("worker")])) as changes:
            await anext(changes)
            await workers.look([ref("worker")])
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
        informers = Informers(Connections.all_by(api.client), "media")
        workers = KubernetesWorkers(informers)
        async with aclosing(workers.follow([ref("worker")])) as changes:
            ((before,),) = [await anext(changes)]
            pods.scale_to_zero()
            await informers.refresh(DEPLOYMENTS)
            (looked,) = await workers.look([ref("worker")])
            assert (looked.pods, looked.drained) == (0, True)
            ((meanwhile,),) = [await anext(changes)]
            await pods.news.put(event("DELETED", ended("a", "19")))
            ((after,),) = [await anext(changes)]

    assert (before.pods, meanwhile.pods, meanwhile.drained) == (1, 1, False)
    assert (after.drained, after.vanished) == (True, ())


async def test_what_is_followed_costs_a_look_two_lists_and_a_second_follower_none() -> None:
    async with serving(listed(pod("a")), listed(pod("a"))) as (api, _):
        workers = workers_of(api.client)
        async with aclosing(workers.follow([ref("worker")])) as changes:
            await anext(changes)
            before = len(lists_and_writes(api))
            await workers.look([ref("worker")])
            async with aclosing(workers.follow([ref("worker")], fresh=False)) as others:
                await anext(others)
            assert not (await workers.outline([ref("worker")]))[0].paused

    assert [one.resource for one in lists_and_writes(api)[before:]] == ["deployments", "pods"]


async def test_the_operators_own_writes_are_known_before_the_watch_tells_of_them() -> None:
    async with serving(listed(pod("a"))) as (api, pods):
        labels = note_labels(note(1))
        held = {
            **at_zero(DEPLOYMENT),
            "metadata": {**DEPLOYMENT["metadata"], "resourceVersion": "11", "labels": labels},
        }
        back = {**DEPLOYMENT, "metadata": {**DEPLOYMENT["metadata"], "resourceVersion": "12"}}
        pods.written.extend([held, back])
        workers = workers_of(api.client)
        async with aclosing(workers.follow([ref("worker")])) as changes:
            (seen,) = await anext(changes)
            before = len(lists_and_writes(api))
            await workers.scale_to_zero(seen, note(1))
            (stopped,) = await anext(changes)
            assert await workers.scale_back(ref("worker"), seen.uid, RUN) == 1
            async with aclosing(workers.follow([ref("worker")], fresh=False)) as later:
                (restored,) = await anext(later)

    assert [(one.replicas, one.note) for one in (stopped, restored)] == [(0, note(1)), (1, None)]
    asked = lists_and_writes(api)[before:]
    assert [one.method for one in asked] == ["PATCH", "PATCH"]
    assert [one.body["metadata"]["resourceVersion"] for one in asked] == ["5", "11"]


async def test_a_look_sees_pods_also_when_the_watch_ends_meanwhile_because_nobody_follows_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(informer, "_LINGER_SECONDS", 0.0)
    async with serving(*(listed(pod("a")) for _ in range(3))) as (api, _):
        informers = Informers(Connections.all_by(api.client), "media")
        workers = KubernetesWorkers(informers)
        async with aclosing(workers.follow([ref("worker")])) as changes:
            await anext(changes)
            looking = asyncio.ensure_future(workers.look([ref("worker")]))
            await asyncio.sleep(0)  # it has found the collections to be watched

        (looked,) = await looking

    assert looked.pods == 1


async def test_a_pod_of_a_replica_set_that_somebody_scales_is_seen_though_its_watch_is_silent() -> None:
    async with serving(listed(), listed(), listed(pod("by-hand", "15"), version="20")) as (api, pods):
        pods.scale_to_zero()
        workers = workers_of(api.client)
        async with aclosing(workers.follow([ref("worker")])) as changes:
            (first,) = await anext(changes)
            assert first.drained

            (looked,) = await workers.look([ref("worker")])

    assert (looked.pods, looked.drained) == (1, False)


async def test_a_follower_after_a_failed_watch_gets_a_new_list() -> None:
    async with serving(*(listed(pod("a")) for _ in range(3))) as (api, pods):
        informers = Informers(Connections.all_by(api.client), "media")
        async with aclosing(KubernetesWorkers(informers).follow([ref("worker")])) as busy:
            await anext(busy)
            running = informers.workloads(DEPLOYMENT_KIND)._running
            assert running is not None
            running.cancel()
            await asyncio.wait({running})
            pods.deployment = {**DEPLOYMENT, "metadata": {**DEPLOYMENT["metadata"], "resourceVersion": "8"}}

            async with aclosing(KubernetesWorkers(informers).follow([ref("worker")], fresh=False)) as changes:
                (seen,) = await anext(changes)

    assert seen.resource_version == "8"


async def test_the_operators_own_writes_are_no_news_for_a_recovery_that_waits_for_a_change() -> None:
    async with serving(listed(pod("a"))) as (api, pods):
        labels = note_labels(note(1))
        metadata = {**DEPLOYMENT["metadata"], "resourceVersion": "11", "generation": 2, "labels": labels}
        back = {**DEPLOYMENT["metadata"], "resourceVersion": "12", "generation": 3}
        pods.written.extend([{**at_zero(DEPLOYMENT), "metadata": metadata}, {**DEPLOYMENT, "metadata": back}])
        workers = workers_of(api.client)
        async with aclosing(workers.follow([ref("worker")])) as changes:
            (seen,) = await anext(changes)
            await workers.scale_to_zero(seen, note(1))
            await workers.scale_back(ref("worker"), seen.uid, RUN)

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(workers.changed(), 0.5)


async def test_the_answer_to_a_write_brings_back_no_deployment_that_has_gone_since() -> None:
    async with serving(listed(pod("a"))) as (api, _):
        informers = Informers(Connections.all_by(api.client), "media")
        async with informers.followed(DEPLOYMENTS, lambda: None, fresh=True):
            gone = Deployment.model_validate({**DEPLOYMENT, "metadata": {**DEPLOYMENT["metadata"], "uid": "another"}})
            informers.workloads(DEPLOYMENT_KIND).observe_write(gone)

            assert [one.metadata.uid for one in informers.workloads(DEPLOYMENT_KIND).objects] == [
                DEPLOYMENT["metadata"]["uid"]
            ]


async def test_a_follower_is_told_why_the_collection_cannot_be_followed() -> None:
    refused = web.json_response({}, status=403)
    async with serving(listed(pod("a")), refused) as (api, pods):
        workers = workers_of(api.client)
        async with (
            aclosing(workers.follow([ref("worker")])) as first,
            aclosing(workers.follow([ref("worker")])) as second,
        ):
            await anext(first)
            await anext(second)
            await pods.news.put(event("ERROR", {"kind": "Status", "code": 410}))
            for changes in (first, second):
                with pytest.raises(RecoveryError, match="Forbidden"):
                    await anext(changes)
